"""How much waits in the broker."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from kombu import Connection

from foundation.queues import queue_sizes


@pytest.fixture
def own_queue(settings: Any) -> str:
    """One queue of our own on the test Redis."""
    from kombu import Queue

    name = "test-queue-sizes"
    settings.CELERY = {**settings.CELERY, "task_queues": [Queue(name), Queue(f"{name}-empty")]}
    with Connection(settings.BROKER_URL) as connection, connection.channel() as channel:
        channel.client.delete(name)
    return name


def test_every_declared_queue_has_its_length(settings: Any, own_queue: str) -> None:
    with Connection(settings.BROKER_URL) as connection, connection.channel() as channel:
        channel.client.rpush(own_queue, "1", "2", "3")
        try:
            assert queue_sizes() == {own_queue: 3, f"{own_queue}-empty": 0}
        finally:
            channel.client.delete(own_queue)


@pytest.mark.parametrize("url", ["redis://127.0.0.1:{port}/0", "amqp://guest:guest@127.0.0.1:{port}//"])
def test_a_broker_that_is_away_is_unknown_not_an_error(settings: Any, url: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        settings.BROKER_URL = url.format(port=free.getsockname()[1])
        sizes = queue_sizes()
    assert sizes
    assert set(sizes.values()) == {None}
