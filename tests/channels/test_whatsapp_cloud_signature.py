"""Only Meta gets in: what is unsigned, wrongly signed or another channel's changes nothing and is not logged."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from channels import directory, registry
from channels.adapters.whatsapp_cloud import WhatsAppCloudAdapter
from channels.base import Access
from channels.models import Channel, InboundEvent
from tests.conftest import Broker
from tests.sandbox.whatsapp_cloud_rows import ACCOUNT, APP_SECRET, NUMBER, VERIFY_TOKEN, Number, encoded, envelope, signature

pytestmark = pytest.mark.django_db(transaction=True)

PHONE = "77010000001"
WORDS = "Секретный вопрос о цене"
CREDENTIALS = {"access_token": "token-1", "app_secret": APP_SECRET, "verify_token": VERIFY_TOKEN}


@pytest.fixture
def channel(monkeypatch: pytest.MonkeyPatch) -> Channel:
    monkeypatch.setitem(registry.ADAPTERS, "whatsapp_cloud", "channels.adapters.whatsapp_cloud.WhatsAppCloudAdapter")
    registry.adapter_class.cache_clear()
    return make("wa", CREDENTIALS)


def make(slug: str, credentials: dict[str, str], number: str = NUMBER) -> Channel:
    channel = Channel.objects.create(
        name=slug, slug=slug, kind="whatsapp_cloud", company="Demo", hold=0, moderation=False, credentials=credentials,
        options={"phone_number_id": number, "waba_id": ACCOUNT},
    )  # fmt: skip
    directory.forget()
    return channel


def body(text: str = WORDS, number: str = NUMBER, **more: Any) -> bytes:
    item = {"from": PHONE, "id": "wamid.HBgLNzcwMTAwMDAwMDEVAgAS", "timestamp": str(int(timezone.now().timestamp()))}
    item |= {"type": "text", "text": {"body": text}} | more
    people = [{"profile": {"name": "Aigul"}, "wa_id": PHONE}]
    return encoded(envelope(Number(id=number), {"contacts": people, "messages": [item]}))


def path(channel: Channel, secret: str = "") -> str:
    return f"/webhooks/{channel.kind}/{channel.slug}/{secret or channel.webhook_secret}/"


def post(url: str, content: bytes, sign: str | None, **headers: str) -> Any:
    signed = {} if sign is None else {"X-Hub-Signature-256": sign}
    return Client(raise_request_exception=False).post(
        url, content, content_type="application/json", headers={**signed, **headers}
    )


def refused(channel: Channel, content: bytes, sign: str | None, url: str = "", **headers: str) -> bool:
    """Whether a webhook is turned away, and nothing of it is kept."""
    answer = post(url or path(channel), content, sign, **headers)
    return answer.status_code == 403 and not InboundEvent.objects.exists()


def test_what_is_signed_gets_in(channel: Channel, broker: Broker) -> None:
    assert post(path(channel), body(), signature(body())).status_code == 200
    assert InboundEvent.objects.count() == 1


def test_the_published_example() -> None:
    content = b'{"object":"whatsapp_business_account","entry":[]}'
    assert signature(content, "app-secret") == "sha256=d3e4f9da0ce6c71ab3dba55929b8eeeee2455349e534924ead19f98d143e904f"


def bare(sign: str) -> str:
    return sign.removeprefix("sha256=")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda sign, content: None,
        lambda sign, content: "",
        lambda sign, content: "sha256=",
        lambda sign, content: bare(sign),
        lambda sign, content: f"sha1={bare(sign)}",
        lambda sign, content: "sha1=" + hmac.new(APP_SECRET.encode(), content, hashlib.sha1).hexdigest(),
        lambda sign, content: sign[:-1],
        lambda sign, content: sign[:-2] + ("00" if not sign.endswith("00") else "11"),
        lambda sign, content: sign.upper(),
        lambda sign, content: f"sha256={bare(sign).upper()}",
        lambda sign, content: f"{sign},{sign}",
        lambda sign, content: signature(content, "other-secret"),
        lambda sign, content: signature(content, ""),
        lambda sign, content: signature(content, NUMBER),
        lambda sign, content: "sha256=" + hashlib.sha256(content).hexdigest(),
        lambda sign, content: f"sha256={'é' * 64}",
    ],
)
def test_a_missing_or_wrong_signature(channel: Channel, spoil: Any) -> None:
    assert refused(channel, body(), spoil(signature(body()), body()))


def test_the_old_header_alone_is_not_enough(channel: Channel) -> None:
    old = "sha1=" + hmac.new(APP_SECRET.encode(), body(), hashlib.sha1).hexdigest()
    assert refused(channel, body(), None, **{"X-Hub-Signature": old})


@pytest.mark.parametrize(
    "alter",
    [
        lambda content: content + b" ",
        lambda content: content[:-1],
        lambda content: content.replace(b"1", b"2", 1),
        # The same JSON in other bytes: not escaped, and with spaces.
        lambda content: json.dumps(json.loads(content), ensure_ascii=False, separators=(",", ":")).encode(),
        lambda content: json.dumps(json.loads(content)).encode(),
        lambda content: json.dumps(json.loads(content), ensure_ascii=False).encode("utf-16"),
        lambda content: json.dumps(json.loads(content), ensure_ascii=False).encode("cp1251", "replace"),
    ],
)
def test_a_body_that_was_altered(channel: Channel, alter: Any) -> None:
    content = body()
    assert alter(content) != content
    assert refused(channel, alter(content), signature(content))


def test_without_an_app_secret_nothing_gets_in(channel: Channel) -> None:
    Channel.objects.filter(pk=channel.pk).delete()
    open_channel = make("open", {**CREDENTIALS, "app_secret": ""})
    assert refused(open_channel, body(), signature(body(), ""))
    assert refused(open_channel, body(), None)


def test_another_channels_secrets_open_nothing(channel: Channel) -> None:
    other = make("other", {**CREDENTIALS, "app_secret": "other-app-secret"})
    assert refused(channel, body(), signature(body(), "other-app-secret"))
    assert refused(channel, body(), signature(body()), url=path(channel, other.webhook_secret))
    assert refused(other, body(), signature(body()))


def test_the_right_signature_at_a_wrong_path(channel: Channel) -> None:
    for secret in ("wrong", "секрет", "%00", channel.webhook_secret[:-1]):
        assert refused(channel, body(), signature(body()), url=path(channel, secret))


def test_what_was_posted_once_has_no_effect_a_week_later(channel: Channel, broker: Broker) -> None:
    content = body()
    sign = signature(content)
    assert post(path(channel), content, sign).status_code == 200
    hints = len(broker.waiting)
    for later in (timedelta(seconds=1), timedelta(days=8)):
        with time_machine.travel(timezone.now() + later, tick=False):
            assert post(path(channel), content, sign).status_code == 200
    assert InboundEvent.objects.count() == 1
    assert len(broker.waiting) == hints


def test_messages_of_another_number_are_acknowledged_and_left_alone(channel: Channel) -> None:
    content = body(number="999")
    assert post(path(channel), content, signature(content)).status_code == 200
    assert not InboundEvent.objects.exists()


def test_nothing_of_a_refused_body_is_logged(channel: Channel, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    assert refused(channel, body(), "sha256=wrong")
    other = body(number="999")
    post(path(channel), other, signature(other))
    told = "".join(
        f"{record.getMessage()} {record.__dict__}"
        for record in caplog.records
        if record.name.startswith(("channels", "foundation"))
    )
    assert "webhook refused" in told
    for secret in (PHONE, WORDS, "Aigul", APP_SECRET, channel.webhook_secret, "sha256=wrong"):
        assert secret not in told


# ── The question whether the address is ours ─────────────────────────────────────────────────────────────────────────
def adapter(verify_token: str = VERIFY_TOKEN) -> WhatsAppCloudAdapter:
    return WhatsAppCloudAdapter(Access("wa", "", {"verify_token": verify_token}, {}, "secret"))


ASKED = {"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": VERIFY_TOKEN}


def test_the_challenge_is_answered() -> None:
    assert adapter().challenge(ASKED) == "1158201444"


@pytest.mark.parametrize(
    "changes",
    [
        {"hub.verify_token": "wrong"}, {"hub.verify_token": ""}, {"hub.verify_token": "токен"}, {"hub.mode": "unsubscribe"},
        {"hub.mode": ""}, {"hub.challenge": ""}, {"hub.challenge": "<script>alert(1)</script>"}, {"hub.challenge": "1" * 300},
    ],
)  # fmt: skip
def test_other_questions_are_not(changes: dict[str, str]) -> None:
    assert adapter().challenge(ASKED | changes) is None


def test_an_empty_verify_token_matches_nothing() -> None:
    assert adapter("").challenge(ASKED | {"hub.verify_token": ""}) is None
    assert adapter().challenge({}) is None
