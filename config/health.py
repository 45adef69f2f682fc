"""`/health`: the process answers. `/ready`: it can do its work. For load balancers and supervisors; no personal data.

Both are open to everybody, so what they find out is remembered for a moment: asking often costs nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import redis
from django.conf import settings
from django.db import Error, connection
from django.db.models import Count, Max, Q
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from kombu import Connection
from kombu.exceptions import OperationalError

from channels.models import Channel
from foundation.cache import Remembered

logger = logging.getLogger(__name__)

#: Seconds for which an answer is remembered.
SECONDS = 2.0
#: The worst first: what the enabled Wappi channels together are.
WORST_FIRST = (Channel.Health.NEEDS_ATTENTION, Channel.Health.TROUBLE, Channel.Health.UNKNOWN, Channel.Health.OK)


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found at one moment. `wappi` is a Channel.Health, or empty where no Wappi channel is enabled."""

    database: bool
    redis: bool
    broker: bool
    troubled: int = 0
    paused: int = 0
    polled_at: datetime | None = None
    wappi: str = ""

    @property
    def healthy(self) -> bool:
        return self.database and self.redis and self.broker and not self.troubled


def health(request: HttpRequest) -> JsonResponse:
    """The specification's fields: connections in words and the time of the last poll. Always 200 while the process lives."""
    found = findings("all")
    return JsonResponse(
        {
            "status": "healthy" if found.healthy else "degraded",
            "wappi_connection": found.wappi or "not_configured",
            "database_connection": _word(found.database),
            "queue_connection": _word(found.broker),
            "cache_connection": _word(found.redis),
            "channels_needing_attention": found.troubled,
            "channels_sending_paused": found.paused,
            "last_poll_time": found.polled_at,
            "time": timezone.now(),
        }
    )


def ready(request: HttpRequest) -> JsonResponse:
    """200 when PostgreSQL answers and is migrated; 503 otherwise. A broker that is away only slows us down."""
    found = findings("all")
    checks = {"database": found.database, "redis": found.redis, "broker": found.broker}
    return JsonResponse({name: _word(ok) for name, ok in checks.items()}, status=200 if found.database else 503)


def _look(_key: Hashable) -> Findings:
    cache, broker = _works(_redis), _works(_broker)
    try:
        _database()
        return Findings(database=True, redis=cache, broker=broker, **_channels())
    except Error as error:
        logger.warning("database not usable", extra={"error": type(error).__name__})
        return Findings(database=False, redis=cache, broker=broker)


findings = Remembered(SECONDS, _look)


def _word(ok: bool) -> str:
    return "ok" if ok else "unavailable"


def _works(check: Callable[[], Any]) -> bool:
    try:
        check()
    except (redis.RedisError, OperationalError, OSError) as error:
        logger.warning("connection not usable", extra={"check": check.__name__, "error": type(error).__name__})
        return False
    return True


def _database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM conversations_turn LIMIT 1")


def _channels() -> dict[str, Any]:
    enabled = Channel.objects.filter(enabled=True)
    told = enabled.aggregate(polled_at=Max("polled_at"), troubled=Count("pk", filter=Q(health=Channel.Health.NEEDS_ATTENTION)))
    paused = enabled.filter(breaker__opened_at__isnull=False, breaker__recovered_at=None).count()
    states = set(enabled.filter(kind=Channel.Kind.WAPPI).values_list("health", flat=True))
    return {**told, "paused": paused, "wappi": next((str(state) for state in WORST_FIRST if state in states), "")}


def _redis() -> None:
    with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1) as client:
        client.ping()


def _broker() -> None:
    options = {"socket_timeout": 2, "socket_connect_timeout": 2}
    with Connection(settings.BROKER_URL, connect_timeout=2, transport_options=options) as broker:
        broker.ensure_connection(max_retries=1, interval_start=0, timeout=2)
        broker.connect()
