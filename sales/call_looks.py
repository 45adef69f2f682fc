"""How calls look on the managers' pages: their state, their day in words, and the clocks of both sides."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from foundation.looks import badge

from . import call_texts
from .models import ScheduledCall

Status = ScheduledCall.Status

TONES = {Status.SCHEDULED: "info", Status.COMPLETED: "ok", Status.MISSED: "bad", Status.CANCELLED: "muted"}
ICONS = {
    Status.SCHEDULED: "schedule", Status.COMPLETED: "check", Status.MISSED: "phone_missed", Status.CANCELLED: "event_busy",
}  # fmt: skip


def status_badge(call: ScheduledCall) -> SafeString:
    """What became of a call; that its time is over and nobody has said so stands out."""
    if call.status == Status.SCHEDULED and call.is_over:
        return badge(_("to be marked"), "warn", icon="pending_actions")
    status = Status(call.status)
    return badge(call.get_status_display(), TONES[status], icon=ICONS[status])


def near_day(local: datetime) -> str:
    """`today`, `tomorrow` or `yesterday` for a local time of these days, else nothing."""
    days = (local.date() - timezone.now().astimezone(local.tzinfo).date()).days
    return {0: _("today"), 1: _("tomorrow"), -1: _("yesterday")}.get(days, "")


def day_word(local: datetime) -> str:
    """The day of a local time: `today`, `tomorrow`, `yesterday`, or the date in words."""
    return near_day(local) or call_texts.day(local)


def capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def clocks(call: ScheduledCall) -> str:
    """The zone of a call where it is not the reader's, and the customer's time where their clock differs."""
    home = call.starts_at.astimezone(ZoneInfo(call.time_zone))
    told = []
    if home.utcoffset() != timezone.localtime(call.starts_at).utcoffset():
        told.append(call_texts.zone_name(home))
    if call.customer_zone:
        theirs = call.starts_at.astimezone(ZoneInfo(call.customer_zone))
        if theirs.utcoffset() != home.utcoffset():
            at = {"time": f"{theirs:%H:%M}", "zone": call_texts.zone_name(theirs)}
            told.append(_("for the customer %(time)s %(zone)s") % at)
    return " · ".join(told)
