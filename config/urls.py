"""Every address of the web process."""

from django.contrib import admin
from django.urls import include, path

from channels.webhooks import webhook

from . import health, pages

urlpatterns = [
    path("", pages.home, name="home"),
    path("health", health.health, name="health"),
    path("ready", health.ready, name="ready"),
    path("webhooks/<slug:kind>/<slug:slug>/<str:secret>/", webhook, name="webhook"),
    path("widget/", include("conversations.widget_urls")),
    path("api/v1/", include("config.api")),
    path("admin/", admin.site.urls),
]
