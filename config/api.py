"""The HTTP API's router: everything under `/api/v1/`. What each address does: `docs/api.md`, or `schema/`."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.urls import URLPattern, URLResolver, include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView
from rest_framework.settings import api_settings

from .api_errors import not_found
from .stats import StatsView
from .tokens import RefreshView, TokenView

#: The schema is for programs with a token as well as for people who are logged in.
_anyone_of_ours: dict[str, Any] = {"authentication_classes": api_settings.DEFAULT_AUTHENTICATION_CLASSES}

urlpatterns: list[URLPattern | URLResolver] = [
    path("token/", TokenView.as_view(), name="token"),
    path("token/refresh/", RefreshView.as_view(), name="token-refresh"),
    path("schema/", SpectacularAPIView.as_view(**_anyone_of_ours), name="schema"),
    path("stats/", StatsView.as_view(), name="stats"),
    path("", include("channels.listings_api")),
    path("", include("channels.template_api")),
    path("", include("sales.api.bots")),
    path("", include("sales.api.waha")),
    path("", include("conversations.api")),
    path("", include("conversations.blocking_api")),
    path("", include("conversations.attention_api")),
    path("", include("sales.api.follow_ups")),
    path("", include("sales.api.calls")),
]
if apps.is_installed("drf_spectacular_sidecar"):
    # Swagger's own scripts come from this server, never from a content network.
    urlpatterns.insert(3, path("docs/", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"))
urlpatterns.append(re_path(r"^(?P<path>.*/)?$", not_found))
