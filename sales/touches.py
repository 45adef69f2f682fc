"""Composing one touch: what was said, what the documents say, and what this touch is for, in one to three sentences."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import translation
from django.utils.translation import gettext as _
from pydantic import BaseModel, Field

from channels import directory, pacing
from channels.models import Channel
from conversations import history, turns
from conversations.drafts import Draft
from conversations.history import Line
from conversations.models import Contact, Message, Turn
from foundation import db
from knowledge.search import Passage
from llm.base import ChatMessage, Completion, Request
from llm.completion import NoModel
from llm.models import Prompt
from llm.prompts import render
from llm.providers import offline

from . import briefing as briefings
from . import follow_ups, proactive, replying, truth
from .assistants import Configuration, configuration
from .models import FollowUp, Qualification, Touch, TouchTemplate
from .reply import Language
from .sending_hours import SendingHours
from .strategies import Strategy, strategy

logger = logging.getLogger(__name__)

PURPOSE = Prompt.Purpose.FOLLOW_UP
#: The customer's last messages that the knowledge is searched for.
ASKED = 3
#: Passages found for what the touch is for, beside those for the customer's words.
FOR_STRATEGY = 3


class TouchText(BaseModel):
    """The words of a touch."""

    reply: str = Field(description="the text for the customer", min_length=1)
    language: Language = Field(description="the customer's language, in which the text is written")


@dataclass(frozen=True, slots=True)
class Briefing:
    """All that a touch may rest on."""

    configured: Configuration
    channel: Channel
    contact: Contact
    touch: Touch
    strategy: Strategy
    of: int
    lines: Sequence[Line]
    language: Language
    passages: Sequence[Passage]
    cited: Sequence[str]
    now: datetime
    """The database's time, in the assistant's zone."""

    def sources(self) -> list[str]:
        """Texts in which every amount, date, time and link of the touch must be found. What customers claim is none."""
        assistant = self.configured.assistant
        own = [self.channel.company, self.channel.about, assistant.persona, briefings.hours_in_words(assistant), self.today()]
        said = [line.text for line in self.lines if line.author in ("bot", "manager")]
        return [*(p.text for p in self.passages), *self.cited, *own, *said]

    def today(self) -> str:
        return self.now.strftime("%Y-%m-%d %H:%M, %A, UTC%z")


def touch(turn_id: int) -> None:
    """Compose the touch of a turn and put it into the outbox. Safe to run twice."""
    claimed = turns.claim(turn_id, Turn.Stage.ANSWER)
    if claimed is None:
        return
    with turns.working(claimed):
        configured = configuration(claimed.channel_id)
        made = Touch.objects.select_related("follow_up").filter(turn_id=turn_id).first()
        if configured is None or made is None:
            turns.fail(claimed, Turn.Reason.NO_ASSISTANT if configured is None else Turn.Reason.EMPTY)
            return
        if _too_late(claimed, configured, made):
            return
        try:
            way = _way(claimed, configured, made)
        except proactive.WaitsForTemplate as error:
            _wait(claimed, made, str(error))
            return
        if way.draft is not None:
            _commit(claimed, made, way.draft, proactive.NO_MODEL, language=way.language)
            return
        briefing = gather(claimed, configured, made)
        try:
            completion = compose(briefing, reference=f"turn:{turn_id}")
        except NoModel as error:
            turns.release(claimed, str(error))
        except truth.Unproven:
            _drop(claimed, made)
        else:
            _commit(
                claimed, made, Draft(completion.answer.reply), completion, language=completion.answer.language,
                passages=briefing.passages, until=way.until,
            )  # fmt: skip


def gather(claimed: Any, configured: Configuration, made: Touch) -> Briefing:
    """Read everything that the touch of a claimed turn may rest on."""
    contact = Contact.objects.get(pk=claimed.contact_id)
    lines = _lines(made.follow_up)
    of = max(made.follow_up.touches.count(), made.number)
    aim = strategy(made.number, of)
    asked = "\n".join([line.text for line in lines if line.author == Message.Author.CUSTOMER][-ASKED:])
    return Briefing(
        configured=configured,
        channel=directory.entry(claimed.channel_id).channel,
        contact=contact,
        touch=made,
        strategy=aim,
        of=of,
        lines=lines,
        language=_language(contact, asked),
        passages=_passages(configured, asked, aim),
        cited=briefings.before(claimed.conversation_id)[0],
        now=db.now().astimezone(configured.working_time.zone),
    )


def _lines(follow_up: FollowUp) -> list[Line]:
    """What was said until now, counted back from our unanswered message: a month later it is still what we write about."""
    since = follow_up.anchor_at - timedelta(days=settings.SESSION_TTL_DAYS)
    messages = (
        Message.objects.filter(conversation_id=follow_up.conversation_id, created_at__gte=since)
        .exclude(state__in=(Message.State.SUPPRESSED, Message.State.FAILED))
        .order_by("-seq")[: settings.MAX_CONTEXT_MESSAGES]
    )
    return [Line(m.seq, m.author, history.said(m), m.sent_at) for m in reversed(messages)]


def _language(contact: Contact, asked: str) -> Language:
    known: Mapping[str, Language] = {"ru": "ru", "kk": "kk", "en": "en"}
    return known.get(contact.language) or briefings.spoken(asked, contact)


def _passages(configured: Configuration, asked: str, aim: Strategy) -> list[Passage]:
    """What the knowledge says to the customer's words, and to what the touch is for."""
    assistant = configured.assistant
    found = briefings.find_passages(assistant, asked, "") if asked else []
    for_aim = briefings.find_passages(assistant, aim.looks_for, asked)[:FOR_STRATEGY] if aim.looks_for else []
    known = {passage.chunk_id for passage in found}
    return [*found, *(passage for passage in for_aim if passage.chunk_id not in known)]


