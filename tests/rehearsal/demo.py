"""`script/demo`: one customer's conversation through the whole product over real HTTP, with fake Wappi and fake Gemini.

Plays the story, prints the transcript with the time spent per stage, and exits 0 only if every reply arrived exactly
once and nothing was said while a person led.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from .manager import Manager
from .stack import Stack, call, scratch_folder, wait_for

COMPANY = Path(__file__).with_name("company.yaml")
PHONE = "77015550101"
#: How long a second, unwanted reply is waited for after each step, in seconds.
SETTLE = 2.0
REPLY_SECONDS = 20.0
#: What a turn does from one entry of its timeline to the next.
STAGES = {"received": "hold", "joined": "hold", "answer": "answer with the model", "deliver": "delivery"}


@dataclass
class Story:
    """Plays the steps; what went otherwise than told is collected in `wrong`."""

    stack: Stack
    manager: Manager
    wrong: list[str] = field(default_factory=list)
    replies: int = 0

    def ledger(self) -> list[dict[str, Any]]:
        """What the provider accepted for this customer."""
        entries = call("GET", f"{self.stack.wappi_url}/_sandbox/ledger")
        return [entry for entry in entries if str(entry["recipient"]).startswith(PHONE)]

    def writes(self, text: str) -> None:
        say("customer", text)
        call("POST", f"{self.stack.wappi_url}/_sandbox/message", {"phone": PHONE, "text": text, "name": "Демо-клиент"})

    @contextmanager
    def expecting(self, replies: int, what: str, *, containing: str = "") -> Iterator[None]:
        """So many replies, no more and no fewer, come of what happens in the block."""
        before = len(self.ledger())
        yield
        if replies:
            try:
                wait_for("reply", lambda: len(self.ledger()) >= before + replies, REPLY_SECONDS)
            except TimeoutError:
                self.wrong.append(f"{what}: no reply within {REPLY_SECONDS:g} s")
        time.sleep(SETTLE)
        new = self.ledger()[before:]
        self.replies += len(new)
        for entry in new:
            say("reply", entry["text"])
        if len(new) != replies:
            self.wrong.append(f"{what}: {len(new)} replies instead of {replies}")
        if containing and not any(containing in entry["text"] for entry in new):
            self.wrong.append(f"{what}: the reply does not contain “{containing}”")

    def play(self) -> None:
        with self.expecting(1, "greeting"):
            self.writes("Здравствуйте! Интересует кофемашина для офиса.")
        with self.expecting(1, "question from the price list", containing="₸"):
            self.writes("Сколько стоит доставка?")
        with self.expecting(1, "three quick messages"):
            for text in ("А гарантия", "какая", "на кофемашины?"):
                self.writes(text)
        with self.expecting(0, "the owner types on the phone"):
            say("owner", "Добрый день, это менеджер, сейчас всё расскажу.")
            call("POST", f"{self.stack.wappi_url}/_sandbox/owner",
                 {"phone": PHONE, "text": "Добрый день, это менеджер, сейчас всё расскажу."})  # fmt: skip
            self.led_by("manager")
        with self.expecting(0, "a question to the manager"):
            self.writes("Хорошо, жду. А рассрочка есть?")
        with self.expecting(1, "a reply from the admin"):
            say("manager", "Да, рассрочка есть, пришлю условия.")
            self.manager.replies("Да, рассрочка есть, пришлю условия.")
        with self.expecting(0, "given back: nothing is left to answer"):
            say("manager", "(gives the conversation back)")
            self.manager.gives_back()
            self.led_by("bot")
        with self.expecting(1, "the assistant leads again"):
            self.writes("Спасибо! Какие способы оплаты у вас есть?")

    def led_by(self, mode: str) -> None:
        try:
            wait_for("mode", lambda: self.manager.mode() == mode, 15)
        except TimeoutError:
            self.wrong.append(f"the conversation is not led by {mode}")


def say(who: str, text: str) -> None:
    print(f"  {who:>9} │ " + text.replace("\n", "\n            │ "), flush=True)


def print_stages() -> None:
    """Where the seconds of each turn went, from its timeline."""
    from conversations.models import Turn

    print("\nTurn  trigger   outcome                 ms per stage")
    for turn in Turn.objects.order_by("id"):
        steps = [(entry["what"], _seconds(entry["at"])) for entry in turn.timeline]
        spans = [
            f"{STAGES.get(name, name)} {1000 * (after - at):.0f}"
            for (name, at), (_next, after) in pairwise(step for step in steps if step[0] != "model")
        ]
        outcome = f"{turn.stage}{f' ({turn.reason})' if turn.reason else ''}"
        print(f"{turn.pk:>4}  {turn.trigger:<9} {outcome:<23} {', '.join(spans)}")


def _seconds(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()


def check_rows(story: Story) -> None:
    """The product's own rows must tell the same story as the provider's record."""
    from channels.models import InboundEvent
    from conversations.models import Message, Turn

    sent = Message.objects.filter(direction="out", external_id__isnull=False).exclude(author="manager", user=None).count()
    if sent != story.replies:
        story.wrong.append(f"{sent} messages are marked as sent, the provider accepted {story.replies}")
    open_turns = Turn.objects.filter(stage__in=Turn.OPEN).count()
    failed = Turn.objects.filter(stage="failed").count() + InboundEvent.objects.filter(state="failed").count()
    if open_turns or failed:
        story.wrong.append(f"{open_turns} turns are still open, {failed} turns or events need attention")


def main() -> int:
    parser = argparse.ArgumentParser(prog="script/demo", description=__doc__)
    parser.parse_args()
    with scratch_folder("demo") as folder:
        print("Starting Saudager with a fake WhatsApp gateway and a fake language model …", flush=True)
        begun = time.monotonic()
        with Stack(folder, COMPANY, environment={"MODERATION": "true"}, latency_ms=300) as stack:
            stack.connect_django()
            wait_for_knowledge()
            subscribe(stack)
            print(f"Up after {time.monotonic() - begun:.1f} s.\n", flush=True)
            story = Story(stack, Manager(stack, PHONE))
            try:
                story.play()
            finally:
                print_stages()
            check_rows(story)
            story.wrong += [f"logged error: {error}" for error in stack.errors()]
        print()
        for line in story.wrong:
            print(f"WRONG: {line}")
        print("Every reply arrived exactly once." if not story.wrong else f"{len(story.wrong)} things went wrong.")
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
