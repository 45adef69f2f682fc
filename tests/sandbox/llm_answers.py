"""What the fake language model says when nobody scripted it: valid JSON for any schema, by simple and cheap rules.

It answers from the knowledge in the prompt by quoting the passage that shares most words with the customer's last
message, deals with wishes and the silent as `llm_agent` does, judges contacts by key words, and hears in a recording what
stands in it after `SAY:` (see `speech`). It runs once per call of a benchmark, so everything that repeats between calls
(passages, schemas) is computed once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from . import llm_agent
from .speech import heard

WORD = re.compile(r"\w{3,}")
SOURCE = re.compile(r"^\s*(?:#+\s*)?[\[(]?(?:#|id[:=]\s*|chunk\s+)?(\d+)[\])]")
FENCE = re.compile(r"<(knowledge|history|contact)>(.*?)</\1>", re.DOTALL)
REPLIES = ("reply", "answer", "text", "message", "content")
SOURCES = ("sources", "chunks", "citations", "knowledge_ids", "cited", "passages")
STEM = 5
NUMBERED = re.compile(r"\n\s*\n(?=\[\d+\])")
BLANK_LINE = re.compile(r"\n\s*\n")

SPAM = (
    "заработ",
    "казино",
    "ставки на",
    "криптовалют",
    "кредит без",
    "продвижен",
    "рассылк",
    "подпишись",
    "casino",
    "crypto",
    "seo",
)
PERSONAL = ("ошибл", "кто это", "как дела", "с днём рожд", "с днем рожд", "люблю тебя", "скучаю", "мам,", "wrong number")
BUSINESS = (
    "интерес", "цен", "стоим", "прайс", "сколько", "достав", "гарант", "услуг", "товар", "заказ", "купить", "договор", "коммерч", "предложен",
    "срок", "бюджет", "тендер", "закуп", "наличи", "оплат", "счёт", "счет", "баға", "қанша", "тапсырыс", "price", "order", "buy",
    "delivery", "quote", "тоо", "ооо", "ип ",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Prompted:
    """One request, whatever the protocol: the instruction, the exchange, the schema asked for."""

    protocol: str
    model: str
    system: str
    messages: Sequence[tuple[str, str]]
    schema: Mapping[str, Any] | None
    audio: int = 0
    """Bytes of sound in the request, as they were sent."""
    sound: bytes = b""

    @property
    def last_user(self) -> str:
        return next((text for role, text in reversed(self.messages) if role == "user"), "")

    @property
    def text(self) -> str:
        return "\n".join((self.system, *(text for _, text in self.messages)))


def default(prompted: Prompted) -> Any:
    """The unscripted answer."""
    schema = prompted.schema or _schema_in(prompted.system)
    fields = set((schema or {}).get("properties", {}))
    if not fields:
        return {"reply": quote(prompted)[1]}
    special: dict[str, Any] = {}
    if "is_client" in fields or "isClient" in fields:
        special = judge(prompted)
    elif name := next((name for name in REPLIES if name in fields), ""):
        special = {"language": language(prompted.last_user)} | sell(prompted, name, acts="call_at" in fields)
    if prompted.audio:
        words = heard(prompted.sound)
        words = "Здравствуйте, сколько стоит доставка?" if words is None else words
        special |= dict.fromkeys(("transcript", "transcription", "text"), words)
        special |= {"heard": bool(words), "language": language(words)}
    return fill(schema or {}, special)


def sell(prompted: Prompted, name: str, *, acts: bool) -> dict[str, Any]:
    """The agent's answer with its words under `name`: to a wish (where it `acts`), to a silence, or from the knowledge."""
    if acts and (answer := llm_agent.wish(prompted.last_user, prompted.messages, section(prompted.system, "facts"))):
        return answer | {name: answer["reply"]}
    if not acts and "касание" in prompted.system:
        history = section(prompted.system, "history")
        touch = llm_agent.touch(prompted.system, history, quote(prompted, about=history)[1])
        if touch is not None:
            return {name: touch, "language": language(touch)}
    number, text = quote(prompted)
    if number is None:
        return {name: text, "actions": ["handoff"]}
    if acts and len(prompted.messages) == 1 and llm_agent.GREETING.match(prompted.last_user):
        text = f"Здравствуйте! {text}"
    return {name: text} | {key: [number] for key in SOURCES}


