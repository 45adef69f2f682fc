"""The words of passages and questions, normalised in one way for both sides, and the writing of passages.

Three languages share one weighted vector: PostgreSQL's `russian` configuration stems Russian words, and Latin words
with the English stemmer; Kazakh, for which there is no stemmer, is cut to roots here and stored by `simple`. Slips of
the pen are found through keys (each word with one letter left out), so no extension is needed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection

from .chunks import HEADING_MARK, Cut

_WORD = re.compile(r"[^\W_]+")
_THOUSANDS = re.compile(r"(?<=\d)[ \u00a0\u202f\u2009](?=\d{3}(?!\d))")
#: Product codes: `DK-200`, `DK 200` and `DK200` are one word.
_CODE = re.compile(r"\b(?:([^\W\d_]{1,6})-(\d{1,6}[a-z]?)|([a-z]{1,4}) (\d{1,6}))\b")
_FOLDED = str.maketrans({"ё": "е", "₸": " тенге "})

#: Slips are looked for in words of letters at least this long, in their first letters.
TYPO_MIN = 4
TYPO_PREFIX = 6
#: Before the keys of words that stand in the nearest heading.
HEADING_KEY = "#"

_SUFFIXES = """
лар лер дар дер тар тер ның нің дың дің тың тің ға ге қа ке на не ды ді ты ті ны ні да де та те нда нде дан ден
тан тен нан нен мен бен пен сы сі ы і ым ім ың ің ыңыз іңіз мыз міз сыз сіз дік тік лық лік дық тық ғы гі қы кі
сын сін дай дей у ау еу ып іп п
"""
_KAZAKH_SUFFIXES = tuple(sorted(_SUFFIXES.split(), key=len, reverse=True))
_ROOT_MIN = 3


def words(text: str) -> list[str]:
    """Normalised words of `text` in order: NFC, lower case, ё as е, `129 900 ₸` as `129900 тенге`; then product codes."""
    folded = _THOUSANDS.sub("", unicodedata.normalize("NFC", text).casefold().translate(_FOLDED))
    return _WORD.findall(folded) + ["".join(filter(None, found)) for found in _CODE.findall(folded)]


def root(word: str) -> str:
    """`word` without Kazakh endings (at most three), for words in Cyrillic letters; others as they are."""
    if not _cyrillic(word):
        return word
    for _ in range(3):
        suffix = next((s for s in _KAZAKH_SUFFIXES if word.endswith(s) and len(word) - len(s) >= _ROOT_MIN), "")
        if not suffix:
            break
        word = word[: -len(suffix)]
    return word


def typo_keys(word: str) -> set[str]:
    """Keys of which two words share one when their beginnings differ by a letter left out, added, swapped or replaced."""
    if len(word) < TYPO_MIN or not word.isalpha():
        return set()
    start = word[:TYPO_PREFIX]
    return {start} | {start[:at] + start[at + 1 :] for at in range(len(start))}


def _cyrillic(word: str) -> bool:
    return any("\u0400" <= character <= "\u04ff" for character in word)


_INSERT = """
INSERT INTO knowledge_chunk (source_id, generation, position, page, heading, text, vector, typos)
VALUES (%s, %s, %s, %s, %s, %s,
    setweight(to_tsvector('russian', %s) || to_tsvector('simple', %s), 'A')
    || setweight(to_tsvector('russian', %s) || to_tsvector('simple', %s), 'B')
    || setweight(to_tsvector('russian', %s) || to_tsvector('simple', %s), 'D'),
    array_to_tsvector(%s::text[]))
"""


def write(source_id: int, generation: int, title: str, cuts: Sequence[Cut]) -> None:
    """Make `cuts` the passages of a source, in the caller's transaction, which also moves `Source.generation`."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM knowledge_chunk WHERE source_id = %s", [source_id])
        cursor.executemany(_INSERT, [_row(source_id, generation, title, at, cut) for at, cut in enumerate(cuts)])


def _row(source_id: int, generation: int, title: str, position: int, cut: Cut) -> list[Any]:
    """The nearest heading weighs most (A), then the text (B), then upper headings and the title (D)."""
    upper, _mark, heading = cut.heading.rpartition(HEADING_MARK)
    parts = [words(heading), words(cut.text), words(f"{upper} {title}")]
    vectors = [column for part in parts for column in (" ".join(part), _roots(part))]
    keys = {key for word in {word for part in parts for word in part} for key in typo_keys(word)}
    keys |= {HEADING_KEY + key for word in set(parts[0]) for key in typo_keys(word)}
    return [source_id, generation, position, cut.page, cut.heading, cut.text, *vectors, sorted(keys)]


def _roots(found: Iterable[str]) -> str:
    return " ".join(root(word) for word in found if _cyrillic(word))
