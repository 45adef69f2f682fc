"""What a chaos run prints: a line for each fault, and below it what must not be."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from . import audit
from .audit import Verdict
from .witness import Quiet

#: Memory of a process that grew by more than this factor and so many MB is a leak.
GROWN, GROWN_MB = 1.15, 15


@dataclass
class Result:
    """One fault's figures. Seconds count from the end of the fault."""

    fault: str
    proves: str
    verdict: Verdict
    quiet: Quiet
    first_answer: float | None
    """Until the first answer that the provider accepted."""
    slowest: float
    """The longest that a message of this load waited for its answer."""
    unconfirmed: int
    restarts: int
    resumed: float | None = None
    """Until the last turn that a dead worker had in hand went on, counted from its death."""
    memory: dict[str, int] = field(default_factory=dict)
    """Process → its resident memory afterwards, in MB."""
    skipped: str = ""
    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return self.verdict.clean and not self.quiet.at_work and not self.wrong

    def as_json(self) -> dict[str, Any]:
        verdict = self.verdict
        return {
            "fault": self.fault, "proves": self.proves, "passed": self.passed, "skipped": self.skipped,
            "messages": verdict.messages, "answered": verdict.answered, "ends": dict(verdict.reasons),
            "lost": verdict.lost, "doubled": verdict.doubled, "out_of_order": verdict.disordered,
            "sent_after_takeover": verdict.after_takeover, "unconfirmed": self.unconfirmed,
            "seconds_to_first_answer": self.first_answer, "seconds_to_quiet": round(self.quiet.seconds, 1),
            "slowest_answer_seconds": round(self.slowest, 1), "still_at_work": self.quiet.at_work, "restarts": self.restarts,
            "seconds_to_resume": None if self.resumed is None else round(self.resumed, 1), "memory_mb": self.memory,
            "wrong": self.wrong, "notes": self.notes,
        }  # fmt: skip


HEAD = (
    f"{'fault':<18}{'in':>5}{'answered':>9}{'offline':>8}{'taken':>6}{'ignored':>8}{'attention':>10}"
    f" │{'lost':>5}{'doubled':>8}{'order':>6}{'after':>6} │{'unconf.':>8}{'resumed':>8}{'first s':>8}{'quiet s':>8}{'slowest':>8}"
)


def line(result: Result) -> str:
    """The figures of one fault, and what is worth saying of them, one under the other."""
    if result.skipped:
        return f"{result.fault:<18} skipped: {result.skipped}"
    verdict = result.verdict
    ends = [verdict.ends[word] for word in (audit.OFFLINE, audit.TAKEN, audit.IGNORED, audit.ATTENTION)]
    bad = [len(found) for found in (verdict.lost, verdict.doubled, verdict.disordered, verdict.after_takeover)]
    lines = [
        f"{result.fault:<18}{verdict.messages:>5}{verdict.answered:>9}{ends[0]:>8}{ends[1]:>6}{ends[2]:>8}{ends[3]:>10}"
        f" │{bad[0]:>5}{bad[1]:>8}{bad[2]:>6}{bad[3]:>6} │{result.unconfirmed:>8}{_seconds(result.resumed):>8}"
        f"{_seconds(result.first_answer):>8}{result.quiet.seconds:>8.1f}"
        f"{result.slowest:>8.1f}{'' if result.passed else '  FAILED'}"
    ]
    told = {key: count for key, count in verdict.reasons.items() if key not in (audit.TAKEN, audit.OFFLINE)}
    if told:
        lines.append(f"    {', '.join(f'{key} {count}' for key, count in sorted(told.items()))}")
    lines += [f"    note: {note}" for note in result.notes]
    lines += [f"    WRONG: {wrong}" for wrong in problems(result)]
    return "\n".join(lines)


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def problems(result: Result) -> list[str]:
    """Everything that must not be, in words."""
    verdict = result.verdict
    found = [f"lost: {one}" for one in verdict.lost] + [f"doubled: {one}" for one in verdict.doubled]
    found += [f"out of order: {one}" for one in verdict.disordered]
    found += [f"sent after takeover: {one}" for one in verdict.after_takeover]
    if result.quiet.at_work:
        found.append("never quiet: " + ", ".join(f"{count} {name}" for name, count in result.quiet.at_work.items()))
    return found + result.wrong


def memory(results: Sequence[Result]) -> str:
    """What each process had resident in the first third of a soak and in its last, in MB."""
    third = max(1, len(results) // 3)
    lines = []
    for name in results[0].memory if results else ():
        first, last = (
            statistics.median(found) if (found := [result.memory[name] for result in part if name in result.memory]) else 0
            for part in (results[:third], results[-third:])
        )
        grown = last > GROWN * first + GROWN_MB
        if grown:
            results[-1].wrong.append(f"{name} grew from {first:.0f} to {last:.0f} MB")
        lines.append(f"{name:<12}{first:>6.0f} MB{last:>6.0f} MB{'  GREW' if grown else ''}")
    return "\n".join(("memory        first     last", *lines))


def summary(results: Sequence[Result]) -> str:
    """The closing line."""
    ran = [result for result in results if not result.skipped]
    failed = [result.fault for result in ran if not result.passed]
    messages = sum(result.verdict.messages for result in ran)
    if failed:
        return f"{len(failed)} of {len(ran)} faults did harm: {', '.join(failed)}."
    return f"{messages} messages under {len(ran)} faults: none lost, none doubled, none out of order, none after a takeover."


__all__ = ["HEAD", "Result", "line", "memory", "problems", "summary"]
