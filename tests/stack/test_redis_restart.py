"""A worker outlives a restart of Redis while it holds messages: without the guard in `config.celery` it would end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from django.conf import settings as django_settings
from kombu.transport import redis as kombu_redis

from config import embedded
from config.celery_settings import settings_for
from tests.rehearsal.stack import free_port, wait_for

ROOT = Path(__file__).resolve().parent.parent.parent
PASSWORD = "restart-me-0123456789"


def test_a_channel_without_its_connection_is_a_connection_error() -> None:
    channel = kombu_redis.Channel.__new__(kombu_redis.Channel)
    channel.connection = None
    with pytest.raises(redis.exceptions.ConnectionError):
        channel._connparams()


@pytest.mark.stack
@pytest.mark.django_db(transaction=True)
def test_a_worker_outlives_a_restart_of_redis(tmp_path: Path) -> None:
    server = embedded.Redis(tmp_path, free_port(), PASSWORD)
    server.start()
    log = tmp_path / "worker.log"
    worker = _worker(server.url, log)
    try:
        wait_for("worker", lambda: b"ready." in log.read_bytes(), 30)
        _publish(server.url, 300)
        client = redis.Redis.from_url(server.url)
        wait_for("held messages", lambda: client.hlen("unacked") > 0, 15)
        os.kill(int(client.info("server")["process_id"]), signal.SIGKILL)
        server.stop()
        server.start()
        _publish(server.url, 5)
        wait_for("an empty queue", lambda: redis.Redis.from_url(server.url).llen("maintenance") == 0, 60)
        assert worker.poll() is None, log.read_text(errors="replace")[-2000:]
    finally:
        _end(worker)
        server.stop()


def _worker(url: str, log: Path) -> subprocess.Popen[bytes]:
    env: dict[str, Any] = {**os.environ, "BROKER_URL": url, "LOG_LEVEL": "INFO", "DATABASE_URL": _test_database()}
    command = [
        sys.executable, "-m", "celery", "-q", "-A", "config", "worker", "-P", "threads", "-c", "2", "-Q", "maintenance",
        "-n", "restart@%h", "--without-gossip", "--without-mingle",
    ]  # fmt: skip
    with log.open("wb") as output:
        return subprocess.Popen(command, cwd=ROOT, env=env, stdout=output, stderr=output, start_new_session=True)


def _test_database() -> str:
    """The URL of the database this test runs on."""
    base, _slash, _name = os.environ["DATABASE_URL"].rpartition("/")
    return f"{base}/{django_settings.DATABASES['default']['NAME']}"


def _publish(url: str, count: int) -> None:
    app = Celery("publisher", set_as_current=False)
    app.conf.update(settings_for(url, polling_interval=5.0))
    for _ in range(count):
        app.send_task("channels.poll_all")


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, number)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                continue
