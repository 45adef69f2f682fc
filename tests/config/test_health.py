"""`/health` and `/ready`, with everything there and with each part away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from channels.models import Channel
from config import health

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    health.findings.forget()
    yield
    health.findings.forget()


def get(path: str) -> Any:
    health.findings.forget()
    return Client().get(path)


def wappi(slug: str, state: str, **values: Any) -> Channel:
    return Channel.objects.create(slug=slug, name=slug, kind="wappi", company="Demo", health=state, **values)


def away(*_args: Any) -> None:
    raise OperationalError("the password is in here")


def test_all_is_well() -> None:
    polled = timezone.now()
    wappi("one", Channel.Health.OK, polled_at=polled)
    wappi("off", Channel.Health.NEEDS_ATTENTION, enabled=False)
    told = get("/health").json()
    assert told["status"] == "healthy" and told["wappi_connection"] == "ok"
    assert {told[f"{what}_connection"] for what in ("database", "queue", "cache")} == {"ok"}
    assert told["last_poll_time"][:19] == polled.isoformat()[:19]
    assert get("/ready").status_code == 200


@pytest.mark.parametrize(
    ("states", "word", "status"),
    [
        ([], "not_configured", "healthy"),
        (["ok", "ok"], "ok", "healthy"),
        (["ok", "trouble"], "trouble", "healthy"),
        (["unknown"], "unknown", "healthy"),
        (["ok", "needs_attention", "trouble"], "needs_attention", "degraded"),
    ],
)
def test_the_worst_channel_speaks_for_wappi(states: list[str], word: str, status: str) -> None:
    for number, state in enumerate(states):
        wappi(f"c{number}", state)
    told = get("/health").json()
    assert (told["wappi_connection"], told["status"]) == (word, status)


def test_without_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_database", away)
    answer = get("/health")
    assert answer.status_code == 200 and answer.json()["status"] == "degraded"
    assert answer.json()["database_connection"] == "unavailable"
    assert get("/ready").status_code == 503
    assert b"password" not in answer.content


def test_a_database_that_goes_between_two_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_channels", away)
    assert get("/health").json()["database_connection"] == "unavailable"


@pytest.mark.parametrize("broker", ["redis://127.0.0.1:1/0", "amqp://guest:guest@127.0.0.1:1//"])
def test_without_a_broker_work_goes_on(settings: Any, broker: str) -> None:
    settings.BROKER_URL = broker
    told = get("/health").json()
    assert told["queue_connection"] == "unavailable" and told["status"] == "degraded"
    assert get("/ready").status_code == 200


def test_without_redis(settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert get("/health").json()["cache_connection"] == "unavailable"


def test_asking_often_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(health, "_broker", lambda: asked.append(1))
    health.findings.forget()
    for _ in range(20):
        Client().get("/health")
        Client().get("/ready")
    assert len(asked) == 1
