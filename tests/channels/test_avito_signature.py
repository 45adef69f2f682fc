"""The door of Avito's webhook. Nothing is signed there: an unguessable path lets in, and even then it only rings."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from channels import directory, registry
from channels.adapters.avito import AvitoAdapter
from channels.base import Webhook
from channels.models import Channel, InboundEvent
from config.logging import masked
from conversations.models import Conversation, Message
from foundation.errors import Forged
from tests.conftest import Broker

pytestmark = pytest.mark.django_db(transaction=True)

BODY = (Path(__file__).parent.parent / "payloads" / "avito" / "webhook_text.json").read_bytes()
ACCOUNT = 141906442


@pytest.fixture(autouse=True)
def _kind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(registry.ADAPTERS, "avito", "channels.adapters.avito.AvitoAdapter")
    registry.adapter_class.cache_clear()
    yield
    registry.adapter_class.cache_clear()
    directory.forget()


def channel_of(slug: str = "shop", account: int = ACCOUNT) -> Channel:
    return Channel.objects.create(
        name=slug, slug=slug, kind="avito", company="Demo", hold=0, moderation=False, options={"user_id": account},
        credentials={"client_id": "id", "client_secret": "secret-of-avito"},
    )  # fmt: skip


@pytest.fixture
def avito() -> Channel:
    return channel_of()


def post(channel: Channel, body: bytes = BODY, *, path: str = "", **headers: str) -> Any:
    url = f"/webhooks/avito/{channel.slug}/{path or channel.webhook_secret}/"
    return Client(raise_request_exception=False).post(url, body, content_type="application/json", headers=headers)


def changed(**value: Any) -> bytes:
    body = json.loads(BODY)
    body["payload"]["value"] |= value
    return json.dumps(body, ensure_ascii=False).encode()


def test_avito_comes_in(avito: Channel, broker: Broker) -> None:
    answer = post(avito)
    assert (answer.status_code, answer.json()["events"]) == (200, 1)


def test_the_trial_of_an_address_is_answered(avito: Channel, broker: Broker) -> None:
    assert post(avito, b"{}").status_code == 200
    assert not InboundEvent.objects.exists()


def test_what_a_webhook_says_has_no_effect(avito: Channel, broker: Broker) -> None:
    """Even who knows the address cannot put words into a customer's mouth: they are read from Avito or nowhere."""
    for body in (
        BODY,
        changed(id="m2", chat_id="u2i-invented"),
        changed(id="m3", author_id=ACCOUNT),
        changed(id="m4", type="odd"),
    ):
        assert post(avito, body).status_code == 200
    broker.run(skip=("channels.poll",))
    assert {event.state for event in InboundEvent.objects.all()} == {"processed"}
    assert not Conversation.objects.exists()
    assert not Message.objects.exists()
    assert not any(b"u2i" in bytes(event.payload) for event in InboundEvent.objects.all())


def test_a_repeated_webhook_is_known(avito: Channel, broker: Broker) -> None:
    post(avito)
    hints = len(broker.waiting)
    for body in (BODY, changed(content={"text": "replayed with other words"})):
        answer = post(avito, body)
        assert (answer.status_code, answer.json()["events"]) == (200, 0)
    assert InboundEvent.objects.count() == 1
    assert len(broker.waiting) == hints


def forged(channel: Channel) -> dict[str, dict[str, Any]]:
    right, other = channel.webhook_secret, channel_of("other", 5)
    return {
        "wrong path": {"path": "wrong"},
        "guessable path": {"path": "messages"},
        "truncated path": {"path": right[:-1]},
        "longer path": {"path": right + "0"},
        "path in upper case": {"path": right.upper()},
        "path of the other channel": {"path": other.webhook_secret},
        "path that is no ascii": {"path": "секрет"},
        "path as the header it knows": {"path": "wrong", "x-avito-messenger-signature": right},
        "another account": {"body": changed(user_id=5)},
        "no account": {"body": changed(user_id=None)},
    }


CASES = [
    "wrong path", "guessable path", "truncated path", "longer path", "path in upper case", "path of the other channel",
    "path that is no ascii", "path as the header it knows", "another account", "no account",
]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_nobody_else_does(avito: Channel, broker: Broker, case: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    wanted = forged(avito)[case]
    before = Channel.objects.values_list("pk", "updated_at", "last_event_at")
    known = list(before.all())
    answer = post(avito, **wanted)
    assert answer.status_code == 403
    assert not InboundEvent.objects.exists()
    assert broker.waiting == []
    assert list(before.all()) == known
    said = json.loads(BODY)["payload"]["value"]
    for secret in (said["content"]["text"], said["chat_id"], str(said["author_id"]), "secret-of-avito"):
        assert secret not in caplog.text
        assert secret not in answer.content.decode()
    assert avito.webhook_secret not in masked(caplog.text)


@pytest.mark.parametrize("body", [BODY.decode().encode("utf-16"), b"\xff\xfe\x00", b"payload=5", BODY[:-9], b"[]"])
def test_a_body_in_a_wrong_encoding_is_kept_for_a_person_and_answered(
    avito: Channel, broker: Broker, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    assert post(avito, body).status_code == 200
    assert not Message.objects.exists()
    assert "актуально" not in caplog.text


@pytest.mark.parametrize("signature", ["", "0" * 64, "секрет"])
def test_avitos_own_header_decides_nothing(avito: Channel, broker: Broker, signature: str) -> None:
    """Avito publishes neither its algorithm nor its key."""
    assert post(avito, **{"x-avito-messenger-signature": signature}).status_code == 200


def test_a_channel_without_a_secret_lets_nobody_in(avito: Channel) -> None:
    access = avito.access()
    bare = AvitoAdapter(type(access)("shop", "", access.credentials, access.options, ""))
    with pytest.raises(Forged):
        bare.verify(Webhook("", {}, BODY))
