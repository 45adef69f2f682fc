"""How much waits in the broker: numbers for people. The rows in PostgreSQL stay the queue of record."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from kombu import Connection
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)

#: Seconds a page waits for the broker before it shows no number.
TIMEOUT = 1.0


def queue_sizes() -> dict[str, int | None]:
    """Messages that wait in each declared queue, in the order of the settings; None where the broker does not say.

    Never raises for a broker that is away.
    """
    names: list[str] = [queue.name for queue in settings.CELERY["task_queues"]]
    unknown: dict[str, int | None] = dict.fromkeys(names)
    options = {"socket_timeout": TIMEOUT, "socket_connect_timeout": TIMEOUT}
    with Connection(settings.BROKER_URL, connect_timeout=TIMEOUT, transport_options=options) as connection:
        lost = (*connection.connection_errors, *connection.channel_errors, OperationalError, OSError)
        try:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=TIMEOUT)
            if connection.transport.driver_type == "redis":
                return unknown | _lengths(connection, names)
            return unknown | _declared(connection, names)
        except lost as error:
            logger.warning("queue sizes not available", extra={"error": type(error).__name__})
            return unknown


def _lengths(connection: Any, names: Sequence[str]) -> dict[str, int | None]:
    """On Redis a queue is a list, and one that is empty does not exist."""
    with connection.channel() as channel, channel.client.pipeline(transaction=False) as pipeline:
        for name in names:
            pipeline.llen(name)
        return dict(zip(names, pipeline.execute(), strict=True))


def _declared(connection: Any, names: Sequence[str]) -> dict[str, int | None]:
    """On RabbitMQ a passive declaration tells the length; for a queue that does not exist it closes the channel."""
    sizes: dict[str, int | None] = {}
    for name in names:
        try:
            with connection.channel() as channel:
                sizes[name] = channel.queue_declare(name, passive=True).message_count
        except connection.channel_errors:
            sizes[name] = None
    return sizes
