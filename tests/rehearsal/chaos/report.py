"""What a chaos run prints: a line for each fault, and below it what must not be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from . import audit
from .audit import Verdict
from .witness import Quiet


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
            "wrong": self.wrong, "notes": self.notes,
        }  # fmt: skip


HEAD = (
    f"{'fault':<17}{'in':>5}{'answered':>9}{'offline':>8}{'taken':>6}{'ignored':>8}{'attention':>10}"
    f" │{'lost':>5}{'doubled':>8}{'order':>6}{'after':>6} │{'unconf.':>8}{'first s':>8}{'quiet s':>8}{'slowest':>8}"
)


def line(result: Result) -> str:
    """The figures of one fault, and what is worth saying of them, one under the other."""
    if result.skipped:
        return f"{result.fault:<17} skipped: {result.skipped}"
    verdict = result.verdict
    ends = [verdict.ends[word] for word in (audit.OFFLINE, audit.TAKEN, audit.IGNORED, audit.ATTENTION)]
    bad = [len(found) for found in (verdict.lost, verdict.doubled, verdict.disordered, verdict.after_takeover)]
    first = "–" if result.first_answer is None else f"{result.first_answer:.1f}"
    lines = [
        f"{result.fault:<17}{verdict.messages:>5}{verdict.answered:>9}{ends[0]:>8}{ends[1]:>6}{ends[2]:>8}{ends[3]:>10}"
        f" │{bad[0]:>5}{bad[1]:>8}{bad[2]:>6}{bad[3]:>6} │{result.unconfirmed:>8}{first:>8}{result.quiet.seconds:>8.1f}"
        f"{result.slowest:>8.1f}{'' if result.passed else '  FAILED'}"
    ]
    told = {key: count for key, count in verdict.reasons.items() if key not in (audit.TAKEN, audit.OFFLINE)}
    if told:
        lines.append(f"    {', '.join(f'{key} {count}' for key, count in sorted(told.items()))}")
    lines += [f"    note: {note}" for note in result.notes]
    lines += [f"    WRONG: {wrong}" for wrong in problems(result)]
    return "\n".join(lines)


def problems(result: Result) -> list[str]:
    """Everything that must not be, in words."""
    verdict = result.verdict
    found = [f"lost: {one}" for one in verdict.lost] + [f"doubled: {one}" for one in verdict.doubled]
    found += [f"out of order: {one}" for one in verdict.disordered]
    found += [f"sent after takeover: {one}" for one in verdict.after_takeover]
    if result.quiet.at_work:
        found.append("never quiet: " + ", ".join(f"{count} {name}" for name, count in result.quiet.at_work.items()))
    return found + result.wrong


def summary(results: Sequence[Result]) -> str:
    """The closing line."""
    ran = [result for result in results if not result.skipped]
    failed = [result.fault for result in ran if not result.passed]
    messages = sum(result.verdict.messages for result in ran)
    if failed:
        return f"{len(failed)} of {len(ran)} faults did harm: {', '.join(failed)}."
    return f"{messages} messages under {len(ran)} faults: none lost, none doubled, none out of order, none after a takeover."


__all__ = ["HEAD", "Result", "line", "problems", "summary"]
