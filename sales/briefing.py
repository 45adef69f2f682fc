"""All that a reply may rest on, gathered before any model is asked: what was said, what the documents say, who it is, and
which times are free. One completion has to do."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils.dates import WEEKDAYS_ABBR
from django.utils.translation import gettext as _

from channels import directory
from channels.models import Channel
from conversations import history
from conversations.history import Line
from conversations.models import Contact, Conversation, Turn
from foundation import db
from foundation.phones import shown
from knowledge.models import Chunk
from knowledge.search import Passage, search
from llm.base import ChatMessage

from . import calling, cities
from .assistants import Configuration
from .calling import CallFacts
from .funnels.chart import chart_of
from .funnels.walking import Walk, in_facts
from .models import Assistant, Qualification
from .reply import Language

PASSAGES = 6
#: Passages given for earlier replies of the conversation stay valid sources for what the assistant repeats.
CITED_TURNS = 10


@dataclass(frozen=True, slots=True)
class Briefing:
    """What the agent knows when it composes a reply."""

    configured: Configuration
    channel: Channel
    contact: Contact
    qualification: Qualification | None
    lines: Sequence[Line]
    question: str
    """What the customer wrote since our last reply."""
    language: Language
    passages: Sequence[Passage]
    cited: Sequence[str]
    call: CallFacts
    city_zone: ZoneInfo | None
    """The zone of the city that the customer says they are in."""
    about: Mapping[str, Any]
    """What the chat began with, such as an advertisement of ours; mostly empty."""
    now: datetime
    """The database's time, in the assistant's zone."""
    walk: Walk | None = None
    """How far the customer has come in a funnel of the assistant."""

    @property
    def assistant(self) -> Assistant:
        return self.configured.assistant

    @property
    def home(self) -> ZoneInfo:
        return self.configured.working_time.zone

    def sources(self, reply: str) -> list[str]:
        """Texts in which every amount, date, time and link of the reply must be found."""
        own = [self.channel.company, self.channel.about, self.assistant.persona, hours_in_words(self.assistant), self.today()]
        phone = [shown(self.call.phone)] if self.call.phone else []
        times = calling.sources(reply, self.call, self.home, self.now)
        about = [_about(self.about)] if self.about else []
        funnels = chart_of(self.assistant.pk).texts()
        return [*(whole(p.heading, p.text) for p in self.passages), *self.cited, *own, *phone, *times, *about, *funnels]

    def today(self) -> str:
        return self.now.strftime("%Y-%m-%d %H:%M, %A, UTC%z")

    def facts(self) -> str:
        """What is known of the customer and of free times, for the prompt."""
        about = [_about(self.about)] if self.about else []
        funnel = in_facts(self.walk) if self.walk is not None else []
        return "\n".join([*who(self.contact, self.qualification), *about, *funnel, *calling.as_facts(self.call, self.home)])


def gather(claimed: Any, configured: Configuration, walk: Walk | None = None) -> Briefing:
    """Read everything that the reply of a claimed turn may rest on."""
    lines = history.before_answer(claimed.conversation_id, claimed.id, claimed.upto_seq)
    question, context = last_words(lines)
    contact = Contact.objects.select_related("qualification").get(pk=claimed.contact_id)
    now = claimed.now
    cited, outcome = before(claimed.conversation_id)
    city = cities.city_in(question)
    known_zone = ZoneInfo(contact.time_zone) if contact.time_zone else city[1] if city else configured.working_time.zone
    assistant = configured.assistant
    return Briefing(
        configured=configured,
        channel=directory.entry(claimed.channel_id).channel,
        contact=contact,
        qualification=getattr(contact, "qualification", None),
        lines=lines,
        question=question,
        language=spoken(question, contact),
        passages=find_passages(assistant, question, context),
        cited=cited,
        call=calling.gather(configured, contact, known_zone, lines, question, outcome, now),
        city_zone=city[1] if city else None,
        about=_about_of(claimed.conversation_id),
        now=now.astimezone(configured.working_time.zone),
        walk=walk,
    )


_about_field = Conversation._meta.get_field("about")


def _about_of(conversation_id: int) -> Mapping[str, Any]:
    found = db.row("SELECT about FROM conversations_conversation WHERE id = %(id)s", {"id": conversation_id})
    return (_about_field.open(found.about) or {}) if found is not None and found.about is not None else {}


def _about(about: Mapping[str, Any]) -> str:
    """What the chat is about, as a line of the prompt's facts; its price is ours, so it may be said."""
    price = f"{about['price']} {about.get('currency') or ''}".strip() if about.get("price") else ""
    parts = [str(about.get("title") or ""), price, str(about.get("url") or "")]
    return f"Клиент пишет по нашему объявлению: {', '.join(filter(None, parts))}"


