"""Reading an account's history: the chats that changed, and their messages. It is where all messages come from."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from channels.base import PollResult, RawEvent, SentRecord
from foundation.errors import Rejected, Retry, Unauthorized

from . import avito_sent
from .avito_client import AvitoClient, activity, created
from .avito_parse import is_ours, raw_event, table_of, text_of_message

logger = logging.getLogger(__name__)

#: How far back the very first poll looks, and how far every later one looks behind its cursor, in seconds.
FIRST_LOOK = 600.0
OVERLAP = 300.0
#: A chat that cannot be read holds the cursor back no longer than this.
HOLD_BACK = 86_400.0
#: Seconds after which a poll, or a look back, which must not keep the polls waiting, leaves the rest to the next one.
POLL_BUDGET = 40.0
LOOK_BACK_BUDGET = 10.0
#: Chats in a row that cannot be read before the others are left alone.
FAILURES = 2


def poll(client: AvitoClient, cursor: dict[str, Any]) -> PollResult:
    """The messages of chats with new activity.

    The cursor is `{"since": unix seconds, "chats": {chat: {"last": message id, "at": unix seconds}}}`: the newest activity
    seen by Avito's clock, and how far each recently active chat was read.
    """
    now = time.time()
    since = _number(cursor.get("since")) or now - FIRST_LOOK + OVERLAP
    reading = Reading(client, table_of(cursor.get("chats")), since - OVERLAP, POLL_BUDGET)
    chats = reading.read()
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
    reading.read()
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


@dataclass
class Reading:
    """One walk through the chats that changed since `floor` (unix seconds)."""

    client: AvitoClient
    known: Mapping[str, Any]
    floor: float
    budget: float
    rows: list[tuple[float, RawEvent]] = field(default_factory=list)
    read_chats: dict[str, dict[str, Any]] = field(default_factory=dict)
    unread: list[Mapping[str, Any]] = field(default_factory=list)

    def read(self) -> Sequence[Mapping[str, Any]]:
        """Read every changed chat and return all of them. Raises Retry where not one could be read, Unauthorized at once."""
        until = time.monotonic() + self.budget
        chats = list({chat["id"]: chat for chat in self.client.chats(self.floor)}.values())
        failures: list[Retry] = []
        # The longest waiting first, so that no chat starves behind busier ones.
        for chat in sorted(chats, key=activity):
            last = _last_id(chat)
            if last and table_of(self.known.get(chat["id"])).get("last") == last:
                continue
            if len(failures) >= FAILURES or (self.read_chats and time.monotonic() > until):
                self.unread.append(chat)
                continue
            try:
                self._read_chat(chat)
            except Unauthorized:
                raise
            except Rejected as error:
                # Asking again gives the same refusal: not before something new is said there.
                logger.warning("a chat was refused", extra={"channel": self.client.slug, "code": error.code})
                self._remember(chat)
            except Retry as error:
                logger.warning("a chat could not be read", extra={"channel": self.client.slug, "code": error.code})
                failures += [error] * (FAILURES if error.code == "429" else 1)
                self.unread.append(chat)
        if failures and not self.read_chats:
            raise failures[0]
        return chats

    def events(self) -> list[RawEvent]:
        """Oldest first; messages of one second keep the order of their chat."""
        return [event for _at, event in sorted(self.rows, key=lambda row: row[0])]

    def remembered(self, floor: float) -> dict[str, dict[str, Any]]:
        """How far each chat was read, for those that the next reading may meet again."""
        chats = {**self.known, **self.read_chats}
        return {chat: dict(entry) for chat, entry in chats.items() if (_number(table_of(entry).get("at")) or 0.0) >= floor}

    def _read_chat(self, chat: Mapping[str, Any]) -> None:
        before = table_of(self.known.get(chat["id"]))
        floor = max(self.floor, (_number(before.get("at")) or 0.0) - OVERLAP)
        account = self.client.account
        rows = self.client.messages(str(chat["id"]), float(int(floor)))
        parts = avito_sent.parts(self.client.slug, str(chat["id"]), rows, account)
        self.rows += [(created(row) or activity(chat), raw_event(chat, row, account)) for row in rows if row["id"] not in parts]
        last = table_of(chat.get("last_message"))
        # The list may know a message that the history does not show yet: then the chat is read again.
        self._remember(chat, shown=created(last) < floor or any(row["id"] == last.get("id") for row in rows))

    def _remember(self, chat: Mapping[str, Any], *, shown: bool = True) -> None:
        self.read_chats[str(chat["id"])] = {"last": _last_id(chat) if shown else "", "at": activity(chat)}


def _last_id(chat: Mapping[str, Any]) -> str:
    last = table_of(chat.get("last_message")).get("id")
    return last if isinstance(last, str) else ""


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
