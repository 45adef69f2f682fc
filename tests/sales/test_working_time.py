"""When people work: holidays and moved days of Kazakhstan and Russia, clocks that change, and what can be started."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sales.models import WEEKDAYS as WEEKDAYS_OF_MODELS
from sales.working_time import WEEKDAYS, NeverOpen, WorkingTime

ALMATY = ZoneInfo("Asia/Almaty")
MOSCOW = ZoneInfo("Europe/Moscow")
BERLIN = ZoneInfo("Europe/Berlin")
OFFICE = {day: ["10:00", "18:00"] for day in WEEKDAYS[:5]}
ALWAYS = {day: ["00:00", "23:59"] for day in WEEKDAYS}

KAZAKHSTAN = WorkingTime(OFFICE, ALMATY, "KZ")
RUSSIA = WorkingTime(OFFICE, MOSCOW, "RU")
NO_HOLIDAYS = WorkingTime(OFFICE, BERLIN, "")


def berlin(*at: int) -> datetime:
    return datetime(*at, tzinfo=BERLIN)  # type: ignore[arg-type, misc]


def test_weekdays_are_those_of_the_model() -> None:
    assert tuple(WEEKDAYS_OF_MODELS) == WEEKDAYS


@pytest.mark.parametrize(
    ("day", "works"),
    [
        ("2025-01-01", False),  # New Year
        ("2025-01-03", False),  # moved day off, a Friday
        ("2025-01-05", True),  # and the Sunday that works for it
        ("2025-01-06", True),
        ("2025-01-07", False),  # Orthodox Christmas
        ("2025-03-10", False),  # 8 March fell on a Saturday
        ("2025-03-21", False),
        ("2025-03-24", False),
        ("2025-03-26", True),
        ("2025-05-08", True),
        ("2025-05-09", False),
        ("2025-06-06", False),  # Eid al-Adha
        ("2025-06-12", True),  # a holiday of Russia
        ("2025-10-27", False),
        ("2025-12-16", False),
        ("2025-12-31", True),
        ("2026-03-23", False),
        ("2026-05-11", False),
        ("2026-05-27", False),
        ("2026-07-06", False),
        ("2027-01-04", False),
        ("2027-03-22", False),
        ("2027-05-10", False),
        ("2027-02-20", False),  # a Saturday; works in Russia
    ],
)
def test_days_of_kazakhstan(day: str, works: bool) -> None:
    assert KAZAKHSTAN.is_working_day(date.fromisoformat(day)) is works


@pytest.mark.parametrize(
    ("day", "works"),
    [
        ("2024-12-28", True),  # works for 30 December
        ("2025-01-08", False),
        ("2025-01-09", True),
        ("2025-05-02", False),
        ("2025-05-08", False),
        ("2025-06-13", False),
        ("2025-11-01", True),  # a Saturday that works for Monday
        ("2025-11-03", False),
        ("2025-11-04", False),
        ("2025-11-08", False),
        ("2025-12-16", True),  # a holiday of Kazakhstan
        ("2025-12-31", False),
        ("2026-01-09", False),
        ("2026-03-09", False),
        ("2026-05-11", False),
        ("2026-12-31", False),
        ("2027-02-20", True),
        ("2027-02-22", False),
        ("2027-06-14", False),
        ("2027-11-05", False),
    ],
)
def test_days_of_russia(day: str, works: bool) -> None:
    assert RUSSIA.is_working_day(date.fromisoformat(day)) is works


def test_no_country_has_no_holidays() -> None:
    assert NO_HOLIDAYS.is_working_day(date(2025, 1, 1))
    assert not NO_HOLIDAYS.is_working_day(date(2025, 11, 1))
    assert NO_HOLIDAYS.holiday_name(date(2025, 1, 1), "en") == ""


def test_another_country_is_refused() -> None:
    with pytest.raises(ValueError, match="public holidays"):
        WorkingTime(OFFICE, BERLIN, "DE")


def test_a_moved_saturday_has_the_hours_of_monday() -> None:
    hours = {**OFFICE, "mon": ["09:00", "12:00"], "sat": ["14:00", "15:00"]}
    russia = WorkingTime(hours, MOSCOW, "RU")
    assert russia.is_open(datetime(2025, 11, 1, 9, 0, tzinfo=MOSCOW))
    assert not russia.is_open(datetime(2025, 11, 1, 14, 30, tzinfo=MOSCOW))
    assert russia.is_open(datetime(2025, 11, 8, 14, 30, tzinfo=MOSCOW))


def test_a_moved_saturday_without_a_monday_has_the_first_hours_there_are() -> None:
    russia = WorkingTime({"wed": ["11:00", "13:00"]}, MOSCOW, "RU")
    assert russia.is_open(datetime(2025, 11, 1, 11, 0, tzinfo=MOSCOW))
    assert not WorkingTime({}, MOSCOW, "RU").is_working_day(date(2025, 11, 1))


@pytest.mark.parametrize("year", [1, 1980, 2101, 9999])
@pytest.mark.parametrize("country", ["KZ", "RU"])
def test_a_year_that_the_library_does_not_know_has_no_holidays(year: int, country: str) -> None:
    working = WorkingTime(OFFICE, ALMATY, country)
    day = date(year, 1, 1)
    assert working.is_working_day(day) is (day.weekday() < 5)
    assert working.holiday_name(day, "ru") == ""


@pytest.mark.parametrize(
    ("working", "day", "language", "name"),
    [
        (RUSSIA, "2025-05-09", "ru", "День Победы"),
        (RUSSIA, "2025-05-09", "en", "Victory Day"),
        (RUSSIA, "2025-05-09", "kk", "Victory Day"),
        (KAZAKHSTAN, "2025-05-09", "kk", "Жеңіс күні"),
        (KAZAKHSTAN, "2025-05-09", "kk-kz", "Жеңіс күні"),
        (KAZAKHSTAN, "2025-05-09", "en", "Victory Day"),
        (KAZAKHSTAN, "2025-05-09", "ru", "Victory Day"),
        (KAZAKHSTAN, "2025-05-12", "kk", ""),
        (KAZAKHSTAN, "2025-01-05", "en", ""),
    ],
)
def test_names_of_holidays(working: WorkingTime, day: str, language: str, name: str) -> None:
    assert working.holiday_name(date.fromisoformat(day), language) == name


@pytest.mark.parametrize(
    ("clock", "opened"),
    [
        ((9, 59, 59), False),
        ((10, 0, 0), True),
        ((17, 45, 0), True),
        ((17, 59, 59), True),
        ((18, 0, 0), False),
        ((0, 0, 0), False),
    ],
)
def test_open_from_opening_until_before_closing(clock: tuple[int, int, int], opened: bool) -> None:
    at = datetime(2025, 9, 16, *clock, tzinfo=ALMATY)
    assert KAZAKHSTAN.is_open(at) is opened
    assert KAZAKHSTAN.is_open(at.astimezone(UTC)) is opened


def test_midnight_belongs_to_the_day_that_begins() -> None:
    night = WorkingTime({"tue": ["00:00", "08:00"], "mon": ["20:00", "23:59"]}, ALMATY, "")
    assert night.is_open(datetime(2025, 9, 16, 0, 0, tzinfo=ALMATY))
    assert not night.is_open(datetime(2025, 9, 15, 0, 0, tzinfo=ALMATY))
    assert night.is_open(datetime(2025, 9, 15, 23, 58, tzinfo=ALMATY))
    assert not night.is_open(datetime(2025, 9, 15, 23, 59, tzinfo=ALMATY))


@pytest.mark.parametrize(
    ("at", "opening"),
    [
        ("2025-09-16T09:00", "2025-09-16T10:00"),
        ("2025-09-16T18:00", "2025-09-17T10:00"),
        ("2025-09-19T18:00", "2025-09-22T10:00"),  # over a weekend
        ("2025-03-20T19:00", "2025-03-26T10:00"),  # over Nauryz
        ("2024-12-31T18:00", "2025-01-05T10:00"),  # to a Sunday that works
    ],
)
def test_next_opening(at: str, opening: str) -> None:
    here = datetime.fromisoformat(at).replace(tzinfo=ALMATY)
    assert KAZAKHSTAN.next_open(here) == datetime.fromisoformat(opening).replace(tzinfo=ALMATY)


def test_next_opening_is_now_when_open() -> None:
    at = datetime(2025, 9, 16, 12, 30, 5, tzinfo=ALMATY)
    assert KAZAKHSTAN.next_open(at) is at


def test_never_open() -> None:
    with pytest.raises(NeverOpen):
        WorkingTime({}, ALMATY, "KZ").next_open(datetime(2025, 9, 16, tzinfo=UTC))
    assert list(WorkingTime({}, ALMATY, "KZ").starts(datetime(2025, 9, 16, tzinfo=UTC), minutes=30)) == []


def test_an_instant_needs_a_zone() -> None:
    for ask in (KAZAKHSTAN.is_open, KAZAKHSTAN.next_open, lambda at: KAZAKHSTAN.starts(at, minutes=30)):
        with pytest.raises(ValueError, match="zone"):
            ask(datetime(2025, 9, 16))


def test_starts_lie_on_the_grid_of_the_day_and_end_before_closing() -> None:
    starts = list(KAZAKHSTAN.starts(datetime(2025, 9, 19, 16, 0, tzinfo=ALMATY), minutes=45, limit_days=4))
    shown = [start.astimezone(ALMATY).strftime("%a %H:%M") for start in starts]
    assert shown[:3] == ["Fri 16:45", "Mon 10:00", "Mon 10:45"]
    assert "Mon 16:45" in shown
    assert "Mon 17:30" not in shown


def test_starts_are_strictly_later() -> None:
    after = datetime(2025, 9, 16, 10, 30, tzinfo=ALMATY)
    assert next(KAZAKHSTAN.starts(after, minutes=30)) == after + timedelta(minutes=30)
    assert next(KAZAKHSTAN.starts(after - timedelta(seconds=1), minutes=30)) == after


def test_starts_stop_at_the_limit() -> None:
    after = datetime(2025, 9, 15, 12, 0, tzinfo=ALMATY)
    assert max(KAZAKHSTAN.starts(after, minutes=60, limit_days=1)) == after + timedelta(days=1)


def test_nothing_longer_than_the_day_starts() -> None:
    assert list(KAZAKHSTAN.starts(datetime(2025, 9, 15, tzinfo=ALMATY), minutes=481)) == []
    assert len(list(KAZAKHSTAN.starts(datetime(2025, 9, 15, tzinfo=ALMATY), minutes=480, limit_days=2))) == 2
    with pytest.raises(ValueError, match="minute"):
        KAZAKHSTAN.starts(datetime(2025, 9, 15, tzinfo=ALMATY), minutes=0)


def test_opening_hours_follow_the_clock_of_the_zone() -> None:
    assert NO_HOLIDAYS.next_open(berlin(2025, 3, 28, 18)) == datetime(2025, 3, 31, 8, 0, tzinfo=UTC)
    assert NO_HOLIDAYS.next_open(berlin(2025, 10, 24, 18)) == datetime(2025, 10, 27, 9, 0, tzinfo=UTC)


def test_an_opening_that_the_clock_skips_is_after_the_change() -> None:
    night = WorkingTime({"sun": ["02:30", "05:00"]}, BERLIN, "")
    opening = night.next_open(datetime(2025, 3, 30, 0, 0, tzinfo=UTC))
    assert opening == datetime(2025, 3, 30, 1, 30, tzinfo=UTC)
    assert night.is_open(opening)
    assert len(list(night.starts(datetime(2025, 3, 30, tzinfo=UTC), minutes=30, limit_days=1))) == 3


def test_an_opening_that_comes_twice_is_the_first() -> None:
    night = WorkingTime({"sun": ["02:30", "05:00"]}, BERLIN, "")
    opening = night.next_open(datetime(2025, 10, 26, 0, 0, tzinfo=UTC))
    assert opening == datetime(2025, 10, 26, 0, 30, tzinfo=UTC)
    assert len(list(night.starts(datetime(2025, 10, 26, tzinfo=UTC), minutes=30, limit_days=1))) == 7


def test_a_shift_that_the_clock_skips_whole_is_after_the_change() -> None:
    night = WorkingTime({"sun": ["02:00", "02:59"]}, BERLIN, "")
    assert night.next_open(datetime(2025, 3, 30, 0, 0, tzinfo=UTC)) == datetime(2025, 3, 30, 1, 0, tzinfo=UTC)
    assert not night.is_open(datetime(2025, 3, 30, 1, 59, tzinfo=UTC))


def test_a_day_that_a_zone_skips_has_no_hours() -> None:
    apia = WorkingTime({"fri": ["10:00", "18:00"]}, ZoneInfo("Pacific/Apia"), "")
    opening = apia.next_open(datetime(2011, 12, 29, 12, 0, tzinfo=ZoneInfo("Pacific/Apia")))
    assert opening.astimezone(ZoneInfo("Pacific/Apia")).date() == date(2012, 1, 6)


clocks = st.times().map(lambda time: time.strftime("%H:%M"))
spans = st.tuples(clocks, clocks).filter(lambda span: span[0] < span[1]).map(list)
zones = st.sampled_from(
    [
        "Asia/Almaty",
        "Europe/Moscow",
        "Europe/Berlin",
        "America/New_York",
        "Africa/Cairo",
        "America/Havana",
        "Australia/Lord_Howe",
    ]
)
working_times = st.builds(
    WorkingTime,
    st.dictionaries(st.sampled_from(WEEKDAYS), spans, min_size=1),
    zones.map(ZoneInfo),
    st.sampled_from(["KZ", "RU", ""]),
)
instants = st.datetimes(datetime(2024, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC))


@given(working_times, instants)
def test_next_opening_is_open_and_not_earlier(working: WorkingTime, at: datetime) -> None:
    opening = working.next_open(at)
    assert opening >= at
    assert working.is_open(opening)
    assert (opening == at) is working.is_open(at)
    if opening > at:
        assert not working.is_open(opening - timedelta(seconds=1)) or working.is_open(at)


@given(working_times, instants, st.integers(5, 240), st.integers(1, 20))
def test_starts_are_open_and_increase(working: WorkingTime, after: datetime, minutes: int, limit_days: int) -> None:
    starts = list(working.starts(after, minutes=minutes, limit_days=limit_days))
    assert starts == sorted(set(starts))
    assert all(after < start <= after + timedelta(days=limit_days) for start in starts)
    for start in starts[:20]:
        assert working.is_open(start)
        assert working.is_open(start + timedelta(minutes=minutes) - timedelta(seconds=1))