def _schema_in(system: str) -> Mapping[str, Any] | None:
    """The schema that an instruction spells out for models that take none in the request."""
    start = system.rfind("{", 0, system.rfind('"properties"'))
    if start < 0:
        return None
    for begin in sorted({system.find("\n{"), start}):
        try:
            found, _end = json.JSONDecoder().raw_decode(system[begin:].lstrip())
        except ValueError:
            continue
        if isinstance(found, dict) and "properties" in found:
            return found
    return None


@lru_cache(maxsize=4096)
def words(text: str) -> frozenset[str]:
    """Word beginnings, so that cases and plurals meet."""
    return frozenset(word[:STEM] for word in WORD.findall(text.casefold()))


@lru_cache(maxsize=512)
def passages(block: str) -> tuple[str, ...]:
    between = NUMBERED if NUMBERED.search(block) else BLANK_LINE
    return tuple(part.strip() for part in between.split(block) if part.strip())


def section(text: str, name: str) -> str:
    """What stands between the last `<name>` and `</name>` of a prompt."""
    end = text.rfind(f"</{name}>")
    start = text.rfind(f"<{name}>", 0, max(end, 0))
    return text[start + len(name) + 2 : end] if start >= 0 else ""


def quote(prompted: Prompted, about: str = "") -> tuple[int | None, str]:
    """The number (where it carries one) and the text of the passage nearest to the last message, or to what it is about."""
    asked = words(about or prompted.last_user)
    best, score = "", 0
    for passage in passages(section(prompted.system, "knowledge")):
        shared = len(asked & words(passage))
        if shared > score:
            best, score = passage, shared
    if not best:
        return None, "Уточню этот вопрос у менеджера и вернусь к Вам."
    number = SOURCE.match(best)
    lines = [line for line in best.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if number and len(lines) > 1:  # the first one names the document
        del lines[0]
    said = SOURCE.sub("", " ".join(_rows(lines, asked))).strip()
    return int(number.group(1)) if number else None, said[:600]


def _rows(lines: list[str], asked: frozenset[str]) -> list[str]:
    """Of a price list only the rows in question, as phrases; other lines as they are."""
    if not any("|" in line for line in lines):
        return lines
    shared = [len(asked & words(line)) for line in lines]
    wanted = [line for line, count in zip(lines, shared, strict=True) if count == max(shared)]
    return [line.strip().rstrip(".").replace(" | ", ", ") + "." for line in wanted]


def judge(prompted: Prompted) -> dict[str, Any]:
    history = section(prompted.text, "history") + section(prompted.text, "contact") or prompted.last_user
    text = history.casefold()
    found = {
        name: [key for key in keys if key in text]
        for name, keys in (("spam", SPAM), ("personal", PERSONAL), ("business", BUSINESS))
    }
    if found["spam"] or (found["personal"] and not found["business"]):
        verdict, confidence, why = False, 0.9, "спам или личное"
    elif found["business"]:
        verdict, confidence, why = True, 0.9, "деловой интерес"
    else:
        verdict, confidence, why = None, 0.4, "мало данных"
    return {"is_client": verdict, "isClient": verdict, "confidence": confidence, "reasoning": why}


def language(text: str) -> str:
    folded = text.casefold()
    if any(letter in folded for letter in "әғқңөұүһі"):
        return "kk"
    return "ru" if re.search("[а-яё]", folded) or not folded.strip() else "en"


def fill(schema: Mapping[str, Any], special: Mapping[str, Any]) -> Any:
    """The plainest value that a JSON schema allows, with `special` values for properties of those names."""
    return _fill(schema, schema.get("$defs", {}), special, depth=0)


def _fill(schema: Mapping[str, Any], defs: Mapping[str, Any], special: Mapping[str, Any], depth: int) -> Any:
    if "$ref" in schema:
        schema = defs.get(str(schema["$ref"]).rpartition("/")[2], {})
    if "const" in schema:
        return schema["const"]
    if choices := schema.get("enum"):
        return next((choice for choice in ("none", "other") if choice in choices), choices[0])
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return None if {"type": "null"} in options else _fill(options[0], defs, special, depth)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = "null" if "null" in kind else kind[0]
    if kind == "object":
        return {
            name: special[name] if depth == 0 and name in special else _fill(inner, defs, special, depth + 1)
            for name, inner in schema.get("properties", {}).items()
        }
    plain = {"array": [], "boolean": False, "null": None, "string": ""}
    return plain[kind] if kind in plain else schema.get("minimum", 0)