def compose(briefing: Briefing, *, reference: str = "") -> Completion[TouchText]:
    """Ask the models for the words. Raises NoModel, and truth.Unproven for words that no source confirms."""
    return truth.complete_proven(
        request(briefing), lambda _reply: briefing.sources(), today=briefing.now.date(), models=briefing.configured.models,
        reference=reference,
    )  # fmt: skip


def request(briefing: Briefing) -> Request[TouchText]:
    """What the models are asked, in words and for the offline model in plain values."""
    assistant, channel, made = briefing.configured.assistant, briefing.channel, briefing.touch
    qualification = Qualification.objects.filter(contact=briefing.contact).first()
    vague = made.follow_up.cause == FollowUp.Cause.VAGUE
    prompt = render(
        PURPOSE,
        company=channel.company,
        about=channel.about,
        persona=f"{assistant.name}. {assistant.persona}",
        knowledge=briefings.as_knowledge(briefing.passages),
        now=briefing.today(),
        language=briefing.language,
        facts="\n".join(briefings.who(briefing.contact, qualification)),
        history=history.as_text(briefing.lines),
        strategy=briefing.strategy.task,
        touch=made.number,
        touches=briefing.of,
        silence=_elapsed(briefing.now - made.follow_up.anchor_at),
        cause="клиент ответил неопределённо" if vague else "клиент не ответил на наше сообщение",
    )
    return Request(
        purpose=PURPOSE,
        messages=[ChatMessage("system", prompt), ChatMessage("user", f"[Касание {made.number} из {briefing.of}]")],
        schema=TouchText,
        facts={
            "language": briefing.language, "company": channel.company, "assistant": assistant.name,
            "number": made.number, "last": made.number == briefing.of,
        },
        temperature=assistant.temperature,
        top_p=assistant.top_p,
        max_output_tokens=assistant.max_tokens,
    )  # fmt: skip


