"""What customers are told of their calls without having asked: changes that managers make, and reminders.

In our own words within the reply window, by an approved template outside of it; what waits for one is told later.
"""

from __future__ import annotations

import logging
from typing import Any

from django.db import transaction

from channels import directory, pacing
from conversations import outbox
from conversations.drafts import Draft
from conversations.models import Conversation, Message
from foundation import live
from foundation.db import now, row, rows

from . import call_texts, proactive
from .assistants import configuration
from .models import ScheduledCall, TouchTemplate

logger = logging.getLogger(__name__)

Purpose = TouchTemplate.Purpose


def _words(call: ScheduledCall, change: str) -> str:
    """What the customer is told of a change where our own words may be sent."""
    words = {
        Purpose.CALL_MOVED: call_texts.moved, Purpose.CALL_REASSIGNED: call_texts.reassigned,
        Purpose.CALL_CANCELLED: call_texts.cancelled,
    }[Purpose(change)]  # fmt: skip
    return words(call, call.contact.language)


def tell(call: ScheduledCall, conversation: Any, change: str, user: Any = None) -> None:
    """Queue a message about a call to come. The caller holds the lock of the conversation; without one nobody is told.

    Where only a template may be sent and none is chosen, the call remembers what its customer is still to be told.
    """
    ring(call)
    untold = ""
    if conversation is not None and call.starts_at > now():
        try:
            draft = _way(call, conversation, change).draft or Draft(_words(call, change))
        except proactive.WaitsForTemplate as error:
            proactive.tell(proactive.CALLS, conversation.channel_id, str(error))
            untold = str(change)
        else:
            _queue(call, conversation, draft, user)
    if call.untold != untold:
        call.untold = untold
        call.save(update_fields=["untold"])


def _way(call: ScheduledCall, conversation: Any, purpose: str) -> proactive.Way:
    """How the customer may be written to of their call. Raises proactive.WaitsForTemplate."""
    configured = configuration(conversation.channel_id)
    if configured is None:
        return proactive.Way(None)
    return proactive.way(configured, conversation.id, conversation.channel_id, purpose, now(), {"call": call})


#: Call s, with its conversation c, has a change that its customer is still to be told, and may be.
_WAITING = "s.untold <> '' AND s.starts_at > now() AND c.unreachable_since IS NULL"
_UNTOLD = f"""
SELECT c.id, c.channel_id, c.last_seq, c.epoch FROM sales_scheduledcall s
JOIN conversations_conversation c ON c.id = s.conversation_id
WHERE s.id = %(call)s AND {_WAITING} FOR UPDATE OF c, s SKIP LOCKED
"""  # noqa: S608


def tell_due(limit: int = 200) -> int:
    """Tell customers of changes that waited for a template, or for the customer to write. Returns how many were told."""
    waiting = rows(
        f"""
        SELECT s.id FROM sales_scheduledcall s JOIN conversations_conversation c ON c.id = s.conversation_id
        WHERE {_WAITING} ORDER BY s.starts_at LIMIT %(limit)s
        """,  # noqa: S608
        {"limit": limit},
    )
    told = sum(_tell_again(call.id) for call in waiting)
    proactive.settle_calls()
    return told


def _tell_again(call_id: int) -> bool:
    try:
        with transaction.atomic():
            conversation = row(_UNTOLD, {"call": call_id})
            if conversation is None:
                return False
            call = ScheduledCall.objects.select_related("contact", "manager").get(pk=call_id)
            tell(call, conversation, call.untold)
    except Exception:
        # One row that cannot be read must not keep the others from being told.
        logger.exception("change of a call not told", extra={"call": call_id})
        return False
    return not call.untold


def _queue(call: ScheduledCall, conversation: Any, draft: Draft, user: Any = None) -> None:
    outbox.queue(
        conversation, conversation.channel_id, draft, user=user, valid_until=call.starts_at,
        author=Message.Author.SYSTEM if user is None else Message.Author.MANAGER,
    )  # fmt: skip


def ring(call: ScheduledCall) -> None:
    """Tell the pages that show the call's conversation, after commit."""
    if call.conversation_id is not None:
        topic = f"conversation:{call.conversation_id}"
        transaction.on_commit(lambda: live.ring(topic, what="call"))


_DUE = """
s.status = 'scheduled' AND s.reminded_at IS NULL AND s.starts_at > now() AND s.starts_at <= now() + interval '1 day'
AND c.unreachable_since IS NULL
AND s.starts_at <= now() + make_interval(mins => a.call_reminder_minutes) AND p.opted_out_at IS NULL
"""
_JOINED = """
FROM sales_scheduledcall s
JOIN sales_assistant a ON a.id = s.assistant_id
JOIN conversations_contact p ON p.id = s.contact_id
JOIN conversations_conversation c ON c.id = s.conversation_id
"""
#: Skipping what others hold, it never waits: whoever holds a conversation or a call is not held up by it, or holds it up.
_CLAIM = f"""
WITH held AS (
    SELECT s.id AS call_id, c.id, c.channel_id, c.last_seq, c.epoch {_JOINED}
    WHERE s.id = %(call)s AND {_DUE} FOR UPDATE OF c, s SKIP LOCKED)
UPDATE sales_scheduledcall s SET reminded_at = now(), updated_at = now() FROM held WHERE s.id = held.call_id
RETURNING held.call_id, held.id, held.channel_id, held.last_seq, held.epoch
"""  # noqa: S608


def remind_due(limit: int = 200) -> int:
    """Remind customers of calls that are to begin soon, each once whoever else does the same. Returns how many.

    A call whose conversation is busy at this moment, whose number has sent enough for now, or whose customer may only be
    written to by a template that nobody has chosen, is left to the next round.
    """
    due = rows(f"SELECT s.id {_JOINED} WHERE {_DUE} ORDER BY s.starts_at LIMIT %(limit)s", {"limit": limit})
    return sum(_remind(call.id) for call in due)


class _Waits(Exception):
    """Takes a claim back: the number has sent enough for now."""


def _reminder(call: ScheduledCall, conversation: Any) -> Draft:
    """The words of a reminder as they may be sent now. Raises _Waits and proactive.WaitsForTemplate."""
    at, way = now(), _way(call, conversation, Purpose.CALL_REMINDER)
    channel, zone = directory.entry(conversation.channel_id).channel, call.customer_zone or call.contact.time_zone
    if pacing.take(channel, at=at, customer_zone=zone, key=call.pk) is not None:
        raise _Waits
    return way.draft or Draft(call_texts.reminder(call, call.contact.language))


def _remind(call_id: int) -> bool:
    try:
        with transaction.atomic():
            conversation = row(_CLAIM, {"call": call_id})
            if conversation is None:
                return False
            call = ScheduledCall.objects.select_related("contact", "manager").get(pk=call_id)
            _queue(call, conversation, _reminder(call, conversation))
            ring(call)
    except _Waits:
        return False
    except proactive.WaitsForTemplate as error:
        channel_id = Conversation.objects.values_list("channel", flat=True).get(calls=call_id)
        proactive.tell(proactive.REMINDERS, channel_id, str(error))
        return False
    except Exception:
        # One row that cannot be read must not keep the others from being reminded.
        logger.exception("reminder failed", extra={"call": call_id})
        return False
    return True
