"""The difference between a file and the database, as an operator reads it. Secrets and phones are never shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

Action = Literal["created", "changed", "unchanged", "deleted", "absent"]

HIDDEN = "•••"
LONGEST = 60


@dataclass(frozen=True, slots=True)
class Change:
    """One field of one object."""

    name: str
    old: str
    new: str


@dataclass(slots=True)
class Entry:
    """What became, or would become, of one object."""

    kind: str
    name: str
    action: Action
    changes: list[Change] = field(default_factory=list)
    remark: str = ""


@dataclass(slots=True)
class Report:
    """Everything that one run did, in the order of the file."""

    entries: list[Entry] = field(default_factory=list)

    def add(self, kind: str, name: str, action: Action, changes: list[Change] | None = None, remark: str = "") -> None:
        self.entries.append(Entry(kind, name, action, changes or [], remark))

    def lines(self) -> Iterator[str]:
        """One line per object, below it one per field that differs, at the end the sums."""
        for entry in self.entries:
            yield f"{entry.kind} {entry.name}: {entry.action}{f' ({entry.remark})' if entry.remark else ''}"
            for change in entry.changes:
                yield f"    {change.name}: {f'{change.old} → ' if entry.action == 'changed' else ''}{change.new}"
        counted = Counter(entry.action for entry in self.entries)
        yield ", ".join(f"{count} {action}" for action, count in counted.items()) or "Nothing in the file."


def shown(value: Any, *, secret: bool = False) -> str:
    """A value as the difference shows it, on one short line."""
    if value is None or value == "" or value == [] or value == {}:
        return "—"
    if secret:
        return HIDDEN
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = " ".join(str(value).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
