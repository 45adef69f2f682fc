"""Reading amounts of money and percentages in running text, in Russian, Kazakh and English.

A number is money when a currency stands beside it, when the words around it speak of a price (`отдам за 900`), or when
it is large and stands alone (`10 000 мы не обещали`). A number before a noun is a count. All values are exact.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from . import shares
from .currencies import currency_at, currency_before
from .neighbours import stands_alone
from .shares import About
from .tokens import Token, words

Sure = Literal["named", "priced", "loose"]


@dataclass(frozen=True, slots=True)
class Amount:
    """Money or a percentage, of the tokens `first`…`last`.

    `unit` is a currency code, `%`, or empty. `sure` says why an amount without a currency is taken for money: the words
    around it speak of a price, or it is merely a large number that counts nothing. `about` tells percentages of a discount
    from those of a mixture or a prepayment.
    """

    value: Decimal
    unit: str
    sure: Sure
    first: int
    last: int
    about: About = ""


def plain(value: Decimal) -> str:
    """`10000`, `99.9`: digits without an exponent or needless zeros."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


_PRICE_WORDS = re.compile(
    r"""(?:цен(?:а|ы|е|у|ой|ам|ник\w*)?|сто(?:ит|ят|ило|ила|имост\w*)|прайс\w*|тариф\w*|обойд\w+|обход(?:ит|ят)\w*|выйдет|выходит
    |итог\w*|всего|сумм\w+|оплат\w*|оплач\w*|заплат\w+|плат(?:ит\w*|еж\w*|а|у|ы)|доплат\w*|предоплат\w*|залог\w*|депозит\w*|аванс\w*
    |отда(?:м|дим|ю|ем|ть|ете)|прода(?:м|дим|ю|ем|ть)|уступ\w+|скин\w+|скид\w+|сброс\w+|сбав\w+|дешевле|дороже|бюджет\w*|счет|счета|долг\w*
    |эконом\w+|выгод\w+|комисси\w+|штраф\w*|взнос\w*|переплат\w*|кэшбэк\w*|кешбэк\w*|сертификат\w*|обеща\w+|верн(?:ем|у|ут)|перевед\w+|переч\w+
    |баға\w*|бағасы\w*|құн\w*|тұр(?:ады|ған|атын)|төле\w*|арзан\w*|қымбат\w*|жеңілдік\w*|барлығы|аударым\w*|аудар\w*|шығады|түсір\w*
    |prices?|priced|costs?|pay\w*|paid|charges?|charged|total\w*|worth|discounts?|cheaper|fees?|deposit|budget|refund\w*|sells?|sum|amount\w*
    |сатамыз|сатам|beremiz|bagasy)""",
    re.VERBOSE,
)
#: Numbers of an enumeration that are read as one.
LONGEST_CHAIN = 12
#: Between a price word and its number; more is another matter.
_REACH = 7
#: `оплатить до 18`, `оплата в 3`: with these, a small number is an hour.
_HOUR_PREPOSITIONS = words("в во до с со к после at by until till from")
_NOT_BEFORE = re.compile(
    r"(?:№|#|×|/|x|х|артикул\w*|арт|код\w*|номер\w*|модел\w*|заказ|индекс|дом|кв|офис|каб\w*|"
    r"п|пункт\w*|id|мощность\w*|no|number|версия|"
    r"model|серия|серии|order|год\w*|iphone|galaxy|ресурс\w*|диапазон\w*)"
)
_KAZAKH_PRICE_AFTER = words("тұрады береміз беремін сатамыз сатамын шығады түсіреміз түсіремін төлейсіз болады")
_SEPARATORS = words(", / - – — и или or and до по to мен пен бен және немесе")


def amounts(tokens: Sequence[Token], used: list[bool], *, known: bool = False) -> list[Amount]:
    """The amounts of money and percentages in `tokens`; their places are marked in `used`.

    `known` reads a text of facts: there, any number that counts nothing may be a price (a cell of a price list).
    """
    found: list[Amount] = []
    for at, token in enumerate(tokens):
        if token.sort == "number" and not used[at]:
            unit, last = _unit(tokens, at, used)
            if unit:
                found += _chain(tokens, at, unit, last, used)
    for at, token in enumerate(tokens):
        if token.sort == "number" and not used[at]:
            sure = _bare(tokens, at, used, known)
            if sure:
                found.append(Amount(token.value or Decimal(0), "", sure, at, at))
                used[at] = True
    found = [replace(one, about=shares.about(tokens, one.first, one.last)) if one.unit == "%" else one for one in found]
    for at, percent in shares.fractions(tokens):
        found.append(Amount(percent, "%", "named", at, at, shares.about(tokens, at, at, "discount")))
    return sorted(found, key=lambda amount: amount.first)


