"""The listening side of `foundation.live`, for pages held open by an event loop.

However many pages are open, a process has one Redis connection; a page costs a `Bell`, which holds neither a thread nor
a connection.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from django.conf import settings
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from .live import PREFIX

logger = logging.getLogger(__name__)

#: A connection that says nothing for so long is asked whether it lives, and given up when it stays silent as long again.
SILENCE_SECONDS = 20.0
#: The longest pause between two attempts to reach Redis.
SLOWEST_RECONNECT_SECONDS = 5.0
#: What a bell says when rings may have been missed: look for yourself.
LOOK = "look"


class Bell:
    """What one open page waits at."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()
        self._what: set[str] = set()

    def ring(self, what: str) -> None:
        self._what.add(what)
        self._rung.set()

    async def wait(self, seconds: float) -> set[str]:
        """What was rung since the last call, as soon as anything was; empty after `seconds` without a ring."""
        try:
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        except TimeoutError:
            return set()
        self._rung.clear()
        what, self._what = self._what, set()
        return what


class Listener:
    """The process's ear at Redis. Made by `listener()`, one for each event loop."""

    def __init__(self) -> None:
        self.connected = False
        """While False no ring arrives: whoever waits has to look by themselves."""
        self.open = 0
        """How many bells there are."""
        self._bells: defaultdict[str, set[Bell]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def listen(self, *topics: str) -> Iterator[Bell]:
        """A bell that rings for these topics, as long as the context lasts."""
        if self._task is None or self._task.done():
            # A context of its own: the task outlives the request that happens to start it.
            self._task = asyncio.get_running_loop().create_task(self._run(), context=contextvars.Context())
        bell = Bell()
        self.open += 1
        try:
            for topic in topics:
                self.add(bell, topic)
            yield bell
        finally:
            self.open -= 1
            self._remove(bell)

    def add(self, bell: Bell, topic: str) -> None:
        """Let a bell ring for one more topic."""
        self._bells[topic].add(bell)

    def listening(self, topic: str) -> int:
        """How many bells ring for this topic."""
        return len(self._bells[topic]) if topic in self._bells else 0

    def _remove(self, bell: Bell) -> None:
        for topic in [topic for topic, bells in self._bells.items() if bell in bells]:
            self._bells[topic].discard(bell)
            if not self._bells[topic]:
                del self._bells[topic]

    def _ring_all(self) -> None:
        for bell in {bell for bells in self._bells.values() for bell in bells}:
            bell.ring(LOOK)

    async def _run(self) -> None:
        pause = 0.25
        while True:
            try:
                async with Redis.from_url(settings.REDIS_URL, socket_connect_timeout=2) as client:
                    await self._hear(client)
            except (RedisError, OSError) as error:
                if self.connected:
                    logger.warning("doorbell away, pages look by themselves", extra={"error": type(error).__name__})
                    pause = 0.25
                self.connected = False
                self._ring_all()
            await asyncio.sleep(pause)
            pause = min(pause * 2, SLOWEST_RECONNECT_SECONDS)

    async def _hear(self, client: Redis) -> None:
        """Pass on what is rung, until the connection breaks. Raises RedisError, OSError."""
        async with client.pubsub() as pubsub:
            await pubsub.psubscribe(f"{PREFIX}*")
            silent = False
            while True:
                message = await pubsub.get_message(timeout=SILENCE_SECONDS)
                if message is None:
                    if silent:
                        raise RedisConnectionError("no answer to a ping")
                    silent = True
                    await pubsub.ping()
                    continue
                silent = False
                if message["type"] == "psubscribe":
                    self.connected = True
                    self._ring_all()
                elif message["type"] == "pmessage":
                    self._pass_on(message)

    def _pass_on(self, message: dict[str, Any]) -> None:
        bells = self._bells.get(message["channel"].decode().removeprefix(PREFIX))
        if bells:
            what = str(json.loads(message["data"]).get("what", LOOK))
            for bell in bells:
                bell.ring(what)


_listeners: WeakKeyDictionary[asyncio.AbstractEventLoop, Listener] = WeakKeyDictionary()


def listener() -> Listener:
    """The listener of the running event loop."""
    return _listeners.setdefault(asyncio.get_running_loop(), Listener())
