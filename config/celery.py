"""The Celery application of all workers, beat and Flower."""

from __future__ import annotations

import logging
import os
from typing import Any

import redis.exceptions
from celery import Celery
from celery.signals import setup_logging, task_postrun, task_prerun, worker_init
from django.db import close_old_connections, connections
from kombu.exceptions import OperationalError
from kombu.transport import redis as kombu_redis

logger = logging.getLogger(__name__)

#: Seconds after which a pool closes one connection that it did not need in that time.
POOL_SHRINKS_EVERY = 3.0

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("saudager")
app.config_from_object("config.settings:CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def _keep_our_logging(**_: Any) -> None:
    """Django's settings have configured logging already; connecting keeps Celery from replacing it."""


@task_prerun.connect
def _drop_broken_connections(**_: Any) -> None:
    """Reuse the thread's connection unless it broke (a PostgreSQL restart), as a web request would."""
    close_old_connections()


@worker_init.connect
def _declare_queues(**_: Any) -> None:
    """On RabbitMQ every worker binds all queues to the delayed delivery, so all must exist before the first one starts."""
    if not str(app.conf.broker_url).startswith(("amqp", "pyamqp")):
        return
    try:
        with app.connection_for_write() as broker:
            broker.ensure_connection(max_retries=3, timeout=10)
            for queue in app.amqp.queues.values():
                queue(broker.default_channel).declare()
    except OperationalError as error:
        logger.warning("queues not declared yet", extra={"error": type(error).__name__})


@worker_init.connect
def _share_connections(sender: Any = None, **_: Any) -> None:
    """Let a worker's threads take database connections from a pool that shrinks again: an idle one costs 4 MB in PostgreSQL.

    There are as many as threads, and some for what works beside the tasks: nobody ever waits for one.
    """
    if sender is None or "prefork" in sender.pool_cls.__module__:
        return
    database = connections.settings["default"]
    database["CONN_MAX_AGE"] = 0
    database["OPTIONS"].setdefault(
        "pool", {"min_size": 2, "max_size": sender.concurrency + 4, "timeout": 10, "max_idle": POOL_SHRINKS_EVERY}
    )
    task_postrun.connect(_give_connection_back, weak=False)


def _give_connection_back(**_: Any) -> None:
    close_old_connections()


def _guard_reconnect() -> None:
    """Keep a worker alive through a Redis restart.

    Celery 5.7.0 closes the lost connection; kombu's channel then restores unacknowledged messages through a
    connection that is gone, and the AttributeError ends the worker. As a connection error, both callers handle it.
    """
    original: Any = kombu_redis.Channel._connparams

    def _connparams(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.connection is None or self.connection.client is None:
            raise redis.exceptions.ConnectionError("the channel outlived its connection")
        return original(self, *args, **kwargs)

    setattr(kombu_redis.Channel, "_connparams", _connparams)  # noqa: B010  a library's method, replaced on purpose


_guard_reconnect()
