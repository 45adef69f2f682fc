"""The sales agent: one completion per reply, from what was said and what the company's documents say.

Everything the model may state is put into the prompt beforehand; the structured answer brings the reply and the
actions it asks for. Code, not the model, decides whether an action is carried out.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.utils import timezone, translation
from django.utils.dates import WEEKDAYS_ABBR
from django.utils.translation import gettext as _
from pydantic import BaseModel, Field

from channels import directory
from conversations import history, outbox, turns
from conversations.models import Contact, Message, Turn
from conversations.texts import parts
from foundation import live
from foundation.cache import Remembered
from foundation.db import execute
from foundation.errors import ProviderError
from knowledge.search import Passage, search
from llm.base import ChatMessage, Completion, Request
from llm.completion import NoModel, complete
from llm.models import LanguageModel
from llm.prompts import render
from llm.providers import offline

from .models import Assistant, AssistantModel, Bot

logger = logging.getLogger(__name__)

PURPOSE = "answer"
PASSAGES = 6

Language = Literal["ru", "kk", "en"]


class Reply(BaseModel):
    """What the agent answers, and what it understood."""

    reply: str = Field(description="the text for the customer", min_length=1)
    language: Language = Field(description="the customer's language, in which the reply is written")
    intent: Literal[
        "greeting", "question", "price", "order", "objection", "complaint", "call", "handoff", "opt_out", "thanks", "other"
    ] = "other"
    emotion: Literal["calm", "interested", "doubting", "annoyed", "happy"] = "calm"
    commitment: Literal["yes", "no", "vague", "none"] = Field(
        default="none", description="what the customer's last message says to our proposal"
    )
    spin_stage: Literal["situation", "problem", "implication", "need_payoff", "none"] = "none"
    actions: list[Literal["handoff"]] = Field(
        default_factory=list, description="handoff: a manager has to answer this"
    )


class Configuration:
    """An assistant with its models, as the agent needs it for each reply."""

    def __init__(self, assistant: Assistant) -> None:
        self.assistant = assistant
        places = AssistantModel.objects.filter(assistant=assistant, model__enabled=True).select_related("model")
        self.models: list[LanguageModel] | None = [place.model for place in places] or None


def _configuration(channel_id: int) -> Configuration | None:
    bot = Bot.objects.select_related("assistant").filter(channel_id=channel_id).first()
    return Configuration(bot.assistant) if bot else None


#: The assistant of a channel, looked up again after two seconds.
configuration = Remembered(directory.SECONDS, _configuration)
for _model in (Assistant, AssistantModel, Bot, LanguageModel):
    for _signal in (post_save, post_delete):
        _signal.connect(lambda **_: configuration.forget(), sender=_model, weak=False)


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
        _show_typing(claimed)
        lines = history.before_answer(claimed.conversation_id, claimed.id, claimed.upto_seq)
        passages = find_passages(configured.assistant, lines)
        contact = Contact.objects.only("language", "name", "full_name", "business_name").get(pk=claimed.contact_id)
        try:
            completion = compose(configured, lines, passages, contact, claimed.channel_id, reference=f"turn:{turn_id}")
        except NoModel as error:
            turns.release(claimed, str(error))
            return
        _commit(claimed, completion, passages, contact)


def _show_typing(claimed: Any) -> None:
    """Let the customer see that an answer is being written; only a courtesy."""
    entry = directory.entry(claimed.channel_id)
    live.ring(f"conversation:{claimed.conversation_id}", what="typing")
    if entry.channel.options.get("show_typing") and entry.adapter.capabilities.typing:
        identity = Contact.objects.get(pk=claimed.contact_id).identities.get(pk=claimed.identity_id)
        try:
            entry.adapter.typing(identity.source_id)
        except ProviderError as error:
            logger.info("typing not shown", extra={"turn": claimed.id, "code": error.code})


def find_passages(assistant: Assistant, lines: Sequence[history.Line]) -> list[Passage]:
    """What the knowledge base says to the customer's last words, with the words before as context."""
    if assistant.knowledge_base_id is None:
        return []
    question, context = last_words(lines)
    return search([assistant.knowledge_base_id], question, limit=PASSAGES, context=context)


def last_words(lines: Sequence[history.Line]) -> tuple[str, str]:
    """What the customer wrote since our last reply, and before it. Our own words would only find themselves again."""
    cut = max((n for n, line in enumerate(lines, start=1) if line.author in ("bot", "manager")), default=0)
    said = [line.text for line in lines[cut:] if line.author == "customer"]
    before = [line.text for line in lines[:cut] if line.author == "customer"]
    return "\n".join(said), "\n".join(before[-2:])


