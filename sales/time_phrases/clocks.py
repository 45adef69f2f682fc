"""Clock times, ranges, zones and parts of a day, as the rules of `rules` matched them (see `spots`)."""

from __future__ import annotations

from typing import Final

from .spots import Hit, Spot
from .words import MAY_FOLLOW, Token, words_of

_ACCEPTING: Final = frozenset(
    words_of("is works fine подойдет подходит удобно норм нормально можно ок смогу могу болады удобнее лучше")
)
_DATED: Final = {"at", "relday", "weekday", "cant", "or", "clock"}
_MARKS: Final = {"at", "for", "near", "hour", "sagat"}


# --- clock times ----------------------------------------------------------------------------------------------------------
def _time(hour: int, minute: int, *, literal: bool = False, part: Token | None = None, weight: int = 3) -> Spot | None:
    """A time spot, or None where there is no such time."""
    if not (0 <= hour <= 23 and 0 <= minute <= 59):
        return None
    name = "" if part is None else "day" if part.kind == "daygen" else str(part.value)
    return Spot("time", weight, clock=(hour, minute), literal=literal, part=name)


def _dash_parts_minutes(token: Token) -> bool:
    """ "15-20" is 15:20; "14-16", "11-12" and "2-3" are from 14, from 11 and from 2 on."""
    hour, minute = token.value if isinstance(token.value, tuple) else (0, 0)
    return len(token.text.rpartition("-")[2]) == 2 and minute % 5 == 0 and minute != hour + 1


def _read(token: Token) -> tuple[int, int, bool]:
    """(hour, minute, whether a 24-hour reading) of one token; hour 99 where it is no time."""
    if token.kind == "one":
        return 1, 0, False
    if isinstance(token.value, tuple):
        hour, minute = token.value
        if token.kind == "dashed" and not _dash_parts_minutes(token):
            return hour, 0, False
        return hour, minute, token.text.startswith("0") or hour > 12
    if not isinstance(token.value, int):
        return 99, 0, False
    return token.value, 0, token.kind == "noon" or token.text.startswith("00")


def _read_hit(hit: Hit) -> tuple[int, int, bool]:
    hour, minute, literal = _read(hit.named["TIME"])
    return (hour, int(hit.number("MIN")), hour > 12) if hit["MIN"] is not None else (hour, minute, literal)


def _lasts(hit: Hit) -> bool:
    """Whether the number is an amount of time or a date rather than a clock time."""
    units = (
        "minute",
        "dayunit",
        "week",
        "monthunit",
        "count",
        "counted",
        "unitabl",
        "yearword",
        "number",
        "month",
        "inmonth",
        "later",
    )
    return hit.after().kind in units or (hit.after().kind == "in" and hit.after(1).kind != "hour")


def _counts_nothing(hit: Hit) -> bool:
    """Whether nothing follows the number that might be counted by it."""
    token = hit.after()
    return token.kind not in ("word", "counted", "count", "num", "dayunit", "minute", "city") or token.text in MAY_FOLLOW


def _counts_one(token: Token, hit: Hit, prefixes: set[str]) -> bool:
    """ "в один из дней", "в 1 экземпляре", "3 в 1", "в двух словах"."""
    if token.kind == "obl":
        return not prefixes & {"near", "hour"}
    follows = hit.after().kind == "word" or hit.before().kind == "num"
    return token.text in ("один", "одну", "бир") or (token.text == "1" and follows)


