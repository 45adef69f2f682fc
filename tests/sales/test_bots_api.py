"""Bots over the HTTP API: made, changed, started, stopped, read, deleted."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from channels import log
from channels.adapters.telegram import TelegramAdapter
from channels.adapters.whatsapp_cloud import WhatsAppCloudAdapter
from channels.base import Health
from channels.models import Channel, NumberRule
from conversations.models import Conversation
from foundation.errors import Rejected, Retry, Unauthorized
from llm.models import LanguageModel
from sales import bots
from sales.models import Assistant, Bot
from tests.config.api_world import client_of, make_user
from tests.conversations.rows import a_channel, a_conversation, english  # noqa: F401

pytestmark = pytest.mark.django_db
BASE = "/api/v1/whatsapp/instances/"
TOKEN, SECRET = "EAAG-permanent-token-7788", "0123456789abcdef-app-4455"
CLOUD = {
    "name": "Support Bot", "phone_number_id": "10155", "waba_id": "20266", "access_token": TOKEN, "verify_token": "short",
    "app_secret": SECRET,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _unlimited(settings: Any) -> None:
    settings.RATE_LIMIT_PER_MINUTE = 10**6


@pytest.fixture
def manager() -> User:
    rights = [f"{action}_channel" for action in ("view", "add", "change", "delete")]
    return make_user("manager", rights=tuple(rights))


@pytest.fixture
def api(manager: User) -> Any:
    return client_of(manager)


def made(api: Any, address: str = BASE, **fields: Any) -> Any:
    answer = api.post(address, {**CLOUD, **fields}, format="json")
    assert answer.status_code == 201, answer.json()
    return answer.json()


def faults(answer: Any) -> set[str]:
    assert answer.status_code == 400, answer.content
    return set(answer.json()["error"]["fields"])


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Meta as far as starting asks it: `says` is what a check finds, `subscribed` where webhooks go."""
    meta: dict[str, Any] = {"says": Health(ok=True, detail="+7 701"), "subscribed": []}

    def check(self: Any) -> Health:
        if isinstance(meta["says"], Exception):
            raise meta["says"]
        found: Health = meta["says"]
        return found

    for adapter in (WhatsAppCloudAdapter, TelegramAdapter):
        monkeypatch.setattr(adapter, "check", check)
        monkeypatch.setattr(adapter, "unsubscribe", lambda self: meta["subscribed"].clear())
    monkeypatch.setattr(WhatsAppCloudAdapter, "subscribe", lambda self, url: meta["subscribed"].append(url))
    return meta


# ── Making ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_bot_is_a_channel_an_assistant_and_their_bond(api: Any, manager: User) -> None:
    bot = made(api, system_prompt="Be brief.", llm_params={"temperature": 0.3, "max_tokens": 500, "top_p": 0.9})
    channel = Channel.objects.get()
    assistant = Bot.objects.get(channel=channel).assistant
    assert (bot["slug"], bot["kind"], bot["owner"]) == ("support-bot", "whatsapp_cloud", "manager")
    assert (channel.owner, channel.running, channel.auto_start, channel.enabled) == (manager, False, False, True)
    assert (assistant.owner, assistant.persona, assistant.temperature) == (manager, "Be brief.", 0.3)
    assert (assistant.max_tokens, assistant.top_p) == (500, 0.9)
    assert channel.credentials == {"access_token": TOKEN, "verify_token": "short", "app_secret": SECRET}
    assert channel.options == {"phone_number_id": "10155", "waba_id": "20266"}


def test_slugs_are_made_of_names_and_unique(api: Any) -> None:
    assert made(api)["slug"] == "support-bot"
    assert made(api)["slug"] == "support-bot-2"
    assert made(api, name="Кофе на Абая")["slug"] == "kofe-na-abaya"
    assert made(api, name="Қызмет көрсету")["slug"] == "qyzmet-korsetu"
    assert made(api, name="☕")["slug"] == "bot"


def test_nothing_is_made_of_a_wrong_request(api: Any) -> None:
    for fields, wrong in (
        ({"name": ""}, {"name"}),
        ({"kind": "telegram"}, {"kind"}),
        ({"llm_params": {"temperature": 3}}, {"llm_params.temperature"}),
        ({"llm_params": {"max_tokens": 1}}, {"llm_params.max_tokens"}),
        ({"llm_params": {"top_p": "much"}}, {"llm_params.top_p"}),
        ({"llm_params": {"temprature": 1}}, {"llm_params.temprature"}),
        ({"llm_backend": "gpt"}, {"llm_backend.0"}),
        ({"llm_backend": "cloud:999"}, {"llm_backend.0"}),
        ({"allowed_phones": ["call me"]}, {"allowed_phones.0"}),
        ({"token": "of Wappi"}, {"token"}),
        ({"time_zone": "Mars/Olympus"}, {"time_zone"}),
        ({"voice": "nobody"}, {"voice"}),
        ({"voice_when": "never ever"}, {"voice_when"}),
        ({"enabled": True, "access_token": ""}, {"access_token"}),
    ):
        assert faults(api.post(BASE, {**CLOUD, **fields}, format="json")) == wrong, fields
    assert not Channel.objects.exists() and not Assistant.objects.exists()


