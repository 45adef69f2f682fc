"""The turn's life: opened or joined by a message, claimed by a step, moved on by its commit, ended with a reason.

Locking order everywhere: conversation, then turn, then messages. The conversation's row lock is held in every
transaction that opens, moves or ends a turn; steps work between two such transactions and hold nothing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from foundation import leases, live, steps
from foundation.db import execute, row, rows
from foundation.leases import LEASE

from . import signals
from .models import Turn

logger = logging.getLogger(__name__)

OPEN = "('transcribe', 'classify', 'answer', 'deliver')"
#: Seconds before a step is tried again: doubled with each attempt.
RETRY_SECONDS = 2.0
LONGEST_WAIT = 60.0

_MARK = "jsonb_build_array(jsonb_build_object('what', {what}, 'at', clock_timestamp()))"


def mark(what: str) -> str:
    """SQL for one entry of the timeline, with the database's time. `what` is a constant of ours."""
    return _MARK.format(what=f"'{what}'::text")


#: A voice message that joins has to be heard first. What was in work then is computed again, and that only once: beside a
#: second computation it waits for the next turn, or to be found by the next claim of this one.
_BACK = "EXCLUDED.stage = 'transcribe' AND t.stage IN ('classify', 'answer') AND NOT t.redone"

_OPEN_OR_JOIN = f"""
INSERT INTO conversations_turn AS t (conversation_id, trigger, stage, from_seq, upto_seq, due_at, timeline)
VALUES (%(conversation)s, %(trigger)s, %(stage)s, %(seq)s, %(seq)s, now() + make_interval(secs => %(hold)s),
        {mark("received")})
ON CONFLICT (conversation_id) WHERE stage IN {OPEN} DO UPDATE
SET version = t.version + 1, upto_seq = greatest(t.upto_seq, EXCLUDED.upto_seq),
    stage = CASE WHEN {_BACK} THEN EXCLUDED.stage ELSE t.stage END,
    lease_token = CASE WHEN {_BACK} THEN NULL ELSE t.lease_token END,
    leased_until = CASE WHEN {_BACK} THEN NULL ELSE t.leased_until END,
    attempts = CASE WHEN {_BACK} THEN 0 ELSE t.attempts END,
    redone = t.redone OR ({_BACK} AND t.leased_until IS NOT NULL),
    due_at = greatest(t.due_at, least(EXCLUDED.due_at, t.opened_at + make_interval(secs => %(max_hold)s))),
    timeline = t.timeline || {mark("joined")}
WHERE t.stage <> 'deliver'
RETURNING t.id, t.stage, t.trigger, t.version, greatest(0, extract(epoch FROM t.due_at - now()))::float AS wait
"""  # noqa: S608


def open_or_join(conversation_id: int, seq: int, stage: str, *, hold: float, max_hold: float, trigger: str = "inbound") -> Any:
    """Take message number `seq` into the open turn, or open one at `stage`, and enqueue the step.

    Returns the turn (`id`, `stage`, `version`, `wait` in seconds), or None while the open turn's reply is on its way: the
    message then waits for the next turn. The caller holds the conversation's lock.
    """
    turn = row(
        _OPEN_OR_JOIN,
        {
            "conversation": conversation_id, "trigger": trigger, "stage": stage, "seq": seq, "hold": hold, "max_hold": max_hold,
        },
    )  # fmt: skip
    if turn is not None:
        start(turn.stage, turn.trigger, turn.id, delay=turn.wait)
    return turn


def start(stage: str, trigger: str, turn_id: int, *, delay: float = 0) -> None:
    """Enqueue the step that a turn has come to; a follow-up is not an answer but a touch."""
    touch = stage == Turn.Stage.ANSWER and trigger == Turn.Trigger.FOLLOW_UP
    steps.start("touch" if touch else stage, turn_id, delay=delay)


def first_stage(*, unheard: bool, moderated: bool) -> Turn.Stage:
    """Where a turn begins: with a voice message not yet heard, with a contact not yet known as a client, or with the answer."""
    if unheard:
        return Turn.Stage.TRANSCRIBE
    return Turn.Stage.CLASSIFY if moderated else Turn.Stage.ANSWER


