"""The models in the order in which they are tried."""

from __future__ import annotations

from typing import Any

from foundation.cache import Remembered

from .models import LanguageModel

#: After so many seconds a change made in another process takes effect.
SECONDS = 2.0


def _load() -> tuple[list[LanguageModel], LanguageModel]:
    rows = list(LanguageModel.objects.all())
    offline = next((row for row in rows if row.kind == LanguageModel.Kind.OFFLINE), None)
    network = [row for row in rows if row.enabled and row.kind != LanguageModel.Kind.OFFLINE]
    return network, offline or LanguageModel(name="offline", kind=LanguageModel.Kind.OFFLINE)


_roster: Remembered[str, tuple[list[LanguageModel], LanguageModel]] = Remembered(SECONDS, lambda _key: _load())


def enabled() -> list[LanguageModel]:
    """The enabled models that need the network, by position. The rows are shared between threads: read them only."""
    return _roster("all")[0]


def offline() -> LanguageModel:
    """The row of the offline model, or an unsaved stand-in: it answers last whether or not it has a row."""
    return _roster("all")[1]


def forget(**_signal: Any) -> None:
    """Read the rows again at the next call. Connected to their save and delete signals."""
    _roster.forget()
