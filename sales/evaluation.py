"""How often the assistant decides as people would, over labelled lines: by its own rules, or with a language model.

Subjects and their lines (JSON, one a line; blank lines and lines that begin with # are skipped):

- `commitment`: `{"text", "expected": "yes" | "no" | "vague" | "none"}`
- `moderation`: `{"contact": {"name", "full_name", "business_name"}, "messages": [text, …], "expected": true | false | null}`
- `booking`: `{"now": ISO, "text", "expected": ISO | null}`, the start that may be booked as asked, with the default hours
- `guard`: `{"reply", "facts": [text, …], "expected": "pass" | "block"}`, and `"today"` where a line says “tomorrow”
- `opt_out`: `{"text", "expected": true | false}`
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from channels.models import Channel
from conversations import moderation
from conversations.criteria import judge_offline
from conversations.history import Line
from conversations.models import Contact
from llm.completion import ask
from llm.models import LanguageModel

from . import agent, calling, calls, time_phrases, understanding
from .assistants import Configuration, working_time
from .briefing import Briefing, guess_language
from .calling import CallFacts
from .guard import untraceable
from .models import Assistant

Row = Mapping[str, Any]
Decide = Callable[[Row], Any]

#: What stands before the customer's words where a model is asked: agreement needs something to agree to.
PROPOSAL = "Предлагаю короткий созвон с нашим менеджером: он всё посчитает. Записать Вас?"
QUESTION = "Когда Вам удобно созвониться с менеджером?"
#: Stands in where a line gives no number: a call needs one. No subscriber has it.
PHONE = "77000000000"
#: Seconds for one question to a model.
TIMEOUT = 60.0


class BadLine(ValueError):
    """A line that is not as its subject wants it; the text says which and why."""


class NotAsked(ValueError):
    """A model was named for a subject that is decided by code alone."""


@dataclass
class Score:
    """The outcome over a file. `confusion` counts expected → decided; `wrong` holds the first lines that differ."""

    total: int = 0
    right: int = 0
    confusion: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: list[dict[str, Any]] = field(default_factory=list)

    @property
    def accuracy(self) -> float:
        return self.right / self.total if self.total else 0.0

    def as_json(self) -> dict[str, Any]:
        table: dict[str, dict[str, int]] = {}
        for (expected, decided), count in sorted(self.confusion.items()):
            table.setdefault(expected, {})[decided] = count
        return {"accuracy": round(self.accuracy, 4), "total": self.total, "right": self.right, "confusion": table}


def evaluate(subject: str, lines: Iterable[str], model: LanguageModel | None = None) -> Score:
    """Decide every line and compare. Raises BadLine, NotAsked, and what a model's provider raises."""
    decide = (_by_model(model) if model else BY_RULES).get(subject)
    if decide is None:
        raise NotAsked(f"{subject} is decided by code: it takes no model")
    score = Score()
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        row = _row(subject, number, line)
        decided, expected = decide(row), _expected(subject, row)
        score.total += 1
        score.confusion[_shown(subject, expected, expected), _shown(subject, decided, expected)] += 1
        if decided == expected:
            score.right += 1
        else:
            score.wrong.append({"line": number, "expected": row["expected"], "decided": _plain(decided)})
    return score


def _row(subject: str, number: int, line: str) -> Row:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise BadLine(f"line {number}: not a JSON object ({error})") from None
    missing = [name for name in FIELDS[subject] if not isinstance(row, dict) or name not in row]
    if missing:
        raise BadLine(f"line {number}: {', '.join(missing)} is missing")
    if subject == "booking":
        _check_moments(number, row)
    return dict(row)


def _check_moments(number: int, row: Row) -> None:
    for name in ("now", "expected"):
        try:
            moment = datetime.fromisoformat(row[name]) if row[name] is not None else None
        except (TypeError, ValueError):
            raise BadLine(f"line {number}: {name} is no ISO time") from None
        if moment is not None and moment.tzinfo is None:
            raise BadLine(f"line {number}: {name} needs an offset, such as +05:00")


def _expected(subject: str, row: Row) -> Any:
    expected = row["expected"]
    return datetime.fromisoformat(expected) if subject == "booking" and expected is not None else expected


