"""What was found, as a table for people and as JSON for programs."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from .checkup import Examined
from .findings import Finding, Level

NARROWEST, WIDEST = 60, 120
LONGEST_SUBJECT = 26


def table(examined: Examined, width: int) -> Iterator[str]:
    """One check as lines of at most `width` characters: level, subject, what is found; below it what to do."""
    if not examined.findings:
        return
    width = min(max(width, NARROWEST), WIDEST)
    words = max(len(word(level)) for level in Level)
    subjects = min(max(len(finding.subject) for finding in examined.findings), LONGEST_SUBJECT)
    yield str(examined.check.title)
    for finding in examined.findings:
        yield from _lines(finding, words, subjects, width)


def _lines(finding: Finding, words: int, subjects: int, width: int) -> Iterator[str]:
    head = f"  {word(finding.level):{words}}  {_cut(finding.subject, subjects):{subjects}}  "
    under = " " * len(head)
    yield from textwrap.wrap(
        " ".join(finding.what.split()) or " ", width, initial_indent=head, subsequent_indent=under, break_long_words=False,
        drop_whitespace=True,
    ) or [head.rstrip()]  # fmt: skip
    if finding.do:
        yield from textwrap.wrap(
            finding.do, width, initial_indent=f"{under}→ ", subsequent_indent=f"{under}  ", break_long_words=False
        )


def word(level: Level) -> str:
    """The level as people read it."""
    return {
        Level.OK: pgettext("a check's result", "ok"),
        Level.WARN: pgettext("a check's result", "warning"),
        Level.FAIL: pgettext("a check's result", "FAILURE"),
    }[level]


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def summary(all_examined: Sequence[Examined]) -> str:
    """The last line of the table."""
    counts = Counter(finding.level for examined in all_examined for finding in examined.findings)
    facts = {"fine": counts[Level.OK], "warnings": counts[Level.WARN], "failures": counts[Level.FAIL]}
    return _("Fine: %(fine)d, warnings: %(warnings)d, failures: %(failures)d.") % facts


def as_json(all_examined: Sequence[Examined]) -> dict[str, Any]:
    """`{"ok": false, "findings": [{"check", "level", "subject", "what", "do"}, …]}`."""
    return {
        "ok": not any(examined.failed for examined in all_examined),
        "findings": [
            {
                "check": examined.check.name, "level": finding.level.value, "subject": finding.subject, "what": finding.what,
                "do": finding.do,
            }
            for examined in all_examined for finding in examined.findings
        ],
    }  # fmt: skip
