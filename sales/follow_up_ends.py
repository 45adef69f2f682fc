"""What ends a follow-up: the customer, a person, a wish not to be written to, a switch. Each in the commit of its cause."""

from __future__ import annotations

import logging
from typing import Any

from django.conf import settings
from django.db import transaction

from conversations import signals, turns
from conversations.models import Conversation, Turn
from foundation.db import execute, row, rows

from .assistants import configuration
from .follow_up_plan import CALL, WELCOME
from .models import FollowUp

logger = logging.getLogger(__name__)

Reason = FollowUp.StopReason

#: The turn of touch x was called off before anything of it left.
_VOID = """EXISTS (
    SELECT FROM conversations_turn t WHERE t.id = x.turn_id AND t.stage IN ('superseded', 'ignored') AND NOT EXISTS (
        SELECT FROM conversations_message m WHERE m.turn_id = t.id AND m.direction = 'out' AND m.state <> 'suppressed'))"""

#: Something of the turn of touch x is on its way, or about to be.
_LEAVING = """m.conversation_id = %(conversation)s AND m.state IN ('queued', 'sending') AND m.turn_id = x.turn_id
    AND m.direction = 'out'"""

# `stopped_at` is the statement's time, not the transaction's: what stopped it was stored by an earlier statement. A touch
# that a provider has in hand cannot be called back; should it be refused for the moment, it is not tried again.
_STOP = f"""
WITH stopped AS (
    UPDATE sales_followup f
    SET state = 'stopped', stop_reason = %(reason)s, stopped_at = statement_timestamp(), stopped_by_id = %(user)s
    WHERE f.conversation_id = %(conversation)s AND (f.state = 'active' OR (f.state = 'completed' AND (%(whole)s OR EXISTS (
        SELECT FROM sales_touch x WHERE x.follow_up_id = f.id AND x.state = 'fired'
          AND ({_VOID} OR EXISTS (SELECT FROM conversations_message m WHERE {_LEAVING}))))))
      AND (%(follow_up)s::bigint IS NULL OR f.id = %(follow_up)s)
    RETURNING f.id
), cancelled AS (
    UPDATE sales_touch x SET state = 'cancelled' FROM stopped
    WHERE x.follow_up_id = stopped.id AND (x.state = 'planned' OR (x.state = 'fired' AND {_VOID}))
), barred AS (
    UPDATE conversations_message m SET valid_until = now() FROM sales_touch x JOIN stopped ON x.follow_up_id = stopped.id
    WHERE {_LEAVING})
SELECT id FROM stopped
"""  # noqa: S608


def end(conversation_id: int, reason: str, *, user: Any = None, follow_up_id: int | None = None, whole: bool = False) -> bool:
    """Stop what runs in a conversation; its planned touches are cancelled. The caller holds the conversation's lock.

    A completed one is stopped where its last touch was called off or is on its way; with `whole`, in any case.
    """
    stopped = rows(
        _STOP,
        {
            "conversation": conversation_id, "reason": str(reason), "user": getattr(user, "pk", None),
            "follow_up": follow_up_id, "whole": whole,
        },
    )  # fmt: skip
    for follow_up in stopped:
        logger.info("follow-up stopped", extra={"follow_up": follow_up.id, "reason": str(reason)})
    return bool(stopped)


def _on_customer_wrote(conversation_id: int, **_signal: Any) -> None:
    end(conversation_id, Reason.CLIENT_RESPONDED)


def _on_person_leads(conversation_id: int, **_signal: Any) -> None:
    end(conversation_id, Reason.MANAGER)


def _on_customer_lost(conversation_id: int, **_signal: Any) -> None:
    end(conversation_id, Reason.UNREACHABLE)


def _on_customer_opted_out(contact_id: int, **_signal: Any) -> None:
    opt_out(contact_id)


signals.customer_lost.connect(_on_customer_lost, dispatch_uid="sales.follow_ups.customer_lost")
signals.customer_opted_out.connect(_on_customer_opted_out, dispatch_uid="sales.follow_ups.customer_opted_out")
signals.customer_wrote.connect(_on_customer_wrote, dispatch_uid="sales.follow_ups.customer_wrote")
signals.person_leads.connect(_on_person_leads, dispatch_uid="sales.follow_ups.person_leads")


