"""From glyphs on a page to headings, paragraphs and table rows in reading order. Pure geometry, points, y upwards.

PDF knows no words, lines or tables. Prices are what customers ask for, so a row of a table stays one line
(`name | volume | price`), also where a cell is wrapped, as long as the table is ruled or shaded.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

#: A gap wider than this many font sizes starts another cell; wider than the second one, another word.
CELL_GAP = 1.4
WORD_GAP = 0.18
#: Enough to start another cell where a column is known to begin.
COLUMN_GAP = 0.7
CELL_MARK = " | "
SOFT_HYPHEN = "\u00ad"
#: Part of the page height at its top and bottom in which running titles and page numbers stand.
EDGE = 0.12

_PAGE_NUMBER = re.compile(r"^[\W_]*((стр(аница|\.)?|page|p\.|бет)\s*)?\d{1,4}(\s*(из|of|/|-)\s*\d{1,4})?[\W_]*$", re.IGNORECASE)
_BULLET = re.compile(r"^([•●▪◦‣·–—*✓✔➤-]|\d{1,3}[.)])\s")


@dataclass(frozen=True, slots=True)
class Glyph:
    """One character and its box."""

    text: str
    x0: float
    y0: float
    x1: float
    y1: float
    size: float
    bold: bool = False

    @property
    def middle(self) -> float:
        return (self.y0 + self.y1) / 2


@dataclass(slots=True)
class Line:
    """One line of text, or one row of a table, with its cells from left to right."""

    cells: list[str]
    x0: float
    y0: float
    x1: float
    y1: float
    size: float
    bold: bool = False
    spans: list[tuple[float, float]] = field(default_factory=list)

    @property
    def text(self) -> str:
        return CELL_MARK.join(self.cells)


class Ruling(NamedTuple):
    """A horizontal line, or an edge of a shaded box."""

    y: float
    x0: float
    x1: float


class Block(NamedTuple):
    """A heading, a paragraph (`text`) or a table row (`row`). `level`: 1 for the largest headings, 0 for no heading."""

    kind: str
    text: str
    level: int = 0


def clean(text: str) -> str:
    """NFC without control, zero-width, bidirectional, private-use and unassigned characters; ligatures written out.

    A soft hyphen stays, for it is only known in its line whether it divides a word.
    """
    kept = []
    for character in text:
        if "\ufb00" <= character <= "\ufb06":
            kept.append(unicodedata.normalize("NFKC", character))
        elif character.isspace():
            kept.append(" ")
        elif character == SOFT_HYPHEN or unicodedata.category(character) not in {"Cc", "Cf", "Co", "Cs", "Cn"}:
            kept.append(character)
    return unicodedata.normalize("NFC", "".join(kept))


# ── Lines ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def lines_of(glyphs: Iterable[Glyph]) -> list[Line]:
    """Group glyphs into lines, top to bottom, whatever order the file draws them in.

    Where other lines show that a column begins, a small gap is enough to begin a cell there.
    """
    rows: list[list[Glyph]] = []
    for glyph in sorted(glyphs, key=lambda g: (-g.middle, g.x0)):
        row = rows[-1] if rows else None
        if row is not None and abs(row[0].middle - glyph.middle) < 0.45 * max(row[0].size, glyph.size):
            row.append(glyph)
        else:
            rows.append([glyph])
    ordered = [sorted(row, key=lambda g: g.x0) for row in rows]
    lines = [line for row in ordered if (line := _line(row)) is not None]
    starts = Counter(round(x0) for line in lines for x0, _ in line.spans[1:])
    columns = frozenset(x0 for x0, count in starts.items() if count >= 2)
    return [line for row in ordered if (line := _line(row, columns)) is not None] if columns else lines


def _line(row: Sequence[Glyph], columns: frozenset[int] = frozenset()) -> Line | None:
    cells: list[list[Glyph | None]] = []
    last: Glyph | None = None
    spaced = False
    for glyph in row:
        if glyph.text.isspace():
            spaced = True
            continue
        if last is not None and glyph.text == last.text and glyph.x0 - last.x0 < 0.15 * glyph.size:
            continue  # bold imitated by printing twice
        gap = glyph.x0 - last.x1 if last is not None else 0.0
        begins = round(glyph.x0) in columns and gap > COLUMN_GAP * glyph.size
        if last is None or begins or gap > CELL_GAP * max(glyph.size, last.size):
            cells.append([])
        elif spaced or gap > WORD_GAP * glyph.size:
            cells[-1].append(None)
        cells[-1].append(glyph)
        last, spaced = glyph, False
    inked = [glyph for glyph in row if glyph.text.strip(SOFT_HYPHEN).strip()]
    if not inked:
        return None
    return Line(
        cells=[_said(cell) for cell in cells],
        spans=[_span([glyph for glyph in cell if glyph is not None]) for cell in cells],
        x0=min(g.x0 for g in inked),
        y0=min(g.y0 for g in inked),
        x1=max(g.x1 for g in inked),
        y1=max(g.y1 for g in inked),
        size=Counter(round(g.size, 1) for g in inked).most_common(1)[0][0],
        bold=all(g.bold for g in inked),
    )


def _said(cell: Iterable[Glyph | None]) -> str:
    text = "".join(" " if glyph is None else glyph.text for glyph in cell)
    divided = text.endswith(SOFT_HYPHEN)
    return text.replace(SOFT_HYPHEN, "") + ("-" if divided else "")


def _span(cell: Sequence[Glyph]) -> tuple[float, float]:
    return cell[0].x0, max(glyph.x1 for glyph in cell)


# ── Ruled tables ─────────────────────────────────────────────────────────────────────────────────────────────────────
def bands_of(rulings: Iterable[Ruling], page_width: float, page_height: float) -> list[tuple[Ruling, Ruling]]:
    """Rows of ruled or shaded tables: pairs of upper and lower rulings of about the same extent."""
    wide = [ruling for ruling in _joined(rulings) if ruling.x1 - ruling.x0 > 0.3 * page_width]
    bands = []
    for upper in wide:
        below = [r for r in wide if r.y < upper.y - 2 and abs(r.x0 - upper.x0) < 4 and abs(r.x1 - upper.x1) < 4]
        lower = max(below, key=lambda r: r.y, default=None)
        if lower is not None and upper.y - lower.y < 0.2 * page_height:
            bands.append((upper, lower))
    return bands


def _joined(rulings: Iterable[Ruling]) -> list[Ruling]:
    """Rulings of one height that touch, put together: many programs draw a border cell by cell."""
    joined: list[Ruling] = []
    for ruling in sorted(rulings, key=lambda r: (round(r.y / 1.5), r.x0)):
        last = joined[-1] if joined else None
        if last is not None and abs(last.y - ruling.y) < 2 and ruling.x0 - last.x1 < 3:
            joined[-1] = Ruling(last.y, min(last.x0, ruling.x0), max(last.x1, ruling.x1))
        else:
            joined.append(ruling)
    return joined


def rows_of(glyphs: Sequence[Glyph], bands: Sequence[tuple[Ruling, Ruling]]) -> list[Line]:
    """Lines of a page, with every band of a table as one line, in reading order."""
    inside: dict[int, list[Glyph]] = {}
    outside = []
    for glyph in glyphs:
        middle, centre = glyph.middle, (glyph.x0 + glyph.x1) / 2
        for number, (upper, lower) in enumerate(bands):
            if lower.y < middle < upper.y and upper.x0 - 1 <= centre <= upper.x1 + 1:
                inside.setdefault(number, []).append(glyph)
                break
        else:
            outside.append(glyph)
    lines = lines_of(outside)
    for members in inside.values():
        lines += _banded(lines_of(members))
    return _by_columns(sorted(lines, key=lambda line: (-line.y1, line.x0)))


def _banded(lines: list[Line]) -> list[Line]:
    """One row for the lines of a band whose cells stand side by side; a band of plain text stays as it is."""
    if len(lines) < 2 or (all(len(line.cells) == 1 for line in lines) and _stacked(lines)):
        return lines
    columns: list[tuple[float, float, list[str]]] = []
    for line in lines:
        for text, (x0, x1) in zip(line.cells, line.spans, strict=True):
            touching = [column for column in columns if column[0] < x1 and x0 < column[1]]
            words = [word for column in touching for word in column[2]] + [text]
            left, right = min([x0, *(c[0] for c in touching)]), max([x1, *(c[1] for c in touching)])
            columns = [column for column in columns if column not in touching] + [(left, right, words)]
    columns.sort(key=lambda column: column[0])
    return [
        Line(
            cells=[joined(words) for _, _, words in columns],
            spans=[(x0, x1) for x0, x1, _ in columns],
            x0=min(line.x0 for line in lines),
            y0=min(line.y0 for line in lines),
            x1=max(line.x1 for line in lines),
            y1=max(line.y1 for line in lines),
            size=lines[0].size,
            bold=all(line.bold for line in lines),
        )
    ]


def _stacked(lines: Sequence[Line]) -> bool:
    return all(upper.x0 < lower.x1 and lower.x0 < upper.x1 for upper, lower in pairwise(lines))


def _by_columns(lines: list[Line]) -> list[Line]:
    """Text set in two columns is read one column after the other; a table of short cells is read by rows."""
    pairs = [line for line in lines if len(line.cells) == 2]
    if len(pairs) < 6 or len(pairs) < 0.6 * len(lines):
        return lines
    left = max(line.spans[0][1] for line in pairs)
    right = min(line.spans[1][0] for line in pairs)
    prose = sorted(min(len(cell) for cell in line.cells) for line in pairs)[len(pairs) // 2] > 24
    if left >= right or not prose:
        return lines
    first, second = pairs[0], pairs[-1]
    columns: list[list[Line]] = [[], []]
    head = [line for line in lines if line.y0 >= first.y1]
    tail = [line for line in lines if line.y1 <= second.y0]
    for line in lines:
        if line in head or line in tail:
            continue
        for text, span in zip(line.cells, line.spans, strict=True):
            part = Line([text], span[0], line.y0, span[1], line.y1, line.size, line.bold, [span])
            columns[0 if span[0] < right else 1].append(part)
    return head + columns[0] + columns[1] + tail


# ── Pages ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def without_running_titles(pages: Sequence[list[Line]], heights: Sequence[float]) -> list[list[Line]]:
    """Drop page numbers, and what repeats at the edge of most pages. Table rows are never dropped."""

    def at_edge(line: Line, height: float) -> bool:
        return (line.y0 < EDGE * height or line.y1 > (1 - EDGE) * height) and len(line.cells) < 3

    def pattern(line: Line) -> str:
        return re.sub(r"\d+", "#", line.text).casefold()

    seen = Counter(
        text
        for lines, height in zip(pages, heights, strict=True)
        for text in {pattern(line) for line in lines if at_edge(line, height)}
    )
    repeated = {text for text, count in seen.items() if count >= 2 and count >= 0.6 * len(pages)}
    return [
        [line for line in lines if not (at_edge(line, height) and (pattern(line) in repeated or _PAGE_NUMBER.match(line.text)))]
        for lines, height in zip(pages, heights, strict=True)
    ]


def blocks_of(pages: Sequence[list[Line]]) -> list[list[Block]]:
    """Headings, paragraphs and rows of every page; a heading is larger than the body, or bold and short."""
    sizes: Counter[float] = Counter()
    for lines in pages:
        for line in lines:
            sizes[line.size] += len(line.text)
    body = sizes.most_common(1)[0][0] if sizes else 0.0
    ranks = sorted({_rank(line.size) for lines in pages for line in lines if _kind(line, body) == "heading"}, reverse=True)
    return [_page_blocks(lines, body, ranks) for lines in pages]


def _rank(size: float) -> int:
    """Sizes that look the same to a person are one rank of headings."""
    return round(2 * size)


def _page_blocks(lines: Sequence[Line], body: float, ranks: Sequence[int]) -> list[Block]:
    blocks: list[Block] = []
    previous: Line | None = None
    for line in lines:
        kind = _kind(line, body)
        level = ranks.index(_rank(line.size)) + 1 if kind == "heading" else 0
        follows = previous is not None and _continues(previous, line)
        last = blocks[-1] if blocks else None
        if last is not None and follows and kind == last.kind != "row" and level == last.level:
            blocks[-1] = Block(kind, joined([last.text, line.text]), level)
        else:
            blocks.append(Block(kind, line.text, level))
        previous = line
    return blocks


def _kind(line: Line, body: float) -> str:
    if len(line.cells) > 1:
        return "row"
    short = len(line.text) <= 110 and not line.text.endswith((".", ";", ",")) and not _BULLET.match(line.text)
    if short and any(c.isalpha() for c in line.text) and (line.size >= 1.15 * body or line.bold):
        return "heading"
    return "text"


def _continues(upper: Line, lower: Line) -> bool:
    gap = upper.y0 - lower.y1
    same = abs(upper.size - lower.size) <= 0.1 * upper.size and upper.bold == lower.bold
    return same and -0.5 * upper.size < gap < 0.6 * upper.size and not _BULLET.match(lower.text)


def joined(parts: Sequence[str]) -> str:
    """Lines of one paragraph as running text; a word divided at the end of a line is put together."""
    text = ""
    for part in parts:
        if len(text) > 2 and text[-1] in "-\u2010" and text[-2].isalpha() and part[:1].islower():
            text = text[:-1] + part
        else:
            text = f"{text} {part}" if text else part
    return text
