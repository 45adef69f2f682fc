"""From a claimed turn to the words of a funnel: greetings open it, taps and typed choices walk it, answers are kept.

Whatever is none of these goes to the model, which is told how far the customer has come. No network, no model: the reply
costs nothing, and is a turn like any other (fence, takeover, timeline, outbox).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django.db import transaction

from channels import directory
from channels.base import Capabilities
from conversations import drafts, history, turns
from conversations.models import Contact, Message, Turn
from foundation.words import read
from llm.base import Completion

from .. import briefing as briefings
from .. import replying, understanding
from ..assistants import Configuration
from . import chart as charts
from . import walking
from .models import FunnelEvent, FunnelProgress
from .walking import Standing, Walk, World

logger = logging.getLogger(__name__)

#: Words of an answer that tell its language.
FEWEST_WORDS = 4
#: Words that people of every language type.
_NEUTRAL = frozenset({("start",), ("старт",), ("меню",), ("мену",), ("menu",)})
_SAID = (Message.Kind.TEXT, Message.Kind.BUTTON, Message.Kind.VOICE)
#: What a reply of a funnel took: no model was asked.
NO_MODEL: Completion[Any] = Completion(None, "", 0, 0, 0, 0.0, 0, degraded=False)


def route(claimed: Any, configured: Configuration) -> Walk | None:
    """Where the messages of a turn lead in the funnels of its assistant; None where it has none, or nobody asked.

    A walk without a draft is answered by the model; whoever commits that answer keeps the walk (`keep`).
    """
    chart = charts.chart_of(configured.assistant.pk)
    if not chart or claimed.trigger != Turn.Trigger.INBOUND:
        return None
    asked = list(
        Message.objects.filter(turn_id=claimed.id, direction=Message.Direction.IN, seq__lte=claimed.upto_seq).order_by("seq")
    )
    if not asked:
        return None
    contact = Contact.objects.get(pk=claimed.contact_id)
    entry = directory.entry(claimed.channel_id)
    values = {
        "name": contact.full_name or contact.name, "company": entry.channel.company, "assistant": configured.assistant.name,
    }  # fmt: skip
    world = World(chart, values, taps=bool(entry.adapter.capabilities.choices))
    standing = where(claimed.conversation_id, contact)
    return _led(world, standing, asked, contact, _Offers(claimed.conversation_id, entry.adapter.capabilities))


def where(conversation_id: int, contact: Contact) -> Standing:
    """Where a conversation stands, as its row has it."""
    progress = FunnelProgress.objects.filter(conversation_id=conversation_id).first()
    language = briefings.spoken("", contact)
    if progress is None:
        return Standing(language=language)
    return Standing(progress.step_id, progress.known, progress.segment, language)


class _Offers:
    """What our last messages offered, looked up when somebody typed or paged."""

    def __init__(self, conversation_id: int, capabilities: Capabilities) -> None:
        self._conversation_id = conversation_id
        self.capabilities = capabilities

    def before(self, seq: int) -> Message | None:
        """Our last written message before message number `seq`."""
        ours = Message.objects.filter(conversation_id=self._conversation_id, direction=Message.Direction.OUT, seq__lt=seq)
        lost = (Message.State.SUPPRESSED, Message.State.FAILED)
        return ours.exclude(state__in=lost).exclude(kind=Message.Kind.VOICE).order_by("-seq").first()


def _led(world: World, standing: Standing, asked: Sequence[Message], contact: Contact, offers: _Offers) -> Walk:
    """Follow one message after the other; the last step's words are the reply, unless something else was said as well."""
    whole = Walk(standing)
    others = [one for one in asked if not _greets(world, one)]
    for message in others or asked[-1:]:
        walk = _step(world, whole.standing, message, contact, offers)
        if walk is None:
            whole = replace(whole, draft=None)
            break
        whole = replace(walk, reached=(*whole.reached, *walk.reached), handoff=whole.handoff or walk.handoff)
    return replace(whole, moved=bool(whole.reached) or whole.standing != standing)


def _greets(world: World, message: Message) -> bool:
    details = message.details or {}
    name = world.values.get("assistant", "")
    return not details.get("action") and message.kind in _SAID and world.chart.greeted(message.text, name) is not None


