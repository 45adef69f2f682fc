"""Celery's settings for either broker, the queues, and who does what where.

Broker messages are hints that carry one row id; PostgreSQL is the queue of record. The reasons for single values are
in `docs/celery.md`.
"""

from __future__ import annotations

import math
from typing import Any

from kombu import Exchange, Queue

#: Queue name → arguments on RabbitMQ. The three queues of the WhatsApp specification carry its TTL and length limits;
#: what expires or overflows there comes back through the sweeper.
QUEUES: dict[str, dict[str, int]] = {
    "poll": {},
    "incoming_messages": {"x-message-ttl": 86_400_000, "x-max-length": 10_000},
    "voice_transcription": {"x-message-ttl": 7_200_000, "x-max-length": 1_000},
    "answers": {},
    "outgoing_messages": {"x-message-ttl": 3_600_000, "x-max-length": 5_000},
    "follow_ups": {},
    "documents": {},
    "payments": {},
    "integrations": {},
    "knowledge": {},
    "maintenance": {},
}

#: Task name → queue. Every task of the project stands here; a test compares.
ROUTES = {
    "channels.poll_all": "maintenance",
    "channels.poll": "poll",
    "channels.reconcile_all": "maintenance",
    "channels.reconcile": "poll",
    "channels.check_all": "maintenance",
    "channels.check": "poll",
    "channels.purge": "maintenance",
    "conversations.receive": "incoming_messages",
    "conversations.transcribe": "voice_transcription",
    "conversations.classify": "answers",
    "conversations.deliver": "outgoing_messages",
    "conversations.drain": "outgoing_messages",
    "conversations.confirm": "outgoing_messages",
    "conversations.tell_managers": "integrations",
    "conversations.sweep": "maintenance",
    "conversations.purge": "maintenance",
    "sales.answer": "answers",
    "sales.touch": "follow_ups",
    "sales.plan_follow_ups": "maintenance",
    "sales.fire_touches": "follow_ups",
    "sales.remind_calls": "follow_ups",
    "knowledge.parse": "knowledge",
    "knowledge.scan": "knowledge",
    "knowledge.sweep": "maintenance",
    "config.backup": "maintenance",
    "config.audit": "maintenance",
    # Beat names the queue: each gets one.
    "config.pulse": "maintenance",
}

#: Seconds between two signs of life of a queue.
PULSE_SECONDS = 30.0


def settings_for(broker_url: str, *, polling_interval: float, sweep_interval: float = 5.0) -> dict[str, Any]:
    """Celery's configuration for a Redis or RabbitMQ broker URL."""
    common = {
        "broker_url": broker_url,
        "task_ignore_result": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_acks_late": True,
        "task_acks_on_failure": True,
        "task_acks_on_timeout": True,
        "task_create_missing_queues": False,
        "task_default_queue": "maintenance",
        "task_routes": {task: {"queue": queue} for task, queue in ROUTES.items()},
        "task_soft_time_limit": 100,
        "task_time_limit": 120,
        "task_publish_retry": False,
        "worker_prefetch_multiplier": 1,
        "worker_max_tasks_per_child": 500,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # Flower switches task events on while it runs; nobody else needs them, and they cost a tenth of the throughput.
        "worker_send_task_events": False,
        "task_send_sent_event": False,
        "worker_hijack_root_logger": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_connection_timeout": 4,
        "timezone": "UTC",
        "enable_utc": True,
        # Celery's Django fixup otherwise closes every connection around every task (it looks this name up literally).
        "CELERY_DB_REUSE_MAX": 10**9,
        "beat_scheduler": "django_celery_beat.schedulers:DatabaseScheduler",
        "beat_schedule": schedule(polling_interval, sweep_interval),
    }
    return common | (_rabbitmq() if broker_url.startswith(("amqp", "pyamqp")) else _redis())


def schedule(polling_interval: float, sweep_interval: float) -> dict[str, Any]:
    """What beat starts, and how often in seconds. A tick that waited longer than its period, or an hour, is dropped."""
    every = {
        "channels.poll_all": polling_interval,
        "conversations.sweep": sweep_interval,
        "knowledge.sweep": 15.0,
        "knowledge.scan": 30.0,
        "sales.fire_touches": 30.0,
        "sales.plan_follow_ups": 60.0,
        "sales.remind_calls": 60.0,
        "channels.check_all": 60.0,
        "channels.reconcile_all": 30.0,
        "channels.purge": 3600.0,
        "conversations.purge": 3600.0,
        "config.backup": 3600.0,
        "config.audit": 86_400.0,
    }
    entries = {task: _every(seconds, task) for task, seconds in every.items()}
    return entries | {f"config.pulse {queue}": _every(PULSE_SECONDS, "config.pulse", queue=queue) for queue in QUEUES}


def _every(seconds: float, task: str, **options: Any) -> dict[str, Any]:
    # The name that django-celery-beat knows for whole seconds; it drops Celery's own `expires`.
    expires = {"expire_seconds": min(max(math.ceil(seconds), 5), 3600)}
    return {"task": task, "schedule": seconds, "options": options | expires}


def _redis() -> dict[str, Any]:
    return {
        "task_queues": [Queue(name, routing_key=name) for name in QUEUES],
        # The row's lease and the sweeper bring work back; on Redis a poison task would otherwise loop for ever.
        "task_reject_on_worker_lost": False,
        "broker_transport_options": {
            "visibility_timeout": 900,
            "unacked_restore_interval": 10,
            "unacked_restore_throttle": 1,
            "socket_timeout": 5,
            "socket_connect_timeout": 3,
            "socket_keepalive": True,
            "health_check_interval": 25,
        },
        "visibility_timeout": 900,
    }


def _rabbitmq() -> dict[str, Any]:
    # Delayed delivery of quorum queues needs a topic exchange.
    exchange = Exchange("saudager", type="topic")
    common = {"x-queue-type": "quorum", "x-delivery-limit": 5, "x-overflow": "reject-publish"}
    return {
        "task_default_queue_type": "quorum",
        "task_default_exchange_type": "topic",
        "task_default_exchange": "saudager",
        "task_queues": [
            Queue(name, exchange, routing_key=name, queue_arguments=common | limits) for name, limits in QUEUES.items()
        ],
        "task_reject_on_worker_lost": True,
        # A frozen worker is a stranger after two of these, sooner than its leases run out: the broker then gives what it
        # keeps there, and what the sweeper sends anew, to workers that live.
        "broker_heartbeat": 8,
        # Redis connects anew by itself; here a connection that was lost would fail every publish, and beat has but one.
        "task_publish_retry": True,
        "task_publish_retry_policy": {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0},
        "broker_transport_options": {"confirm_publish": True},
        "broker_native_delayed_delivery_queue_type": "quorum",
        "worker_detect_quorum_queues": True,
    }
