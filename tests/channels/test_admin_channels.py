"""The pages of channels: credentials that are written and never read, addresses to copy, and the buttons."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from channels import control
from channels.adapters.wappi import WappiAdapter
from channels.admin.channels import LOG_SHOWN
from channels.admin.form import EXAMPLES, HELP
from channels.base import Health
from channels.models import Channel, ChannelLog, NumberRule
from conversations.models import Conversation
from foundation.errors import Rejected, Retry, Unauthorized
from tests.conversations.rows import a_channel, a_conversation, a_manager, english  # noqa: F401

pytestmark = pytest.mark.django_db
LIST = "admin:channels_channel_changelist"
TOKEN = "0123456789abcdef-secret-token"


@pytest.fixture
def wappi() -> Channel:
    return a_channel(kind="wappi", credentials={"token": TOKEN}, options={"profile_id": "p-1", "show_typing": True})


def page(channel: Channel) -> str:
    return reverse("admin:channels_channel_change", args=(channel.pk,))


def form(channel: Channel | None = None, **fields: Any) -> dict[str, Any]:
    """What the browser posts: the given fields over those of a usual form."""
    data = {
        "name": "WhatsApp", "slug": "whatsapp", "owner": "", "enabled": "on", "running": "on", "company": "Demo", "about": "",
        "own_number": "", "time_zone": "Asia/Almaty", "moderation": "on", "answer_age_hours": "24", "rate_limit_count": "",
        "rate_limit_hours": "5", "hold": "0.7", "max_hold": "8", "pause_hours": "12", "base_url": "", "more_options": "{}",
        "number_rules-TOTAL_FORMS": "0", "number_rules-INITIAL_FORMS": "0", "log-TOTAL_FORMS": "0", "log-INITIAL_FORMS": "0",
    }  # fmt: skip
    return {**data, **fields}


def errors(response: Any) -> dict[str, Any]:
    assert response.status_code == 200
    return dict(response.context["adminform"].form.errors)


def press(browser: Client, channel: Channel, what: str) -> str:
    response = browser.post(reverse("admin:channel_do", args=(channel.pk, what)), follow=True)
    assert response.status_code == 200
    return " ".join(str(message) for message in response.context["messages"])


def act(browser: Client, action: str, *rows: Channel) -> str:
    response = browser.post(reverse(LIST), {"action": action, "_selected_action": [row.pk for row in rows]}, follow=True)
    return " ".join(str(message) for message in response.context["messages"])


# ── The form ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_kind_says_what_to_do(admin_client: Client) -> None:
    assert set(HELP) == set(EXAMPLES) == set(Channel.Kind)
    assert all(isinstance(json.loads(example), dict) for example in EXAMPLES.values())
    chooser = admin_client.get(reverse("admin:channels_channel_add")).content.decode()
    for kind in Channel.Kind:
        assert f"?kind={kind.value}" in chooser
        assert admin_client.get(reverse("admin:channels_channel_add"), {"kind": kind.value}).status_code == 200


def test_a_channel_is_made_with_simple_fields(admin_client: Client) -> None:
    address = reverse("admin:channels_channel_add") + "?kind=wappi"
    told = errors(admin_client.post(address, form()))
    assert set(told) == {"credential_token", "option_profile_id"}
    data = form(credential_token=TOKEN, option_profile_id="p-1", more_options='{"show_typing": true}')
    assert admin_client.post(address, data).status_code == 302
    channel = Channel.objects.get()
    assert (channel.kind, channel.credentials) == ("wappi", {"token": TOKEN})
    assert channel.options == {"profile_id": "p-1", "show_typing": True}


def test_a_website_chat_needs_nothing(admin_client: Client) -> None:
    assert admin_client.post(reverse("admin:channels_channel_add") + "?kind=widget", form(slug="site")).status_code == 302
    assert Channel.objects.get().kind == "widget"


def test_credentials_are_never_shown_and_an_empty_field_keeps_them(admin_client: Client, wappi: Channel) -> None:
    shown = admin_client.get(page(wappi)).content.decode()
    assert TOKEN not in shown
    assert "set; empty keeps it" in shown
    assert admin_client.post(page(wappi), form(option_profile_id="p-2", name="Renamed")).status_code == 302
    wappi.refresh_from_db()
    assert (wappi.name, wappi.credentials, wappi.options) == ("Renamed", {"token": TOKEN}, {"profile_id": "p-2"})
    admin_client.post(page(wappi), form(option_profile_id="p-2", credential_token="another-token"))
    wappi.refresh_from_db()
    assert wappi.credentials == {"token": "another-token"}


def test_a_refused_form_does_not_show_what_was_typed_as_a_secret(admin_client: Client, wappi: Channel) -> None:
    response = admin_client.post(page(wappi), form(credential_token="typed-secret", option_profile_id="", name=""))
    assert set(errors(response)) == {"name", "option_profile_id"}
    assert "typed-secret" not in response.content.decode()


@pytest.mark.parametrize("value", ["[1]", "{broken", '"text"'])
def test_more_options_are_an_object(admin_client: Client, wappi: Channel, value: str) -> None:
    assert set(errors(admin_client.post(page(wappi), form(option_profile_id="p", more_options=value)))) == {"more_options"}


def test_the_identifier_is_settled_once_saved(admin_client: Client, wappi: Channel) -> None:
    before = wappi.slug
    admin_client.post(page(wappi), form(option_profile_id="p", slug="other"))
    wappi.refresh_from_db()
    assert wappi.slug == before


def test_addresses_are_shown_only_to_who_may_change(
    admin_client: Client, client: Client, wappi: Channel, settings: Any
) -> None:
    settings.PUBLIC_URL = "https://chat.example"
    assert (
        f"https://chat.example/webhooks/wappi/{wappi.slug}/{wappi.webhook_secret}/"
        in admin_client.get(page(wappi)).content.decode()
    )
    site = a_channel()
    assert f"data-channel=&quot;{site.slug}&quot;" in admin_client.get(page(site)).content.decode()
    reader = a_manager()
    reader.user_permissions.set(reader.user_permissions.filter(codename__startswith="view_"))
    wappi.team.add(reader)
    client.force_login(reader)
    shown = client.get(page(wappi))
    assert shown.status_code == 200
    assert wappi.webhook_secret not in shown.content.decode()


def test_number_rules_take_any_spelling_and_show_one(admin_client: Client) -> None:
    channel = a_channel()
    rule = {"number_rules-TOTAL_FORMS": "1", "number_rules-0-rule": "blocked", "number_rules-0-note": ""}
    assert admin_client.post(page(channel), form(**rule, **{"number_rules-0-phone": "8 701 765-43-21"})).status_code == 302
    assert NumberRule.objects.get().phone == "77017654321"
    assert "+7 701 765 4321" in admin_client.get(page(channel)).content.decode()
    twice = {
        f"number_rules-{n}-{name}": value for n in (0, 1) for name, value in (("rule", "excluded"), ("phone", "7019998877"))
    }
    again = admin_client.post(page(channel), form(**{"number_rules-TOTAL_FORMS": "2"}, **twice))
    assert "already has this rule" in again.content.decode()
    refused = admin_client.post(page(channel), form(**rule, **{"number_rules-0-phone": "call me"}))
    assert refused.status_code == 200
    assert NumberRule.objects.count() == 1


def test_the_same_rule_twice_is_an_error_in_words(admin_client: Client) -> None:
    channel = a_channel()
    NumberRule.objects.create(channel=channel, rule="blocked", phone="77017654321")
    address = reverse("admin:channels_numberrule_add")
    data = {"channel": channel.pk, "rule": "blocked", "phone": "8 701 765 43 21", "note": ""}
    assert admin_client.post(address, data).status_code == 200
    assert NumberRule.objects.count() == 1
    assert admin_client.post(address, {**data, "rule": "excluded"}).status_code == 302
    found = admin_client.get(reverse("admin:channels_numberrule_changelist"), {"q": "+7 701 765 43 21"})
    assert len(found.context["cl"].result_list) == 2


def test_the_log_shows_the_last_hundred(admin_client: Client) -> None:
    channel = a_channel()
    ChannelLog.objects.bulk_create(ChannelLog(channel=channel, event=f"event-{n}") for n in range(LOG_SHOWN + 20))
    shown = admin_client.get(page(channel)).content.decode()
    assert f"event-{LOG_SHOWN + 19}<" in shown.replace(" ", "").replace("\n", "")
    assert ChannelLog.objects.count() == LOG_SHOWN + 20
    assert "event-5<" not in shown.replace(" ", "").replace("\n", "")


# ── The buttons ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider takes our credentials and our address."""
    monkeypatch.setattr(WappiAdapter, "check", lambda self: Health(ok=True))
    monkeypatch.setattr(WappiAdapter, "subscribe", lambda self, url: None)


