"""The sales agent: one completion per reply, from what was said and what the company's documents say.

Everything the model may state is put into the prompt beforehand; the structured answer brings the reply and the
actions it asks for. Code, not the model, decides whether an action is carried out and whether the reply may leave.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import translation
from django.utils.translation import gettext as _

from channels import directory
from conversations import turns
from conversations.drafts import Draft
from conversations.models import Contact, Message, Turn
from foundation import live
from foundation.errors import ProviderError
from llm.base import ChatMessage, Completion, Request
from llm.completion import NoModel
from llm.models import Prompt
from llm.prompts import render

from . import briefing as briefings
from . import call_texts, calling, calls, cities, follow_ups, qualification, replying, truth, understanding
from .assistants import configuration
from .briefing import Briefing
from .funnels import routing
from .reply import Reply

logger = logging.getLogger(__name__)

PURPOSE = Prompt.Purpose.ANSWER

__all__ = ["PURPOSE", "answer", "compose"]


class _Overtaken(Exception):
    """A message came while the reply was computed."""


def answer(turn_id: int) -> None:
    """Compose the reply of a turn and put it into the outbox. Safe to run twice."""
    claimed = turns.claim(turn_id, Turn.Stage.ANSWER)
    if claimed is None:
        return
    with turns.working(claimed):
        configured = configuration(claimed.channel_id)
        if configured is None:
            turns.fail(claimed, Turn.Reason.NO_ASSISTANT)
            return
        walk = routing.route(claimed, configured)
        if walk is not None and walk.draft is not None:
            routing.answer(claimed, walk)
            return
        _show_typing(claimed)
        briefing = briefings.gather(claimed, configured, walk)
        try:
            completion = compose(briefing, reference=f"turn:{turn_id}")
        except NoModel as error:
            turns.release(claimed, str(error))
        except truth.Unproven as unproven:
            _hand_over(claimed, briefing, unproven)
        else:
            _commit(claimed, briefing, completion)


def _show_typing(claimed: Any) -> None:
    """Let the customer see that an answer is being written; only a courtesy."""
    entry = directory.entry(claimed.channel_id)
    live.ring(f"conversation:{claimed.conversation_id}", what="typing")
    if entry.channel.options.get("show_typing") and entry.adapter.capabilities.typing:
        identity = Contact.objects.get(pk=claimed.contact_id).identities.get(pk=claimed.identity_id)
        try:
            entry.adapter.typing(identity.source_id, _last_external_id(claimed.id))
        except ProviderError as error:
            logger.info("typing not shown", extra={"turn": claimed.id, "code": error.code})


def _last_external_id(turn_id: int) -> str:
    """The provider's id of the message that is answered: some providers show typing as an answer to one."""
    inbound = Message.objects.filter(turn_id=turn_id, direction=Message.Direction.IN).order_by("-seq")
    return inbound.values_list("external_id", flat=True).first() or ""


def compose(briefing: Briefing, *, reference: str = "") -> Completion[Reply]:
    """Ask the models for the reply. Raises NoModel, and truth.Unproven for a reply that no source confirms."""
    return truth.complete_proven(
        request(briefing), briefing.sources, today=briefing.now.date(), models=briefing.configured.models, reference=reference
    )


def request(briefing: Briefing) -> Request[Reply]:
    """What the models are asked, in words and for the offline model in plain values."""
    assistant, channel = briefing.assistant, briefing.channel
    hours = briefings.hours_in_words(assistant)
    prompt = render(
        PURPOSE,
        company=channel.company,
        about=channel.about,
        persona=f"{assistant.name}. {assistant.persona}",
        knowledge=briefings.as_knowledge(briefing.passages),
        now=briefing.today(),
        hours=hours,
        language=briefing.language,
        facts=briefing.facts(),
    )
    passages = [
        {"text": p.text, "heading": p.heading, "source": p.source_title, "page": p.page, "score": p.score}
        for p in briefing.passages
    ]
    return Request(
        purpose=PURPOSE,
        messages=[ChatMessage("system", prompt), *briefings.as_chat(briefing.lines)],
        schema=Reply,
        facts={
            "question": briefing.question, "language": briefing.language, "company": channel.company,
            "assistant": assistant.name, "passages": passages,
            "first": not any(line.author in ("bot", "manager") for line in briefing.lines),
            "call": calling.for_offline(briefing.call, briefing.home, hours),
        },
        temperature=assistant.temperature,
        top_p=assistant.top_p,
        max_output_tokens=assistant.max_tokens,
    )  # fmt: skip


# ── What becomes of it ───────────────────────────────────────────────────────────────────────────────────────────────


def _commit(claimed: Any, briefing: Briefing, completion: Completion[Reply]) -> None:
    """Put the reply into the outbox with all that it decides, unless a person took over or the customer wrote on."""
    try:
        # What the reply decides is written before its words are known, and undone where they do not leave.
        with transaction.atomic():
            _end(claimed, briefing, completion)
    except _Overtaken:
        with transaction.atomic():
            if turns.lock(claimed) is not None:
                turns.redo(claimed)


