"""The pages of one call and of one day, and what managers do there. Every address checks permission and owner."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from channels.owners import visible_channels
from foundation import db

from .. import call_looks, call_texts, calls
from ..assistants import Configuration, managers, working_time
from ..models import ScheduledCall
from . import call_day

#: So many free times are proposed where a call is moved.
PROPOSED = 8

Status = ScheduledCall.Status


class Refused(Exception):
    """Something cannot be done, with words for the manager."""


def _moved(moved: bool, done: str) -> str:
    if not moved:
        raise Refused(_("Nothing to do: it is so already, or not yet time for it."))
    return done


def _complete(call: ScheduledCall, request: HttpRequest) -> str:
    return _moved(calls.complete(call.pk, request.user), _("The call is marked as completed."))


def _miss(call: ScheduledCall, request: HttpRequest) -> str:
    return _moved(calls.miss(call.pk, request.user), _("The call is marked as missed."))


def _cancel(call: ScheduledCall, request: HttpRequest) -> str:
    return _moved(calls.cancel(call.pk, user=request.user), _("The call is cancelled."))


def _move(call: ScheduledCall, request: HttpRequest) -> str:
    start = _start(request, ZoneInfo(call.time_zone))
    calls.move(call.pk, start, user=request.user)
    if not working_time(call.assistant).is_open(start):
        messages.warning(request, _("The new time is outside working hours."))
    return _("The call is moved.")


def _start(request: HttpRequest, zone: ZoneInfo) -> datetime:
    """The moment that was typed (local to `zone`) or chosen (with its offset). Raises Refused."""
    with timezone.override(zone):
        try:
            start: datetime = forms.DateTimeField().clean(request.POST.get("start", ""))
        except forms.ValidationError:
            raise Refused(_("Give date and time.")) from None
    return start


def _reassign(call: ScheduledCall, request: HttpRequest) -> str:
    chosen = request.POST.get("manager", "")
    if not chosen.isdigit() or int(chosen) not in _takers(call):
        raise Refused(_("This person takes no calls of the assistant."))
    calls.reassign(call.pk, int(chosen), user=request.user)
    return _("The call has another manager.")


def _note(call: ScheduledCall, request: HttpRequest) -> str:
    call.notes = request.POST.get("notes", "").strip()
    call.save(update_fields=["notes", "updated_at"])
    return _("The notes are saved.")


def _takers(call: ScheduledCall) -> dict[int, str]:
    """Who may get a call: the managers of its assistant."""
    return managers(call.assistant)


def _by_name(people: dict[int, str]) -> list[tuple[int, str]]:
    return sorted(people.items(), key=lambda one: (one[1], one[0]))


DECISIONS: dict[str, Callable[[ScheduledCall, HttpRequest], str]] = {
    "complete": _complete, "miss": _miss, "cancel": _cancel, "move": _move, "reassign": _reassign, "note": _note,
}  # fmt: skip


class CallPages:
    """The pages beside the list, for its model admin."""

    admin_site: Any
    has_view_permission: Callable[..., bool]
    has_change_permission: Callable[..., bool]
    get_queryset: Callable[[HttpRequest], QuerySet[ScheduledCall]]
    log_change: Callable[[HttpRequest, ScheduledCall, str], Any]

    def call_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("day/", view(require_GET(self.day)), name="sales_scheduledcall_day"),
            path("<int:pk>/do/", view(require_POST(self.do)), name="sales_scheduledcall_do"),
        ]

    # ── One call ─────────────────────────────────────────────────────────────────────────────────────────────────────
    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        if not object_id.isdigit():
            raise Http404
        rows = self.get_queryset(request).select_related("assistant", "conversation__channel", "turn")
        call = get_object_or_404(rows, pk=int(object_id))
        zone, now = ZoneInfo(call.time_zone), db.now()
        scheduled = call.status == Status.SCHEDULED
        context = {
            **self.admin_site.each_context(request),
            "title": call.contact.shown_name,
            "opts": ScheduledCall._meta,
            "original": call,
            "is_fullwidth": "1",
            "c": call,
            "zone": zone,
            "day": call_looks.capital(call_looks.day_word(call.starts_at.astimezone(zone))),
            "clocks": call_looks.clocks(call),
            "zone_name": call_texts.zone_name(call.starts_at.astimezone(zone)),
            "manager": call_texts.manager_name(call),
            "status": call_looks.status_badge(call),
            "chat": _chat(call, request.user),
            "may_change": self.has_change_permission(request),
            "scheduled": scheduled,
            "begun": call.starts_at <= now,
            "reminds_at": _reminds_at(call, now),
            "takers": [one for one in _by_name(_takers(call)) if one[0] != call.manager_id] if scheduled else [],
            "proposed": _proposed(call, now) if scheduled else [],
        }
        return TemplateResponse(request, "admin/sales/call.html", context)

    def do(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Carry out `do` on a call, and go back to where it was asked for."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        decision = DECISIONS.get(request.POST.get("do", ""))
        if decision is None:
            return HttpResponse(_("Unknown action."), status=400)
        call = get_object_or_404(self.get_queryset(request).select_related("assistant__owner"), pk=pk)
        try:
            told = decision(call, request)
        except (Refused, calls.CallError) as error:
            messages.warning(request, str(error))
        else:
            self.log_change(request, call, told)
            messages.success(request, told)
            call.refresh_from_db(fields=["untold"])
            if call.untold:
                messages.warning(request, _("The customer is not told yet: only an approved template may be sent now."))
        back = request.POST.get("next", "")
        here = url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()}, require_https=request.is_secure())
        return HttpResponseRedirect(back if here else reverse("admin:sales_scheduledcall_change", args=(pk,)))

    # ── One day ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def day(self, request: HttpRequest) -> HttpResponse:
        """`?date=2026-11-24`; today where none is given."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        zone, now = call_day.zone_of(request.user), db.now()
        today = now.astimezone(zone).date()
        chosen = _date(request.GET.get("date", ""), today)
        shown = call_day.build(request.user, chosen, zone, now)
        midnight = datetime(chosen.year, chosen.month, chosen.day, tzinfo=zone)
        near, words = call_looks.near_day(midnight), call_texts.day(midnight)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Calls"),
            "opts": ScheduledCall._meta,
            "is_fullwidth": "1",
            "tab": "day",
            "d": shown,
            "words": call_looks.capital(f"{near}, {words}" if near else words),
            "zone_name": call_texts.zone_name(midnight),
            "today": today,
            "before": chosen - timedelta(days=1),
            "after": chosen + timedelta(days=1),
            "may_change": self.has_change_permission(request),
        }
        return TemplateResponse(request, "admin/sales/call_day.html", context)


