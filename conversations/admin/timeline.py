"""Where the seconds of a turn went, read from its timeline."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

#: What an entry of the timeline begins; whatever is not listed ends the turn's work.
PHASES = {
    "received": "hold",
    "joined": "hold",
    "redone": "hold",
    "transcribe": "transcribe",
    "classify": "classify",
    "answer": "answer",
    "deliver": "deliver",
}
LABELS = {
    "hold": gettext_lazy("Waiting for more"),
    "transcribe": gettext_lazy("Transcription"),
    "classify": gettext_lazy("Is it a client?"),
    "answer": gettext_lazy("Preparing the answer"),
    "model": gettext_lazy("Language model"),
    "deliver": gettext_lazy("Sending"),
}
EVENTS = {
    "received": gettext_lazy("message received"),
    "joined": gettext_lazy("another message joined"),
    "redone": gettext_lazy("a message came meanwhile: once more"),
    "transcribe": gettext_lazy("transcription began"),
    "classify": gettext_lazy("classification began"),
    "answer": gettext_lazy("answer began"),
    "model": gettext_lazy("the model answered"),
    "funnel": gettext_lazy("the funnel answered"),
    "deliver": gettext_lazy("sending began"),
    "done": gettext_lazy("done"),
    "ignored": gettext_lazy("ignored"),
    "failed": gettext_lazy("needs attention"),
    "superseded": gettext_lazy("superseded"),
    "takeover": gettext_lazy("a manager took over"),
    "retried": gettext_lazy("retried by a manager"),
    "dismissed": gettext_lazy("dismissed by a manager"),
    "sent": gettext_lazy("recognised as sent"),
    "suppressed": gettext_lazy("withdrawn"),
}


@dataclass(frozen=True, slots=True)
class Span:
    """One stretch of a turn's life. `percent` is its part of the whole."""

    phase: str
    label: str
    seconds: float
    percent: float


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the timeline in words; `after` is in seconds since the first entry."""

    label: str
    at: datetime
    after: float
    seconds: float | None


def spans(timeline: Sequence[Mapping[str, Any]]) -> list[Span]:
    """How long the turn held, was classified, looked up, waited for the model and was sent, in this order."""
    seconds = dict.fromkeys(LABELS, 0.0)
    entries = [(str(entry["what"]), datetime.fromisoformat(entry["at"])) for entry in timeline if entry["what"] != "model"]
    for (what, at), (_next, until) in itertools.pairwise(entries):
        if what in PHASES:
            seconds[PHASES[what]] += max(0.0, (until - at).total_seconds())
    model = sum(float(entry.get("ms") or 0) for entry in timeline if entry["what"] == "model") / 1000
    seconds["model"] = model
    seconds["answer"] = max(0.0, seconds["answer"] - model)
    whole = sum(seconds.values())
    return [
        Span(phase, str(LABELS[phase]), value, round(100 * value / whole, 1)) for phase, value in seconds.items() if value > 0
    ]


def total(timeline: Sequence[Mapping[str, Any]]) -> float:
    """Seconds from the first entry to the last."""
    if not timeline:
        return 0.0
    first, last = (datetime.fromisoformat(timeline[n]["at"]) for n in (0, -1))
    return max(0.0, (last - first).total_seconds())


def events(timeline: Sequence[Mapping[str, Any]]) -> list[Event]:
    """The entries in words, oldest first."""
    if not timeline:
        return []
    start = datetime.fromisoformat(timeline[0]["at"])
    told = []
    for entry in timeline:
        at = datetime.fromisoformat(entry["at"])
        ms = entry.get("ms")
        label = str(EVENTS.get(entry["what"], entry["what"]))
        told.append(Event(label, at, (at - start).total_seconds(), float(ms) / 1000 if ms is not None else None))
    return told


def in_words(seconds: float) -> str:
    """`0.35 s`, `12 s`, `3 min`."""
    if seconds < 10:
        return _("%(n)s s") % {"n": number_format(round(seconds, 2), 2)}
    if seconds < 120:
        return _("%(n)s s") % {"n": number_format(round(seconds), 0)}
    return _("%(n)s min") % {"n": number_format(round(seconds / 60), 0)}
