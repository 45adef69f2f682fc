"""How a channel that was paused sends again: one message tries, then what waits follows at the provider's rate.

One worker at a time holds the lease on the channel's breaker and sends for it. Conversations whose message has failed least
come first, then the oldest, so that a single message that nobody takes cannot stand before all others.
"""

from __future__ import annotations

import logging
import time
from uuid import UUID

from channels import breaker, directory
from channels.models import ChannelBreaker
from foundation import leases, steps
from foundation.db import execute, rows

from . import outbox
from .outbox import Outcome

logger = logging.getLogger(__name__)

#: Seconds after which a worker lets another channel have its turn.
BUDGET = 10.0
#: Conversations that are looked up at a time.
BATCH = 50

sleep = time.sleep


def drain(channel_id: int) -> int:
    """Send what waits for a paused channel, as far as the provider takes it. Safe to run twice. Returns how many left."""
    lease = breaker.enter(channel_id)
    if lease is None:
        return 0
    if lease.forced:
        _make_due(channel_id)
    try:
        with leases.held(ChannelBreaker, lease.lease_token):
            return _drain(channel_id, lease.lease_token)
    finally:
        breaker.leave(channel_id, lease.lease_token)
        wake()


def wake() -> int:
    """Start to drain the channels whose turn it is. Returns how many."""
    due = breaker.due()
    for channel_id in due:
        steps.start("drain", channel_id)
    return len(due)


def _drain(channel_id: int, token: UUID) -> int:
    entry = directory.entry(channel_id)
    spacing = breaker.spacing(entry.channel, entry.adapter)
    until = time.monotonic() + BUDGET
    sent = 0
    tried: list[int] = []
    while waiting := _waiting(channel_id, tried):
        for conversation_id in waiting:
            tried.append(conversation_id)
            while (claimed := outbox.claim(conversation_id, token)) is not None:
                started = time.monotonic()
                outcome = outbox.attempt(claimed, token)
                sent += outcome is Outcome.LEFT
                sleep(max(0.0, started + spacing - time.monotonic()))
                if outcome is Outcome.PAUSED or time.monotonic() > until:
                    return sent
                if outcome is Outcome.WAITS:
                    break
    breaker.emptied(channel_id, token)
    logger.info("channel drained", extra={"channel_id": channel_id, "sent": sent})
    return sent


def _waiting(channel_id: int, tried: list[int]) -> list[int]:
    """Conversations of the channel whose first message is due."""
    found = rows(
        """
        SELECT conversation_id FROM (
            SELECT DISTINCT ON (conversation_id) conversation_id, id, state, attempts, next_attempt_at
            FROM conversations_message
            WHERE channel_id = %(channel)s AND direction = 'out' AND state IN ('queued', 'sending')
            ORDER BY conversation_id, seq) AS first
        WHERE state = 'queued' AND next_attempt_at <= now() AND conversation_id <> ALL(%(tried)s::bigint[])
        ORDER BY attempts, id LIMIT %(batch)s
        """,
        {"channel": channel_id, "tried": tried, "batch": BATCH},
    )
    return [first.conversation_id for first in found]


def _make_due(channel_id: int) -> None:
    """A manager wants it tried now: what was put off on its own no longer waits for that."""
    execute(
        """
        UPDATE conversations_message SET next_attempt_at = now()
        WHERE channel_id = %(channel)s AND state = 'queued' AND next_attempt_at > now() AND attempts > 0
        """,
        {"channel": channel_id},
    )
