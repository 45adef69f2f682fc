"""The contract between the house and a language model provider."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from pydantic import BaseModel

if TYPE_CHECKING:
    from .models import LanguageModel

Answer = TypeVar("Answer", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Audio:
    """A sound given to the model inline. `mime` is bare, without codecs: `audio/ogg`."""

    content: bytes
    mime: str


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of the exchange the model continues. `system` messages are joined into the instruction."""

    role: Literal["system", "user", "assistant"]
    text: str
    audio: Audio | None = None


@dataclass(frozen=True, slots=True)
class Request(Generic[Answer]):
    """One completion to make. `facts` is the structured form of what the messages say: the offline model reads only it."""

    purpose: str
    messages: Sequence[ChatMessage]
    schema: type[Answer]
    facts: Mapping[str, Any] = field(default_factory=dict)
    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Raw:
    """What a provider gave back: the text that should be JSON by the schema, and what it cost."""

    text: str
    input_tokens: int = 0
    output_tokens: int = 0
    thinking_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Completion(Generic[Answer]):
    """A validated answer, the model that gave it and what it took."""

    answer: Answer
    model: str
    input_tokens: int
    output_tokens: int
    thinking_tokens: int
    cost: float
    latency_ms: int
    degraded: bool
    """True when the offline model answered because no other could."""


class Provider(ABC):
    """Speaks one provider's protocol for one model row. Pure I/O. Raises the words of `foundation.errors`:
    Retry (time-out, 429, 5xx, unreachable), Unauthorized (key refused, no credit), Rejected (blocked, cut short, model gone).
    """

    def __init__(self, model: LanguageModel) -> None:
        self.model = model

    @abstractmethod
    def complete(self, request: Request[Any], *, timeout: float) -> Raw:
        """One call, no retries, over within `timeout` seconds."""
