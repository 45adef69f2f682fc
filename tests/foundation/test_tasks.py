"""Enqueueing never fails the one who enqueues, and never happens before the commit."""

from __future__ import annotations

from typing import Any

import pytest
from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

from foundation import tasks
from tests.rehearsal.stack import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[int, ...], float | None]]:
    calls: list[tuple[str, tuple[int, ...], float | None]] = []
    monkeypatch.setattr(current_app, "send_task", lambda name, args, countdown: calls.append((name, args, countdown)))
    return calls


def test_only_after_the_commit(sent: list[Any]) -> None:
    with transaction.atomic():
        tasks.kick("sales.answer", 7)
        assert sent == []
    assert sent == [("sales.answer", (7,), None)]


def test_never_after_a_rollback(sent: list[Any]) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        tasks.kick("sales.answer", 7)
        raise ZeroDivisionError
    assert sent == []


@pytest.mark.parametrize(("broker", "countdown"), [("redis://127.0.0.1/0", 0.7), ("amqp://127.0.0.1//", 1)])
def test_rabbitmq_counts_whole_seconds(sent: list[Any], settings: Any, broker: str, countdown: float) -> None:
    settings.BROKER_URL = broker
    tasks.kick("sales.answer", 7, delay=0.7)
    assert sent[0][2] == countdown


@pytest.mark.parametrize("error", [OperationalError("away"), ConnectionResetError(), ValueError("unforeseen")])
def test_a_broker_in_trouble_is_nobodys_trouble_and_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise error

    monkeypatch.setattr(current_app, "send_task", broken)
    with transaction.atomic():
        tasks.kick("sales.answer", 7)
    assert caplog.records


def test_in_the_web_process_a_thread_publishes(sent: list[Any], settings: Any) -> None:
    settings.KICK_IN_BACKGROUND = True
    tasks.kick("sales.answer", 8)
    tasks.kick("sales.answer", 9)
    wait_for("both", lambda: len(sent) == 2, 5)
    assert [args for _name, args, _delay in sent] == [(8,), (9,)]


def test_hints_beyond_the_backlog_are_dropped(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import queue

    settings.KICK_IN_BACKGROUND = True
    full: queue.Queue[Any] = queue.Queue(1)
    full.put(("x", 1, 0.0))
    monkeypatch.setattr(tasks, "_waiting", full)
    monkeypatch.setattr(tasks, "_publisher", type("Alive", (), {"is_alive": lambda self: True})())
    tasks.kick("sales.answer", 9)
    assert full.qsize() == 1