def _end(claimed: Any, briefing: Briefing, completion: Completion[Reply]) -> None:
    """The transaction of `_commit`. Raises _Overtaken."""
    conversation = turns.lock(claimed)
    if conversation is None:
        return
    text, offered = _carry_out(claimed, briefing, completion.answer)
    if not replying.send(
        claimed, conversation, Draft(text), completion, passages=briefing.passages,
        understood=understood(completion.answer), outcome=_outcome(completion.answer, offered),
    ):  # fmt: skip
        raise _Overtaken
    if claimed.redone:
        turns.let_late_ones_wait(claimed)
    _learn(claimed, briefing, completion.answer)
    nobody = briefing.call.about_call and briefing.call.refusal == calls.Refusal.NO_MANAGER
    if nobody or "handoff" in completion.answer.actions:
        turns.call_manager(claimed.conversation_id, str(Turn.Reason.HANDOFF.label))


def _carry_out(claimed: Any, briefing: Briefing, reply: Reply) -> tuple[str, list[datetime]]:
    """Do what the reply asks for, where it is allowed. Returns the words for the customer and the times they offer."""
    facts, language = briefing.call, reply.language
    if "cancel_call" in reply.actions and facts.scheduled is not None and "book_call" not in reply.actions:
        calls.cancel(facts.scheduled.pk, notify=False)
        with translation.override(language):
            return reply.reply.strip() or call_texts.cancelled(facts.scheduled, language), []
    decision = calling.decide(reply, facts, briefing.question)
    if decision.start is not None:
        try:
            call = calls.book(
                briefing.configured, contact_id=briefing.contact.pk, conversation_id=claimed.conversation_id,
                start=decision.start, phone=facts.phone, customer_zone=_customer_zone(briefing), turn_id=claimed.id,
                now=briefing.now,
            )  # fmt: skip
        except calls.Taken:
            nearest = calls.nearest(briefing.configured, decision.start, now=briefing.now)
            words = call_texts.instead(calls.Refusal.TAKEN, nearest, briefing.home, facts.zone, language)
            return words, [nearest] if nearest else []
        return "\n\n".join(filter(None, [reply.reply.strip(), call_texts.confirmation(call, language)])), []
    if "book_call" in reply.actions:
        return _not_booked(briefing, decision, language)
    return reply.reply.strip(), calling.offers(reply.reply, facts, briefing.now)


def _not_booked(briefing: Briefing, decision: calling.Decision, language: str) -> tuple[str, list[datetime]]:
    """The words where a call was asked for that cannot be booked (yet)."""
    zones = briefing.home, briefing.call.zone
    if decision.refusal is not None:
        nearest = next(iter(decision.alternatives), None)
        return call_texts.instead(decision.refusal, nearest, *zones, language), list(decision.alternatives)
    if decision.needs_phone:
        return call_texts.ask_phone(decision.alternatives[0], *zones, language), list(decision.alternatives)
    return call_texts.ask_time(decision.alternatives, *zones, language), list(decision.alternatives)


def _customer_zone(briefing: Briefing) -> str:
    zone = briefing.call.said_zone or briefing.city_zone
    return zone.key if zone else briefing.contact.time_zone


def understood(reply: Reply) -> dict[str, str]:
    """What a reply understood of the customer's message, for the turn."""
    return {"intent": reply.intent, "emotion": reply.emotion, "commitment": reply.commitment, "language": reply.language}


def _outcome(reply: Reply, offered: Sequence[datetime]) -> dict[str, Any]:
    kept = reply.model_dump(include={"spin_stage", "learnt", "city", "call_at", "actions"})
    return {**kept, "offered": [at.isoformat() for at in offered]}


def _learn(claimed: Any, briefing: Briefing, reply: Reply) -> None:
    """Keep what the message told of the customer: language, place, case, and whether they want to hear from us."""
    contact = briefing.contact
    said = briefing.call.said_zone or briefing.city_zone or (cities.zone_of(reply.city) if reply.city else None)
    changed = {"language": str(reply.language)} | ({"time_zone": said.key} if said else {})
    if any(getattr(contact, name) != value for name, value in changed.items()):
        Contact.objects.filter(pk=contact.pk).update(**changed)
    qualification.learn(contact.pk, reply)
    routing.keep(claimed, briefing.walk)
    if reply.intent == "opt_out" or understanding.opts_out(briefing.question):
        follow_ups.opt_out(contact.pk)
    follow_ups.note_answer(claimed.conversation_id, reply.commitment, reply.intent)


def _hand_over(claimed: Any, briefing: Briefing, unproven: truth.Unproven) -> None:
    """What the model said twice cannot be proven: the customer hears that a person will answer, and a person is called."""
    reply: Reply = unproven.completion.answer
    with translation.override(briefing.language):
        text = _("I will check this with a manager, so that you get an exact answer.")
    outcome = {**_outcome(reply, []), "actions": ["handoff"], "unproven": [f"{c.kind}: {c.text}" for c in unproven.claims]}
    with transaction.atomic():
        conversation = turns.lock(claimed)
        if conversation is None:
            return
        if not replying.send(
            claimed, conversation, Draft(text), unproven.completion, passages=briefing.passages, understood=understood(reply),
            outcome=outcome,
        ):  # fmt: skip
            turns.redo(claimed)
            return
        if claimed.redone:
            turns.let_late_ones_wait(claimed)
        _learn(claimed, briefing, reply)
        turns.call_manager(claimed.conversation_id, str(Turn.Reason.UNTRACEABLE.label))