def find_passages(assistant: Assistant, question: str, context: str) -> list[Passage]:
    """What the knowledge base says to the customer's last words, with the words before as context."""
    if assistant.knowledge_base_id is None:
        return []
    return search([assistant.knowledge_base_id], question, limit=PASSAGES, context=context)


_outcome = Turn._meta.get_field("outcome")


def before(conversation_id: int) -> tuple[list[str], Mapping[str, Any]]:
    """The texts of the passages that the last replies were given, and what the last reply decided beside its words."""
    ended = db.rows(
        """
        SELECT knowledge_used, outcome FROM conversations_turn
        WHERE conversation_id = %(conversation)s AND stage = 'done' AND outcome IS NOT NULL ORDER BY id DESC LIMIT %(turns)s
        """,
        {"conversation": conversation_id, "turns": CITED_TURNS},
    )
    ids = list({item["chunk"] for turn in ended for item in json.loads(turn.knowledge_used)})
    cited = Chunk.objects.filter(pk__in=ids, source__active=True).values_list("heading", "text") if ids else []
    return [whole(*chunk) for chunk in cited], _outcome.open(ended[0].outcome) if ended else {}


def last_words(lines: Sequence[Line]) -> tuple[str, str]:
    """What the customer wrote since our last reply, and before it. Our own words would only find themselves again."""
    cut = max((n for n, line in enumerate(lines, start=1) if line.author in ("bot", "manager")), default=0)
    said = [line.text for line in lines[cut:] if line.author == "customer"]
    before = [line.text for line in lines[:cut] if line.author == "customer"]
    return "\n".join(said), "\n".join(before[-2:])


def who(contact: Contact, qualification: Qualification | None) -> list[str]:
    """What is known of the customer, a line each."""
    lines = []
    if name := contact.full_name or contact.name:
        lines.append(_("Name: %(name)s") % {"name": name})
    if contact.business_name:
        lines.append(_("Company: %(name)s") % {"name": contact.business_name})
    if qualification is not None:
        learnt = {
            _("Situation"): qualification.situation, _("Problem"): qualification.problem,
            _("Implication"): qualification.implication, _("Need"): qualification.need,
        }  # fmt: skip
        lines += [f"{name}: {text}" for name, text in learnt.items() if text]
    return lines


def as_chat(lines: Sequence[Line]) -> list[ChatMessage]:
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
    origins = [" › ".join(filter(None, (f"{p.source_title}, {page} {p.page}", p.heading))) for p in passages]
    texts = [f"{origin}\n{passage.text}" for origin, passage in zip(origins, passages, strict=True)]
    return "\n\n".join(f"[{n}] {text}" for n, text in enumerate(texts, start=1))


def whole(heading: str, text: str) -> str:
    """A passage with its headings: in a list of questions and answers only they say what the text is about."""
    return f"{heading}\n{text}" if heading else text


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


def spoken(question: str, contact: Contact) -> Language:
    """The language to answer in: that of the question, or of what was said before where it has no words."""
    if _LETTERS.search(question):
        return guess_language(question)
    known: Mapping[str, Language] = {"ru": "ru", "kk": "kk", "en": "en"}
    return known.get(contact.language, known.get(settings.LANGUAGE_CODE, "ru"))
