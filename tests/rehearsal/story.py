"""What a told story needs: customers who write, replies that are counted, a clock that is moved between the chapters."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .clock import Clock
from .manager import Manager
from .stack import Stack, call, wait_for

#: How long a second, unwanted reply is waited for after all work has ended, in seconds.
SETTLE = 0.5
REPLY_SECONDS = 20.0


@dataclass(frozen=True)
class Customer:
    who: str
    phone: str


@dataclass
class Story:
    """Plays steps; what went otherwise than told is collected in `wrong`."""

    stack: Stack
    clock: Clock
    wrong: list[str] = field(default_factory=list)
    replies: Counter[str] = field(default_factory=Counter)
    """So many messages the provider accepted for each phone."""
    written: set[str] = field(default_factory=set)
    """Ids of what customers and the owner wrote."""

    # ── What people do ───────────────────────────────────────────────────────────────────────────────────────────────
    def writes(self, customer: Customer, text: str) -> None:
        say(customer.who, text)
        self._do("message", phone=customer.phone, text=text, name=customer.who.capitalize())

    def speaks(self, customer: Customer, words: str) -> None:
        """A voice note."""
        say(customer.who, f"🎤 {words}")
        self._do("voice", phone=customer.phone, words=words, name=customer.who.capitalize())

    def owner_types(self, customer: Customer, text: str) -> None:
        say("owner", text)
        self._do("owner", phone=customer.phone, text=text)

    def _do(self, what: str, **fields: Any) -> None:
        self.written.add(str(call("POST", f"{self.stack.gateway_url}/_sandbox/{what}", fields)["id"]))

    # ── What comes of it ─────────────────────────────────────────────────────────────────────────────────────────────
    @contextmanager
    def expecting(self, what: str, *customers: Customer, containing: str = "", by: str = "bot") -> Iterator[None]:
        """One message to each of these customers, and none to anybody else, comes of what happens in the block."""
        before = len(self._ledger())
        yield
        if customers:
            try:
                wait_for("reply", lambda: len(self._ledger()) >= before + len(customers), REPLY_SECONDS)
            except TimeoutError:
                self.wrong.append(f"{what}: no reply within {REPLY_SECONDS:g} s")
        self.rest()
        new = self._ledger()[before:]
        for entry in new:
            to = next((customer.who for customer in customers if customer.phone == _phone(entry)), "?")
            say(by if len(customers) == 1 else f"{by}→{to}", entry["text"])
        arrived = Counter(map(_phone, new))
        self.replies += arrived
        if arrived != Counter(customer.phone for customer in customers):
            self.wrong.append(f"{what}: {len(new)} messages instead of {len(customers)}, or to somebody else")
        if containing and not any(containing in entry["text"] for entry in new):
            self.wrong.append(f"{what}: the reply does not contain “{containing}”")

    def _ledger(self) -> list[dict[str, Any]]:
        """What the provider accepted, for whomever."""
        return list(call("GET", f"{self.stack.gateway_url}/_sandbox/ledger"))

    def check(self, what: str, found: object, wanted: object) -> None:
        if found != wanted:
            self.wrong.append(f"{what}: {found!r} instead of {wanted!r}")

    def led_by(self, manager: Manager, mode: str) -> None:
        try:
            wait_for("mode", lambda: manager.mode() == mode, 15)
        except TimeoutError:
            self.wrong.append(f"the conversation is not led by {mode}")

    # ── Time ─────────────────────────────────────────────────────────────────────────────────────────────────────────
    def rest(self) -> None:
        """Wait until everything that was written is known and nothing is being worked on, and a little longer."""
        try:
            wait_for("rest", self._is_quiet, REPLY_SECONDS)
        except TimeoutError:
            self.wrong.append("work does not come to an end")
        time.sleep(SETTLE)

    def _is_quiet(self) -> bool:
        from channels.models import InboundEvent
        from conversations.models import Message, Turn

        known = Message.objects.filter(external_id__in=self.written).count()
        return known == len(self.written) and not (
            Turn.objects.filter(stage__in=Turn.OPEN).exists()
            or Message.objects.filter(state__in=("queued", "sending")).exists()
            or InboundEvent.objects.filter(state="new").exists()
        )

    def moves_to(self, at: datetime) -> None:
        self.rest()
        self.clock.set(at)
        print(f"\n  ⏱  {self.clock.now():%A, %d %B %Y, %H:%M} in Almaty", flush=True)

    def tick(self, *tasks: str) -> None:
        """Start tasks of the clock as beat does, and run them here too: two schedulers at once must be as good as one."""
        from config.celery import app

        app.loader.import_default_modules()
        for task in tasks:
            app.send_task(task)
            app.tasks[task].run()


def _phone(entry: dict[str, Any]) -> str:
    return str(entry["recipient"]).partition("@")[0]


def chapter(title: str) -> None:
    print(f"\n── {title} {'─' * max(4, 90 - len(title))}", flush=True)


def say(who: str, text: str) -> None:
    print(f"  {who:>10} │ " + text.replace("\n", "\n             │ "), flush=True)
