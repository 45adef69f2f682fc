"""WAHA over the HTTP API and in the admin, against a server that speaks its protocol: linking, settings, writing."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from channels.models import Channel
from conversations.models import Message
from tests.config.api_world import client_of, make_user
from tests.conftest import Broker
from tests.conversations.rows import english  # noqa: F401
from tests.sandbox.fixtures import served
from tests.sandbox.waha import PNG, FakeWaha
from tests.sandbox.waha_rows import API_KEY

pytestmark = pytest.mark.django_db
BASE = "/api/v1/waha/"
RIGHTS = (*(f"{action}_channel" for action in ("view", "add", "change", "delete")), "view_conversation", "change_conversation")


server = served(FakeWaha)


@pytest.fixture
def fake(server: FakeWaha, settings: Any) -> FakeWaha:
    settings.RATE_LIMIT_PER_MINUTE = 10**6
    server.reset()
    server.sessions.clear()
    return server


@pytest.fixture
def manager() -> User:
    return make_user("manager", rights=RIGHTS)


@pytest.fixture
def api(manager: User) -> Any:
    return client_of(manager)


@pytest.fixture
def channel(api: Any, fake: FakeWaha) -> Channel:
    """A session that nobody has started yet."""
    body = {"name": "Магазин", "base_url": fake.base_url, "api_key": API_KEY}
    answer = api.post(f"{BASE}sessions/", body, format="json")
    assert answer.status_code == 201, answer.json()
    return Channel.objects.get()


def test_a_session_is_made_started_linked_and_left(api: Any, channel: Channel, fake: FakeWaha, caplog: Any) -> None:
    assert (channel.slug, channel.options["session"], channel.enabled) == ("magazin", "magazin", True)
    assert len(channel.credentials["hmac_key"]) > 30
    assert api.get(f"{BASE}sessions/magazin/").json()["state"] == "stopped"
    assert api.get(f"{BASE}sessions/magazin/qr/").status_code == 409
    with caplog.at_level(logging.DEBUG):
        assert api.post(f"{BASE}sessions/magazin/start/").json()["state"] == "linking"
        picture = api.get(f"{BASE}sessions/magazin/qr/")
        assert (picture.content, picture["Content-Type"]) == (PNG, "image/png")
        assert "no-store" in picture["Cache-Control"]
        code = api.post(f"{BASE}sessions/magazin/pairing-code/", {"phone": "8 701 999 00 00"}, format="json")
    assert code.json()["code"] and code.json()["code"] not in caplog.text and "77019990000" not in caplog.text
    fake.sessions["magazin"].status = "WORKING"
    linked = api.get(f"{BASE}sessions/magazin/").json()
    assert (linked["state"], linked["own_number"]) == ("working", "+77019990000")
    assert api.post(f"{BASE}sessions/magazin/stop/").json()["state"] == "stopped"
    assert {line.event for line in channel.log.all()} >= {"session started", "session stopped"}


def test_starting_the_bot_makes_its_session_and_its_webhook(api: Any, channel: Channel, fake: FakeWaha) -> None:
    started = api.post("/api/v1/whatsapp/instances/magazin/start/").json()
    assert (started["status"], started["health"]) == ("running", "ok")
    (hook,) = fake.sessions["magazin"].config["webhooks"]
    assert hook["url"].endswith(f"/webhooks/waha/magazin/{channel.webhook_secret}/")
    fake.sessions["magazin"].status = "WORKING"
    assert api.post("/api/v1/channels/magazin/restart/").json()["status"] == "running"


def test_a_wrong_key_is_told(api: Any, channel: Channel) -> None:
    Channel.objects.update(credentials={"api_key": "wrong", "hmac_key": "k"})
    answer = api.post(f"{BASE}sessions/magazin/start/")
    assert answer.status_code == 409 and "wrong" not in answer.content.decode()


def test_settings_are_read_and_changed_without_their_secrets(api: Any, channel: Channel) -> None:
    told = api.get(f"{BASE}settings/")
    assert API_KEY not in told.content.decode() and channel.webhook_secret not in told.content.decode()
    assert api.put(f"{BASE}settings/", {"base_url": "http://waha:3000"}, format="json").json()["base_url"] == "http://waha:3000"
    for wrong in ("waha:3000", "ftp://waha", "http://a b", "http://user@waha"):
        assert api.put(f"{BASE}settings/", {"base_url": wrong}, format="json").status_code == 400
    body = {"polling": False, "sends_per_second": 0.5, "webhook_base": "http://web:8000", "api_key": ""}
    changed = api.put(f"{BASE}settings/", body, format="json").json()
    assert (changed["polling"], changed["sends_per_second"], changed["session"]) == (False, 0.5, "magazin")
    channel.refresh_from_db()
    assert channel.credentials["api_key"] == API_KEY
    assert api.put(f"{BASE}settings/", {"session": "no way"}, format="json").status_code == 400
    Channel.objects.create(name="B", slug="b", kind="waha", company="B", owner=channel.owner)
    assert api.get(f"{BASE}settings/").status_code == 409
    assert api.get(f"{BASE}settings/?channel=magazin").status_code == 200


def test_writing_goes_through_the_outbox(api: Any, channel: Channel, broker: Broker) -> None:
    answer = api.post(f"{BASE}send-message/", {"phone": "8 701 000 00 07", "text": "Ваш заказ готов"}, format="json")
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")
    message = Message.objects.get()
    assert (message.channel, message.author, message.text) == (channel, "manager", "Ваш заказ готов")


# ── The page ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_page_shows_the_code_while_it_is_wanted(client: Client, manager: User, channel: Channel, fake: FakeWaha) -> None:
    client.force_login(manager)
    address = reverse("admin:channel_session", args=(channel.pk,))
    assert address in client.get(reverse("admin:channels_channel_change", args=(channel.pk,))).content.decode()
    assert "stopped" in client.get(address).content.decode()
    client.post(reverse("admin:channel_session_do", args=(channel.pk, "start")))
    page = client.get(address)
    assert "data:image/png;base64," in page.content.decode() and "no-store" in page["Cache-Control"]
    state = client.get(reverse("admin:channel_session_state", args=(channel.pk,)))
    assert "data:image/png;base64," in state.json()["html"] and "no-store" in state["Cache-Control"]
    code = client.post(reverse("admin:channel_session_code", args=(channel.pk,)), {"phone": "+7 701 999 00 00"})
    assert "sd-code" in code.content.decode() and "no-store" in code["Cache-Control"]
    refused = client.post(reverse("admin:channel_session_code", args=(channel.pk,)), {"phone": "no"}, follow=True)
    assert "Not a phone number" in refused.content.decode()
    fake.sessions["magazin"].status = "WORKING"
    assert "data:image" not in client.get(address).content.decode()
    client.post(reverse("admin:channel_session_do", args=(channel.pk, "logout")))
    assert fake.sessions["magazin"].status != "WORKING"


def test_only_who_may_change_sees_a_code(client: Client, manager: User, channel: Channel) -> None:
    manager.user_permissions.set(manager.user_permissions.filter(codename="view_channel"))
    client.force_login(User.objects.get(pk=manager.pk))
    for name in ("channel_session", "channel_session_state"):
        assert client.get(reverse(f"admin:{name}", args=(channel.pk,))).status_code == 403
    assert client_of(manager).get(f"{BASE}sessions/magazin/qr/").status_code == 403
    assert client_of(manager).get(f"{BASE}sessions/magazin/").status_code == 200


def test_channels_without_a_session_have_no_such_page(admin_client: Client) -> None:
    widget = Channel.objects.create(name="W", slug="w", kind="widget", company="W")
    assert admin_client.get(reverse("admin:channel_session", args=(widget.pk,))).status_code == 404
