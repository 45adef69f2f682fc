"""Reading dates and days of the week in running text, in Russian, Kazakh and English.

Only what is stated is read: no calendar of holidays, no choice of the nearest slot. Years are taken from the text, and
`today` serves relative days and the weekday of a date without a year.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from .amounts import LONGEST_CHAIN
from .neighbours import stands_alone
from .tokens import Token, words

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class Day:
    """A day or days named by the tokens `first`…`last`: a calendar day (month and day, perhaps a year) or weekdays.

    `month` 0 is a day of any month (`до 5 числа`), `day` 0 a whole month. `relative` marks `сегодня` and its like.
    """

    first: int
    last: int
    year: int | None = None
    month: int = 0
    day: int = 0
    weekdays: frozenset[int] = frozenset()
    relative: bool = False

    @property
    def value(self) -> str:
        """ISO 8601, with `--` for an unsaid year (`--11-25`, `--11`, `---25`); weekdays as `fri`, `mon-fri`."""
        if self.weekdays and not self.day:
            days = sorted(self.weekdays)
            ends = (WEEKDAYS[days[0]], WEEKDAYS[days[-1]])
            return ends[0] if len(days) == 1 else "-".join(ends)
        if not self.month:
            return f"---{self.day:02}"
        month = f"{self.month:02}"
        tail = f"-{self.day:02}" if self.day else ""
        return f"{self.year}-{month}{tail}" if self.year else f"--{month}{tail}"

    def weekday(self, today: date) -> frozenset[int]:
        """The weekdays it may be: of a date without a year, the one of this year or of the next."""
        if self.weekdays or not (self.month and self.day):
            return self.weekdays
        years = [self.year] if self.year else [today.year, today.year + 1]
        dates = [made for year in years if (made := _date(year, self.month, self.day))]
        if not self.year and dates and dates[0] >= today - timedelta(days=60):
            dates = dates[:1]
        return frozenset(made.weekday() for made in dates)


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _valid(year: int | None, month: int, day: int) -> bool:
    return _date(year or 2024, month, day) is not None


_MONTHS = (
    "январ.{0,4}|янв|қаңтар.{0,4}|january|jan", "феврал.{0,4}|фев|ақпан.{0,4}|february|feb", "март.{0,3}|мар"
    "|наурыз.{0,4}|march|mar",
    "апрел.{0,4}|апр|сәуір.{0,4}|april|apr", "ма[йяюе]|мамыр.{0,4}|may", "июн.{0,4}|маусым.{0,4}|june|jun",
    "июл.{0,4}|шілде.{0,4}|july|jul", "август.{0,3}|авг|тамыз.{0,4}|august|aug", "сентябр.{0,4}|сент?|қыркүйек.{0,4}"
    "|september|sept?",
    "октябр.{0,4}|окт|қазан.{0,4}|october|oct", "ноябр.{0,4}|нояб?|қараша.{0,4}|november|nov",
    "декабр.{0,4}|дек|желтоқсан.{0,4}|december|dec",
)  # fmt: skip
_MONTH = re.compile("|".join(f"(?P<m{number}>{names})" for number, names in enumerate(_MONTHS, start=1)))
_ORDINALS = """
перв втор треть четверт пят шест седьм восьм девят десят одиннадцат двенадцат тринадцат четырнадцат пятнадцат
шестнадцат семнадцат восемнадцат девятнадцат двадцат
"""
_ORDINAL = {
    f"{stem}{ending}": number
    for number, stem in enumerate(_ORDINALS.split(), start=1)
    for ending in ("ого", "его", "ое", "ье")
} | {"третьего": 3, "тридцатого": 30, "тридцатое": 30}  # fmt: skip
_YEAR_WORDS = words("г год года году жыл жылы жылғы жылдың year")
_DEADLINE = words("до к с до-конца until till by since before end конца начала середины концу началу дейін соңына")
_WEEKDAY_NAMES = (
    "понедельник.{0,3}|пн|дүйсенбі.{0,5}|дс|monday|mondays|mon", "вторник.{0,3}|вт|сейсенбі.{0,5}|сс|tuesdays?|tues?",
    "сред(?:а|у|ы|е|ам)|ср|сәрсенбі.{0,5}|wednesdays?|wed", "четверг.{0,3}|чт|бейсенбі.{0,5}|бс|thursdays?|thurs?|thu",
    "пятниц.{1,3}|пт|жұма(?:да|дан|ға|ны|ның)?|жм|fridays?|fri", "суббот.{1,3}|сб|сенбі.{0,5}|saturdays?|sat",
    "воскресень.{1,3}|вс|вск|жексенбі.{0,5}|жк|sundays?|sun",
)  # fmt: skip
_WEEKDAY = re.compile("|".join(f"(?P<d{number}>{names})" for number, names in enumerate(_WEEKDAY_NAMES)))
RELATIVE = {
    "сегодня": 0, "завтра": 1, "послезавтра": 2, "бүгін": 0, "ертең": 1, "бүрсігүні": 2, "today": 0,
    "tonight": 0, "tomorrow": 1,
    "ертеңге": 1, "бүгінге": 0, "завтрашний": 1, "завтрашнее": 1, "сегодняшний": 0,
}  # fmt: skip
_ALL_DAYS = frozenset(range(7))
_SOME_DAYS = (
    (re.compile(r"ежедневно|daily|everyday"), _ALL_DAYS),
    (re.compile(r"будн(?:и|ям|ях|ие|ий|ими|их)|weekdays?|жұмыс-күндері"), frozenset(range(5))),
    (re.compile(r"выходн(?:ые|ым|ых|ой)|weekends?"), frozenset((5, 6))),
)
RANGE_WORDS = words("- – — по до to through thru дейін until")


def days(tokens: Sequence[Token], used: list[bool], today: date) -> list[Day]:
    """The days that `tokens` name, in order; the places of calendar dates are marked in `used`."""
    found: list[Day] = []
    for at in range(len(tokens)):
        if used[at]:
            continue
        for day in _dates_at(tokens, at, used) or _named_at(tokens, at, today, found):
            found.append(day)
            if day.day or day.month:
                for place in range(day.first, day.last + 1):
                    used[place] = True
    return sorted(found, key=lambda day: day.first)


def _dates_at(tokens: Sequence[Token], at: int, used: Sequence[bool]) -> list[Day]:
    token = tokens[at]
    if token.sort == "date":
        return _numeric(token.text, at)
    if token.sort == "number":
        return _dotted(tokens, at) or _day_of_month(tokens, at)
    if token.sort == "word":
        return _month_at(tokens, at, used) or _ordinal_at(tokens, at)
    return []


def _numeric(text: str, at: int) -> list[Day]:
    parts = [int(part) for part in re.split(r"[./-]", text)]
    if parts[0] > 31:
        year, month, day = parts
    else:
        day, month, year = parts
        year = year if year > 99 else 2000 + year
        if month > 12 and "/" in text:
            day, month = month, day
    return [Day(at, at, year, month, day)] if _valid(year, month, day) else []


_DAY_AND_MONTH = re.compile(r"(\d{1,2})\.(0[1-9]|1[0-2])")
_CLOCK_PREPOSITIONS = words("в во at сағат сағ")
_MEASURES = words(
    """
    % ‰ ° × x х / $ € ₸ ₽ кг г гр грамм л мл литр литра литров м мм см км метр метра метров кв м² м³ шт т тонн тонны бар
    вт квт вольт тыс тысяч тысячи млн миллиона миллионов тг тенге теңге руб рублей рубля р долл долларов евро процентов
    процента пайыз ч час часа часов мин минут сек kg g l ml m mm cm km usd eur kzt rub гб gb тб mb раз раза дюйма дюймов
    дней лет звезд балла баллов из points
    """
)
_VERSIONS = words("версия версии version v п пункт рис стр код модель артикул рейтинг оценка rating rated")


def _dotted(tokens: Sequence[Token], at: int) -> list[Day]:
    """`25.11`, where nothing says that it is an hour, a price or a measure."""
    found = _DAY_AND_MONTH.fullmatch(tokens[at].text)
    if found is None or (at + 1 < len(tokens) and (tokens[at + 1].text in _MEASURES or tokens[at + 1].sort == "number")):
        return []
    day, month = int(found[1]), int(found[2])
    before = tokens[at - 1].text if at else ""
    lone = len(found[1]) == 1 and not (before in _DATE_PREPOSITIONS or _WEEKDAY.fullmatch(before))
    if before in _CLOCK_PREPOSITIONS or before in _VERSIONS or not _valid(None, month, day) or lone:
        return []
    return [Day(at, at, None, month, day)]


_DATE_PREPOSITIONS = words("на до с по к от on by until ( - – —")


def _day_of_month(tokens: Sequence[Token], at: int) -> list[Day]:
    """`25 ноября 2026`, `25–27 ноября`, `25th of November`, `5 числа`, `до 25-го`."""
    day = tokens[at].whole
    if day is None or not 1 <= day <= 31 or tokens[at].spelled:
        return []
    after = at + 1
    if after < len(tokens) and tokens[after].text == "of":
        after += 1
    month = month_at(tokens, after)
    if month:
        year, last = _year_at(tokens, after + 1)
        own = Day(at, last, year, month, day)
        return [own] if _valid(year, month, day) else []
    following = tokens[after].text if after < len(tokens) else ""
    if following in ("числа", "число", "числу", "числах"):
        return [Day(at, after, None, 0, day)]
    chained = _later_in_chain(tokens, at)
    if chained is not None:
        return [Day(at, at, None, chained, day)]
    if tokens[at].suffix in ("го", "ого", "е") and stands_alone(tokens, at + 1):
        return [Day(at, at, None, 0, day)]
    return []


def _later_in_chain(tokens: Sequence[Token], at: int) -> int | None:
    """The month of `25–27 ноября`, `с 25 по 27 ноября`, `25, 26 и 27 ноября` for its first days."""
    last = at + 2 * LONGEST_CHAIN
    while at < last and at + 2 < len(tokens) and tokens[at + 1].text in JOINTS and (tokens[at + 2].whole or 99) <= 31:
        at += 2
        month = month_at(tokens, at + 1)
        if month:
            return month
    return None


JOINTS = words("- – — , по и до или or and to мен")


def month_at(tokens: Sequence[Token], at: int) -> int:
    """The month named at `at`, 0 if none."""
    if at >= len(tokens) or tokens[at].sort != "word":
        return 0
    found = _MONTH.fullmatch(tokens[at].text)
    return int((found.lastgroup or "m0")[1:]) if found else 0


def _year_at(tokens: Sequence[Token], at: int) -> tuple[int | None, int]:
    """A year at `at` (perhaps after a comma) and the last index taken."""
    place = at + 1 if at < len(tokens) and tokens[at].text in (",", ".") else at
    year = tokens[place].whole if place < len(tokens) else None
    if year is None or not 2000 <= year <= 2099 or len(tokens[place].text) != 4:
        return None, at - 1
    following = tokens[place + 1].text if place + 1 < len(tokens) else ""
    return year, place + 1 if following in _YEAR_WORDS else place


def _month_at(tokens: Sequence[Token], at: int, used: Sequence[bool]) -> list[Day]:
    """`November 25`, `қарашаның 25-і`, and months that set a term: `до конца ноября`, `до декабря`."""
    month = month_at(tokens, at)
    if not month:
        return []
    day = tokens[at + 1].whole if at + 1 < len(tokens) and not used[at + 1] else None
    english = tokens[at].text.isascii()
    if day is not None and 1 <= day <= 31 and (english or tokens[at].text.endswith(("ның", "нің", "дың", "дің", "тың", "тің"))):
        year, last = _year_at(tokens, at + 2)
        return [Day(at, last, year, month, day)] if _valid(year, month, day) else []
    before = tokens[at - 1].text if at else ""
    if before in ("of", "the") and at > 1:
        before = tokens[at - 2].text
    return [Day(at, at, None, month, 0)] if before in _DEADLINE else []


def _ordinal_at(tokens: Sequence[Token], at: int) -> list[Day]:
    """`пятого ноября`; the tens of `двадцать пятого` stand before."""
    day = _ORDINAL.get(tokens[at].text)
    month = month_at(tokens, at + 1)
    if day is None or not month:
        return []
    tens = tokens[at - 1].whole if at and tokens[at - 1].spelled else None
    first = at - 1 if tens in (20, 30) and day < 10 else at
    day += (tens or 0) if first < at else 0
    year, last = _year_at(tokens, at + 2)
    return [Day(first, last, year, month, day)] if _valid(year, month, day) else []


def _named_at(tokens: Sequence[Token], at: int, today: date, found: Sequence[Day]) -> list[Day]:
    """Weekdays, ranges of them, and `сегодня`, `завтра`."""
    token = tokens[at]
    if token.sort != "word" or (found and not found[-1].relative and found[-1].first <= at <= found[-1].last):
        return []
    if token.text in RELATIVE:
        day = today + timedelta(days=RELATIVE[token.text])
        if token.text == "tomorrow" and tokens[max(0, at - 2) : at] and tokens[at - 1].text == "after":
            day += timedelta(days=1)
        return [Day(at, at, day.year, day.month, day.day, relative=True)]
    for pattern, several in _SOME_DAYS:
        if pattern.fullmatch(token.text):
            return [Day(at, at, weekdays=several)]
    if "-" in token.text:
        return _hyphened(token.text, at)
    first = weekday_at(tokens, at)
    if first is None:
        return []
    joint = at + 2 if at + 1 < len(tokens) and tokens[at + 1].text == "." else at + 1
    if joint < len(tokens) and tokens[joint].text in RANGE_WORDS:
        last = weekday_at(tokens, joint + 1)
        if last is not None and last > first:
            return [Day(at, joint + 1, weekdays=frozenset(range(first, last + 1)))]
    kazakh = weekday_at(tokens, at + 1)
    if kazakh is not None and kazakh > first and tokens[at].text.endswith(("ден", "дан")):
        return [Day(at, at + 1, weekdays=frozenset(range(first, kazakh + 1)))]
    return [Day(at, at, weekdays=frozenset({first}))]


def _hyphened(word: str, at: int) -> list[Day]:
    """`пн-пт`."""
    ends = [_WEEKDAY.fullmatch(part) for part in word.split("-")]
    numbers = [int((end.lastgroup or "d0")[1:]) for end in ends if end]
    if len(ends) != 2 or len(numbers) != 2 or numbers[0] >= numbers[1]:
        return []
    return [Day(at, at, weekdays=frozenset(range(numbers[0], numbers[1] + 1)))]


def weekday_at(tokens: Sequence[Token], at: int) -> int | None:
    if at >= len(tokens) or tokens[at].sort != "word":
        return None
    found = _WEEKDAY.fullmatch(tokens[at].text)
    return int((found.lastgroup or "d0")[1:]) if found else None


def is_weekday(word: str) -> bool:
    """Whether a word of a folded text names a day of the week, or a range of them (`пн-пт`)."""
    return any(_WEEKDAY.fullmatch(part) for part in word.split("-"))
