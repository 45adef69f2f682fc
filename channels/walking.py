"""Reading the chats of a provider that changed, one after another, within the time there is."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from foundation.errors import Rejected, Retry, Unauthorized

from .base import RawEvent

logger = logging.getLogger(__name__)

#: After so many chats that could not be read, the others are left to the next walk.
FAILURES = 2

Chat = TypeVar("Chat")


class ChatWalk(ABC, Generic[Chat]):
    """One walk. `known` says how far each chat was read before, `{chat: {"last": message id, "at": unix seconds}}`, and
    `floor` (unix seconds) from when on it matters; `budget` is in seconds.

    A chat that the provider refuses is passed over, the others are read.
    """

    def __init__(self, slug: str, known: Mapping[str, Any], floor: float, budget: float) -> None:
        self.slug, self.floor, self.budget = slug, floor, budget
        self.known = {chat: entry for chat, entry in known.items() if isinstance(entry, Mapping)}
        self.rows: list[tuple[float, RawEvent]] = []
        """Unix seconds, and what was found of then."""
        self.read_chats: dict[str, dict[str, Any]] = {}
        self.unread: list[Chat] = []

    @abstractmethod
    def id_of(self, chat: Chat) -> str:
        """By which a chat is known."""

    @abstractmethod
    def last_of(self, chat: Chat) -> str:
        """The id of its newest message, or the empty word."""

    @abstractmethod
    def activity_of(self, chat: Chat) -> float:
        """When something last happened in it, in unix seconds."""

    @abstractmethod
    def read_chat(self, chat: Chat) -> None:
        """Add its messages to `rows` and remember it. Raises the words of `foundation.errors`."""

    def read(self, chats: Sequence[Chat]) -> None:
        """Read every changed chat. Raises Retry where not one of them could be read, and Unauthorized at once."""
        until = time.monotonic() + self.budget
        failures: list[Retry] = []
        # The longest waiting first, so that no chat starves behind busier ones.
        for chat in sorted(chats, key=self.activity_of):
            if self.last_of(chat) and self.known.get(self.id_of(chat), {}).get("last") == self.last_of(chat):
                continue
            if len(failures) >= FAILURES or (self.read_chats and time.monotonic() > until):
                self.unread.append(chat)
                continue
            try:
                self.read_chat(chat)
            except Unauthorized:
                raise
            except Rejected as error:
                # Asking again gives the same refusal: not before something new is said there.
                logger.warning("a chat was refused", extra={"channel": self.slug, "code": error.code})
                self.remember(chat)
            except Retry as error:
                logger.warning("a chat could not be read", extra={"channel": self.slug, "code": error.code})
                failures += [error] * (FAILURES if error.code == "429" else 1)
                self.unread.append(chat)
        if failures and not self.read_chats:
            raise failures[0]

    def remember(self, chat: Chat, *, shown: bool = True) -> None:
        """Note that it was read; not `shown`: its newest message was missing, so it is read again."""
        self.read_chats[self.id_of(chat)] = {"last": self.last_of(chat) if shown else "", "at": self.activity_of(chat)}

    def read_until(self, chat: Chat) -> float:
        """Up to when a chat was read before, in unix seconds; 0 where never."""
        return _number(self.known.get(self.id_of(chat), {}).get("at"))

    def events(self) -> list[RawEvent]:
        """Oldest first; messages of one second keep the order of their chat."""
        return [event for _at, event in sorted(self.rows, key=lambda row: row[0])]

    def remembered(self, floor: float) -> dict[str, dict[str, Any]]:
        """How far each chat was read, for those that the next walk may meet again."""
        chats = {**self.known, **self.read_chats}
        return {chat: dict(entry) for chat, entry in chats.items() if _number(entry.get("at")) >= floor}


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
