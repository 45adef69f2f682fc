"""Only what is true leaves: a reply whose amounts, dates or links no source confirms is composed anew, once, then refused."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel

from llm.base import ChatMessage, Completion, Request
from llm.completion import complete
from llm.models import LanguageModel

from .guard import Claim, untraceable

logger = logging.getLogger(__name__)


class Worded(Protocol):
    """An answer with words for the customer."""

    reply: str


Answer = TypeVar("Answer", bound=BaseModel)
#: The texts that a reply may draw on.
Sources = Callable[[str], Sequence[str]]


class Unproven(Exception):
    """Both attempts stated something that no source confirms. `completion` is the second attempt, never to be sent."""

    def __init__(self, completion: Completion[Any], claims: Sequence[Claim]) -> None:
        super().__init__(f"{len(claims)} claims without a source")
        self.completion = completion
        self.claims = claims


def complete_proven(
    request: Request[Answer], sources: Sources, *, today: date, models: Sequence[LanguageModel] | None, reference: str
) -> Completion[Answer]:
    """As `llm.complete`, for an answer with a `reply` whose claims must stand in its `sources`. Raises NoModel and Unproven.

    Tokens, cost and time of a first attempt that was thrown away are counted in.
    """
    first = complete(request, models=models, reference=reference)
    claims = _claims(first, sources, today)
    if not claims:
        return first
    logger.warning("reply not proven", extra={"reference": reference, "kinds": sorted({claim.kind for claim in claims})})
    again = replace(request, messages=[*request.messages, *_objection(first, claims)])
    second = complete(again, models=models, reference=reference)
    second = replace(
        second,
        input_tokens=first.input_tokens + second.input_tokens,
        output_tokens=first.output_tokens + second.output_tokens,
        thinking_tokens=first.thinking_tokens + second.thinking_tokens,
        cost=first.cost + second.cost,
        latency_ms=first.latency_ms + second.latency_ms,
    )
    claims = _claims(second, sources, today)
    if claims:
        raise Unproven(second, claims)
    return second


def _claims(completion: Completion[Any], sources: Sources, today: date) -> list[Claim]:
    answer: Worded = completion.answer
    return untraceable(answer.reply, sources(answer.reply), today=today)


def _objection(refused: Completion[Any], claims: Sequence[Claim]) -> list[ChatMessage]:
    """What the model is told of its first attempt: which words had no source."""
    named = "; ".join(sorted({f"«{claim.text}»" for claim in claims}))
    return [
        ChatMessage("assistant", refused.answer.reply),
        ChatMessage(
            "user",
            f"[Проверка] Этот ответ клиенту не отправлен: {named} нет ни в базе знаний, ни в сведениях. Ответьте заново на "
            "последнее сообщение клиента без этих значений: только то, что стоит в источниках дословно; чего там нет, "
            "уточнит менеджер.",
        ),
    ]