@pytest.mark.usefixtures("reachable")
def test_stop_and_start(admin_client: Client, wappi: Channel, admin_user: Any) -> None:
    for what, running in (("stop", False), ("start", True)):
        press(admin_client, wappi, what)
        wappi.refresh_from_db()
        assert (wappi.running, wappi.auto_start) == (running, running)
    told = [("stopped", "admin"), ("health: ok", ""), ("started", "admin")]
    assert list(wappi.log.order_by("pk").values_list("event", "detail")) == told
    press(admin_client, wappi, "start")
    assert wappi.log.count() == 3
    assert "connected anew" in press(admin_client, wappi, "restart")


def test_a_start_that_fails_says_why(admin_client: Client, wappi: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    Channel.objects.update(running=False, auto_start=False)

    def refuse(self: WappiAdapter) -> Health:
        raise Unauthorized("the token is refused")

    monkeypatch.setattr(WappiAdapter, "check", refuse)
    assert "the token is refused" in press(admin_client, wappi, "start")
    wappi.refresh_from_db()
    assert not wappi.running
    light = admin_client.get(reverse(LIST)).content.decode()
    assert "sd-light--muted" in light and "sd-light--ok" not in light


def test_deleting_archives_what_holds_conversations(admin_client: Client) -> None:
    empty, used = a_channel(), a_channel(name="Used")
    a_conversation(used)
    for channel in (empty, used):
        address = reverse("admin:channels_channel_delete", args=(channel.pk,))
        assert ("nothing lost" in admin_client.get(address).content.decode()) is (channel == used)
        assert admin_client.post(address, {"post": "yes"}).status_code == 302
    used.refresh_from_db()
    assert list(Channel.objects.all()) == [used] and used.archived_at is not None and not used.enabled
    assert Conversation.objects.filter(channel=used).count() == 1
    assert list(admin_client.get(reverse(LIST)).context["cl"].result_list) == []
    assert list(admin_client.get(reverse(LIST), {"archived": "1"}).context["cl"].result_list) == [used]
    assert "back from the archive" in press(admin_client, used, "restore")


def test_what_an_owner_makes_is_theirs(client: Client) -> None:
    manager, other = a_manager(), a_manager()
    client.force_login(manager)
    assert client.post(reverse("admin:channels_channel_add") + "?kind=widget", form(owner=other.pk)).status_code == 302
    channel = Channel.objects.get()
    assert (channel.owner, channel.auto_start) == (manager, True)
    assert client.post(page(channel), form(owner=other.pk, team=[other.pk], auto_start="")).status_code == 302
    channel.refresh_from_db()
    assert (channel.owner, list(channel.team.all()), channel.auto_start, channel.running) == (manager, [other], False, True)


@pytest.mark.parametrize(
    ("found", "words", "health"),
    [
        (Health(ok=True, detail="+7 701"), "+7 701", "ok"),
        (Health(ok=False, detail="phone is off"), "phone is off", "trouble"),
        (Unauthorized("HTTP 401"), "HTTP 401", "needs_attention"),
        (Retry("no connection"), "no connection", "trouble"),
    ],
)
def test_check_tells_what_the_provider_says(
    admin_client: Client, wappi: Channel, monkeypatch: pytest.MonkeyPatch, found: Any, words: str, health: str
) -> None:
    def check(self: WappiAdapter) -> Health:
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(WappiAdapter, "check", check)
    assert words in press(admin_client, wappi, "check")
    wappi.refresh_from_db()
    assert wappi.health == health
    assert words in act(admin_client, "check_connection", wappi)


def test_subscribe_posts_our_address_and_shows_errors(
    admin_client: Client, wappi: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(WappiAdapter, "subscribe", lambda self, url: told.append(url))
    press(admin_client, wappi, "subscribe")
    assert told == [control.webhook_url(wappi)]

    def refuse(self: WappiAdapter, url: str) -> None:
        raise Rejected("HTTP 400 bad profile")

    monkeypatch.setattr(WappiAdapter, "subscribe", refuse)
    assert "HTTP 400 bad profile" in press(admin_client, wappi, "subscribe")
    assert "nothing to subscribe" in act(admin_client, "subscribe", a_channel())


def test_a_new_secret_replaces_the_old_one(admin_client: Client, wappi: Channel) -> None:
    before = wappi.webhook_secret
    press(admin_client, wappi, "secret")
    wappi.refresh_from_db()
    assert wappi.webhook_secret != before
    assert wappi.log.get().event == "new webhook secret"
    assert wappi.webhook_secret not in wappi.log.get().detail


def test_bulk_start_and_stop_with_counts(admin_client: Client) -> None:
    channels = [a_channel() for _ in range(3)]
    assert "3 channels done" in act(admin_client, "stop", *channels)
    assert not Channel.objects.filter(running=True).exists()
    act(admin_client, "start", channels[0])
    assert Channel.objects.filter(running=True).count() == 1


def test_buttons_are_posted_and_need_the_right(admin_client: Client, client: Client, wappi: Channel) -> None:
    address = reverse("admin:channel_do", args=(wappi.pk, "stop"))
    assert admin_client.get(address).status_code == 405
    assert admin_client.post(reverse("admin:channel_do", args=(wappi.pk, "explode"))).status_code == 404
    reader = a_manager()
    reader.user_permissions.set(reader.user_permissions.filter(codename__startswith="view_"))
    client.force_login(reader)
    assert client.post(address).status_code == 403


def test_managers_see_and_change_only_their_channels(client: Client) -> None:
    manager = a_manager()
    own, shared, foreign = a_channel(owner=manager), a_channel(), a_channel(owner=a_manager(), name="Secret channel")
    a_channel(name="Nobody's channel")
    shared.team.add(manager)
    client.force_login(manager)
    listed = client.get(reverse(LIST)).context["cl"].result_list
    assert {channel.pk for channel in listed} == {own.pk, shared.pk}
    assert client.get(page(foreign)).status_code == 302
    assert client.post(reverse("admin:channel_do", args=(foreign.pk, "stop"))).status_code == 404
    assert "Secret channel" not in client.get(reverse("admin:channels_numberrule_add")).content.decode()
    for name in ("rule", "blocked"):
        data = {"channel": foreign.pk, "rule": name, "phone": "77017654321", "note": ""}
        assert client.post(reverse("admin:channels_numberrule_add"), data).status_code == 200
    assert client.post(reverse("admin:channels_numberrule_add"), {"rule": "blocked", "phone": "77017654321"}).status_code == 200
    assert not NumberRule.objects.exists()