def _unit(tokens: Sequence[Token], at: int, used: Sequence[bool]) -> tuple[str, int]:
    """The currency or percent sign of the number at `at`, and the index of the last token it takes; ("", at) if none."""
    after = at + 1
    if _is_percent(tokens, after):
        return "%", after
    currency = currency_at(tokens, after)
    if currency is not None:
        return currency[0], currency[1] - 1
    before = currency_before(tokens, at)
    if before is not None and not used[at - 1]:
        return before, at
    return "", at


_PERCENT = re.compile(r"%|‰|проц|процент.{0,4}|percents?|pct|пайыз.{0,6}|процентн.{1,3}")


def _is_percent(tokens: Sequence[Token], at: int) -> bool:
    if at >= len(tokens):
        return False
    if tokens[at].text == "per":
        return at + 1 < len(tokens) and tokens[at + 1].text == "cent"
    if tokens[at].text == "-" and tokens[at].glued:
        return at + 1 < len(tokens) and tokens[at + 1].glued and tokens[at + 1].text.startswith("процентн")
    return _PERCENT.fullmatch(tokens[at].text) is not None


def _chain(tokens: Sequence[Token], at: int, unit: str, last: int, used: list[bool]) -> list[Amount]:
    """The amount at `at` and those before it that share its unit: `от 10 до 15 тысяч тенге`, `5, 7 и 9 %`."""
    found = []
    if not (unit == "%" and shares.is_idiom(tokens, at, last)):
        found.append(Amount(tokens[at].value or Decimal(0), unit, "named", at, last))
    for place in range(at - 1 if last == at else at, last + 1):
        used[max(place, 0)] = True
    right = at
    while (left := _previous(tokens, right, unit, used)) is not None:
        value = tokens[left].value or Decimal(0)
        found.append(Amount(_scaled(value, tokens[left], tokens[right]), unit, "named", left, last))
        used[left] = True
        right = left
    return found


def _scaled(value: Decimal, left: Token, right: Token) -> Decimal:
    """`10` of `10–15 тыс.` is ten thousand; `500` of `от 500 до 2 тысяч` is not half a million."""
    base = (right.value or Decimal(0)) / right.scale
    return value * right.scale if left.scale == 1 and right.scale > 1 and value < base else value


def _previous(tokens: Sequence[Token], at: int, unit: str, used: Sequence[bool]) -> int | None:
    """The number right before the one at `at`, joined to it by a dash, a comma or a word such as `до`; None otherwise."""
    left = at - 2
    if left >= 0 and tokens[left].sort == "mark" and tokens[left].text in _SEPARATORS:
        left -= 1  # "5, или 10"
    if left < 0 or tokens[left].sort != "number" or used[left] or tokens[at - 1].text not in _SEPARATORS:
        return None
    if currency_at(tokens, left + 1) is not None:
        return None
    value, joint = tokens[left].value or Decimal(0), tokens[at - 1]
    ascending = _scaled(value, tokens[left], tokens[at]) <= (tokens[at].value or Decimal(0))
    tight = joint.glued and tokens[at].glued and joint.text != ","
    ranged = left > 0 and tokens[left - 1].text in ("от", "с", "from", "between", "из")
    if unit == "%":
        return left if tight or joint.sort == "word" or ranged or (ascending and value >= 1) else None
    scaled = tokens[at].scale > 1 and ascending
    return left if tight or ranged or value >= 100 or scaled else None


