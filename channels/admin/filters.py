"""Filters of the managers' lists that know whose channels are whose."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from ..owners import visible_channels


class ChannelFilter(SimpleListFilter):
    """The channels that the person may see."""

    title = _("channel")
    parameter_name = "channel"
    path = "channel"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(pk), name) for pk, name in visible_channels(request.user).values_list("pk", "name")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset.filter(**{self.path: value}) if value and value.isdigit() else queryset


class ArchivedFilter(SimpleListFilter):
    """Channels that were deleted with conversations in them are in no list unless they are asked for."""

    title = _("archive")
    parameter_name = "archived"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("1", _("in the archive"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.exclude(archived_at=None) if self.value() == "1" else queryset.filter(archived_at=None)
