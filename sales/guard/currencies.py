"""Currencies as people write them, in all forms of the three languages."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .tokens import Token, words

_SIGNS = {"₸": "KZT", "₽": "RUB", "$": "USD", "€": "EUR", "£": "GBP", "¥": "CNY", "₴": "UAH", "₺": "TRY", "₿": "BTC"}
_WORDS = re.compile(
    r"""(?:
    (?P<KZT>тенге.{0,6}|теңге.{0,9}|теньге|тг(?:-.{1,4})?|тнг|kzt|tenge|tenges|tg)
    |(?P<RUB>руб|рубл.{1,4}|руб\w?|rub|rur|rubles?|roubles?|р|тр|рэ)
    |(?P<USD>usd|долл|доллар.{0,6}|бакс.{0,4}|dollars?|bucks?|usdollars?|уе)
    |(?P<EUR>eur|euro|euros|евро)
    |(?P<GBP>gbp|sterling)
    |(?P<CNY>cny|rmb|юан.{1,4}|yuan)
    |(?P<KGS>kgs|сом|сома|сомов)
    |(?P<UZS>uzs|сум|сумов)
    |(?P<TRY>try|лир|лиры|лира|lira)
    |(?P<UAH>uah|гривен|гривн.{1,3}|грн)
    |(?P<BYN>byn)
    |(?P<AED>aed|дирхам.{0,4}|dirhams?)
    |(?P<USDT>usdt|tether)
    |(?P<BTC>btc|биткоин.{0,4}|bitcoins?)
    )""",
    re.VERBOSE,
)
#: Codes that are written before the number; `try` is a word of its own there.
_LEADING = words("kzt rub usd eur gbp cny kgs uzs uah byn aed usdt тг")
#: Whose money it is: `казахстанских тенге`.
_ADJECTIVES = re.compile(r"(?:казахстан|росси|америк|қазақстан|kazakh|russian|us$|u\.s|сша).{0,12}")
#: Without a glance at the neighbours these mean something else: `p.`, `try`, `сом` (the fish).
_ONLY_AFTER_NUMBERS = words("р тр try уе")


def code_of(token: Token) -> str | None:
    """The ISO code (or ticker) that a word or sign stands for, None for what is no currency."""
    if token.sort == "mark":
        return _SIGNS.get(token.text)
    if token.sort != "word":
        return None
    found = _WORDS.fullmatch(token.text)
    return found.lastgroup if found else None


def currency_at(tokens: Sequence[Token], at: int) -> tuple[str, int] | None:
    """The currency that follows a number, and the index after it: `₸`, `казахстанских тенге`, `долл. США`, `т.р.`."""
    if at < len(tokens) and tokens[at].sort == "word" and _ADJECTIVES.fullmatch(tokens[at].text):
        at += 1
    if at >= len(tokens):
        return None
    code = code_of(tokens[at])
    if code is None and [token.text for token in tokens[at : at + 4]] == ["у", ".", "е", "."]:
        return "USD", at + 4
    return (code, at + 1) if code else None


def currency_before(tokens: Sequence[Token], at: int) -> str | None:
    """The currency whose sign or code stands right before the number at `at`: `$10`, `USD 10`."""
    if at == 0:
        return None
    token = tokens[at - 1]
    if token.sort == "mark" or token.text in _LEADING:
        return code_of(token)
    return None


def mentioned(tokens: Sequence[Token]) -> frozenset[str]:
    """All currencies that a text names, with or without an amount."""
    codes = {code_of(token) for token in tokens if token.text not in _ONLY_AFTER_NUMBERS}
    return frozenset(code for code in codes if code)
