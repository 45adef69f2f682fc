"""A circuit breaker per model row (and per voice), shared by all threads and processes through the Django cache.

Five failures in a row open it; after 30 seconds one call at a time is let through to try, and its success closes it.
(pybreaker is not used because it holds its lock for the length of the call, so that calls would queue one by one.)
A call costs one read of the cache; healthy models write nothing. Where the cache is away, every call is let through and
the cache is left alone for a moment.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from django.core.cache import cache
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

OPENS_AFTER = 5
HALF_OPEN_AFTER = 30.0
PROBE_LEASE = 60
MEMORY = 24 * 3600
CACHE_PAUSE = 5.0

Result = TypeVar("Result")
#: A model row's id, or a name of what else has a breaker.
Key = int | str
_cache_away_until = 0.0


@dataclass(frozen=True, slots=True)
class Admission:
    """Leave to make one call; tell it how the call went."""

    model_id: Key | None
    marked: bool = False
    """There are failures on record that a success wipes out."""
    probe: bool = False

    def succeeded(self) -> None:
        if self.marked and self.model_id is not None:
            keys = [_key(self.model_id, name) for name in ("opened", "failures", "probe")]
            _cached(lambda: cache.delete_many(keys), None)

    def failed(self) -> None:
        if self.model_id is not None:
            model_id = self.model_id
            _cached(lambda: _count_failure(model_id, probe=self.probe), None)


def enter(model_id: Key | None) -> Admission | None:
    """Leave to call the model, or None while its breaker is open. Unsaved rows have no breaker."""
    if model_id is None:
        return Admission(None)
    otherwise: Admission | None = Admission(model_id)
    return _cached(lambda: _enter(model_id), otherwise)


def _enter(model_id: Key) -> Admission | None:
    opened_key, failures_key = _key(model_id, "opened"), _key(model_id, "failures")
    state = cache.get_many((opened_key, failures_key))
    opened = state.get(opened_key)
    if opened is None:
        return Admission(model_id, marked=bool(state))
    if time.time() - float(opened) < HALF_OPEN_AFTER:
        return None
    if not cache.add(_key(model_id, "probe"), 1, timeout=PROBE_LEASE):
        return None
    return Admission(model_id, marked=True, probe=True)


def _count_failure(model_id: Key, *, probe: bool) -> None:
    opened_key, failures_key = _key(model_id, "opened"), _key(model_id, "failures")
    if probe:
        cache.set(opened_key, time.time(), timeout=MEMORY)
        cache.delete(_key(model_id, "probe"))
        return
    cache.add(failures_key, 0, timeout=MEMORY)
    try:
        failures = cache.incr(failures_key)
    except ValueError:  # a success wiped it out in between
        return
    if failures >= OPENS_AFTER and cache.add(opened_key, time.time(), timeout=MEMORY):
        logger.warning("model breaker opened", extra={"model": model_id, "failures": failures})


def _key(model_id: Key, name: str) -> str:
    return f"llm:breaker:{model_id}:{name}"


def _cached(operation: Callable[[], Result], otherwise: Result) -> Result:
    """The operation's result, or `otherwise` while the cache cannot be reached."""
    global _cache_away_until
    if time.monotonic() < _cache_away_until:
        return otherwise
    try:
        return operation()
    except (RedisError, OSError) as error:
        _cache_away_until = time.monotonic() + CACHE_PAUSE
        logger.warning("breaker cache is away", extra={"error": type(error).__name__})
        return otherwise
