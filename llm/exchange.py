"""A request in the two parts that every provider wants: one instruction, and turns that begin and end with the user."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from . import schemas
from .base import Audio, Request
from .models import LanguageModel

#: Stands where a provider insists on a user's turn and there is none to give.
NOTHING_SAID = "…"


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side said without interruption."""

    role: Literal["user", "assistant"]
    text: str
    audio: tuple[Audio, ...] = ()


def instruction(request: Request[Any], model: LanguageModel) -> str:
    """The system messages as one text, with the schema spelled out for a model that takes none in the request."""
    texts = [message.text for message in request.messages if message.role == "system"]
    if not model.supports_schema:
        texts.append(
            "Answer with one JSON object that fits this JSON Schema, without any other words:\n"
            + schemas.as_text(request.schema)
        )
    return "\n\n".join(texts)


def turns(request: Request[Any]) -> list[Turn]:
    """The exchange with neighbouring messages of one side joined, beginning and ending with the user."""
    merged: list[Turn] = []
    for turn in _said(request):
        if merged and merged[-1].role == turn.role:
            last = merged.pop()
            turn = Turn(turn.role, "\n\n".join(filter(None, (last.text, turn.text))), last.audio + turn.audio)
        merged.append(turn)
    if not merged or merged[0].role != "user":
        merged.insert(0, Turn("user", NOTHING_SAID))
    if merged[-1].role != "user":
        merged.append(Turn("user", NOTHING_SAID))
    return merged


def _said(request: Request[Any]) -> Iterator[Turn]:
    for message in request.messages:
        if message.role != "system" and (message.text or message.audio):
            yield Turn(message.role, message.text, (message.audio,) if message.audio else ())


def has_audio(request: Request[Any]) -> bool:
    return any(message.audio for message in request.messages)


def temperature(request: Request[Any], model: LanguageModel) -> float | None:
    """The temperature to send; None: leave it to the model."""
    if not model.supports_temperature:
        return None
    return model.temperature if request.temperature is None else request.temperature


def top_p(request: Request[Any], model: LanguageModel) -> float | None:
    """Top-p to send. A model that takes no temperature takes no top-p either."""
    return request.top_p if model.supports_temperature else None


def longest(request: Request[Any], model: LanguageModel) -> int:
    """The limit of output tokens."""
    return request.max_output_tokens or model.max_output_tokens
