"""The filters of the managers' lists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from channels.admin.filters import ChannelFilter

from .. import attention


class ShowFilter(SimpleListFilter):
    """What needs me, unless something else is asked for: the list is the manager's workplace. A search looks everywhere."""

    title = _("show")
    parameter_name = "show"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        self.default = "all" if request.GET.get("q") else "me"
        return [("me", _("needs me")), ("mine", _("led by me")), ("all", _("all"))]

    def value(self) -> str:
        return super().value() or self.default

    def choices(self, changelist: Any) -> Iterator[Any]:
        for value, title in self.lookup_choices:
            query = changelist.get_query_string({self.parameter_name: value})
            yield {"selected": self.value() == value, "query_string": query, "display": title}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "me":
            return attention.needing(queryset)
        if self.value() == "mine":
            return queryset.filter(mode="manager", taken_by=request.user)
        return queryset


class TurnChannelFilter(ChannelFilter):
    path = "conversation__channel"


class ClientFilter(SimpleListFilter):
    """The gate's verdict: yes, no, or not decided."""

    title = _("client")
    parameter_name = "client"
    path = "is_client"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("client")), ("no", _("not a client")), ("unsure", _("unsure"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        verdicts = {"yes": True, "no": False, "unsure": None}
        value = self.value()
        return queryset.filter(**{self.path: verdicts[value]}) if value in verdicts else queryset


class ConversationClientFilter(ClientFilter):
    path = "contact__is_client"
