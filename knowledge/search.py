"""Finding the passages that answer a question: one SQL statement, on the hot path of every reply."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from django.db import connection

from .glossary import STOP_WORDS, related
from .index import HEADING_KEY, root, typo_keys, words

#: Distinct words of a question (and of its context) that take part.
MAX_WORDS = 12
MAX_CONTEXT_WORDS = 6
CONTEXT_WEIGHT = 0.3
#: All words of the context together weigh at most this much of one word of the question: it may tip, not decide.
WHOLE_CONTEXT_WEIGHT = 0.6
#: Passages looked at for one word. A word in more passages than that tells little, and only adds to the score.
PER_WORD = 300
CANDIDATES = 40
#: Passages below this part of the best score are noise.
CUT_OFF = 0.25


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage found. `score` is about 1 where it holds all the words asked for, near 0 where it holds a common one."""

    chunk_id: int
    source_title: str
    page: int
    heading: str
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class _Term:
    """A word that is looked for: itself, all that it may be called (stems, Kazakh roots), and keys for slips."""

    weight: float
    own: str
    stems: str
    roots: str
    typos: str = ""
    heading_typos: str = ""


# `hit` knows for each word the passages that hold it (rare words are worth more); `slip` does the same by typo keys for
# words that no passage holds. Only the best candidates are weighed in full: the word itself counts more than another one
# of the same meaning, and a word in the nearest heading counts half as much again. Sources are compared by `@>`, which
# no index serves: by the index on them, PostgreSQL would unpack the vectors of all their passages.
_SEARCH = """
WITH live AS MATERIALIZED (
    SELECT coalesce(array_agg(id), '{}') AS ids FROM knowledge_source
    WHERE base_id = ANY(%(bases)s::bigint[]) AND active AND generation > 0
), term AS MATERIALIZED (
    SELECT n, weight, to_tsquery('russian', own) AS own,
        to_tsquery('russian', stems) || to_tsquery('simple', roots) AS query,
        nullif(typos, '')::tsquery AS typos, nullif(heading_typos, '')::tsquery AS heading_typos
    FROM unnest(%(weight)s::float[], %(own)s::text[], %(stems)s::text[], %(roots)s::text[], %(typos)s::text[],
        %(heading_typos)s::text[]) WITH ORDINALITY AS given (weight, own, stems, roots, typos, heading_typos, n)
), hit AS MATERIALIZED (
    SELECT term.n, found.id FROM term CROSS JOIN LATERAL (
        SELECT chunk.id FROM knowledge_chunk chunk
        WHERE chunk.vector @@ term.query AND (SELECT ids FROM live) @> ARRAY[chunk.source_id] LIMIT %(per_word)s
    ) found
), slip AS MATERIALIZED (
    SELECT term.n, found.id FROM term CROSS JOIN LATERAL (
        SELECT chunk.id FROM knowledge_chunk chunk
        WHERE chunk.typos @@ term.typos AND (SELECT ids FROM live) @> ARRAY[chunk.source_id] LIMIT %(per_word)s
    ) found
    WHERE term.typos IS NOT NULL AND NOT EXISTS (SELECT FROM hit WHERE hit.n = term.n)
), value AS MATERIALIZED (
    SELECT term.*, slipped, weight / (1 + ln(1 + greatest(counted.passages, 1))) AS worth FROM term LEFT JOIN (
        SELECT n, count(*) AS passages, false AS slipped FROM hit GROUP BY n
        UNION ALL SELECT n, count(*), true FROM slip GROUP BY n
    ) counted USING (n)
), candidate AS MATERIALIZED (
    SELECT found.id FROM (SELECT n, id FROM hit UNION ALL SELECT n, id FROM slip) found JOIN value USING (n)
    GROUP BY found.id ORDER BY sum(value.worth) DESC, found.id LIMIT %(candidates)s
), unpacked AS MATERIALIZED (
    SELECT candidate.id, ts_filter(chunk.vector, '{a,b,c,d}') AS vector, ts_filter(chunk.vector, '{a}') AS heading,
        CASE WHEN EXISTS (SELECT FROM slip) THEN chunk.typos ELSE '' END AS typos
    FROM candidate JOIN knowledge_chunk chunk ON chunk.id = candidate.id
), scored AS (
    SELECT id, (
        SELECT sum(value.worth * CASE
            WHEN value.slipped AND unpacked.typos @@ value.typos
            THEN 0.6 + 0.4 * (unpacked.typos @@ value.heading_typos)::int
            WHEN unpacked.vector @@ value.query
            THEN 0.8 + 0.2 * (unpacked.vector @@ value.own)::int + 0.5 * (unpacked.heading @@ value.query)::int
            ELSE 0 END)
        FROM value
    ) / (SELECT sum(worth) FROM value WHERE weight = (SELECT max(weight) FROM value))
    + 0.1 * ts_rank_cd('{0.1, 0.1, 0.4, 1.0}', vector, to_tsquery('russian', %(all)s), 33) AS score
    FROM unpacked ORDER BY 2 DESC, 1 LIMIT %(limit)s
)
SELECT chunk.id, source.title, chunk.page, chunk.heading, chunk.text, scored.score
FROM scored JOIN knowledge_chunk chunk ON chunk.id = scored.id JOIN knowledge_source source ON source.id = chunk.source_id
ORDER BY scored.score DESC, chunk.id
"""


