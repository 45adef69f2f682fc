"""The sweeper's share of the outbox: what was lost on the way, what is too late, and what a dead worker left."""

from __future__ import annotations

from django.db import transaction
from django.utils.translation import gettext as _

from channels import directory
from foundation import steps
from foundation.db import execute, rows
from foundation.errors import Unconfirmed

from . import outbox, speaking, turns
from .models import Message, Turn


def sweep(limit: int = 500) -> int:
    """Bring back what was lost: queued messages nobody sends, and sends whose worker died. Returns how many."""
    parts = (_sweep_late, _sweep_dead, _sweep_spent, _sweep_queued, _sweep_unconfirmed, _sweep_stranded)
    return sum(part(limit) for part in parts)


def _sweep_dead(limit: int) -> int:
    """A worker that died while sending leaves a message of which nobody knows whether it left."""
    dead = rows(
        """
        SELECT id, conversation_id, channel_id, turn_id, lease_token, kind, details FROM conversations_message
        WHERE state = 'sending' AND leased_until < now() ORDER BY leased_until LIMIT %(limit)s
        """,
        {"limit": limit},
    )
    for message in dead:
        if speaking.never_spoken(message):
            outbox.withdraw_voice(message, speaking.Unspoken(_("the worker ended while speaking")))
        else:
            outbox.hold(message, Unconfirmed(_("the worker ended while sending")))
    return len(dead)


def _sweep_late(limit: int) -> int:
    """Withdraw what has outlived its hours before a provider took it; whoever planned it may plan it anew."""
    late = rows(
        """
        SELECT id, conversation_id, turn_id FROM conversations_message
        WHERE state = 'queued' AND valid_until <= now() ORDER BY valid_until LIMIT %(limit)s
        """,
        {"limit": limit},
    )
    for message in late:
        with transaction.atomic():
            outbox.lock(message.conversation_id)
            withdrawn = execute(
                """
                UPDATE conversations_message SET state = 'suppressed', state_changed_at = now()
                WHERE id = %(id)s AND state = 'queued' AND valid_until <= now()
                """,
                {"id": message.id},
            )
            if withdrawn and message.turn_id and not _pending(message.turn_id):
                turns.end(message.turn_id, Turn.Stage.SUPERSEDED, str(Turn.Reason.LATE))
                turns.open_next(message.conversation_id)
    return len(late)


def _pending(turn_id: int) -> bool:
    """Whether something of a turn is on its way, or has left."""
    return Message.objects.filter(turn_id=turn_id, direction=Message.Direction.OUT).exclude(
        state=Message.State.SUPPRESSED
    ).exists()


def _sweep_queued(limit: int) -> int:
    """What waits for a paused channel stays where it is: one worker fetches it (`draining`)."""
    lost = rows(
        """
        WITH k AS MATERIALIZED (
            SELECT waiting.id FROM channels_channel ch CROSS JOIN LATERAL (
                SELECT id, next_attempt_at FROM conversations_message
                WHERE channel_id = ch.id AND state = 'queued' AND next_attempt_at < now() - interval '2 seconds'
                  AND (swept_at IS NULL OR swept_at < now() - interval '30 seconds')
                ORDER BY created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED) waiting
            WHERE NOT EXISTS (
                SELECT FROM channels_channelbreaker b WHERE b.channel_id = ch.id AND b.opened_at IS NOT NULL)
            ORDER BY waiting.next_attempt_at LIMIT %(limit)s)
        UPDATE conversations_message m SET swept_at = now() FROM k WHERE m.id = k.id RETURNING m.conversation_id
        """,
        {"limit": limit},
    )
    for conversation_id in {message.conversation_id for message in lost}:
        steps.start("deliver", conversation_id)
    return len(lost)


def _sweep_spent(limit: int) -> int:
    """What has waited for a paused channel until it is too late to be of use is shown to a manager instead."""
    spent = rows(
        """
        SELECT m.id, m.conversation_id, m.turn_id, b.reason
        FROM channels_channelbreaker b JOIN conversations_message m ON m.channel_id = b.channel_id AND m.state = 'queued'
        WHERE b.opened_at IS NOT NULL AND m.created_at < now() - %(age)s::interval ORDER BY m.id LIMIT %(limit)s
        """,
        {"limit": limit, "age": outbox.GIVE_UP_AFTER},
    )
    for message in spent:
        with transaction.atomic():
            outbox.lock(message.conversation_id)
            moved = execute(
                """
                UPDATE conversations_message SET state = 'failed', state_changed_at = now(), error = %(error)s
                WHERE id = %(id)s AND state = 'queued'
                """,
                {"id": message.id, "error": message.reason},
            )
            if moved:
                turns.call_manager(message.conversation_id, message.reason or str(Turn.Reason.UNDELIVERED.label))
                outbox.settle_turn(message)
    return len(spent)


def _sweep_unconfirmed(limit: int) -> int:
    """Ask the history once more, a minute later, and until it can be read; after that only people and receipts settle it."""
    doubtful = rows(
        """
        SELECT m.id, m.channel_id FROM conversations_message m
        WHERE m.state = 'unconfirmed' AND m.next_attempt_at <= now() AND m.state_changed_at > now() - %(long)s::interval
          AND m.channel_id NOT IN (
            SELECT channel_id FROM channels_channelbreaker WHERE opened_at IS NOT NULL AND recovered_at IS NULL)
        ORDER BY m.state_changed_at LIMIT %(limit)s
        """,
        {"limit": limit, "long": outbox.CONFIRM_FOR},
    )
    for message in doubtful:
        if directory.entry(message.channel_id).adapter.capabilities.history:
            steps.start("confirm", message.id)
    return len(doubtful)


def _sweep_stranded(limit: int) -> int:
    """A delivering turn without anything left to send ends: its worker died between two commits."""
    stranded = rows(
        """
        SELECT t.id AS turn_id, t.conversation_id FROM conversations_turn t
        WHERE t.stage = 'deliver' AND NOT EXISTS (
            SELECT 1 FROM conversations_message m
            WHERE m.turn_id = t.id AND m.direction = 'out' AND m.state IN ('queued', 'sending'))
        LIMIT %(limit)s
        """,
        {"limit": limit},
    )
    for turn in stranded:
        with transaction.atomic():
            outbox.lock(turn.conversation_id)
            outbox.settle_turn(turn)
    return len(stranded)
