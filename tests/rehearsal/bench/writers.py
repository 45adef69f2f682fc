"""Customers who write, and what became of what they wrote: counted from the fake provider's record, never from our tables."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from ..kinds import WAPPI, Kind
from ..load import Poster, percentiles
from ..stack import Stack, call
from .meters import Meter

QUESTIONS = ("Здравствуйте! Сколько стоит доставка?", "Какая гарантия на кофемашину?", "Есть ли рассрочка?")
#: Seconds in which each user of a steady load writes once.
EVERY = 10.0


@dataclass
class Run:
    """One run: what was posted when, and what the provider accepted when, by phone. Seconds of the Unix clock."""

    posted: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    acknowledged: list[float] = field(default_factory=list)
    refused: int = 0
    accepted: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def waits(self) -> list[float]:
        """End-to-end seconds; the n-th reply to a phone belongs to its n-th message."""
        return [b - a for phone, posts in self.posted.items() for a, b in zip(posts, self.accepted[phone], strict=False)]

    @property
    def replies(self) -> int:
        return sum(len(self.accepted[phone]) for phone in self.posted)

    @property
    def missing(self) -> int:
        """Messages without a reply so far."""
        return sum(max(0, len(posts) - len(self.accepted[phone])) for phone, posts in self.posted.items())

    @property
    def doubled(self) -> int:
        """Replies to nothing."""
        return sum(max(0, len(self.accepted[phone]) - len(posts)) for phone, posts in self.posted.items())

    def add(self, other: Run) -> None:
        """Take in another run, of other phones."""
        self.posted |= other.posted
        self.accepted |= other.accepted
        self.acknowledged += other.acknowledged
        self.refused += other.refused

    def report(self) -> dict[str, Any]:
        return {
            "messages": sum(map(len, self.posted.values())), "replies": self.replies, "refused": self.refused,
            "lost": self.missing, "doubled": self.doubled,
            "acknowledge": percentiles(self.acknowledged), "end_to_end": percentiles(self.waits()),
        }  # fmt: skip


class Bench:
    """Writes as customers do and watches the fake provider's record of what left.

    `secret` is what the provider was told when it was subscribed, where it proves webhooks by that.
    """

    kind: Kind = WAPPI

    def __init__(self, stack: Stack, webhook: str, secret: str = "") -> None:
        self.stack, self.webhook, self.secret, self.kind = stack, webhook, secret, stack.kind
        self.seen = len(call("GET", f"{stack.gateway_url}/_sandbox/ledger"))
        self.phones = iter(range(77_010_000_000, 77_019_999_999))

    def phone(self) -> str:
        return str(next(self.phones))

    def poster(self, connections: int) -> Poster:
        """Posts as the provider does, with its proof."""
        return Poster(self.webhook, connections, lambda body: self.kind.headers(body, self.secret))

    def body(self, phone: str, text: str) -> bytes:
        """The provider's webhook of a text message."""
        return self.kind.body(phone, text)

    async def write(self, poster: Poster, run: Run, phone: str, text: str) -> None:
        run.posted[phone].append(time.time())
        status, seconds = await poster.post(self.body(phone, text))
        run.acknowledged.append(seconds)
        run.refused += status != 200

    async def collect(self, run: Run, expected: int, seconds: float) -> None:
        """Read the provider's record until so many replies to this run's phones were accepted."""
        until, got = time.monotonic() + seconds, 0
        while got < expected and time.monotonic() < until:
            got += await self._read(run)
            await asyncio.sleep(0.02 if expected < 50 else 0.1)

    async def _read(self, run: Run) -> int:
        ledger = await asyncio.to_thread(call, "GET", f"{self.stack.gateway_url}/_sandbox/ledger?since={self.seen}")
        self.seen += len(ledger)
        got, phones = 0, {self.kind.recipient(phone): phone for phone in run.posted}
        for entry in ledger:
            phone = phones.get(str(entry[self.kind.addressed]).split("@")[0])
            if phone is not None:
                run.accepted[phone].append(entry["at"])
                got += 1
        return got

    async def one_user(self, messages: int) -> Run:
        """One customer who waits for each reply."""
        poster, run, phone = self.poster(1), Run(), self.phone()
        for number in range(messages):
            if number % 20 == 0:
                phone = self.phone()
            await self.write(poster, run, phone, QUESTIONS[number % len(QUESTIONS)])
            await self.collect(run, 1, 30)
        await poster.close()
        return run

    async def burst(self, users: int, rounds: int) -> Run:
        """All users write at the same moment, over connections of their own."""
        poster, total = self.poster(users), Run()
        for _ in range(rounds):
            run = Run()
            await asyncio.gather(*(self.write(poster, run, self.phone(), QUESTIONS[0]) for _ in range(users)))
            await self.collect(run, users, 60)
            await self._read(run)
            total.add(run)
        await poster.close()
        return total

    async def steady(self, rate: float, seconds: float, *, patience: float = 60.0) -> tuple[Run, float]:
        """Users who write once in EVERY seconds, spread evenly, `rate` messages a second in all.

        Waits `patience` seconds for the last replies. Returns also the rate at which the messages were really posted.
        """
        count, users = max(1, round(rate * seconds)), max(1, round(rate * EVERY))
        poster, run = self.poster(min(users, 500)), Run()
        phones = [self.phone() for _ in range(users)]
        for phone in phones:
            run.posted[phone] = []
        watcher = asyncio.create_task(self.collect(run, count, seconds + patience))
        begun, tasks = time.monotonic(), []
        for number in range(count):
            await asyncio.sleep(max(0.0, begun + number / rate - time.monotonic()))
            phone, text = phones[number % users], QUESTIONS[number % len(QUESTIONS)]
            tasks.append(asyncio.create_task(self.write(poster, run, phone, text)))
        posted = count / max(time.monotonic() - begun, count / rate)
        await asyncio.gather(*tasks)
        await watcher
        await self._read(run)
        await poster.close()
        return run, posted

    async def saturate(self, messages: int, window: int) -> dict[str, Any]:
        """`window` known customers who write again as soon as they are answered: the rate that the machine carries."""
        poster, run = self.poster(window), Run()
        phones = [self.phone() for _ in range(window)]
        await asyncio.gather(*(self.write(poster, run, phone, QUESTIONS[0]) for phone in phones))
        await self.collect(run, window, 60)
        run, cpu, sent, begun = Run(), Meter(), 0, time.time()
        run.posted.update({phone: [] for phone in phones})
        watcher = asyncio.create_task(self.collect(run, messages, 180))
        while not watcher.done():
            free = [phone for phone in phones if len(run.accepted[phone]) == len(run.posted[phone])][: messages - sent]
            if free:
                await asyncio.gather(*(self.write(poster, run, phone, QUESTIONS[sent % 3]) for phone in free))
                sent += len(free)
            else:
                await asyncio.sleep(0.005)
        spent = cpu.per(messages)
        await self._read(run)
        await poster.close()
        return {
            **run.report(), "messages_per_second": steady_rate([at for moments in run.accepted.values() for at in moments]),
            "seconds": round(time.time() - begun, 1), "cpu_ms_per_message": spent,
        }  # fmt: skip


def steady_rate(moments: list[float]) -> float:
    """Events a second over the middle 80 %: neither the start nor the tail of a run counts."""
    ends = sorted(moments)
    cut = ends[int(len(ends) * 0.1) : int(len(ends) * 0.9)]
    return round((len(cut) - 1) / (cut[-1] - cut[0]), 1) if len(cut) > 1 and cut[-1] > cut[0] else 0.0
