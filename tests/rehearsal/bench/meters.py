"""What the machine spends: CPU and memory by kind of process, rows at work, messages in the broker's queues."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import psutil
import psycopg
from kombu import Connection

from config.celery_settings import QUEUES

from ..stack import Stack

#: What the measuring itself needs; no part of the product.
OURS = ("fake providers", "load")
_KINDS = {
    "bench import chain": "load", "rehearsal.baseline": "baseline", "sandbox": "fake providers", "config.web": "web",
    "config.supervisor": "supervisor", "flower": "flower", "redis-server": "redis", "beam.smp": "rabbitmq", "postgres": "postgres", " beat": "beat",
}  # fmt: skip

_ROWS = """
SELECT (SELECT count(*) FROM channels_inboundevent WHERE state = 'new'),
    (SELECT count(*) FROM conversations_turn WHERE stage IN ('transcribe', 'classify', 'answer', 'deliver')),
    (SELECT count(*) FROM conversations_message WHERE state IN ('queued', 'sending'))
"""


def kind(line: str) -> str:
    """The kind of process behind a command line: `web`, `postgres`, the name of a worker without its number …"""
    found = next((name for word, name in _KINDS.items() if word in line), None)
    worker = re.search(r"-n ([a-z]+)\d*@", line)
    return found or (worker[1] if worker else "other")


def _processes(root: psutil.Process) -> Iterator[tuple[str, psutil.Process]]:
    for process in root.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            yield kind(" ".join(process.cmdline())), process


class Meter:
    """CPU milliseconds of everything below a process (this one, unless told otherwise), by kind of process."""

    def __init__(self, root: int | None = None) -> None:
        self.root = psutil.Process(root)
        self.before = self._now()

    def _now(self) -> dict[tuple[str, int], float]:
        used = {}
        for name, process in _processes(self.root):
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                used[name, process.pid] = times.user + times.system
        return used

    def per(self, count: int) -> dict[str, float]:
        """Spent since the beginning for each of `count` messages; `product` is the sum without what measures."""
        spent: dict[str, float] = defaultdict(float)
        for (name, pid), seconds in self._now().items():
            spent[name] += seconds - self.before.get((name, pid), 0.0)
        shown = {name: round(1000 * seconds / max(count, 1), 2) for name, seconds in sorted(spent.items())}
        return {**shown, "product": round(sum(ms for name, ms in shown.items() if name not in (*OURS, "other")), 2)}


def memory_mb(root: int | None = None) -> dict[str, float]:
    """Memory of the product's processes in MB, what they share divided among them (PSS), by kind and in all."""
    total: dict[str, float] = defaultdict(float)
    for name, process in _processes(psutil.Process(root)):
        if name not in (*OURS, "other"):
            total[name] += _pss_kb(process.pid) / 1024
    return {**{name: round(mb, 1) for name, mb in sorted(total.items())}, "total": round(sum(total.values()), 1)}


def _pss_kb(pid: int) -> int:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup") as lines:
        return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return 0


class Watch:
    """Looks at memory, rows at work and queues every few seconds, from a thread of its own."""

    def __init__(self, stack: Stack, every: float = 5.0) -> None:
        self.database, self.every = stack.env["DATABASE_URL"], every
        self.broker = stack.env.get("BROKER_URL") or stack.env["REDIS_URL"]
        self.samples: list[dict[str, float]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Watch:
        self.begun = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self.samples.append({"second": round(time.monotonic() - self.begun, 1), **self.look(), "memory_mb": memory_mb()["total"]})
            if self._stop.wait(self.every):
                return

    def look(self) -> dict[str, float]:
        """How much is at work now: new events, open turns, messages on their way out, and tasks in the broker."""
        with psycopg.connect(self.database) as connection:
            events, turns, messages = connection.execute(_ROWS).fetchone() or (0, 0, 0)
        return {"events": events, "turns": turns, "messages": messages, "queued": sum(queue_lengths(self.broker).values())}

    def wait_for_quiet(self, seconds: float) -> bool:
        """Until nothing is at work. False where that takes longer."""
        until = time.monotonic() + seconds
        while any(self.look().values()):
            if time.monotonic() > until:
                return False
            time.sleep(0.5)
        return True

    def report(self) -> dict[str, Any]:
        """First, highest and last value of each figure, and its growth per minute once the first fifth is over."""
        settled = self.samples[len(self.samples) // 5 :]
        return {
            name: {
                "first": self.samples[0][name], "max": max(sample[name] for sample in self.samples),
                "last": self.samples[-1][name],
                "per_minute": round(60 * slope([(sample["second"], sample[name]) for sample in settled]), 2),
            }
            for name in ("memory_mb", "events", "turns", "messages", "queued")
        }  # fmt: skip


def queue_lengths(broker: str) -> dict[str, int]:
    """Messages that wait in each of the broker's queues."""
    lengths = {}
    with Connection(broker) as connection:
        for queue in QUEUES:
            try:
                lengths[queue] = connection.default_channel.queue_declare(queue, passive=True).message_count
            except connection.channel_errors:  # on Redis an empty queue does not exist
                lengths[queue] = 0
    return lengths


def slope(points: list[tuple[float, float]]) -> float:
    """By how much y grows with each x: the straight line of least squares. 0 for fewer than two points."""
    n = len(points)
    if n < 2:
        return 0.0
    x0, y0 = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    spread = sum((x - x0) ** 2 for x, _ in points)
    return sum((x - x0) * (y - y0) for x, y in points) / spread if spread else 0.0
