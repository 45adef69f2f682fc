"""The architecture, checked: who may import whom, which task runs where, and that every step has its task."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from celery import current_app
from django.conf import settings

from config.celery_settings import QUEUES, ROUTES, settings_for

ROOT = Path(__file__).resolve().parent.parent.parent


def test_imports_run_downwards_only() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]


def test_every_task_has_a_queue_and_every_route_a_task() -> None:
    ours = {name for name in current_app.tasks if not name.startswith("celery.")}
    assert ours == set(ROUTES)
    assert set(ROUTES.values()) <= set(QUEUES)


def test_every_step_has_a_task() -> None:
    assert set(settings.PIPELINE.values()) <= set(ROUTES)


def test_every_task_takes_one_id_or_nothing() -> None:
    for name in ROUTES:
        arguments = current_app.tasks[name].run.__code__
        assert arguments.co_argcount <= 1, name
        if arguments.co_argcount:
            assert arguments.co_varnames[0].endswith("_id"), name


@pytest.mark.parametrize("broker", ["redis://127.0.0.1/0", "amqp://u:p@127.0.0.1//"])
def test_broker_settings(broker: str) -> None:
    conf = settings_for(broker, polling_interval=5.0)
    assert {queue.name for queue in conf["task_queues"]} == set(QUEUES)
    assert conf["task_acks_late"]
    assert conf["accept_content"] == ["json"]
    assert conf["worker_cancel_long_running_tasks_on_connection_loss"] is False


def test_rabbitmq_carries_the_limits_of_the_specification() -> None:
    conf = settings_for("amqp://u:p@127.0.0.1//", polling_interval=5.0)
    limits = {queue.name: queue.queue_arguments for queue in conf["task_queues"]}
    assert limits["incoming_messages"]["x-message-ttl"] == 24 * 3600 * 1000
    assert limits["outgoing_messages"]["x-max-length"] == 5000
    assert limits["voice_transcription"]["x-message-ttl"] == 2 * 3600 * 1000
    assert all(arguments["x-queue-type"] == "quorum" for arguments in limits.values())


def test_workers_of_the_procfile_serve_every_queue_once() -> None:
    served = []
    for line in (ROOT / "Procfile").read_text().splitlines():
        if " worker " in line:
            served += line.split(" -Q ")[1].split()[0].split(",")
    assert sorted(served) == sorted(QUEUES)


def test_workers_keep_their_database_connections() -> None:
    assert current_app.conf.get("CELERY_DB_REUSE_MAX") == 10**9


def test_almaty_is_five_hours_ahead() -> None:
    from datetime import datetime
    from zoneinfo import ZoneInfo

    almaty = ZoneInfo("Asia/Almaty")
    hours = [datetime(*day, tzinfo=almaty).utcoffset().total_seconds() / 3600 for day in ((2024, 2, 29), (2026, 11, 20))]
    assert hours == [6, 5]
