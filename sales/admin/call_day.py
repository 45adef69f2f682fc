"""One day of calls as managers see it: a column for each of them, with calls, free gaps, and what is still to be marked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import timezone
from django.utils.translation import get_language

from channels.owners import visible_channels

from ..assistants import managers, working_time
from ..call_slots import LONGEST
from ..call_texts import manager_name
from ..models import Assistant, ScheduledCall
from ..owners import own_or_shared, visible_calls
from ..working_time import WorkingTime

#: Shorter pauses between calls are no gaps.
SHORTEST_GAP = timedelta(minutes=5)
#: An hour is drawn so high that the shortest call of the day has room for two lines.
LINES_PX = 54
HOUR_PX = range(64, 420)
#: Calls of earlier days that nobody marked, at most so many; when these are done, older ones come up.
UNMARKED_SHOWN = 20

Status = ScheduledCall.Status
Span = tuple[datetime, datetime]


@dataclass
class Block:
    """Something drawn in a column: a call (None: a call that is not the reader's business) or, with `gap`, free time."""

    begins: datetime
    ends: datetime
    top: int
    height: int
    call: ScheduledCall | None = None
    gap: bool = False
    to_mark: bool = False
    chat: bool = False
    """Whether the reader may open the conversation."""
    lane: int = 0
    lanes: int = 1
    """Calls that overlap (one done early, one agreed since) stand side by side."""


@dataclass
class Column:
    """A manager's day."""

    name: str
    blocks: list[Block] = field(default_factory=list)
    day_off: bool = False
    holiday: str = ""
    calls: int = 0


@dataclass
class Day:
    """Everything on the page of a day. Times are local to `zone`."""

    day: date
    zone: ZoneInfo
    columns: list[Column]
    hours: list[tuple[str, int]]
    """Labels of the axis with their place, in minutes from its start."""
    minutes: int
    hour_px: int
    now_at: int | None
    cancelled: list[ScheduledCall]
    unmarked: list[ScheduledCall]
    """Calls of earlier days that nobody marked: on the page of today."""


def zone_of(user: Any) -> ZoneInfo:
    """In which zone a person reads the day: that of their assistants where it is one, else that of the installation."""
    zones = set(own_or_shared(Assistant.objects.all(), user).order_by().values_list("time_zone", flat=True))
    return ZoneInfo(zones.pop() if len(zones) == 1 else timezone.get_default_timezone_name())


def build(user: Any, day: date, zone: ZoneInfo, now: datetime) -> Day:
    """The day as this person may see it."""
    since, until = _midnight(day, zone), _midnight(day + timedelta(days=1), zone)
    details = visible_calls(ScheduledCall.objects.select_related("contact", "manager", "conversation", "assistant"), user)
    own = list(details.filter(starts_at__gte=since, starts_at__lt=until).order_by("starts_at", "pk"))
    roster = _roster(user, own, since)
    foreign = ScheduledCall.objects.filter(
        manager__in=roster.names, status=Status.SCHEDULED, starts_at__lt=until, ends_at__gt=since,
        starts_at__gt=since - LONGEST,
    ).exclude(pk__in=[call.pk for call in own])
    drawn = [*(call for call in own if call.status != Status.CANCELLED), *foreign]
    first, last = _axis(since, [*roster.shifts.values(), *((call.starts_at, call.ends_at) for call in drawn)], zone)
    sheet = _Sheet(first, now, {call.pk for call in own}, set(visible_channels(user).values_list("pk", flat=True)))
    unmarked = details.filter(status=Status.SCHEDULED, ends_at__lte=now, starts_at__lt=since).order_by("-starts_at")
    minutes = _minutes(last - first)
    return Day(
        day=day,
        zone=zone,
        columns=[_column(roster, manager_id, [c for c in drawn if c.manager_id == manager_id], day, sheet)
                 for manager_id in sorted(roster.names, key=lambda pk: (roster.names[pk], pk))],
        minutes=minutes,
        hours=[((first + timedelta(minutes=at)).astimezone(zone).strftime("%H:%M"), at) for at in range(0, minutes + 1, 60)],
        hour_px=_hour_px(drawn),
        now_at=_minutes(now - first) if first <= now <= last else None,
        cancelled=[call for call in own if call.status == Status.CANCELLED],
        unmarked=list(unmarked[:UNMARKED_SHOWN]) if since <= now < until else [],
    )  # fmt: skip


@dataclass(frozen=True)
class _Roster:
    """Who has a column, by id: names, working hours of the day (none: a day off), and when they work in general."""

    names: dict[int, str] = field(default_factory=dict)
    shifts: dict[int, Span] = field(default_factory=dict)
    hours: dict[int, WorkingTime] = field(default_factory=dict)


@dataclass(frozen=True)
class _Sheet:
    """What every block needs to be drawn: where the axis begins, the time, and what the reader may see."""

    first: datetime
    now: datetime
    calls: set[int]
    channels: set[int]


def _roster(user: Any, calls: Iterable[ScheduledCall], since: datetime) -> _Roster:
    roster = _Roster()
    for assistant in own_or_shared(Assistant.objects.all(), user).select_related("owner"):
        hours = working_time(assistant)
        shift = _shift(hours, since)
        for manager_id, name in managers(assistant).items():
            roster.names.setdefault(manager_id, name)
            roster.hours.setdefault(manager_id, hours)
            if shift is not None:
                known = roster.shifts.get(manager_id, shift)
                roster.shifts[manager_id] = min(known[0], shift[0]), max(known[1], shift[1])
    for call in calls:
        roster.names.setdefault(call.manager_id, manager_name(call))
    return roster


def _column(roster: _Roster, manager_id: int, calls: Sequence[ScheduledCall], day: date, sheet: _Sheet) -> Column:
    blocks = [_block(call, sheet) for call in calls]
    hours, shift = roster.hours.get(manager_id), roster.shifts.get(manager_id)
    _lay_out(blocks)
    gaps = _gaps(shift, blocks, sheet) if shift is not None else []
    return Column(
        name=roster.names[manager_id],
        blocks=sorted([*blocks, *gaps], key=lambda block: block.begins),
        day_off=hours is not None and shift is None,
        holiday=hours.holiday_name(day, get_language() or "en") if hours is not None and shift is None else "",
        calls=len(blocks),
    )


def _shift(hours: WorkingTime, since: datetime) -> Span | None:
    """Opening and closing on the day that begins at `since`."""
    day = since.astimezone(hours.zone).date()
    minutes = [
        start
        for start in hours.starts(since - timedelta(microseconds=1), minutes=1, limit_days=1)
        if start.astimezone(hours.zone).date() == day
    ]
    return (minutes[0], minutes[-1] + timedelta(minutes=1)) if minutes else None


def _axis(since: datetime, spans: Sequence[Span], zone: ZoneInfo) -> Span:
    """From the full hour before the first thing of the day to the one after the last; 10 to 18 o'clock on an empty day."""
    until = since + timedelta(days=1)
    begins = min((begin for begin, _end in spans), default=since + timedelta(hours=10))
    ends = max((end for _begin, end in spans), default=since + timedelta(hours=18))
    first = max(begins, since).astimezone(zone).replace(minute=0, second=0, microsecond=0)
    last = min(ends, until).astimezone(zone)
    whole = last.replace(minute=0, second=0, microsecond=0)
    return first.astimezone(UTC), (whole if whole == last else whole + timedelta(hours=1)).astimezone(UTC)


def _block(call: ScheduledCall, sheet: _Sheet) -> Block:
    begins, known = max(call.starts_at, sheet.first), call.pk in sheet.calls
    return Block(
        begins=call.starts_at,
        ends=call.ends_at,
        top=_minutes(begins - sheet.first),
        height=_minutes(call.ends_at - begins),
        call=call if known else None,
        to_mark=known and call.status == Status.SCHEDULED and call.ends_at <= sheet.now,
        chat=known and call.conversation is not None and call.conversation.channel_id in sheet.channels,
    )


def _gaps(shift: Span, taken: Iterable[Block], sheet: _Sheet) -> list[Block]:
    """Working time to come in which the manager has no call."""
    gaps: list[Block] = []
    free_from = max(shift[0], sheet.now.replace(second=0, microsecond=0))
    scheduled = [block for block in taken if block.call is None or block.call.status == Status.SCHEDULED]
    for begins, ends in [*sorted((block.begins, block.ends) for block in scheduled), (shift[1], shift[1])]:
        until = min(begins, shift[1])
        if until - free_from >= SHORTEST_GAP:
            top = _minutes(free_from - sheet.first)
            gaps.append(Block(free_from, until, top, _minutes(until - free_from), gap=True))
        free_from = max(free_from, ends)
    return gaps


def _lay_out(blocks: Sequence[Block]) -> None:
    """Give the blocks of each group that overlaps their places beside each other."""
    group: list[Block] = []
    for block in sorted(blocks, key=lambda block: block.begins):
        if group and block.begins >= max(other.ends for other in group):
            group = []
        taken = {other.lane for other in group if other.ends > block.begins}
        block.lane = next(lane for lane in range(len(group) + 1) if lane not in taken)
        group.append(block)
        for other in group:
            other.lanes = max(one.lane for one in group) + 1


def _hour_px(calls: Iterable[ScheduledCall]) -> int:
    shortest = min((call.ends_at - call.starts_at for call in calls), default=timedelta(hours=1))
    return max(HOUR_PX.start, min(HOUR_PX.stop, LINES_PX * 60 // max(_minutes(shortest), 1)))


def _minutes(span: timedelta) -> int:
    return int(span.total_seconds()) // 60


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)