def test_an_incomplete_bot_waits_disabled(api: Any) -> None:
    bot = made(api, app_secret="", waba_id="")
    assert (bot["enabled"], bot["missing"]) == (False, ["app_secret", "waba_id"])
    refused = api.put(f"{BASE}support-bot/", {"enabled": True}, format="json")
    assert faults(refused) == {"app_secret", "waba_id"}
    done = api.put(f"{BASE}support-bot/", {"enabled": True, "app_secret": SECRET, "waba_id": "2"}, format="json").json()
    assert (done["enabled"], done["missing"]) == (True, [])


def test_every_kind_is_made_under_channels(api: Any) -> None:
    assert faults(api.post("/api/v1/channels/", {"name": "X"}, format="json")) == {"kind"}
    for kind in Channel.Kind:
        answer = api.post("/api/v1/channels/", {"name": f"My {kind}", "kind": str(kind)}, format="json")
        assert (answer.status_code, answer.json()["kind"]) == (201, kind)
    listed = api.get("/api/v1/channels/").json()["results"]
    assert {bot["kind"] for bot in listed} == set(Channel.Kind)
    whatsapp = {bot["kind"] for bot in api.get(BASE).json()["results"]}
    assert whatsapp == set(map(str, bots.WHATSAPP))
    assert api.get(f"{BASE}my-telegram/").status_code == 404


# ── Reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_secrets_go_in_and_never_come_out(api: Any) -> None:
    made(api)
    for answer in (api.get(BASE), api.get(f"{BASE}support-bot/"), api.put(f"{BASE}support-bot/", {}, format="json")):
        told = answer.content.decode()
        assert TOKEN not in told and SECRET not in told and "short" not in told
    assert api.get(f"{BASE}support-bot/").json()["secrets"] == {
        "access_token": "••••7788", "app_secret": "••••4455", "verify_token": "••••",
    }  # fmt: skip


def test_what_was_read_can_be_written_back(api: Any) -> None:
    LanguageModel.objects.create(name="g", kind="gemini", model_id="g-1")
    bot = made(api, llm_backend="gemini", blocked_phones=["8 701 111 22 33"], rate_limit_count=5)
    written = api.put(f"{BASE}support-bot/", bot, format="json")
    assert written.status_code == 200, written.json()
    assert {**written.json(), "health_changed_at": None} == {**bot, "health_changed_at": None}
    assert Channel.objects.get().credentials["access_token"] == TOKEN


def test_the_webhook_address_is_told_without_its_secret(api: Any) -> None:
    assert made(api)["webhook_url"].endswith("/webhooks/whatsapp_cloud/support-bot/••••/")


# ── Changing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_models_by_their_short_names(api: Any) -> None:
    flash, second = (LanguageModel.objects.create(name=n, kind="gemini", model_id=n, position=p) for p, n in ((1, "a"), (2, "b")))
    local = LanguageModel.objects.create(name="local", kind="vllm", model_id="l")
    bot = made(api, llm_backend=["vllm", "gemini", f"cloud:{second.pk}"])
    assert bot["llm_backend"] == ["vllm", "gemini", f"cloud:{second.pk}"]
    places = Assistant.objects.get().model_places.order_by("position").values_list("model_id", flat=True)
    assert list(places) == [local.pk, flash.pk, second.pk]
    assert faults(api.put(f"{BASE}support-bot/", {"llm_backend": ["gemini", "cloud:a"]}, format="json")) == {"llm_backend"}
    assert api.put(f"{BASE}support-bot/", {"llm_backend": []}, format="json").json()["llm_backend"] == []


def test_phones_are_replaced_as_a_list(api: Any) -> None:
    made(api, allowed_phones=["+7 701 111 22 33", "8 701 111 22 33"], blocked_phones=["77014445566"])
    rules = NumberRule.objects.order_by("rule").values_list("rule", flat=True)
    assert list(rules) == ["allowed", "blocked"]
    changed = api.patch(f"{BASE}support-bot/", {"allowed_phones": []}, format="json").json()
    assert (changed["allowed_phones"], changed["blocked_phones"]) == ([], ["+77014445566"])


