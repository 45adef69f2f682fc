"""Signs of life: each queue is shown to be read by a worker, and beat to tick, by times kept in Redis.

Beat puts a small task into every queue twice a minute; whichever worker takes it notes the time. All times are of the Redis
server's clock. A lost note costs nothing: the next one comes.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import redis
from celery import current_task
from celery.signals import after_task_publish, beat_init
from django.conf import settings

logger = logging.getLogger(__name__)

#: A queue or beat that has said nothing for so long is shown as silent.
SILENT = timedelta(seconds=90)
#: Queues of the one process that reads documents: a document may take as long as a task may.
BUSY = frozenset({"knowledge", "documents"})
#: A beat that ticked within this time still runs.
BEAT_RUNS = timedelta(seconds=30)
QUEUES_KEY, BEATS_KEY = "pulse:queues", "pulse:beats"
#: Beat's ticks are written at most once in so many seconds.
_TICK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Pulse:
    """Who gave the last sign of life, when, and whether that is too long ago."""

    by: str
    at: datetime
    silent: bool


@dataclass(frozen=True, slots=True)
class Pulses:
    """Signs of life by queue (None: there never was one), and of every beat that was seen of late, the newest first."""

    queues: Mapping[str, Pulse | None]
    beats: tuple[Pulse, ...]

    @property
    def running_beats(self) -> int:
        """How many beats run at this moment. More than one is harmless and needless."""
        return sum(not beat.silent for beat in self.beats)


@cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1, decode_responses=True)


def _now() -> float:
    seconds, micros = _client().time()
    return float(seconds) + float(micros) / 1e6


def note_queue() -> None:
    """Within a task: note that this worker reads the queue through which the task came."""
    request = current_task.request
    queue = (request.delivery_info or {}).get("routing_key")
    if queue:
        _note(QUEUES_KEY, str(queue), str(request.hostname or socket.gethostname()))


def _note(key: str, field: str, value: str) -> None:
    try:
        _client().hset(key, field, f"{_now():.3f} {value}")
    except redis.RedisError as error:
        logger.warning("sign of life not noted", extra={"of": field, "error": type(error).__name__})


# ── Beat ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

_ticked = 0.0


def _tick(**_: Any) -> None:
    """Beat has sent a task."""
    global _ticked
    if time.monotonic() - _ticked >= _TICK_SECONDS:
        _ticked = time.monotonic()
        _note(BEATS_KEY, f"{socket.gethostname()}:{os.getpid()}", "")


@beat_init.connect
def _watch_beat(**_: Any) -> None:
    """Beats that ended an hour ago are forgotten; this one is watched."""
    try:
        limit = _now() - 3600
        old = [field for field, value in _stored(BEATS_KEY).items() if float(value.split()[0]) < limit]
        if old:
            _client().hdel(BEATS_KEY, *old)
    except redis.RedisError as error:
        logger.warning("old beats not forgotten", extra={"error": type(error).__name__})
    after_task_publish.connect(_tick, weak=False, dispatch_uid="config.pulse.tick")


# ── Reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def read() -> Pulses | None:
    """The last signs of life of every queue of the settings; None where Redis is away."""
    try:
        now, queues, beats = _now(), _stored(QUEUES_KEY), _stored(BEATS_KEY)
    except redis.RedisError as error:
        logger.warning("signs of life not available", extra={"error": type(error).__name__})
        return None
    names: list[str] = [queue.name for queue in settings.CELERY["task_queues"]]
    return Pulses(
        {name: _pulse(queues.get(name), now, silent_after(name)) for name in names},
        tuple(sorted(
            (found for field, value in beats.items() if (found := _pulse(f"{value.split()[0]} {field}", now, BEAT_RUNS))),
            key=lambda beat: beat.at, reverse=True,
        )),
    )  # fmt: skip


def _stored(key: str) -> dict[str, str]:
    return {str(field): str(value) for field, value in _client().hgetall(key).items()}


def silent_after(queue: str) -> timedelta:
    """How long a queue may show no sign of life."""
    return SILENT + timedelta(seconds=settings.CELERY["task_time_limit"]) if queue in BUSY else SILENT


def _pulse(stored: str | None, now: float, limit: timedelta) -> Pulse | None:
    if not stored:
        return None
    at, _space, by = stored.partition(" ")
    return Pulse(by, datetime.fromtimestamp(float(at), UTC), now - float(at) > limit.total_seconds())