def open_proactive(conversation_id: int, trigger: str) -> Any | None:
    """Open a turn that no message asked for, unless one is open. Returns its `id`. The caller holds the lock."""
    turn = row(
        f"""
        INSERT INTO conversations_turn (conversation_id, trigger, stage, from_seq, upto_seq, timeline)
        SELECT id, %(trigger)s, 'answer', last_seq, last_seq, {mark("planned")}
        FROM conversations_conversation WHERE id = %(conversation)s
        ON CONFLICT (conversation_id) WHERE stage IN {OPEN} DO NOTHING
        RETURNING id
        """,  # noqa: S608
        {"conversation": conversation_id, "trigger": trigger},
    )
    if turn is not None:
        start(Turn.Stage.ANSWER, trigger, turn.id)
    return turn


def void_proactive(conversation_id: int, reason: str) -> None:
    """Drop a touch that has not begun to leave, since the customer wrote or must not be written to.

    The caller holds the conversation's lock.
    """
    execute(
        f"""
        WITH withdrawn AS (
            UPDATE conversations_message SET state = 'suppressed', state_changed_at = now()
            WHERE conversation_id = %(conversation)s AND state = 'queued' AND cycle IS NOT NULL)
        UPDATE conversations_turn t
        SET stage = 'superseded', reason = %(reason)s, leased_until = NULL, lease_token = NULL, finished_at = now(),
            timeline = timeline || {mark("replied")}
        WHERE conversation_id = %(conversation)s AND trigger = 'follow_up' AND stage IN {OPEN} AND NOT EXISTS (
            SELECT 1 FROM conversations_message m WHERE m.turn_id = t.id AND m.direction = 'out' AND m.state <> 'queued')
        """,  # noqa: S608
        {"conversation": conversation_id, "reason": reason},
    )


def ignore_message(conversation_id: int, seq: int, reason: str) -> int:
    """Record that message number `seq` is not answered, and why. Returns the id of the turn that says so."""
    turn = row(
        f"""
        INSERT INTO conversations_turn (conversation_id, stage, reason, from_seq, upto_seq, finished_at, timeline)
        VALUES (%(conversation)s, 'ignored', %(reason)s, %(seq)s, %(seq)s, now(), {mark("received")}) RETURNING id
        """,  # noqa: S608
        {"conversation": conversation_id, "seq": seq, "reason": reason},
    )
    return int(turn.id) if turn else 0


_CLAIM = f"""
UPDATE conversations_turn t
SET lease_token = gen_random_uuid(), leased_until = now() + {LEASE}, attempts = attempts + 1, swept_at = NULL,
    timeline = timeline || jsonb_build_array(jsonb_build_object('what', %(stage)s::text, 'at', clock_timestamp()))
FROM conversations_conversation c
WHERE t.id = %(turn)s AND t.stage = %(stage)s::text AND t.due_at <= now() + interval '20 milliseconds'
  AND (t.leased_until IS NULL OR t.leased_until < now())
  AND c.id = t.conversation_id AND c.mode = 'bot'
RETURNING t.id, t.stage, t.lease_token, t.version, t.redone, t.attempts, t.error, t.from_seq, t.upto_seq, t.trigger,
    t.conversation_id, c.epoch, c.contact_id, c.channel_id, c.identity_id, now() AS now,
    t.stage <> 'transcribe' AND EXISTS (
        SELECT 1 FROM conversations_message m WHERE m.turn_id = t.id AND m.direction = 'in' AND m.unheard) AS unheard
"""  # noqa: S608


def claim(turn_id: int, stage: str) -> Any | None:
    """Win the turn for one attempt at `stage`, or None: somebody else has it, it moved on, or it is not due yet.

    A turn that was attempted MAX_RETRIES times already is put to *needs attention* instead, and one with a voice message
    that joined too late to be heard goes back for it.
    """
    claimed = row(_CLAIM, {"turn": turn_id, "stage": stage})
    if claimed is not None and claimed.unheard:
        with transaction.atomic():
            if lock(claimed) is not None:
                move_on(claimed, Turn.Stage.TRANSCRIBE)
        return None
    if claimed is not None and claimed.attempts > settings.MAX_RETRIES + 1:
        fail(claimed, Turn.Reason.ATTEMPTS, claimed.error or _("the worker ended while at work"))
        return None
    return claimed


@contextmanager
def working(claimed: Any) -> Iterator[None]:
    """Do a step's work on a claimed turn: the lease is renewed meanwhile, an unforeseen failure gives the turn back."""
    with leases.held(Turn, claimed.lease_token):
        try:
            yield
        except Exception as error:
            # The top of every step: whatever it was is logged, and tried again from the row.
            logger.exception("step failed", extra={"turn": claimed.id, "stage": claimed.stage})
            release(claimed, type(error).__name__)


