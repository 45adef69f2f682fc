"""Webhooks that come at once: one commit for all, each its own answer."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from django.db import DataError, OperationalError

from channels import inbox, webhooks
from channels.base import Webhook
from channels.models import Channel, InboundEvent
from channels.registry import adapter_for
from tests.conftest import Broker

from .test_webhooks import as_bytes, text_message, wappi

pytestmark = pytest.mark.django_db(transaction=True)

__all__ = ["wappi"]


def arrival(channel: Channel, body: bytes, secret: str | None = None) -> webhooks.Arrival:
    received = Webhook(secret=secret or channel.webhook_secret, headers={}, body=body)
    return webhooks.Arrival(channel.kind, channel.slug, received, asyncio.Future(loop=asyncio.new_event_loop()))


def message(number: int) -> bytes:
    return as_bytes(
        text_message(id=f"ID{number}", **{"from": f"7701123456{number}@c.us", "chatId": f"7701123456{number}@c.us"})
    )


def external_id(channel: Channel, body: bytes) -> str:
    return adapter_for(channel).split(body)[0].external_id


def statuses(batch: list[webhooks.Arrival]) -> list[int]:
    return [answer.status_code for answer in webhooks.accept_all(batch) if not isinstance(answer, Exception)]


def test_each_gets_its_own_answer(wappi: Channel, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(inbox, "rows", lambda *a, run=inbox.rows: calls.append(1) or run(*a))
    batch = [
        arrival(wappi, message(1)), arrival(wappi, message(2), "forged"), arrival(wappi, b"not json"), arrival(wappi, b" "),
        arrival(wappi, message(3)), arrival(wappi, message(1)),
    ]  # fmt: skip
    answers: list[Any] = list(webhooks.accept_all(batch))
    assert [answer.status_code for answer in answers] == [200, 403, 200, 400, 200, 200]
    assert [json.loads(answers[n].content)["events"] for n in (0, 2, 4, 5)] == [1, 0, 1, 0]
    assert len(calls) == 1
    assert InboundEvent.objects.filter(state="new").count() == len(broker.waiting) == 2


def test_the_order_of_a_lane_is_the_order_of_arrival(wappi: Channel, broker: Broker) -> None:
    bodies = [as_bytes(text_message(id=f"B{9 - n}")) for n in range(5)]
    assert statuses([arrival(wappi, body) for body in bodies]) == [200] * 5
    stored = InboundEvent.objects.order_by("id").values_list("external_id", flat=True)
    assert list(stored) == [external_id(wappi, body) for body in bodies]
    assert len(broker.waiting) == 1, "one hint a lane"


def test_none_suffers_for_another(wappi: Channel, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    def choosy(sql: str, params: Any, run: Any = inbox.rows) -> Any:
        if external_id(wappi, message(2)) in params["ids"]:
            raise DataError("not storable")
        return run(sql, params)

    monkeypatch.setattr(inbox, "rows", choosy)
    answers = webhooks.accept_all([arrival(wappi, message(n)) for n in (1, 2, 3)])
    assert [isinstance(answer, DataError) for answer in answers] == [False, True, False]
    assert InboundEvent.objects.count() == 2


def test_a_database_that_is_away_is_asked_twice_at_most(wappi: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def away(*_statement: Any) -> Any:
        calls.append(1)
        raise OperationalError("away")

    monkeypatch.setattr(inbox, "rows", away)
    answers = webhooks.accept_all([arrival(wappi, message(n)) for n in range(5)])
    assert all(isinstance(answer, OperationalError) for answer in answers)
    assert len(calls) == 2
