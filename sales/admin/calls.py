"""The list of calls, for managers. The pages of one call and of a day are in `call_pages`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.admin import ModelAdmin
from unfold.decorators import display

from conversations.admin import search
from foundation.big_lists import BigList
from foundation.looks import two_lines
from foundation.phones import shown

from .. import call_texts, calls
from ..call_looks import capital, clocks, day_word, status_badge
from ..models import ScheduledCall
from ..owners import visible_calls
from .call_filters import ManagerFilter, PeriodFilter, ShowFilter
from .call_pages import CallPages


@admin.register(ScheduledCall)
class ScheduledCallAdmin(CallPages, BigList, ModelAdmin):
    list_display = ("starts", "who", "number", "shown_manager", "shown_status")
    list_display_links = ("starts",)
    list_filter = (ShowFilter, "status", ManagerFilter, PeriodFilter)
    list_per_page = 50
    list_fullwidth = True
    list_before_template = "admin/sales/call_tabs.html"
    sortable_by = ("starts",)
    search_fields = ("pk",)
    search_help_text = _("Phone in any spelling, or a name")
    actions = ("complete", "miss", "cancel")

    # ── Rows ─────────────────────────────────────────────────────────────────────────────────────────────────────────
    def get_queryset(self, request: HttpRequest) -> QuerySet[ScheduledCall]:
        return visible_calls(super().get_queryset(request), request.user).select_related("contact", "manager")

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        return ("-starts_at", "-pk") if ShowFilter.chosen(request) == "all" else ("starts_at", "pk")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[ScheduledCall], search_term: str
    ) -> tuple[QuerySet[ScheduledCall], bool]:
        term = search_term.strip()
        return (queryset.filter(search.people(term, request.user, "contact__")) if term else queryset), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        context = {"tab": ShowFilter.chosen(request), "title": _("Calls"), **(extra_context or {})}
        page: HttpResponse = super().changelist_view(request, context)
        return page

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ScheduledCall | None = None) -> bool:
        return False

    # ── Columns ──────────────────────────────────────────────────────────────────────────────────────────────────────
    @admin.display(description=_("time"), ordering="starts_at")
    def starts(self, call: ScheduledCall) -> SafeString:
        zone = ZoneInfo(call.time_zone)
        local, over = call.starts_at.astimezone(zone), call.ends_at.astimezone(zone)
        told = f"{capital(day_word(local))}, {local:%H:%M}–{over:%H:%M}"
        return two_lines(told, clocks(call))

    @display(description=_("contact"))
    def who(self, call: ScheduledCall) -> str:
        return call.contact.shown_name

    @admin.display(description=_("phone"))
    def number(self, call: ScheduledCall) -> SafeString:
        return format_html('<a class="sd-link sd-nowrap" href="tel:+{}">{}</a>', call.phone, shown(call.phone))

    @admin.display(description=_("manager"))
    def shown_manager(self, call: ScheduledCall) -> str:
        return call_texts.manager_name(call)

    @admin.display(description=_("status"))
    def shown_status(self, call: ScheduledCall) -> SafeString:
        return status_badge(call)

    # ── Actions ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def _each(
        self, request: HttpRequest, rows: QuerySet[ScheduledCall], do: Callable[[int], bool], told: Callable[[int], str]
    ) -> None:
        chosen = list(rows.order_by("pk"))
        moved = [call for call in chosen if do(call.pk)]
        for call in moved:
            self.log_change(request, call, told(1) % {"n": 1})
        self.message_user(request, told(len(moved)) % {"n": len(moved)}, messages.SUCCESS if moved else messages.WARNING)
        if left := len(chosen) - len(moved):
            words = ngettext("%(n)d call stays as it is.", "%(n)d calls stay as they are.", left)
            self.message_user(request, words % {"n": left}, messages.WARNING)

    @admin.action(description=_("Completed"), permissions=("change",))
    def complete(self, request: HttpRequest, queryset: QuerySet[ScheduledCall]) -> None:
        self._each(
            request, queryset, lambda pk: calls.complete(pk, request.user),
            lambda n: ngettext("%(n)d call marked as completed.", "%(n)d calls marked as completed.", n),
        )  # fmt: skip

    @admin.action(description=_("Missed"), permissions=("change",))
    def miss(self, request: HttpRequest, queryset: QuerySet[ScheduledCall]) -> None:
        self._each(
            request, queryset, lambda pk: calls.miss(pk, request.user),
            lambda n: ngettext("%(n)d call marked as missed.", "%(n)d calls marked as missed.", n),
        )  # fmt: skip

    @admin.action(description=_("Cancel and tell the customers"), permissions=("change",))
    def cancel(self, request: HttpRequest, queryset: QuerySet[ScheduledCall]) -> None:
        self._each(
            request, queryset, lambda pk: calls.cancel(pk, user=request.user),
            lambda n: ngettext("%(n)d call cancelled.", "%(n)d calls cancelled.", n),
        )  # fmt: skip

    def get_urls(self) -> list[URLPattern]:
        return [*self.call_urls(), *super().get_urls()]
