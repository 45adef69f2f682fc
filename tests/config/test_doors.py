"""The short way of the web process for what providers post: as safe as Django's own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator

from channels.models import Channel, InboundEvent
from config import doors
from tests.channels.test_webhooks import as_bytes, path, text_message, wappi
from tests.conftest import Broker

pytestmark = pytest.mark.django_db(transaction=True)

__all__ = ["wappi"]


def message(number: int) -> bytes:
    return as_bytes(
        text_message(id=f"ID{number}", **{"from": f"7701123456{number}@c.us", "chatId": f"7701123456{number}@c.us"})
    )


async def _ask(url: str, body: bytes, host: str = "localhost") -> tuple[int, dict[str, str]]:
    scope = {
        "type": "http", "method": "POST", "path": url, "raw_path": url.encode(), "query_string": b"", "root_path": "",
        "scheme": "http", "http_version": "1.1", "headers": [(b"host", host.encode())], "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }  # fmt: skip
    asked = ApplicationCommunicator(doors.application, scope)
    await asked.send_input({"type": "http.request", "body": body, "more_body": False})
    start = await asked.receive_output(10)
    assert (await asked.receive_output(10))["type"] == "http.response.body"
    return start["status"], {name.decode().lower(): value.decode() for name, value in start["headers"]}


def test_a_burst_through_the_web_process(wappi: Channel, broker: Broker) -> None:
    async def burst() -> list[tuple[int, dict[str, str]]]:
        return await asyncio.gather(*(_ask(path(wappi), message(n)) for n in range(10)))

    answers = async_to_sync(burst)()
    assert [status for status, _headers in answers] == [200] * 10
    assert all(int(headers["content-length"]) > 0 for _status, headers in answers)
    assert all(headers["x-content-type-options"] == "nosniff" for _status, headers in answers)
    assert InboundEvent.objects.count() == len(broker.waiting) == 10


def test_the_short_way_lets_no_stranger_in(wappi: Channel, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = async_to_sync(_ask)
    assert ask(path(wappi, secret="wrong"), message(1))[0] == 403
    assert ask(path(wappi), message(1), host="elsewhere.example")[0] == 400
    assert ask("/webhooks/wappi/", message(1))[0] == 404
    monkeypatch.setattr(doors.webhooks._security, "redirect", True)
    assert ask(path(wappi), message(1))[0] == 301
    assert not InboundEvent.objects.exists()
