"""How fast an unofficial gateway's number may write to people who did not ask: budgets that slow, and never drop.

WhatsApp blocks numbers that write to many strangers, say the same thing to many people, or write at night. What customers
are answered, and what a person sends, is only counted and never waits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from foundation.crypto import blind_index
from foundation.db import execute, rows

from .models import Channel, SendBudget
from .registry import adapter_class

Kind = SendBudget.Kind

#: What has to wait for the next hour or day is spread over so many seconds, lest all of it comes back at once.
SPREAD_SECONDS = 10 * 60
STRIDE = 397
#: Rows of budgets are kept for so long.
KEPT = timedelta(days=3)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a number may send unasked. The channel's option `pacing` overrides single ones; 0 of messages: none at all."""

    new_contacts_per_day: int = 40
    """First messages to people who never wrote to this number."""
    per_hour: int = 30
    same_text_per_day: int = 20
    night_sends_per_day: int = 5
    seconds_between: int = 45
    night_begins: int = 21
    """The hours of the customer's clock between which it is night."""
    night_ends: int = 8

    def of(self, kind: str) -> int:
        return {
            Kind.NEW_CONTACT: self.new_contacts_per_day, Kind.PROACTIVE: self.per_hour,
            Kind.SAME_TEXT: self.same_text_per_day, Kind.NIGHT: self.night_sends_per_day,
        }[Kind(kind)]  # fmt: skip


_MOST = {"seconds_between": 3600, "night_begins": 23, "night_ends": 23}


def read(option: Any) -> Limits:
    """The limits that the option `pacing` asks for. Raises ValidationError."""
    if option is None:
        return Limits()
    names = [field.name for field in fields(Limits)]
    if not isinstance(option, Mapping) or not set(option) <= set(names):
        raise ValidationError({"options": _("pacing may hold: %(names)s.") % {"names": ", ".join(names)}})
    for name, value in option.items():
        most = _MOST.get(name, 100_000)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            told = _("pacing: %(name)s must be a whole number from 0 to %(most)d.") % {"name": name, "most": most}
            raise ValidationError({"options": told})
    return Limits(**option)


def limits(channel: Channel) -> Limits | None:
    """The limits of a channel; None where it needs none."""
    if not adapter_class(channel.kind).capabilities.fragile:
        return None
    try:
        return read((channel.options or {}).get("pacing"))
    except ValidationError:
        # Written past every form: the cautious ones hold.
        return Limits()


@dataclass(frozen=True, slots=True)
class Over:
    """A budget is used up: nothing unasked before `until`."""

    kind: str
    until: datetime


@dataclass(frozen=True, slots=True)
class _Budget:
    kind: str
    starts_at: datetime
    ends_at: datetime
    most: int
    text: str = ""


def take(
    channel: Channel, *, at: datetime, customer_zone: str = "", new_contact: bool = False, key: int = 0, forced: bool = False
) -> Over | None:
    """Count one unasked message against the budgets of its number, or say until when it has to wait.

    `at` is the database's time, `key` spreads what waits. `forced`: a person sends it, so it is counted and not held up.
    To be called in the transaction that makes the message.
    """
    allowed = limits(channel)
    if allowed is None:
        return None
    hour = at.astimezone(channel.zone).replace(minute=0, second=0, microsecond=0)
    budgets = [_Budget(Kind.PROACTIVE, hour, hour + timedelta(hours=1), allowed.per_hour)]
    if new_contact:
        budgets.append(_Budget(Kind.NEW_CONTACT, *_day(channel, at), allowed.new_contacts_per_day))
    if (morning := _morning(allowed, at, ZoneInfo(customer_zone or channel.time_zone))) is not None:
        # Counted by the day of the channel, whatever the customers' clocks say, so that there is one budget for all.
        budgets.append(_Budget(Kind.NIGHT, _day(channel, at)[0], morning, allowed.night_sends_per_day))
    return _take(channel, budgets, at, key, forced=forced, between=timedelta(seconds=allowed.seconds_between))


def take_text(channel: Channel, text: str, *, at: datetime, key: int = 0, forced: bool = False) -> Over | None:
    """As `take`, for the words themselves, once they are known: how often they were said today."""
    allowed = limits(channel)
    if allowed is None:
        return None
    alike = " ".join(text.casefold().split())
    budget = _Budget(Kind.SAME_TEXT, *_day(channel, at), allowed.same_text_per_day, blind_index(alike, "sent text"))
    return _take(channel, [budget], at, key, forced=forced)


def _day(channel: Channel, at: datetime) -> tuple[datetime, datetime]:
    local = at.astimezone(channel.zone)
    return _midnight(local), _midnight(local + timedelta(days=1))


