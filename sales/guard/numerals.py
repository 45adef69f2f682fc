"""Number words and scale words in Russian, Kazakh and English, merged into the numbers they mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from .currencies import currency_at
from .tokens import Token, decimal_reading, words

_UNITS = """
0 ноль нуль нөл zero
1 один одна одно одну одного одной одним бір one
2 два две двух двум двумя екі two
3 три трех трем тремя үш three
4 четыре четырех четырем четырьмя төрт four
5 пять пяти пятью бес five
6 шесть шести шестью алты six
7 семь семи семью жеті seven
8 восемь восьми восемью сегіз eight
9 девять девяти девятью тоғыз nine
10 десять десяти десятью он ten
11 одиннадцать одиннадцати одиннадцатью eleven
12 двенадцать двенадцати двенадцатью twelve
13 тринадцать тринадцати тринадцатью thirteen
14 четырнадцать четырнадцати четырнадцатью fourteen
15 пятнадцать пятнадцати пятнадцатью fifteen
16 шестнадцать шестнадцати шестнадцатью sixteen
17 семнадцать семнадцати семнадцатью seventeen
18 восемнадцать восемнадцати восемнадцатью eighteen
19 девятнадцать девятнадцати девятнадцатью nineteen
20 двадцать двадцати двадцатью жиырма twenty
30 тридцать тридцати тридцатью отыз thirty
40 сорок сорока қырық forty fourty
50 пятьдесят пятидесяти пятьюдесятью елу fifty
60 шестьдесят шестидесяти шестьюдесятью алпыс sixty
70 семьдесят семидесяти семьюдесятью жетпіс seventy
80 восемьдесят восьмидесяти восемьюдесятью сексен eighty
90 девяносто девяноста тоқсан ninety
100 сто ста сотня сотню сотни стольник
200 двести двухсот двумстам
300 триста трехсот тремстам
400 четыреста четырехсот четыремстам
500 пятьсот пятисот пятистам полтыщи полтысячи полтыс
600 шестьсот шестисот
700 семьсот семисот
800 восемьсот восьмисот
900 девятьсот девятисот
500000 полмиллиона полмиллион полмлн поллимона
1.5 полтора полторы полутора
"""
_SCALES = """
1000 тыс тысяч тысяча тысячи тысячу тысячей тысячам тысячами тыща тыщ тыщи тыщу мың мыңға мыңды мыңнан мыңның мыңдай
1000 thousand thousands grand косарь косаря косарей
1000000 млн миллион миллиона миллионов миллиону миллионом лям ляма лямов mln million millions миллионға миллионды миллионнан
1000000000 млрд миллиард миллиарда миллиардов billion billions bn
"""


def _table(text: str) -> dict[str, Decimal]:
    lines = (line.split() for line in text.strip().splitlines())
    return {word: Decimal(value) for value, *words in lines for word in words}


UNITS = _table(_UNITS)
SCALES = {word: int(value) for word, value in _table(_SCALES).items()}
#: Scale words that mean one of their kind when they stand alone: `за тысячу`.
_ALONE = words("тысяча тысячу тыща тыщу косарь миллион лям лимон мың мыңға мыңды thousand million")
_HUNDREDS = {"hundred": 100, "hundreds": 100, "жүз": 100, "жүзге": 100}
_KAZAKH = frozenset(
    word for line in _UNITS.splitlines() for word in line.split() if any(letter in "әғқңөұүһі" for letter in word)
) | words("бес алты елу отыз жиырма алпыс жүз мың он теңге теңгеге теңгеден пайыз тенге тг")
_DECADES = frozenset(word for word, value in UNITS.items() if value in range(20, 100, 10) or (value == 10 and word == "он"))

_Read = tuple[Decimal, int, int]
"""A value, its scale, and the index after it."""


def merged(tokens: Sequence[Token]) -> list[Token]:
    """`tokens` with every number in words, and every number with its scale word, as one number token."""
    result: list[Token] = []
    at = 0
    while at < len(tokens):
        read = _quantity(tokens, at)
        if read is None:
            result.append(tokens[at])
            at += 1
            continue
        value, scale, end = read
        result.append(_one(tokens[at:end], value, scale))
        at = end
    return result


def _one(parts: Sequence[Token], value: Decimal, scale: int) -> Token:
    first = parts[0]
    if len(parts) == 1 and first.sort == "number" and scale == 1:
        return first
    text = " ".join(part.text for part in parts)
    suffix = parts[-1].suffix
    spelled = first.sort == "word"
    return replace(first, sort="number", text=text, end=parts[-1].end, value=value, scale=scale, spelled=spelled, suffix=suffix)


def _quantity(tokens: Sequence[Token], at: int) -> _Read | None:
    """`10 тысяч 500`, `1 млн 200 тыс`, `две тысячи пятьсот`, `half a million`: parts with falling scales."""
    total, scale, end = Decimal(0), 0, at
    while (part := _part(tokens, end, first=end == at)) is not None:
        value, size, after = part
        if scale and (size >= scale or value * size >= scale or not _continues(tokens, at, end, after, size)):
            break
        total, end = total + value * size, after
        scale = size
        if size == 1:
            break
    if end == at:
        return None
    largest = _part(tokens, at, first=True)
    return total, largest[1] if largest else 1, end


def _continues(tokens: Sequence[Token], start: int, at: int, after: int, size: int) -> bool:
    """Whether the part at `at` belongs to the number before: digits without a scale do only before a currency."""
    if size > 1:
        return True
    if tokens[at].sort == "word":
        return tokens[start].sort == "word" or UNITS.get(tokens[at].text, Decimal(0)) >= 100
    return (tokens[at].value or 0) >= 100 and currency_at(tokens, after) is not None


def _part(tokens: Sequence[Token], at: int, *, first: bool) -> _Read | None:
    """A number below a thousand, in digits or words, with the scale word after it."""
    if at >= len(tokens):
        return None
    token = tokens[at]
    if token.sort == "number" and token.value is not None:
        scale, end = _scale(tokens, at + 1)
        value = token.value
        if scale > 1:
            value = decimal_reading(token) or value
        return value, scale, end
    if token.sort != "word":
        return None
    simple = _simple(tokens, at)
    if simple is None:
        half = _half(tokens, at) if first else None
        if half is not None:
            return half
        return (Decimal(1), SCALES[token.text], at + 1) if token.text in _ALONE and first else None
    value, end = simple
    scale, end = _scale(tokens, end)
    return value, scale, end


def _half(tokens: Sequence[Token], at: int) -> _Read | None:
    """`half a million`, `жарты миллион`, `a hundred`, `пара тысяч`."""
    words = [token.text for token in tokens[at : at + 3]]
    rest = words[1:]
    if words[0] in ("half", "жарты"):
        skip = 1 if rest[:1] == ["a"] else 0
        if len(rest) > skip and rest[skip] in SCALES:
            return Decimal("0.5"), SCALES[rest[skip]], at + 2 + skip
    if words[0] in ("a", "пара", "пару", "couple") and rest and rest[0] in SCALES and rest[0] != "тыс":
        return Decimal(1 if words[0] == "a" else 2), SCALES[rest[0]], at + 2
    return None


def _simple(tokens: Sequence[Token], at: int) -> tuple[Decimal, int] | None:
    """A number below a thousand in words: `двести пятьдесят`, `он бес`, `two hundred and fifty`, `бір жарым`."""
    start, total, limit = at, Decimal(0), Decimal(10**9)
    while at < len(tokens) and tokens[at].sort == "word":
        word = tokens[at].text
        if word in _HUNDREDS and (limit in (1, 10**9)):
            total, limit, at = (total or Decimal(1)) * 100, Decimal(100), at + 1
            continue
        value = _unit(tokens, at)
        if value is None and word == "and" and limit == 100 and at + 1 < len(tokens) and _unit(tokens, at + 1) is not None:
            at += 1
            continue
        if value is None or value >= limit or (limit == 10 and value >= 10):
            break
        total, at = total + value, at + 1
        limit = _room(value, word)
    if at == start:
        return None
    if at < len(tokens) and tokens[at].text == "жарым":
        return total + Decimal("0.5"), at + 1
    if [token.text for token in tokens[at : at + 4]][:4] == ["and", "a", "half"]:
        return total + Decimal("0.5"), at + 3
    return total, at


def _room(value: Decimal, word: str) -> Decimal:
    """What may follow a number word: tens after hundreds, units after tens."""
    if value >= 100:
        return Decimal(100) if value < 1000 else Decimal(0)
    if word in _DECADES:
        return Decimal(10)
    return Decimal(1)


def _unit(tokens: Sequence[Token], at: int) -> Decimal | None:
    word = tokens[at].text
    value = UNITS.get(word)
    if value is None and "-" in word:
        tens, _hyphen, unit = word.partition("-")
        if tens in _DECADES and unit in UNITS and UNITS[unit] < 10:
            return UNITS[tens] + UNITS[unit]
    if word == "он" and not _is_ten(tokens, at):
        return None
    return value


def _is_ten(tokens: Sequence[Token], at: int) -> bool:
    """Whether `он` is the Kazakh ten, and not the Russian pronoun."""
    if at and tokens[at - 1].text in ("жүз", "мың"):
        return True
    return at + 1 < len(tokens) and (tokens[at + 1].text in _KAZAKH or currency_at(tokens, at + 1) is not None)


def _scale(tokens: Sequence[Token], at: int) -> tuple[int, int]:
    """The scale at `at` and the index after it: (1, at) where there is none. `1 млн тыс` has two."""
    scale = 1
    while at < len(tokens):
        token = tokens[at]
        following = tokens[at + 1].text if at + 1 < len(tokens) else ""
        if token.sort != "word":
            break
        if token.text in SCALES and not (token.text == "grand" and not scale):
            scale *= SCALES[token.text]
            at += 2 if following == "." and _abbreviated(tokens, at) else 1
        elif scale == 1 and _is_k(tokens, at):
            scale, at = 1000, at + 1
        elif scale == 1 and token.text in ("т", "тр") and (_is_thousand_roubles(tokens, at) or token.text == "тр"):
            scale = 1000
            at += 2 if following == "." else (0 if token.text == "тр" else 1)
            break
        else:
            break
        if scale > 10**12:
            break
    return scale, at


def _abbreviated(tokens: Sequence[Token], at: int) -> bool:
    """Whether the dot after `тыс` is its own, and the sentence goes on."""
    return tokens[at].text in ("тыс", "млн", "млрд") and at + 2 < len(tokens) and tokens[at + 2].text != "\n"


def _is_k(tokens: Sequence[Token], at: int) -> bool:
    """`10к`, `10 k`: not the preposition `к`, not the `4K` of a screen (the readers of amounts tell that)."""
    if tokens[at].text not in ("к", "k", "к-", "kк"):
        return False
    if tokens[at].glued:
        return True
    following = tokens[at + 1] if at + 1 < len(tokens) else None
    return following is None or following.sort == "mark"


def _is_thousand_roubles(tokens: Sequence[Token], at: int) -> bool:
    following = [token.text for token in tokens[at + 1 : at + 3]]
    after = following[1:] if following[:1] == ["."] else following[:1]
    return after[:1] in (["р"], ["руб"], ["тг"], ["тенге"], ["₸"], ["₽"])