def test_an_assistant_shared_with_others_is_not_changed_through_one_bot(api: Any) -> None:
    made(api)
    assistant = Assistant.objects.get()
    Assistant.objects.update(owner=make_user("other"))
    Bot.objects.create(channel=a_channel(owner=make_user("third")), assistant=assistant)
    assert faults(api.put(f"{BASE}support-bot/", {"system_prompt": "Mine now."}, format="json")) == {"system_prompt"}
    assert api.put(f"{BASE}support-bot/", {"name": "Renamed"}, format="json").json()["name"] == "Renamed"


def test_only_administrators_give_a_bot_away(api: Any, manager: User) -> None:
    other = make_user("other")
    assert faults(api.post(BASE, {**CLOUD, "owner": "other"}, format="json")) == {"owner"}
    made(api)
    assert faults(api.put(f"{BASE}support-bot/", {"owner": None}, format="json")) == {"owner"}
    assert api.put(f"{BASE}support-bot/", {"team": ["other"]}, format="json").json()["team"] == ["other"]
    root = client_of(make_user("root", superuser=True))
    assert root.put(f"{BASE}support-bot/", {"owner": "other"}, format="json").json()["owner"] == "other"
    assert Channel.objects.get().owner == other and api.get(f"{BASE}support-bot/").status_code == 404


# ── Running ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def do(api: Any, what: str, slug: str = "support-bot") -> Any:
    return api.post(f"{BASE}{slug}/{what}/")


def flags() -> tuple[bool, bool]:
    channel = Channel.objects.get()
    return channel.running, channel.auto_start


def test_start_stop_restart_as_the_table_says(api: Any, cloud: dict[str, Any]) -> None:
    made(api)
    started = do(api, "start").json()
    assert (started["status"], started["health"], flags()) == ("running", "ok", (True, True))
    assert len(cloud["subscribed"]) == 1
    assert (do(api, "stop").json()["status"], flags()) == ("stopped", (False, False))
    assert (do(api, "restart").json()["status"], flags()) == ("running", (True, False))
    do(api, "start")
    assert (do(api, "restart").status_code, flags()) == (200, (True, True))
    told = [(line["event"], line["detail"]) for line in api.get(f"{BASE}support-bot/logs/?lines=2").json()]
    assert told == [("restarted", "manager"), ("started", "manager")]


@pytest.mark.parametrize(
    ("says", "code"), [(Unauthorized("the token is refused"), 409), (Retry("Meta is away"), 502), (Rejected("no number"), 409)]
)
def test_a_start_that_proves_nothing_changes_nothing(api: Any, cloud: dict[str, Any], says: Any, code: int) -> None:
    made(api)
    cloud["says"] = says
    for what in ("start", "restart"):
        answer = do(api, what)
        assert (answer.status_code, answer.json()["error"]["message"]) == (code, str(says))
        assert (flags(), cloud["subscribed"]) == ((False, False), [])


def test_a_bot_that_is_disabled_or_incomplete_does_not_start(api: Any, cloud: dict[str, Any]) -> None:
    made(api, app_secret="")
    assert "disabled" in do(api, "start").json()["error"]["message"]
    Channel.objects.update(enabled=True)
    assert "app_secret" in do(api, "start").json()["error"]["message"]


def test_the_log_has_a_hundred_lines_unless_asked(api: Any) -> None:
    made(api)
    for number in range(120):
        log.note(Channel.objects.get().pk, f"event-{number}")
    assert len(api.get(f"{BASE}support-bot/logs/").json()) == 100
    assert len(api.get(f"{BASE}support-bot/logs/?lines=5").json()) == 5
    assert faults(api.get(f"{BASE}support-bot/logs/?lines=0")) == {"lines"}


# ── The end ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_empty_bot_is_deleted_with_its_assistant(api: Any, cloud: dict[str, Any]) -> None:
    made(api)
    assert api.delete(f"{BASE}support-bot/").status_code == 204
    assert not Channel.objects.exists() and not Assistant.objects.exists()


def test_history_is_never_lost(api: Any, cloud: dict[str, Any]) -> None:
    made(api)
    do(api, "start")
    channel = Channel.objects.get()
    a_conversation(channel, phone="77010000001")
    assert api.delete(f"{BASE}support-bot/").status_code == 409
    assert api.delete(f"{BASE}support-bot/?force=true").json() == {"slug": "support-bot", "archived": True}
    assert Conversation.objects.count() == 1 and cloud["subscribed"] == []
    assert api.get(BASE).json()["results"] == []
    assert [bot["slug"] for bot in api.get(f"{BASE}?archived=true").json()["results"]] == ["support-bot"]
    assert api.get(f"{BASE}support-bot/status/").json()["status"] == "archived"
    assert "archived" in do(api, "start").json()["error"]["message"]
    assert do(api, "restore").json()["status"] == "stopped"
