"""Texts as words, numbers and marks: the reading that amounts, moments and promises share."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

Sort = Literal["number", "word", "mark", "date", "time", "code"]

#: Longer runs of digits are no amounts (and would be slow to calculate with).
LONGEST_NUMBER = 18


def words(text: str) -> frozenset[str]:
    """A list of words, written as a text."""
    return frozenset(text.split())


#: Words that may stand right before a number without a space: `до18`, `USD200` are no product codes.
_BEFORE_NUMBERS = words("""
    в во с со до от по за на к ко из и или а at by to for from till until and or usd eur rub rur kzt тг тенге теңге руб
    р х x сағат no
    """)


@dataclass(frozen=True, slots=True)
class Token:
    """A word, number or mark at `start`…`end` of the text.

    `text` is in lower case, ё as е. `value` belongs to numbers; `scale` is what it was multiplied with (`10 тыс.`),
    `spelled` says that it was written in words, `glued` that nothing stands between it and the token before, `capital`
    that a word begins with a capital letter.
    """

    sort: Sort
    text: str
    start: int
    end: int
    glued: bool = False
    value: Decimal | None = None
    scale: int = 1
    spelled: bool = False
    suffix: str = ""
    capital: bool = False

    @property
    def whole(self) -> int | None:
        """The value of a small whole number written without fractions or a scale, else None."""
        if self.value is None or self.scale != 1 or self.value > 9999 or self.value != self.value.to_integral_value():
            return None
        return int(self.value) if self.spelled or self.text.isdigit() else None


class _Clean(dict[int, int | str | None]):
    """Spaces, digits and dashes of all scripts as the plain ones; what cannot be seen is dropped."""

    def __missing__(self, code: int) -> int | str | None:
        character = chr(code)
        category = unicodedata.category(character)
        result: int | str | None = code
        if category == "Zs" or character in "\t\u200b":
            result = " " if character != "\u200b" else None
        elif category == "Nd":
            result = str(unicodedata.digit(character))
        elif category == "Cf" or code in (0xFE0E, 0xFE0F, 0x20E3):
            result = None
        elif 0xFF01 <= code <= 0xFF5E:
            result = chr(code - 0xFEE0)
        elif character in "\u2028\u2029\v\f\r\x85":
            result = "\n"
        self[code] = result
        return result


class _Lower(dict[int, int | str]):
    """One character for one, so that places in the folded text are places in the text."""

    def __missing__(self, code: int) -> int | str:
        lower = chr(code).lower()
        self[code] = lower if len(lower) == 1 else code
        return self[code]


_CLEAN = _Clean()
_LOWER = _Lower({ord("ё"): "е", ord("Ё"): "е", ord("’"): "'", ord("‘"): "'", ord("ʼ"): "'", ord("−"): "-", ord("‑"): "-"})
_EMPHASIS = re.compile(r"(?<=\d)\*+(?=\d)|[*~`]+|(?<!\w)_+(?=\w)|(?<=[^\W_])_+(?!\w)|</?[a-zA-Z]{1,10}>")


def clean(text: str) -> str:
    """`text` without emphasis marks and invisible characters, with plain spaces and digits."""
    plain = unicodedata.normalize("NFC", text).translate(_CLEAN)
    return _EMPHASIS.sub(lambda found: "×" if found[0][0] == "*" and _between_digits(found) else "", plain)


def _between_digits(found: re.Match[str]) -> bool:
    text, start, end = found.string, found.start(), found.end()
    return start > 0 and end < len(text) and text[start - 1].isdigit() and text[end].isdigit()


def fold(text: str) -> str:
    """A cleaned text in lower case, ё as е, of the same length."""
    return text.translate(_LOWER)


_LEX = re.compile(
    r"""
    (?P<iso>(?<![\w-])\d{4}-\d\d-\d\d(?![\d-]))(?:[tт](?=\d\d:))?
    |(?P<dmy>(?<![\w.])\d{1,2}(?:\.\d{1,2}\.(?:\d{4}|\d\d)|/\d{1,2}/\d{4}|-\d{1,2}-\d{4})(?![\d]))
    |(?P<time>(?<![\w:])(?:[01]?\d|2[0-4]):[0-5]\d(?::[0-5]\d)?(?![\d:]))
    |(?P<code>(?P<head>[^\W\d_]{1,8})-?\d\w*(?:-\d\w*)*)
    |(?P<number>(?:\d{1,3}(?P<gap>[ '.,])\d{3}(?:(?P=gap)\d{3})*(?:[.,]\d{1,2})?|\d+[.,]\d+|\d+)(?![\d]))
        (?:(?P<joint>-?)(?P<case>[^\W\d_]{1,4})(?![\w-]))?
    |(?P<digits>\d)
    |(?P<word>[^\W\d_]+(?:['-][^\W\d_]+)*)
    |(?P<mark>[^\w ]|_|\w)
    """,
    re.VERBOSE,
)
#: Endings of numbers written in digits: `25-го`, `10 000-ға`, `25th`. Russian ones need the hyphen.
_RUSSIAN_ENDINGS = words("го ого его ое ой й я е ти х ми ю ую му")
_ENDINGS = words("""
    th st nd rd s ға ге қа ке на не да де та те дан ден тан тен нан нен ды ді ты ті ны ні дың дің тың тің ның нің ші шы
    лік лық дік дық тік тық і ы сы сі мен пен бен дей тей
    """)


def lex(folded: str, written: str) -> list[Token]:
    """The tokens of a folded text, in order; `written` is the text before folding. A line break is the mark `\\n`."""
    return [
        replace(token, capital=True) if token.sort == "word" and written[token.start].isupper() else token
        for token in _lex(folded)
    ]


def _lex(text: str) -> Iterator[Token]:
    at = end = 0
    while (found := _LEX.search(text, at)) is not None:
        start, glued = found.start(), found.start() == end and end > 0
        sort = found.lastgroup or "mark"
        at = end = found.end()
        if found["code"] is not None and not _is_code(found["head"]):
            at = end = found.end("head")
            yield Token("word", found["head"], start, end, glued)
            if text[at] == "-":
                yield Token("mark", "-", at, at + 1, True)
                at = end = at + 1
        elif found["number"] is not None:
            number = _number(found, glued)
            at = end = number.end
            yield number
        elif sort in ("iso", "dmy"):
            yield Token("date", found[sort], start, end, glued)
        elif found["time"] is not None:
            yield Token("time", found["time"], start, end, glued)
        elif found["digits"] is not None:
            yield Token("code", found["digits"], start, end, glued)
        elif found["code"] is not None:
            yield Token("code", found["code"], start, end, glued)
        else:
            yield Token("word" if found["word"] is not None else "mark", found[0], start, end, glued)


def _is_code(head: str) -> bool:
    """Whether letters right before digits make a product code (`DC-200`), and are no word typed without a space."""
    return head not in _BEFORE_NUMBERS and (head.isascii() or len(head) <= 3)


def _number(found: re.Match[str], glued: bool) -> Token:
    text, case = found["number"], found["case"] or ""
    end = found.end("number")
    if case in _ENDINGS or (case in _RUSSIAN_ENDINGS and found["joint"]):
        end = found.end("case")
    else:
        case = ""
    if sum(map(str.isdigit, text)) > LONGEST_NUMBER:
        return Token("code", text, found.start(), end, glued)
    return Token("number", text, found.start(), end, glued, value_of(text, found["gap"]), suffix=case)


def value_of(text: str, gap: str | None) -> Decimal:
    """The value of digits as written; `gap` is the mark between thousands, None where there is none."""
    if gap is not None:
        text = text.replace(gap, "")
    return Decimal(text.replace(",", "."))


def decimal_reading(token: Token) -> Decimal | None:
    """`1,250` read as one and a quarter, for numbers before a scale word; None where no other reading exists."""
    whole, mark, fraction = token.text.replace(",", ".").partition(".")
    if mark and whole.isdigit() and fraction.isdigit():
        return Decimal(f"{whole}.{fraction}")
    return None


def clauses(tokens: list[Token]) -> list[range]:
    """Index ranges of the sentences and lines of a text."""
    ranges, start = [], 0
    for at, token in enumerate(tokens):
        if token.text in ("\n", "!", "?", "…", "|", ";") or (token.text == "." and _ends_sentence(tokens, at)):
            ranges.append(range(start, at + 1))
            start = at + 1
    if start < len(tokens):
        ranges.append(range(start, len(tokens)))
    return ranges


#: Abbreviations that stand before a name, and units: after these a capital letter begins a sentence.
_TITLES = words("г ул д кв тел т р п им пр просп стр no st")
_UNITS = words("тыс руб тг млн млрд шт мес мин ч см др долл проц гр кг л approx vs")


def _ends_sentence(tokens: list[Token], at: int) -> bool:
    """A dot ends a sentence, unless it belongs to an abbreviation in mid-line."""
    if at == 0 or at + 1 == len(tokens):
        return True
    before, after = tokens[at - 1].text, tokens[at + 1]
    if after.glued or before in _TITLES:
        return False
    return before not in _UNITS or after.capital or after.text == "\n"