def search(base_ids: Sequence[int], query: str, limit: int = 6, context: str = "") -> list[Passage]:
    """The passages of these bases that answer `query`, best first; `[]` where no word of it is known.

    Any word may match; rare words and covered words count more. Where no passage holds a word, words that differ by a
    slip are looked for. `context` is what was said before (the previous question, say); its words weigh less.
    """
    terms = _terms(query, context)
    if not terms or not base_ids or limit < 1:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_SEARCH, _parameters(base_ids, terms, limit))
        found = [Passage(*row) for row in cursor.fetchall()]
    return [passage for passage in found if passage.score >= CUT_OFF * found[0].score]


def _parameters(base_ids: Sequence[int], terms: Sequence[_Term], limit: int) -> dict[str, Any]:
    columns = {field.name: [getattr(term, field.name) for term in terms] for field in fields(_Term)}
    return columns | {
        "bases": list(base_ids),
        "all": " | ".join(term.stems for term in terms if term.roots),
        "per_word": PER_WORD,
        "candidates": max(CANDIDATES, 2 * limit),
        "limit": limit,
    }


def _terms(query: str, context: str) -> list[_Term]:
    asked = _distinct(words(query))[:MAX_WORDS]
    before = [word for word in _distinct(words(context)) if word not in asked][:MAX_CONTEXT_WORDS]
    terms = [_term(word, 1.0) for word in asked]
    if len(terms) > 1:  # all of them together are worth almost a word of their own
        every = " & ".join(f"({term.stems})" for term in terms)
        terms.append(_Term(0.9, every, every, ""))
    weight = min(CONTEXT_WEIGHT, WHOLE_CONTEXT_WEIGHT / max(len(before), 1))
    return terms + [_term(word, weight) for word in before]


def _distinct(found: Iterable[str]) -> list[str]:
    """In order, without words that say nothing and single letters."""
    return list(dict.fromkeys(w for w in found if w not in STOP_WORDS and (len(w) > 1 or w.isdigit())))


def _term(word: str, weight: float) -> _Term:
    forms = [word, *related(word)]
    roots = dict.fromkeys(root(form) for form in forms)
    keys = sorted(typo_keys(word))
    return _Term(
        weight=weight,
        own=f"{word} | {root(word)}",
        stems=" | ".join(forms),
        roots=" | ".join(roots),
        typos=" | ".join(f"'{key}'" for key in keys),
        heading_typos=" | ".join(f"'{HEADING_KEY}{key}'" for key in keys),
    )
