"""The filters of the list of calls."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, time, timedelta
from typing import Any

from django.contrib.admin import SimpleListFilter
from django.contrib.auth import get_user_model
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from foundation import db

from ..call_slots import LONGEST
from ..models import ScheduledCall
from ..owners import visible_calls

Status = ScheduledCall.Status


class ShowFilter(SimpleListFilter):
    """What is to come, unless something else is asked for. A search, or a filter by status, looks everywhere."""

    title = _("show")
    parameter_name = "show"

    @classmethod
    def chosen(cls, request: HttpRequest) -> str:
        everywhere = any(request.GET.get(name) for name in ("q", "status__exact", "period"))
        return request.GET.get(cls.parameter_name) or ("all" if everywhere else "next")

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        self.default = self.chosen(request)
        return [("next", _("to come")), ("mark", _("to be marked")), ("all", _("all"))]

    def value(self) -> str:
        return super().value() or self.default

    def choices(self, changelist: Any) -> Iterator[Any]:
        for value, title in self.lookup_choices:
            query = changelist.get_query_string({self.parameter_name: value})
            yield {"selected": self.value() == value, "query_string": query, "display": title}

    def queryset(self, request: HttpRequest, queryset: QuerySet[ScheduledCall]) -> QuerySet[ScheduledCall]:
        if self.value() == "next":
            now = db.now()
            return queryset.filter(status=Status.SCHEDULED, ends_at__gt=now, starts_at__gt=now - LONGEST)
        if self.value() == "mark":
            return queryset.filter(status=Status.SCHEDULED, ends_at__lte=db.now())
        return queryset


class ManagerFilter(SimpleListFilter):
    """Who makes the calls that the reader may see."""

    title = _("manager")
    parameter_name = "manager"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        # Asked of each person, since there are few of them: the calls are many.
        theirs = visible_calls(ScheduledCall.objects.filter(manager=OuterRef("pk")).order_by(), request.user)
        people = get_user_model().objects.filter(Exists(theirs))
        return sorted(((str(user.pk), user.get_full_name() or user.get_username()) for user in people), key=lambda one: one[1])

    def queryset(self, request: HttpRequest, queryset: QuerySet[ScheduledCall]) -> QuerySet[ScheduledCall]:
        value = self.value()
        return queryset.filter(manager=int(value)) if value and value.isdigit() else queryset


class PeriodFilter(SimpleListFilter):
    """Days counted from today, in the zone of the installation."""

    title = _("period")
    parameter_name = "period"
    #: First day and number of days.
    SPANS = {
        "today": (0, 1), "tomorrow": (1, 1), "week": (0, 7), "month": (0, 30), "last_week": (-7, 7), "last_month": (-30, 30),
    }  # fmt: skip

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("today", _("today")), ("tomorrow", _("tomorrow")), ("week", _("the next 7 days")),
            ("month", _("the next 30 days")), ("last_week", _("the last 7 days")), ("last_month", _("the last 30 days")),
        ]  # fmt: skip

    def queryset(self, request: HttpRequest, queryset: QuerySet[ScheduledCall]) -> QuerySet[ScheduledCall]:
        span = self.SPANS.get(self.value() or "")
        if span is None:
            return queryset
        first = timezone.localdate() + timedelta(days=span[0])
        since, until = (
            timezone.make_aware(datetime.combine(day, time())) for day in (first, first + timedelta(days=span[1]))
        )
        return queryset.filter(starts_at__gte=since, starts_at__lt=until)
