"""Child process that reads a PDF: the file on standard input, JSON on standard output. Run by `knowledge.parsing`.

    python -m knowledge.reader <pages> <bytes of memory> <seconds of processor time>

It knows neither Django nor the database, and gets no environment: a document made to attack the parser finds nothing
here but its own text. Output: `{"pages": [[[kind, text, level], …], …]}` or `{"problem": code}`.
"""

from __future__ import annotations

import io
import json
import logging
import resource
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from pdfminer.converter import PDFPageAggregator
from pdfminer.layout import LTChar, LTContainer, LTCurve, LTFigure, LTImage, LTItem, LTLine, LTPage
from pdfminer.pdfdocument import PDFDocument, PDFPasswordIncorrect
from pdfminer.pdfinterp import PDFPageInterpreter, PDFResourceManager
from pdfminer.pdfpage import PDFPage
from pdfminer.pdfparser import PDFParser

from knowledge.layout import (
    Block,
    Glyph,
    Line,
    Ruling,
    bands_of,
    blocks_of,
    clean,
    rows_of,
    without_running_titles,
)

#: Smaller letters are not for people.
MIN_SIZE = 2.0
MIN_LETTERS = 10
MAX_CHARACTERS = 4_000_000
INVISIBLE_MODES = {3, 7}


class Refused(Exception):
    """The document cannot be read; `code` is a `knowledge.models.Problem`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Device(PDFPageAggregator):
    """Collects the items of a page; letters printed in an invisible mode are remembered."""

    def __init__(self, resources: PDFResourceManager) -> None:
        super().__init__(resources, laparams=None)
        self.mode = 0
        self.invisible: set[int] = set()

    def begin_page(self, page: PDFPage, ctm: Any) -> None:
        super().begin_page(page, ctm)
        self.invisible = set()

    def render_string(self, textstate: Any, seq: Any, ncs: Any, graphicstate: Any) -> None:
        self.mode = textstate.render
        super().render_string(textstate, seq, ncs, graphicstate)

    def render_char(self, *args: Any, **kwargs: Any) -> float:
        advance = super().render_char(*args, **kwargs)
        if self.mode in INVISIBLE_MODES:
            self.invisible.add(id(self.cur_item._objs[-1]))
        return advance

    def handle_undefined_char(self, font: Any, cid: int) -> str:
        return "\ufffd"


def read(content: bytes, max_pages: int) -> list[list[Block]]:
    """The blocks of every page. Raises Refused, or whatever the parser raises for a damaged file."""
    try:
        document = PDFDocument(PDFParser(io.BytesIO(content)), password="", fallback=True)
    except PDFPasswordIncorrect:
        raise Refused("password") from None
    resources = PDFResourceManager()
    device = Device(resources)
    interpreter = PDFPageInterpreter(resources, device)
    found = list(islice(PDFPage.create_pages(document), max_pages + 1))
    if len(found) > max_pages:
        raise Refused("too_many_pages")
    if not found:
        raise Refused("broken")
    pages: list[list[Line]] = []
    heights: list[float] = []
    total = unknown = 0
    for page in found:
        interpreter.process_page(page)
        layout = device.get_result()
        glyphs = list(visible(layout, device.invisible))
        total += len(glyphs)
        unknown += sum(glyph.text == "\ufffd" for glyph in glyphs)
        if total > MAX_CHARACTERS:
            raise Refused("too_complex")
        known = [glyph for glyph in glyphs if glyph.text != "\ufffd"]
        pages.append(rows_of(known, bands_of(rulings(layout), layout.width, layout.height)))
        heights.append(layout.height)
    blocks = blocks_of(without_running_titles(pages, heights))
    letters = sum(character.isalnum() for page_blocks in blocks for block in page_blocks for character in block.text)
    if letters < MIN_LETTERS or unknown > total / 2:
        raise Refused("no_text")
    return blocks


def visible(page: LTPage, invisible: set[int]) -> Iterator[Glyph]:
    """The horizontal letters that a person who looks at the page sees.

    Text that a document hides from people (white on white, tiny, outside of the page) could only be meant for the model.
    Invisible letters over a picture of the whole page are the result of text recognition, and are read.
    """
    items = list(_flat(page))
    pictures = [item for item in items if isinstance(item, LTImage)]
    recognised = sum(item.width * item.height for item in pictures) > 0.5 * page.width * page.height
    grounds = pictures + [i for i in items if isinstance(i, LTCurve) and i.fill and not _white(i.non_stroking_color)]
    for item in items:
        if not isinstance(item, LTChar) or item.size < MIN_SIZE:
            continue
        a, b, c, _d, _e, _f = item.matrix
        x, y = (item.x0 + item.x1) / 2, (item.y0 + item.y1) / 2
        if abs(b) + abs(c) > 0.1 * abs(a) or not (0 <= x <= page.width and 0 <= y <= page.height):
            continue
        if id(item) in invisible:
            if not recognised:
                continue
        elif _white(item.graphicstate.ncolor) and not any(g.x0 <= x <= g.x1 and g.y0 <= y <= g.y1 for g in grounds):
            continue
        text = clean(item.get_text()) if item.get_text() != "\ufffd" else "\ufffd"
        if text:
            bold = any(word in item.fontname.lower() for word in ("bold", "black", "heavy", "semibold"))
            yield Glyph(text, item.x0, item.y0, item.x1, item.y1, item.size, bold)


def _flat(container: Iterable[LTItem]) -> Iterator[LTItem]:
    for item in container:
        if isinstance(item, LTContainer | LTFigure):
            yield from _flat(item)
        else:
            yield item


def _white(colour: Any) -> bool:
    parts = colour if isinstance(colour, list | tuple) else [colour]
    if not parts or not all(isinstance(part, int | float) for part in parts):
        return False
    if len(parts) == 4:
        return all(part < 0.05 for part in parts)
    return all(part > 0.95 for part in parts)


def rulings(page: LTPage) -> Iterator[Ruling]:
    """Horizontal lines, and the upper and lower edges of boxes, that may separate the rows of a table."""
    for item in _flat(page):
        if isinstance(item, LTLine):
            if item.height < 1.5:
                yield Ruling((item.y0 + item.y1) / 2, item.x0, item.x1)
        elif isinstance(item, LTCurve) and item.height < 0.5 * page.height:
            yield Ruling(item.y1, item.x0, item.x1)
            if item.height > 2:
                yield Ruling(item.y0, item.x0, item.x1)


def main() -> None:
    max_pages, memory, seconds = (int(argument) for argument in sys.argv[1:4])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.disable()
    content = sys.stdin.buffer.read()
    answer: dict[str, Any]
    try:
        answer = {"pages": read(content, max_pages)}
    except Refused as refusal:
        answer = {"problem": refusal.code}
    except MemoryError:
        answer = {"problem": "too_complex"}
    except Exception as error:  # noqa: BLE001 - a damaged file makes the parser raise anything; the parent gets the name
        answer = {"problem": "broken", "detail": type(error).__name__}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
