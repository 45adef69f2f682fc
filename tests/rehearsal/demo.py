"""`script/demo`: the story of three customers through the whole product over real HTTP, with fake Wappi and fake Gemini.

Prints the transcript with the time spent per stage, and exits 0 only if every message arrived exactly once, at its time,
and nothing was said while a person led. Weeks pass in it: the clock of its database is moved.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from . import chapters
from .clock import Clock, beginning, today
from .manager import Manager
from .stack import Stack, scratch_folder, wait_for
from .story import Story

COMPANY = Path(__file__).with_name("company.yaml")
#: What a turn does from one entry of its timeline to the next.
STAGES = {
    "received": "hold", "joined": "hold", "transcribe": "listening", "classify": "is it a client",
    "answer": "answer with the model", "deliver": "delivery", "planned": "start",
}  # fmt: skip


def print_stages() -> None:
    """Where the seconds of each turn went, from its timeline."""
    from conversations.models import Turn

    print("\nTurn  trigger    outcome                 ms per stage")
    for turn in Turn.objects.order_by("id"):
        steps = [(entry["what"], _seconds(entry["at"])) for entry in turn.timeline]
        spans = [
            f"{STAGES.get(name, name)} {1000 * (after - at):.0f}"
            for (name, at), (_next, after) in pairwise(step for step in steps if step[0] != "model")
        ]
        outcome = f"{turn.stage}{f' ({turn.reason})' if turn.reason else ''}"
        print(f"{turn.pk:>4}  {turn.trigger:<10} {outcome:<23} {', '.join(spans)}")


def _seconds(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()


def play(story: Story) -> None:
    """All chapters in order."""
    first, third = (Manager(story.stack, customer.phone) for customer in (chapters.FIRST, chapters.THIRD))
    story.moves_to(beginning(today()))
    chapters.questions(story)
    chapters.takeover(story, first)
    chapters.a_call(story)
    chapters.two_fall_silent(story)
    chapters.touches(story, third)
    chapters.opting_out(story)
    chapters.check_rows(story)


def main() -> int:
    parser = argparse.ArgumentParser(prog="script/demo", description=__doc__)
    parser.parse_args()
    clocks: list[Clock] = []

    def install(env: Mapping[str, str]) -> None:
        clocks.append(Clock(env["DATABASE_URL"]))

    with scratch_folder("demo") as folder:
        print("Starting Saudager with a fake WhatsApp gateway and a fake language model …", flush=True)
        begun = time.monotonic()
        with Stack(folder, COMPANY, environment={"MODERATION": "true"}, latency_ms=300, prepared=install) as stack:
            stack.connect_django()
            wait_for_knowledge()
            subscribe(stack)
            print(f"Up after {time.monotonic() - begun:.1f} s.", flush=True)
            story = Story(stack, clocks[0])
            try:
                play(story)
            finally:
                print_stages()
                clocks[0].close()
            story.wrong += [f"logged error: {error}" for error in stack.errors()]
        print()
        for line in story.wrong:
            print(f"WRONG: {line}")
        took = time.monotonic() - begun
        print(f"Every message arrived exactly once ({took:.0f} s)." if not story.wrong else f"{len(story.wrong)} things went wrong.")
        if story.wrong:
            # The exception keeps the folder with the logs.
            raise SystemExit(1)
    return 0


def wait_for_knowledge() -> None:
    from knowledge.models import Source

    wait_for("knowledge", lambda: not Source.objects.exclude(state="ready").exists() and Source.objects.exists(), 60)


def subscribe(stack: Stack) -> None:
    """As the button in the admin does: tell the provider where to post."""
    from channels import directory
    from channels.models import Channel

    channel = Channel.objects.get(slug="wappi")
    directory.entry(channel.pk).adapter.subscribe(f"{stack.url}/webhooks/wappi/wappi/{channel.webhook_secret}/")


if __name__ == "__main__":
    sys.exit(main())
