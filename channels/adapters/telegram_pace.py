"""Telegram's speed limits, kept before it has to remind us: about one message a second into a chat, thirty a second in all.

Short bursts are allowed. All sends of a process share the count; where several processes send, what they exceed together
comes back as 429 and waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic, sleep

PER_CHAT, CHAT_BURST = 1.0, 3
OVERALL = 30.0
#: Chats remembered; beyond it those whose time has passed are forgotten.
MOST = 10_000


class Pace:
    """How long each has to wait, so that all of one name together keep to a speed after a burst."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._next: dict[str, float] = {}
        self._lock = threading.Lock()

    def reserve(self, name: str, per_second: float, burst: int) -> float:
        """Take the next place; returns after how many seconds it comes, 0 for at once."""
        step = 1 / per_second
        with self._lock:
            now = self._clock()
            due = max(self._next.get(name, now), now)
            if len(self._next) >= MOST:
                self._next = {known: at for known, at in self._next.items() if at > now}
            self._next[name] = due + step
            return max(0.0, due - step * (burst - 1) - now)

    def forget(self) -> None:
        with self._lock:
            self._next.clear()


_chats, _bots = Pace(), Pace()


def wait(bot: str, chat: int, overall: float = OVERALL) -> None:
    """Wait until a message of this bot may leave for this chat: a second at most, as a conversation sends in order.

    `overall` is how many messages a second all chats of the bot may get together.
    """
    here = _chats.reserve(f"{bot} {chat}", PER_CHAT, CHAT_BURST)
    seconds = max(here, _bots.reserve(bot, overall, max(1, round(overall))))
    if seconds > 0:
        sleep(seconds)


def forget() -> None:
    """Begin anew, as after a restart."""
    _chats.forget()
    _bots.forget()