def _midnight(local: datetime) -> datetime:
    return datetime.combine(local.date(), time(), tzinfo=local.tzinfo)


def _morning(allowed: Limits, at: datetime, zone: ZoneInfo) -> datetime | None:
    """When the customer's night is over; None by day."""
    begins, ends, local = allowed.night_begins, allowed.night_ends, at.astimezone(zone)
    dark = begins <= local.hour < ends if begins <= ends else local.hour >= begins or local.hour < ends
    if not dark:
        return None
    morning = local.date() if local.hour < ends else local.date() + timedelta(days=1)
    return datetime.combine(morning, time(ends), tzinfo=zone)


_COUNTED = """
SELECT kind, starts_at, text, count, last_at FROM channels_sendbudget
WHERE channel_id = %(channel)s AND starts_at = ANY(%(starts)s) AND text = ANY(%(texts)s)
"""
_COUNT = """
INSERT INTO channels_sendbudget AS b (channel_id, kind, starts_at, text, count, last_at)
VALUES (%(channel)s, %(kind)s, %(starts)s, %(text)s, 1, %(at)s)
ON CONFLICT (channel_id, starts_at, kind, text) DO UPDATE
SET count = b.count + 1, last_at = greatest(b.last_at, EXCLUDED.last_at)
"""


def _take(
    channel: Channel, budgets: list[_Budget], at: datetime, key: int, *, forced: bool, between: timedelta = timedelta(0)
) -> Over | None:
    with transaction.atomic():
        # One at a time for a number; the lock ends with the caller's transaction, in which the message is made.
        execute("SELECT pg_advisory_xact_lock(hashtextextended('channels.pacing', %(channel)s))", {"channel": channel.pk})
        if not forced and (over := _over(channel, budgets, at, between)) is not None:
            return Over(over.kind, over.until + timedelta(seconds=key * STRIDE % SPREAD_SECONDS))
        for budget in budgets:
            execute(
                _COUNT,
                {"channel": channel.pk, "kind": str(budget.kind), "starts": budget.starts_at, "text": budget.text, "at": at},
            )
    return None


def _over(channel: Channel, budgets: list[_Budget], at: datetime, between: timedelta) -> Over | None:
    """Whichever budget of these keeps a message waiting the longest."""
    found = rows(
        _COUNTED,
        {
            "channel": channel.pk, "starts": [budget.starts_at for budget in budgets],
            "texts": list({budget.text for budget in budgets}),
        },
    )  # fmt: skip
    counted = {(one.kind, one.starts_at, one.text): one for one in found}
    spent = []
    for budget in budgets:
        one = counted.get((str(budget.kind), budget.starts_at, budget.text))
        if (one.count if one else 0) >= budget.most:
            spent.append(Over(budget.kind, budget.ends_at))
        elif between and one is not None and budget.kind == Kind.PROACTIVE and one.last_at + between > at:
            # Without a pause to keep, a scheduler whose transaction began earlier must not wait for one that began later.
            spent.append(Over(budget.kind, one.last_at + between))
    return max(spent, key=lambda over: over.until, default=None)


# ── What managers see ────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Used:
    """How much of a budget is used: `count` of `most`."""

    kind: str
    count: int
    most: int

    @property
    def label(self) -> str:
        return str(Kind(self.kind).label)

    @property
    def words(self) -> str:
        return _("%(what)s: %(count)d of %(most)d") % {"what": self.label, "count": self.count, "most": self.most}

    @property
    def is_spent(self) -> bool:
        return self.count >= self.most


def used(channel: Channel, at: datetime) -> list[Used]:
    """How the budgets of a number stand; nothing for a channel without any. Of repeated texts the one said most often."""
    allowed = limits(channel)
    if allowed is None:
        return []
    hour = at.astimezone(channel.zone).replace(minute=0, second=0, microsecond=0)
    day = _day(channel, at)[0]
    starts = {Kind.NEW_CONTACT: day, Kind.PROACTIVE: hour, Kind.SAME_TEXT: day, Kind.NIGHT: day}
    found: dict[tuple[str, datetime], int] = {}
    for one in SendBudget.objects.filter(channel=channel, starts_at__in=set(starts.values())):
        found[one.kind, one.starts_at] = max(one.count, found.get((one.kind, one.starts_at), 0))
    return [Used(kind, found.get((str(kind), begin), 0), allowed.of(kind)) for kind, begin in starts.items()]


def purge(at: datetime) -> int:
    """Forget the counts of days gone by. Returns how many rows went."""
    return SendBudget.objects.filter(starts_at__lt=at - KEPT).delete()[0]
