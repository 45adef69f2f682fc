"""One channel's conversation as it is played: steps, what is expected of each, and how long it took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..manager import Manager
from ..stack import wait_for
from ..story import REPLY_SECONDS, SETTLE
from .sides import Arrived, Side


@dataclass
class Scene:
    """Several may be played at the same time: each looks at its own channel only."""

    slug: str
    side: Side
    manager: Manager
    tell: Callable[[str], None]
    wrong: list[str] = field(default_factory=list)
    inbound: int = 0
    """So many messages the customer wrote."""
    echoes: int = 0
    """So many the owner typed past us."""
    replies: int = 0
    """So many the provider accepted."""

    # ── What people do ───────────────────────────────────────────────────────────────────────────────────────────────
    def writes(self, *texts: str) -> None:
        for text in texts:
            self._does(text)
            self.side.writes(text)

    def speaks(self, words: str) -> None:
        self._does(f"🎤 {words}")
        self.side.speaks(words)

    def shows(self, caption: str) -> None:
        """A picture, and its words with it where the channel has them together."""
        self._does(f"🖼  {caption if self.side.captions else ''}".rstrip())
        self.side.shows(caption)
        if not self.side.captions:
            self.writes(caption)

    def taps(self, message: Arrived, title: str) -> None:
        """Tap the choice of this title."""
        action = next((action for action, shown in message.choices if shown == title), "")
        if not action:
            self.wrong.append(f"“{title}” is not to be tapped")
            return
        self._does(f"[{title}]")
        self.side.taps(message, action)

    def owner_types(self, text: str) -> None:
        self.say("owner", text)
        self.echoes += 1
        self.side.owner_types(text)

    def _does(self, shown: str) -> None:
        self.say("customer", shown)
        self.inbound += 1

    # ── What comes of it ─────────────────────────────────────────────────────────────────────────────────────────────
    @contextmanager
    def expecting(self, what: str, number: int = 1, *, containing: str = "", by: str = "bot") -> Iterator[list[Arrived]]:
        """So many messages to the customer, and none to anybody else, come of what happens in the block.

        The list that is given holds them once the block has ended.
        """
        before, arrived = len(self.side.ledger()), list[Arrived]()
        begun = time.monotonic()
        yield arrived
        if number:
            try:
                wait_for("reply", lambda: len(self.side.ledger()) >= before + number, REPLY_SECONDS)
            except TimeoutError:
                self.wrong.append(f"{what}: no reply within {REPLY_SECONDS:g} s")
        took = time.monotonic() - begun
        self.rest()
        arrived += self.side.ledger()[before:]
        self.replies += len(arrived)
        for message in arrived:
            titles = "".join(f" [{title}]" for _action, title in message.choices)
            self.say(by, f"{message.text}{titles}   ({took:.1f} s)")
        self.check(f"{what}: recipients", [message.to for message in arrived], [self.side.address] * number)
        if containing and not any(containing in message.text for message in arrived):
            self.wrong.append(f"{what}: the reply does not contain “{containing}”")

    def check(self, what: str, found: object, wanted: object) -> None:
        if found != wanted:
            self.wrong.append(f"{what}: {found!r} instead of {wanted!r}")

    def led_by(self, mode: str) -> None:
        self.until(f"the conversation is led by {mode}", lambda: self.manager.mode() == mode)

    def until(self, what: str, condition: Callable[[], Any], seconds: float = 15) -> None:
        try:
            wait_for(what, condition, seconds)
        except TimeoutError:
            self.wrong.append(f"not so: {what}")

    def rest(self) -> None:
        """Wait until everything that was written is known and nothing is being worked on, and a little longer."""
        try:
            wait_for("rest", self._is_quiet, REPLY_SECONDS)
        except TimeoutError:
            self.wrong.append("work does not come to an end")
        time.sleep(SETTLE)

    def _is_quiet(self) -> bool:
        from channels.models import InboundEvent
        from conversations.models import Turn

        rows = self.rows()
        return (
            rows.filter(direction="in").count() == self.inbound
            and self.echoed().count() == self.echoes
            and not rows.filter(state__in=("queued", "sending")).exists()
            and not Turn.objects.filter(conversation__channel__slug=self.slug, stage__in=Turn.OPEN).exists()
            and not InboundEvent.objects.filter(channel__slug=self.slug, state="new").exists()
        )

    # ── The product's own rows ───────────────────────────────────────────────────────────────────────────────────────
    def rows(self) -> Any:
        from conversations.models import Message

        return Message.objects.filter(channel__slug=self.slug)

    def echoed(self) -> Any:
        """What the owner typed past us."""
        return self.rows().filter(direction="out", author="manager", user=None)

    def sent(self) -> Any:
        """What left through us."""
        return self.rows().filter(direction="out", external_id__isnull=False).exclude(author="manager", user=None)

    def newest(self, kind: str) -> Any:
        """The customer's newest message of this kind; None where there is none."""
        return self.rows().filter(direction="in", kind=kind).order_by("-seq").first()

    # ── The transcript ───────────────────────────────────────────────────────────────────────────────────────────────
    def say(self, who: str, text: str) -> None:
        self.tell(f"  {who:>10} │ " + text.replace("\n", "\n             │ "))

    def note(self, text: str) -> None:
        self.tell(f"             │ ({text})")
