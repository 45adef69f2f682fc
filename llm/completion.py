"""Asking language models: the ordered list, tries and waits, deadline, breaker, validation and journal.

    completion = complete(Request("moderate", messages, Verdict, facts=facts), reference="turn 17")

A model that is slow, full, broken, unpaid, silent or talks nonsense is followed by the next one; the offline model is
always last.
"""

from __future__ import annotations

import logging
import random
import time
import traceback
from collections.abc import Sequence
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings

from foundation.errors import ProviderError, Rejected, Retry

from . import breaker, exchange, failures, roster, usage
from .base import Answer, Completion, Raw, Request
from .failures import NoModel
from .models import LanguageModel, Usage
from .reading import NotAnAnswer, read
from .registry import provider_for

logger = logging.getLogger(__name__)

#: Seconds that a reply may take over all models.
DEADLINE = 60.0
#: A call is not begun with less time than this.
SHORTEST_CALL = 0.3
FIRST_PAUSE, LONGEST_PAUSE = 0.3, 2.0

clock = time.monotonic
sleep = time.sleep

__all__ = ["NoModel", "ask", "complete"]


def complete(
    request: Request[Answer],
    *,
    models: Sequence[LanguageModel] | None = None,
    reference: str = "",
    deadline: float | None = None,
) -> Completion[Answer]:
    """The first valid answer of the models, tried in order (default: the enabled rows by position), offline last.

    `reference` names what the call is for in the journal (`turn 17`), never a person. `deadline` is in seconds from now;
    half of what is left goes to each model that still has another after it. Raises NoModel when even the offline model
    has no function for the purpose.
    """
    until = clock() + (DEADLINE if deadline is None else deadline)
    errors: list[ProviderError] = []
    chosen = roster.enabled() if models is None else models
    network = [model for model in chosen if model.enabled and model.kind != LanguageModel.Kind.OFFLINE]
    able = [model for model in network if model.supports_audio] if exchange.has_audio(request) else network
    for place, model in enumerate(able):
        last = place == len(able) - 1
        budget = (until - clock()) / (1 if last else 2)
        completion = _persist(request, model, reference, clock() + budget, errors, patient=last)
        if completion is not None:
            return completion
    try:
        return ask(request, roster.offline(), reference=reference, timeout=SHORTEST_CALL, degraded=bool(network))
    except Rejected as error:
        raise NoModel(request.purpose, [*errors, error]) from None


def _persist(
    request: Request[Answer],
    model: LanguageModel,
    reference: str,
    until: float,
    errors: list[ProviderError],
    *,
    patient: bool,
) -> Completion[Answer] | None:
    """Ask one model until it answers, its tries or its time are used up, or asking again cannot help."""
    for attempt in range(settings.MAX_RETRIES):
        left = until - clock()
        if left < SHORTEST_CALL:
            return None
        admission = breaker.enter(model.pk)
        if admission is None:
            return None
        timeout = min(model.timeout, settings.LLM_TIMEOUT_SECONDS, left)
        try:
            completion = ask(request, model, reference=reference, timeout=timeout)
        except ProviderError as error:
            errors.append(error)
            healthy = error.code in failures.ABOUT_THE_EXCHANGE
            admission.succeeded() if healthy else admission.failed()
            pause = _pause(error, attempt, patient=patient)
            if pause is None or attempt + 1 == settings.MAX_RETRIES or clock() + pause + SHORTEST_CALL > until:
                return None
            sleep(pause)
        else:
            admission.succeeded()
            return completion
    return None


def _pause(error: ProviderError, attempt: int, *, patient: bool) -> float | None:
    """Seconds to wait before asking the same model again; None: do not.

    A wait that the provider asks for is kept in full where no other model is left, and otherwise only if it is short.
    """
    if not isinstance(error, Retry):
        return None
    if error.after is not None:
        return error.after if patient or error.after <= LONGEST_PAUSE else None
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0**attempt) * random.uniform(0.7, 1.3)


def ask(
    request: Request[Answer], model: LanguageModel, *, reference: str = "", timeout: float, degraded: bool = False
) -> Completion[Answer]:
    """One call of one model, validated and journaled. Raises the words of `foundation.errors`."""
    started = clock()
    try:
        raw = provider_for(model).complete(request, timeout=timeout)
        try:
            answer = read(raw.text, request.schema)
        except NotAnAnswer:
            raise failures.malformed(model.name, raw) from None
    except ProviderError as error:
        _failed(request, model, reference, error, started)
        raise
    except SoftTimeLimitExceeded:
        raise
    except Exception as error:  # noqa: BLE001  an SDK's own fault must not keep the next model from answering
        wrapped = _unexpected(model, error)
        _failed(request, model, reference, wrapped, started)
        raise wrapped from None
    latency_ms = _milliseconds(started)
    usage.record(model, request.purpose, reference, Usage.Outcome.OK, raw, latency_ms)
    usage.note_success(model)
    return Completion(
        answer=answer,
        model=model.name,
        input_tokens=raw.input_tokens,
        output_tokens=raw.output_tokens,
        thinking_tokens=raw.thinking_tokens,
        cost=float(usage.cost_of(model, raw)),
        latency_ms=latency_ms,
        degraded=degraded,
    )


def _failed(request: Request[Any], model: LanguageModel, reference: str, error: ProviderError, started: float) -> None:
    outcome, latency_ms = usage.outcome_of(error), _milliseconds(started)
    logger.info(
        "model call failed", extra={"model": model.name, "purpose": request.purpose, "outcome": outcome, "ms": latency_ms}
    )
    spent = error.spent if isinstance(error, failures.Unusable) else Raw("")
    usage.record(model, request.purpose, reference, outcome, spent, latency_ms)
    usage.note_error(model, error)


def _unexpected(model: LanguageModel, error: Exception) -> Rejected:
    """An exception no provider should let through, without its text, which may quote the exchange."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{place.filename.rpartition('site-packages/')[2]}:{place.lineno}"
    logger.error("model call broke", extra={"model": model.name, "error": type(error).__name__, "where": where})
    return Rejected(f"{model.name}: {type(error).__name__}", code="internal")


def _milliseconds(started: float) -> int:
    return round((clock() - started) * 1000)
