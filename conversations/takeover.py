"""People first: who leads a conversation, and the one transaction in which that changes.

Whatever the bot composed in an older epoch is never claimed for sending; what is already on its way to the provider may
still land, and the screen says so.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from channels import directory
from channels.base import Echo
from channels.models import Channel
from foundation import live
from foundation.db import execute, row, rows

from . import signals, turns
from .models import Conversation, Message, Takeover, Turn

logger = logging.getLogger(__name__)

Cause = Takeover.Cause


def _lock(conversation_id: int) -> Any | None:
    return row(
        "SELECT id, channel_id, contact_id, mode, epoch, last_seq, blocked_at FROM conversations_conversation "
        "WHERE id = %(id)s FOR UPDATE",
        {"id": conversation_id},
    )


def take_over(conversation_id: int, *, user: Any = None, cause: str = Cause.ADMIN) -> bool:
    """A person leads from now on: the bot's queued messages are withdrawn and its work in hand is dropped.

    Returns False where the conversation does not exist. Taking over what a person leads already renews the pause.
    """
    with transaction.atomic():
        conversation = _lock(conversation_id)
        if conversation is None:
            return False
        _take(conversation, user, cause)
    return True


def _take(conversation: Any, user: Any, cause: str) -> None:
    """The takeover itself. The caller holds the conversation's lock."""
    pause = directory.entry(conversation.channel_id).channel.pause_hours
    execute(
        """
        UPDATE conversations_conversation
        SET mode = 'manager', epoch = epoch + CASE WHEN mode = 'manager' THEN 0 ELSE 1 END,
            taken_by_id = coalesce(%(user)s, taken_by_id),
            taken_at = coalesce(CASE WHEN mode = 'manager' THEN taken_at END, now()),
            resumes_at = CASE WHEN %(hours)s > 0 THEN now() + make_interval(secs => %(hours)s * 3600) END,
            needs_attention = false, attention_reason = '', attention_at = NULL
        WHERE id = %(id)s
        """,
        {"id": conversation.id, "user": getattr(user, "pk", None), "hours": pause},
    )
    if conversation.mode == Conversation.Mode.MANAGER:
        return
    execute(
        """
        UPDATE conversations_message SET state = 'suppressed', state_changed_at = now()
        WHERE conversation_id = %(id)s AND state = 'queued' AND author = 'bot'
        """,
        {"id": conversation.id},
    )
    execute(
        f"""
        UPDATE conversations_turn
        SET stage = 'superseded', reason = %(reason)s, leased_until = NULL, lease_token = NULL, finished_at = now(),
            timeline = timeline || {turns.mark("takeover")}
        WHERE conversation_id = %(id)s AND stage IN {turns.OPEN}
        """,  # noqa: S608
        {"id": conversation.id, "reason": Turn.Reason.CLOSED if cause == Cause.CLOSED else Turn.Reason.MANAGER},
    )
    signals.person_leads.send(sender=Conversation, conversation_id=conversation.id)
    mode = Conversation.Mode.CLOSED if cause == Cause.CLOSED else Conversation.Mode.MANAGER
    _record(conversation.id, mode, cause, user, conversation.last_seq)


def give_back(conversation_id: int, *, user: Any = None, cause: str = Cause.GIVEN_BACK) -> bool:
    """The bot leads again, and answers what the customer wrote after the last word of ours. False: it led already.

    It never leads where the customer is blocked: such a conversation is closed instead.
    """
    with transaction.atomic():
        conversation = _lock(conversation_id)
        if conversation is None or conversation.mode == Conversation.Mode.BOT:
            return False
        if conversation.blocked_at is not None:
            return close(conversation_id, user=user)
        execute(
            """
            UPDATE conversations_conversation
            SET mode = 'bot', epoch = epoch + 1, taken_by_id = NULL, taken_at = NULL, resumes_at = NULL,
                window_started_at = NULL, window_turns = 0
            WHERE id = %(id)s
            """,
            {"id": conversation.id},
        )
        _record(conversation.id, Conversation.Mode.BOT, cause, user, conversation.last_seq)
        _reopen_unanswered(conversation.id)
    return True


def _reopen_unanswered(conversation_id: int) -> None:
    """Let what the customer wrote to a silent manager be answered: it waits for a turn again."""
    freed = execute(
        """
        UPDATE conversations_message m SET turn_id = NULL
        FROM conversations_turn t
        WHERE m.conversation_id = %(id)s AND m.direction = 'in' AND t.id = m.turn_id AND t.reason = 'manager'
          AND m.seq > coalesce((
            SELECT max(o.seq) FROM conversations_message o
            WHERE o.conversation_id = %(id)s AND o.direction = 'out' AND o.state NOT IN ('suppressed', 'failed')), 0)
        """,
        {"id": conversation_id},
    )
    if freed:
        turns.open_next(conversation_id)


def close(conversation_id: int, *, user: Any = None) -> bool:
    """End the exchange: nothing more is said until the customer writes again."""
    with transaction.atomic():
        conversation = _lock(conversation_id)
        if conversation is None or conversation.mode == Conversation.Mode.CLOSED:
            return False
        _take(conversation, user, Cause.CLOSED)
        if conversation.mode == Conversation.Mode.MANAGER:
            _record(conversation.id, Conversation.Mode.CLOSED, Cause.CLOSED, user, conversation.last_seq)
        execute(
            "UPDATE conversations_conversation SET mode = 'closed', resumes_at = NULL WHERE id = %(id)s",
            {"id": conversation.id},
        )
    return True


def _record(conversation_id: int, mode: str, cause: str, user: Any, after_seq: int) -> None:
    Takeover.objects.create(
        conversation_id=conversation_id, mode=mode, cause=cause, user=user if getattr(user, "pk", None) else None,
        after_seq=after_seq,
    )  # fmt: skip
    logger.info("conversation handed over", extra={"conversation": conversation_id, "mode": mode, "cause": cause})
    transaction.on_commit(lambda: live.ring(f"conversation:{conversation_id}", what="mode"))


def by_echo(channel: Channel, conversation: Any, event: Echo) -> None:
    """Record what a person wrote outside of Saudager; unless it is old history, they lead from now on.

    The caller holds the conversation's lock.
    """
    recent = event.sent_at > timezone.now() - timedelta(hours=channel.pause_hours or channel.answer_age_hours)
    if recent and conversation.mode != Conversation.Mode.CLOSED:
        _take(conversation, None, Cause.PHONE)
    Message.objects.create(
        conversation_id=conversation.id,
        channel=channel,
        seq=conversation.last_seq + 1,
        direction=Message.Direction.OUT,
        author=Message.Author.MANAGER,
        kind=str(event.kind),
        text=event.text,
        external_id=event.external_id,
        state=Message.State.SENT,
        sent_at=min(event.sent_at, timezone.now()),
        epoch=conversation.epoch,
    )
    execute(
        "UPDATE conversations_conversation SET last_seq = last_seq + 1, last_outbound_at = now() WHERE id = %(id)s",
        {"id": conversation.id},
    )
    transaction.on_commit(lambda: live.ring(f"conversation:{conversation.id}", what="message"))


def resume_due(limit: int = 200) -> int:
    """Give back the conversations whose pause is over. Returns how many."""
    due = rows(
        """
        SELECT id FROM conversations_conversation WHERE mode = 'manager' AND resumes_at <= now()
        ORDER BY resumes_at LIMIT %(limit)s
        """,
        {"limit": limit},
    )
    return sum(give_back(conversation.id, cause=Cause.TIMEOUT) for conversation in due)

