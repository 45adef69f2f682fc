"""Reading a WAHA session's history: page by page of all chats where the engine can, chat by chat where it cannot.

WAHA's makers ask not to poll in place of webhooks. What is read here is what webhooks may have missed, once a minute at
most.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from channels.base import PollResult, RawEvent, SentRecord
from foundation.errors import Rejected, Retry, Unauthorized

from .waha_client import MAX_PAGES, MESSAGES_PAGE, READS_ALL, WahaClient
from .waha_data import number, text
from .waha_ids import chat_id, is_person, message_id
from .waha_parse import history_event

logger = logging.getLogger(__name__)

#: Seconds between two polls unless the channel's option `poll_seconds` says otherwise.
POLL_SECONDS = 60.0
#: How far back the very first poll looks, and every later one behind the last, in seconds.
FIRST_LOOK = 600.0
OVERLAP = 120.0
#: Seconds after which a poll or a look back leaves the rest to the next one.
POLL_BUDGET = 30.0
LOOK_BACK_BUDGET = 10.0
#: Pages of one chat that are searched for a message of ours.
SENT_PAGES = 3


@dataclass
class Portion:
    """What was read of the history since `since` (unix seconds), and where the next portion goes on (None: all read)."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    next: dict[str, Any] | None = None


def poll(client: WahaClient, cursor: dict[str, Any], every: float) -> PollResult:
    """What was said since the last poll. The cursor: `{"since", "looked"}` in unix seconds, and `"at"` within a portion."""
    now = time.time()
    looked, since = number(cursor.get("looked")), number(cursor.get("since"))
    if looked is not None and 0 <= now - looked < every and not cursor.get("at"):
        return PollResult((), cursor)
    since = since or now - FIRST_LOOK
    portion = read(client, since, cursor.get("at") or {}, POLL_BUDGET)
    began = number(cursor.get("began")) or now
    if portion.next is not None:
        left = {"since": since, "looked": now, "began": began, "at": portion.next}
        return PollResult(events(portion.rows, client.session), left, complete=False)
    # Measured by our clock and by when this reading began: what came meanwhile is read again.
    return PollResult(events(portion.rows, client.session), {"since": max(since, began - OVERLAP), "looked": now})


def look_back(client: WahaClient, since: datetime, cursor: dict[str, Any]) -> PollResult:
    portion = read(client, since.timestamp(), cursor, LOOK_BACK_BUDGET)
    return PollResult(events(portion.rows, client.session), portion.next or {}, complete=portion.next is None)


def read(client: WahaClient, since: float, at: dict[str, Any], budget: float) -> Portion:
    """The next portion of the history. Raises the words of `foundation.errors`."""
    until = time.monotonic() + budget
    if at.get("chats") is None and ("offset" in at or client.engine() in READS_ALL):
        return _read_all(client, since, int(at.get("offset") or 0), until)
    return _read_chats(client, since, at.get("chats"), until)


def _read_all(client: WahaClient, since: float, offset: int, until: float) -> Portion:
    found = Portion()
    for _page in range(MAX_PAGES):
        page = client.messages("all", since, offset=offset, ascending=True)
        found.rows += page
        offset += len(page)
        if len(page) < MESSAGES_PAGE:
            return found
        if time.monotonic() > until:
            break
    found.next = {"offset": offset}
    return found


def _read_chats(client: WahaClient, since: float, left: Sequence[str] | None, until: float) -> Portion:
    found = Portion()
    chats = list(left) if left is not None else [chat for chat in client.active_chats(since) if is_person(chat_id(chat))]
    failures: list[Retry] = []
    while chats:
        if (found.rows or failures) and time.monotonic() > until:
            found.next = {"chats": chats}
            break
        chat = chats.pop(0)
        try:
            found.rows += reversed(_chat(client, chat, since))
        except Unauthorized:
            raise
        except Retry as error:
            # The browser engine was seen to answer 500 for some hidden chats, each time: the others are read all the same.
            logger.warning("a chat could not be read", extra={"channel": client.slug, "code": error.code})
            failures.append(error)
        except Rejected as error:
            logger.warning("a chat was refused", extra={"channel": client.slug, "code": error.code})
    if failures and not found.rows and not chats:
        raise failures[0]
    return found


def _chat(client: WahaClient, chat: str, since: float, *, mine: bool | None = None, pages: int = 10) -> list[dict[str, Any]]:
    """One chat's messages since then, newest first."""
    rows: list[dict[str, Any]] = []
    for number_of_page in range(pages):
        page = client.messages(chat, since, offset=number_of_page * MESSAGES_PAGE, mine=mine)
        rows += page
        if len(page) < MESSAGES_PAGE:
            break
    return [row for row in rows if (number(row.get("timestamp")) or since) >= int(since)]


def events(rows: Sequence[dict[str, Any]], session: str) -> list[RawEvent]:
    """The rows as raw events, oldest first; those of one second keep their order."""
    ordered = sorted(rows, key=lambda row: number(row.get("timestamp")) or 0.0)
    return [history_event(row, session) for row in ordered if message_id(row.get("id")).bare]


def sent_since(client: WahaClient, chat: str, since: datetime) -> list[SentRecord]:
    """All outgoing messages of a chat since then, of every program and of the phone, oldest first."""
    rows = reversed(_chat(client, chat, since.timestamp(), mine=True, pages=SENT_PAGES))
    return [
        SentRecord(identifier, text(row.get("body")), datetime.fromtimestamp(at, UTC))
        for row in rows
        if (identifier := message_id(row.get("id")).bare)
        and row.get("fromMe") is True
        and (at := number(row.get("timestamp"))) is not None
    ]
