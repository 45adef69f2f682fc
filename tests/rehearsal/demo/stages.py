"""What both demos wait for first, and show in the end: where the time of each turn went."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise

from ..stack import wait_for

#: What a turn does from one entry of its timeline to the next.
STAGES = {
    "received": "hold", "joined": "hold", "transcribe": "listening", "classify": "is it a client",
    "answer": "answer with the model", "deliver": "delivery", "planned": "start",
}  # fmt: skip


def print_stages(slug: str = "") -> None:
    """Where the seconds of each turn went, from its timeline; of one channel, or of all."""
    from conversations.models import Turn

    print("\nTurn  trigger    outcome                 ms per stage")
    turns = Turn.objects.filter(conversation__channel__slug=slug) if slug else Turn.objects.all()
    for turn in turns.order_by("id"):
        steps = [(entry["what"], _seconds(entry["at"])) for entry in turn.timeline]
        spans = [
            f"{STAGES.get(name, name)} {1000 * (after - at):.0f}"
            for (name, at), (_next, after) in pairwise(step for step in steps if step[0] != "model")
        ]
        outcome = f"{turn.stage}{f' ({turn.reason})' if turn.reason else ''}"
        print(f"{turn.pk:>4}  {turn.trigger:<10} {outcome:<23} {', '.join(spans)}")


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def wait_for_knowledge() -> None:
    from knowledge.models import Source

    wait_for("knowledge", lambda: not Source.objects.exclude(state="ready").exists() and Source.objects.exists(), 60)