def compose(
    configured: Configuration, lines: Sequence[history.Line], passages: Sequence[Passage], contact: Contact, channel_id: int,
    *, reference: str = "",
) -> Completion[Reply]:  # fmt: skip
    """Ask the models for the reply. Raises NoModel."""
    assistant, channel = configured.assistant, directory.entry(channel_id).channel
    now = timezone.now().astimezone(assistant_zone(assistant))
    question, _context = last_words(lines)
    language = guess_language(question) if _LETTERS.search(question) else contact.language or "ru"
    prompt = render(
        PURPOSE,
        company=channel.company,
        about=channel.about,
        persona=f"{assistant.name}. {assistant.persona}",
        knowledge=as_knowledge(passages),
        now=now.strftime("%Y-%m-%d %H:%M, %A, UTC%z"),
        hours=hours_in_words(assistant),
        language=language,
        facts="",
    )
    request = Request(
        purpose=PURPOSE,
        messages=[ChatMessage("system", prompt), *as_chat(lines)],
        schema=Reply,
        facts={
            "question": question, "language": language, "company": channel.company, "assistant": assistant.name,
            "first": not any(line.author in ("bot", "manager") for line in lines),
            "passages": [{"text": p.text, "source": p.source_title, "page": p.page, "score": p.score} for p in passages],
        },
        temperature=assistant.temperature,
        top_p=assistant.top_p,
        max_output_tokens=assistant.max_tokens,
    )  # fmt: skip
    return complete(request, models=configured.models, reference=reference)


def assistant_zone(assistant: Assistant) -> ZoneInfo:
    return ZoneInfo(assistant.time_zone)


def as_chat(lines: Sequence[history.Line]) -> list[ChatMessage]:
    """The history as the exchange that the model continues: it must end with the customer's words."""
    chat: list[ChatMessage] = []
    for line in lines:
        role: Literal["user", "assistant"] = "user" if line.author in ("customer", "system") else "assistant"
        text = line.text if line.author in ("customer", "bot") else f"[{history.as_text([line])}]"
        if chat and chat[-1].role == role:
            chat[-1] = ChatMessage(role, f"{chat[-1].text}\n{text}")
        else:
            chat.append(ChatMessage(role, text))
    if chat and chat[0].role == "assistant":
        chat.insert(0, ChatMessage("user", "…"))
    return chat


def as_knowledge(passages: Sequence[Passage]) -> str:
    """The passages as numbered blocks with their origin."""
    if not passages:
        return _("(nothing was found)")
    page = _("p.")
    return "\n\n".join(f"[{n}] {p.source_title}, {page} {p.page}\n{p.text}" for n, p in enumerate(passages, start=1))


_DAY_NAMES = dict(zip(("mon", "tue", "wed", "thu", "fri", "sat", "sun"), WEEKDAYS_ABBR.values(), strict=True))


def hours_in_words(assistant: Assistant) -> str:
    """`Mon 10:00–18:00, Tue …` in the assistant's zone."""
    hours: Mapping[str, Sequence[str]] = assistant.hours
    days = ", ".join(f"{_DAY_NAMES[day]} {start}–{end}" for day, (start, end) in hours.items())
    return f"{days} ({assistant.time_zone})"


_KAZAKH = re.compile(r"[әғқңөұүһі]", re.IGNORECASE)
_KAZAKH_WORDS = re.compile(r"\b(салем|рахмет|калай|канша|керек|бар ма|қанша|сәлем|жоқ|иә)\b", re.IGNORECASE)
_LETTERS = re.compile(r"[^\W\d_]")
_CYRILLIC = re.compile(r"[а-яё]", re.IGNORECASE)
_LATIN = re.compile(r"[a-z]", re.IGNORECASE)


def guess_language(text: str) -> Language:
    """The language of a text by its letters: enough for a hint and for the offline model."""
    if _KAZAKH.search(text) or _KAZAKH_WORDS.search(text):
        return "kk"
    if _CYRILLIC.search(text) or not _LATIN.search(text):
        return "ru"
    return "en"


