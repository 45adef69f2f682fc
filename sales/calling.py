"""Calls in the conversation: what the agent is told of times, and whether a call that it asks for may be booked.

The model proposes, code decides: a time is booked only where the customer named it or agreed to it, and the rows say that
it is free.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _

from conversations.history import Line
from foundation import phones

from . import call_texts, calls, time_phrases, understanding
from .assistants import Configuration
from .calls import Refusal
from .models import ScheduledCall
from .reply import Reply

#: So many of the customer's last messages may hold the wish for a call, or the number to call.
LOOK_BACK = 6
#: An answer to “when?” that is nothing but an hour.
_BARE_HOUR = re.compile(r"\D{0,12}(\d{1,2})\D{0,4}")
_CALL_WORDS = re.compile(r"созвон|звон|телефонн|қоңырау|хабарлас|\bcall\b|\bphone\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What is known about a call with this customer when a reply is composed. All times are aware."""

    zone: ZoneInfo
    """The customer's zone as far as known, else the company's."""
    said_zone: ZoneInfo | None
    """The zone that the customer has just named."""
    about_call: bool
    scheduled: ScheduledCall | None
    named: datetime | None
    named_day: date | None
    refusal: Refusal | None
    """Why the named time cannot be had."""
    nearest: datetime | None
    """The free time nearest to a refused one."""
    offered: Sequence[datetime]
    """What we offered with our last message and is still free."""
    free: Sequence[datetime]
    phone: str | None
    """The number to call: digits with country code."""
    phone_said: bool
    """Whether the customer has just written a number."""

    @property
    def bookable(self) -> datetime | None:
        """The time the customer named, where it can be had."""
        return self.named if self.named is not None and self.refusal is None else None


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of the agent's wish to book: at most one of `start` and `refusal` is set."""

    start: datetime | None = None
    refusal: Refusal | None = None
    alternatives: Sequence[datetime] = field(default_factory=tuple)
    needs_phone: bool = False


def gather(
    configured: Configuration, contact: Any, zone: ZoneInfo, lines: Sequence[Line], question: str,
    outcome: Mapping[str, Any], now: datetime,
) -> CallFacts:  # fmt: skip
    """Look up what the customer, whose zone is `zone`, says of a time, and which times are free."""
    scheduled = ScheduledCall.objects.filter(
        contact=contact, assistant=configured.assistant, status=ScheduledCall.Status.SCHEDULED, ends_at__gt=now
    ).select_related("manager").first()
    recent = [line for line in lines if line.author == "customer"][-LOOK_BACK:]
    ours = next((line.text for line in reversed(lines) if line.author == "bot"), "")
    asked = any(understanding.wants_call(line.text) for line in recent)
    about_call = bool(scheduled or outcome.get("offered") or asked or _CALL_WORDS.search(ours))
    said = _said(question, about_call, now, zone)
    free = calls.free(configured, now, now=now, contact_id=contact.pk)
    refusal = nearest = None
    if said.start is not None:
        refusal = calls.check(configured, said.start, now=now, contact_id=contact.pk)
        nearest = calls.nearest(configured, said.start, now=now) if refusal else None
    offered = [datetime.fromisoformat(text) for text in outcome.get("offered", [])]
    return CallFacts(
        zone=said.zone or zone, said_zone=said.zone, about_call=about_call, scheduled=scheduled, named=said.start,
        named_day=said.day, refusal=refusal, nearest=nearest,
        offered=[at for at in offered if calls.check(configured, at, now=now, contact_id=contact.pk) is None],
        free=free, phone=_phone(contact, recent),
        phone_said=phones.found_in(question) is not None,
    )  # fmt: skip


def _said(question: str, about_call: bool, now: datetime, zone: ZoneInfo) -> time_phrases.Said:
    """The time that the customer names; while a call is the subject a bare number is an hour."""
    said = time_phrases.parse(question, now, zone)
    bare = _BARE_HOUR.fullmatch(question) if about_call and said.start is None and said.day is None else None
    return time_phrases.parse(f"в {bare[1]}:00", now, zone) if bare and 8 <= int(bare[1]) <= 20 else said


def _phone(contact: Any, recent: Sequence[Line]) -> str | None:
    """The number to call: the one the customer wrote last, else the one the channel knows."""
    said = next(filter(None, (phones.found_in(line.text) for line in reversed(recent))), None)
    return said or contact.phone


