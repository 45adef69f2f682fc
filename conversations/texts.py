"""Long replies cut into messages a channel can carry."""

from __future__ import annotations

import re

_BORDERS = (re.compile(r"\n\n"), re.compile(r"\n"), re.compile(r"(?<=[.!?…])\s"), re.compile(r"\s"))


def parts(text: str, limit: int) -> list[str]:
    """Cut a text at paragraphs, lines, sentences or words into pieces of at most `limit` characters, none empty."""
    pieces = []
    rest = text.strip()
    while len(rest) > limit:
        cut = _last_border(rest, limit)
        pieces.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return [*pieces, rest] if rest else pieces


def _last_border(text: str, limit: int) -> int:
    """Where to cut: the last border of the strongest kind in the second half of what fits."""
    for border in _BORDERS:
        cuts = [match.end() for match in border.finditer(text, 0, limit + 1) if limit // 2 <= match.start() <= limit]
        if cuts:
            return min(cuts[-1], limit)
    return limit
