"""When people work: hours by weekday, public holidays and officially moved days, in the zone of the company."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from types import MappingProxyType
from zoneinfo import ZoneInfo

import holidays

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
COUNTRIES = ("KZ", "RU")
HORIZON_DAYS = 366

ENGLISH = "en_US"


class NeverOpen(Exception):
    """No opening within the next 366 days: no weekday has hours, or every one of them is a day off."""


@dataclass(frozen=True, slots=True)
class _Year:
    """One calendar year of a country: its days off by name, and the days of rest that became working days."""

    days_off: Mapping[date, str]
    working: frozenset[date]


@dataclass(frozen=True, slots=True)
class WorkingTime:
    """When people work.

    `hours` is by weekday (`{"mon": ["10:00", "18:00"], …}`, local time; a missing day is a day off), `country` says
    whose public holidays count ("KZ", "RU", or "" for none; ValueError for any other). Instants come in aware (ValueError
    when naive) and go out in UTC, because datetimes of one zone are compared by their clocks and clocks go back in autumn.
    A clock time that a change of clocks skips counts as long after the change as it was after it began; one that comes
    twice is the first.
    """

    hours: Mapping[str, Sequence[str]]
    zone: ZoneInfo
    country: str

    def __post_init__(self) -> None:
        if self.country and self.country not in COUNTRIES:
            raise ValueError(f"No public holidays are known for {self.country!r}.")

    def is_working_day(self, day: date) -> bool:
        """Whether people work on this local day at all."""
        return self._hours_of(day) is not None

    def is_open(self, at: datetime) -> bool:
        """Whether `at` is in working hours: not before opening, and before closing time."""
        now = _utc(at)
        return any(opening <= now for opening, _closing in self._shifts(now, days=1))

    def next_open(self, at: datetime) -> datetime:
        """`at` itself when it is in working hours, else the next opening (UTC). Raises NeverOpen."""
        now = _utc(at)
        for opening, _closing in self._shifts(now, days=HORIZON_DAYS):
            return at if opening <= now else opening
        raise NeverOpen

    def starts(self, after: datetime, *, minutes: int, limit_days: int = 14) -> Iterator[datetime]:
        """When something `minutes` long may begin (UTC), in order, strictly after `after` and at most `limit_days` later.

        Starts lie on a grid of `minutes` from opening, and the whole length fits before closing time.
        """
        if minutes <= 0:
            raise ValueError("A grid needs at least one minute.")
        return self._grid(_utc(after), timedelta(minutes=minutes), limit_days)

    def holiday_name(self, day: date, language: str) -> str:
        """What the country calls this day off ("" when it is none), in `language` ("ru", "kk", "en") or else English."""
        return _year(self.country, day.year, language[:2]).days_off.get(day, "") if self.country else ""

    def _grid(self, after: datetime, length: timedelta, limit_days: int) -> Iterator[datetime]:
        until = after + timedelta(days=limit_days)
        for opening, closing in self._shifts(after, days=limit_days):
            start = opening
            if start <= after:
                start += ((after - start) // length + 1) * length
            while start + length <= closing:
                if start > until:
                    return
                yield start
                start += length

    def _shifts(self, after: datetime, *, days: int) -> Iterator[tuple[datetime, datetime]]:
        """Opening and closing (UTC) of the working days that are not over at `after`, up to `days` days ahead."""
        today = after.astimezone(self.zone).date()
        # Where clocks go back over midnight, yesterday's hours may not be over when its date is.
        for ahead in range(-1, days + 1):
            day = today + timedelta(days=ahead)
            hours = self._hours_of(day)
            if hours is None:
                continue
            opening, closing = (self._instant(day, clock) for clock in hours)
            # A zone may skip a whole day; its hours would otherwise be those of the day after.
            if opening.astimezone(self.zone).date() == day and opening < closing and closing > after:
                yield opening, closing

    def _instant(self, day: date, clock: time) -> datetime:
        return datetime.combine(day, clock, tzinfo=self.zone).astimezone(UTC)

    def _hours_of(self, day: date) -> tuple[time, time] | None:
        year = _year(self.country, day.year) if self.country else _NO_HOLIDAYS
        if day in year.working:
            # A day that works in place of a weekday has the hours of one.
            weekday = next((name for name in WEEKDAYS if self.hours.get(name)), "")
        elif day in year.days_off:
            return None
        else:
            weekday = WEEKDAYS[day.weekday()]
        hours = self.hours.get(weekday)
        if not hours:
            return None
        opening, closing = hours
        return time.fromisoformat(opening), time.fromisoformat(closing)


_NO_HOLIDAYS = _Year(MappingProxyType({}), frozenset())


@lru_cache(maxsize=128)
def _year(country: str, year: int, language: str = "en") -> _Year:
    """A year of a country; one that the library does not know has neither days off nor moved days."""
    known = holidays.country_holidays(country).supported_languages
    # A working day at the end of a year may stand for a day off of the next one, which alone knows about it.
    calendar = holidays.country_holidays(country, years=(year, year + 1), language=language if language in known else ENGLISH)
    working = frozenset(day for day in calendar.weekend_workdays if day.year == year)
    return _Year({day: name for day, name in calendar.items() if day.year == year and day not in working}, working)


def _utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError("An instant needs a time zone.")
    return at.astimezone(UTC)
