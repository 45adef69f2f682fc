"""The API's doors: who comes in, how errors look, what the schema says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
import time_machine
from django.core.management import call_command
from django.db import OperationalError
from django.test import Client
from django.urls import URLPattern, URLResolver
from django.utils import timezone
from rest_framework.test import APIClient
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from channels.adapters.avito_items import AvitoItems, ItemsPage, ItemState
from channels.adapters.whatsapp_cloud import WhatsAppCloudAdapter
from channels.models import Channel, MessageTemplate
from config import api
from config.stats import StatsView
from conversations.models import Conversation
from tests.config.api_world import PASSWORD, World, client_of, make_user
from tests.conftest import Broker
from tests.sales.sale_rows import a_bot, a_follow_up, a_scheduled_call

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).resolve().parents[2]
OPEN_TO_ALL = {"token", "token-refresh"}
#: Whether these answer with 200 is up to a provider: they are tried with one elsewhere.
ASK_A_PROVIDER = {
    *(f"{family}-{what}" for family in ("channel", "whatsapp-instance") for what in ("start", "restart", "restore")),
    *(f"waha-session{what}" for what in ("s", "", "-start", "-stop", "-logout", "-qr", "-pairing-code")),
    "waha-settings", "waha-send-message",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _unlimited(settings: Any) -> None:
    settings.RATE_LIMIT_PER_MINUTE = 10**6


@pytest.fixture
def world(broker: Broker) -> World:
    return World()


def patterns(found: list[Any]) -> Iterator[URLPattern]:
    for pattern in found:
        if isinstance(pattern, URLResolver):
            yield from patterns(pattern.url_patterns)
        else:
            yield pattern


#: Every address: name → (method, path for own rows, path for another owner's rows or None where nothing is named).
CASES: dict[str, tuple[str, str, str | None]] = {
    "schema": ("get", "schema/", None),
    "stats": ("get", "stats/", None),
    "channels": ("get", "channels/", None),
    "whatsapp-instances": ("get", "whatsapp/instances/", None),
    **{
        f"{family}{what and '-'}{what}": (
            "post" if what == "stop" else "get", f"{address}/mine/{what}{what and '/'}", f"{address}/theirs/{what}{what and '/'}"
        )
        for family, address in (("channel", "channels"), ("whatsapp-instance", "whatsapp/instances"))
        for what in ("", "status", "logs", "stop")
    },
    "contacts": ("get", "contacts/", None),
    "contact": ("get", "contacts/77010000001/", "contacts/77010000002/"),
    "classify": ("post", "contacts/77010000001/classify/", "contacts/77010000002/classify/"),
    "block": ("post", "contacts/77010000001/block/", "contacts/77010000002/block/"),
    "unblock": ("post", "contacts/id:{my_blocked}/unblock/", "contacts/id:{their_blocked}/unblock/"),
    "messages": ("get", "messages/{mine}/", "messages/{theirs}/"),
    "message-log": ("get", "logs/messages/", None),
    "send-message": ("post", "test/send-message/", "test/send-message/"),
    "templates": ("get", "templates/", None),
    "template": ("get", "templates/my-wappi/", "templates/their-wappi/"),
    "template-preview": ("post", "templates/preview/", None),
    "template-load": ("post", "templates/load/", "templates/load/"),
    "waha-templates": ("get", "waha/templates/", None),
    "waha-template": ("get", "waha/templates/my-waha/", "waha/templates/their-waha/"),
    "waha-template-preview": ("post", "waha/templates/preview/", None),
    "follow-ups-active": ("get", "follow-ups/active/", None),
    "follow-ups-pending": ("get", "follow-ups/pending/", None),
    "follow-up": ("get", "follow-ups/{my_follow_up}/", "follow-ups/{their_follow_up}/"),
    "follow-up-stop": ("post", "follow-ups/{my_follow_up}/stop/", "follow-ups/{their_follow_up}/stop/"),
    "follow-up-skip": ("post", "follow-ups/{my_follow_up}/skip/", "follow-ups/{their_follow_up}/skip/"),
    "follow-up-send-now": ("post", "follow-ups/{my_follow_up}/send-now/", "follow-ups/{their_follow_up}/send-now/"),
    "attention-turns": ("get", "attention/turns/", None),
    "attention-events": ("get", "attention/events/", None),
    "attention-messages": ("get", "attention/messages/", None),
    "attention-retry": ("post", "attention/retry/", None),
    "attention-dismiss": ("post", "attention/dismiss/", None),
    **{
        f"attention-{kind}s-{decision}": (
            "post", f"attention/{kind}s/{{my_{row}}}/{decision}/", f"attention/{kind}s/{{their_{row}}}/{decision}/"
        )
        for kind, row, decisions in (
            ("turn", "turn", ("retry", "dismiss")), ("event", "event", ("retry", "dismiss")),
            ("message", "failed", ("resend", "withdraw")), ("message", "unconfirmed", ("arrived",)),
        )
        for decision in decisions
    },
    "avito-items": ("get", "avito/my-avito/items/", "avito/their-avito/items/"),
    "avito-item": ("get", "avito/my-avito/items/1/", "avito/their-avito/items/1/"),
    "avito-statistics": ("get", "avito/my-avito/statistics/?ids=1", "avito/their-avito/statistics/?ids=1"),
    "avito-item-price": ("patch", "avito/my-avito/items/1/price/", "avito/their-avito/items/1/price/"),
    "calls": ("get", "scheduled-calls/", None),
    "call": ("get", "scheduled-calls/{my_call}/", "scheduled-calls/{their_call}/"),
    "call-complete": ("post", "scheduled-calls/{my_call}/complete/", "scheduled-calls/{their_call}/complete/"),
    "call-miss": ("post", "scheduled-calls/{my_call}/miss/", "scheduled-calls/{their_call}/miss/"),
    "call-cancel": ("post", "scheduled-calls/{my_call}/cancel/", "scheduled-calls/{their_call}/cancel/"),
    "call-move": ("post", "scheduled-calls/{my_call}/move/", "scheduled-calls/{their_call}/move/"),
    "call-reassign": ("post", "scheduled-calls/{my_call}/reassign/", "scheduled-calls/{their_call}/reassign/"),
}


def bodies(name: str, world: World, own: bool) -> dict[str, Any]:
    """What is posted to an address about own rows, or another owner's."""
    if name == "send-message":
        channel, phone = ("mine", "77010000001") if own else ("theirs", "77010000002")
        return {"channel": channel, "phone": phone, "text": "Hello"}
    if name == "call-move":
        return {"starts_at": (timezone.now() + timedelta(days=1)).isoformat()}
    if name in ("attention-retry", "attention-dismiss"):
        return {"turns": [10**9]}
    if name == "avito-item-price":
        return {"price": 100}
    if name == "template-load":
        return {"channel": "my-cloud" if own else "their-cloud"}
    if name.endswith("template-preview"):
        return {"body": "Hi {{company}}"}
    return {"manager": world.root.pk} if name == "call-reassign" else {}


