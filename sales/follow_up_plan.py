"""Who fell silent, and when the touches are due: the beginning of a follow-up."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from django.conf import settings
from django.db import OperationalError, transaction

from foundation.db import row, rows

from .assistants import configuration
from .models import Touch
from .sending_hours import SendingHours

logger = logging.getLogger(__name__)

#: Two touches that hours or an outage push together keep this distance, or the one they were meant to have if it is less.
DISTANCE = timedelta(days=1)

_RULE = "SELECT FROM channels_numberrule r WHERE (r.channel_id = ch.id OR r.channel_id IS NULL)"
#: Whether contact k may be written to on channel ch: a client, and no number that a rule keeps from it.
WELCOME = f"""(
    k.opted_out_at IS NULL AND (k.is_client IS TRUE OR (k.is_client IS NULL AND NOT ch.moderation))
    AND NOT EXISTS ({_RULE} AND r.rule IN ('excluded', 'blocked') AND r.phone_index = k.phone_index)
    AND (NOT EXISTS ({_RULE} AND r.rule = 'allowed')
        OR EXISTS ({_RULE} AND r.rule = 'allowed' AND r.phone_index = k.phone_index)))"""
#: Whether a call with contact k is agreed; until it is over there is nothing to remind them of.
CALL = "EXISTS (SELECT FROM sales_scheduledcall s WHERE s.contact_id = k.id AND s.status = 'scheduled')"

# What the conversations' own rows can tell is told first: that leaves few, whatever the planner believes of the rest. A
# reply leaves within hours of being written (`last_outbound_at`), so the eighth day bounds what the seventh decides.
# OFFSET keeps the planner from reading all follow-ups once where few conversations look for theirs by the index.
_SILENT = f"""
WITH c AS MATERIALIZED (
    SELECT c.* FROM conversations_conversation c
    WHERE c.mode = 'bot' AND NOT c.needs_attention AND c.cycle > 0 AND c.unreachable_since IS NULL
      AND c.last_outbound_at > now() - interval '8 days' AND c.last_outbound_at <= now() - interval '15 minutes'
      AND (c.last_inbound_at IS NULL OR c.last_outbound_at >= c.last_inbound_at)
      AND NOT EXISTS (SELECT FROM sales_followup f WHERE f.conversation_id = c.id AND f.cycle = c.cycle OFFSET 0))
SELECT c.id, c.cycle, c.epoch, c.channel_id, k.time_zone, spoken.sent_at AS anchor_at,
    CASE WHEN asked.commitment = 'vague' THEN 'vague' ELSE 'silence' END AS cause
FROM c
JOIN channels_channel ch ON ch.id = c.channel_id AND ch.enabled AND ch.running
JOIN sales_bot b ON b.channel_id = ch.id
JOIN sales_assistant a ON a.id = b.assistant_id AND a.follow_ups
JOIN conversations_contact k ON k.id = c.contact_id
CROSS JOIN LATERAL (
    SELECT m.author, m.state, m.sent_at FROM conversations_message m
    WHERE m.conversation_id = c.id AND m.state <> 'suppressed' ORDER BY m.seq DESC LIMIT 1) spoken
LEFT JOIN LATERAL (
    SELECT t.commitment, t.intent FROM conversations_turn t
    WHERE t.conversation_id = c.id AND t.trigger = 'inbound' ORDER BY t.id DESC LIMIT 1) asked ON true
WHERE spoken.author = 'bot' AND spoken.state IN ('sent', 'delivered', 'read')
  AND spoken.sent_at > now() - interval '7 days' AND spoken.sent_at <= now() - interval '15 minutes'
  AND coalesce(asked.commitment, '') NOT IN ('yes', 'no')
  AND coalesce(asked.intent, '') NOT IN ('opt_out', 'handoff', 'complaint')
  AND NOT EXISTS (
    SELECT FROM conversations_turn t
    WHERE t.conversation_id = c.id AND t.stage IN ('transcribe', 'classify', 'answer', 'deliver'))
  AND {WELCOME} AND NOT {CALL}
ORDER BY c.last_outbound_at LIMIT %(limit)s
"""  # noqa: S608

_OPEN = """
WITH c AS MATERIALIZED (
    SELECT id FROM conversations_conversation
    WHERE id = %(conversation)s AND cycle = %(cycle)s AND epoch = %(epoch)s AND mode = 'bot' FOR UPDATE SKIP LOCKED)
INSERT INTO sales_followup (conversation_id, cycle, cause, anchor_at, state, stop_reason)
SELECT id, %(cycle)s, %(cause)s, %(anchor)s, 'active', '' FROM c
ON CONFLICT (conversation_id, cycle) DO NOTHING RETURNING id
"""


def plan(limit: int = 500) -> int:
    """Open follow-ups for customers who fell silent after the bot's last word. Returns how many.

    Any number of processes may do so at once. What cannot be opened now is found again by the next run.
    """
    if not settings.ENABLE_FOLLOW_UPS:
        return 0
    opened = 0
    for silent in rows(_SILENT, {"limit": limit}):
        with one_of_many("follow-up not planned", silent.id):
            opened += _open(silent)
    return opened


@contextmanager
def one_of_many(fault: str, conversation_id: int) -> Iterator[None]:
    """A transaction that may fail without keeping the others of its batch waiting; a database that is away ends the batch."""
    try:
        with transaction.atomic():
            yield
    except OperationalError:
        raise
    except Exception:
        logger.exception(fault, extra={"conversation": conversation_id})


def _open(silent: Any) -> bool:
    """Open one follow-up with all its touches, unless the customer, a person or another process came first.

    The conversation stays locked until the caller's transaction ends.
    """
    configured = configuration(silent.channel_id)
    if configured is None:
        return False
    hours = SendingHours(configured.assistant, silent.time_zone)
    opened = row(
        _OPEN,
        {
            "conversation": silent.id, "cycle": silent.cycle, "epoch": silent.epoch, "cause": silent.cause,
            "anchor": silent.anchor_at,
        },
    )  # fmt: skip
    if opened is None:
        return False
    touches = times(silent.anchor_at, settings.FOLLOW_UP_INTERVALS, hours, opened.id)
    Touch.objects.bulk_create(
        Touch(follow_up_id=opened.id, number=at.number, due_at=at.due, planned_at=at.planned, reason=at.reason)
        for at in touches
    )
    logger.info("follow-up planned", extra={"follow_up": opened.id, "conversation": silent.id, "cause": silent.cause})
    return True


@dataclass(frozen=True, slots=True)
class Time:
    """When a touch is due by the intervals, and when it is to be made."""

    number: int
    due: datetime
    planned: datetime
    reason: str


def times(anchor: datetime, intervals: list[float], hours: SendingHours, key: int) -> Iterator[Time]:
    """The times of all touches, `intervals` hours after the anchor, each moved into sending hours and never dropped."""
    before: Time | None = None
    for number, interval in zip(count(1), intervals, strict=False):
        due = earliest = anchor + timedelta(hours=interval)
        if before is not None:
            earliest = max(due, before.planned + distance(before.due, due))
        planned = hours.opening(earliest, key)
        before = Time(number, due, planned, "" if planned == due else Touch.Reason.HOURS)
        yield before


def distance(due: datetime, next_due: datetime) -> timedelta:
    """How far apart two touches stay that were due at these times."""
    return min(DISTANCE, next_due - due)
