"""One at a time across all threads and processes, for providers that mix up answers to calls made at once.

A lock in Redis, which expires by itself when its holder dies. While Redis is away it holds within the process only.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import redis
from django.conf import settings
from redis.exceptions import LockError
from redis.lock import Lock

logger = logging.getLogger(__name__)

PREFIX = "turn:"
#: Seconds between two looks whether the turn has come.
LOOK = 0.05
#: Seconds for which a Redis that did not answer is left alone.
REDIS_PAUSE = 5.0

_local: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
_redis_away_until = 0.0


class Busy(Exception):
    """The turn did not come in time."""


@cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)


@contextmanager
def turn(name: str, *, wait: float, hold: float) -> Iterator[None]:
    """Run the block while nobody else runs one of this name. `name` holds no personal data.

    Waits at most `wait` seconds, raises Busy then; the turn is over after `hold` seconds, whoever still thinks to have it.
    """
    until = time.monotonic() + wait
    with _threads(name, wait):
        lock = _shared(name, max(0.0, until - time.monotonic()), hold)
        try:
            yield
        finally:
            if lock is not None:
                _release(lock)


@contextmanager
def _threads(name: str, wait: float) -> Iterator[None]:
    lock = _local[name]
    if not lock.acquire(timeout=wait):
        raise Busy(name)
    try:
        yield
    finally:
        lock.release()


def _shared(name: str, wait: float, hold: float) -> Lock | None:
    global _redis_away_until
    if time.monotonic() < _redis_away_until:
        return None
    lock: Lock = _client().lock(PREFIX + name, timeout=hold, sleep=LOOK, blocking_timeout=wait, thread_local=False)
    try:
        if lock.acquire():
            return lock
    except (redis.RedisError, OSError) as error:
        _redis_away_until = time.monotonic() + REDIS_PAUSE
        logger.warning("turns are kept within the process only", extra={"error": type(error).__name__})
        return None
    raise Busy(name)


def _release(lock: Lock) -> None:
    try:
        lock.release()
    except (LockError, redis.RedisError, OSError) as error:
        # It expired, or Redis is away: it expires by itself.
        logger.info("turn not given back", extra={"error": type(error).__name__})
