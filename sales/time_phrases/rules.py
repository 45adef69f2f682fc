"""The grammar of spoken time: rules over the kinds of tokens, and the search for them in a message.

Rules are regular expressions over the *kinds* of tokens (see the tables of `words`): `at num hour part?` reads as it
looks. At each token the first rule whose reader (in `spots` and `clocks`) accepts wins, so the longer and surer
phrases stand first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from . import clocks
from . import spots as days
from .spots import Hit, Spot
from .words import Token

Reader = Callable[[Hit], Spot | None]

_UNIT: Final = "(?: hour | one | sagat )"
_PRE: Final = "(?P<PRE> at | for | near | hour | sagat )"
_PART: Final = "(?P<PART> part | daygen )?"

# What may be read as a clock time, by the rules of ranges and sides.
_ATOM: Final = "clock | dotted | dashed | num | obl | loc | dat | abl | one | noon"

_RULES: Final[tuple[tuple[str, Reader], ...]] = (
    # dates and days
    ("(?P<DATE> date ) yearword?", days.full_date),
    (
        "(?P<DAY> num | ord | loc | dashed ) number? (?: the | dash )? (?P<MONTH> month ) (?: (?P<YEAR> year ) yearword? )?",
        days.named_date,
    ),
    ("(?P<MONTH> month ) the? (?P<DAY> ord | loc | num ) (?! hour | one | part | num | month )", days.named_date),
    ("(?P<PAIR> slashed | dotted | dashed ) (?! minute | hour | one | unitabl | counted )", days.pair_date),
    ("(?P<SURE> ofmonth ) (?P<DAY> ord | num | loc ) dayunit?", days.day_of_month),
    ("(?P<DAY> ord | num ) (?P<SURE> number )", days.day_of_month),
    ("(?P<SURE> number ) (?P<DAY> num )", days.day_of_month),
    ("(?P<DAY> ord ) (?P<SURE> dayunit )", days.day_of_month),
    ("from num (?: by | till | to ) num month", days.some_day),
    ("last (?P<DAY> weekday )", days.last_weekday),
    ("last (?: week | monthunit )", days.some_day),
    ("(?P<DAY> num ) (?= at (?: clock | num | sagat ) )", days.day_before_time),
    ("from (?: weekday | relday ) for (?P<DAY> weekday )", days.weekday),
    ("from (?: weekday | relday ) for (?P<DAY> relday )", days.relative_day),
    ("from weekday (?: by | till | to ) weekday", days.some_day),
    ("(?P<NEXT> next ) week for? the? at? (?P<DAY> weekday )", days.weekday),
    ("(?: (?P<NEXT> next ) | this ) (?P<DAY> weekday )", days.weekday),
    ("(?P<DAY> weekday ) (?: at | for )? (?P<NEXT> next ) week?", days.weekday),
    ("(?: (?P<NEXT> next ) | this ) week", days.week),
    ("(?P<NEXT> next ) (?= at weekday )", days.week),
    ("next (?: dayunit | daygen )", days.next_day),
    ("(?P<DAY> weekday )", days.weekday),
    ("(?P<DAY> relday )", days.relative_day),
    ("someday | inmonth", days.some_day),
    # from now on
    ("in (?P<UNIT> minute | hour ) (?P<N> num | obl | dashed )", days.ahead),
    (
        "in near? (?: (?P<N> num | obl | dashed | quarter ) | (?P<SOME> some ) | (?P<HALF> half | halfen ) | a )? a? "
        "(?P<MORE> withhalf )?"
        "(?P<UNIT> hour | one | sagat | minute | dayunit | daygen | week | monthunit ) (?P<MORE2> withhalf )?"
        "(?: and? (?P<MINUTES> num ) minute )?",
        days.ahead,
    ),
    ("in (?P<N> num )", days.ahead_without_unit),
    (
        "(?P<UNIT> minute | hour | one | dayunit | daygen | week ) in (?: (?P<N> num | obl | dashed ) | (?P<SOME> some ) )",
        days.ahead,
    ),
    (
        "(?: (?P<N> num | obl | dashed ) | (?P<SOME> some ) | (?P<HALF> half | halfen | halfkk ) )? (?P<MORE> halfkk )?"
        "(?P<UNIT> unitabl ) later",
        days.ahead,
    ),
    (
        "(?: (?P<N> num ) | (?P<SOME> some ) | (?P<HALF> half | halfen ) a? | a )"
        "(?P<UNIT> hour | one | minute | dayunit | week ) later",
        days.ahead,
    ),
    # clock times told from the hour
    (
        f"{_PRE}* minus (?P<MIN> quarter | num | obl ) minute? (?: (?P<HOUR> num | obl ) | (?P<ONE> one ) ) {_UNIT}? {_PART}",
        clocks.minus,
    ),
    (f"{_PRE}* a? (?P<MIN> quarter | num ) (?P<UNIT> minute )? to (?P<HOUR> num ) {_PART}", clocks.minus_english),
    ("sagat? (?P<HOUR> dat ) (?P<MIN> quarter | num ) minute? left", clocks.minus),
    (f"{_PRE}* a? (?: (?P<HALF> halfen ) | (?P<MIN> quarter | num ) minute? ) past (?P<HOUR> num ) {_PART}", clocks.past),
    ("sagat? (?P<HOUR> abl ) (?P<MIN> quarter | num ) minute? past", clocks.past),
    (f"{_PRE}* (?P<HOUR> num ) (?P<HALF> halfkk ) {_PART} (?! sagat | unitabl )", clocks.past),
    (f"{_PRE}* (?P<HALF> halfen ) (?P<HOUR> num ) {_PART}", clocks.past),
    (f"{_PRE}* half dash? (?P<HOUR> ord | num | obl ) {_PART} (?! month )", clocks.half),
    (
        f"{_PRE}* (?P<MIN> quarter | num | obl ) (?P<UNIT> minute )? (?P<HOUR> ord ) {_PART} (?! month | number )",
        clocks.running,
    ),
    # ranges and sides
    (
        f"(?: from | between ) at? sagat? (?P<FROM> {_ATOM} ) {_UNIT}? {_PART} comma?"
        f"(?: till | to | by | and | dash | (?P<MOVED> for ) )+ near? (?P<TO> {_ATOM} ) {_UNIT}? (?P<PART2> part | daygen )?",
        clocks.from_to,
    ),
    ("sagat? (?P<FROM> abl | clock ) dash? (?P<TO> dat | clock ) tillkk", clocks.from_to),
    (
        f"{_PRE}* (?P<FROM> clock | num ) {_UNIT}? {_PART} (?: dash | till | to )"
        f"(?P<TO> clock | num ) {_UNIT}? (?P<PART2> part | daygen )?",
        clocks.open_range,
    ),
    (f"(?: till | after | before | byen | from ) near? at? (?P<TIME> {_ATOM} ) {_UNIT}? {_PART}", clocks.bound),
    ("(?: till | after | before ) half (?P<TIME> ord )", clocks.bound),
    ("sagat? (?P<TIME> abl | clock | num ) (?: later | beginkk )", clocks.bound),
    ("sagat? (?P<TIME> dat | clock ) tillkk", clocks.bound),
    # points
    (
        f"{_PRE}* (?P<TIME> num ) (?P<H> hour | one ) (?P<MIN> num ) minute? {_PART} (?! hour | one | month | number )",
        clocks.point,
    ),
    (
        f"{_PRE}+ (?P<TIME> num ) (?P<MIN> num | loc ) num? minute? {_PART} (?! hour | one | month | number | counted )",
        clocks.two_numbers,
    ),
    (f"{_PRE}+ (?P<TIME> one ) (?P<MIN> num ) minute? {_PART}", clocks.point),
    (f"{_PRE}* (?P<TIME> clock | noon ) {_UNIT}? {_PART}", clocks.point),
    (
        f"{_PRE}+ (?P<TIME> dotted | dashed | run | num | obl | loc | dat | one ) (?P<H> {_UNIT} )? {_PART} (?! tillkk )",
        clocks.point,
    ),
    ("(?P<TIME> loc | dat ) (?! month | dayunit )", clocks.point),
    ("(?P<TIME> num | one | dotted | dashed ) (?P<H> hour | one )? (?P<PART> part | daygen )", clocks.point),
    ("(?P<TIME> num ) (?P<MIN> num ) (?! hour | one | month | number | counted | num )", clocks.two_bare_numbers),
    ("(?P<TIME> num | dotted | dashed | dat ) (?P<H> hour | one )?", clocks.bare),
    ("(?P<DAY> ord )", days.day_of_month),
    # zones and parts
    ("by? dash? (?P<OFFSET> offset ) (?: (?P<SIGN> mark | dash ) (?P<SHIFT> num ) )?", clocks.zone),
    ("by? (?P<CITY> zone ) (?P<SIGN> mark | dash ) (?P<SHIFT> num )", clocks.zone),
    ("by dash? timeword? (?P<CITY> city | zone ) (?P<SURE> timeword )?", clocks.zone),
    ("(?P<CITY> city | zone ) by? (?P<SURE> timeword )", clocks.zone),
    ("(?P<SURE> timeword ) the? (?P<CITY> city | zone )", clocks.zone),
    ("(?P<CITY> zone )", clocks.zone),
    ("(?P<PART> part )", clocks.part),
)

# Each kind is one letter, so that a rule is an ordinary regular expression over a string.
_LETTERS: Final[dict[str, str]] = {}


def _letter(kind: str) -> str:
    return _LETTERS.setdefault(kind, chr(0x4E00 + len(_LETTERS)))


def _compiled(rule: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"[a-z]+", lambda match: _letter(match[0]), rule), re.VERBOSE)


_COMPILED: Final = tuple((_compiled(rule), reader) for rule, reader in _RULES)


def _at(row: Sequence[Token], letters: str, begin: int, now: datetime) -> Spot | None:
    for pattern, reader in _COMPILED:
        match = pattern.match(letters, begin)
        if match is None or match.end() == begin:
            continue
        named = {name: row[match.start(name)] for name, text in match.groupdict().items() if text}
        spot = reader(Hit(row, begin, match.end(), now, named))
        if spot is not None:
            return replace(spot, begin=begin, end=match.end())
    return None


def spots(row: Sequence[Token], now: datetime) -> Iterator[Spot]:
    """Everything said of time in a row of tokens, in order; `now` is aware, in the zone the words are said in."""
    letters = "".join(_LETTERS.get(token.kind, "-") for token in row)
    begin = 0
    while begin < len(row):
        spot = _at(row, letters, begin, now) if letters[begin] != "-" else None
        if spot is not None:
            yield spot
            begin = spot.end
        else:
            begin += 1
