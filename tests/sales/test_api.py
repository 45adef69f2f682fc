"""Follow-ups, calls and qualifications by the HTTP API."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from conversations.models import Contact, Conversation, Message, Turn
from sales.models import Assistant, FollowUp, Qualification, ScheduledCall
from tests.config.api_world import World, client_of, make_user
from tests.conftest import Broker
from tests.sales.sale_rows import a_bot, a_follow_up, a_scheduled_call

pytestmark = pytest.mark.django_db
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.fixture
def world(broker: Broker, settings: Any) -> World:
    settings.RATE_LIMIT_PER_MINUTE = 10**6
    return World()


@pytest.fixture
def conversation(world: World) -> Conversation:
    a_bot(world.mine)
    return world.conversation(world.mine, "77010000001", "Anna", is_client=True)


@pytest.fixture
def assistant(conversation: Conversation) -> Assistant:
    found: Assistant = conversation.channel.bot.assistant
    return found


@pytest.fixture
def ask(world: World) -> Any:
    def asked(path: str, body: Any = None, *, user: Any = None, expect: int = 200) -> Any:
        client = client_of(user or world.manager)
        answer = client.get(f"/api/v1/{path}") if body is None else client.post(f"/api/v1/{path}", body, format="json")
        assert answer.status_code == expect, answer.content
        return answer.json()

    return asked


# ── Contacts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_contact_with_its_zone_and_what_is_known_of_its_need(world: World, ask: Any, conversation: Conversation) -> None:
    told = ask("contacts/77010000001/")
    assert (told["time_zone"], told["qualification"]) == ("", None)
    Contact.objects.update(time_zone="Europe/Moscow")
    Qualification.objects.create(contact=conversation.contact, stage="problem", situation="an office", problem="no coffee")
    told = ask("contacts/77010000001/")
    assert told["time_zone"] == "Europe/Moscow"
    assert told["qualification"].pop("updated_at")
    assert told["qualification"] == {
        "stage": "problem", "situation": "an office", "problem": "no coffee", "implication": "", "need": ""
    }  # fmt: skip
    assert [row["id"] for row in told["conversations"]] == [conversation.pk]
    reader = make_user("reader", rights=("view_contact",))
    world.mine.team.add(reader)
    assert ask("contacts/77010000001/", user=reader)["qualification"] is None


# ── Follow-ups ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_follow_up_and_its_touches(ask: Any, conversation: Conversation) -> None:
    follow_up = a_follow_up(conversation, {1: {"state": "skipped", "reason": "outage"}, 2: {"reason": "hours"}})
    told = ask(f"follow-ups/{follow_up.pk}/")
    assert (told["contact"], told["conversation"], told["channel"]) == (conversation.contact_id, conversation.pk, "mine")
    assert (told["state"], told["cause"], told["stop_reason"]) == ("active", "silence", "")
    assert [(touch["number"], touch["state"], touch["reason"]) for touch in told["touches"][:3]] == [
        (1, "skipped", "outage"), (2, "planned", "hours"), (3, "planned", ""),
    ]  # fmt: skip
    assert told["next_touch_at"] == told["touches"][1]["planned_at"]
    FollowUp.objects.update(state="stopped", stop_reason="client_responded")
    told = ask(f"follow-ups/{follow_up.pk}/")
    assert (told["stop_reason"], told["next_touch_at"]) == ("client_responded", None)


def test_active_follow_ups_newest_first(world: World, ask: Any, conversation: Conversation) -> None:
    now = timezone.now()
    older = a_follow_up(conversation, anchor=now - 2 * DAY, cycle=1)
    newer = a_follow_up(world.conversation(world.mine, "77010000003"), anchor=now - DAY, cause="vague")
    a_follow_up(conversation, state="stopped", stop_reason="by_hand")
    a_follow_up(world.conversation(world.theirs, "77010000002"))
    told = ask("follow-ups/active/")
    assert told["count"] == 2
    assert [row["id"] for row in told["results"]] == [newer.pk, older.pk]
    for query, found in (
        ("cause=vague", [newer.pk]), (f"contact={conversation.contact_id}", [older.pk]), ("channel=theirs", []),
        ("page_size=1&page=2", [older.pk]),
    ):  # fmt: skip
        assert [row["id"] for row in ask(f"follow-ups/active/?{query}")["results"]] == found, query
    assert ask("follow-ups/active/", user=world.root)["count"] == 3
    ask("follow-ups/active/?cause=hunger", expect=400)
    ask("follow-ups/active/", user=make_user("newcomer"), expect=403)


def test_pending_touches_the_next_one_first(world: World, ask: Any, conversation: Conversation) -> None:
    now = timezone.now()
    follow_up = a_follow_up(conversation, {1: {"state": "fired"}, 3: {"reason": "hours"}}, anchor=now, cycle=1)
    a_follow_up(conversation, state="stopped")
    a_follow_up(world.conversation(world.theirs, "77010000002"))
    told = ask("follow-ups/pending/")
    assert [touch["number"] for touch in told["results"]] == [2, 3, 4, 5]
    assert told["results"][0]["follow_up"] == follow_up.pk
    assert (told["results"][0]["contact"], told["results"][0]["channel"]) == (conversation.contact_id, "mine")
    until = quote((now + 8 * DAY).isoformat())
    assert [touch["number"] for touch in ask(f"follow-ups/pending/?until={until}")["results"]] == [2, 3]
    ask("follow-ups/pending/?until=soon", expect=400)


def test_lists_cost_the_same_statements_for_any_length(world: World, ask: Any, assistant: Assistant) -> None:
    def statements(rows: int, path: str) -> int:
        for _ in range(rows):
            conversation = world.conversation(world.mine)
            a_follow_up(conversation)
            start = timezone.now() + DAY * ScheduledCall.objects.count()
            a_scheduled_call(conversation, assistant, world.manager, start)
        with CaptureQueriesContext(connection) as captured:
            ask(path)
        return len(captured)

    for path in ("follow-ups/active/", "follow-ups/pending/", "scheduled-calls/"):
        few = statements(2, path)
        assert statements(6, path) == few, path


def test_a_follow_up_is_stopped_once(world: World, ask: Any, conversation: Conversation) -> None:
    follow_up = a_follow_up(conversation)
    told = ask(f"follow-ups/{follow_up.pk}/stop/", {})
    assert (told["state"], told["stop_reason"], told["stopped_by"]) == ("stopped", "by_hand", world.manager.pk)
    assert {touch["state"] for touch in told["touches"]} == {"cancelled"}
    error = ask(f"follow-ups/{follow_up.pk}/stop/", {}, expect=409)["error"]
    assert error["code"] == "conflict"
    assert error["message"]


def test_touches_are_skipped_by_number_or_in_turn(ask: Any, conversation: Conversation) -> None:
    path = f"follow-ups/{a_follow_up(conversation).pk}/skip/"
    assert [touch["state"] for touch in ask(path, {})["touches"]] == ["skipped", *["planned"] * 4]
    assert [touch["state"] for touch in ask(path, {"number": 3})["touches"]][:3] == ["skipped", "planned", "skipped"]
    assert ask(path, {"number": 3}, expect=409)["error"]["code"] == "conflict"
    for nonsense in (0, 6, "x", 10**30):
        assert list(ask(path, {"number": nonsense}, expect=400)["error"]["fields"]) == ["number"]
    for number in (2, 4, 5):
        told = ask(path, {"number": number})
    assert (told["state"], told["stop_reason"]) == ("completed", "completed_5_touches")
    ask(path, {}, expect=409)


def test_the_next_touch_is_sent_at_once(ask: Any, conversation: Conversation) -> None:
    path = f"follow-ups/{a_follow_up(conversation).pk}/send-now/"
    assert ask(path, {"number": 2}, expect=409)["error"]["message"]
    told = ask(path, {"number": 1})
    assert (told["touches"][0]["state"], told["touches"][0]["turn"]) == ("fired", Turn.objects.get().pk)
    assert (Turn.objects.get().trigger, Turn.objects.get().stage) == ("follow_up", "answer")
    ask(path, {"number": 1}, expect=409)


def test_nobody_is_written_to_against_their_wish(ask: Any, conversation: Conversation) -> None:
    follow_up = a_follow_up(conversation)
    Contact.objects.update(opted_out_at=timezone.now())
    ask(f"follow-ups/{follow_up.pk}/send-now/", {}, expect=409)
    assert not Turn.objects.exists()


@pytest.mark.parametrize("path", ["follow-ups/{}/", "scheduled-calls/{}/"])
def test_unknown_numbers_are_not_found(ask: Any, path: str) -> None:
    for number in (1, 2**31, 10**30):
        ask(path.format(number), expect=404)


# ── Calls ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def call(world: World, conversation: Conversation, assistant: Assistant) -> ScheduledCall:
    return a_scheduled_call(conversation, assistant, world.manager, timezone.now() + DAY, notes="about prices")


def test_a_call(world: World, ask: Any, call: ScheduledCall) -> None:
    told = ask(f"scheduled-calls/{call.pk}/")
    assert (told["contact"], told["channel"], told["status"]) == (call.contact_id, "mine", "scheduled")
    assert (told["manager"], told["manager_name"], told["phone"]) == (world.manager.pk, "manager", "+77010000001")
    assert (told["assistant"], told["notes"]) == (call.assistant.slug, "about prices")
    assert datetime.fromisoformat(told["starts_at"]) == call.starts_at
    ScheduledCall.objects.update(conversation=None)
    assert ask(f"scheduled-calls/{call.pk}/")["channel"] is None


def test_calls_are_filtered(world: World, ask: Any, call: ScheduledCall, assistant: Assistant) -> None:
    later = a_scheduled_call(
        world.conversation(world.mine, "77010000003"), assistant, world.other, call.starts_at + 3 * HOUR, status="cancelled"
    )
    at = quote(later.starts_at.isoformat())
    for query, found in (
        ("", [call.pk, later.pk]), ("status=scheduled", [call.pk]), ("status=cancelled", [later.pk]),
        (f"manager={world.other.pk}", [later.pk]), (f"contact={call.contact_id}", [call.pk]),
        (f"from={at}", [later.pk]), (f"to={at}", [call.pk]), (f"from={at}&to={at}", []),
    ):  # fmt: skip
        assert [row["id"] for row in ask(f"scheduled-calls/?{query}")["results"]] == found, query
    for query in ("status=lost", "from=noon", "manager=x"):
        ask(f"scheduled-calls/?{query}", expect=400)
    ask("scheduled-calls/", user=make_user("newcomer"), expect=403)


def test_calls_of_others_do_not_exist_unless_one_makes_them(world: World, ask: Any) -> None:
    theirs = a_bot(world.theirs, owner=world.other)
    start = timezone.now() + DAY
    call = a_scheduled_call(world.conversation(world.theirs, "77010000002"), theirs, world.other, start)
    for path in ("", *(f"{what}/" for what in ("complete", "miss", "cancel", "move", "reassign"))):
        ask(f"scheduled-calls/{call.pk}/{path}", {} if path else None, expect=404)
    assert ask("scheduled-calls/")["count"] == 0
    assert ask("scheduled-calls/", user=world.other)["count"] == 1
    ScheduledCall.objects.update(manager=world.manager)
    assert ask(f"scheduled-calls/{call.pk}/")["id"] == call.pk
    told = ask(f"scheduled-calls/{call.pk}/reassign/", {"manager": world.other.pk})
    assert told["manager"] == world.other.pk
    ask(f"scheduled-calls/{call.pk}/", expect=404)


def test_what_became_of_a_call(ask: Any, call: ScheduledCall) -> None:
    path = f"scheduled-calls/{call.pk}"
    assert ask(f"{path}/miss/", {}, expect=409)["error"]["code"] == "conflict", "it has not begun"
    ScheduledCall.objects.update(starts_at=timezone.now() - HOUR, ends_at=timezone.now())
    assert ask(f"{path}/miss/", {})["status"] == "missed"
    assert ask(f"{path}/complete/", {})["status"] == "completed"
    assert ask(f"{path}/complete/", {}, expect=409)["error"]["message"]
    assert ask(f"{path}/cancel/", {}, expect=409)["error"]["message"]


def test_a_call_is_cancelled_and_the_customer_told(ask: Any, call: ScheduledCall) -> None:
    assert ask(f"scheduled-calls/{call.pk}/cancel/", {})["status"] == "cancelled"
    assert Message.objects.get().state == "queued"
    ask(f"scheduled-calls/{call.pk}/cancel/", {}, expect=409)


def test_a_call_is_moved(world: World, ask: Any, call: ScheduledCall, assistant: Assistant) -> None:
    path, start = f"scheduled-calls/{call.pk}/move/", call.starts_at + 2 * HOUR
    told = ask(path, {"starts_at": start.astimezone(timezone.get_default_timezone()).isoformat()})
    assert datetime.fromisoformat(told["starts_at"]) == start
    assert datetime.fromisoformat(told["ends_at"]) == start + timedelta(minutes=30)
    for wrong in (
        {}, {"starts_at": "tomorrow"}, {"starts_at": start.replace(tzinfo=None).isoformat()},
        {"starts_at": (timezone.now() - HOUR).isoformat()}, {"starts_at": (timezone.now() + 400 * DAY).isoformat()},
        {"starts_at": "9999-12-31T23:59:59-12:00"}, {"starts_at": "0001-01-01T00:00:00+14:00"},
    ):  # fmt: skip
        error = ask(path, wrong, expect=400)["error"]
        assert (error["code"], list(error["fields"])) == ("invalid", ["starts_at"]), wrong
    other = a_scheduled_call(world.conversation(world.mine, "77010000003"), assistant, world.manager, start + DAY)
    error = ask(path, {"starts_at": other.starts_at.isoformat()}, expect=409)["error"]
    assert (error["code"], bool(error["message"])) == ("conflict", True)
    call.refresh_from_db()
    assert call.starts_at == start


def test_a_call_is_given_to_another(world: World, ask: Any, call: ScheduledCall, assistant: Assistant) -> None:
    path = f"scheduled-calls/{call.pk}/reassign/"
    assert ask(path, {"manager": world.root.pk})["manager"] == world.root.pk
    world.guest.is_active = False
    world.guest.save()
    for wrong in (
        {},
        {"manager": "x"},
        {"manager": 10**30},
        {"manager": 0},
        {"manager": world.guest.pk},
        {"manager": 2**31 - 1},
    ):
        assert list(ask(path, wrong, expect=400)["error"]["fields"]) == ["manager"], wrong
    a_scheduled_call(world.conversation(world.mine, "77010000003"), assistant, world.other, call.starts_at)
    assert ask(path, {"manager": world.other.pk}, expect=409)["error"]["code"] == "conflict"
