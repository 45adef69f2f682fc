"""Understands when a customer wants a call: "послезавтра в полтретьего", "жұма күні сағат үште", "tomorrow at 3pm".

A message becomes tokens (`tokens`), the tokens become spots (`rules`): a day, a clock time, a part of a day, a
zone. Here one time and the day that belongs to it are chosen among them. What is refused ("в 3 не могу") gives way to what
is not, a range counts from its start, of alternatives the first is taken.

Nothing is known here of working hours and holidays. But a bare hour is read as people who arrange business calls mean it:
"в 2" is 14:00, "в 7" is 19:00, "в 9" is 9:00.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from .rules import spots
from .spots import Spot
from .tokens import tokens
from .words import Token


@dataclass(frozen=True, slots=True)
class Said:
    """What a message says of time.

    start: the exact moment, aware, in the zone it was said in, or None; it may be past or at night, the caller judges that.
    day: the day that was named, also without a clock time. zone: the zone the customer named, else None.
    vague: only a part of a day was named ("утром", "после обеда", "до 12").
    """

    start: datetime | None
    day: date | None
    zone: ZoneInfo | None
    vague: bool


_DAYS: Final = ("day", "weekday")
_TIMES: Final = ("time", "ahead")
_LINKS: Final = {
    "at",
    "for",
    "near",
    "comma",
    "dash",
    "filler",
    "the",
    "hour",
    "sagat",
    "dayunit",
    "and",
    "or",
    "by",
    "timeword",
}
_NEW_CLAUSE: Final = {"stop", "comma", "but", "offer"}


class _Reading:
    """One message while it is understood: its tokens, the spots in them, and which clause and sentence each token is of."""

    def __init__(self, row: Sequence[Token], found: Sequence[Spot]) -> None:
        self.row, self.found = row, found
        self.clause: list[int] = []
        self.sentence: list[int] = []
        clause = sentence = 0
        inside = {at for spot in found for at in range(spot.begin, spot.end)}
        for at, token in enumerate(row):
            clause += token.kind in _NEW_CLAUSE and at not in inside
            sentence += token.kind == "stop" and at not in inside
            self.clause.append(clause)
            self.sentence.append(sentence)

    def of(self, *kinds: str, denied: bool = False) -> list[Spot]:
        """The spots of these kinds that were refused, or were not."""
        return [spot for spot in self.found if spot.what in kinds and spot.denied is denied]

    def linked(self, left: Spot, right: Spot, *, across: Iterable[str] = ()) -> bool:
        """Whether nothing but small words and other spots stands between two spots."""
        covered = {at for spot in self.found for at in range(spot.begin, spot.end)}
        return all(
            at in covered or self.row[at].kind in _LINKS or self.row[at].kind in across for at in range(left.end, right.begin)
        )

    def gap(self, one: Spot, other: Spot) -> int:
        """How far apart two spots are, in tokens; another sentence is very far, and what comes after a little farther."""
        left, right = (one, other) if one.begin <= other.begin else (other, one)
        return (
            right.begin
            - left.end
            + 50 * (self.sentence[right.begin] - self.sentence[left.begin])
            + (3 if other is right else 0)
        )

    # --- what is refused ---------------------------------------------------------------------------------------------------
    def deny(self) -> None:
        """Mark the spots that the customer refuses or corrects."""
        covered = {at for spot in self.found for at in range(spot.begin, spot.end)}
        for at, token in enumerate(self.row):
            if at in covered:
                continue
            if token.kind == "not":
                self._deny_right(at, near=True)
            elif token.kind == "cant":
                self._deny_a_time_after(at) or self._deny_left(at) or self._deny_right(at) or self._deny_left(
                    at, across_comma=True
                )
            elif token.kind == "busy":
                self._deny_busy(at)
            elif token.kind == "no":
                self._correct(at, reach=2) or (at > 0 and self._deny_left(at, reach=1))
            elif token.kind == "oops":
                self._correct(at, reach=4)

    def _chain(self, spot: Spot, others: Sequence[Spot]) -> None:
        """Refuse a spot and those that stand with it in its clause ("завтра в 11 не могу")."""
        spot.denied = True
        for other in others:
            if other.what == spot.what or not self._beside(spot, other):
                return
            other.denied, spot = True, other

    def _beside(self, one: Spot, other: Spot) -> bool:
        left, right = (one, other) if one.begin <= other.begin else (other, one)
        return self.clause[left.begin] == self.clause[right.begin] and self.linked(left, right)

    def _deny_left(self, at: int, *, reach: int = 99, across_comma: bool = False) -> bool:
        where = self.sentence if across_comma else self.clause
        left = [spot for spot in self.found if spot.end <= at and spot.what != "zone" and where[spot.begin] == where[at]]
        if not left or at - left[-1].end > reach:
            return False
        self._chain(left[-1], left[-2::-1])
        return True

    def _deny_right(self, at: int, *, near: bool = False) -> bool:
        right = [
            spot
            for spot in self.found
            if spot.begin > at and spot.what != "zone" and self.clause[spot.begin] == self.clause[at]
        ]
        if not right or (near and any(token.kind not in _LINKS for token in self.row[at + 1 : right[0].begin])):
            return False
        self._chain(right[0], right[1:])
        return True

    def _deny_a_time_after(self, at: int) -> bool:
        """ "завтра не смогу в 15": the time is refused, not the day."""
        clause = [spot for spot in self.found if self.clause[spot.begin] == self.clause[at] and spot.what in (*_TIMES, *_DAYS)]
        left, right = [spot for spot in clause if spot.end <= at], [spot for spot in clause if spot.begin > at]
        if not left or left[-1].what in _TIMES or [spot.what for spot in right] != ["time"]:
            return False
        right[0].denied = True
        return True

    def _deny_busy(self, at: int) -> None:
        """ "завтра у меня встреча в 11": the time is taken, the day is not refused."""
        times = [spot for spot in self.found if spot.what == "time" and self.clause[spot.begin] == self.clause[at]]
        if times:
            min(times, key=lambda spot: abs(spot.begin - at)).denied = True

    def _correct(self, at: int, *, reach: int) -> bool:
        """ "в 11, ой, в 12": what stands before is taken back where the same follows."""
        left = [spot for spot in self.found if spot.end <= at and at - spot.end <= reach]
        right = [spot for spot in self.found if spot.begin > at and spot.begin - at <= reach + 2]
        same = {spot.what for spot in right}
        taken = [spot for spot in left[-2:] if spot.what in same or (spot.what in _DAYS and same & set(_DAYS))]
        for spot in taken:
            spot.denied = True
        return bool(taken)

    # --- what is chosen ----------------------------------------------------------------------------------------------------
    def wanted(self) -> Spot | None:
        """The clock time, or the while from now, that is wanted."""
        points = self.of("time") or self.of("ahead")
        if not points:
            refused = self.of(*_TIMES, denied=True)
            points = refused if len(refused) == 1 else []
        dated = {self.clause[spot.begin] for spot in self.of(*_DAYS)}
        first_day = min((spot.begin for spot in self.of(*_DAYS)), default=0)
        aside = {spot.begin for spot in points if spot.begin < first_day and self.clause[spot.begin] not in dated}
        if len(aside) == len(points) or not any(self.clause[spot.begin] in dated for spot in points):
            aside = set()
        return min(points, key=lambda spot: (spot.begin in aside, -spot.weight, spot.begin), default=None)

    def day_for(self, point: Spot | None, today: date) -> Spot | None:
        """The day that belongs to a time; without a time, the first day that is named."""
        days = self.of(*_DAYS) or [
            spot
            for spot in self.of(*_DAYS, denied=True)
            if point is None or any(self._with_day(spot, other) for other in self.of("time", denied=True))
        ]
        days = [spot for spot in days if spot.what == "weekday" or spot.day >= today] or days
        if not days:
            return None
        best = min(days, key=lambda spot: self.gap(point, spot) if point else spot.begin)
        while (earlier := self._alternative(best, days)) is not None:
            best = earlier
        beside = [spot for spot in days if spot is not best and self._same_day(spot, best)]
        return min([best, *beside], key=self._rank)

    def _with_day(self, day: Spot, point: Spot) -> bool:
        return self._beside(day, point)

    def _alternative(self, spot: Spot, days: Sequence[Spot]) -> Spot | None:
        """The day before in "в четверг или пятницу", "понедельник-вторник"."""
        for other in days:
            between = {token.kind for token in self.row[other.end : spot.begin]}
            weekdays = other.what == spot.what == "weekday" and other.number != spot.number
            if (
                other.end <= spot.begin
                and between <= {"or", "at", "for", "comma", "near", "dash"}
                and ("or" in between or weekdays)
            ):
                return other
        return None

    def _same_day(self, one: Spot, other: Spot) -> bool:
        """Whether two spots name one day together: "в пятницу, 27 ноября", "завтра (суббота)"."""
        left, right = (one, other) if one.begin <= other.begin else (other, one)
        between = {token.kind for token in self.row[left.end : right.begin]}
        week = left.weight == 2 or right.weight == 2
        return between <= {"at", "for", "comma", "dash", "this", "by", "dayunit", "filler", "mark"} or (
            week and self.sentence[left.begin] == self.sentence[right.begin]
        )

    @staticmethod
    def _rank(spot: Spot) -> int:
        """A date says more than "tomorrow", that more than a weekday, that more than "in a week"."""
        return 3 if spot.what == "weekday" else {4: 1, 3: 2}.get(spot.weight, 4)

    def weeks_for(self, weekday: Spot) -> int | None:
        """How many calendar weeks ahead a weekday is meant; None: the nearest."""
        if weekday.weeks:
            return weekday.weeks
        for spot in self.found:
            in_weeks = spot.what == "week" or (spot.what == "day" and spot.weight == 2)
            if in_weeks and not spot.denied and spot.weeks and self.sentence[spot.begin] == self.sentence[weekday.begin]:
                return spot.weeks
        return None

    def part_for(self, point: Spot) -> str:
        """The part of the day said with a time, or beside it."""
        if point.part:
            return point.part
        for spot in self.of("part"):
            left, right = (spot, point) if spot.begin <= point.begin else (point, spot)
            if self.linked(left, right) and self.sentence[left.begin] == self.sentence[right.begin]:
                return f"{spot.part}, loosely"
        return ""

    def zone(self) -> ZoneInfo | None:
        """The zone that was named: surely ("мск"), or as a city close to a time ("в 12 по Москве"); of two, the nearer one."""
        point = self.wanted()
        anchors = [point] if point else self.of(*_DAYS)
        near = [spot for spot in self.of("zone") if spot.weight == 3 or any(self.gap(anchor, spot) <= 7 for anchor in anchors)]
        nearest = min(near, key=lambda spot: self.gap(point, spot) if point else 0, default=None)
        return ZoneInfo(nearest.zone) if nearest else None


def _hour(hour: int, literal: bool, part: str) -> int:
    """The hour of the day, 0 to 24, that a spoken hour means; 24 is the midnight that ends the day."""
    if literal:
        return hour
    match part:
        case "am":
            return hour % 12
        case "pm" | "evening" if hour < 12:
            return hour + 12
        case "evening" | "night" if hour == 12:
            return 24
        case "night" if hour >= 10:
            return hour + 12
        case "morning" | "night":
            return hour
        case _:
            return hour + 12 if 1 <= hour <= 7 else hour


def _moment(point: Spot, part: str, day: date, zone: ZoneInfo) -> datetime:
    hour, minute = point.clock
    hour = _hour(hour, point.literal, part)
    return datetime.combine(day + timedelta(days=hour // 24), time(hour % 24, minute), tzinfo=zone)


def _calendar_day(reading: _Reading, spot: Spot, now: datetime, clock: time | None) -> date:
    """The date of a day spot; a weekday is the nearest one whose time is still ahead."""
    if spot.what == "day":
        return spot.day
    today = now.date()
    weeks = reading.weeks_for(spot)
    if weeks is not None:
        return today - timedelta(days=today.weekday()) + timedelta(days=7 * weeks + spot.number)
    day = today + timedelta(days=(spot.number - today.weekday()) % 7)
    return day + timedelta(days=7) if day == today and clock is not None and clock <= now.time() else day


def _start(reading: _Reading, point: Spot, day: Spot | None, now: datetime, zone: ZoneInfo) -> datetime | None:
    """The moment of a time and its day, or None where the day is not exact."""
    if point.what == "ahead":
        return (now + point.span).replace(second=0, microsecond=0)
    if day is None:
        inexact = [
            spot for spot in reading.of("someday", "week") if reading.sentence[spot.begin] == reading.sentence[point.begin]
        ]
        if inexact or reading.of(*_DAYS, denied=True):
            return None
        return _moment(point, _part(reading, point), now.date(), zone)
    part = _part(reading, point)
    clock = _moment(point, part, now.date(), zone).time()
    return _moment(point, part, _calendar_day(reading, day, now, clock), zone)


def _part(reading: _Reading, point: Spot) -> str:
    """The part of the day that tells how to read an hour; "утром в 3" cannot mean the night."""
    part, _comma, loosely = reading.part_for(point).partition(",")
    return "" if loosely and part in ("morning", "night") and 1 <= point.clock[0] <= 6 else part


def _understood(row: Sequence[Token], now: datetime) -> _Reading:
    reading = _Reading(row, list(spots(row, now)))
    reading.deny()
    return reading


def parse(text: str, now: datetime, zone: ZoneInfo) -> Said:
    """When a message asks for a call; `now` is aware, `zone` is the customer's where the message names none."""
    row = tokens(text)
    local = now.astimezone(zone)
    reading = _understood(row, local)
    named = reading.zone()
    if named is not None:
        zone, local = named, now.astimezone(named)
        reading = _understood(row, local)
    point = reading.wanted()
    day = reading.day_for(point, local.date())
    start = _start(reading, point, day, local, zone) if point is not None else None
    if start is not None:
        return Said(start, start.date(), named, vague=False)
    named_day = _calendar_day(reading, day, local, None) if day is not None else None
    return Said(None, named_day, named, vague=bool(reading.of("part", "bound")))
