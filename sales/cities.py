"""The time zone of a city that a customer names, and where customers say that they are.

A wrong zone is worse than none: whatever is not clearly a statement of one's own place yields None. Cities are those of
Kazakhstan, Russia and their neighbours, and the capitals and cities of millions of the world (GeoNames).
"""

from __future__ import annotations

import gzip
import re
import unicodedata
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import product
from pathlib import Path
from zoneinfo import ZoneInfo

from . import city_phrases as phrases
from .city_phrases import Case, Cue

TABLE = Path(__file__).with_name("cities.txt.gz")
# Latin alternatives of smaller places are English words even with one ("Human" is Uman).
LATIN_KNOWN_OF = 100_000
SHORT_STEM = 5
# The biggest of the cities of one name wins, unless another one this close in size lives by another clock.
RIVAL = 0.4
LONGEST_NAME = 3
LONGEST_TEXT = 4_000

# A name that is an adjective is mostly a district of wherever one is, but for these.
ADJECTIVES = frozenset({"волжский", "грозный", "долгопрудный", "жуковский", "раменское", "рудный", "хмельницкий"})

_TOKEN = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*|[.,!?;:()\n]|(?<=\s)[-–—](?=\s)")
_SHORT = re.compile(r"\b(г|гор|н|st)\.\s*", re.IGNORECASE)
_LABEL = re.compile(r"\b(город|г|city)\s*[:–—-]\s*", re.IGNORECASE)
_FOLD = str.maketrans("ёәғқңөұүһі’ʼ`ʻ′", "еагкноуухи'''''")
JOINTS = re.compile(r"[\s.–—-]+")
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
    if not present or any(clock(place.zone) != clock(present[0].zone) for place in present):
        return None
    return present[0].name, ZoneInfo(present[0].zone)


def folded(text: str) -> str:
    """`text` for comparison: lower case, no accents, Kazakh letters as Russian ones, hyphens and dots as spaces."""
    text = text.casefold().translate(_FOLD)
    if not text.isascii():
        # й is и with an accent too, so only letters below the Greek ones lose theirs.
        text = "".join(unicodedata.normalize("NFKD", c)[0] if "\x7f" < c < "\u0370" else c for c in text)
    return JOINTS.sub(" ", text).strip()


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
            return best if all(clock(place.zone) == clock(best.place.zone) for place in rivals) else None
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
def clock(zone: str) -> tuple[timedelta | None, ...]:
    """What a zone's clock shows in winter and in summer: zones that agree here are one to whoever makes an appointment."""
    year = datetime.now(UTC).year
    return tuple(datetime(year, month, 15, tzinfo=ZoneInfo(zone)).utcoffset() for month in (1, 7))


class _Table:
    """The places by their folded names: lines in the order of their bytes, of which one is read when it is asked for.

    As objects they would take 60 MB; as they are, they take little more than one.
    """

    def __init__(self, lines: bytes) -> None:
        self._lines = lines
        self._starts = array("I", (found.start() for found in re.finditer(rb"^.", lines, re.MULTILINE)))

    def get(self, key: str) -> Place | None:
        wanted = key.encode(errors="surrogatepass") + b"\t"
        at = bisect_left(self._starts, wanted, key=lambda start: self._lines[start : self._lines.index(b"\t", start) + 1])
        if at == len(self._starts) or not self._lines.startswith(wanted, self._starts[at]):
            return None
        start = self._starts[at] + len(wanted)
        name, zone, population, marks = self._lines[start : self._lines.index(b"\n", start)].decode().split("\t")
        return Place(name, zone, int(population), spoken="s" in marks, known="k" in marks)

    def __contains__(self, key: str) -> bool:
        return self.get(key) is not None


@cache
def _places() -> _Table:
    """Every name of a city, folded. `city_table` makes the file."""
    return _Table(gzip.decompress(TABLE.read_bytes()))
