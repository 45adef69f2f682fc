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


#: Conversations whose first message is due. In order of their age the index has them; the failed ones are few.
_WAITING = """
SELECT m.conversation_id FROM conversations_message m
WHERE m.channel_id = %(channel)s AND m.state = 'queued' AND m.direction = 'out' AND {attempts}
  AND m.next_attempt_at <= now() AND m.conversation_id <> ALL(%(tried)s::bigint[]) AND NOT EXISTS (
    SELECT FROM conversations_message before
    WHERE before.conversation_id = m.conversation_id AND before.direction = 'out' AND before.state IN ('queued', 'sending')
      AND before.seq < m.seq OFFSET 0)
ORDER BY {order} LIMIT %(batch)s
"""
_UNTRIED = _WAITING.format(attempts="m.attempts = 0", order="m.created_at")
_FAILED = _WAITING.format(attempts="m.attempts > 0", order="m.attempts, m.id")


def _waiting(channel_id: int, tried: list[int]) -> list[int]:
    """Conversations of the channel whose first message is due: those whose message was not tried yet, then the others."""
    given = {"channel": channel_id, "tried": tried, "batch": BATCH}
    return [first.conversation_id for first in rows(_UNTRIED, given) or rows(_FAILED, given)]


def _make_due(channel_id: int) -> None:
    """A manager wants it tried now: what was put off on its own no longer waits for that."""
    execute(
        """
        UPDATE conversations_message SET next_attempt_at = now()
        WHERE channel_id = %(channel)s AND state = 'queued' AND next_attempt_at > now() AND attempts > 0
        """,
        {"channel": channel_id},
    )
