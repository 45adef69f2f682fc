"""Requests per minute and client address, counted in Redis. Webhooks and the widget have their own doors and limits."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

import redis
from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from foundation.addresses import client_address, network
from foundation.crypto import blind_index

logger = logging.getLogger(__name__)

PREFIX = "throttle:"
WINDOW_MS = 60_000


@cache
def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1)


class PerAddress(BaseThrottle):
    """RATE_LIMIT_PER_MINUTE requests from one address within a minute that begins with the first of them.

    One atomic step counts and reads, so parallel requests cannot slip through together. Without Redis nobody is held up.
    """

    def __init__(self) -> None:
        self._wait: float | None = None

    def allow_request(self, request: Request, view: Any) -> bool:
        key = PREFIX + blind_index(network(client_address(request)), "address")
        try:
            with _client(settings.REDIS_URL).pipeline(transaction=True) as pipeline:
                pipeline.set(key, 0, px=WINDOW_MS, nx=True)
                pipeline.incr(key)
                pipeline.pttl(key)
                _made, count, left_ms = pipeline.execute()
        except redis.RedisError as error:
            logger.warning("requests are not counted", extra={"error": type(error).__name__})
            return True
        self._wait = max(0, left_ms) / 1000
        return bool(count <= settings.RATE_LIMIT_PER_MINUTE)

    def wait(self) -> float | None:
        """Seconds until the minute is over, for Retry-After."""
        return self._wait