def _templates(world: World, whose: str, channel: Channel) -> None:
    """Templates for the channel itself and for one of WAHA, and a channel whose provider has some."""
    owner = world.other if whose == "their" else world.manager
    waha = world.channel(f"{whose}-waha", owner, kind="waha")
    world.channel(f"{whose}-cloud", owner, kind="whatsapp_cloud")
    avito = world.channel(f"{whose}-avito", owner, kind="avito")
    if whose == "my":
        waha.team.add(world.guest)
        avito.team.add(world.guest)
    for kind, where in (("wappi", channel), ("waha", waha)):
        MessageTemplate.objects.create(name=kind, slug=f"{whose}-{kind}", body="Hi", channel=where)


@pytest.fixture
def ask(world: World, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(WhatsAppCloudAdapter, "templates", lambda self: [])
    state = ItemState(1, "active", "", None, None)
    for name, found in {"items": ItemsPage([], 1, more=False), "item": state, "statistics": {}, "set_price": None}.items():
        monkeypatch.setattr(AvitoItems, name, lambda *_given, found=found, **_named: found)
    rows: dict[str, int] = {}
    start = timezone.now() - timedelta(minutes=5)
    for whose, channel, manager, phone in (
        ("my", world.mine, world.manager, "77010000001"), ("their", world.theirs, world.other, "77010000002")
    ):  # fmt: skip
        conversation = world.conversation(channel, phone, "Anna", is_client=True)
        assistant = a_bot(channel, owner=world.other if whose == "their" else None)
        rows["mine" if whose == "my" else "theirs"] = conversation.contact_id
        rows[f"{whose}_follow_up"] = a_follow_up(conversation).pk
        turn = world.turn(conversation, start, stage="failed", reason="attempts")
        world.message(conversation, "?", turn=turn)
        rows |= {f"{whose}_turn": turn.pk, f"{whose}_event": world.event(channel).pk}
        for state in ("failed", "unconfirmed"):
            doubtful = world.conversation(channel)
            rows[f"{whose}_{state}"] = world.message(doubtful, "!", out=True, state=state).pk
        blocked = world.conversation(channel)
        Conversation.objects.filter(pk=blocked.pk).update(blocked_at=start)
        rows[f"{whose}_blocked"] = blocked.contact_id
        _templates(world, whose, channel)
        rows[f"{whose}_call"] = a_scheduled_call(world.conversation(channel), assistant, manager, start).pk

    def asked(client: APIClient, name: str, *, own: bool = True) -> Any:
        method, path, foreign = CASES[name]
        path = (path if own else str(foreign)).format(**rows)
        body = bodies(name, world, own)
        return getattr(client, method)(f"/api/v1/{path}", body, format=None if method == "get" else "json")

    return asked


def test_every_address_is_in_the_matrix() -> None:
    names = {pattern.name for pattern in patterns(api.urlpatterns) if pattern.name}
    assert names - OPEN_TO_ALL - {"docs"} - ASK_A_PROVIDER == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_nobody_comes_in_without_a_token(name: str, ask: Any) -> None:
    answer = ask(client_of(None), name)
    assert answer.status_code == 401 and answer["WWW-Authenticate"].startswith("Bearer")
    assert b"not_authenticated" in answer.content


@pytest.mark.parametrize("name", CASES)
def test_only_staff_comes_in(name: str, ask: Any) -> None:
    customer = make_user("customer", staff=False)
    assert ask(client_of(customer), name).status_code == 403


@pytest.mark.parametrize("name", CASES)
def test_managers_see_what_is_theirs(name: str, ask: Any, world: World) -> None:
    assert ask(client_of(world.manager), name).status_code in (200, 202)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case[2]])