def _bare(tokens: Sequence[Token], at: int, used: Sequence[bool], known: bool) -> Sure | None:
    """Why a number without a unit is taken for money, or None."""
    token = tokens[at]
    value = token.value or Decimal(0)
    end = _chain_end(tokens, at)
    priced = value >= 100 and end + 1 < len(tokens) and _PRICE_WORDS.fullmatch(tokens[end + 1].text)
    if not (stands_alone(tokens, end + 1) or priced) or _is_numbering(tokens, at):
        return None
    if known and value >= 100:
        return "priced" if not _is_year(tokens, at) else None
    distance = _price_distance(tokens, at, used)
    if distance is not None and _fits_price(tokens, at, distance):
        return "priced"
    if token.text in _SCREENS or value < 1000 or _is_year(tokens, at):
        return None
    grouped = not token.text.isdigit() and not token.spelled
    return "loose" if token.scale > 1 or grouped or token.text.endswith("00") else None


#: Resolutions of screens.
_SCREENS = frozenset(("2 k", "4 k", "8 k", "4 к", "8 к"))


def _chain_end(tokens: Sequence[Token], at: int) -> int:
    """The last number of `5, 7 и 9` that starts at `at`: what stands after it says what all of them are."""
    last = at + 2 * LONGEST_CHAIN
    while at < last and at + 2 < len(tokens) and tokens[at + 1].text in _SEPARATORS and tokens[at + 2].sort == "number":
        at += 2
    return at


def _is_numbering(tokens: Sequence[Token], at: int) -> bool:
    """`№ 15`, `DC 200`, `30×40`, `24/7`, `1)` at the start of a line."""
    if at == 0:
        return tokens[at].scale == 1 and (tokens[at].value or 0) < 100 and len(tokens) > 1 and tokens[1].text in (".", ")")
    before = tokens[at - 1]
    if before.text == "." and at > 1:
        before = tokens[at - 2] if tokens[at - 2].text in ("арт", "п", "кв", "д", "no", "тел") else before
    if _NOT_BEFORE.fullmatch(before.text) and not (before.text == "/" and tokens[at - 2].sort == "number" and tokens[at].value):
        return True
    return before.text == "\n" and (tokens[at].value or 0) < 100 and at + 1 < len(tokens) and tokens[at + 1].text in (".", ")")


def _is_year(tokens: Sequence[Token], at: int) -> bool:
    value = tokens[at].whole
    return value is not None and 1950 <= value <= 2049 and value != 2000 and len(tokens[at].text) == 4


def _price_distance(tokens: Sequence[Token], at: int, used: Sequence[bool]) -> int | None:
    """How many tokens lie between a price word and the number at `at`, in the same sentence; None without one."""
    for distance, place in enumerate(range(at - 1, max(-1, at - 2 - _REACH), -1)):
        token = tokens[place]
        if token.text in ("\n", "!", "?", ";", "|") or (token.text == "." and not tokens[place + 1].glued):
            break
        if token.sort == "number" and used[place]:
            break
        if token.sort == "word" and _PRICE_WORDS.fullmatch(token.text):
            return distance
    following = [token.text for token in tokens[at + 1 : at + 3] if token.sort == "word"]
    if any(word in _KAZAKH_PRICE_AFTER for word in following) or (following and _PRICE_VERBS.fullmatch(following[0])):
        return 0
    if at and tokens[at - 1].text in ("за", "по", "for"):
        given = at > 1 and _GIVING.fullmatch(tokens[at - 2].text)
        return 0 if given else 1 if (tokens[at].value or 0) >= 100 else None
    return None


_GIVING = re.compile(r"да(?:м|дим|ю|ем)|сдела(?:ю|ем)|забер\w+|забирай\w*|возьм\w+|бер(?:у|ем|ите)|yours|take|have")
_PRICE_VERBS = re.compile(r"отда\w+|стоит|стоят|выйдет|обойд\w+|прода(?:м|дим)|скин\w+|уступ\w+|off|total")


def _fits_price(tokens: Sequence[Token], at: int, distance: int) -> bool:
    """Small numbers and years need the price word close by; fractions are prices only with two decimals."""
    token = tokens[at]
    value = token.value or Decimal(0)
    if _is_year(tokens, at) and distance > 1:
        return False
    before = tokens[at - 1].text if at else ""
    if value <= 24 and before in _HOUR_PREPOSITIONS and not (at > 1 and tokens[at - 2].text.startswith(("скид", "discount"))):
        return False
    if token.scale == 1 and not token.spelled and "." in token.text.replace(",", ".") and value < 100:
        return distance <= 1 and len(token.text.replace(",", ".").partition(".")[2]) == 2
    if value < 100 and (token.spelled or distance > 1):
        return False
    return value > 0
