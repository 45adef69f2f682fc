"""What a fake provider can be told to do to its answers: keep some back, fail some at random, let a door stand still."""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass, field
from typing import Any

from .doors import Door


@dataclass
class Hold:
    """Answers that wait: `left` of them, each for `seconds` or, with 0, until released."""

    left: int = 0
    seconds: float = 0.0
    held: int = 0
    audio: bool = False
    """Only answers of those who listen."""
    released: asyncio.Event = field(default_factory=asyncio.Event)

    def begin(self, left: int, seconds: float = 0.0, *, audio: bool = False) -> None:
        self.left, self.seconds, self.audio, self.held = left, seconds, audio, 0
        self.released = asyncio.Event()

    def end(self) -> None:
        self.left = 0
        self.released.set()

    async def wait(self) -> None:
        """Wait if this answer is one of those that do."""
        if self.left <= 0:
            return
        self.left -= 1
        self.held += 1
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.released.wait(), self.seconds or None)


@dataclass
class Mix:
    """Calls that fail at random: this share of them, each in one of these ways."""

    share: float = 0.0
    ways: list[Any] = field(default_factory=list)

    def strikes(self) -> Any | None:
        """The way in which this call fails, or None."""
        return random.choice(self.ways) if random.random() < self.share else None


async def turn(door: Door, wanted: dict[str, Any]) -> None:
    """`{"open": false}` and `true`; `{"frozen": true}`, then `false`: what came meanwhile is lost."""
    if "frozen" not in wanted:
        await (door.open() if wanted["open"] else door.close())
    elif wanted["frozen"]:
        door.freeze()
    else:
        door.thaw(lost=True)