def test_what_belongs_to_others_does_not_exist(name: str, ask: Any, world: World) -> None:
    answer = ask(client_of(world.manager), name, own=False)
    assert answer.status_code == 404 and answer.json()["error"]["code"] == "not_found"
    assert ask(client_of(world.other), name, own=False).status_code in (200, 202)
    assert ask(client_of(world.root), name, own=False).status_code in (200, 202, 409), "409: the other has just done it"


@pytest.mark.parametrize("name", CASES)
def test_guests_read_and_do_not_write(name: str, ask: Any, world: World) -> None:
    world.mine.owner = world.guest
    world.mine.save()
    expected = 200 if CASES[name][0] == "get" else 403
    assert ask(client_of(world.guest), name).status_code == expected


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("schema", "stats", "message-log")])
def test_staff_without_rights_sees_no_rows(name: str, ask: Any) -> None:
    assert ask(client_of(make_user("newcomer")), name).status_code == 403


# ── Tokens ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def login(username: str = "manager", password: str = PASSWORD, **extra: Any) -> Any:
    return APIClient().post("/api/v1/token/", {"username": username, "password": password}, format="json", **extra)


def stats_with(token: str) -> Any:
    return APIClient().get("/api/v1/stats/", HTTP_AUTHORIZATION=f"Bearer {token}")


