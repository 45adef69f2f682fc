"""Proving a model row: one tiny call with its key, address and settings."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext as _
from pydantic import BaseModel, Field

from foundation.errors import ProviderError

from .base import ChatMessage, Request
from .completion import ask
from .models import LanguageModel
from .providers import offline

PURPOSE = "check"
TIMEOUT = 20.0


class Ready(BaseModel):
    """The answer that a working model gives."""

    ready: bool = Field(description="true")


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of it: usable or not, and one line for a manager."""

    ok: bool
    detail: str


def check_model(model: LanguageModel) -> Trial:
    """Make one real call of at most 20 seconds; it is journaled and updates the row's last error."""
    if model.kind == LanguageModel.Kind.OFFLINE:
        return _check_offline()
    messages = [
        ChatMessage("system", 'This is a connection test. Answer with the JSON object {"ready": true} and nothing else.'),
        ChatMessage("user", "Are you ready?"),
    ]
    try:
        completion = ask(Request(PURPOSE, messages, Ready), model, reference=PURPOSE, timeout=min(TIMEOUT, model.timeout))
    except ProviderError as error:
        return Trial(False, str(error))
    facts = {"model": model.name, "seconds": f"{completion.latency_ms / 1000:.1f}"}
    return Trial(True, _("%(model)s answered in %(seconds)s s.") % facts)


def _check_offline() -> Trial:
    known = offline.purposes()
    if not known:
        return Trial(False, _("The offline model has been taught nothing."))
    return Trial(True, _("The offline model can: %(purposes)s.") % {"purposes": ", ".join(known)})
