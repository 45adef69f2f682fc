"""What a visitor's page may see of its conversation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from foundation.db import row

from .history import said
from .models import Message
from .widget_access import Visitor

#: Messages a page gets when it is opened, and at most in one answer after that.
HISTORY = 50
BATCH = 100

_State = Message.State
#: The page itself is where a reply is delivered, so that one whose sending is committed is there to be shown.
SHOWN = frozenset({_State.RECEIVED, _State.SENDING, _State.UNCONFIRMED, _State.SENT, _State.DELIVERED, _State.READ})
AUTHORS = frozenset({Message.Author.CUSTOMER, Message.Author.BOT, Message.Author.MANAGER})
_FIELDS = ("id", "seq", "author", "kind", "text", "transcribed", "details", "external_id", "state", "sent_at")


@dataclass(frozen=True, slots=True)
class News:
    """Messages in order, and the number after which to ask next time.

    The cursor stays before a reply that is still queued: a message that came behind it is shown at once and, as the page
    knows it by its number, harmlessly again.
    """

    messages: list[dict[str, Any]]
    cursor: int


def conversation_of(visitor: Visitor) -> int | None:
    """The id of the visitor's conversation; None before their first message was received."""
    found = row(
        """
        SELECT c.id FROM conversations_conversation c JOIN conversations_contactidentity i ON i.id = c.identity_id
        WHERE i.channel_id = %(channel)s AND i.source_index = %(index)s
        """,
        {"channel": visitor.channel.pk, "index": visitor.index},
    )
    return found.id if found else None


def after(conversation_id: int, seq: int) -> News:
    """The first messages after number `seq`."""
    messages = Message.objects.filter(conversation_id=conversation_id, seq__gt=seq).order_by("seq")
    return _news(list(messages.only(*_FIELDS)[:BATCH]), seq)


def history(conversation_id: int) -> News:
    """The last messages."""
    messages = Message.objects.filter(conversation_id=conversation_id).order_by("-seq")
    return _news(list(messages.only(*_FIELDS)[:HISTORY])[::-1], 0)


def _news(messages: list[Message], cursor: int) -> News:
    shown: list[dict[str, Any]] = []
    waiting = False
    for message in messages:
        waiting = waiting or message.state == _State.QUEUED
        cursor = cursor if waiting else message.seq
        if message.state in SHOWN and message.author in AUTHORS:
            shown.append(_seen(message))
    return News(shown, cursor)


def _seen(message: Message) -> dict[str, Any]:
    """A message as the page gets it; of their own the page gets back the id that it made."""
    seen = {
        "seq": message.seq,
        "author": message.author,
        "text": said(message),
        "at": message.sent_at.isoformat(timespec="milliseconds"),
    }
    if message.author == Message.Author.CUSTOMER:
        seen |= {"state": message.state, "client_id": (message.external_id or "").rpartition(":")[2]}
    return seen