def _commit(claimed: Any, completion: Completion[Reply], passages: Sequence[Passage], contact: Contact) -> None:
    """Put the reply into the outbox, unless a person took over or the customer wrote on meanwhile."""
    reply = completion.answer
    limit = directory.entry(claimed.channel_id).adapter.capabilities.max_length
    with transaction.atomic():
        conversation = turns.lock(claimed)
        if conversation is None:
            return
        if not _end_answer(claimed, completion, passages):
            turns.redo(claimed)
            return
        if claimed.redone:
            _let_late_ones_wait(claimed)
        outbox.queue(
            conversation, claimed.channel_id, parts(reply.reply, limit), author=Message.Author.BOT, turn_id=claimed.id
        )
        if reply.language != contact.language:
            Contact.objects.filter(pk=contact.pk).update(language=reply.language)
        if "handoff" in reply.actions:
            turns.call_manager(claimed.conversation_id, str(Turn.Reason.HANDOFF.label))


_outcome = Turn._meta.get_field("outcome")


def _end_answer(claimed: Any, completion: Completion[Reply], passages: Sequence[Passage]) -> bool:
    """Write what the answer took and used to its turn, and move it to delivery."""
    reply = completion.answer
    return bool(
        execute(
            f"""
            UPDATE conversations_turn
            SET stage = 'deliver', attempts = 0, leased_until = NULL, lease_token = NULL, upto_seq = %(upto)s,
                outcome = %(outcome)s, knowledge_used = %(knowledge)s::jsonb, model = %(model)s, degraded = %(degraded)s,
                input_tokens = input_tokens + %(input)s, output_tokens = output_tokens + %(output)s,
                cost = cost + %(cost)s, error = '',
                timeline = timeline || jsonb_build_array(
                    jsonb_build_object('what', 'model', 'at', clock_timestamp(), 'ms', %(ms)s::int)) || {turns.mark("deliver")}
            WHERE id = %(turn)s AND lease_token = %(token)s AND stage = 'answer' AND (version = %(version)s OR redone)
            """,  # noqa: S608
            {
                "turn": claimed.id,
                "version": claimed.version,
                "token": claimed.lease_token,
                "upto": claimed.upto_seq,
                "outcome": _outcome.seal(reply.model_dump(exclude={"reply"})),
                "knowledge": turns.as_json(
                    [
                        {"chunk": p.chunk_id, "source": p.source_title, "page": p.page, "score": round(p.score, 3)}
                        for p in passages
                    ]
                ),
                "model": completion.model,
                "degraded": completion.degraded,
                "input": completion.input_tokens,
                "output": completion.output_tokens + completion.thinking_tokens,
                "cost": completion.cost,
                "ms": completion.latency_ms,
            },
        )
    )


def _let_late_ones_wait(claimed: Any) -> None:
    """Messages that came during a second computation are not answered by it: they wait for the next turn."""
    execute(
        """
        UPDATE conversations_message SET turn_id = NULL
        WHERE turn_id = %(turn)s AND direction = 'in' AND seq > %(upto)s
        """,
        {"turn": claimed.id, "upto": claimed.upto_seq},
    )


# ── Without a language model ─────────────────────────────────────────────────────────────────────────────────────────

_GREETING = re.compile(
    r"^\W*(здравствуй\w*|добр\w+ (день|утро|вечер)|привет\w*|салам\w*|сәлем\w*|салем\w*|hello|hi|hey|good (day|morning))\W*$",
    re.IGNORECASE,
)
#: A passage is quoted when it scores at least this much.
QUOTABLE = 0.0
QUOTE_LENGTH = 600


def answer_offline(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Answer by quoting the best passage of the knowledge base; without one, offer a manager. Nothing is made up."""
    language: Language = facts["language"]
    with translation.override(language):
        greeting = bool(_GREETING.match(facts["question"]))
        hello = _("Hello! I am %(assistant)s, the assistant of %(company)s.") % facts if facts["first"] else ""
        if greeting:
            text = _("How can I help you?")
            return {"reply": f"{hello} {text}".strip(), "language": language, "intent": "greeting"}
        passages = [p for p in facts["passages"] if p["score"] > QUOTABLE]
        if not passages:
            text = _("I do not have exact information on this. Shall I connect you with a manager?")
            return {"reply": f"{hello} {text}".strip(), "language": language, "intent": "other", "actions": ["handoff"]}
        quote = parts(passages[0]["text"].strip(), QUOTE_LENGTH)[0]
        text = _("Here is what our documents say:\n%(quote)s") % {"quote": quote}
    return {"reply": f"{hello}\n{text}".strip(), "language": language, "intent": "question"}


offline.register(PURPOSE, answer_offline)