def _date(text: str, today: date) -> date:
    """The day that was asked for; one that no calendar shows, or years away, is today."""
    try:
        asked = date.fromisoformat(text)
    except ValueError:
        return today
    return asked if abs((asked - today).days) < 3660 else today


def _chat(call: ScheduledCall, user: Any) -> bool:
    """Whether the reader may open the conversation."""
    return call.conversation is not None and visible_channels(user).filter(pk=call.conversation.channel_id).exists()


def _reminds_at(call: ScheduledCall, now: datetime) -> datetime | None:
    """When the customer will be reminded; None where that is done, or not needed."""
    minutes = call.assistant.call_reminder_minutes
    waits = call.status == Status.SCHEDULED and call.reminded_at is None and call.starts_at > now
    return call.starts_at - timedelta(minutes=minutes) if waits and minutes and call.conversation_id else None


def _proposed(call: ScheduledCall, now: datetime) -> list[tuple[str, str]]:
    """Free times of the call's manager: the moment with its offset, and in words."""
    configured = Configuration.read(call.assistant)
    own = replace(configured, managers={call.manager_id: call_texts.manager_name(call)})
    zone = ZoneInfo(call.time_zone)
    free = calls.free(own, now, now=now, limit=PROPOSED, contact_id=call.contact_id)
    local = [start.astimezone(zone) for start in free if start != call.starts_at]
    return [(start.isoformat(), f"{call_looks.capital(call_looks.day_word(start))}, {start:%H:%M}") for start in local]