def lock(claimed: Any) -> Any | None:
    """Lock the conversation of a claimed turn; None where a takeover has come between. For the committing transaction."""
    conversation = row(
        "SELECT id, mode, epoch, cycle, last_seq, window_started_at, window_turns FROM conversations_conversation "
        "WHERE id = %(conversation)s FOR UPDATE",
        {"conversation": claimed.conversation_id},
    )
    if conversation is None or conversation.mode != "bot" or conversation.epoch != claimed.epoch:
        logger.info("result dropped after takeover", extra={"turn": claimed.id})
        return None
    return conversation


def redo(claimed: Any) -> bool:
    """Throw the result away where a message arrived meanwhile, and compute again, once. The caller holds the lock."""
    again = row(
        f"""
        UPDATE conversations_turn
        SET redone = true, attempts = 0, leased_until = NULL, lease_token = NULL, timeline = timeline || {mark("redone")}
        WHERE id = %(turn)s AND lease_token = %(token)s AND version <> %(version)s AND NOT redone
        RETURNING stage, trigger, greatest(0, extract(epoch FROM due_at - now()))::float AS wait
        """,  # noqa: S608
        {"turn": claimed.id, "token": claimed.lease_token, "version": claimed.version},
    )
    if again is not None:
        start(again.stage, again.trigger, claimed.id, delay=again.wait)
    return again is not None


def move_on(claimed: Any, stage: str) -> bool:
    """End a claimed step by handing the turn to the next one. The caller holds the lock."""
    moved = execute(
        """
        UPDATE conversations_turn SET stage = %(stage)s, attempts = 0, leased_until = NULL, lease_token = NULL
        WHERE id = %(turn)s AND lease_token = %(token)s AND stage = %(was)s
        """,
        {"turn": claimed.id, "token": claimed.lease_token, "was": claimed.stage, "stage": stage},
    )
    if moved:
        start(stage, claimed.trigger, claimed.id)
    return bool(moved)


def end(turn_id: int, stage: str, reason: str = "", error: str = "", *, token: UUID | None = None) -> bool:
    """End an open turn; with a token only while that claim still holds. The caller holds the conversation's lock."""
    return bool(
        execute(
            f"""
            UPDATE conversations_turn
            SET stage = %(stage)s::text, reason = %(reason)s, error = %(error)s, leased_until = NULL, lease_token = NULL,
                finished_at = now(),
                timeline = timeline || jsonb_build_array(jsonb_build_object('what', %(stage)s::text, 'at', clock_timestamp()))
            WHERE id = %(turn)s AND stage IN {OPEN} AND (%(token)s::uuid IS NULL OR lease_token = %(token)s)
            """,  # noqa: S608
            {"turn": turn_id, "stage": stage, "reason": reason, "error": error[:300], "token": token},
        )
    )


def let_late_ones_wait(claimed: Any) -> None:
    """Messages that came during a second computation are not settled by it: they wait for the next turn, which the caller
    opens at the end of this one. The caller holds the lock.
    """
    execute(
        """
        UPDATE conversations_message SET turn_id = NULL
        WHERE turn_id = %(turn)s AND direction = 'in' AND seq > %(upto)s
        """,
        {"turn": claimed.id, "upto": claimed.upto_seq},
    )


def release(claimed: Any, error: str, *, after: float | None = None) -> None:
    """Give a claimed turn back after a passing failure, to be tried again a little later, or fail it when spent.

    `after` is the least number of seconds that a provider asks for; longer than LONGEST_WAIT nobody waits.
    """
    if claimed.attempts > settings.MAX_RETRIES:
        fail(claimed, Turn.Reason.ATTEMPTS, error)
        return
    wait = max(RETRY_SECONDS * 2 ** (claimed.attempts - 1), min(after or 0.0, LONGEST_WAIT))
    execute(
        """
        UPDATE conversations_turn
        SET leased_until = NULL, lease_token = NULL, error = %(error)s, due_at = now() + make_interval(secs => %(wait)s)
        WHERE id = %(turn)s AND lease_token = %(token)s
        """,
        {"turn": claimed.id, "token": claimed.lease_token, "error": error[:300], "wait": wait},
    )
    start(claimed.stage, claimed.trigger, claimed.id, delay=wait)


def fail(claimed: Any, reason: str, error: str = "") -> None:
    """Put a claimed turn to *needs attention*, and its conversation on the managers' list."""
    with transaction.atomic():
        execute(
            "SELECT 1 FROM conversations_conversation WHERE id = %(conversation)s FOR UPDATE",
            {"conversation": claimed.conversation_id},
        )
        if end(claimed.id, Turn.Stage.FAILED, reason, error, token=claimed.lease_token):
            call_manager(claimed.conversation_id, str(Turn.Reason(reason).label))
            open_next(claimed.conversation_id)