def as_facts(facts: CallFacts, home: ZoneInfo) -> list[str]:
    """Lines for the prompt: the call agreed, the time asked for and what is free, in the company's words."""
    lines = []
    if facts.scheduled is not None:
        lines.append(
            _("A call is agreed: %(when)s, with %(manager)s. To move it: book_call with the new time; to drop it: cancel_call.")
            % {"when": call_texts.when(facts.scheduled.starts_at, home, facts.zone), "manager": _name(facts.scheduled.manager)}
        )
    if facts.named is not None and facts.refusal is None:
        lines.append(
            _("The customer names a time: %(when)s. It is free (call_at: %(iso)s).")
            % {"when": call_texts.when(facts.named, home, facts.zone), "iso": _iso(facts.named, home)}
        )
    elif facts.refusal is not None and facts.named is not None:
        lines.append(
            _("The customer names a time: %(when)s. It cannot be had: %(why)s.")
            % {"when": call_texts.when(facts.named, home, facts.zone), "why": facts.refusal.label}
        )
        if facts.nearest is not None:
            lines.append(
                _("Offer the nearest free time instead: %(when)s (call_at: %(iso)s).")
                % {"when": call_texts.when(facts.nearest, home, facts.zone), "iso": _iso(facts.nearest, home)}
            )
    if facts.offered:
        times = "; ".join(f"{call_texts.when(at, home, facts.zone)} (call_at: {_iso(at, home)})" for at in facts.offered)
        lines.append(_("We offered with our last message: %(times)s.") % {"times": times})
    if facts.free:
        times = "; ".join(f"{call_texts.when(at, home, facts.zone)} = {_iso(at, home)}" for at in facts.free)
        lines.append(_("Free times for a call: %(times)s.") % {"times": times})
    else:
        lines.append(_("No time is free for a call in the next two weeks: a manager has to arrange it."))
    if facts.phone is None:
        lines.append(_("The customer's phone number is not known: ask for it before a call is booked."))
    return lines


def sources(reply: str, facts: CallFacts, home: ZoneInfo, now: datetime) -> list[str]:
    """The times that a reply may state, however it words them."""
    known = [*facts.free, *facts.offered, facts.bookable, facts.nearest, facts.scheduled.starts_at if facts.scheduled else None]
    if facts.refusal is not None and offers(reply, facts, now):
        # “At 20:00 we are closed; 17:30 is free”: a refused time may be named beside one that can be had.
        known.append(facts.named)
    return [at.astimezone(zone).strftime("%Y-%m-%d %H:%M") for at in filter(None, known) for zone in {home, facts.zone}]


def for_offline(facts: CallFacts, home: ZoneInfo, hours: str) -> dict[str, Any]:
    """The same for the offline model, which reads no prompt: plain values."""
    return {
        "about_call": facts.about_call,
        "scheduled": _iso(facts.scheduled.starts_at, home) if facts.scheduled else "",
        "bookable": _iso(facts.bookable, home) if facts.bookable else "",
        "refused": bool(facts.refusal),
        "refusal": str(facts.refusal or ""),
        "nearest": _iso(facts.nearest, home) if facts.nearest else "",
        "offered": [_iso(at, home) for at in facts.offered],
        "free": [_iso(at, home) for at in facts.free[:3]],
        "phone_said": facts.phone_said,
        "home": home.key,
        "zone": facts.zone.key,
        "hours": hours,
    }


def decide(reply: Reply, facts: CallFacts, question: str) -> Decision:
    """Whether the call that a reply asks for may be booked: the customer named this time or agreed to it, it is free, and
    there is a number to call."""
    if "book_call" not in reply.actions:
        return Decision()
    start = _moment(reply.call_at)
    agreed = understanding.commitment(question) == "yes" or reply.commitment == "yes" or facts.phone_said
    if start is not None and start == facts.named and facts.about_call and facts.refusal is not None:
        return Decision(refusal=facts.refusal, alternatives=[facts.nearest] if facts.nearest else [])
    named = start is not None and start == facts.bookable and facts.about_call
    accepted = start is not None and start in facts.offered and agreed
    if start is None or not (named or accepted):
        return Decision(alternatives=[at for at in (facts.bookable, *facts.offered, *facts.free[:2]) if at][:2])
    if facts.phone is None:
        return Decision(alternatives=[start], needs_phone=True)
    return Decision(start=start)


#: Where one time of a reply ends and another may begin: at sentences, else at commas and colons.
_BORDERS = (re.compile(r"(?<=[.!?;])\s+|\n"), re.compile(r"(?<=[.!?;,:])\s+|\n"))


def offers(reply: str, facts: CallFacts, now: datetime) -> list[datetime]:
    """The free times that a reply proposes: what a later “yes” agrees to."""
    known = {*facts.free, facts.nearest, facts.bookable, *facts.offered}
    for border in _BORDERS:
        said = [time_phrases.parse(piece, now, facts.zone).start for piece in border.split(reply)]
        if found := [at for at in said if at is not None and at in known]:
            return list(dict.fromkeys(found))
    # Until the number is known, the time that the customer named stays on the table.
    return [facts.bookable] if facts.bookable and facts.phone is None and facts.about_call else []


def _moment(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo is not None else None


def _iso(at: datetime, home: ZoneInfo) -> str:
    return at.astimezone(home).isoformat(timespec="minutes")


def _name(user: Any) -> str:
    return str(user.get_full_name() or user.get_username())