def _elapsed(time: timedelta) -> str:
    hours = int(time.total_seconds() // 3600)
    return f"{hours // 24} дн. {hours % 24} ч." if hours >= 24 else f"{hours} ч."


# ── What becomes of it ───────────────────────────────────────────────────────────────────────────────────────────────


def _commit(
    claimed: Any, made: Touch, draft: Draft, completion: Completion[Any], *, language: str,
    passages: Sequence[Passage] = (), until: datetime | None = None,
) -> None:  # fmt: skip
    """Put the touch into the outbox, unless the customer, a person or the hours came first. `until`: the reply window."""
    with transaction.atomic():
        conversation = turns.lock(claimed)
        situation = follow_ups.situation_of(made.follow_up_id)
        if conversation is None or situation is None or _ended(claimed, made, situation):
            return
        closes = follow_ups.leaves_until(made, follow_ups.sending_hours(situation), situation.now)
        if closes is None or (until is not None and until <= situation.now):
            _put_off(claimed, made)
            return
        if (over := _said_enough(claimed, made, draft, situation.now)) is not None:
            _put_off(claimed, made, wait=over.until - situation.now, reason=Touch.Reason.PACE)
            return
        replying.send(
            claimed, conversation, draft, completion, passages=passages, understood={"language": language},
            cycle=conversation.cycle, valid_until=min(closes, until or closes),
        )  # fmt: skip


def _said_enough(claimed: Any, made: Touch, draft: Draft, now: datetime) -> pacing.Over | None:
    """Until when words have to wait that their number has said too often today."""
    channel, by_hand = directory.entry(claimed.channel_id).channel, made.reason == Touch.Reason.BY_HAND
    return pacing.take_text(channel, draft.text, at=now, key=made.follow_up_id, forced=by_hand)


def _way(claimed: Any, configured: Configuration, made: Touch) -> proactive.Way:
    purpose = TouchTemplate.Purpose.touch(made.number)
    return proactive.way(configured, claimed.conversation_id, claimed.channel_id, purpose, db.now())


def _wait(claimed: Any, made: Touch, words: str) -> None:
    """The reply window has closed since the touch was made, and no template is chosen for it."""
    with transaction.atomic():
        if turns.lock(claimed) is not None:
            _put_off(claimed, made, wait=follow_ups.TEMPLATE_FOR, reason=Touch.Reason.TEMPLATE)
            proactive.tell(proactive.TOUCHES, claimed.channel_id, words)


#: What a turn is told that is called off since its follow-up has to end; the rest reads "a manager leads".
_CALLED_OFF = {
    FollowUp.StopReason.CLIENT_RESPONDED: Turn.Reason.REPLIED,
    FollowUp.StopReason.OPTED_OUT: Turn.Reason.OPTED_OUT,
    FollowUp.StopReason.NOT_CLIENT: Turn.Reason.NOT_CLIENT,
    FollowUp.StopReason.SWITCHED_OFF: Turn.Reason.STOPPED,
    FollowUp.StopReason.CLIENT_SAID_YES: Turn.Reason.REPLIED,
}


def _ended(claimed: Any, made: Touch, situation: Any) -> bool:
    """End turn and follow-up where something has come up since the touch was made. The caller holds the lock."""
    why = follow_ups.why_not(situation)
    if why is None:
        return False
    reason = _CALLED_OFF.get(why, Turn.Reason.MANAGER)
    if turns.end(claimed.id, Turn.Stage.SUPERSEDED, reason, token=claimed.lease_token):
        follow_ups.end(claimed.conversation_id, why, follow_up_id=made.follow_up_id, whole=True)
        turns.open_next(claimed.conversation_id)
    return True


def _too_late(claimed: Any, configured: Configuration, made: Touch) -> bool:
    """Put a touch off before anything is paid for its words where its hours are over already."""
    zone = Contact.objects.values_list("time_zone", flat=True).get(pk=claimed.contact_id)
    if follow_ups.leaves_until(made, SendingHours(configured.assistant, zone), db.now()) is not None:
        return False
    with transaction.atomic():
        if turns.lock(claimed) is not None:
            _put_off(claimed, made)
    return True


def _put_off(
    claimed: Any, made: Touch, *, wait: timedelta = timedelta(0), reason: str = Touch.Reason.HOURS
) -> None:
    """The hours of a touch are over, or it has to wait: it is planned again for later. The caller holds the lock."""
    if turns.end(claimed.id, Turn.Stage.SUPERSEDED, Turn.Reason.LATE, token=claimed.lease_token):
        follow_ups.plan_again(made.pk, wait=wait, reason=reason)
        turns.open_next(claimed.conversation_id)


def _drop(claimed: Any, made: Touch) -> None:
    """No source confirms what the models wrote, twice: nothing leaves. A day later once more; then a manager is called."""
    with transaction.atomic():
        if turns.lock(claimed) is None:
            return
        if not turns.end(claimed.id, Turn.Stage.IGNORED, Turn.Reason.UNTRACEABLE, token=claimed.lease_token):
            return
        if not follow_ups.unproven(made):
            turns.call_manager(claimed.conversation_id, str(Turn.Reason.UNTRACEABLE.label))
        turns.open_next(claimed.conversation_id)
    logger.warning("touch not proven", extra={"turn": claimed.id, "touch": made.pk})


# ── Without a language model ─────────────────────────────────────────────────────────────────────────────────────────


def touch_offline(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Five short texts that state nothing but who writes."""
    with translation.override(facts["language"]):
        texts = (
            _("Hello! This is %(assistant)s from %(company)s. We spoke a little while ago: is any question left? 🙂"),
            _("Hello! %(company)s here. Tell me what matters most to you, and I will look it up in our documents. ✅"),
            _(
                "Hello! At %(company)s we gladly show how we would solve a task like yours. Shall I ask a manager to tell you "
                "more? 🤝"
            ),
            _("Hello! %(company)s is ready to return to your request at any time. Is it still of interest to you?"),
            _(
                "Hello! It may not be the right time now, and that is fine. Thank you for writing to %(company)s: if you need "
                "us, just send a message. 🙂"
            ),
        )
        chosen = texts[-1] if facts["last"] and facts["number"] > 1 else texts[min(facts["number"], len(texts)) - 1]
        return {"reply": chosen % facts, "language": facts["language"]}


offline.register(PURPOSE, touch_offline)
