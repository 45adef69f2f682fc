"""The webhook door: what comes in, what is refused, and that nothing valid is lost."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from channels import directory, inbox
from channels.models import Channel, InboundEvent
from tests.conftest import Broker

pytestmark = pytest.mark.django_db(transaction=True)

PAYLOADS = sorted((Path(__file__).parent.parent / "payloads" / "wappi").glob("*.json"))
WEBHOOKS = [path for path in PAYLOADS if not path.name.startswith("polled_") and path.stem != "foreign_profile"]
PROFILE = "71ad40e9-b023"


@pytest.fixture
def wappi() -> Channel:
    return Channel.objects.create(
        name="WhatsApp", slug="wa", kind="wappi", company="Demo", hold=0, moderation=False,
        credentials={"token": "token-1"}, options={"profile_id": PROFILE},
    )  # fmt: skip


def path(channel: Channel, **parts: str) -> str:
    secret = parts.get("secret", channel.webhook_secret)
    return f"/webhooks/{parts.get('kind', channel.kind)}/{parts.get('slug', channel.slug)}/{secret}/"


def post(url: str, body: bytes) -> Any:
    return Client(raise_request_exception=False).post(url, body, content_type="application/json")


def text_message(text: str = "Здравствуйте", **changes: Any) -> dict[str, Any]:
    row = {
        "wh_type": "incoming_message", "profile_id": PROFILE, "id": "3A945DD9CDD3016BE11B", "body": text, "type": "chat",
        "from": "77011234567@c.us", "to": "77019990000@c.us", "senderName": "Demo", "chatId": "77011234567@c.us",
        "time": int(timezone.now().timestamp()), "is_me": False, "chat_type": "dialog", "from_where": "phone",
    }  # fmt: skip
    return {"messages": [row | changes]}


def as_bytes(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


@pytest.mark.parametrize("payload", WEBHOOKS, ids=lambda p: p.stem)
def test_each_payload_is_stored_once_and_answered_200(wappi: Channel, broker: Broker, payload: Path) -> None:
    body = payload.read_bytes()
    assert post(path(wappi), body).status_code == 200
    stored = InboundEvent.objects.count()
    assert stored >= 1
    hints = len(broker.waiting)
    assert post(path(wappi), body).status_code == 200
    assert InboundEvent.objects.count() == stored
    assert len(broker.waiting) == hints
    assert all(isinstance(row_id, int) for _task, row_id, _delay in broker.waiting)


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ({"slug": "unknown"}, 404),
        ({"kind": "telegram"}, 404),
        ({"secret": "wrong"}, 403),
        ({"secret": "секрет"}, 403),
        ({"secret": "%00"}, 403),
    ],
)
def test_a_stranger_changes_nothing(wappi: Channel, parts: dict[str, str], status: int) -> None:
    assert post(path(wappi, **parts), as_bytes(text_message())).status_code == status
    assert not InboundEvent.objects.exists()


def test_a_channel_without_a_secret_is_closed(wappi: Channel) -> None:
    Channel.objects.filter(pk=wappi.pk).update(webhook_secret="")
    directory.forget()
    assert post(path(wappi, secret="-"), as_bytes(text_message())).status_code == 403


def test_a_foreign_profile_is_refused(wappi: Channel) -> None:
    assert post(path(wappi), as_bytes(text_message(profile_id="00000000-0000"))).status_code == 403
    assert not InboundEvent.objects.exists()


def test_a_disabled_channel_does_not_exist(wappi: Channel) -> None:
    wappi.enabled = False
    wappi.save()
    assert post(path(wappi), as_bytes(text_message())).status_code == 404


@pytest.mark.parametrize("body", [b"not json", b"[]", b'{"messages": 5}', b'{"other": 1}', b"\xff\xfe", b"[" * 100_000])
def test_what_nobody_understands_is_kept_where_a_manager_sees_it(wappi: Channel, broker: Broker, body: bytes) -> None:
    for _ in range(2):
        assert post(path(wappi), body).status_code == 200
    [event] = InboundEvent.objects.all()
    assert event.state == InboundEvent.State.FAILED
    assert event.reason
    assert bytes(event.payload) == body
    assert not broker.waiting


def test_an_empty_body_is_refused(wappi: Channel) -> None:
    assert post(path(wappi), b"  ").status_code == 400


def test_a_get_is_refused(wappi: Channel) -> None:
    assert Client().get(path(wappi)).status_code == 405


def test_ten_megabytes_are_stored(wappi: Channel, broker: Broker) -> None:
    body = as_bytes(text_message(type="image", mimetype="image/jpeg", body="A" * 10 * 1024 * 1024))
    assert post(path(wappi), body).status_code == 200
    assert InboundEvent.objects.get().state == InboundEvent.State.NEW
    assert len(broker.waiting) == 1


def test_more_than_the_limit_is_refused(wappi: Channel, settings: Any) -> None:
    settings.MAX_WEBHOOK_BYTES = 1000
    assert post(path(wappi), as_bytes(text_message("A" * 2000))).status_code == 413
    assert not InboundEvent.objects.exists()


def test_a_broker_that_is_away_does_not_matter(wappi: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    from celery import current_app
    from kombu.exceptions import OperationalError

    def away(*args: Any, **kwargs: Any) -> Any:
        raise OperationalError("away")

    monkeypatch.setattr(current_app, "send_task", away)
    assert post(path(wappi), as_bytes(text_message())).status_code == 200
    assert InboundEvent.objects.get().state == InboundEvent.State.NEW


def test_without_a_database_nothing_is_acknowledged(wappi: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import OperationalError

    def away(*args: Any) -> Any:
        raise OperationalError("away")

    monkeypatch.setattr(inbox, "store_all", away)
    answer = post(path(wappi), as_bytes(text_message()))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


def test_payloads_are_unreadable_at_rest(wappi: Channel, broker: Broker) -> None:
    from django.db import connection

    post(path(wappi), as_bytes(text_message("секретный текст")))
    with connection.cursor() as cursor:
        cursor.execute("SELECT payload, lane, external_id FROM channels_inboundevent")
        [(payload, lane, external_id)] = cursor.fetchall()
    for stored in (bytes(payload), lane.encode(), external_id.encode()):
        assert "секретный".encode() not in stored
        assert b"77011234567" not in stored


def test_old_payloads_are_forgotten_and_what_needs_attention_is_kept(wappi: Channel, broker: Broker) -> None:
    post(path(wappi), as_bytes(text_message()))
    post(path(wappi), b"not json")
    InboundEvent.objects.filter(state="new").update(state="processed")
    InboundEvent.objects.update(received_at=timezone.now() - timedelta(days=40))
    assert inbox.purge(30) == 1
    assert InboundEvent.objects.filter(payload__isnull=True).count() == 1


def test_a_failed_event_can_be_retried_or_dismissed(wappi: Channel, broker: Broker) -> None:
    post(path(wappi), b"not json")
    event = InboundEvent.objects.get()
    assert inbox.retry(event.pk)
    assert broker.named("conversations.receive") == [event.pk]
    broker.run()
    event.refresh_from_db()
    assert event.state == InboundEvent.State.FAILED
    assert inbox.dismiss(event.pk)
    assert not inbox.retry(event.pk)
