"""The door of Telegram's webhook: only Telegram comes in, and of what others bring nothing is kept or logged."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from channels import directory, registry
from channels.adapters.telegram import TelegramAdapter
from channels.models import Channel, InboundEvent
from config.logging import masked
from tests.conftest import Broker

pytestmark = pytest.mark.django_db(transaction=True)

BODY = (Path(__file__).parent.parent / "payloads" / "telegram" / "text.json").read_bytes()
TOKEN = "123456:AAbbCCdd-ee_ff"


@pytest.fixture(autouse=True)
def _kind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(registry.ADAPTERS, "telegram", "channels.adapters.telegram.TelegramAdapter")
    registry.adapter_class.cache_clear()
    yield
    registry.adapter_class.cache_clear()
    directory.forget()


def channel_of(slug: str = "tg", token: str = TOKEN) -> Channel:
    return Channel.objects.create(
        name=slug, slug=slug, kind="telegram", company="Demo", hold=0, moderation=False, credentials={"token": token}
    )


@pytest.fixture
def telegram() -> Channel:
    return channel_of()


def header_of(channel: Channel) -> str:
    return TelegramAdapter(channel.access()).header_secret


def post(channel: Channel, body: bytes = BODY, *, header: Any = "", path: str = "") -> Any:
    url = f"/webhooks/telegram/{channel.slug}/{path or channel.webhook_secret}/"
    headers = {} if header is None else {"X-Telegram-Bot-Api-Secret-Token": header or header_of(channel)}
    return Client(raise_request_exception=False).post(url, body, content_type="application/json", headers=headers)


def test_telegram_comes_in(telegram: Channel, broker: Broker) -> None:
    assert post(telegram).status_code == 200
    assert InboundEvent.objects.count() == 1


def test_a_repeated_update_is_known(telegram: Channel, broker: Broker) -> None:
    post(telegram)
    hints = len(broker.waiting)
    later = json.loads(BODY)
    later["message"]["text"] = "replayed with other words"
    for body in (BODY, json.dumps(later).encode()):
        answer = post(telegram, body)
        assert (answer.status_code, answer.json()["events"]) == (200, 0)
    assert InboundEvent.objects.count() == 1
    assert len(broker.waiting) == hints


def forged(channel: Channel) -> dict[str, dict[str, Any]]:
    right, other = header_of(channel), channel_of("other")
    return {
        "missing": {"header": None},
        "empty": {"header": " "},
        "wrong": {"header": "0" * 64},
        "truncated": {"header": right[:-1]},
        "longer": {"header": right + "0"},
        "upper case": {"header": right.upper()},
        "no ascii": {"header": "секрет"},
        "latin": {"header": "\xff\xfe"},
        "other channel": {"header": header_of(other)},
        "path as header": {"header": channel.webhook_secret},
        "wrong path": {"path": "wrong"},
        "header as path": {"path": right},
        "path of the other channel": {"path": other.webhook_secret},
        "path that is no ascii": {"path": "секрет"},
    }


@pytest.mark.parametrize(
    "case",
    ["missing", "empty", "wrong", "truncated", "longer", "upper case", "no ascii", "latin", "other channel", "path as header",
     "wrong path", "header as path", "path of the other channel", "path that is no ascii"],
)  # fmt: skip
def test_nobody_else_does(telegram: Channel, broker: Broker, case: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    wanted = forged(telegram)[case]
    before = Channel.objects.values_list("pk", "updated_at", "last_event_at")
    known = list(before.all())
    answer = post(telegram, **wanted)
    assert answer.status_code == 403
    assert not InboundEvent.objects.exists()
    assert broker.waiting == []
    assert list(before.all()) == known
    said = json.loads(BODY)["message"]
    for secret in (said["text"], said["from"]["first_name"], str(said["from"]["id"]), TOKEN):
        assert secret not in caplog.text
        assert secret not in answer.content.decode()
    assert telegram.webhook_secret not in masked(caplog.text)


@pytest.mark.parametrize("body", [BODY.decode().encode("utf-16"), b"\xff\xfe\x00", b"update_id=5", BODY[:-9]])
def test_a_body_in_a_wrong_encoding_is_kept_for_a_person_and_answered(
    telegram: Channel, broker: Broker, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Genuine by its header: an error would make Telegram repeat it and hold back what follows."""
    caplog.set_level(logging.DEBUG)
    answer = post(telegram, body)
    assert answer.status_code == 200
    events = InboundEvent.objects.all()
    assert all(event.state in ("failed", "new") for event in events)
    assert "доставка" not in caplog.text


def test_a_channel_without_a_token_lets_nobody_in(broker: Broker) -> None:
    channel = channel_of(token="")
    assert post(channel).status_code == 403


def test_a_channel_without_a_secret_lets_nobody_in(telegram: Channel) -> None:
    from channels.base import Webhook
    from foundation.errors import Forged

    access = telegram.access()
    bare = TelegramAdapter(type(access)("tg", "", access.credentials, {}, ""))
    with pytest.raises(Forged):
        bare.verify(Webhook("", {"x-telegram-bot-api-secret-token": bare.header_secret}, BODY))


def test_the_address_alone_does_not_tell_the_header(telegram: Channel) -> None:
    """Whoever reads the webhook's address in a proxy's log lacks the bot's token."""
    access = telegram.access()
    guessed = TelegramAdapter(type(access)("tg", "", {"token": ""}, {}, access.webhook_secret)).header_secret
    assert post(telegram, header=guessed).status_code == 403
