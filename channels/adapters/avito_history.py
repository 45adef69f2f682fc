"""Reading an account's history: the chats that changed, and their messages. It is where all messages come from."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from channels.base import PollResult, SentRecord
from channels.walking import ChatWalk

from . import avito_sent
from .avito_client import AvitoClient, activity, created
from .avito_parse import is_ours, raw_event, table_of, text_of_message

#: How far back the very first poll looks, and how far every later one looks behind its cursor, in seconds.
FIRST_LOOK = 600.0
OVERLAP = 300.0
#: A chat that cannot be read holds the cursor back no longer than this.
HOLD_BACK = 86_400.0
#: Seconds after which a poll, or a look back, which must not keep the polls waiting, leaves the rest to the next one.
POLL_BUDGET = 40.0
LOOK_BACK_BUDGET = 10.0


def poll(client: AvitoClient, cursor: dict[str, Any]) -> PollResult:
    """The messages of chats with new activity.

    The cursor is `{"since": unix seconds, "chats": {chat: {"last": message id, "at": unix seconds}}}`: the newest activity
    seen by Avito's clock, and how far each recently active chat was read.
    """
    now = time.time()
    since = _number(cursor.get("since")) or now - FIRST_LOOK + OVERLAP
    reading = Reading(client, table_of(cursor.get("chats")), since - OVERLAP, POLL_BUDGET)
    chats = reading.walk()
    newest = min(max([since, *map(activity, chats)]), now)
    if reading.unread:
        newest = min(newest, max(min(map(activity, reading.unread)), now - HOLD_BACK))
    return PollResult(
        reading.events(), {"since": newest, "chats": reading.remembered(newest - OVERLAP)}, complete=not reading.unread
    )


def look_back(client: AvitoClient, since: datetime, cursor: dict[str, Any]) -> PollResult:
    """Every chat that was active since then, as a poll reads it, whatever polls have read before.

    The cursor of an unfinished look remembers the chats that were read: `{"chats": {chat: {"last", "at"}}}`.
    """
    floor = since.timestamp()
    reading = Reading(client, table_of(cursor.get("chats")), floor, LOOK_BACK_BUDGET)
    reading.walk()
    return PollResult(reading.events(), {"chats": reading.remembered(floor)}, complete=not reading.unread)


def sent_since(client: AvitoClient, chat_id: str, since: datetime) -> list[SentRecord]:
    """All outgoing messages of a chat, of every program and of people, oldest first."""
    account = client.account
    rows = client.messages(chat_id, float(int(since.timestamp())))
    return [
        SentRecord(str(row["id"]), text_of_message(row), datetime.fromtimestamp(created(row), UTC))
        for row in rows
        if created(row) and is_ours(row, account) and row.get("type") != "deleted"
    ]


Chat = Mapping[str, Any]


class Reading(ChatWalk[Chat]):
    """One walk through the chats that changed since `floor` (unix seconds)."""

    def __init__(self, client: AvitoClient, known: Mapping[str, Any], floor: float, budget: float) -> None:
        super().__init__(client.slug, known, floor, budget)
        self.client = client

    def walk(self) -> Sequence[Chat]:
        """Read every changed chat and return all of them. Raises Retry where not one could be read, Unauthorized at once."""
        chats = list({chat["id"]: chat for chat in self.client.chats(self.floor)}.values())
        self.read(chats)
        return chats

    def id_of(self, chat: Chat) -> str:
        return str(chat["id"])

    def last_of(self, chat: Chat) -> str:
        last = table_of(chat.get("last_message")).get("id")
        return last if isinstance(last, str) else ""

    def activity_of(self, chat: Chat) -> float:
        return activity(chat)

    def read_chat(self, chat: Chat) -> None:
        floor = max(self.floor, self.read_until(chat) - OVERLAP)
        account = self.client.account
        rows = self.client.messages(str(chat["id"]), float(int(floor)))
        parts = avito_sent.parts(self.client.slug, str(chat["id"]), rows, account)
        self.rows += [(created(row) or activity(chat), raw_event(chat, row, account)) for row in rows if row["id"] not in parts]
        # The list may know a message that the history does not show yet: then the chat is read again.
        newest = created(table_of(chat.get("last_message")))
        self.remember(chat, shown=newest < floor or any(row["id"] == self.last_of(chat) for row in rows))


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
