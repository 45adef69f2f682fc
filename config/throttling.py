"""Requests per minute and client address, counted in Redis. Webhooks and the widget have their own doors and limits."""

from __future__ import annotations

import ipaddress
import logging
from functools import cache
from typing import Any

import redis
from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from foundation.crypto import blind_index

logger = logging.getLogger(__name__)

PREFIX = "throttle:"
WINDOW_MS = 60_000


def client_address(request: Any) -> str:
    """The address a request came from: as many hops from the right as there are proxies of ours (`PROXIES`).

    What stands further left in X-Forwarded-For was written by the client, and may be anything.
    """
    direct = str(request.META.get("REMOTE_ADDR") or "")
    hops = [hop.strip() for hop in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if hop.strip()]
    if not settings.PROXIES or not hops:
        return direct
    hop = hops[-min(settings.PROXIES, len(hops))]
    try:
        return str(ipaddress.ip_address(hop))
    except ValueError:
        return direct


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
        key = PREFIX + blind_index(_network(client_address(request)), "address")
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


def _network(address: str) -> str:
    """Whom an address stands for: one host in IPv4, one /64 network in IPv6, where a host has countless addresses."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        mapped = parsed.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.IPv6Network((parsed, 64), strict=False))
    return str(parsed)
