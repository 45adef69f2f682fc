"""What customers read about their calls. Every time is named with its zone, in the customer's language.

Sentences name a time after a colon, never within: so no language has to bend the names of days and months.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.utils import translation
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext, pgettext_lazy

from foundation.phones import shown

from .call_slots import HORIZON_DAYS, Refusal
from .models import ScheduledCall

DEFAULT_LANGUAGE = "ru"

#: How a zone is named after a time of day; zones that are not here are named by their distance from UTC.
ZONES: dict[str, str | Promise] = {
    "Asia/Almaty": pgettext_lazy("after a time of day", "Almaty time"),
    "Asia/Aqtau": pgettext_lazy("after a time of day", "Aktau time"),
    "Asia/Aqtobe": pgettext_lazy("after a time of day", "Aktobe time"),
    "Asia/Atyrau": pgettext_lazy("after a time of day", "Atyrau time"),
    "Asia/Oral": pgettext_lazy("after a time of day", "Oral time"),
    "Asia/Qostanay": pgettext_lazy("after a time of day", "Kostanay time"),
    "Asia/Qyzylorda": pgettext_lazy("after a time of day", "Kyzylorda time"),
    "Europe/Kaliningrad": pgettext_lazy("after a time of day", "Kaliningrad time"),
    "Europe/Moscow": pgettext_lazy("after a time of day", "Moscow time"),
    "Europe/Simferopol": pgettext_lazy("after a time of day", "Simferopol time"),
    "Europe/Volgograd": pgettext_lazy("after a time of day", "Volgograd time"),
    "Europe/Kirov": pgettext_lazy("after a time of day", "Kirov time"),
    "Europe/Samara": pgettext_lazy("after a time of day", "Samara time"),
    "Europe/Saratov": pgettext_lazy("after a time of day", "Saratov time"),
    "Europe/Astrakhan": pgettext_lazy("after a time of day", "Astrakhan time"),
    "Europe/Ulyanovsk": pgettext_lazy("after a time of day", "Ulyanovsk time"),
    "Asia/Yekaterinburg": pgettext_lazy("after a time of day", "Yekaterinburg time"),
    "Asia/Omsk": pgettext_lazy("after a time of day", "Omsk time"),
    "Asia/Novosibirsk": pgettext_lazy("after a time of day", "Novosibirsk time"),
    "Asia/Barnaul": pgettext_lazy("after a time of day", "Barnaul time"),
    "Asia/Tomsk": pgettext_lazy("after a time of day", "Tomsk time"),
    "Asia/Novokuznetsk": pgettext_lazy("after a time of day", "Novokuznetsk time"),
    "Asia/Krasnoyarsk": pgettext_lazy("after a time of day", "Krasnoyarsk time"),
    "Asia/Irkutsk": pgettext_lazy("after a time of day", "Irkutsk time"),
    "Asia/Chita": pgettext_lazy("after a time of day", "Chita time"),
    "Asia/Yakutsk": pgettext_lazy("after a time of day", "Yakutsk time"),
    "Asia/Vladivostok": pgettext_lazy("after a time of day", "Vladivostok time"),
    "Asia/Sakhalin": pgettext_lazy("after a time of day", "Sakhalin time"),
    "Asia/Magadan": pgettext_lazy("after a time of day", "Magadan time"),
    "Asia/Kamchatka": pgettext_lazy("after a time of day", "Kamchatka time"),
    "Europe/Minsk": pgettext_lazy("after a time of day", "Minsk time"),
    "Asia/Tashkent": pgettext_lazy("after a time of day", "Tashkent time"),
    "Asia/Samarkand": pgettext_lazy("after a time of day", "Samarkand time"),
    "Asia/Bishkek": pgettext_lazy("after a time of day", "Bishkek time"),
    "Asia/Dushanbe": pgettext_lazy("after a time of day", "Dushanbe time"),
    "Asia/Ashgabat": pgettext_lazy("after a time of day", "Ashgabat time"),
    "Asia/Yerevan": pgettext_lazy("after a time of day", "Yerevan time"),
    "Asia/Baku": pgettext_lazy("after a time of day", "Baku time"),
    "Asia/Tbilisi": pgettext_lazy("after a time of day", "Tbilisi time"),
    "Asia/Dubai": pgettext_lazy("after a time of day", "Dubai time"),
    "Europe/Istanbul": pgettext_lazy("after a time of day", "Istanbul time"),
    "Europe/Kyiv": pgettext_lazy("after a time of day", "Kyiv time"),
    "Europe/Chisinau": pgettext_lazy("after a time of day", "Chisinau time"),
    "Europe/Berlin": pgettext_lazy("after a time of day", "Berlin time"),
}


# ── Times in words, in the active language ───────────────────────────────────────────────────────────────────────────


def when(at: datetime, home: ZoneInfo, customer: ZoneInfo | None = None) -> str:
    """`Tuesday, 24 November, 15:00 Almaty time`, in the active language.

    Where the customer's clock differs at that moment, their time comes first and the company's (`home`) after it.
    """
    ours = at.astimezone(home)
    theirs = at.astimezone(customer or home)
    if theirs.utcoffset() == ours.utcoffset():
        return _moment(ours)
    again = _moment(ours) if ours.date() != theirs.date() else _clock(ours)
    return pgettext("a moment by two clocks", "%(theirs)s (%(ours)s)") % {"theirs": _moment(theirs), "ours": again}


def day(at: datetime) -> str:
    """`Tuesday, 24 November` of a local time, in the active language."""
    words = date_format(at, "l, j E")
    # Only English writes days and months with a capital letter.
    return words if (translation.get_language() or "").startswith("en") else words.lower()


def zone_name(at: datetime) -> str:
    """How the zone of a local time is named after it: `Almaty time`, or `UTC+3` for zones without a name of ours."""
    named = ZONES.get(getattr(at.tzinfo, "key", ""))
    if named is not None:
        return str(named)
    minutes = int((at.utcoffset() or timedelta()).total_seconds()) // 60
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{'-' if minutes < 0 else '+'}{hours}" + (f":{rest:02}" if rest else "")


def _moment(local: datetime) -> str:
    return pgettext("a moment", "%(day)s, %(time)s") % {"day": day(local), "time": _clock(local)}


def _clock(local: datetime) -> str:
    return pgettext("a time of day with its zone", "%(time)s %(zone)s") % {
        "time": local.strftime("%H:%M"), "zone": zone_name(local),
    }  # fmt: skip


def of_call(call: ScheduledCall) -> str:
    """When a call is, by the clocks of both sides, in the active language."""
    return when(call.starts_at, ZoneInfo(call.time_zone), ZoneInfo(call.customer_zone) if call.customer_zone else None)


def manager_name(call: ScheduledCall) -> str:
    """The manager as customers are told."""
    return call.manager.get_full_name() or call.manager.get_username()


def _facts(call: ScheduledCall) -> dict[str, str]:
    return {"when": of_call(call), "manager": manager_name(call), "phone": shown(call.phone)}


# ── Messages ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def confirmation(call: ScheduledCall, language: str) -> str:
    """The call is booked, or has been moved by the customer's wish."""
    with _in(language):
        return _(
            "Your call is booked: %(when)s. Our manager %(manager)s will call you at %(phone)s. Talk to you soon! 👍"
        ) % _facts(call)


