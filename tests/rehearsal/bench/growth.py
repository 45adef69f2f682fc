"""`--rows N`: the hot operations one by one on tables of 10³, 10⁴ … N old rows. What is flat there does not pay for the past.

Runs in a process of its own that speaks to the stack's database through Django, with no worker beside it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..stack import ROOT, Stack, scratch_folder
from .ground import COMPANY
from .writers import QUESTIONS, Bench

SMALLEST = 1000
_COMMAND = "from tests.rehearsal.bench import growth; growth.main()"
PAGES = {
    "admin: start": "admin:index", "admin: conversations": "admin:conversations_conversation_changelist",
    "admin: turns": "admin:conversations_turn_changelist", "admin: messages": "admin:conversations_message_changelist",
    "admin: events": "admin:channels_inboundevent_changelist", "admin: contacts": "admin:conversations_contact_changelist",
    "admin: follow-ups": "admin:sales_followup_changelist", "admin: attention": "admin:attention",
    "admin: status": "admin:status",
}  # fmt: skip


def levels(rows: int) -> list[int]:
    """10³, 10⁴ … and `rows` itself at the end."""
    found = []
    level = SMALLEST
    while level < rows:
        found.append(level)
        level *= 10
    return [*found, rows]


def ratios(by_level: dict[int, dict[str, float]]) -> dict[str, float]:
    """By how much each operation became slower from the smallest to the largest table."""
    first, last = by_level[min(by_level)], by_level[max(by_level)]
    return {name: round(last[name] / first[name], 2) for name in first if first[name]}


def measure(rows: int, *, quick: bool = False) -> dict[str, Any]:
    """Start a stack without workers, fill its tables step by step, and measure at each."""
    environment = {"HOLD": "0", "POLLING_INTERVAL": "3600"}
    with scratch_folder("bench-rows") as folder, Stack(folder, COMPANY, processes=("web",), environment=environment) as stack:
        env = {key: value for key, value in stack.env.items() if key != "DATABASE_POOL"}
        env |= {"DJANGO_SETTINGS_MODULE": "config.settings", "LOG_LEVEL": "ERROR"}
        command = [sys.executable, "-c", _COMMAND, "--rows", str(rows), *(["--quick"] if quick else [])]
        done = subprocess.run(command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


class Operations:
    """The operations of the road, the sweeper, the follow-ups and the admin, each timed alone."""

    def __init__(self, repeat: int) -> None:
        from django.contrib.auth import get_user_model
        from django.test import Client

        from channels import directory

        self.repeat = repeat
        self.writer = _Bodies()
        found = directory.by_slug("wappi")
        assert found is not None
        self.channel_id, self.adapter = found.channel.pk, found.adapter
        self.client = Client(headers={"host": "127.0.0.1"})
        user = get_user_model().objects.create_superuser("bench", "bench@localhost")
        self.client.force_login(user)
        self.times: dict[str, list[float]] = {}

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.times.setdefault(name, []).append(1000 * (time.perf_counter() - begun))

    def measure(self) -> dict[str, float]:
        """Milliseconds of each operation: the quickest of several, so that what else the machine does shows least."""
        self.phone = self.writer.phone()  # a new one each time: nobody is answered endlessly
        self.times.clear()
        for _ in range(self.repeat):
            self._road()
            self._claims()
            self._beat()
            self._pages()
        return {name: round(min(times), 2) for name, times in self.times.items()}

    def _store(self, phone: str) -> int:
        from channels import inbox

        (event_id,) = inbox.store(self.channel_id, self.adapter.split(self.writer.body(phone, QUESTIONS[0])), "webhook")
        return event_id

    def _road(self) -> None:
        from conversations import outbox
        from conversations.receive import receive
        from sales import agent

        stranger = self.writer.phone()
        for name, phone in (("a new customer", stranger), ("a known one", self.phone)):
            with self.timed("store an event"):
                event_id = self._store(phone)
            with self.timed(f"receive, {name}"):
                receive(event_id)
            turn = self._open_turn()
            with self.timed("answer (whole step)"):
                agent.answer(turn.pk)
            with self.timed("deliver (whole step)"):
                assert outbox.deliver(turn.conversation_id)

    def _claims(self) -> None:
        from django.db import transaction

        from conversations import outbox, turns
        from conversations.drafts import Draft
        from conversations.receive import receive

        receive(self._store(self.phone))
        turn = self._open_turn()
        with self.timed("claim a turn"):
            claimed = turns.claim(turn.pk, turn.stage)
        assert claimed is not None
        with transaction.atomic():
            conversation = turns.lock(claimed)
            outbox.queue(conversation, self.channel_id, Draft("Да."), author="bot", turn_id=turn.pk)
            turns.move_on(claimed, "deliver")
        with self.timed("claim an outgoing message"):
            message = outbox.claim(turn.conversation_id)
        assert message is not None
        outbox.attempt(message)

    def _open_turn(self) -> Any:
        from conversations.models import Turn

        return Turn.objects.filter(stage__in=Turn.OPEN).order_by("-pk")[0]

    def _beat(self) -> None:
        from channels import inbox, polling
        from conversations import draining, outbox_sweep, takeover, turns
        from sales import calls, follow_up_plan, follow_ups

        steps: dict[str, Callable[[], object]] = {
            "poll": lambda: polling.poll(self.channel_id), "sweep events": inbox.sweep, "sweep turns": turns.sweep,
            "sweep the outbox": outbox_sweep.sweep, "wake paused channels": draining.wake,
            "resume after managers": takeover.resume_due, "plan follow-ups": follow_up_plan.plan,
            "due touches": follow_ups.fire, "remind of calls": calls.remind_due, "forget payloads": lambda: inbox.purge(30),
        }  # fmt: skip
        for name, step in steps.items():
            with self.timed(name):
                step()
            self._settle()

    def _settle(self) -> None:
        """No worker does it: what a poll brought must not wait for the sweeps that are timed after it."""
        from channels.models import InboundEvent
        from conversations.receive import receive

        for event_id in InboundEvent.objects.filter(state=InboundEvent.State.NEW).values_list("pk", flat=True):
            receive(event_id)

    def _pages(self) -> None:
        from django.urls import reverse

        from conversations.models import Conversation

        pages = {name: reverse(address) for name, address in PAGES.items()}
        first = Conversation.objects.order_by("pk")[0].pk
        pages["admin: one conversation"] = reverse("admin:conversations_conversation_change", args=[first])
        pages["admin: find a phone"] = pages["admin: conversations"] + "?q=%2B77010000000"
        pages["admin: find a name"] = pages["admin: contacts"] + "?q=Клиент"
        for name, address in pages.items():
            with self.timed(name):
                answer = self.client.get(address)
            assert answer.status_code == 200, f"{name}: {answer.status_code}"


class _Bodies(Bench):
    """Writes bodies as the load does, without a web server to post them to."""

    def __init__(self) -> None:
        self.phones = iter(range(77_020_000_000, 77_029_999_999))


def _measure(rows: int, repeat: int) -> dict[str, Any]:
    import django

    django.setup()
    from django.db import connection

    from ..fill import fill

    operations = Operations(repeat)
    by_level: dict[int, dict[str, float]] = {}
    filling = {}
    have = 0
    for level in levels(rows):
        begun = time.perf_counter()
        connection.cursor().execute("SET statement_timeout = 0")
        fill(connection, level - have)
        connection.cursor().execute("SET statement_timeout = '30s'")
        filling[level], have = round(time.perf_counter() - begun, 1), level
        by_level[level] = operations.measure()
        print(f"{level} rows: {by_level[level]}", file=sys.stderr, flush=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relname = ANY(%s)", [_tables()])
        size = {name: round(size / rows) for name, size in cursor.fetchall()}
    return {
        "milliseconds": by_level, "ratio": ratios(by_level), "filling_seconds": filling, "bytes_per_message": size,
    }  # fmt: skip


def _tables() -> list[str]:
    from ..fill import TABLES

    return [model._meta.db_table for model, _each in TABLES.values()]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    print(json.dumps(_measure(options.rows, 2 if options.quick else 10)))