def test_a_login_gives_tokens_that_work(world: World) -> None:
    tokens = login().json()
    assert stats_with(tokens["access"]).status_code == 200
    fresh = APIClient().post("/api/v1/token/refresh/", {"refresh": tokens["refresh"]}, format="json").json()
    assert stats_with(fresh["access"]).status_code == 200
    world.manager.refresh_from_db()
    assert world.manager.last_login is not None


@pytest.mark.parametrize(("username", "password"), [("manager", "wrong"), ("nobody", PASSWORD), ("customer", PASSWORD)])
def test_wrong_logins_all_look_the_same(world: World, username: str, password: str) -> None:
    make_user("customer", staff=False)
    answer = login(username, password)
    assert answer.status_code == 401 and answer.json()["error"]["code"] == "authentication_failed"
    assert "token" not in str(answer.json()).lower()


def test_a_login_needs_both_fields(world: World) -> None:
    error = APIClient().post("/api/v1/token/", {"username": "manager"}, format="json").json()["error"]
    assert error["code"] == "invalid" and list(error["fields"]) == ["password"]


def test_guessing_passwords_locks_the_user_for_this_address(world: World, settings: Any) -> None:
    for _ in range(settings.AXES_FAILURE_LIMIT):
        login(password="wrong", HTTP_X_FORWARDED_FOR="203.0.113.7")
    locked = login()
    assert locked.status_code == 429 and locked.json()["error"]["code"] == "locked_out"
    assert int(locked["Retry-After"]) > 60
    assert login("other").status_code == 200, "others are not locked out"
    assert login(REMOTE_ADDR="198.51.100.9").status_code == 200, "nor is the victim from another address"


def test_a_token_ends(world: World, settings: Any) -> None:
    with time_machine.travel(timezone.now() - timedelta(minutes=settings.JWT_EXPIRE_MINUTES + 1), tick=False):
        old = str(AccessToken.for_user(world.manager))
    assert stats_with(old).json()["error"]["code"] == "token_not_valid"


def forged(claims: dict[str, Any], key: str, algorithm: str) -> str:
    return jwt.encode(claims, key, algorithm=algorithm)


def test_forged_tokens_are_refused(world: World, settings: Any) -> None:
    good = AccessToken.for_user(world.manager)
    claims = dict(good.payload)
    root = claims | {"user_id": str(world.root.pk)}
    key = settings.JWT_SECRET_KEY
    head, body, signature = str(good).split(".")
    for token in (
        forged(claims, "", "none"),
        forged(claims, "x" * 32, "HS256"),
        forged(claims, settings.SECRET_KEY, "HS256"),
        forged(claims, key, "HS384"),
        forged({name: value for name, value in claims.items() if name != "exp"}, key, "HS256"),
        forged({name: value for name, value in claims.items() if name != "hash_password"}, key, "HS256"),
        forged(claims | {"user_id": "0"}, key, "HS256"),
        ".".join([head, forged(root, key + "x", "HS256").split(".")[1], signature]),
        f"{head}.{body}.",
        str(RefreshToken.for_user(world.manager)),
        "not.a.token",
        "",
    ):
        assert stats_with(token).status_code == 401
    assert stats_with(forged(claims, key, "HS256")).status_code == 200, "the key of the test is the right one"


