"""What was said, as the models are told it: the last messages, with who spoke and where people took over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _

from .models import Conversation, Message, Takeover

_COLUMNS = ("id", "seq", "author", "direction", "kind", "text", "transcribed", "details", "sent_at", "turn")


@dataclass(frozen=True, slots=True)
class Line:
    """One utterance. `author` is customer, bot, manager or system."""

    seq: int
    author: str
    text: str
    at: datetime


def recent(conversation_id: int) -> list[Line]:
    """The last MAX_CONTEXT_MESSAGES messages of the last SESSION_TTL_DAYS days, oldest first, without withdrawn ones.

    Handovers between them appear as lines of the system, so that a bot that leads again knows that and why it was silent.
    """
    return _with_handovers(conversation_id, [_line(message) for message in _messages(conversation_id)])


def before_answer(conversation_id: int, turn_id: int, upto: int) -> list[Line]:
    """As `recent`, for composing the reply of a turn: what the turn has to answer, up to message number `upto`, comes last.

    A message may have come before our last reply and still wait for its answer; one that came after `upto` is answered
    by the next turn. What is to be answered is there in any number, however many were written in one go.
    """
    latest = _messages(conversation_id)
    if len(latest) >= settings.MAX_CONTEXT_MESSAGES:
        latest = [*_earlier(turn_id, latest[0].seq), *latest]
    messages = [m for m in latest if m.direction == Message.Direction.OUT or m.seq <= upto]
    asked = [_line(m) for m in messages if m.turn_id == turn_id and m.direction == Message.Direction.IN]
    numbers = {line.seq for line in asked}
    return [*_with_handovers(conversation_id, [_line(m) for m in messages if m.seq not in numbers]), *asked]


def _messages(conversation_id: int) -> list[Message]:
    since = timezone.now() - timedelta(days=settings.SESSION_TTL_DAYS)
    messages = (
        Message.objects.filter(conversation_id=conversation_id, created_at__gte=since)
        .exclude(state__in=(Message.State.SUPPRESSED, Message.State.FAILED))
        # Spoken replies repeat what was written.
        .exclude(author=Message.Author.BOT, kind=Message.Kind.VOICE)
        .only(*_COLUMNS)
        .order_by("-seq")
    )
    return list(messages[: settings.MAX_CONTEXT_MESSAGES])[::-1]


def _earlier(turn_id: int, seq: int) -> list[Message]:
    """What a turn has to answer that came before message number `seq`."""
    asked = Message.objects.filter(turn_id=turn_id, direction=Message.Direction.IN, seq__lt=seq)
    return list(asked.only(*_COLUMNS).order_by("seq"))


def _line(message: Message) -> Line:
    return Line(message.seq, message.author, said(message), message.sent_at)


def said(message: Message) -> str:
    """A message in words; what is not text is named in brackets."""
    if message.kind in (Message.Kind.TEXT, Message.Kind.BUTTON) or (message.text and message.transcribed):
        return str(message.text)
    details = message.details or {}
    name = next((m.get("name") for m in details.get("media", []) if m.get("name")), "")
    label = str(Message.Kind(message.kind).label)
    return f"[{label}{f': {name}' if name else ''}] {message.text}".strip()


def _with_handovers(conversation_id: int, lines: list[Line]) -> list[Line]:
    if not any(line.author == Message.Author.MANAGER for line in lines):
        return lines
    first = lines[0].seq
    marks = [
        Line(
            t.after_seq,
            Message.Author.SYSTEM,
            _("A manager took over the conversation.") if t.mode == "manager" else _("The assistant leads again."),
            t.at,
        )
        for t in Takeover.objects.filter(conversation_id=conversation_id, after_seq__gte=first - 1)
        .exclude(mode=Conversation.Mode.CLOSED)
        .order_by("at")
    ]
    return sorted([*lines, *marks], key=lambda line: (line.seq, line.author == Message.Author.SYSTEM))


def as_text(lines: Sequence[Line]) -> str:
    """The lines as a transcript for a prompt."""
    return "\n".join(f"{_author(line.author)}: {line.text}" for line in lines)


def _author(author: str) -> str:
    return str(Message.Author(author).label).capitalize()
