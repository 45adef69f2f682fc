"""The gate before any reply: is this contact a client? Silence towards all who are not known to be one.

The offline model judges by `criteria`; the language models get theirs as the prompt `moderate`.
"""

from __future__ import annotations

import logging
from typing import Any

from django.db import transaction
from pydantic import BaseModel, Field

from channels import directory
from foundation.db import execute
from llm.base import ChatMessage, Request
from llm.completion import NoModel, complete
from llm.prompts import render

from . import history, signals, turns
from .criteria import CLEAR_CONFIDENCE, SURE_NO
from .models import Contact, Conversation, Turn

logger = logging.getLogger(__name__)

PURPOSE = "moderate"
#: Below so many messages of the customer only a clear yes and a sure no count.
ENOUGH_MESSAGES = 3


class Verdict(BaseModel):
    """What the moderator says of a contact."""

    is_client: bool | None = Field(description="true: client; false: not a client; null: not enough to tell")
    confidence: float = Field(ge=0, le=1)
    reasoning: str = Field(description="one or two sentences")


def classify(turn_id: int) -> None:
    """Decide for the turn's contact; a client's turn goes on to the answer, others end in silence with a reason."""
    claimed = turns.claim(turn_id, Turn.Stage.CLASSIFY)
    if claimed is None:
        return
    with turns.working(claimed):
        contact = Contact.objects.get(pk=claimed.contact_id)
        lines = history.recent(claimed.conversation_id)
        try:
            verdict, completion = judge(contact, lines, claimed.channel_id, reference=f"turn:{turn_id}")
        except NoModel as error:
            turns.release(claimed, str(error))
            return
        _commit(claimed, contact, verdict, completion, written=sum(line.author == "customer" for line in lines))


def judge(contact: Contact, lines: list[history.Line], channel_id: int, *, reference: str = "") -> tuple[Verdict, Any]:
    """Ask the models for a verdict on a contact with this history. Raises NoModel."""
    channel = directory.entry(channel_id).channel
    completion = complete(request(contact, lines, company=channel.company, about=channel.about), reference=reference)
    return completion.answer, completion


def request(contact: Contact, lines: list[history.Line], *, company: str, about: str) -> Request[Verdict]:
    """What the models are asked of a contact, in words and for the offline model in plain values."""
    names = {"name": contact.name, "full_name": contact.full_name, "business_name": contact.business_name}
    prompt = render(
        PURPOSE,
        company=company,
        about=about,
        contact="; ".join(f"{name}: {value or '—'}" for name, value in names.items()),
        history=history.as_text(lines),
    )
    return Request(
        purpose=PURPOSE,
        messages=[ChatMessage("system", prompt), ChatMessage("user", history.as_text(lines[-3:]))],
        schema=Verdict,
        facts={**names, "messages": [line.text for line in lines if line.author == "customer"], "about": about},
        temperature=0.0,
        max_output_tokens=2048,
    )


def settle(verdict: Verdict, *, written: int) -> bool | None:
    """What a verdict is worth after `written` messages of the customer.

    Before the third message only a clear yes and a sure no count; anything weaker waits, in silence, as "not known yet".
    """
    if verdict.is_client is True and verdict.confidence >= CLEAR_CONFIDENCE:
        return True
    if verdict.is_client is False and verdict.confidence >= SURE_NO:
        return False
    if written < ENOUGH_MESSAGES:
        return None
    return verdict.is_client


def _commit(claimed: Any, contact: Contact, verdict: Verdict, completion: Any, *, written: int) -> None:
    is_client = settle(verdict, written=written)
    with transaction.atomic():
        if turns.lock(claimed) is None or (is_client is not True and turns.redo(claimed)):
            return
        is_client = _keep(contact.pk, is_client, verdict)
        turns.note_usage(claimed.id, completion, token=claimed.lease_token)
        if is_client is True:
            signals.customer_appeared.send(sender=Conversation, conversation_id=claimed.conversation_id)
            turns.move_on(claimed, turns.first_stage(unheard=turns.has_unheard(claimed.id), moderated=False))
        else:
            reason = Turn.Reason.NOT_CLIENT if is_client is False else Turn.Reason.UNSURE
            if turns.end(claimed.id, Turn.Stage.IGNORED, reason, token=claimed.lease_token):
                turns.let_late_ones_wait(claimed)
                turns.open_next(claimed.conversation_id)


def _keep(contact_id: int, is_client: bool | None, verdict: Verdict) -> bool | None:
    """Store the verdict unless a manager has decided meanwhile; returns what holds."""
    contact = Contact.objects.select_for_update(no_key=True).get(pk=contact_id)
    if contact.verdict_final:
        return contact.is_client
    contact.is_client = is_client
    contact.confidence = verdict.confidence
    contact.reasoning = verdict.reasoning
    contact.save(update_fields=["is_client", "confidence", "reasoning", "updated_at"])
    execute("UPDATE conversations_contact SET classified_at = now() WHERE id = %(id)s", {"id": contact_id})
    return is_client


def answer_silenced(conversation_id: int) -> int:
    """Let messages that were met with silence by the gate be looked at again. The caller holds the lock."""
    freed = execute(
        """
        UPDATE conversations_message m SET turn_id = NULL
        FROM conversations_turn t
        WHERE m.conversation_id = %(id)s AND m.direction = 'in' AND t.id = m.turn_id AND t.stage = 'ignored'
          AND t.reason IN ('unsure', 'not_client', 'unheard')
          AND m.created_at > now() - interval '24 hours'
          AND m.seq > coalesce((
            SELECT max(o.seq) FROM conversations_message o WHERE o.conversation_id = %(id)s AND o.direction = 'out'), 0)
        """,
        {"id": conversation_id},
    )
    if freed:
        turns.open_next(conversation_id)
    return int(freed > 0)
