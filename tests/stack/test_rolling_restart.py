"""Every process is replaced under load: no webhook fails, nothing is lost, nothing is said twice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from honcho.environ import parse_procfile

from tests.rehearsal.bench import COMPANY, QUESTIONS, Bench, webhook_address
from tests.rehearsal.load import Poster
from tests.rehearsal.stack import ROOT, Process, Stack, call, wait_for

pytestmark = pytest.mark.stack

#: Webhooks a second while processes come and go; each is another customer's first message.
RATE = 12
#: Seconds of load between two replacements.
BETWEEN = 2.0


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    environment = {"HOLD": "0.2", "SWEEP_INTERVAL": "2", "RATE_LIMIT_PER_MINUTE": "100000"}
    with Stack(tmp_path, COMPANY, environment=environment, latency_ms=800) as running:
        yield running


class Load:
    """Posts at a steady rate until told to stop; half of the posts over connections that are kept, half over new ones."""

    def __init__(self, stack: Stack) -> None:
        self.webhook = webhook_address(stack)
        self.bench = Bench(stack, self.webhook)
        self.kept = Poster(self.webhook, 8)
        self.phones: list[str] = []
        self.failed: list[str] = []
        self.stopped = False

    async def run(self) -> None:
        posts, begun = [], time.monotonic()
        while not self.stopped:
            await asyncio.sleep(max(0.0, begun + len(posts) / RATE - time.monotonic()))
            posts.append(asyncio.create_task(self._post(fresh=bool(len(posts) % 2))))
        await asyncio.gather(*posts)
        await self.kept.close()

    async def _post(self, *, fresh: bool) -> None:
        phone = self.bench.phone()
        self.phones.append(phone)
        poster = Poster(self.webhook, 1) if fresh else self.kept
        body = self.bench.body(phone, QUESTIONS[0])
        try:
            # A fresh connection has no excuse: what fails on it has failed.
            status, _seconds = await (poster._post(body) if fresh else poster.post(body))
            if status != 200:
                self.failed.append(f"HTTP {status}")
        except (OSError, ValueError, IndexError, asyncio.IncompleteReadError) as error:
            self.failed.append(f"{type(error).__name__} on a {'fresh' if fresh else 'kept'} connection")
        if fresh:
            await poster.close()


def process(stack: Stack, name: str) -> Process:
    return next(process for process in reversed(stack.running) if process.name == name)


def servers(stack: Stack) -> set[int]:
    """The pids that accept from the port which the web's keeper holds."""
    return {child.pid for child in psutil.Process(process(stack, "web").popen.pid).children(recursive=True)}


def replace_web(stack: Stack) -> None:
    """SIGHUP: a new server beside the old one, then without it."""
    old = servers(stack)
    os.kill(process(stack, "web").popen.pid, signal.SIGHUP)
    wait_for("a new web server", lambda: len(servers(stack)) == 1 and servers(stack) != old, 40)


def replace_worker(stack: Stack, name: str) -> None:
    """SIGTERM as a supervisor sends it, and a new one when the old one has ended by itself."""
    old = process(stack, name)
    os.kill(old.popen.pid, signal.SIGTERM)
    assert old.popen.wait(40) == 0, f"{name} did not end in order"
    stack.running.remove(old)
    said = old.log.stat().st_size
    fresh = stack.start(name, ["/bin/sh", "-c", parse_procfile((ROOT / "Procfile").read_text()).processes[name]])
    wait_for(name, lambda: b"ready." in fresh.log.read_bytes()[said:], 40)


async def replace_everything(stack: Stack, load: Load) -> None:
    try:
        await asyncio.sleep(BETWEEN)
        for _round in range(2):
            for replace, *names in ((replace_web,), (replace_worker, "messages"), (replace_worker, "answers")):
                await asyncio.to_thread(replace, stack, *names)
                await asyncio.sleep(BETWEEN)
    finally:
        load.stopped = True


def replies(stack: Stack) -> Counter[str]:
    ledger: list[dict[str, Any]] = call("GET", f"{stack.gateway_url}/_sandbox/ledger")
    return Counter(str(entry["recipient"]).split("@")[0] for entry in ledger)


def test_a_rolling_restart_under_load_loses_and_doubles_nothing(stack: Stack) -> None:
    load = Load(stack)

    async def both() -> None:
        await asyncio.gather(load.run(), replace_everything(stack, load))

    asyncio.run(both())
    assert load.failed == []
    assert len(load.phones) > 100
    wait_for("all answers", lambda: set(load.phones) <= set(replies(stack)), 60)
    time.sleep(3)  # what would come twice comes now
    assert replies(stack) == Counter(load.phones), "one answer to each, and to nobody else"
    assert stack.errors() == []
    asked = "from config import pulse; p = pulse.read(); print(*(q for q, v in p.queues.items() if not v or v.silent), p.running_beats)"
    assert stack.manage("shell", "--verbosity=0", "-c", asked).strip() == "1", "every queue is read, and one beat runs"
    findings = json.loads(stack.manage("audit", "--json"))
    assert len(findings) > 15 and all(finding["ok"] for finding in findings)
