"""What a stretch of tokens says of time: a day, a clock time, a while from now, a part of a day, a zone.

Each public function reads what a rule of `rules` matched and answers with a `Spot`, or with None where the words mean
something else ("3 дня", "в 15 городах"); then the next rule is tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final, Literal

import dateparser
from dateutil.relativedelta import relativedelta

from .words import Token

What = Literal["time", "ahead", "bound", "day", "weekday", "week", "someday", "part", "zone"]


@dataclass(slots=True)
class Spot:
    """A stretch of tokens (`begin` to `end`) that says something of time; only the fields its `what` needs are set.

    time: `clock`, `literal` (a 24-hour reading), `part` said with it — ahead: `span` from now — day: `day` — weekday: `number`
    (Monday 0), `weeks` — week: `weeks` from this one — part: `part` — zone: `zone`. `bound` is a side of a moment ("до 12"),
    `someday` no exact day ("на выходных"). weight: how surely and how exactly it is meant. denied: "в 3 не могу".
    """

    what: What
    weight: int = 3
    clock: tuple[int, int] = (0, 0)
    literal: bool = False
    part: str = ""
    span: timedelta = timedelta()
    day: date = date.min
    number: int = 0
    weeks: int = 0
    zone: str = ""
    begin: int = 0
    end: int = 0
    denied: bool = False


@dataclass(slots=True)
class Hit:
    """Tokens a rule matched, by group name; the whole row; and the moment, in the zone the words are said in."""

    row: Sequence[Token]
    begin: int
    end: int
    now: datetime
    named: dict[str, Token] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Token | None:
        return self.named.get(name)

    def number(self, name: str, default: float = 0) -> float:
        """The number a group stands for."""
        token = self.named.get(name)
        return float(token.value) if token is not None and isinstance(token.value, (int, float)) else default

    def after(self, step: int = 0) -> Token:
        """The token after the match."""
        return self.row[self.end + step] if self.end + step < len(self.row) else _END

    def before(self, step: int = 1) -> Token:
        """The token before the match."""
        return self.row[self.begin - step] if self.begin >= step else _END


_END: Final = Token("stop", 0, "")


# --- days -----------------------------------------------------------------------------------------------------------------
def _day(year: int, month: int, day: int) -> Spot:
    """A day spot; a day that does not exist ("31.02") is no exact day."""
    try:
        return Spot("day", weight=4, day=date(year, month, day))
    except ValueError:
        return Spot("someday")


def _day_of_year(day: int, month: int, now: datetime) -> Spot:
    """That day of this year; of the next one where it is more than half a year ago (in December people speak of January)."""
    found = _day(now.year, month, day)
    long_ago = found.what == "day" and found.day < now.date() - timedelta(days=183)
    return _day(now.year + 1, month, day) if long_ago else found


def named_date(hit: Hit) -> Spot | None:
    """ "25 ноября", "3 желтоқсанда", "Nov 25th": the calendar reads the month by its dictionary name."""
    language, name = str(hit.named["MONTH"].value).split(":")
    said = hit.named["DAY"].value
    number = said[0] if isinstance(said, tuple) else int(hit.number("DAY"))  # "24-25 ноября": from the 24th on
    if not 1 <= number <= 31:
        return Spot("someday")
    year = int(hit.number("YEAR", 2000))
    settings = {"DATE_ORDER": "DMY", "RELATIVE_BASE": hit.now.replace(tzinfo=None), "STRICT_PARSING": True}
    found = dateparser.parse(f"{number} {name} {year}", languages=[language], settings=settings)
    if found is None:
        return Spot("someday")
    return Spot("day", weight=4, day=found.date()) if hit["YEAR"] else _day_of_year(found.day, found.month, hit.now)


def full_date(hit: Hit) -> Spot:
    value = hit.named["DATE"].value
    year, month, day = value if isinstance(value, tuple) else (0, 0, 0)
    return _day(year, month, day)


def pair_date(hit: Hit) -> Spot | None:
    """ "25.11" and "25/11"; "14.30" and "в 10.15" are left to the rules of clock times."""
    pair = hit.named["PAIR"]
    day, month = pair.value if isinstance(pair.value, tuple) else (0, 0)
    if pair.kind == "slashed" and day <= 12 < month:
        day, month = month, day  # "11/24", as Americans write
    if not (1 <= day <= 31 and 1 <= month <= 12) or (pair.kind == "dashed" and day < 24):
        return None
    if pair.kind == "dotted":
        timed_elsewhere = any(token.kind in ("at", "clock", "sagat", "loc") for token in hit.row[hit.end :])
        as_time = hit.before().kind in ("at", "near", "sagat") and day < 24 and not timed_elsewhere
        if as_time:
            return None
    return _day_of_year(day, month, hit.now)


def day_of_month(hit: Hit) -> Spot | None:
    """ "25-го", "25 числа", "айдың 25-інде": the next such day, today included."""
    number = int(hit.number("DAY"))
    text = hit.named["DAY"].text
    plain = hit["SURE"] is not None or text[0].isdigit() or text.startswith(("двадцать ", "тридцать "))
    if not 1 <= number <= 31 or not (
        plain or hit.after().kind in ("stop", "comma", "at", "clock", "sagat", "part", "loc", "near")
    ):
        return None
    for months in range(3):
        month = hit.now.date().replace(day=1) + relativedelta(months=months)
        found = _day(month.year, month.month, number)
        if found.what == "day" and found.day >= hit.now.date():
            return found
    return None


def day_before_time(hit: Hit) -> Spot | None:
    """ "давайте 25 в 11"; "кофемашин 25 в 11 точек" are not days."""
    begins = hit.before().kind in ("stop", "offer") and hit.number("DAY") > 12
    return day_of_month(hit) if begins or hit.before().kind in ("for", "weekday") else None


def relative_day(hit: Hit) -> Spot:
    return Spot("day", day=hit.now.date() + timedelta(days=int(hit.number("DAY"))))


def next_day(hit: Hit) -> Spot:
    return Spot("day", day=hit.now.date() + timedelta(days=1))


def weekday(hit: Hit) -> Spot:
    return Spot("weekday", number=int(hit.number("DAY")), weeks=int(hit["NEXT"] is not None))


def last_weekday(hit: Hit) -> Spot:
    back = (hit.now.weekday() - int(hit.number("DAY"))) % 7 or 7
    return Spot("day", day=hit.now.date() - timedelta(days=back))


def week(hit: Hit) -> Spot:
    return Spot("week", weeks=int(hit["NEXT"] is not None))


def some_day(hit: Hit) -> Spot:
    return Spot("someday")


# --- from now on ----------------------------------------------------------------------------------------------------------
def _amount(hit: Hit) -> float:
    """How many units; 0 where it is not told ("через несколько дней")."""
    token = hit["N"]
    if hit["SOME"] is not None:
        return hit.number("SOME")
    if hit["HALF"] is not None:
        return 0.5
    if token is not None and token.kind == "quarter":
        return 0.25
    amount = 1.0 if token is None else float(token.value[0]) if isinstance(token.value, tuple) else hit.number("N")
    return amount + (0.5 if hit["MORE"] or hit["MORE2"] else 0)


def ahead(hit: Hit) -> Spot | None:
    """ "через полтора часа", "минут через 20", "in an hour", "бір сағаттан кейін"; days, weeks and months name a day."""
    unit = hit.named.get("UNIT", Token("hour"))
    amount = _amount(hit)
    if not 0 < amount <= 400:
        return Spot("someday")
    match str(unit.value) if unit.kind == "unitabl" else unit.kind:
        case "minute":
            return Spot("ahead", span=timedelta(minutes=amount))
        case "hour" | "one" | "sagat":
            return Spot("ahead", span=timedelta(hours=amount, minutes=hit.number("MINUTES")))
        case "week":
            days = timedelta(days=int(amount * 7))
            return Spot("day", weight=2, weeks=int(amount), day=hit.now.date() + days)
        case "month" | "monthunit":
            return Spot("day", day=hit.now.date() + relativedelta(months=int(amount)))
        case _:
            return Spot("day", day=hit.now.date() + timedelta(days=int(amount)))


def ahead_without_unit(hit: Hit) -> Spot | None:
    """ "через полтора", which can only be hours."""
    return ahead(hit) if hit.number("N") == 1.5 else None
