"""Percentages: what they are of, and those that are written as `half price` or `вдвое дешевле`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

from .neighbours import stands_alone
from .tokens import Token

About = Literal["", "discount", "other"]

_DISCOUNT = re.compile(
    r"скид\w*|скин\w+|уступ\w+|акци\w*|дешевле|выгод\w+|минус|распродаж\w*|промокод\w*|жеңілдік\w*|арзан\w*|discount\w*"
    r"|off|cheaper|promo\w*|sale"
)
_OTHER_SHARES = re.compile(
    r"предоплат\w*|аванс\w*|залог\w*|депозит\w*|ндс|налог\w*|комисси\w*|остаток|годовы\w*|наценк\w*|алдын|prepayment"
    r"|deposit|upfront|vat|advance"
    r"|взнос\w*|оплат\w+|төлем\w*|выкуп\w*|платеж\w*"
)


def about(tokens: Sequence[Token], first: int, last: int, otherwise: About = "") -> About:
    """What the percentage at `first`…`last` is of, by the words of its clause, then of its sentence."""
    for word in _around(tokens, first, last, "\n.!?;|,—"):
        if _DISCOUNT.fullmatch(word):
            return "discount"
        if _OTHER_SHARES.fullmatch(word):
            return "other"
    if any(_DISCOUNT.fullmatch(word) for word in _around(tokens, first, last, "\n.!?|")):
        return otherwise
    return otherwise or ("" if stands_alone(tokens, last + 1) else "other")


def _around(tokens: Sequence[Token], first: int, last: int, borders: str) -> list[str]:
    """The words around a percentage up to the marks `borders`, at most fifteen on each side, the nearest first."""
    sides = [range(first - 1, max(-1, first - 16), -1), range(last + 1, min(len(tokens), last + 16))]
    found: list[tuple[int, str]] = []
    for side in sides:
        for distance, at in enumerate(side):
            if tokens[at].sort == "mark" and tokens[at].text in borders:
                break
            found.append((distance, tokens[at].text))
    return [word for _distance, word in sorted(found, key=lambda item: item[0])]


_IDIOMS = re.compile(r"увер\w*|согла\w*|точн\w*|поним\w*|прав\w{0,2}|sure|agree|certain|сенімді\w*|келіс\w*")


def is_idiom(tokens: Sequence[Token], at: int, last: int) -> bool:
    """`я на 100 % уверен` states nothing about the goods."""
    if tokens[at].value != 100:
        return False
    around = [*tokens[max(0, at - 3) : at], *tokens[last + 1 : last + 3]]
    if at and tokens[at - 1].text == "на" and stands_alone(tokens, last + 1):
        clause = _around(tokens, at, last, "\n.!?;|,—")
        return not any(_ABOUT_PRICE.fullmatch(word) or _DISCOUNT.fullmatch(word) for word in clause)
    return any(_IDIOMS.fullmatch(token.text) for token in around)


_HALVES = re.compile(r"половин.{1,3}|half|жартысы.{0,4}|жартылай|вполовину|наполовину|жарты")
_FRACTIONS = {"треть": "33", "четверть": "25", "четверти": "25", "quarter": "25", "third": "33"}
_ABOUT_PRICE = re.compile(
    r"цен\w*|стоимост\w*|скид\w+|скин\w+|сумм\w+|\w*плат\w*|\w*плач\w*|дешевле|ниже|выгодн\w+|бюджет\w*|залог\w*"
    r"|депозит\w*|взнос\w*|стоит|счет\w*"
    r"|price\w*|off|costs?|pay\w*|cheaper|discount\w*|deposit\w*|amount|баға\w*|құн\w*|төле\w*|арзан\w*|жеңілдік\w*"
    r"|сома\w*|ақы\w*"
)
_TWICE = frozenset(("вдвое", "двукратно"))
_LESS = re.compile(r"дешевле|ниже|выгодне\w*|меньше|cheaper|арзан\w*|less")


def fractions(tokens: Sequence[Token]) -> list[tuple[int, Decimal]]:
    """`половина цены`, `скидка вдвое`, `в два раза дешевле`, `half price` as percentages, with their places."""
    found: list[tuple[int, Decimal]] = []
    for at, token in enumerate(tokens):
        percent = None
        if token.text in ("полцены", "полстоимости") or (token.text == "half-price"):
            percent = "50"
        elif token.sort == "word" and (_HALVES.fullmatch(token.text) or token.text in _TWICE or token.text in _FRACTIONS):
            near = [*tokens[max(0, at - 3) : at], *tokens[at + 1 : at + 4]]
            if any(_ABOUT_PRICE.fullmatch(other.text) for other in near):
                percent = _FRACTIONS.get(token.text, "50")
        elif token.text in ("раза", "times", "есе") and any(_LESS.fullmatch(other.text) for other in tokens[at + 1 : at + 3]):
            times = tokens[at - 1].whole if at else None
            percent = str(100 // times) if times in (2, 3, 4, 5) and times else None
        if percent:
            found.append((at, Decimal(percent)))
    return found