@pytest.mark.parametrize("change", ["deactivated", "password", "demoted", "deleted"])
def test_tokens_die_with_their_user(world: World, change: str) -> None:
    tokens = login().json()
    user = world.manager
    if change == "deleted":
        world.mine.delete()
        user.delete()
    else:
        user.is_active = change != "deactivated"
        user.is_staff = change != "demoted"
        if change == "password":
            user.set_password("another-long-password")
        user.save()
    assert stats_with(tokens["access"]).status_code in (401, 403)
    refreshed = APIClient().post("/api/v1/token/refresh/", {"refresh": tokens["refresh"]}, format="json")
    assert refreshed.status_code == 401 and "error" in refreshed.json()


def test_an_access_token_refreshes_nothing(world: World) -> None:
    access = str(AccessToken.for_user(world.manager))
    assert APIClient().post("/api/v1/token/refresh/", {"refresh": access}, format="json").status_code == 401


def test_a_session_needs_the_csrf_token_to_write(world: World) -> None:
    world.conversation(world.mine, "77010000001")
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(world.manager, backend="django.contrib.auth.backends.ModelBackend")
    assert browser.get("/api/v1/contacts/").status_code == 200
    answer = browser.post("/api/v1/contacts/77010000001/classify/")
    assert answer.status_code == 403


# ── Errors ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_unknown_addresses_answer_in_json() -> None:
    for path in ("nothing/", "contacts/1/2/3/", ""):
        answer = APIClient().get(f"/api/v1/{path}")
        assert answer.status_code == 404 and answer.json()["error"]["code"] == "not_found"


def test_the_shape_of_errors(world: World) -> None:
    client = client_of(world.manager)
    assert client_of(world.root).post("/api/v1/stats/").json()["error"]["code"] == "method_not_allowed"
    broken = client.generic("POST", "/api/v1/test/send-message/", "{", content_type="application/json")
    assert broken.status_code == 400 and broken.json()["error"]["code"] == "invalid"
    foreign = client.generic("POST", "/api/v1/test/send-message/", "<a/>", content_type="application/xml")
    assert foreign.status_code == 415 and foreign.json()["error"]["code"] == "unsupported_media_type"
    deep = client.generic("POST", "/api/v1/test/send-message/", "[" * 100_000, content_type="application/json")
    assert deep.status_code == 400
    listed = client.post("/api/v1/test/send-message/", [1, 2], format="json")
    assert listed.status_code == 400 and set(listed.json()["error"]) == {"code", "message", "fields"}


def test_our_own_faults_say_nothing_of_what_happened(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    client = client_of(world.manager)
    client.raise_request_exception = False
    for fault, status, code in ((ValueError("private words"), 500, "internal"), (OperationalError("host"), 503, "unavailable")):

        def fail(*_args: Any, fault: Exception = fault) -> None:
            raise fault

        monkeypatch.setattr(StatsView, "get", fail)
        answer = client.get("/api/v1/stats/")
        assert answer.status_code == status and answer.json()["error"]["code"] == code
        assert "private" not in answer.content.decode() and "host" not in answer.content.decode()


# ── Schema ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_schema_has_no_warnings(tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    call_command("spectacular", "--validate", "--fail-on-warn", "--format", "openapi-json", "--file", str(file))
    schema = json.loads(file.read_text())
    assert {path.removeprefix("/api/v1/") for path in schema["paths"]} >= {"stats/", "contacts/{phone}/classify/", "token/"}
    for component in schema["components"]["schemas"].values():
        shown = {name for name, described in component.get("properties", {}).items() if not described.get("writeOnly")}
        secret = {"credentials", "webhook_secret", "api_key", "password_hash", "token", "access_token", "app_secret", "hmac_key"}
        assert not secret & shown


def test_the_schema_is_served_to_staff(world: World) -> None:
    assert b"openapi" in client_of(world.manager).get("/api/v1/schema/").content


def test_fields_are_always_named() -> None:
    every = re.compile(r"fields\s*=\s*[\"']__all__|exclude\s*=")
    for package in ("config", "sales", "conversations", "knowledge", "channels", "llm"):
        for file in (ROOT / package).rglob("api*.py"):
            assert not every.search(file.read_text(encoding="utf-8")), file
