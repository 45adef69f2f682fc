"""What waits for a person, and what a person may decide about it.

A failed turn is answered anew or dismissed; a message whose sending failed is sent again (`outbox.resend`) or
withdrawn; one whose fate is unknown is sent again or recognised as arrived.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from channels import inbox
from channels.models import Channel, InboundEvent
from channels.owners import visible, visible_channels
from foundation import live
from foundation.db import execute, row

from . import notices, outbox, turns
from .models import UNANSWERED, Contact, Conversation, Message, Turn

logger = logging.getLogger(__name__)

#: A contact of whom the moderator is not sure is shown to managers after this long without an answer, and no longer than
#: the second.
UNSURE_AFTER = timedelta(minutes=15)
UNSURE_FOR = timedelta(days=7)

DOUBTFUL = (Message.State.FAILED, Message.State.UNCONFIRMED)
#: A turn that failed by its messages is settled through them.
BY_MESSAGE = (Turn.Reason.UNDELIVERED, Turn.Reason.UNCONFIRMED)


class Refused(Exception):
    """What the manager asked for would do harm or nothing; the text says why."""


# ── What waits ───────────────────────────────────────────────────────────────────────────────────────────────────────


def needing(conversations: QuerySet[Conversation]) -> QuerySet[Conversation]:
    """The conversations among these that need a manager: flagged, led by one who owes an answer, or unsure for long."""
    every, now = Conversation.objects.order_by().values("pk"), timezone.now()
    flagged = every.filter(needs_attention=True)
    owed = every.filter(UNANSWERED, mode=Conversation.Mode.MANAGER)
    unsure = every.filter(
        UNANSWERED,
        mode=Conversation.Mode.BOT,
        channel__moderation=True,
        contact__in=Contact.objects.filter(is_client=None, last_message_at__gt=now - UNSURE_FOR).values("pk"),
        last_inbound_at__lt=now - UNSURE_AFTER,
        last_inbound_at__gt=now - UNSURE_FOR,
    )
    return conversations.filter(pk__in=flagged.union(owed, unsure, all=True))


def failed_events(user: Any) -> QuerySet[InboundEvent]:
    """Provider events that could not be processed, newest first, without their payloads."""
    failed = InboundEvent.objects.filter(state=InboundEvent.State.FAILED).defer("payload")
    return visible(failed, user).select_related("channel").order_by("-received_at")


def failed_turns(user: Any) -> QuerySet[Turn]:
    """Turns that ended without a reply, newest first; those with a doubtful message are found by the message."""
    failed = Turn.objects.filter(stage=Turn.Stage.FAILED).exclude(reason__in=BY_MESSAGE)
    return (
        visible(failed, user, "conversation__channel")
        .select_related("conversation__contact", "conversation__channel")
        .defer("outcome")
        .order_by("-finished_at")
    )


def doubtful_messages(user: Any) -> QuerySet[Message]:
    """Messages that did not leave, or of which nobody knows, newest first."""
    doubtful = Message.objects.filter(state__in=DOUBTFUL)
    return visible(doubtful, user).select_related("conversation__contact", "channel", "user").order_by("-state_changed_at")


def troubled_channels(user: Any) -> QuerySet[Channel]:
    """Channels whose connection a person has to repair."""
    return visible_channels(user).filter(enabled=True, health=Channel.Health.NEEDS_ATTENTION)


def waiting_count(user: Any) -> int:
    """How many things wait on the attention page."""
    waiting = (failed_events(user), failed_turns(user), doubtful_messages(user), troubled_channels(user))
    return sum(rows.count() for rows in waiting) + notices.visible_notices(user).count()


# ── What managers decide ─────────────────────────────────────────────────────────────────────────────────────────────


def mark_seen(conversation_id: int) -> bool:
    """Take a conversation off the list of those that need a person. False: it was not on it."""
    seen = execute(
        """
        UPDATE conversations_conversation SET needs_attention = false, attention_reason = '', attention_at = NULL
        WHERE id = %(id)s AND needs_attention
        """,
        {"id": conversation_id},
    )
    return bool(seen)


def retry_turn(turn_id: int) -> None:
    """Answer what a failed turn left unanswered: its messages join the open turn, or wait for the next. Raises Refused."""
    with transaction.atomic():
        turn = _locked(turn_id)
        _refuse(turn)
        running = row(
            f"""
            SELECT id, stage <> 'deliver' AND trigger <> 'follow_up'
                AND (NOT redone OR leased_until IS NULL OR leased_until < now()) AS joinable
            FROM conversations_turn WHERE conversation_id = %(id)s AND stage IN {turns.OPEN} FOR UPDATE
            """,  # noqa: S608
            {"id": turn.conversation_id},
        )
        # What is on its way, answers nobody, or is computed for the second time takes no more in: its end opens the next turn.
        joins = running.id if running is not None and running.joinable else None
        if not _release_messages(turn.id, joins):
            raise Refused(_("The turn has no message of the customer left to answer."))
        _end(turn.id, Turn.Stage.SUPERSEDED, "retried")
        if joins is not None:
            _join(joins, turn.from_seq)
        elif running is None:
            turns.open_next(turn.conversation_id)
        _calm(turn.conversation_id, turn.id)


def _locked(turn_id: int) -> Any:
    """The turn, its conversation locked. Raises Refused where there is none."""
    _lock_conversation("conversations_turn", turn_id)
    turn = row(
        """
        SELECT t.id, t.stage, t.reason, t.from_seq, t.upto_seq, t.conversation_id, c.mode
        FROM conversations_turn t JOIN conversations_conversation c ON c.id = t.conversation_id WHERE t.id = %(turn)s
        """,
        {"turn": turn_id},
    )
    if turn is None or turn.stage != Turn.Stage.FAILED:
        raise Refused(_("The turn does not wait for attention any more."))
    return turn


def _lock_conversation(table: str, row_id: int) -> None:
    """Lock the conversation of a row; what is read afterwards is what everybody before us has left."""
    execute(
        f"""
        SELECT 1 FROM conversations_conversation
        WHERE id = (SELECT conversation_id FROM {table} WHERE id = %(id)s) FOR UPDATE
        """,  # noqa: S608
        {"id": row_id},
    )


def _refuse(turn: Any) -> None:
    """Raise Refused where a second answer would be a double, or nobody would give it."""
    if turn.reason in BY_MESSAGE:
        raise Refused(_("The reply is written already: send its message again instead."))
    if turn.mode != Conversation.Mode.BOT:
        raise Refused(_("The assistant does not lead the conversation. Give it back first."))
    answered = row(
        """
        SELECT id FROM conversations_message
        WHERE conversation_id = %(id)s AND direction = 'out' AND seq > %(upto)s AND state NOT IN ('suppressed', 'failed')
        LIMIT 1
        """,
        {"id": turn.conversation_id, "upto": turn.upto_seq},
    )
    if answered is not None:
        raise Refused(_("The customer has had an answer since. Dismiss the turn instead."))


def _release_messages(turn_id: int, joins: int | None) -> int:
    return execute(
        "UPDATE conversations_message SET turn_id = %(joins)s WHERE turn_id = %(turn)s AND direction = 'in'",
        {"turn": turn_id, "joins": joins},
    )


#: A voice message that joins has to be heard first; what was in work counts as the turn's one new computation.
_BACK = "%(unheard)s AND t.stage IN ('classify', 'answer')"


def _join(turn_id: int, from_seq: int) -> None:
    """Let the open turn answer these messages as well; a result computed without them is thrown away."""
    joined = row(
        f"""
        UPDATE conversations_turn t
        SET version = version + 1, from_seq = least(from_seq, %(first)s), timeline = timeline || {turns.mark("joined")},
            stage = CASE WHEN {_BACK} THEN 'transcribe' ELSE stage END,
            lease_token = CASE WHEN {_BACK} THEN NULL ELSE lease_token END,
            attempts = CASE WHEN {_BACK} THEN 0 ELSE attempts END,
            redone = redone OR ({_BACK} AND leased_until IS NOT NULL),
            leased_until = CASE WHEN {_BACK} THEN NULL ELSE leased_until END
        WHERE id = %(turn)s
        RETURNING stage, trigger, greatest(0, extract(epoch FROM due_at - now()))::float AS wait
        """,  # noqa: S608
        {"turn": turn_id, "first": from_seq, "unheard": turns.has_unheard(turn_id)},
    )
    if joined is not None and joined.stage == Turn.Stage.TRANSCRIBE:
        turns.start(joined.stage, joined.trigger, turn_id, delay=joined.wait)


def _end(turn_id: int, stage: str, what: str) -> None:
    execute(
        """
        UPDATE conversations_turn
        SET stage = %(stage)s,
            timeline = timeline || jsonb_build_array(jsonb_build_object('what', %(what)s::text, 'at', clock_timestamp()))
        WHERE id = %(turn)s AND stage = 'failed'
        """,
        {"turn": turn_id, "stage": stage, "what": what},
    )


def _calm(conversation_id: int, turn_id: int) -> None:
    """Take the conversation off the list unless something else of it waits, or a later turn called a manager."""
    execute(
        """
        UPDATE conversations_conversation SET needs_attention = false, attention_reason = '', attention_at = NULL
        WHERE id = %(id)s AND needs_attention
          AND NOT EXISTS (SELECT 1 FROM conversations_turn t WHERE t.conversation_id = %(id)s
                          AND (t.stage = 'failed' OR (t.id > %(turn)s AND t.finished_at IS NOT NULL)))
          AND NOT EXISTS (SELECT 1 FROM conversations_message m WHERE m.conversation_id = %(id)s
                          AND m.state IN ('failed', 'unconfirmed'))
        """,
        {"id": conversation_id, "turn": turn_id},
    )
    transaction.on_commit(lambda: live.ring(f"conversation:{conversation_id}", what="attention"))


def dismiss_turn(turn_id: int, user: Any) -> None:
    """Close a failed turn without an answer. Raises Refused."""
    with transaction.atomic():
        turn = _locked(turn_id)
        _end(turn.id, Turn.Stage.DISMISSED, "dismissed")
        _calm(turn.conversation_id, turn.id)
    logger.info("turn dismissed", extra={"turn": turn_id, "user": user.pk})


def retry_event(event_id: int) -> None:
    """Process an event that was given up once more, with a new budget of attempts. Raises Refused."""
    if not inbox.retry(event_id):
        raise Refused(_("The event does not wait any more, or its content is forgotten already."))


def dismiss_event(event_id: int, user: Any) -> None:
    """Close an event that was given up, without processing it. Raises Refused."""
    if not inbox.dismiss(event_id):
        raise Refused(_("The event does not wait any more."))
    logger.info("event dismissed", extra={"event": event_id, "user": user.pk})


def resend_message(message_id: int, user: Any) -> None:
    """Send a doubtful message (again), as the words of this manager. Raises Refused."""
    if not outbox.resend(message_id, user=user):
        raise Refused(_("The message has moved on meanwhile."))
    logger.info("message sent again", extra={"message_id": message_id, "user": user.pk})


def message_arrived(message_id: int, user: Any) -> None:
    """A manager has seen that an unconfirmed message reached the customer. Raises Refused."""
    _settle(message_id, [Message.State.UNCONFIRMED], Message.State.SENT, Turn.Stage.DONE, user)


def withdraw_message(message_id: int, user: Any) -> None:
    """A message that failed shall not be sent any more. Raises Refused."""
    _settle(message_id, [Message.State.FAILED], Message.State.SUPPRESSED, Turn.Stage.DISMISSED, user)


def _settle(message_id: int, allowed: list[str], state: str, turn_stage: str, user: Any) -> None:
    """Decide a doubtful message, and the failed turn whose last doubtful message it was."""
    with transaction.atomic():
        _lock_conversation("conversations_message", message_id)
        message = row(
            "SELECT id, state, turn_id, conversation_id FROM conversations_message WHERE id = %(id)s", {"id": message_id}
        )
        if message is None or message.state not in allowed:
            raise Refused(_("The message has moved on meanwhile."))
        execute(
            "UPDATE conversations_message SET state = %(state)s, state_changed_at = now(), error = '' WHERE id = %(id)s",
            {"id": message_id, "state": str(state)},
        )
        if message.turn_id is not None and not _still_doubtful(message.turn_id):
            _end(message.turn_id, str(turn_stage), str(state))
        _calm(message.conversation_id, message.turn_id or 0)
    logger.info("message settled", extra={"message_id": message_id, "state": str(state), "user": user.pk})


def _still_doubtful(turn_id: int) -> bool:
    return Message.objects.filter(turn_id=turn_id, direction=Message.Direction.OUT, state__in=DOUBTFUL).exists()
