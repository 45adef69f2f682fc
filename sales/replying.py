"""The commit that ends composing: the turn learns what the words took, the outbox gets the words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from channels import directory
from conversations import outbox, turns
from conversations.models import Message, Turn
from conversations.texts import parts
from foundation.db import execute
from knowledge.search import Passage
from llm.base import Completion

_outcome = Turn._meta.get_field("outcome")

_END = f"""
UPDATE conversations_turn
SET stage = 'deliver', attempts = 0, leased_until = NULL, lease_token = NULL, upto_seq = %(upto)s,
    intent = %(intent)s, emotion = %(emotion)s, commitment = %(commitment)s, language = %(language)s,
    outcome = %(outcome)s, knowledge_used = %(knowledge)s::jsonb, model = %(model)s, degraded = %(degraded)s,
    input_tokens = input_tokens + %(input)s, output_tokens = output_tokens + %(output)s, cost = cost + %(cost)s, error = '',
    timeline = timeline || jsonb_build_array(
        jsonb_build_object('what', 'model', 'at', clock_timestamp(), 'ms', %(ms)s::int)) || {turns.mark("deliver")}
WHERE id = %(turn)s AND lease_token = %(token)s AND stage = 'answer' AND trigger = %(trigger)s
  AND (version = %(version)s OR redone)
"""  # noqa: S608


def send(
    claimed: Any,
    conversation: Any,
    text: str,
    completion: Completion[Any],
    *,
    passages: Sequence[Passage] = (),
    understood: Mapping[str, str] | None = None,
    outcome: Mapping[str, Any] | None = None,
    cycle: int | None = None,
    valid_until: datetime | None = None,
) -> bool:
    """Move a claimed turn to delivery with these words. False, and nothing written, where the claim no longer holds or a
    message came meanwhile and the answer may be computed once more.

    `understood` holds intent, emotion, commitment and language. The caller holds the conversation's lock
    (`turns.lock`); `cycle` and `valid_until` fence words that nobody asked for (see `outbox.queue`).
    """
    understood = understood or {}
    moved = execute(
        _END,
        {
            "turn": claimed.id, "token": claimed.lease_token, "version": claimed.version, "trigger": claimed.trigger,
            "upto": claimed.upto_seq,
            **{name: understood.get(name, "") for name in ("intent", "emotion", "commitment", "language")},
            "outcome": _outcome.seal(dict(outcome)) if outcome is not None else None,
            "knowledge": turns.as_json([
                {"chunk": p.chunk_id, "source": p.source_title, "page": p.page, "score": round(p.score, 3)} for p in passages
            ]),
            "model": completion.model, "degraded": completion.degraded,
            "input": completion.input_tokens, "output": completion.output_tokens + completion.thinking_tokens,
            "cost": completion.cost, "ms": completion.latency_ms,
        },
    )  # fmt: skip
    if not moved:
        return False
    limit = directory.entry(claimed.channel_id).adapter.capabilities.max_length
    outbox.queue(
        conversation, claimed.channel_id, parts(text, limit), author=Message.Author.BOT, turn_id=claimed.id, cycle=cycle,
        valid_until=valid_until,
    )  # fmt: skip
    return True
