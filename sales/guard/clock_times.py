"""Reading clock times in running text, in Russian, Kazakh and English. Durations (`2 часа`) are none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .amounts import LONGEST_CHAIN
from .named_days import JOINTS, RANGE_WORDS, RELATIVE, is_weekday
from .neighbours import stands_alone
from .tokens import Token, words


@dataclass(frozen=True, slots=True)
class Clock:
    """A clock time of the tokens `first`…`last`. `vague` hours may be meant twelve hours later: `в 3`."""

    first: int
    last: int
    hour: int
    minute: int = 0
    vague: bool = False

    @property
    def value(self) -> str:
        """`14:00`; a vague hour before eight is taken for the afternoon."""
        hour = self.hour + 12 if self.vague and 1 <= self.hour <= 7 else self.hour
        return f"{hour:02}:{self.minute:02}"

    @property
    def readings(self) -> frozenset[str]:
        later = f"{(self.hour + 12) % 24:02}:{self.minute:02}"
        exact = f"{self.hour:02}:{self.minute:02}"
        return frozenset({exact, later}) if self.vague and self.hour < 12 else frozenset({self.value})


_AT = words("в во к ко после около at by after around сағат")
_DASHES = frozenset("-–—")
_FROM = words("с со from between сағат")
_UNTIL = words("до по until till to and дейін")
_LEADING = _AT | _FROM | _UNTIL
_HOURS = words("ч час часа часов часам o'clock oclock")
_DAY_PARTS = {
    "утра": 0, "am": 0, "дня": 12, "вечера": 12, "pm": 12, "ночи": 0, "пополудни": 12, "таңғы": 0, "таңертең": 0,
    "түскі": 12, "түстен": 12, "кешкі": 12, "кешке": 12,
}  # fmt: skip
#: Parts of the day that are said before the hour: `кешкі 6-да`, `утра` never.
_LEADING_PARTS = words("таңғы таңертең түскі түстен кешкі кешке")
_TIME_WORDS = words("""
    мск алматы астане алматинскому местному времени утра дня вечера ночи am pm часа часов час часам ч созвон встреча
    звонок будет удобно подойдет подходит устроит устраивает жду ждем менеджер свободно свободен занято запишу записал
    записала позвоню позвоним наберу понедельник вторник среду четверг пятницу субботу воскресенье ежедневно будни
    будням послезавтра works ok okay okey free call meeting almaty astana moscow бос ыңғайлы кездесу қоңырау ертең бүгін
    жұмыс істейміз ашық наш наша наши мой договорились начинаем начало слот окно открыто работает работаем
    """)
_WORKING = re.compile(
    r"работ\w*|открыт\w*|график\w*|режим\w*|звон\w*|ждем|ждём|приезж\w*|приход\w*|сегодня|завтра|часы|офис\w*|шоурум\w*"
    r"|склад\w*|магазин\w*|прием\w*"
    r"|open|hours|working|work|call|жұмыс|ашық|істей\w*|бүгін|ертең|оформ\w*|заказ\w*|успе\w*|самовывоз\w*"
)
_RATIOS = re.compile(r"соотношен\w*|пропорци\w*|масштаб\w*|разбав\w*|разведен\w*|счет|ratio|scale|диаметр\w*")


def clocks(tokens: Sequence[Token], used: list[bool]) -> list[Clock]:
    """The clock times of `tokens`, in order; their places are marked in `used`. Durations (`2 часа`) are none."""
    found: list[Clock] = []
    for at in range(len(tokens)):
        if used[at]:
            continue
        for clock in _clock_at(tokens, at, used):
            found.append(clock)
            for place in range(clock.first, clock.last + 1):
                used[place] = True
    return sorted(found, key=lambda clock: clock.first)


def _clock_at(tokens: Sequence[Token], at: int, used: Sequence[bool]) -> list[Clock]:
    token = tokens[at]
    if token.sort == "time":
        return _with_colon(tokens, at)
    if token.sort != "number" or (token.glued and tokens[at - 1].sort == "word" and tokens[at - 1].text not in _LEADING):
        return []
    return _with_dot(tokens, at) or _with_dash(tokens, at) or _range(tokens, at, used) or _single(tokens, at)


def _with_colon(tokens: Sequence[Token], at: int) -> list[Clock]:
    hour, minute = (int(part) for part in tokens[at].text.split(":")[:2])
    if any(_RATIOS.fullmatch(token.text) for token in tokens[max(0, at - 4) : at]):
        return []
    return [_made(tokens, at, at, hour, minute, exact=True)]


def _made(tokens: Sequence[Token], first: int, last: int, hour: int, minute: int, *, exact: bool = False) -> Clock:
    """A clock time with the part of the day that stands beside it."""
    place = last + 1
    if place < len(tokens) and tokens[place].text in _HOURS:
        place += 1
    following = [token.text for token in tokens[place : place + 3]]
    part = following[0] if following else ""
    if following in (["a", ".", "m"], ["p", ".", "m"]):
        part = f"{following[0]}m"
    if part not in _DAY_PARTS:
        part = next((token.text for token in tokens[max(0, first - 3) : first] if token.text in _LEADING_PARTS), "")
    if part and hour <= 12:
        added = _DAY_PARTS[part]
        hour = (hour % 12) + added if hour < 12 else (12 if added else 0)
        return Clock(first, last, hour, minute)
    return Clock(first, last, hour % 24, minute, vague=1 <= hour <= (7 if exact else 11))


_DOT_TIME = re.compile(r"([01]?\d|2[0-4])\.([0-5]\d)")
_BEFORE_DOT = words("в во с со до к после около at from until till by to по сағат - – —")


def _with_dot(tokens: Sequence[Token], at: int) -> list[Clock]:
    """`в 10.30`, `с 10.00 до 18.00`."""
    found = _DOT_TIME.fullmatch(tokens[at].text)
    if found is None:
        return []
    before = tokens[at - 1] if at else None
    ranged = at + 2 < len(tokens) and tokens[at + 1].text in RANGE_WORDS and bool(_DOT_TIME.fullmatch(tokens[at + 2].text))
    led = before is not None and (before.text in _BEFORE_DOT or is_weekday(tokens[at - 1].text))
    if not (led or (ranged and found[2] in ("00", "30"))) or not _may_end(tokens, _chained(tokens, at) + 1):
        return []
    return [_made(tokens, at, at, int(found[1]), int(found[2]), exact=True)]


def _with_dash(tokens: Sequence[Token], at: int) -> list[Clock]:
    """`в 10-00`, `с 10-00 до 18-00`, `в 15-20`."""
    hour, minute = tokens[at].whole, tokens[at + 2] if at + 2 < len(tokens) else None
    if hour is None or hour > 24 or minute is None or tokens[at + 1].text != "-" or not (tokens[at + 1].glued and minute.glued):
        return []
    led = at > 0 and tokens[at - 1].text in _BEFORE_DOT
    if not led or minute.sort != "number" or not re.fullmatch(r"[0-5]\d", minute.text):
        return []
    if minute.text != "00" and not (tokens[at - 1].text in ("в", "во", "к", "at") and _may_end(tokens, at + 3)):
        return []
    return [_made(tokens, at, at + 2, hour, int(minute.text), exact=True)]


def _may_end(tokens: Sequence[Token], at: int) -> bool:
    """Whether what stands at `at` may follow an hour: no thing that is counted."""
    if at >= len(tokens) or tokens[at].sort in ("time", "date"):
        return True
    token = tokens[at]
    if token.sort == "word":
        return token.text in _TIME_WORDS or token.text in RELATIVE or stands_alone(tokens, at)
    return stands_alone(tokens, at)


def _chained(tokens: Sequence[Token], at: int) -> int:
    """The last number of `в 2, 3 или 4` that starts at `at`."""
    last = at + 2 * LONGEST_CHAIN
    while at < last and at + 2 < len(tokens) and tokens[at + 1].text in JOINTS | {"-", "–"} and tokens[at + 2].sort == "number":
        at += 2
    return at


def _hour(tokens: Sequence[Token], at: int) -> int | None:
    """A whole hour written at `at`, None otherwise."""
    if at >= len(tokens) or tokens[at].sort != "number":
        return None
    value = tokens[at].whole
    if value is None or value > 24 or tokens[at].text in ("один", "одну", "одно", "одного", "одном", "one", "бір"):
        return None
    return value


def _after_hour(tokens: Sequence[Token], at: int) -> int:
    """The index after the hour at `at`, its word `часов` and its part of the day."""
    at += 1
    if at < len(tokens) and tokens[at].text in _HOURS:
        at += 1
    if at < len(tokens) and tokens[at].text in _DAY_PARTS:
        at += 1
    return at


def _range(tokens: Sequence[Token], at: int, used: Sequence[bool]) -> list[Clock]:
    """`с 10 до 18`, `пн–пт 10–18`, `from 10 to 6`, `сағат 10-нан 18-ге дейін`."""
    first = _hour(tokens, at)
    if first is None or not at:
        return []
    joint = _after_hour(tokens, at)
    before = tokens[at - 1].text
    led = before in _FROM
    if before in (":", ",") and at > 1:
        before = tokens[at - 2].text
    dated = is_weekday(tokens[at - 1].text) or _WORKING.fullmatch(before) is not None or before in ("ежедневно", "daily")
    joints = (_UNTIL | _DASHES) if led else _DASHES if dated else frozenset()
    if joint < len(tokens) and tokens[joint].text in joints:
        place = joint + 1
    elif led and tokens[at].suffix in ("нан", "нен", "дан", "ден", "тан", "тен"):
        place = joint
    else:
        return []
    second = _hour(tokens, place)
    if second is None or used[place] or not _may_end(tokens, _after_hour(tokens, place)):
        return []
    return [_made(tokens, at, at, first, 0), _made(tokens, place, place, second, 0)]


def _single(tokens: Sequence[Token], at: int) -> list[Clock]:
    """`в 14`, `до 18`, `к 15 часам`, `3 pm`, `сағат 14-те`, `таңғы 10-да`."""
    hour = _hour(tokens, at)
    if hour is None:
        return []
    before = tokens[at - 1].text if at else ""
    after = tokens[at + 1].text if at + 1 < len(tokens) else ""
    if after in ("am", "pm", "утра", "вечера") and hour <= 12:
        return [_made(tokens, at, at, hour, 0)]
    if [token.text for token in tokens[at + 1 : at + 4]] in (["p", ".", "m"], ["a", ".", "m"]):
        return [_made(tokens, at, at, hour, 0)]
    end = _after_hour(tokens, at)
    if before in ("сағат", "таңғы", "түскі", "кешкі"):
        return [_made(tokens, at, at, hour, 0)] if _may_end(tokens, at + 1) or tokens[at].suffix else []
    if before == "раз" or (at > 1 and tokens[at - 2].text == "раз"):
        return []
    if after in _HOURS:
        explicit = end > at + 2
        return [_made(tokens, at, at, hour, 0)] if before in _AT - {"около"} or explicit else []
    if not _may_end(tokens, _chained(tokens, at) + 1) or after == "-":
        return []
    if before in _AT:
        return [_made(tokens, at, at, hour, 0)] if hour or tokens[at].text == "00" else []
    if before in ("до", "с", "со", "until", "till", "from") and hour >= 5 and _is_about_hours(tokens, at):
        return [_made(tokens, at, at, hour, 0)]
    return []


def _is_about_hours(tokens: Sequence[Token], at: int) -> bool:
    """`до 18` is an hour where the sentence speaks of work or a day, and names no lower bound (`от 10 до 18`)."""
    words = [token.text for token in tokens[max(0, at - 9) : at - 1]]
    if len(words) > 1 and words[-2] in ("от", "from"):
        return False
    near = words + [token.text for token in tokens[at + 1 : at + 4]]
    return any(_WORKING.fullmatch(word) or is_weekday(word) for word in near)
