"""Cuts a chat message into the tokens of `words`: numbers by their shape, known words by their meaning, misspelt ones
by ear."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from .words import (
    COUNTED,
    KAZAKH_NUMBERS,
    LEXICON,
    MAY_FOLLOW,
    SUFFIXES,
    TEN,
    ZONE_CITIES,
    ZONE_SHORT,
    Token,
    fold,
    words_of,
)

LONGEST: Final = 2000
"""Characters of a message that are read; a call is not arranged beyond them."""

_PHRASES: Final = {tuple(form.split()): token for form, token in LEXICON.items() if " " in form}
_PHRASE_HEADS: Final = {head: max(len(p) for p in _PHRASES if p[0] == head) for head in {p[0] for p in _PHRASES}}
_CITY_STEMS: Final = sorted(
    ((stem, zone) for zone, stems in ZONE_CITIES.items() for stem in stems.split()), key=lambda row: -len(row[0])
)

# --- misspellings: the same word by ear, or one letter off -----------------------------------------------------------------
_BY_EAR: Final = (
    *((pair, one) for pair, one in (("тс", "ц"), ("дс", "ц"), ("тц", "ц"), ("дц", "ц"), ("сч", "щ"))),
    *((letter, "") for letter in "ьъй"),
    *zip("оеэяыбвгдзж", "аиииипфктсш", strict=True),
)
_OTHER_WORDS: Final = frozenset(
    words_of("""
        завтрак завтрака завтраки завтраком завтраке четверть четверти понедельникам вторникам средам четвергам пятницам
        субботам воскресеньям вторая вторую второй третья третью третий первая первую первый первые пятый пятая шестой
        десятый воскресная вчерашний сентиментально маркет марта-марта минус минуя чурез тридцатка десятка пятерка
        пятерочка восьмерка двадцатка четверо пятеро семеро недели серед середа средства средство средне средняя среднее
        среди майор through three-d another mother other twelveth days may might mays marcha marches sunday's friday's
        bugi минимум доставка десятки двойка тройка
    """)
)


def _by_ear(word: str) -> str:
    for written, heard in _BY_EAR:
        word = word.replace(written, heard)
    return re.sub(r"(.)\1+", r"\1", word)


def _shorter(word: str) -> Iterator[str]:
    yield word
    yield from (word[:i] + word[i + 1 :] for i in range(len(word)))


def _one_off(left: str, right: str) -> bool:
    """Whether one letter added, lost, changed or swapped with its neighbour makes `left` `right`."""
    if len(left) > len(right):
        left, right = right, left
    at = next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), len(left))
    if len(left) < len(right):
        return left[at:] == right[at + 1 :]
    return left[at + 1 :] == right[at + 1 :] or (
        left[at : at + 2] == right[at : at + 2][::-1] and left[at + 2 :] == right[at + 2 :]
    )


def _forgiven() -> list[str]:
    """The forms worth guessing at: long enough, and not of Kazakh months, which are other words with a letter changed."""
    shortest = {"weekday": 6, "relday": 6, "month": 6, "num": 8, "ord": 8}
    return [
        form
        for form, token in LEXICON.items()
        if len(form) >= shortest.get(token.kind, 99) and " " not in form and not str(token.value).startswith("kk:")
    ]


def _index(words: Iterable[tuple[str, str]]) -> dict[str, set[tuple[str, str]]]:
    """(spelling, form) under each spelling and all that lack one letter of it, so that near words meet in a look-up."""
    index: dict[str, set[tuple[str, str]]] = {}
    for spelling, form in words:
        for short in _shorter(spelling):
            index.setdefault(short, set()).add((spelling, form))
    return index


_HEARD: Final = {_by_ear(form): form for form in reversed(_forgiven())}
_NEAR_WRITTEN: Final = _index((form, form) for form in _forgiven())
_NEAR_HEARD: Final = _index((sound, form) for sound, form in _HEARD.items() if len(form) >= 9)


def _guess(word: str) -> Token | None:
    """What a misspelt word of time was meant to be: the same by ear, or one letter off; None where that is not one thing."""
    if not 5 <= len(word) <= 20 or word in _OTHER_WORDS:
        return None
    sound = _by_ear(word)
    if sound in _HEARD:
        return LEXICON[_HEARD[sound]]
    near = {form for short in _shorter(word) for spelling, form in _NEAR_WRITTEN.get(short, ()) if _one_off(word, spelling)}
    if len(word) >= 8:
        near |= {
            form for short in _shorter(sound) for spelling, form in _NEAR_HEARD.get(short, ()) if _one_off(sound, spelling)
        }
    meanings = {(LEXICON[form].kind, LEXICON[form].value) for form in near if _by_ear(form)[0] == sound[:1]}
    return LEXICON[min(near)] if len(meanings) == 1 else None


def zone_named(word: str) -> str | None:
    """The zone key of a city or country, in any case ("Москве", "московскому"), else None."""
    return next((zone for stem, zone in _CITY_STEMS if word.startswith(stem) and len(word) <= len(stem) + 6), None)


# --- writing to tokens ----------------------------------------------------------------------------------------------------
_PHONE: Final = re.compile(r"(?<![\w.])(?:\+\d|[78])[\s(-]*\d{3}[\s)-]*\d{3}[\s-]*\d{2}[\s-]*\d{2}(?!\d)|\+\d{9,}")
_LINK: Final = re.compile(r"https?://\S+|www\.\S+|\S+@\S+\.\S+")
_MERIDIEM: Final = re.compile(r"(?<![a-z])([ap])\.?\s?m(?![a-z])\.?")
_THOUSANDS: Final = re.compile(r"(?<![\d.:,-])\d{1,3}(?:[ \u00a0.,]\d{3})+(?![\d:-])")
_PIECE: Final = re.compile(
    r"""(?P<iso>\d{4}-\d{1,2}-\d{1,2})(?!\d)
      | (?P<date>\d{1,2}([./-])\d{1,2}\3(?:\d{4}|\d{2}))(?!\d)
      | (?P<clock>\d{1,2}:\d{2})(?::\d{2})?(?!\d)
      | (?P<ratio>\d+:\d+|\d+[xх*]\d+|24/7)
      | (?P<dotted>\d{1,2}[.,]\d{2})(?!\w|\.\d)
      | (?P<slashed>\d{1,2}/\d{1,2})(?![\d/])
      | (?P<dashed>\d{1,2}-\d{1,2})(?!\d|[-:.]\d)
      | (?P<decimal>\d+[.,]\d+)
      | (?P<digits>\d+)
      | (?P<word>[^\W\d_]+(?:'[^\W\d_]+)?)
      | (?P<mark>[^\s\w]|_)""",
    re.VERBOSE,
)
_SUFFIXED: Final = re.compile(r"\s?-?\s?([a-zа-я]+)(?![\w])")
_THOUSAND: Final = re.compile(r"[кk](?!\w)")
_SHORTENED: Final = (
    *tuple(
        f" {word}" for word in words_of("ч мин м г час пн вт ср чт пт сб вс след ул кв д янв фев мар апр авг сен окт ноя дек")
    ),
    *(f"{digit}{unit}" for digit in "0123456789" for unit in "чмг"),
)
_ADJECTIVE: Final = re.compile(r"-([а-яa-z]{5,})")
_SPACED: Final = re.compile(r"\s(де|те|да|та|дан|ден|тан|тен|нан|нен|га|ге|ка|ке)(?![\w])")
_STOPS: Final = frozenset(".!?;\n")


def _numeric(kind: str, text: str) -> Token:
    """The token of something written in digits."""
    if kind == "digits":
        number = int(text[:6])
        if len(text) == 4 and 2020 <= number <= 2099:
            return Token("year", number, text)
        if len(text) == 4 and 9 <= number // 100 <= 19 and number % 100 < 60 and number % 5 == 0:
            return Token("run", (number // 100, number % 100), text)
        return Token("num" if len(text) <= 2 or (len(text) == 3 and text[0] == "0") else "count", number, text)
    if kind == "decimal":
        return Token("num", float(text.replace(",", ".")[:8]), text) if len(text) < 8 else Token("count", 0, text)
    if kind == "ratio":
        return Token("count", 0, text)
    parts = tuple(int(part) for part in re.split(r"\D", text))
    if kind == "date":
        return Token("date", (parts[2] if parts[2] > 99 else 2000 + parts[2], parts[1], parts[0]), text)
    if kind == "iso":
        return Token("date", parts, text)
    return Token(kind, parts, text)


def _pieces(text: str) -> Iterator[Token]:
    """Raw tokens: digits by their shape, words as `raw`, marks as `stop`, `comma`, `dash` or `mark`."""
    at = 0
    while match := _PIECE.search(text, at):
        if "\n" in text[at : match.start()]:
            yield Token("stop", 0, "\n")
        shortened = text[:at].endswith(_SHORTENED) and match[0] == "."
        at = match.end()
        if shortened:
            continue
        kind = match.lastgroup or "mark"
        piece = match[kind]
        if kind == "word":
            yield Token("raw", 0, piece)
        elif kind == "mark":
            if piece == "." and text[at : at + 1] == ".":
                continue  # three dots are one stop
            yield Token(
                "stop" if piece in _STOPS else "comma" if piece in ",():" else "dash" if piece == "-" else "mark", 0, piece
            )
        else:
            token = _numeric(kind, piece)
            if (token.kind == "num" and _THOUSAND.match(text, at)) or (
                token.kind == "num"
                and (adjective := _ADJECTIVE.match(text, at))
                and adjective[1] not in LEXICON
                and adjective[1] not in SUFFIXES
            ):
                token = Token("count", token.value, piece)
            glued = _SUFFIXED.match(text, at) if not text[at : at + 1].isspace() else _SPACED.match(text, at)
            ending = SUFFIXES.get(glued[1]) if glued and token.kind in ("num", "clock") else None
            if glued and ending and not (glued[1] in ("м", "и") and text[at] != "-"):
                at = glued.end()
                token = Token(
                    token.kind if token.kind == "clock" and ending in ("num", "ord") else ending, token.value, token.text
                )
            yield token


def _merge_phrases(raw: list[Token]) -> Iterator[Token]:
    """Known phrases as one token, known words as their meaning, half-words ("полтретьего") as two."""
    at = 0
    while at < len(raw):
        token = raw[at]
        for length in range(_PHRASE_HEADS.get(token.text, 1), 1, -1):
            phrase = _PHRASES.get(tuple(piece.text for piece in raw[at : at + length]))
            if phrase is not None:
                yield phrase
                at += length
                break
        else:
            yield from _meaning(token) if token.kind in ("raw", "mark") else (token,)
            at += 1


def _meaning(token: Token) -> Iterable[Token]:
    word = token.text
    if word in TEN:
        return (Token("ten", 10, word),)
    if word in LEXICON:
        return (LEXICON[word],)
    if token.kind == "mark":
        return (token,)
    if word in ZONE_SHORT:
        return (Token("zone", ZONE_SHORT[word], word),)
    if word.startswith("пол") and word[3:] in LEXICON and LEXICON[word[3:]].kind in ("ord", "one", "hour"):
        return (LEXICON["пол"], LEXICON[word[3:]])
    if word.startswith("получас"):
        return (LEXICON["пол"], LEXICON["часа"])
    guessed = _guess(word)
    return (Token(guessed.kind, guessed.value, word) if guessed else Token("word", 0, word),)


def _is_kazakh_number(token: Token) -> bool:
    return token.kind in ("num", "loc", "abl", "dat", "ord") and token.text.startswith(tuple(KAZAKH_NUMBERS.values()))


def _join_numbers(row: list[Token]) -> Iterator[Token]:
    """Tens and ones said apart become one number ("двадцать пять", "он екіде"); a lone Kazakh ten is told from "he"."""
    at = 0
    while at < len(row):
        token, following = row[at], row[at + 1] if at + 1 < len(row) else None
        if (
            following
            and following.kind == "dash"
            and token.value in (20, 30, 40, 50)
            and token.text.isalpha()
            and at + 2 < len(row)
        ):
            following, step = row[at + 2], 3
        else:
            step = 2
        if token.kind == "ten":
            beside = at and row[at - 1].kind in ("sagat", "part", "relday", "weekday")
            if following and _is_kazakh_number(following) and token.text == "он" and int(_number(following)) < 10:
                token, at = Token(following.kind, 10 + int(_number(following)), "он " + following.text), at + 1
            elif beside or (
                following and (following.kind in ("halfkk", "later", "unitabl", "minute") or following.text == "сагат")
            ):
                token = Token(TEN[token.text], 10, token.text)
            else:
                token = LEXICON.get(token.text, Token("word", 0, token.text))
            yield token
            at += 1
        elif (
            following
            and token.kind in ("num", "obl")
            and token.value in (20, 30, 40, 50)
            and token.text.isalpha()
            and following.text.isalpha()
            and (following.kind == token.kind or (token.kind == "num" and following.kind in ("ord", "loc", "abl", "dat")))
            and 0 < _number(following) < 10
        ):
            yield Token(following.kind, int(_number(token) + _number(following)), f"{token.text} {following.text}")
            at += step
        else:
            yield token
            at += 1


def _number(token: Token) -> float:
    return float(token.value) if isinstance(token.value, (int, float)) else 0.0


_PLURALS: Final = ("ах", "ях", "ов", "ев", "ей", "ых", "их")


def _counted(token: Token) -> bool:
    """Whether the word is one that is counted; some of them ("дом", "офис") also label a number that follows."""
    return token.kind == "counted" or (token.kind in ("label", "delivery", "works") and token.text in COUNTED)


def _settle(row: list[Token]) -> Iterator[Token]:
    """Numbers that count or label something are taken out of the running, cities are told from other words."""
    for at, token in enumerate(row):
        before = row[at - 1] if at else None
        after = row[at + 1] if at + 1 < len(row) else None
        if token.kind in ("num", "dashed", "dotted", "obl", "loc", "run") and (
            (after and (_counted(after) or (after.kind == "word" and after.text.endswith(_PLURALS) and len(after.text) > 4)))
            or (before and before.kind == "label")
        ):
            yield Token("count", token.value, token.text)
        elif token.kind == "word" and (zone := zone_named(token.text)):
            yield Token("city", zone, token.text)
        elif token.kind == "counted" and token.text in MAY_FOLLOW:
            yield Token("filler", 0, token.text)
        else:
            yield token


def tokens(text: str) -> list[Token]:
    """The words of time in a message and everything between them, in order."""
    plain = fold(text[:LONGEST])
    plain = _LINK.sub(" link ", plain)
    plain = _PHONE.sub(" phone ", plain)
    plain = _THOUSANDS.sub(" 100000 ", plain)
    plain = _MERIDIEM.sub(r" \1m ", plain)
    return list(_settle(list(_join_numbers(list(_merge_phrases(list(_pieces(plain))))))))
