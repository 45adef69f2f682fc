"""What providers say later of a message we sent: receipts, copies of it, and their history.

Evidence moves a message forward, never back, and settles the turn that waited for it.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from channels import breaker, directory, rich
from channels.base import DeliveryReceipt, Echo, Kind, Markup
from foundation import live
from foundation.db import execute, row
from foundation.errors import ProviderError

from . import outbox, reach, turns
from .bulkhead import Bulkhead
from .models import Message, Turn

logger = logging.getLogger(__name__)

#: Threads of one process that may wait for the history of the same channel.
MOST_PER_CHANNEL = 2
BUSY_SECONDS = 5.0

_bulkhead = Bulkhead(MOST_PER_CHANNEL)


def receipt(channel_id: int, event: DeliveryReceipt) -> bool:
    """Move a message forward by the provider's receipt, never back. False where no message has this id (yet)."""
    message = _received_for(channel_id, event)
    if message is None:
        return False
    doubtful = message.state in (Message.State.UNCONFIRMED, Message.State.FAILED)
    if doubtful or event.code:
        # The turn may be settled by it, and the conversation is always locked before its messages.
        outbox.lock(message.conversation_id)
    rank = Message.RECEIPT_RANK
    target = str(event.status)
    if target == Message.State.FAILED:
        allowed = ["sent", "unconfirmed"]
        if message.state in allowed:
            reach.heed(message, event.code)
    else:
        allowed = [str(s) for s in rank if rank[s] < rank[Message.State(target)]] + ["unconfirmed", "failed"]
    moved = execute(
        """
        UPDATE conversations_message SET state = %(state)s, state_changed_at = now(), error = %(error)s
        WHERE id = %(id)s AND direction = 'out' AND state = ANY(%(allowed)s)
        """,
        {"id": message.id, "state": target, "allowed": allowed, "error": event.reason[:300]},
    )
    if moved and target == Message.State.FAILED:
        turns.call_manager(message.conversation_id, str(Turn.Reason.UNDELIVERED.label))
    if moved:
        if doubtful:
            outbox.settle_turn(message)
        transaction.on_commit(lambda: live.ring(f"conversation:{message.conversation_id}", what="state"))
    return True


def _received_for(channel_id: int, event: DeliveryReceipt) -> Any | None:
    """The message that a receipt is about: by the provider's id, or by our own key where that id has never reached us."""
    found = row(
        "SELECT id, conversation_id, turn_id, state FROM conversations_message "
        "WHERE channel_id = %(channel)s AND external_id = %(external)s",
        {"channel": channel_id, "external": event.external_id},
    )
    if found is not None or not event.key.isdecimal():
        return found
    with transaction.atomic():
        known = row(
            "SELECT conversation_id FROM conversations_message WHERE id = %(id)s AND channel_id = %(channel)s",
            {"id": int(event.key), "channel": channel_id},
        )
        if known is None:
            return None
        outbox.lock(known.conversation_id)
        return row(
            """
            UPDATE conversations_message SET external_id = %(external)s
            WHERE id = %(id)s AND channel_id = %(channel)s AND direction = 'out' AND external_id IS NULL
              AND state IN ('sending', 'unconfirmed')
            RETURNING id, conversation_id, turn_id, state
            """,
            {"external": event.external_id, "id": int(event.key), "channel": channel_id},
        )


def is_ours(channel_id: int, external_id: str) -> bool:
    """Whether a message of the channel has this provider id already."""
    return Message.objects.filter(channel_id=channel_id, external_id=external_id).exists()


def is_sending(conversation_id: int) -> bool:
    """Whether a message of the conversation is on its way, its provider's id not known yet."""
    sending = Message.State.SENDING
    return Message.objects.filter(conversation_id=conversation_id, direction=Message.Direction.OUT, state=sending).exists()


def adopt_echo(conversation_id: int, event: Echo, markup: Markup) -> bool:
    """Recognise the copy of a message whose acceptance we do not know yet: same conversation, same text, on its way.

    A voice message has no words in its copy: it is known by its kind.

    The caller holds the conversation's lock.
    """
    doubtful = Message.objects.filter(
        conversation_id=conversation_id,
        direction=Message.Direction.OUT,
        state__in=(Message.State.SENDING, Message.State.UNCONFIRMED),
    ).order_by("seq")
    for message in doubtful:
        if _same_words(message, event.text, markup) or (event.kind is Kind.VOICE and message.kind == Message.Kind.VOICE):
            _found(message.pk, event.external_id)
            return True
    return False


def _same_words(message: Message, shown: str, markup: Markup) -> bool:
    """Whether this is our text as the channel shows it: with its own marks, or none."""
    spoken = " ".join(shown.split())
    return any(spoken == " ".join(rich.render(message.text, one).split()) for one in {markup, Markup.PLAIN})


def _found(message_id: int, external_id: str) -> None:
    """Evidence that a doubtful message left. The caller holds the conversation's lock."""
    message = row(
        """
        UPDATE conversations_message
        SET state = CASE WHEN state = 'unconfirmed' THEN 'sent' ELSE state END, state_changed_at = now(),
            external_id = %(external)s, error = ''
        WHERE id = %(id)s AND state IN ('sending', 'unconfirmed')
        RETURNING id, conversation_id, turn_id, state
        """,
        {"id": message_id, "external": external_id},
    )
    if message is not None and message.state == Message.State.SENT:
        outbox.settle_turn(message)


def confirm(message_id: int) -> None:
    """Look an unconfirmed message up in the provider's history, as soon as that can be read. Safe to run twice."""
    message = Message.objects.select_related("conversation__identity", "channel__breaker").filter(pk=message_id).first()
    if message is None or message.state != Message.State.UNCONFIRMED:
        return
    adapter = directory.entry(message.channel_id).adapter
    if not adapter.capabilities.history:
        return
    with _bulkhead.place() as place:
        if not place.take(message.channel_id):
            _ask_again(message, BUSY_SECONDS)
            return
        if breaker.is_paused(message.channel):
            _ask_again(message, outbox.CONFIRM_AFTER[1])
            return
        since = message.state_changed_at - timedelta(minutes=2)
        try:
            records = adapter.sent_since(message.conversation.identity.source_id, since)
        except ProviderError as error:
            logger.warning("history not available", extra={"message_id": message_id, "code": error.code})
            _ask_again(message, outbox.CONFIRM_AFTER[1])
            return
    with transaction.atomic():
        outbox.lock(message.conversation_id)
        for record in records:
            known = is_ours(message.channel_id, record.external_id)
            if not known and _same_words(message, record.text, adapter.capabilities.markup):
                _found(message_id, record.external_id)
                return
    settled = timezone.now() - message.state_changed_at >= timedelta(seconds=outbox.CONFIRM_AFTER[1])
    _ask_again(message, outbox.NEVER_SECONDS if settled else outbox.CONFIRM_AFTER[1])


def _ask_again(message: Message, seconds: float) -> None:
    """For the sweeper. A message that has moved on meanwhile keeps its own time."""
    Message.objects.filter(pk=message.pk, state=Message.State.UNCONFIRMED).update(
        next_attempt_at=timezone.now() + timedelta(seconds=seconds)
    )
