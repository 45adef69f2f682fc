"""The journal of model calls, and the state of a model as its last calls left it."""

from __future__ import annotations

import logging
from datetime import timedelta
from decimal import Decimal

from django.db import DatabaseError
from django.utils import timezone

from foundation.db import execute
from foundation.errors import ProviderError, Unauthorized

from . import failures
from .base import Raw
from .models import LanguageModel, Usage

logger = logging.getLogger(__name__)

MILLION = Decimal(1_000_000)
#: A model that fails now and then keeps its last error this long, instead of flickering with every call.
ERROR_STAYS = timedelta(seconds=30)
BY_CODE = {
    failures.TIMEOUT: Usage.Outcome.TIMEOUT,
    failures.CONNECT: Usage.Outcome.UNAVAILABLE,
    failures.BLOCKED: Usage.Outcome.BLOCKED,
    failures.CUT: Usage.Outcome.CUT,
    failures.MALFORMED: Usage.Outcome.MALFORMED,
    "429": Usage.Outcome.RATE_LIMITED,
    "408": Usage.Outcome.TIMEOUT,
}


def cost_of(model: LanguageModel, raw: Raw) -> Decimal:
    """Dollars for the tokens of one call, by the row's prices; thinking is paid as output."""
    return (raw.input_tokens * model.input_price + (raw.output_tokens + raw.thinking_tokens) * model.output_price) / MILLION


def outcome_of(error: ProviderError) -> str:
    """The journal's word for an error."""
    if isinstance(error, Unauthorized):
        return Usage.Outcome.UNAUTHORIZED
    if error.code in BY_CODE:
        return BY_CODE[error.code]
    return Usage.Outcome.UNAVAILABLE if error.code.startswith("5") else Usage.Outcome.REJECTED


_RECORD = """
INSERT INTO llm_usage
    (model_id, model_name, purpose, reference, outcome, input_tokens, output_tokens, thinking_tokens, cost, latency_ms, at)
VALUES (%(model)s, %(name)s, %(purpose)s, %(reference)s, %(outcome)s, %(input)s, %(output)s, %(thinking)s, %(cost)s, %(ms)s,
    now())
"""


def record(model: LanguageModel, purpose: str, reference: str, outcome: str, raw: Raw, latency_ms: int) -> None:
    """Write one line of the journal. An answer is worth more than its line: a database error is logged, not raised."""
    try:
        execute(
            _RECORD,
            {
                "model": model.pk, "name": model.name, "purpose": purpose[:30], "reference": reference[:60],
                "outcome": str(outcome), "input": raw.input_tokens, "output": raw.output_tokens,
                "thinking": raw.thinking_tokens, "cost": cost_of(model, raw), "ms": latency_ms,
            },
        )  # fmt: skip
    except DatabaseError as error:
        logger.error("model call not journaled", extra={"model": model.name, "error": type(error).__name__})


def note_error(model: LanguageModel, error: ProviderError) -> None:
    """Show the error at the model, unless it is shown already."""
    text = str(error)[:300]
    if model.last_error != text:
        _note(model, text)


def note_success(model: LanguageModel) -> None:
    """Take back an error shown for long enough."""
    if model.last_error and (model.last_error_at is None or timezone.now() - model.last_error_at > ERROR_STAYS):
        _note(model, "")


def _note(model: LanguageModel, text: str) -> None:
    model.last_error = text
    model.last_error_at = timezone.now() if text else None
    if model._state.adding:
        return
    try:
        LanguageModel.objects.filter(pk=model.pk).update(last_error=text, last_error_at=model.last_error_at)
    except DatabaseError as error:
        logger.error("model state not noted", extra={"model": model.name, "error": type(error).__name__})