def note_usage(turn_id: int, completion: Any, *, token: UUID | None = None) -> None:
    """Add what a call of a model took to its turn; with a token only while that claim still holds."""
    execute(
        """
        UPDATE conversations_turn
        SET input_tokens = input_tokens + %(input)s, output_tokens = output_tokens + %(output)s, cost = cost + %(cost)s,
            model = %(model)s
        WHERE id = %(turn)s AND (%(token)s::uuid IS NULL OR lease_token = %(token)s)
        """,
        {
            "turn": turn_id,
            "token": token,
            "input": completion.input_tokens,
            "output": completion.output_tokens + completion.thinking_tokens,
            "cost": completion.cost,
            "model": completion.model,
        },
    )


def has_unheard(turn_id: int) -> bool:
    """Whether a voice message of the turn is still to be written down."""
    waiting = "SELECT id FROM conversations_message WHERE turn_id = %(turn)s AND direction = 'in' AND unheard LIMIT 1"
    return row(waiting, {"turn": turn_id}) is not None


def call_manager(conversation_id: int, why: str) -> None:
    """Put a conversation on the list of those that need a person."""
    called = row(
        """
        UPDATE conversations_conversation c
        SET needs_attention = true, attention_reason = %(why)s, attention_at = coalesce(c.attention_at, now())
        FROM (SELECT id, needs_attention FROM conversations_conversation WHERE id = %(conversation)s) before
        WHERE c.id = before.id RETURNING before.needs_attention AS already
        """,
        {"conversation": conversation_id, "why": why[:200]},
    )
    if called is not None and not called.already:
        signals.person_wanted.send(sender=Turn, conversation_id=conversation_id)
    transaction.on_commit(lambda: live.ring(f"conversation:{conversation_id}", what="attention"))


def open_next(conversation_id: int) -> None:
    """Open a turn for messages that waited for the one before to end. The caller holds the conversation's lock."""
    waiting = row(
        """
        SELECT min(m.seq) AS first, max(m.seq) AS last, max(c.channel_id) AS channel_id,
            bool_or(c.mode = 'bot') AS bot_leads,
            bool_or(ch.moderation AND k.is_client IS NOT TRUE) AS moderated,
            bool_or(m.unheard) AS unheard
        FROM conversations_message m
        JOIN conversations_conversation c ON c.id = m.conversation_id
        JOIN conversations_contact k ON k.id = c.contact_id
        JOIN channels_channel ch ON ch.id = c.channel_id
        WHERE m.conversation_id = %(conversation)s AND m.direction = 'in' AND m.turn_id IS NULL
        """,
        {"conversation": conversation_id},
    )
    if waiting is None or waiting.first is None or not waiting.bot_leads:
        return
    stage = first_stage(unheard=waiting.unheard, moderated=waiting.moderated)
    turn = open_or_join(conversation_id, waiting.last, stage, hold=0, max_hold=0)
    if turn is not None:
        execute(
            """
            WITH joined AS (
                UPDATE conversations_message SET turn_id = %(turn)s
                WHERE conversation_id = %(conversation)s AND direction = 'in' AND turn_id IS NULL AND seq >= %(first)s)
            UPDATE conversations_turn SET from_seq = least(from_seq, %(first)s) WHERE id = %(turn)s
            """,
            {"turn": turn.id, "conversation": conversation_id, "first": waiting.first},
        )


def sweep(limit: int = 500) -> int:
    """Enqueue again what was lost on the way: due turns that nobody holds. Returns how many."""
    lost = rows(
        f"""
        WITH k AS MATERIALIZED (
            SELECT id FROM conversations_turn
            WHERE stage IN {OPEN} AND stage <> 'deliver' AND due_at < now() - interval '2 seconds'
              AND (leased_until IS NULL OR leased_until < now())
              AND (swept_at IS NULL OR swept_at < now() - interval '30 seconds')
            ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
        UPDATE conversations_turn t SET swept_at = now() FROM k WHERE t.id = k.id RETURNING t.id, t.stage, t.trigger
        """,  # noqa: S608
        {"limit": limit},
    )
    for turn in lost:
        start(turn.stage, turn.trigger, turn.id)
    return len(lost)


def as_json(value: Any) -> str:
    """A JSON document for a jsonb parameter."""
    return json.dumps(value, ensure_ascii=False)
