"""The agent without a language model: it quotes the documents, books what was agreed, and otherwise calls a person.

Nothing is made up: every sentence is ours or the knowledge base's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import translation
from django.utils.translation import gettext as _

from channels import rich
from knowledge.chunks import HEADING_MARK

from . import call_texts, understanding
from .calls import Refusal

_GREETING = re.compile(
    r"^\W*(здравствуй\w*|добр\w+ (день|утро|вечер)|привет\w*|салам\w*|сәлем\w*|салем\w*|hello|hi|hey|good (day|morning))\W*$",
    re.IGNORECASE,
)
#: A passage is quoted when it scores at least this much.
QUOTABLE = 0.0
QUOTE_LENGTH = 600

Facts = Mapping[str, Any]
Answer = dict[str, Any]


def answer_offline(facts: Facts) -> Answer:
    """Answer from the facts of a request for the purpose `answer`; fits `sales.reply.Reply`."""
    question, language = facts["question"], facts["language"]
    understood: Answer = {
        "language": language,
        "commitment": understanding.commitment(question),
        "emotion": understanding.emotion(question),
        "intent": understanding.intent(question),
    }
    with translation.override(language):
        for attempt in _ATTEMPTS:
            found = attempt(facts)
            if found is not None:
                return understood | found
    raise AssertionError("the last attempt always answers")


def _opt_out(facts: Facts) -> Answer | None:
    if not understanding.opts_out(facts["question"]):
        return None
    text = _("Understood, we will not write to you any more. If you need us, just send a message.")
    return {"reply": text, "intent": "opt_out"}


def _person(facts: Facts) -> Answer | None:
    """Who asks for a person, or complains, gets one."""
    complains = understanding.intent(facts["question"]) == "complaint"
    if not complains and not understanding.wants_person(facts["question"]):
        return None
    text = _("I am passing your message on to a manager, who will answer you here.")
    return {"reply": text, "intent": "complaint" if complains else "handoff", "actions": ["handoff"]}


def _call(facts: Facts) -> Answer | None:
    """Whatever concerns a call: called off, agreed, refused with the nearest time, or asked for a time."""
    call, question = facts.get("call") or {}, facts["question"]
    if not call:
        return None
    if call["scheduled"] and understanding.cancels_call(question):
        return {"reply": "", "intent": "call", "actions": ["cancel_call"]}
    if call["about_call"] and call["bookable"]:
        return {"reply": "", "intent": "call", "commitment": "yes", "actions": ["book_call"], "call_at": call["bookable"]}
    if call["about_call"] and call["refused"]:
        return {"reply": _instead(call, facts["language"]), "intent": "call"}
    agreed = understanding.commitment(question) == "yes" or call["phone_said"]
    if call["offered"] and agreed:
        return {"reply": "", "intent": "call", "commitment": "yes", "actions": ["book_call"], "call_at": call["offered"][0]}
    if understanding.wants_call(question) and not call["scheduled"]:
        return {"reply": _ask_time(call, facts["language"]), "intent": "call"}
    return None


def _instead(call: Mapping[str, Any], language: str) -> str:
    home, zone = ZoneInfo(call["home"]), ZoneInfo(call["zone"])
    nearest = datetime.fromisoformat(call["nearest"]) if call["nearest"] else None
    return call_texts.instead(Refusal(call["refusal"]), nearest, home, zone, language)


def _ask_time(call: Mapping[str, Any], language: str) -> str:
    free = [datetime.fromisoformat(text) for text in call["free"]]
    return call_texts.ask_time(free[:2], ZoneInfo(call["home"]), ZoneInfo(call["zone"]), language)


def _greeting(facts: Facts) -> Answer | None:
    if not _GREETING.match(facts["question"]):
        return None
    text = _("How can I help you?")
    return {"reply": f"{_hello(facts)} {text}".strip(), "intent": "greeting"}


def _courtesy(facts: Facts) -> Answer | None:
    """Thanks, a refusal and a promise to think are answered with a few words, not with a quotation."""
    question = facts["question"]
    if understanding.intent(question) == "thanks":
        return {"reply": _("You are welcome! If there is anything else, just write."), "intent": "thanks"}
    match understanding.commitment(question):
        case "no":
            return {"reply": _("Understood, thank you for telling us. If things change, we are here.")}
        case "vague":
            return {"reply": _("Of course, take your time. If questions come up, just write.")}
    return None


def _quote(facts: Facts) -> Answer:
    hello = _hello(facts)
    passages = [p for p in facts["passages"] if p["score"] > QUOTABLE]
    if not passages:
        text = _("I do not have exact information on this. Shall I connect you with a manager?")
        return {"reply": f"{hello} {text}".strip(), "actions": ["handoff"]}
    best = passages[0]
    question = best["heading"].rpartition(HEADING_MARK)[2]
    said = f"{question} {best['text']}" if question.endswith("?") else best["text"]
    quote = rich.split(said, QUOTE_LENGTH)[0]
    text = _("Here is what our documents say:\n%(quote)s") % {"quote": quote}
    return {"reply": f"{hello}\n{text}".strip()}


def _hello(facts: Facts) -> str:
    return _("Hello! I am %(assistant)s, the assistant of %(company)s.") % facts if facts["first"] else ""


_ATTEMPTS: tuple[Callable[[Facts], Answer | None], ...] = (_opt_out, _person, _call, _greeting, _courtesy, _quote)