def opt_out(contact_id: int) -> None:
    """A customer does not want to be written to: remembered, and everything that nobody asked for is withdrawn.

    Their questions are answered as ever.
    """
    with transaction.atomic():
        theirs = Conversation.objects.select_for_update().filter(contact=contact_id).order_by("pk")
        for conversation_id in theirs.values_list("pk", flat=True):
            turns.void_proactive(conversation_id, Turn.Reason.OPTED_OUT)
            end(conversation_id, Reason.OPTED_OUT)
            _say_better(conversation_id, Reason.OPTED_OUT, only_open=True)
        execute(
            "UPDATE conversations_contact SET opted_out_at = coalesce(opted_out_at, now()) WHERE id = %(id)s",
            {"id": contact_id},
        )
    logger.info("contact opted out", extra={"contact": contact_id})


def note_answer(conversation_id: int, commitment: str, intent: str) -> None:
    """Tell a follow-up that ended with the customer's reply what the reply said, once it is understood.

    For the commit that answers it, under the conversation's lock.
    """
    said = {"yes": Reason.CLIENT_SAID_YES, "no": Reason.CLIENT_SAID_NO}.get(commitment)
    better = Reason.OPTED_OUT if intent == Turn.Intent.OPT_OUT else said
    if better is not None:
        _say_better(conversation_id, better)


def _say_better(conversation_id: int, reason: str, *, only_open: bool = False) -> None:
    """Name the reason more exactly where the message that ended the follow-up belongs to the turn answered last."""
    execute(
        """
        WITH asked AS (
            SELECT id FROM conversations_turn
            WHERE conversation_id = %(conversation)s AND trigger = 'inbound' ORDER BY id DESC LIMIT 1
        ), answered AS (
            SELECT min(m.created_at) AS at FROM asked JOIN conversations_turn t ON t.id = asked.id
            JOIN conversations_message m ON m.turn_id = t.id AND m.direction = 'in'
            WHERE NOT %(only_open)s OR t.stage IN ('transcribe', 'classify', 'answer', 'deliver'))
        UPDATE sales_followup f SET stop_reason = %(reason)s FROM answered
        WHERE f.id = (SELECT id FROM sales_followup WHERE conversation_id = %(conversation)s ORDER BY cycle DESC LIMIT 1)
          AND f.state = 'stopped' AND f.stop_reason = 'client_responded' AND f.stopped_at >= answered.at
        """,
        {"conversation": conversation_id, "reason": str(reason), "only_open": only_open},
    )


# ── The situation ────────────────────────────────────────────────────────────────────────────────────────────────────────

_SITUATION = f"""
SELECT f.id, f.state, f.conversation_id, f.cycle = c.cycle AS unanswered, c.mode, c.channel_id, k.time_zone,
    c.unreachable_since IS NOT NULL AS unreachable,
    k.opted_out_at IS NOT NULL AS opted_out, {WELCOME} AS welcome, {CALL} AS call, ch.enabled AND ch.running AS running,
    now() AS now, EXISTS (
        SELECT FROM sales_touch x JOIN conversations_turn t ON t.id = x.turn_id
        WHERE x.follow_up_id = f.id AND x.state = 'fired' AND t.stage IN ('failed', 'dismissed') AND t.reason <> 'unconfirmed'
    ) AS undelivered
FROM sales_followup f
JOIN conversations_conversation c ON c.id = f.conversation_id
JOIN conversations_contact k ON k.id = c.contact_id
JOIN channels_channel ch ON ch.id = c.channel_id
WHERE f.id = %(id)s
"""  # noqa: S608


def situation_of(follow_up_id: int) -> Any | None:
    """How things stand around a follow-up: what `why_not` looks at, where and to whom it goes, and the time."""
    return row(_SITUATION, {"id": follow_up_id})


def why_not(situation: Any) -> FollowUp.StopReason | None:
    """Why a follow-up in this situation has to end, or None."""
    configured = configuration(situation.channel_id)
    reasons = (
        (not situation.unanswered, Reason.CLIENT_RESPONDED),
        (situation.mode != Conversation.Mode.BOT, Reason.MANAGER),
        (situation.opted_out, Reason.OPTED_OUT),
        (situation.unreachable, Reason.UNREACHABLE),
        (not situation.welcome, Reason.NOT_CLIENT),
        (situation.call, Reason.CLIENT_SAID_YES),
        (situation.undelivered, Reason.UNDELIVERABLE),
        (not settings.ENABLE_FOLLOW_UPS or configured is None or not configured.assistant.follow_ups, Reason.SWITCHED_OFF),
    )
    return next((reason for holds, reason in reasons if holds), None)
