"""Cutting a document into passages that can be quoted: whole paragraphs under their heading, whole table rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .layout import Block

#: Characters. A passage is closed when the next paragraph would take it past TARGET; nothing is longer than LIMIT.
TARGET = 800
LIMIT = 900
OVERLAP = 140
HEADING_LIMIT = 300
HEADING_MARK = " › "

_SENTENCE = re.compile(r"(?<=[.!?…;])\s+")


@dataclass(frozen=True, slots=True)
class Cut:
    """One passage. The first `carried` characters of `text` repeat what stands before it: the end of the previous
    passage, or the head of the table."""

    page: int
    heading: str
    text: str
    carried: int = 0


@dataclass(frozen=True, slots=True)
class _Piece:
    page: int
    text: str
    row: bool


def cut(pages: Sequence[Sequence[Block]]) -> list[Cut]:
    """Passages of a document in reading order; pages count from 1."""
    cuts: list[Cut] = []
    for heading, pieces in _sections(pages):
        cuts += _fill(heading, pieces)
    return cuts


def _sections(pages: Sequence[Sequence[Block]]) -> Iterator[tuple[str, list[_Piece]]]:
    """Runs of text under one heading. A heading without text of its own stays as the upper part of the next one."""
    path: list[Block] = []
    pieces: list[_Piece] = []
    bare = False  # nothing but headings since the last text
    number = 1
    for number, blocks in enumerate(pages, start=1):
        for block in blocks:
            if block.kind != "heading" or len(block.text) > HEADING_LIMIT // 3:
                pieces += [_Piece(number, part, block.kind == "row") for part in _parts(block.text)]
                bare = bare and not pieces
                continue
            kept = [upper for upper in path if upper.level < block.level or (bare and upper.level == block.level)]
            if bare:
                pieces = [_Piece(number, upper.text, False) for upper in path if upper.level > block.level]
            if pieces:
                yield _title(kept if bare else path), pieces
            path, pieces, bare = [*kept, block], [], True
            while len(_title(path)) > HEADING_LIMIT:
                pieces.append(_Piece(number, path.pop(0).text, False))
    if pieces or bare:
        yield _title(path), pieces or [_Piece(number, path[-1].text, False)]


def _title(path: Sequence[Block]) -> str:
    return HEADING_MARK.join(heading.text for heading in path)


def _parts(text: str) -> list[str]:
    """`text` in parts of at most LIMIT - OVERLAP characters: by sentences, then by words, then anywhere."""
    size = LIMIT - OVERLAP - 1
    if len(text) <= size:
        return [text] if text.strip() else []
    parts, rest = [], text
    while len(rest) > size:
        ends = [match.start() for match in _SENTENCE.finditer(rest, 0, size)]
        at = next((end for end in reversed(ends) if end > size // 3), 0) or rest.rfind(" ", size // 3, size)
        at = at if at > 0 else size
        parts.append(rest[:at].rstrip())
        rest = rest[at:].lstrip()
    return [part for part in [*parts, rest] if part]


def _fill(heading: str, pieces: Sequence[_Piece]) -> Iterator[Cut]:
    head = ""
    carried, body, page = "", "", 0
    previous: _Piece | None = None
    for piece in pieces:
        if piece.row and (previous is None or not previous.row):
            head = piece.text if _is_head(piece.text) else ""
        if body and len(carried) + len(body) + len(piece.text) + 2 > TARGET:
            yield _cut(page, heading, carried, body)
            carried = _carry(piece, previous, head, body)
            body = ""
        if not body:
            page = piece.page
        body = f"{body}\n{piece.text}" if body else piece.text
        previous = piece
    if body:
        yield _cut(page, heading, carried, body)


def _cut(page: int, heading: str, carried: str, body: str) -> Cut:
    lead = f"{carried}\n" if carried else ""
    return Cut(page, heading, lead + body, len(lead))


def _carry(piece: _Piece, previous: _Piece | None, head: str, body: str) -> str:
    """What the next passage repeats: the head of a table that goes on, or the last sentence of running text."""
    if piece.row:
        return head if previous is not None and previous.row and len(head) <= OVERLAP else ""
    if previous is None or previous.row:
        return ""
    tail = _SENTENCE.split(body)[-1].rsplit("\n", 1)[-1]
    return tail if len(tail) <= OVERLAP else ""


def _is_head(row: str) -> bool:
    return not any(character.isdigit() for character in row)
