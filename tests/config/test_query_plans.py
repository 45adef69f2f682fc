"""What the product asks PostgreSQL, with years of history behind it: by indexes, and a bounded number of rows each time.

The statements are those that the functions and pages really execute; each is explained as it passes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from rest_framework.test import APIClient

from channels import breaker, inbox, symptoms
from channels.base import InboundMessage, Kind, RawEvent, Sender
from channels.models import Channel, InboundEvent
from config import audit, dashboard, states, stats
from conversations import attention, draining, history, outbox, outbox_sweep, receive, takeover, turns, widget_news
from conversations.admin import attention_page
from conversations.drafts import Draft
from conversations.models import ContactIdentity, Conversation, Message, Takeover, Turn, source_index
from foundation import big_lists, big_tables
from foundation.db import now, rows
from llm.models import Usage
from sales import calls, follow_up_ends, follow_up_plan, follow_ups
from sales.models import Assistant, Bot, ScheduledCall, Touch
from tests.rehearsal.fill import fill

pytestmark = pytest.mark.django_db

ROWS = 30_000
#: Tables large enough here for the planner to prefer their indexes; the few thousand rows of the others it may rightly read.
BIG = {model._meta.db_table for model in (Message, Turn, InboundEvent, Touch, Usage)}
#: Of the filled tables: what a list counts, and looks through, is made as small against them as it is in life.
MOST, WINDOW = 200, 400

_MORE = """
INSERT INTO llm_usage (model_name, purpose, reference, outcome, input_tokens, output_tokens, thinking_tokens, cost, latency_ms, at)
SELECT 'gemini', 'answer', 'turn:' || id, CASE WHEN id %% 2000 = 0 THEN 'timeout' ELSE 'ok' END, 1, 1, 0, 0, 800, opened_at
FROM conversations_turn;
INSERT INTO sales_scheduledcall (contact_id, conversation_id, assistant_id, manager_id, starts_at, ends_at, time_zone,
    customer_zone, phone, status, notes, created_at, updated_at)
SELECT c.contact_id, c.id, %(assistant)s, %(manager)s, at, at + interval '30 minutes', 'Asia/Almaty', '', %(phone)s,
    CASE n %% 5 WHEN 0 THEN 'missed' WHEN 1 THEN 'cancelled' ELSE 'completed' END, %(notes)s, now(), now()
FROM (
    SELECT *, row_number() OVER (ORDER BY id) AS n,
        date_trunc('hour', now()) - make_interval(hours => row_number() OVER (ORDER BY id)::int) AS at
    FROM conversations_conversation) c;
INSERT INTO sales_scheduledcall (contact_id, conversation_id, assistant_id, manager_id, starts_at, ends_at, time_zone,
    customer_zone, phone, status, notes, created_at, updated_at)
SELECT contact_id, id, %(assistant)s, %(manager)s, now() + interval '50 minutes', now() + interval '80 minutes', 'Asia/Almaty',
    '', %(phone)s, 'scheduled', %(notes)s, now(), now() FROM conversations_conversation ORDER BY id DESC LIMIT 1;
ANALYZE llm_usage; ANALYZE sales_scheduledcall
"""
#: What is going on at this moment, in the newest conversations.
_LIVE = """
UPDATE conversations_message SET state = 'queued', external_id = NULL, attempts = 0, created_at = now(),
    next_attempt_at = now() - interval '1 minute'
WHERE seq = 10 AND conversation_id > (SELECT max(id) - 20 FROM conversations_conversation);
UPDATE conversations_turn SET stage = 'answer', finished_at = NULL, due_at = now() - interval '1 minute', attempts = 0
WHERE from_seq = 9 AND conversation_id > (SELECT max(id) - 40 FROM conversations_conversation)
    AND conversation_id <= (SELECT max(id) - 20 FROM conversations_conversation);
UPDATE conversations_conversation SET mode = 'bot', last_inbound_at = now() - interval '2 hours',
    last_outbound_at = now() - interval '1 hour'
