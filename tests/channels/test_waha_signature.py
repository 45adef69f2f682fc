"""WAHA's webhook door: nothing changes unless the very bytes were signed with this channel's key and its path is right."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import time
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from channels import directory, registry
from channels.models import Channel, InboundEvent
from tests.conftest import Broker
from tests.sandbox.waha_rows import HMAC_KEY, SESSION

pytestmark = pytest.mark.django_db(transaction=True)

PAYLOADS = Path(__file__).parent.parent / "payloads" / "waha"
BODY = (PAYLOADS / "text.json").read_bytes()


@pytest.fixture
def waha(monkeypatch: pytest.MonkeyPatch, broker: Broker) -> Channel:
    monkeypatch.setitem(registry.ADAPTERS, "waha", "channels.adapters.waha.WahaAdapter")
    registry.adapter_class.cache_clear()
    return made("wa", HMAC_KEY)


def made(slug: str, key: str) -> Channel:
    return Channel.objects.create(
        name=f"WhatsApp {slug}", slug=slug, kind="waha", company="Demo", hold=0, moderation=False,
        base_url="http://127.0.0.1:9", credentials={"api_key": "k", "hmac_key": key}, options={"session": SESSION},
    )  # fmt: skip


def signature(body: bytes, key: str = HMAC_KEY, algorithm: str = "sha512") -> str:
    return hmac.new(key.encode(), body, algorithm).hexdigest()


def post(channel: Channel, body: bytes, secret: str = "", **headers: str) -> Any:
    url = f"/webhooks/waha/{channel.slug}/{secret or channel.webhook_secret}/"
    names = {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    return Client(raise_request_exception=False).post(url, body, content_type="application/json", **names)


def accepted(channel: Channel, body: bytes = BODY, **headers: str) -> Any:
    return post(channel, body, **{"x_webhook_hmac": signature(body), "x_webhook_hmac_algorithm": "sha512", **headers})


def test_the_published_example_of_a_signature() -> None:
    body = b'{"event":"message","session":"default","engine":"WEBJS"}'
    assert signature(body, "my-secret-key").startswith(
        "208f8a55dde9e05519e898b10b89bf0d0b3b0fdf11fdbf09b6b90476301b98d8097c462b"
    )


def test_a_signed_webhook_is_stored(waha: Channel) -> None:
    assert accepted(waha).status_code == 200
    assert InboundEvent.objects.count() == 1


@pytest.mark.parametrize(
    "payload", [path for path in sorted(PAYLOADS.glob("*.json")) if path.stem != "foreign_session"], ids=lambda path: path.stem
)
def test_each_payload_is_stored_once(waha: Channel, payload: Path) -> None:
    for _time in range(2):
        assert accepted(waha, payload.read_bytes()).status_code == 200
    assert InboundEvent.objects.count() == 1


FORGERIES: dict[str, tuple[bytes, dict[str, str]]] = {
    "missing": (BODY, {}),
    "empty": (BODY, {"x_webhook_hmac": ""}),
    "wrong": (BODY, {"x_webhook_hmac": "0" * 128}),
    "truncated": (BODY, {"x_webhook_hmac": signature(BODY)[:64]}),
    "one character too many": (BODY, {"x_webhook_hmac": signature(BODY) + "0"}),
    "altered body": (BODY.replace(b"stock", b"shock"), {"x_webhook_hmac": signature(BODY)}),
    "one space more": (BODY + b" ", {"x_webhook_hmac": signature(BODY)}),
    "other encoding of the body": (
        json.dumps(json.loads(BODY), ensure_ascii=True, indent=4).encode("utf-16"), {"x_webhook_hmac": signature(BODY)},
    ),
    "another channel's key": (BODY, {"x_webhook_hmac": signature(BODY, "another-key")}),
    "the API key": (BODY, {"x_webhook_hmac": signature(BODY, "k")}),
    "an empty key": (BODY, {"x_webhook_hmac": signature(BODY, "")}),
    "sha256": (BODY, {"x_webhook_hmac": signature(BODY, algorithm="sha256")}),
    "said to be sha256": (BODY, {"x_webhook_hmac": signature(BODY), "x_webhook_hmac_algorithm": "sha256"}),
    "a digest without a key": (BODY, {"x_webhook_hmac": hashlib.sha512(BODY).hexdigest()}),
    "base64": (BODY, {"x_webhook_hmac": base64.b64encode(bytes.fromhex(signature(BODY))).decode()}),
    "upper case": (BODY, {"x_webhook_hmac": signature(BODY).upper()}),
    "not ASCII": (BODY, {"x_webhook_hmac": "подпись"}),
    "prefixed": (BODY, {"x_webhook_hmac": f"sha512={signature(BODY)}"}),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_webhook_changes_nothing_and_is_not_logged(waha: Channel, name: str, caplog: pytest.LogCaptureFixture) -> None:
    body, headers = FORGERIES[name]
    caplog.set_level(logging.DEBUG)
    response = post(waha, body, **headers)
    assert response.status_code == 403
    assert not InboundEvent.objects.exists()
    logged = " ".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert "stock" not in logged and "77011234567" not in logged and HMAC_KEY not in logged
    assert "stock" not in response.content.decode()


def test_a_wrong_path_is_refused_whatever_the_signature(waha: Channel) -> None:
    assert post(waha, BODY, "x" * 40, x_webhook_hmac=signature(BODY)).status_code == 403
    assert not InboundEvent.objects.exists()


def test_another_channels_webhook_is_refused(waha: Channel) -> None:
    other = made("other", "another-key-of-another-channel")
    assert post(other, BODY, x_webhook_hmac=signature(BODY)).status_code == 403
    assert post(waha, BODY, other.webhook_secret, x_webhook_hmac=signature(BODY)).status_code == 403
    assert not InboundEvent.objects.exists()


def test_another_session_of_the_same_server_is_refused(waha: Channel) -> None:
    assert accepted(waha, (PAYLOADS / "foreign_session.json").read_bytes()).status_code == 403
    assert not InboundEvent.objects.exists()


def test_a_channel_without_a_key_takes_nothing(waha: Channel) -> None:
    Channel.objects.update(credentials={"api_key": "k"})
    directory.forget()
    assert post(waha, BODY, x_webhook_hmac=signature(BODY, "")).status_code == 403
    assert not InboundEvent.objects.exists()


def test_a_replay_has_no_second_effect_whatever_its_time_stamp(waha: Channel) -> None:
    """The time stamp is outside of the signature, so it is not believed; the message's id is."""
    for seconds in (0, 60, 86_400):
        stamp = str(int((time.time() + seconds) * 1000))
        assert accepted(waha, x_webhook_timestamp=stamp, x_webhook_request_id=stamp).status_code == 200
    assert InboundEvent.objects.count() == 1