def moved(call: ScheduledCall, language: str) -> str:
    """A manager has moved the call."""
    with _in(language):
        return _(
            "Our call is moved. The new time: %(when)s. Our manager %(manager)s will call you at %(phone)s. If this time does "
            "not suit you, write to us and we will find another one."
        ) % _facts(call)


def reassigned(call: ScheduledCall, language: str) -> str:
    """Another manager will call."""
    with _in(language):
        return _("Another colleague will call you: %(manager)s. The time stays the same: %(when)s. Your number: %(phone)s.") % (
            _facts(call)
        )


def cancelled(call: ScheduledCall, language: str) -> str:
    """The call will not take place."""
    with _in(language):
        return _("The call is cancelled: %(when)s. If you would like another time, write to us.") % _facts(call)


def reminder(call: ScheduledCall, language: str) -> str:
    """The call is soon."""
    with _in(language):
        return _(
            "A reminder of our call: %(when)s. Our manager %(manager)s will call you at %(phone)s. If the time does not suit "
            "you any more, write to us and we will move the call."
        ) % _facts(call)


def instead(
    refused: Refusal, nearest: datetime | None, home: ZoneInfo, customer: ZoneInfo | None, language: str
) -> str:
    """Why a wished time cannot be had, and the nearest free one."""
    with _in(language):
        return f"{_why(refused)} {_offer(nearest, home, customer, refused)}"


def _why(refused: Refusal) -> str:
    return {
        Refusal.PAST: _("That time has passed already."),
        Refusal.CLOSED: _("Unfortunately, we do not work at that time."),
        Refusal.DAY_OFF: _("Unfortunately, that is a day off."),
        Refusal.TAKEN: _("Unfortunately, that time is taken already."),
        Refusal.FAR: ngettext(
            "Calls are agreed at most %(days)d day ahead.", "Calls are agreed at most %(days)d days ahead.", HORIZON_DAYS
        ) % {"days": HORIZON_DAYS},
        Refusal.NO_MANAGER: _("Unfortunately, no manager can take a call now."),
    }[refused]  # fmt: skip


def _offer(nearest: datetime | None, home: ZoneInfo, customer: ZoneInfo | None, refused: Refusal) -> str:
    if nearest is not None:
        told = {"when": when(nearest, home, customer)}
        return _("The nearest time I can offer: %(when)s. Does it suit you?") % told
    if refused == Refusal.NO_MANAGER:
        return _("A colleague will write to you here to agree on a time.")
    return _("Which other time would suit you?")


def ask_phone(start: datetime, home: ZoneInfo, customer: ZoneInfo | None, language: str) -> str:
    """The time is free, the number to call is missing."""
    with _in(language):
        told = {"when": when(start, home, customer)}
        return _("This time is open: %(when)s. At which phone number shall we call you?") % told


def ask_time(starts: Sequence[datetime], home: ZoneInfo, customer: ZoneInfo | None, language: str) -> str:
    """The customer wants a call and has not agreed to a time yet; `starts` are free ones, if any."""
    with _in(language):
        if not starts:
            return _("When would it suit you to talk on the phone?")
        question = _("When would it suit you to talk on the phone? These times are open:")
        return "\n".join([question, *(f"• {when(start, home, customer)}" for start in starts)])


def _in(language: str) -> translation.override:
    return translation.override(language or DEFAULT_LANGUAGE)