def point(hit: Hit) -> Spot | None:
    """A clock time with a word that says so: "в 15", "к трём", "сағат үште", "в 15 часов 30 минут", "3pm", "15:00"."""
    token = hit.named["TIME"]
    hour, minute, literal = _read_hit(hit)
    prefixes = {other.kind for other in hit.row[hit.begin : hit.end]} & _MARKS if hit["PRE"] else set()
    by_itself = (
        token.kind in ("clock", "loc", "noon")
        or (token.kind == "dat" and isinstance(token.value, tuple))
        or hit["PART"] is not None
        or hit["MIN"] is not None
    )
    sure = by_itself or bool(prefixes & {"at", "sagat"})
    if hit.before().kind in ("span", "minute") or (_lasts(hit) and token.kind not in ("clock", "loc")):
        return None
    if (
        not prefixes
        and hit["H"] is None
        and hit["PART"] is not None
        and hit["PART"].kind == "daygen"
        and token.kind in ("num", "dashed")
    ):
        return None  # "3 дня" are three days
    if not sure and not _counts_nothing(hit):
        return None
    if hit["H"] is None and not by_itself and "sagat" not in prefixes and _counts_one(token, hit, prefixes):
        return None
    moved = hit.after().kind in ("after", "before", "later", "ago")
    if token.kind == "one" and "for" in prefixes and not by_itself and (moved or hit.before().kind == "word"):
        return None  # "на час позже", "созвон на час"
    weak = not sure or ("for" in prefixes and "at" not in prefixes and not by_itself)
    return _time(hour, minute, literal=literal, part=hit["PART"], weight=2 if weak else 3)


def bare(hit: Hit) -> Spot | None:
    """A number that nothing marks as a time, but right beside a day or a zone: "завтра 11", "пт 14 30", "15 мск"."""
    hour, minute, literal = _read_hit(hit)
    before = hit.before(2) if hit.before().kind in ("comma", "dash") else hit.before()
    after = hit.after(1) if hit.after().kind == "by" else hit.after()
    days = ("relday", "weekday", "month", "date", "ord", "dotted", "part", "dayunit", "number", "year")
    by_day = before.kind in days or (
        after.kind in ("relday", "weekday") and before.kind in ("stop", "offer", "filler", "comma", "or")
    )
    by_day = by_day or before.kind == "zone" or (before.kind == "city" and hit.before(2).kind == "by")
    by_zone = after.kind in ("zone", "offset") or (after.kind == "city" and hit.after().kind == "by")
    in_hours = hit["H"] is not None and (hour >= 10 or by_day or "clock" in hit.named["H"].text) and before.kind != "span"
    offered = before.kind == "offer" and 10 <= hour <= 18 and any(token.kind in ("relday", "weekday") for token in hit.row)
    accepted = after.text in _ACCEPTING and 9 <= hour <= 18 and any(token.kind in _DATED for token in hit.row[: hit.begin])
    if not (by_day or by_zone or in_hours or offered or accepted) or _lasts(hit) or not (by_zone or _counts_nothing(hit)):
        return None
    return _time(hour, minute, literal=literal, weight=1)


def _are_minutes(hit: Hit) -> bool:
    token = hit.named["MIN"]
    if hit.number("MIN") == hit.number("TIME") + 1:
        return False  # "в десять-одиннадцать"
    return len(token.text) == 2 if token.text.isdigit() else token.value == 0 or hit.number("MIN") >= 10


def two_numbers(hit: Hit) -> Spot | None:
    """ "в пятнадцать тридцать", "в 15 00"."""
    return point(hit) if _are_minutes(hit) else None


def two_bare_numbers(hit: Hit) -> Spot | None:
    return bare(hit) if _are_minutes(hit) else None


def half(hit: Hit) -> Spot | None:
    """ "полтретьего", "в половине пятого", "пол 3-го"."""
    hour = int(hit.number("HOUR"))
    return _time(hour - 1 or 12, 30, part=hit["PART"]) if 1 <= hour <= 12 else None


def past(hit: Hit) -> Spot | None:
    """ "half past two", "quarter past four", "үш жарымда", "үштен он минут кетті"."""
    hour = int(hit.number("HOUR"))
    return _time(hour, 30 if hit["HALF"] else int(hit.number("MIN")), literal=hour > 12, part=hit["PART"])