def _shown(subject: str, value: Any, expected: Any) -> str:
    """A cell of the confusion table; for times only whether there is one, and the right one."""
    if subject != "booking":
        return json.dumps(value) if not isinstance(value, str) else value
    if value is None:
        return "none"
    return "start" if value == expected else "another start"


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


# ── By rules ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _is_client(row: Row) -> bool | None:
    verdict = moderation.Verdict.model_validate(judge_offline({**row["contact"], "messages": row["messages"]}))
    return moderation.settle(verdict, written=len(row["messages"]))


def _start(row: Row) -> datetime | None:
    now = datetime.fromisoformat(row["now"])
    hours = working_time(Assistant())
    said = time_phrases.parse(row["text"], now, hours.zone)
    return said.start if said.start is not None and calls.refusal(said.start, now=now, hours=hours) is None else None


def _guard(row: Row) -> str:
    given = row.get("today")
    today = date.fromisoformat(given) if given else datetime.now(ZoneInfo(Assistant().time_zone)).date()
    return "block" if untraceable(row["reply"], row["facts"], today=today) else "pass"


FIELDS = {
    "commitment": ("text", "expected"),
    "moderation": ("contact", "messages", "expected"),
    "booking": ("now", "text", "expected"),
    "guard": ("reply", "facts", "expected"),
    "opt_out": ("text", "expected"),
}
SUBJECTS = tuple(FIELDS)
BY_RULES: Mapping[str, Decide] = {
    "commitment": lambda row: understanding.commitment(row["text"]),
    "moderation": _is_client,
    "booking": _start,
    "guard": _guard,
    "opt_out": lambda row: understanding.opts_out(row["text"]),
}


# ── With a language model ────────────────────────────────────────────────────────────────────────────────────────────


def _by_model(model: LanguageModel) -> Mapping[str, Decide]:
    def reply(row: Row, ours: str) -> tuple[Any, Briefing]:
        now = datetime.fromisoformat(row["now"]) if "now" in row else datetime.now(ZoneInfo(Assistant().time_zone))
        briefing = _briefing(row["text"], ours, now)
        return ask(agent.request(briefing), model, reference="evaluation", timeout=TIMEOUT).answer, briefing

    def commitment(row: Row) -> str:
        return str(reply(row, PROPOSAL)[0].commitment)

    def booking(row: Row) -> datetime | None:
        answer, briefing = reply(row, QUESTION)
        return calling.decide(answer, briefing.call, row["text"]).start

    def opt_out(row: Row) -> bool:
        return bool(reply(row, PROPOSAL)[0].intent == "opt_out")

    def is_client(row: Row) -> bool | None:
        lines = [Line(number, "customer", text, datetime.now(ZoneInfo("UTC"))) for number, text in enumerate(row["messages"])]
        contact = Contact(**{name: row["contact"].get(name) or "" for name in ("name", "full_name", "business_name")})
        asked = moderation.request(contact, lines, company="", about="")
        verdict = ask(asked, model, reference="evaluation", timeout=TIMEOUT).answer
        return moderation.settle(verdict, written=len(lines))

    return {"commitment": commitment, "booking": booking, "opt_out": opt_out, "moderation": is_client}


def _briefing(text: str, ours: str, now: datetime) -> Briefing:
    """The briefing of a conversation of two lines with an assistant of default hours, from no rows but the prompt's."""
    assistant = Assistant(name="Saudager", slug="evaluation")
    hours = working_time(assistant)
    said = time_phrases.parse(text, now, hours.zone)
    refusal = calls.refusal(said.start, now=now, hours=hours) if said.start else None
    free = [at for at, _n in zip(hours.starts(now, minutes=assistant.call_minutes), range(12), strict=False)]
    call = CallFacts(
        zone=said.zone or hours.zone, said_zone=said.zone, about_call=True, scheduled=None, named=said.start,
        named_day=said.day, refusal=refusal, nearest=free[0] if refusal and free else None, offered=(), free=free, phone=PHONE,
        phone_said=False,
    )  # fmt: skip
    lines = [Line(1, "bot", ours, now), Line(2, "customer", text, now)]
    return Briefing(
        configured=Configuration(assistant, None, hours, {}), channel=Channel(company="", about=""), contact=Contact(),
        qualification=None, lines=lines, question=text, language=guess_language(text), passages=(), cited=(), call=call,
        city_zone=None, about={}, now=now,
    )  # fmt: skip
