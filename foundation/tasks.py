"""Enqueueing: the broker gets a hint after the commit, and a broker that is down costs latency, never a row."""

from __future__ import annotations

import logging
import math
import queue
import threading
from typing import Any

from celery import current_app
from django.conf import settings
from django.db import transaction
from kombu.exceptions import OperationalError
from kombu.transport import redis as kombu_redis

from . import faults

logger = logging.getLogger(__name__)

#: Hints waiting in a web process for its publishing thread; beyond this they are dropped, the sweeper finds the rows.
BACKLOG = 10_000
_waiting: queue.Queue[tuple[str, int, float]] = queue.Queue(BACKLOG)
_publisher: threading.Thread | None = None
_lock = threading.Lock()


def kick(task: str, row_id: int, *, delay: float = 0) -> None:
    """Enqueue the task named `task` for one row after the current transaction commits (at once outside of one).

    `delay` is in seconds and short (at most 60): longer waits are columns that a sweeper reads. Never raises for a
    broker that is away, and never makes a web request wait for it: the sweeper finds the row.
    """

    def send() -> None:
        (_hand_over if settings.KICK_IN_BACKGROUND else _publish)(task, row_id, delay)

    transaction.on_commit(send, robust=True)


def _publish(task: str, row_id: int, delay: float) -> None:
    if delay and settings.BROKER_URL.startswith(("amqp", "pyamqp")):
        # RabbitMQ's delayed delivery counts whole seconds; earlier than asked, the row would not be due.
        delay = math.ceil(delay)
    faults.point("enqueue")
    try:
        current_app.send_task(task, args=(row_id,), countdown=delay or None)
    except (OperationalError, OSError) as error:
        logger.warning(
            "broker away, the sweeper will pick up", extra={"task": task, "row": row_id, "error": type(error).__name__}
        )


def _hand_over(task: str, row_id: int, delay: float) -> None:
    global _publisher
    with _lock:
        if _publisher is None or not _publisher.is_alive():
            _publisher = threading.Thread(target=_publish_waiting, name="publisher", daemon=True)
            _publisher.start()
    try:
        _waiting.put_nowait((task, row_id, delay))
    except queue.Full:
        logger.warning("too many hints waiting, the sweeper will pick up", extra={"task": task, "row": row_id})


def _publish_waiting() -> None:
    while True:
        _publish(*_waiting.get())


def _keep_clients() -> None:
    """Let a kombu channel make its Redis client once instead of for each command: publish, take over, acknowledge.

    Making one copies two hundred entries, six times a message. It holds no connection: that comes from the channel's pool.
    """
    original: Any = kombu_redis.Channel._create_client

    def _create_client(self: Any, asynchronous: bool = False) -> Any:
        if asynchronous:
            return original(self, asynchronous)
        kept = vars(self).get("_kept_client")
        # The pool is another one after the connection was lost.
        if kept is None or kept.connection_pool is not self.pool:
            kept = self._kept_client = original(self)
        return kept

    setattr(kombu_redis.Channel, "_create_client", _create_client)  # noqa: B010  a library's method, replaced on purpose


_keep_clients()