def running(hit: Hit) -> Spot | None:
    """ "четверть пятого", "10 минут третьего": minutes of the hour that runs."""
    hour, minute = int(hit.number("HOUR")), hit.named["MIN"]
    told = (
        minute.kind == "quarter"
        or hit["UNIT"] is not None
        or (minute.value in (5, 10, 20) and hit.named["HOUR"].text.isalpha())
    )
    return _time(hour - 1 or 12, int(hit.number("MIN")), part=hit["PART"]) if told and 1 <= hour <= 12 else None


def minus(hit: Hit) -> Spot | None:
    """ "без четверти три", "quarter to three", "үшке он минут қалғанда"."""
    hour, minutes = (1 if hit["ONE"] else int(hit.number("HOUR"))), int(hit.number("MIN"))
    if not (0 < minutes < 60 and 1 <= hour <= 24):
        return None
    return _time(hour - 1 or 12, 60 - minutes, literal=hour > 13, part=hit["PART"])


def minus_english(hit: Hit) -> Spot | None:
    """ "ten to three", but not "10 to 12", which is a range."""
    return (
        minus(hit)
        if hit.named["MIN"].kind == "quarter"
        or hit["UNIT"]
        or hit.number("MIN") in (5, 20, 25)
        or hit.named["MIN"].text == "ten"
        else None
    )


def _of_opening_hours(hit: Hit) -> bool:
    """ "работаем с 9 до 18"."""
    for token in reversed(hit.row[: hit.begin]):
        if token.kind in ("stop", "offer", "relday"):
            return False
        if token.kind == "works":
            return True
    return False


def from_to(hit: Hit) -> Spot | None:
    """ "с 14 до 16", "между 11 и 12": its start; "перенести с 15 на 16": its end. Opening hours are nobody's wish."""
    moved = hit["MOVED"] is not None
    first, last = hit.named["FROM"], hit.named["TO"]
    hour, minute, literal = _read(last if moved else first)
    if _lasts(hit) or _of_opening_hours(hit):
        return None
    part = hit["PART"] or (hit["PART2"] if hour < 10 else None)
    sure = bool({first.kind, last.kind} & {"clock", "abl", "dat"}) or part is not None
    return _time(hour, minute, literal=literal, part=part, weight=3 if sure else 2)


def open_range(hit: Hit) -> Spot | None:
    """ "14:00 - 15:00", "в 11 - 12"; "2 - 3" alone may be anything."""
    return from_to(hit) if hit["PRE"] or hit["PART2"] or hit.named["FROM"].kind == "clock" else None


def bound(hit: Hit) -> Spot | None:
    """ "до 12", "после трёх", "с 15": no moment, only a side of one."""
    token = hit.named["TIME"]
    hour, minute, _literal = _read(token)
    if hour > 24 or _lasts(hit) or (token.kind == "dotted" and 1 <= minute <= 12):
        return None
    counted = hit.row[hit.begin].kind == "from" and (not _counts_nothing(hit) or hit.after().kind == "till")
    return None if counted else Spot("bound")


# --- zones and parts ------------------------------------------------------------------------------------------------------
def zone(hit: Hit) -> Spot | None:
    """ "по Москве" (weight 1: it may be said of a delivery), "мск", "Moscow time", "UTC+3", "мск+2"."""
    shift = int(hit.number("SHIFT"))
    minus = hit["SIGN"] is not None and hit.named["SIGN"].text == "-"
    city = hit["CITY"]
    if city is not None and hit.before().kind == "delivery":
        return None
    if city is not None and hit["SHIFT"] is None:
        return Spot("zone", 3 if hit["SURE"] is not None or city.kind == "zone" else 1, zone=str(city.value))
    hours = (-shift if minus else shift) + (3 if city is not None else 0)
    if abs(hours) > 12:
        return None
    return Spot("zone", zone=f"Etc/GMT{-hours:+d}" if hours else "Etc/GMT")  # the Etc zones count westwards


def part(hit: Hit) -> Spot:
    return Spot("part", part=str(hit.named["PART"].value))
