"""Telling open pages that something changed: Redis publish/subscribe as a doorbell, never as the news itself.

A lost ring costs a reader the few seconds until it looks by itself.
"""

from __future__ import annotations

import json
import logging
from functools import cache
from typing import Any

import redis
from django.conf import settings

logger = logging.getLogger(__name__)

PREFIX = "live:"


@cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)


def ring(topic: str, **what: Any) -> None:
    """Tell whoever listens to `topic` (such as `conversation:17`) that it changed; `what` holds no personal data."""
    try:
        _client().publish(PREFIX + topic, json.dumps(what))
    except redis.RedisError as error:
        logger.warning("doorbell away", extra={"topic": topic, "error": type(error).__name__})
