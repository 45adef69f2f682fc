"""The website chat's HTTP API: tokens, origins, messages that count once, limits, and who may see what."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.core.cache import cache
from django.db import transaction
from django.test import Client
from django.utils import timezone
from redis.exceptions import ConnectionError as RedisConnectionError

from channels import directory
from channels.models import Channel, InboundEvent
from conversations import outbox, turns, widget, widget_access, widget_news
from conversations.drafts import Draft
from conversations.models import Conversation, Message, Turn
from tests.conftest import Broker, Company

pytestmark = pytest.mark.django_db(transaction=True)

SITE = "https://shop.example"


class Page:
    """A visitor's browser page; each has an address of its own, so that limits of one test do not meet another's."""

    def __init__(self, slug: str = "site", origin: str = "") -> None:
        self.client = Client(REMOTE_ADDR=f"10.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(256)}")
        self.slug, self.origin, self.token = slug, origin, ""

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        if self.token:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        if self.origin:
            headers.setdefault("Origin", self.origin)
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
        url = f"/widget/{self.slug}/{path}"
        return self.client.generic(method, url, data, content_type="application/json", headers=headers)

    def open(self) -> Any:
        answer = self.call("POST", "session/", {"token": self.token}).json()
        self.token = answer["token"]
        return answer

    def say(self, text: str, client_id: str | None = None, **more: Any) -> Any:
        return self.call("POST", "messages/", {"client_id": client_id or str(uuid4()), "text": text, **more})

    def read(self, after: int = 0) -> Any:
        return self.call("GET", f"messages/?after={after}").json()


@pytest.fixture
def page(company: Company) -> Page:
    page = Page()
    page.open()
    return page


def reply(texts: list[str], *, deliver: bool = True, author: str = "bot") -> None:
    """Put messages of ours into the only conversation."""
    with transaction.atomic():
        for text in texts:
            conversation = Conversation.objects.select_for_update().get()
            outbox.queue(conversation, conversation.channel_id, Draft(text), author=author)
    if deliver:
        outbox.deliver(conversation.pk)


# ── Sessions ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_session_is_resumed_by_its_token(company: Company) -> None:
    company.channel.options = {"name": "Aida", "title": "consultant", "greeting": "Hello!"}
    company.channel.save()
    page = Page()
    first = page.open()
    assert (first["resumed"], first["history"], first["cursor"], first["company"]) == (False, [], 0, "Demo")
    assert first["assistant"] == {"name": "Aida", "title": "consultant", "greeting": "Hello!"}
    visitor = widget_access.visitor_of(company.channel, page.token)
    second = page.open()
    assert second["resumed"]
    assert widget_access.visitor_of(company.channel, page.token) == visitor


def test_a_session_gives_the_history(page: Page, broker: Broker) -> None:
    page.say("Здравствуйте!")
    broker.run()
    history = page.open()["history"]
    assert [(m["seq"], m["author"]) for m in history] == [(1, "customer"), (2, "bot")]
    assert "state" in history[0]
    assert "state" not in history[1]


@pytest.mark.parametrize("change", [lambda t: t[:-2] + "xx", lambda t: str(uuid4()) + t[36:], lambda t: "", lambda t: "a:b:c"])
def test_an_altered_token_is_nobodys(page: Page, change: Any) -> None:
    page.token = change(page.token)
    answer = page.say("Hello")
    assert answer.status_code == 401
    assert answer.json()["error"]
    assert not page.open()["resumed"]


def test_a_token_of_another_channel_is_nobodys(page: Page) -> None:
    Channel.objects.create(name="Other", slug="other", kind=Channel.Kind.WIDGET, company="Other")
    page.slug = "other"
    assert page.say("Hello").status_code == 401
    assert not page.open()["resumed"]


def test_a_token_expires_and_every_session_renews_it(page: Page, settings: Any) -> None:
    now = timezone.now()
    with time_machine.travel(now + timedelta(days=settings.SESSION_TTL_DAYS - 1)):
        assert page.open()["resumed"]
    with time_machine.travel(now + timedelta(days=settings.SESSION_TTL_DAYS * 2 - 2)):
        assert page.call("GET", "messages/").status_code == 200
    with time_machine.travel(now + timedelta(days=settings.SESSION_TTL_DAYS * 2)):
        assert page.call("GET", "messages/").status_code == 401


def test_a_token_counts_only_in_its_header(page: Page) -> None:
    token, page.token = page.token, ""
    page.client.cookies["token"] = token
    assert page.call("GET", f"messages/?token={token}").status_code == 401
    assert page.call("GET", "messages/", Authorization=f"Basic {token}").status_code == 401


@pytest.mark.parametrize("change", [{"enabled": False}, {"kind": Channel.Kind.WAPPI}, {"slug": "elsewhere"}])
def test_no_such_chat(page: Page, company: Company, change: dict[str, Any]) -> None:
    Channel.objects.filter(pk=company.channel.pk).update(**change)
    directory.forget()
    for answer in (page.say("Hello"), page.call("POST", "session/"), page.call("GET", "events/")):
        assert answer.status_code == 404
        assert answer.json()["error"]


# ── Origins ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def origins(company: Company) -> Company:
    company.channel.options = {"origins": [f"{SITE}/"]}
    company.channel.save()
    return company


@pytest.mark.parametrize("origin", [SITE, "http://testserver"])
def test_listed_and_own_origins_may_read(origins: Company, origin: str) -> None:
    page = Page(origin=origin)
    answer = page.call("POST", "session/")
    assert answer.status_code == 200
    assert answer["Access-Control-Allow-Origin"] == origin
    assert "Access-Control-Allow-Credentials" not in answer
    assert "Origin" in answer["Vary"]


@pytest.mark.parametrize(
    "origin",
    ["null", "https://evil.example", f"{SITE}.evil.example", "https://evilshop.example", "http://shop.example", f"{SITE}:8443",
     "https://SHOP.example.", "https://shop.example/x", "http://testserver.evil.example"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["POST", "OPTIONS"])
def test_other_origins_are_refused(origins: Company, origin: str, method: str) -> None:
    page = Page(origin=origin)
    for path in ("session/", "messages/", "events/", "typing/"):
        answer = page.call(method, path)
        assert answer.status_code == 403
        assert "Access-Control-Allow-Origin" not in answer
    assert not InboundEvent.objects.exists()


def test_a_preflight_allows_what_the_page_needs(origins: Company) -> None:
    answer = Page(origin=SITE).call("OPTIONS", "messages/")
    assert (answer.status_code, answer["Access-Control-Allow-Origin"]) == (204, SITE)
    assert "Authorization" in answer["Access-Control-Allow-Headers"]
    assert answer["Access-Control-Allow-Methods"] == "GET, POST"


def test_a_star_admits_every_site_but_not_null(origins: Company) -> None:
    origins.channel.options = {"origins": ["*"]}
    origins.channel.save()
    assert Page(origin="https://anywhere.example").call("POST", "session/").status_code == 200
    assert Page(origin="null").call("POST", "session/").status_code == 403


def test_errors_can_be_read_by_the_page(origins: Company) -> None:
    answer = Page(origin=SITE).say("Hello")
    assert (answer.status_code, answer["Access-Control-Allow-Origin"]) == (401, SITE)
    assert Page(origin=SITE).call("DELETE", "messages/").status_code == 405


# ── Messages ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_message_is_stored_before_it_is_accepted(page: Page, broker: Broker) -> None:
    page.origin = "http://testserver"
    answer = page.say("  Сколько стоит?  ", page="https://shop.example/machines/?utm=1&phone=7701#order")
    assert answer.status_code == 202
    assert broker.named("conversations.receive") == [InboundEvent.objects.get().pk]
    broker.run()
    message = Message.objects.get(seq=1)
    assert message.text == "Сколько стоит?"
    assert message.details == {"page": "https://shop.example/machines/"}


def test_a_message_posted_again_counts_once(page: Page, broker: Broker) -> None:
    client_id = str(uuid4())
    assert [page.say("Hello", client_id).status_code for _ in range(3)] == [202, 202, 202]
    assert page.say("Hello", client_id.upper()).status_code == 202
    broker.run()
    assert InboundEvent.objects.count() == 1
    assert [m["client_id"] for m in page.read()["messages"] if m["author"] == "customer"] == [client_id]


def test_the_same_client_id_of_two_visitors_is_two_messages(page: Page) -> None:
    other, client_id = Page(), str(uuid4())
    other.open()
    page.say("Hello", client_id)
    other.say("Hello", client_id)
    assert InboundEvent.objects.count() == 2


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"client_id": "1", "text": "Hello"}, 400),
        ({"text": "Hello"}, 400),
        ({"client_id": 5, "text": "Hello"}, 400),
        ({"client_id": "5b1a0a52-6a51-4a39-8b1a-111111111111", "text": " \n "}, 400),
        ({"client_id": "5b1a0a52-6a51-4a39-8b1a-111111111111", "text": "\x00"}, 400),
        ({"client_id": "5b1a0a52-6a51-4a39-8b1a-111111111111"}, 400),
        ({"client_id": "5b1a0a52-6a51-4a39-8b1a-111111111111", "text": ["Hello"]}, 400),
        ({"client_id": "5b1a0a52-6a51-4a39-8b1a-111111111111", "text": "x" * 4001}, 400),
        ([], 400),
        (b"{", 400),
        (b"[" * 60_000, 400),
        (b"\xff", 400),
        (b" " * (64 * 1024 + 1), 413),
    ],
)
def test_what_is_no_message_is_refused_with_a_reason(page: Page, body: Any, status: int) -> None:
    answer = page.call("POST", "messages/", body)
    assert answer.status_code == status
    assert answer.json()["error"]
    assert not InboundEvent.objects.exists()


def test_the_longest_message_is_taken(page: Page, settings: Any) -> None:
    assert page.say("ы" * settings.MAX_MESSAGE_LENGTH).status_code == 202


@pytest.mark.parametrize("page_address", ["javascript:alert(1)", "https://[", 17, None, "x" * 5000])
def test_an_odd_page_address_is_dropped(page: Page, broker: Broker, page_address: Any) -> None:
    assert page.say("Hello", page=page_address).status_code == 202
    broker.run()
    assert Message.objects.get(seq=1).details is None


# ── What a visitor sees ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_visitor_sees_only_their_own_conversation(page: Page, broker: Broker) -> None:
    other = Page()
    other.open()
    page.say("my secret question")
    other.say("hello there")
    broker.run()
    assert "secret" not in json.dumps(other.open()["history"] + other.read()["messages"])
    assert [m["text"] for m in page.read()["messages"] if m["author"] == "customer"] == ["my secret question"]


def test_messages_after_a_number(page: Page, broker: Broker) -> None:
    assert page.read() == {"messages": [], "cursor": 0}
    page.say("Hello")
    broker.run()
    assert [m["seq"] for m in page.read(after=1)["messages"]] == [2]
    assert page.read(after=2) == {"messages": [], "cursor": 2}


@pytest.mark.parametrize("after", ["-1", "x", "1.5", "9" * 12, "١"])
def test_after_must_be_a_number(page: Page, after: str) -> None:
    answer = page.call("GET", f"messages/?after={after}")
    assert answer.status_code == 400


def test_the_cursor_waits_for_a_queued_reply(page: Page, broker: Broker) -> None:
    page.say("Hello")
    broker.run_one("conversations.receive")
    broker.lose()
    reply(["First"], deliver=False)
    page.say("And one more")
    broker.run_one("conversations.receive")
    seen = page.read(after=1)
    assert ([m["seq"] for m in seen["messages"]], seen["cursor"]) == ([3], 1)
    outbox.deliver(Conversation.objects.get().pk)
    seen = page.read(after=seen["cursor"])
    assert ([m["seq"] for m in seen["messages"]], seen["cursor"]) == ([2, 3], 3)


def test_withdrawn_and_failed_messages_are_not_shown(page: Page, broker: Broker) -> None:
    page.say("Hello")
    broker.run()
    reply(["One", "Two", "Three"])
    Message.objects.filter(seq=3).update(state=Message.State.SUPPRESSED)
    Message.objects.filter(seq=4).update(state=Message.State.FAILED)
    seen = page.read()
    assert [m["seq"] for m in seen["messages"]] == [1, 2, 5]
    assert seen["cursor"] == 5


def test_the_history_is_the_last_messages(page: Page, broker: Broker) -> None:
    page.say("Hello")
    broker.run()
    reply([f"number {n}" for n in range(widget_news.HISTORY)], author="manager")
    answer = page.open()
    assert len(answer["history"]) == widget_news.HISTORY
    assert answer["history"][-1]["text"] == f"number {widget_news.HISTORY - 1}"
    assert answer["cursor"] == answer["history"][-1]["seq"]


# ── Limits ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_visitor_has_a_limit_a_minute(page: Page) -> None:
    with time_machine.travel(timezone.now().replace(second=20), tick=False) as clock:
        statuses = {page.say(f"{n}").status_code for n in range(widget_access.VISITOR_MESSAGES)}
        assert statuses == {202}
        refused = page.say("one more")
        assert (refused.status_code, refused["Retry-After"]) == (429, "40")
        assert InboundEvent.objects.count() == widget_access.VISITOR_MESSAGES
        clock.shift(60)
        assert page.say("later").status_code == 202


def test_an_address_has_a_limit_of_sessions(company: Company, settings: Any) -> None:
    settings.RATE_LIMIT_PER_MINUTE = 3
    page = Page()
    with time_machine.travel(timezone.now(), tick=False):
        assert [page.call("POST", "session/").status_code for _ in range(4)] == [200, 200, 200, 429]
        assert Page().call("POST", "session/").status_code == 200


def test_without_redis_everybody_is_let_in(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise RedisConnectionError("away")

    monkeypatch.setattr(cache, "add", away)
    monkeypatch.setattr(widget_access, "_uncounted_until", 0.0)
    assert {page.say(f"{n}").status_code for n in range(widget_access.VISITOR_MESSAGES + 1)} == {202}


# ── Typing ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def held(company: Company, page: Page, broker: Broker) -> Turn:
    """A turn that waits for its hold."""
    Channel.objects.update(hold=1.0, max_hold=8.0)
    directory.forget()
    page.say("Здравствуйте, а")
    broker.run_one("conversations.receive")
    return Turn.objects.get()


def test_typing_extends_the_hold_and_plans_the_step_anew(held: Turn, page: Page, broker: Broker) -> None:
    broker.lose()
    assert page.call("POST", "typing/").status_code == 204
    moved = Turn.objects.get()
    assert timedelta(seconds=1.5) < moved.due_at - held.opened_at < timedelta(seconds=3)
    [(task, row_id, delay)] = broker.waiting
    assert (task, row_id) == ("sales.answer", held.pk)
    assert delay == pytest.approx(1.0 + widget.TYPING_SECONDS, abs=0.2)


def test_typing_never_extends_beyond_the_longest_hold(held: Turn, page: Page) -> None:
    Turn.objects.update(opened_at=timezone.now() - timedelta(seconds=7.5), due_at=timezone.now())
    page.call("POST", "typing/")
    turn = Turn.objects.get()
    assert turn.due_at - turn.opened_at == timedelta(seconds=8)
    Turn.objects.update(opened_at=timezone.now() - timedelta(seconds=20), due_at=turn.due_at)
    page.call("POST", "typing/")
    assert Turn.objects.get().due_at == turn.due_at


def test_typing_again_at_once_plans_nothing(held: Turn, page: Page, broker: Broker) -> None:
    page.call("POST", "typing/")
    broker.lose()
    page.call("POST", "typing/")
    assert not broker.waiting


def test_typing_does_not_hold_a_turn_that_is_being_answered(held: Turn, page: Page, broker: Broker) -> None:
    Turn.objects.update(due_at=timezone.now())
    assert turns.claim(held.pk, Turn.Stage.ANSWER) is not None
    due = Turn.objects.get().due_at
    page.call("POST", "typing/")
    assert Turn.objects.get().due_at == due


def test_typing_touches_only_ones_own_turn(held: Turn) -> None:
    other = Page()
    other.open()
    assert other.call("POST", "typing/").status_code == 204
    assert Turn.objects.get().due_at == held.due_at
