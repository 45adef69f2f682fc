"""PDF bytes to text, in a child process that may neither hang nor eat the machine."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from .layout import Block
from .models import Problem

logger = logging.getLogger(__name__)

MAX_PAGES = 300
MEMORY_BYTES = 1024 * 1024 * 1024
CPU_SECONDS = 50
#: Wall clock; below the task's soft limit, and below `sources.LEASE_SECONDS`.
WALL_SECONDS = 75.0
#: Readers accept a few stray bytes before the header.
HEADER_WITHIN = 1024

_KAZAKH = frozenset("әғқңөұүһі")


class BadDocument(Exception):
    """A document that cannot be read. `str()` is an explanation for the manager in the active language.

    `again` tells that the same file may be readable another time.
    """

    def __init__(self, problem: Problem, *, again: bool = False) -> None:
        super().__init__(problem.label)
        self.problem = problem
        self.again = again


@dataclass(frozen=True, slots=True)
class Document:
    """The text of a document: blocks by page, and the language most of it is in (`ru`, `kk`, `en`)."""

    pages: list[list[Block]]
    language: str


def check_size(size: int) -> None:
    """Whether a document of `size` bytes may be taken. Raises BadDocument."""
    if not size:
        raise BadDocument(Problem.EMPTY)
    if size > settings.MAX_PDF_SIZE_MB * 1024 * 1024:
        raise BadDocument(Problem.TOO_LARGE)


def check(content: bytes) -> None:
    """What can be said without reading: emptiness, size, magic bytes. Raises BadDocument."""
    check_size(len(content))
    if b"%PDF-" not in content[:HEADER_WITHIN]:
        raise BadDocument(Problem.NOT_PDF)


def read(content: bytes) -> Document:
    """Read a PDF. Takes seconds: never inside a transaction. Raises BadDocument."""
    check(content)
    try:
        child = subprocess.run(  # noqa: S603 - our own module, arguments are numbers
            [sys.executable, "-E", "-s", "-m", "knowledge.reader", str(MAX_PAGES), str(MEMORY_BYTES), str(CPU_SECONDS)],
            input=content,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=Path(__file__).resolve().parent.parent,
            env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
            timeout=WALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BadDocument(Problem.TOO_SLOW, again=True) from None
    if child.returncode != 0:
        logger.warning("the reader of a document died", extra={"code": child.returncode})
        raise BadDocument(Problem.TOO_COMPLEX)
    answer = json.loads(child.stdout)
    if "problem" in answer:
        logger.info("unreadable document", extra={"problem": answer["problem"], "detail": answer.get("detail", "")})
        raise BadDocument(Problem(answer["problem"]))
    pages = [[Block(*block) for block in page] for page in answer["pages"]]
    return Document(pages, language_of(" ".join(block.text for page in pages for block in page)))


def language_of(text: str) -> str:
    """`kk`, `ru` or `en` by the letters of `text`; empty for text without letters."""
    letters = [character for character in text.casefold() if character.isalpha()]
    if not letters:
        return ""
    if sum(character in _KAZAKH for character in letters) > 0.04 * len(letters):
        return "kk"
    return "ru" if sum("а" <= character <= "я" for character in letters) * 2 > len(letters) else "en"
