"""The commit that ends composing: the turn learns what the words took, the outbox gets the words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.conf import settings

from channels import directory, rich
from channels.base import Markup
from conversations import outbox, turns
from conversations.drafts import Draft
from conversations.models import Message, Turn
from foundation.db import execute
from knowledge.search import Passage
from llm import voices
from llm.base import Completion

from .assistants import configuration
from .models import Assistant

_outcome = Turn._meta.get_field("outcome")

_END = f"""
UPDATE conversations_turn
SET stage = 'deliver', attempts = 0, leased_until = NULL, lease_token = NULL, upto_seq = %(upto)s,
    intent = %(intent)s, emotion = %(emotion)s, commitment = %(commitment)s, language = %(language)s,
    outcome = %(outcome)s, knowledge_used = %(knowledge)s::jsonb, model = %(model)s, degraded = %(degraded)s,
    input_tokens = input_tokens + %(input)s, output_tokens = output_tokens + %(output)s, cost = cost + %(cost)s, error = '',
    timeline = timeline || jsonb_build_array(
        jsonb_build_object('what', %(composed)s::text, 'at', clock_timestamp(), 'ms', %(ms)s::int)) || {turns.mark("deliver")}
WHERE id = %(turn)s AND lease_token = %(token)s AND stage = 'answer' AND trigger = %(trigger)s
  AND (version = %(version)s OR redone)
"""  # noqa: S608


def send(
    claimed: Any,
    conversation: Any,
    draft: Draft,
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

    A completion without the name of a model says that none was asked. `understood` holds intent, emotion, commitment and
    language. The caller holds the conversation's lock (`turns.lock`); `cycle` and `valid_until` fence words that nobody
    asked for (see `outbox.queue`).
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
            "cost": completion.cost, "ms": completion.latency_ms, "composed": "model" if completion.model else "funnel",
        },
    )  # fmt: skip
    if not moved:
        return False
    draft = _spoken(claimed, draft, understood.get("language", ""))
    outbox.queue(
        conversation, claimed.channel_id, draft, author=Message.Author.BOT, turn_id=claimed.id, cycle=cycle,
        valid_until=valid_until,
    )  # fmt: skip
    return True


def _spoken(claimed: Any, draft: Draft, language: str) -> Draft:
    """The draft with the assistant's voice, where one shall read it aloud and the channel carries that."""
    bot = configuration(claimed.channel_id)
    voice_id = bot.assistant.voice_id if bot else None
    if bot is None or voice_id is None or draft.voice_id is not None or draft.files or draft.template is not None:
        return draft
    if not directory.entry(claimed.channel_id).adapter.capabilities.speaks:
        return draft
    if bot.assistant.voice_when == Assistant.VoiceWhen.SPOKEN and not _customer_spoke(claimed.id):
        return draft
    # What the model calls the language of its reply may be a word we do not know.
    language = language if language in dict(settings.LANGUAGES) else ""
    suits = voices.suits(voice_id, rich.render(draft.text, Markup.PLAIN), language)
    return replace(draft, voice_id=voice_id) if suits else draft


def _customer_spoke(turn_id: int) -> bool:
    asked = Message.objects.filter(turn_id=turn_id, direction=Message.Direction.IN, kind=Message.Kind.VOICE)
    return asked.exists()
