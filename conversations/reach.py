"""Customers whom a channel does not reach any more, as they shut it out, and those who want nothing unasked on it.

It is learnt from the provider's own word: an event, a refused message, or a later receipt. Who is not reached is not written
to unasked until they let us in again or write; replies and what managers send are tried all the same.
"""

from __future__ import annotations

import logging
from typing import Any

from django.db import transaction

from channels.base import BLOCKED, OPTED_OUT, Reachability
from foundation import live
from foundation.db import execute

from . import contacts, signals, turns
from .models import Conversation, Turn

logger = logging.getLogger(__name__)

# What was refused after the customer had written again is no longer news.
_LOST = """
UPDATE conversations_conversation c SET unreachable_since = now()
WHERE c.id = %(id)s AND c.unreachable_since IS NULL AND (%(message)s::bigint IS NULL OR c.last_inbound_at IS NULL OR EXISTS (
    SELECT FROM conversations_message m WHERE m.id = %(message)s AND m.state_changed_at > c.last_inbound_at))
"""


def note(channel_id: int, event: Reachability) -> bool:
    """Keep what a provider says of one person. False where nobody is known by this id, and nothing is kept."""
    conversation = contacts.known_conversation(channel_id, event.source_id)
    if conversation is None:
        return False
    if event.reachable:
        freed = "UPDATE conversations_conversation SET unreachable_since = NULL WHERE id = %(id)s"
        execute(freed, {"id": conversation.id})
        _ring(conversation.id)
    else:
        _lose(conversation.id)
    return True


def heed(message: Any, code: str) -> None:
    """Keep what the refusal of a message (`id`, `conversation_id`) says of its recipient; `code` is the channel's word.

    The caller holds the conversation's lock, and has not noted the refusal in the message yet.
    """
    if code == BLOCKED:
        _lose(message.conversation_id, message.id)
    elif code == OPTED_OUT:
        contact_id = Conversation.objects.values_list("contact", flat=True).get(pk=message.conversation_id)
        signals.customer_opted_out.send(sender=Conversation, contact_id=contact_id)


def _lose(conversation_id: int, message_id: int | None = None) -> None:
    if not execute(_LOST, {"id": conversation_id, "message": message_id}):
        return
    turns.void_proactive(conversation_id, Turn.Reason.UNREACHABLE)
    signals.customer_lost.send(sender=Conversation, conversation_id=conversation_id)
    logger.info("customer not reachable", extra={"conversation": conversation_id})
    _ring(conversation_id)


def _ring(conversation_id: int) -> None:
    transaction.on_commit(lambda: live.ring(f"conversation:{conversation_id}", what="mode"))
