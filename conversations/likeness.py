"""What a first message is like: the offline model's judgement, learnt from labelled lines (`evals/moderation.*.jsonl`).

Word lists do not carry this: every trade asks for its goods in its own words. So the pieces of words that clients,
strangers and mere greetings use are weighed, as learnt from some thousands of lines by `evals/train_moderation.py`; the
weights lie beside this module. The same text always gets the same verdict, without network or numeric libraries.
"""

from __future__ import annotations

import gzip
import json
import math
import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

WEIGHTS = Path(__file__).with_name("likeness.json.gz")
#: The classes in the order of the weights.
CLASSES = ("client", "foreign", "open")
SHORTEST, LONGEST = 2, 5
#: More of a long message says nothing new.
MOST_WORDS = 120
_TOKEN = re.compile(r"[^\W\d_]+|\d+|[?!…]|[^\w\s]", re.UNICODE)


def probabilities(names: Mapping[str, str], messages: Sequence[str]) -> dict[str, float]:
    """How likely the writer is a client, foreign to the business, or not to be told yet. Sums to 1."""
    found = features(names, messages)
    known, bias = _weights()
    scores = list(bias)
    share = 1 / math.sqrt(len(found) or 1)
    for feature in found:
        if (weights := known.get(feature)) is not None:
            scores = [score + share * weight for score, weight in zip(scores, weights, strict=True)]
    highest = max(scores)
    odds = [math.exp(score - highest) for score in scores]
    return {name: odd / sum(odds) for name, odd in zip(CLASSES, odds, strict=True)}


def telling(names: Mapping[str, str], messages: Sequence[str], kind: str, most: int = 3) -> list[str]:
    """The whole words that speak most for `kind`, strongest first: what a manager is shown as the reason."""
    known, _bias = _weights()
    place = CLASSES.index(kind)
    spoken = dict.fromkeys(word for text in messages for word in tokens(text) if word.isalpha())
    words = {word: weights for word in spoken if (weights := known.get(f"w:{word}")) is not None}
    lead = {word: weights[place] - max(w for n, w in enumerate(weights) if n != place) for word, weights in words.items()}
    return [word for word in sorted(lead, key=lead.__getitem__, reverse=True)[:most] if lead[word] > 0]


def features(names: Mapping[str, str], messages: Sequence[str]) -> set[str]:
    """What is weighed: words, neighbours, pieces of words, and how much was written by whom."""
    found = set(_of_shape(names, messages))
    for text in messages:
        words = tokens(text)
        found.update(f"w:{word}" for word in words)
        found.update(f"b:{first} {second}" for first, second in zip(["^", *words], [*words, "$"], strict=True))
        for word in words:
            found.update(_pieces(word))
    return found


def tokens(text: str) -> list[str]:
    """Words in small letters, ё as е, numbers by their length, and punctuation that says something."""
    folded = text.casefold().replace("ё", "е")
    return ["0" * min(len(token), 4) if token.isdigit() else token for token in _TOKEN.findall(folded)][:MOST_WORDS]


@cache
def _pieces(word: str) -> frozenset[str]:
    marked = f"<{word[:20]}>"
    return frozenset(
        marked[start : start + size] for size in range(SHORTEST, LONGEST + 1) for start in range(len(marked) - size + 1)
    )


def _of_shape(names: Mapping[str, str], messages: Sequence[str]) -> Iterator[str]:
    yield f"#messages {min(len(messages), 4)}"
    yield f"#words {min(6, math.isqrt(sum(len(tokens(text)) for text in messages)))}"
    yield f"#questions {min(2, sum('?' in text for text in messages))}"
    if names.get("business_name"):
        yield "#business"
    for name in (names.get("name"), names.get("full_name")):
        for word in tokens(name or ""):
            yield f"n:{word}"


class _Weights:
    """Features and their weights in the order of `CLASSES`; in one array, because as tuples they would take 10 MB more."""

    def __init__(self, weights: Mapping[str, Sequence[float]]) -> None:
        self._places = {feature: place for place, feature in enumerate(weights)}
        self._flat = array("d", chain.from_iterable(weights.values()))

    def get(self, feature: str) -> Sequence[float] | None:
        if (place := self._places.get(feature)) is None:
            return None
        return self._flat[place * len(CLASSES) : (place + 1) * len(CLASSES)]


@cache
def _weights() -> tuple[_Weights, tuple[float, ...]]:
    with gzip.open(WEIGHTS, "rt", encoding="utf-8") as file:
        stored: dict[str, Any] = json.load(file)
    return _Weights(stored["weights"]), tuple(stored["bias"])
