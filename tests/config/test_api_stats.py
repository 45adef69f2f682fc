"""The numbers of the day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from channels.models import ProviderCall
from config import stats as counting
from conversations.models import Contact
from llm.models import Usage
from tests.config.api_world import World, client_of, make_user
from tests.conftest import Broker
from tests.sales.sale_rows import a_bot, a_follow_up, a_scheduled_call

pytestmark = pytest.mark.django_db

#: 02:30 in Almaty: its day began at 19:00 UTC of the day before.
NOW = datetime(2026, 11, 20, 21, 30, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 20, 19, 0, tzinfo=UTC)


@pytest.fixture
def world(broker: Broker, settings: Any, monkeypatch: pytest.MonkeyPatch) -> World:
    settings.RATE_LIMIT_PER_MINUTE = 10**6
    monkeypatch.setattr(counting, "queue_sizes", lambda: {"incoming_messages": 3, "answers": None})
    return World()


def asked(user: Any) -> dict[str, Any]:
    with time_machine.travel(NOW, tick=False):
        answer = client_of(user).get("/api/v1/stats/")
    assert answer.status_code == 200
    return dict(answer.json())


def test_messages_of_the_minute_the_hour_and_the_day(world: World) -> None:
    conversation = world.conversation(world.mine)
    for seconds in (10, 50, 90, 3_500, 3_700, 8_900):
        world.message(conversation, "in", at=NOW - timedelta(seconds=seconds))
        world.message(conversation, "out", at=NOW - timedelta(seconds=seconds), out=True)
    world.message(conversation, "yesterday", at=MIDNIGHT - timedelta(seconds=1))
    world.message(conversation, "queued", at=NOW, out=True, state="queued")
    world.message(conversation, "failed", at=NOW, out=True, state="failed")
    world.message(conversation, "voice", at=NOW - timedelta(hours=2), kind="voice", transcribed=True)
    late = world.message(conversation, "stored before midnight, sent after", at=MIDNIGHT - timedelta(hours=2), out=True)
    late.sent_at = MIDNIGHT + timedelta(minutes=1)
    late.save()
    told = asked(world.manager)
    received = [told[f"messages_received_{span}"] for span in ("last_minute", "last_hour", "today")]
    sent = [told[f"messages_sent_{span}"] for span in ("last_minute", "last_hour", "today")]
    assert received == [2, 4, 7] and sent == [2, 4, 7]
    assert told["messages_failed_today"] == 1 and told["voice_transcribed_today"] == 1
    assert told["queue_size"] == {"incoming_messages": 3, "answers": None}


def test_the_day_begins_at_local_midnight(world: World, settings: Any) -> None:
    assert datetime.fromisoformat(asked(world.manager)["day_started_at"]) == MIDNIGHT
    conversation = world.conversation(world.mine)
    world.message(conversation, "just before", at=MIDNIGHT - timedelta(seconds=1))
    world.message(conversation, "just after", at=MIDNIGHT + timedelta(seconds=1))
    assert asked(world.manager)["messages_received_today"] == 1


def test_just_after_midnight_the_last_hour_reaches_back(world: World) -> None:
    conversation = world.conversation(world.mine)
    world.message(conversation, "yesterday", at=MIDNIGHT - timedelta(minutes=20))
    with time_machine.travel(MIDNIGHT + timedelta(minutes=5), tick=False):
        told = client_of(world.manager).get("/api/v1/stats/").json()
    assert (told["messages_received_last_hour"], told["messages_received_today"]) == (1, 0)


def test_speed_is_measured_from_received_to_sent(world: World) -> None:
    conversation = world.conversation(world.mine)
    for seconds in (1, 2, 3, 4, 100):
        opened = NOW - timedelta(minutes=10)
        turn = world.turn(conversation, opened)
        world.message(conversation, "a", at=opened + timedelta(seconds=seconds), out=True, turn=turn)
        world.message(conversation, "second part", at=opened + timedelta(seconds=seconds + 30), out=True, turn=turn)
    told = asked(world.manager)
    assert told["answers_generated_today"] == 5
    assert told["processing"] == {"replies": 5, "median_seconds": 3.0, "p95_seconds": pytest.approx(80.8)}


def test_an_idle_day_has_no_speed(world: World) -> None:
    assert asked(world.manager)["processing"] == {"replies": 0, "median_seconds": None, "p95_seconds": None}


def test_contacts_by_verdict(world: World) -> None:
    for phone, verdict in (("77010000001", True), ("77010000002", True), ("77010000003", False), ("77010000004", None)):
        world.conversation(world.mine, phone, is_client=verdict)
    world.conversation(world.theirs, "77010000005", is_client=False)
    Contact.objects.filter(is_client=True).update(classified_at=NOW - timedelta(hours=1))
    Contact.objects.filter(is_client=False).update(classified_at=MIDNIGHT - timedelta(hours=1))
    counted = {"clients": 2, "not_clients": 1, "undecided": 1, "exact": True, "classified_today": 2}
    assert asked(world.manager)["contacts"] == counted
    assert asked(world.root)["contacts"]["not_clients"] == 2


def test_owners_count_their_own(world: World) -> None:
    world.message(world.conversation(world.mine, "77010000001"), "a", at=NOW)
    world.message(world.conversation(world.theirs, "77010000002"), "b", at=NOW)
    for channel in (world.mine, world.theirs):
        ProviderCall.objects.create(
            channel=channel, minute=NOW, call="wappi message/send", count=4, errors=1, total_ms=1000, max_ms=700
        )
    told = asked(world.manager)
    assert told["messages_received_today"] == 1
    call = {"channel": "mine", "call": "wappi message/send", "calls": 4, "failed": 1, "average_ms": 250, "longest_ms": 700}
    assert told["providers"] == [call]
    assert asked(world.root)["messages_received_today"] == 2 and len(asked(world.root)["providers"]) == 2


def test_provider_calls_are_summed_over_the_minutes_of_today(world: World) -> None:
    for minute, ms in ((NOW, 100), (NOW - timedelta(minutes=1), 300), (MIDNIGHT - timedelta(minutes=1), 10_000)):
        ProviderCall.objects.create(channel=world.mine, minute=minute, call="x", count=1, total_ms=ms, max_ms=ms)
    assert asked(world.manager)["providers"][0]["average_ms"] == 200
    assert asked(world.manager)["providers"][0]["longest_ms"] == 300


def test_language_models_for_those_who_may_see_them(world: World) -> None:
    for outcome, at in (("ok", NOW), ("timeout", NOW), ("ok", MIDNIGHT - timedelta(hours=1))):
        usage = Usage.objects.create(
            model_name="gemini-flash", purpose="answer", outcome=outcome, input_tokens=100, output_tokens=20,
            thinking_tokens=5, cost=Decimal("0.001"), latency_ms=400,
        )  # fmt: skip
        Usage.objects.filter(pk=usage.pk).update(at=at)
    assert asked(world.manager)["language_models"] == [
        {
            "model": "gemini-flash", "calls": 2, "failed": 1, "input_tokens": 200, "output_tokens": 40, "thinking_tokens": 10,
            "cost": "0.002000", "average_ms": 400,
        }
    ]  # fmt: skip
    assert asked(make_user("newcomer"))["language_models"] is None


def test_follow_ups_and_calls(world: World) -> None:
    conversation = world.conversation(world.mine, "77010000001")
    touch = world.turn(conversation, NOW - timedelta(minutes=5))
    for at, state in ((NOW, "sent"), (NOW, "delivered"), (NOW, "failed"), (MIDNIGHT - timedelta(minutes=1), "sent")):
        world.message(conversation, "touch", at=at, out=True, turn=touch, cycle=1, state=state)
    world.message(conversation, "another", at=NOW, out=True, cycle=1, turn=world.turn(conversation, NOW))
    world.message(conversation, "a reply", at=NOW, out=True, turn=world.turn(conversation, NOW))
    a_follow_up(conversation, cycle=1)
    a_follow_up(conversation, cycle=0, state="stopped")
    assistant, foreign = a_bot(world.mine, world.manager), a_bot(world.theirs, world.other)
    for start, status in (
        (MIDNIGHT - timedelta(hours=1), "completed"), (MIDNIGHT, "missed"), (MIDNIGHT + timedelta(hours=1), "cancelled"),
        (MIDNIGHT + timedelta(hours=23), "scheduled"), (MIDNIGHT + timedelta(hours=24), "scheduled"),
    ):  # fmt: skip
        a_scheduled_call(world.conversation(world.mine), assistant, world.manager, start, status=status)
    theirs = world.conversation(world.theirs, "77010000002")
    a_follow_up(theirs)
    a_scheduled_call(theirs, foreign, world.other, NOW + timedelta(hours=1))
    told, everything = asked(world.manager), asked(world.root)
    names = ("touches_sent_today", "follow_ups_active", "calls_scheduled", "calls_today")
    assert [told[name] for name in names] == [2, 1, 2, 2]
    assert [everything[name] for name in names] == [2, 2, 3, 3]


def test_messages_are_read_by_their_index(world: World) -> None:
    """With many old messages, today's numbers cost a look at today's."""
    conversation = world.conversation(world.mine)
    world.message(conversation, "today", at=NOW)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO conversations_message (conversation_id, channel_id, seq, direction, author, text, state, created_at)"
            " SELECT %s, %s, n, 'in', 'customer', ''::bytea, 'received', %s - make_interval(days => 3, secs => n)"
            " FROM generate_series(1000, 20000) n",
            [conversation.pk, world.mine.pk, NOW],
        )
        cursor.execute("ANALYZE conversations_message")
    with CaptureQueriesContext(connection) as captured:
        asked(world.manager)
    counted = [query["sql"] for query in captured if "FROM conversations_message" in query["sql"]]
    assert len(counted) == 2
    for sql in counted:
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN " + sql)
            plan = "\n".join(line for (line,) in cursor.fetchall())
        assert "Seq Scan on conversations_message" not in plan, plan