WHERE id > (SELECT max(id) - 60 FROM conversations_conversation)
"""


@dataclass
class World:
    """Rows that the tests take for examples."""

    channel: Channel
    boss: User
    manager: User
    old: Conversation
    queued: int
    answering: int
    event: int = 0
    urls: Mapping[str, str] = field(default_factory=dict)


@pytest.fixture(autouse=True)
def no_limit(settings: Any) -> None:
    """Many pages are asked for within the minute."""
    settings.RATE_LIMIT_PER_MINUTE = 10**6


@pytest.fixture(scope="module")
def filled(django_db_setup: None, django_db_blocker: Any) -> Iterator[World]:
    """A large installation, in a transaction around those of the tests that is rolled back after the last one."""
    with django_db_blocker.unblock(), transaction.atomic():
        world = _fill()
        with django_db_blocker.block():
            yield world
        transaction.set_rollback(True)


def _fill() -> World:
    boss = User.objects.create_superuser("boss", password="x")
    manager = User.objects.create_user("manager", password="x", is_staff=True)
    assistant = Assistant.objects.create(name="Aida", slug="aida", owner=boss)
    assistant.call_managers.add(boss)
    channels = [
        Channel.objects.create(
            name=f"Site {n}", slug=f"site-{n}", kind="widget", company="Demo", owner=(None, boss)[n % 2], hold=0
        )
        for n in range(4)
    ]
    for channel in channels:
        Bot.objects.create(channel=channel, assistant=assistant)
        if channel.owner is None:
            channel.team.add(manager)
    fill(connection, ROWS)
    sealed = {name: ScheduledCall._meta.get_field(name).seal("77010000000") for name in ("phone", "notes")}
    with connection.cursor() as cursor:
        for statement in (_MORE + ";" + _LIVE).split(";"):
            cursor.execute(statement, {"assistant": assistant.pk, "manager": boss.pk, **sealed})
    inbox.store(channels[0].pk, [RawEvent(external_id=f"new-{n}", lane="chat", payload=b"{}") for n in range(5)], "webhook")
    old = Conversation.objects.filter(mode="bot", channel=channels[0]).order_by("pk")[ROWS // 200]
    ContactIdentity.objects.filter(pk=old.identity_id).update(source_index=source_index("a-visitor"))
    return World(
        channels[0], boss, manager, old,
        queued=Message.objects.filter(state="queued").order_by("pk").values_list("conversation_id", flat=True)[0],
        answering=Turn.objects.filter(stage="answer").order_by("pk").values_list("pk", flat=True)[0],
        event=InboundEvent.objects.filter(state="new").order_by("pk").values_list("pk", flat=True)[0],
    )  # fmt: skip


@pytest.fixture
def world(filled: World, db: None, broker: Any, monkeypatch: pytest.MonkeyPatch) -> World:
    for module in (big_tables, big_lists):
        monkeypatch.setattr(module, "MOST", MOST)
        monkeypatch.setattr(module, "WINDOW", WINDOW)
    attention_page.waiting.forget()
    return filled


# ── Explaining ───────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Seen:
    """What the statements of one operation did: rows read by all scans, tables read from end to end, indexes used."""

    rows: int = 0
    whole: list[str] = field(default_factory=list)
    indexes: set[str] = field(default_factory=set)

    def add(self, node: dict[str, Any], sql: str) -> None:
        if "Scan" in node["Node Type"] and ("Relation Name" in node or "Index Name" in node):
            removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
            self.rows += int((node["Actual Rows"] + removed) * node["Actual Loops"])
            self.indexes |= {node["Index Name"]} if "Index Name" in node else set()
            read = (node["Actual Rows"] + removed) * node["Actual Loops"]
            if node["Node Type"] == "Seq Scan" and node["Relation Name"] in BIG and read > 2 * WINDOW:
                self.whole.append(f"{node['Relation Name']}: {' '.join(sql.split())[:600]}")
        for child in node.get("Plans", []):
            self.add(child, sql)


def watched(do: Callable[[], object]) -> Seen:
    """Run something, and explain every statement of it before it is executed."""
    seen = Seen()

    def explain(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if not many and re.match(r"\s*(SELECT|WITH|INSERT|UPDATE|DELETE)", sql):
            with context["connection"].cursor().cursor as cursor:
                cursor.execute("SAVEPOINT explained")
                cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", params)
                (found,) = cursor.fetchone()
                cursor.execute("ROLLBACK TO SAVEPOINT explained")
            plan = json.loads(found) if isinstance(found, str) else found
            seen.add(plan[0]["Plan"], sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explain):
        do()
    return seen


def check(do: Callable[[], object], *indexes: str, most: int) -> None:
    seen = watched(do)
    assert not seen.whole
    assert set(indexes) <= seen.indexes
    assert seen.rows <= most


# ── The road ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _hear(world: World) -> None:
    entry = receive.directory.entry(world.channel.pk)
    sender = Sender(source_id="a-visitor")
    receive._message(entry, InboundMessage(external_id="m1", sender=sender, kind=Kind.TEXT, text="Hello", sent_at=now()))


def _answer(world: World) -> None:
    claimed = turns.claim(world.answering, "answer")
    conversation = turns.lock(claimed)
    outbox.queue(conversation, claimed.channel_id, Draft("Hello"), author="bot", turn_id=claimed.id)
    assert turns.move_on(claimed, "deliver")


def _send(world: World) -> None:
    claimed = outbox.claim(world.queued)
    assert claimed is not None
    outbox._mark_sent(claimed, outbox.SendResult(external_id="p1"))


ROAD: dict[str, tuple[Callable[[World], object], tuple[str, ...], int]] = {
    "store": (lambda w: inbox.store(w.channel.pk, [RawEvent(external_id="a", lane="b", payload=b"{}")], "webhook"), (), 10),
    "claim an event": (lambda w: inbox.claim(w.event), (), 200),
    "sweep events": (lambda w: inbox.sweep(), ("event_new",), 30),
    "forget payloads": (lambda w: inbox.purge(30), ("event_payload",), 100),
    "receive": (_hear, ("identity_once_per_channel",), 300),
    "answer": (_answer, (), 200),
    "fail": (lambda w: turns.fail(turns.claim(w.answering, "answer"), "attempts"), (), 200),
    "sweep turns": (lambda w: turns.sweep(), (), 150),
    "send": (_send, ("outbox_pending", "message_of_turn"), 100),
    "sweep the outbox": (lambda w: outbox_sweep.sweep(), ("turn_open",), 1000),
    "drain": (lambda w: draining._waiting(w.channel.pk, []), ("outbox_pending",), 300),
    "whom to drain": (lambda w: breaker.due(), (), 10),
    "history": (lambda w: history.recent(w.old.pk), (), 60),
    "take over": (lambda w: takeover.take_over(w.old.pk, user=w.boss), (), 100),
    "resume": (lambda w: takeover.resume_due(), ("conversation_resumes",), 100),
    "is it silent": (lambda w: symptoms._count_usual(w.channel.pk), (), 300),
    "widget": (lambda w: widget_news.after(w.old.pk, 3), ("message_number_once",), 20),
    "who fell silent": (lambda w: rows(follow_up_plan._SILENT, {"limit": 500}), ("conversation_silent",), 1000),
    "due touches": (lambda w: follow_ups.fire(), ("touch_planned",), 100),
    "a customer replies": (lambda w: follow_up_ends.end(w.old.pk, "client_responded"), (), 100),
    "calls to remind of": (lambda w: calls.remind_due(), ("call_to_remind",), 100),
    "changes of calls to tell": (lambda w: calls.tell_due(), ("call_to_tell",), 100),
}  # fmt: skip


@pytest.mark.parametrize("name", ROAD)
def test_the_road(world: World, name: str) -> None:
    do, indexes, most = ROAD[name]
    check(lambda: do(world), *indexes, most=most)


# ── What managers look at ────────────────────────────────────────────────────────────────────────────────────────────

_CONVERSATIONS, _CONTACTS = "conversations/conversation/", "conversations/contact/"
_TURNS, _MESSAGES, _EVENTS = "conversations/turn/", "conversations/message/", "channels/inboundevent/"
_FOLLOW_UPS, _CALLS, _USAGE = "sales/followup/", "sales/scheduledcall/", "llm/usage/"
#: Address → an index that it needs; none where the table is small here.
PAGES = {
    "": "message_recent",
    "attention/": "turn_failed",
    _CONVERSATIONS: "conversation_attention",
    f"{_CONVERSATIONS}?show=all": "",
    f"{_CONVERSATIONS}?show=all&p=3": "",
    f"{_CONVERSATIONS}?show=all&mode__exact=closed": "conversation_closed",
    f"{_CONVERSATIONS}?q=%2B77010000001": "conversations_contact_phone_index_78641077_like",
    _CONTACTS: "contact_recent",
    f"{_CONTACTS}?client=no": "",
    f"{_CONTACTS}?verdict_final__exact=1": "contact_verdict_final",
    _TURNS: "turn_recent",
    f"{_TURNS}?stage__exact=failed": "turn_failed",
    f"{_TURNS}?intent__exact=complaint": "turn_recent",
    f"{_TURNS}?reason__exact=late&opened_at__lt=2100-01-01+00:00:00%2B00:00": "turn_recent",
    _MESSAGES: "message_recent",
    f"{_MESSAGES}?state__exact=failed": "outbox_doubtful",
    f"{_MESSAGES}?state__exact=suppressed": "message_recent",
    f"{_MESSAGES}?kind__exact=location&o=-1": "message_recent",
    _EVENTS: "event_recent",
    f"{_EVENTS}?state__exact=failed": "event_failed",
    f"{_EVENTS}?source__exact=history": "event_recent",
    _FOLLOW_UPS: "",
    f"{_FOLLOW_UPS}?state__exact=active": "follow_up_active",
    f"{_FOLLOW_UPS}?stop_reason__exact=opted_out": "follow_up_recent",
    _CALLS: "",
    f"{_CALLS}?show=all": "call_by_time",
    f"{_CALLS}day/": "call_by_time",
    _USAGE: "usage_recent",
    f"{_USAGE}?outcome__exact=timeout": "usage_recent",
    f"{_USAGE}?q=turn:1": "usage_recent",
}
#: What a page reads at most, of all tables and with the menu's counts: less than any of the large tables holds.
PAGE_ROWS = ROWS // 2


def _client(world: World) -> Client:
    client = Client(headers={"accept-language": "en"})
    client.force_login(world.boss)
    return client


@pytest.mark.parametrize("address", PAGES)
def test_a_page_of_the_admin(world: World, address: str) -> None:
    client = _client(world)
    answers: list[Any] = []
    check(lambda: answers.append(client.get(f"/admin/{address}")), *filter(None, [PAGES[address]]), most=PAGE_ROWS)
    assert answers[0].status_code == 200


@pytest.mark.parametrize("address", ["contacts/", "contacts/?is_client=false", "logs/messages/?state=suppressed", "stats/"])
def test_a_list_of_the_api(world: World, address: str) -> None:
    client = APIClient()
    client.force_authenticate(world.boss)
    answers: list[Any] = []
    check(lambda: answers.append(client.get(f"/api/v1/{address}")), most=PAGE_ROWS)
    assert answers[0].status_code == 200


def test_whoever_sees_some_channels_only_pays_no_more(world: World) -> None:
    check(lambda: attention.waiting_count(world.manager), "turn_failed", "outbox_doubtful", most=PAGE_ROWS)
    check(lambda: list(attention.failed_turns(world.manager)[:50]), "turn_failed", most=500)
    check(lambda: dashboard.figures(world.manager), most=PAGE_ROWS)
    check(lambda: stats.stats(world.manager), most=PAGE_ROWS)


# ── Audit and status ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", [one.name for one in audit.CHECKS])
def test_a_check_of_the_audit_reads_its_window_only(world: World, name: str) -> None:
    asked = next(one for one in audit.checks() if one.name == name)
    check(lambda: rows(*audit.statement(asked, 1)), most=1000)


def test_the_states_are_counted_by_their_indexes(world: World) -> None:
    check(lambda: states.counted(1), "turn_open", "touch_planned", most=3000)


# ── Counting ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_list_says_about_how_many_there_are(world: World) -> None:
    client = _client(world)
    page = client.get("/admin/conversations/message/").content.decode()
    assert "the newest 200 of about 30" in " ".join(page.replace("\xa0", " ").split())
    assert "(among the newest" not in page


def test_a_list_says_when_it_looked_through_the_newest_rows_only(world: World) -> None:
    client = _client(world)
    page = " ".join(client.get("/admin/conversations/turn/?intent__exact=question").content.decode().split())
    assert "(among the newest 400 rows)" in page


def test_few_rows_are_counted_exactly(world: World) -> None:
    few = Conversation.objects.filter(needs_attention=True)
    assert big_tables.about(few) == (few.count(), True)
    found, exact = big_tables.about(Message.objects.all())
    assert not exact and abs(found - ROWS) < ROWS / 20


def test_all_at_once_is_refused_for_more_rows_than_a_list_shows(world: World) -> None:
    client = _client(world)
    given = {"action": "take_over", "select_across": "1", "_selected_action": str(world.old.pk), "index": "0"}
    answer = client.post("/admin/conversations/conversation/?show=all", given, follow=True)
    assert "more than 200 rows at once" in answer.content.decode()
    assert not Takeover.objects.filter(conversation=world.old).exists()


def test_a_program_reads_a_whole_list_page_by_page(world: World) -> None:
    client = APIClient()
    client.force_authenticate(world.boss)
    first = client.get("/api/v1/contacts/?page_size=200").json()
    assert first["count_exact"] is False and first["next"]
    last = client.get("/api/v1/contacts/?page_size=200&page=15").json()
    assert len(last["results"]) == 200 and last["next"] is None
    assert client.get("/api/v1/contacts/?page_size=200&page=16").status_code == 404
