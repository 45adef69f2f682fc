"""The story of three customers through the whole product over real HTTP, with fake Wappi and fake Gemini.

Every message has to arrive exactly once, at its time, and nothing may be said while a person leads. Weeks pass in it: the
clock of its database is moved.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from .. import chapters
from ..clock import Clock, beginning, today
from ..manager import Manager
from ..stack import Stack, scratch_folder
from ..story import Story
from .stages import print_stages, wait_for_knowledge

COMPANY = Path(__file__).parent.with_name("company.yaml")


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


def tell() -> int:
    """Play it; 0 where all went as told, else SystemExit, which keeps the folder with the logs."""
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


def subscribe(stack: Stack) -> None:
    """As the button in the admin does: tell the provider where to post."""
    from channels import directory
    from channels.models import Channel

    channel = Channel.objects.get(slug="wappi")
    directory.entry(channel.pk).adapter.subscribe(f"{stack.url}/webhooks/wappi/wappi/{channel.webhook_secret}/")