def _step(world: World, standing: Standing, message: Message, contact: Contact, offers: _Offers) -> Walk | None:
    """What one message means: a greeting, a choice, an answer that is waited for, or (None) something for the model."""
    action = str((message.details or {}).get("action") or "")
    if message.kind not in _SAID:
        return None
    greeted = None if action else world.chart.greeted(message.text, world.values.get("assistant", ""))
    if greeted is not None and (start := world.chart.spot(greeted.entry)) is not None:
        standing = replace(standing, language=_language(message.text, standing, contact, greets=True))
        return replace(walking.enter(world, standing, start), intent=str(Turn.Intent.GREETING))
    offer = offers.before(message.seq)
    offered = offer.details if offer is not None else None
    chosen = drafts.answered(message.text, action, offered) or walking.typed(world, standing, message.text)
    if chosen and offer is not None:
        paged = drafts.next_page(chosen, offer.text, offered)
        if paged is not None:
            return Walk(standing, draft=paged)
    if chosen:
        return walking.act(world, standing, chosen)
    if _is_for_the_model(message.text):
        return None
    told = replace(standing, language=_language(message.text, standing, contact))
    return walking.reply(world, told, history.said(message))


def _is_for_the_model(text: str) -> bool:
    """Whether a free text is no answer to a question of ours, though one waits: such wishes come before any quiz."""
    reading = read(text)
    asks = "?" in text and bool(reading.clauses) and all(clause.asks for clause in reading.clauses)
    complains = understanding.intent(text) in ("complaint", "thanks")
    return asks or complains or understanding.opts_out(text) or understanding.wants_person(text)


def _language(text: str, standing: Standing, contact: Contact, *, greets: bool = False) -> str:
    """The language to go on in: that of the words, unless they are of no language, such as a number or “start”.

    An answer of a few words (“Telegram, Kaspi”) says little of it; one with Kazakh letters, and a greeting, says enough.
    """
    said = charts.words(text)
    if not any(word.isalpha() for word in said) or said in _NEUTRAL:
        return standing.language
    spoken = str(briefings.spoken(text, contact))
    return spoken if greets or spoken == "kk" or len(said) >= FEWEST_WORDS else standing.language


# ── What becomes of it ───────────────────────────────────────────────────────────────────────────────────────────────


def answer(claimed: Any, walk: Walk) -> None:
    """Put the words of a walk into the outbox with all that it decides, unless a person took over or the customer wrote on."""
    if walk.draft is None:
        raise ValueError("a walk without words is answered by a model")
    with transaction.atomic():
        conversation = turns.lock(claimed)
        if conversation is None:
            return
        understood = {"intent": walk.intent, "language": walk.standing.language, "commitment": "none"}
        if not replying.send(
            claimed, conversation, walk.draft, NO_MODEL, understood=understood,
            outcome={"funnel_step": walk.standing.step, "actions": ["handoff"] if walk.handoff else []},
        ):  # fmt: skip
            turns.redo(claimed)
            return
        if claimed.redone:
            turns.let_late_ones_wait(claimed)
        keep(claimed, walk)
        language = walk.standing.language
        Contact.objects.filter(pk=claimed.contact_id).exclude(language=language).update(language=language)
    logger.info("funnel answered", extra={"turn": claimed.id, "step": walk.standing.step})


def keep(claimed: Any, walk: Walk | None) -> None:
    """Write down where the conversation stands. For the commit of the turn's reply, under the conversation's lock."""
    if walk is None or not walk.moved:
        return
    standing = walk.standing
    FunnelProgress.objects.update_or_create(
        conversation_id=claimed.conversation_id,
        defaults={
            "step_id": standing.step, "answers": dict(standing.answers), "segment": standing.segment,
        },
    )  # fmt: skip
    FunnelEvent.objects.bulk_create(
        FunnelEvent(conversation_id=claimed.conversation_id, step_id=one.step, choice_id=one.choice) for one in walk.reached
    )
    if walk.handoff:
        turns.call_manager(claimed.conversation_id, str(Turn.Reason.HANDOFF.label))
