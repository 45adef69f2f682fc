"""The managers' pages of calls. What a call does when it is moved or cancelled is tested with `sales.calls`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from conversations.models import Conversation, Message
from foundation import db, live
from sales.admin import call_day
from sales.models import Assistant, ScheduledCall
from tests.conversations.rows import a_channel, a_conversation, a_manager, english  # noqa: F401

from .call_world import ALMATY, a_call, an_assistant, at

pytestmark = pytest.mark.django_db
LIST = "admin:sales_scheduledcall_changelist"
DAY = "admin:sales_scheduledcall_day"


@pytest.fixture(autouse=True)
def _no_doorbell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "ring", lambda *_args, **_what: None)


def soon(**span: float) -> Any:
    return db.now() + timedelta(**span)


def listed(browser: Client, /, **query: str) -> list[int]:
    response = browser.get(reverse(LIST), query)
    assert response.status_code == 200
    return [row.pk for row in response.context["cl"].result_list]


def page(call: ScheduledCall) -> str:
    return reverse("admin:sales_scheduledcall_change", args=(call.pk,))


def do(browser: Client, call: ScheduledCall, what: str, **data: Any) -> str:
    """POST a decision and return what the page says."""
    address = reverse("admin:sales_scheduledcall_do", args=(call.pk,))
    response = browser.post(address, {"do": what, **data}, follow=True)
    assert response.status_code == 200
    return " ".join(str(message) for message in response.context["messages"])


def told(call: ScheduledCall) -> list[str]:
    return [message.text for message in Message.objects.filter(conversation=call.conversation_id, direction="out")]


@pytest.fixture
def world() -> tuple[Any, list[User], Any]:
    return an_assistant(managers=2)


# ── The list ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_list_shows_what_is_to_come(admin_client: Client, world: Any) -> None:
    configured, (one, two), channel = world
    later, sooner = (a_call(configured, channel, one, soon(days=days)) for days in (3, 2))
    over = a_call(configured, channel, two, soon(days=-1))
    done = a_call(configured, channel, two, soon(days=-2), status="completed")
    assert listed(admin_client) == [sooner.pk, later.pk]
    assert listed(admin_client, show="mark") == [over.pk]
    assert listed(admin_client, show="all") == [later.pk, sooner.pk, over.pk, done.pk]
    assert listed(admin_client, status__exact="completed") == [done.pk]
    assert listed(admin_client, show="all", manager=str(two.pk)) == [over.pk, done.pk]
    assert listed(admin_client, period="last_week") == [over.pk, done.pk]
    assert listed(admin_client, period="week") == [later.pk, sooner.pk]
    assert listed(admin_client, period="no", manager="x", show="all") == listed(admin_client, show="all")


def test_the_rows_say_what_a_manager_needs(admin_client: Client, world: Any) -> None:
    configured, (one, _two), channel = world
    conversation = a_conversation(channel, phone="77017654321", full_name="Айгерим Нурланова")
    start = (db.now().astimezone(ALMATY) + timedelta(days=1)).replace(hour=15, minute=0)
    a_call(configured, channel, one, start, conversation=conversation, phone="77017654321", customer_zone="Europe/Moscow")
    html = admin_client.get(reverse(LIST)).content.decode()
    for words in ("Tomorrow, 15:00–15:30", "for the customer 13:00 Moscow time", "Айгерим Нурланова", "+7 701 765 4321", "Manager 1"):
        assert words in html
    over = a_call(configured, channel, one, soon(days=-1))
    assert "to be marked" in admin_client.get(reverse(LIST), {"show": "mark"}).content.decode()
    ScheduledCall.objects.filter(pk=over.pk).update(status="missed")
    assert "phone_missed" in admin_client.get(reverse(LIST), {"show": "all"}).content.decode()


@pytest.mark.parametrize("term", ["8 701 765-43-21", "нурланова"])
def test_calls_are_found_by_phone_and_name(admin_client: Client, world: Any, term: str) -> None:
    configured, (one, two), channel = world
    conversation = a_conversation(channel, phone="77017654321", full_name="Айгерим Нурланова")
    found = a_call(configured, channel, one, soon(days=-9), conversation=conversation)
    a_call(configured, channel, two, soon(days=1))
    assert listed(admin_client, q=term) == [found.pk]


def test_the_list_costs_the_same_for_any_length(admin_client: Client, world: Any) -> None:
    configured, (one, _two), channel = world

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            admin_client.get(reverse(LIST))
        return len(queries)

    a_call(configured, channel, one, soon(days=1))
    cost()  # what is remembered between requests is looked up
    first = cost()
    for number in range(5):
        a_call(configured, channel, one, soon(days=2 + number))
    assert cost() == first


def test_calls_are_marked_and_cancelled_in_bulk(admin_client: Client, world: Any) -> None:
    configured, (one, two), channel = world
    over, again = (a_call(configured, channel, manager, soon(days=-1)) for manager in (one, two))
    ahead = a_call(configured, channel, one, soon(days=1))

    def act(action: str, *rows: ScheduledCall) -> str:
        data = {"action": action, "_selected_action": [row.pk for row in rows]}
        response = admin_client.post(f"{reverse(LIST)}?show=all", data, follow=True)
        return " ".join(str(message) for message in response.context["messages"])

    assert act("miss", over, again, ahead) == "2 calls marked as missed. 1 call stays as it is."
    assert act("complete", over) == "1 call marked as completed."
    assert act("cancel", over, ahead) == "1 call cancelled. 1 call stays as it is."
    assert dict(ScheduledCall.objects.values_list("pk", "status")) == {
        over.pk: "completed", again.pk: "missed", ahead.pk: "cancelled",
    }  # fmt: skip
    assert len(told(ahead)) == 1
    assert told(over) == []
    assert LogEntry.objects.count() == 4


# ── One call ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_page_of_a_call(admin_client: Client, world: Any) -> None:
    configured, (one, _two), channel = world
    conversation = a_conversation(channel, phone="77017654321", full_name="<b>Aigerim</b>")
    call = a_call(
        configured, channel, one, soon(days=2), conversation=conversation, phone="77017654321", customer_zone="Europe/Moscow"
    )
    html = admin_client.get(page(call)).content.decode()
    assert "&lt;b&gt;Aigerim&lt;/b&gt;" in html
    assert "<b>Aigerim</b>" not in html
    for words in ("Almaty time", "Moscow time", "tel:+77017654321", "Manager 2", "Free times of Manager 1", channel.name):
        assert words in html
    assert reverse("admin:conversations_conversation_change", args=(conversation.pk,)) in html
    assert 'value="miss"' not in html
    for status in ("completed", "missed", "cancelled"):
        ScheduledCall.objects.update(status=status, starts_at=soon(hours=-2), ends_at=soon(hours=-1))
        html = admin_client.get(page(call)).content.decode()
        assert 'value="move"' not in html
        assert ('value="miss"' in html) is (status == "completed")
        assert ('value="complete"' in html) is (status == "missed")
    assert admin_client.get(page(call).replace(str(call.pk), "x")).status_code == 404
    assert admin_client.get(reverse("admin:sales_scheduledcall_add")).status_code == 403
    assert admin_client.post(reverse("admin:sales_scheduledcall_delete", args=(call.pk,)), {"post": "yes"}).status_code == 403


def test_a_call_without_a_conversation_has_a_page(admin_client: Client, world: Any) -> None:
    configured, (one, _two), channel = world
    call = a_call(configured, channel, one, soon(days=2))
    ScheduledCall.objects.update(conversation=None)
    html = admin_client.get(page(call)).content.decode()
    assert "The customer will be told" not in html
    assert admin_client.get(reverse(DAY)).status_code == 200


def test_moving(admin_client: Client, world: Any) -> None:
    configured, (one, _two), channel = world
    call = a_call(configured, channel, one, soon(days=2))
    day = (db.now().astimezone(ALMATY) + timedelta(days=4)).date()
    assert "outside working hours" in do(admin_client, call, "move", start=f"{day}T03:00")
    call.refresh_from_db()
    assert call.starts_at.astimezone(ALMATY).strftime("%Y-%m-%d %H:%M") == f"{day} 03:00"
    assert len(told(call)) == 1
    assert do(admin_client, call, "move", start=f"{day}T12:00:00+03:00").endswith("The call is moved.")
    call.refresh_from_db()
    assert call.starts_at.astimezone(ALMATY).hour == 14
    blocker = a_call(configured, channel, one, soon(days=9))
    for start, words in [
        ("", "Give date and time."), ("soon", "Give date and time."), ("2020-01-01T10:00", "passed"), ("2206-01-01T10:00", "year"),
        (blocker.starts_at.isoformat(), "overlaps another call"),
    ]:  # fmt: skip
        assert words in do(admin_client, call, "move", start=start)
    assert len(told(call)) == 2


def test_another_manager(admin_client: Client, world: Any) -> None:
    configured, (one, two), channel = world
    call = a_call(configured, channel, one, soon(days=2))
    stranger = a_manager()
    for wrong in ("", "x", str(stranger.pk)):
        assert "takes no calls" in do(admin_client, call, "reassign", manager=wrong)
    assert "another manager" in do(admin_client, call, "reassign", manager=str(two.pk))
    call.refresh_from_db()
    assert call.manager == two
    assert len(told(call)) == 1


def test_marking_cancelling_and_notes(admin_client: Client, world: Any, admin_user: Any) -> None:
    configured, (one, _two), channel = world
    call = a_call(configured, channel, one, soon(hours=-2))
    assert "completed" in do(admin_client, call, "complete", next=reverse(DAY))
    assert "Nothing to do" in do(admin_client, call, "complete")
    assert "missed" in do(admin_client, call, "miss")
    assert "saved" in do(admin_client, call, "note", notes=" asked for a discount ")
    call.refresh_from_db()
    assert (call.status, call.notes) == ("missed", "asked for a discount")
    ahead = a_call(configured, channel, one, soon(days=1))
    assert "Nothing to do" in do(admin_client, ahead, "miss")
    assert "cancelled" in do(admin_client, ahead, "cancel")
    assert "not scheduled any more" in do(admin_client, ahead, "move", start=soon(days=3).isoformat())
    assert LogEntry.objects.filter(user=admin_user).count() == 4


def test_wrong_addresses_and_strange_ways_back(admin_client: Client, world: Any) -> None:
    configured, (one, _two), channel = world
    call = a_call(configured, channel, one, soon(hours=-2))
    address = reverse("admin:sales_scheduledcall_do", args=(call.pk,))
    assert admin_client.get(address).status_code == 405
    assert admin_client.post(address, {"do": "explode"}).status_code == 400
    assert admin_client.post(address, {"do": "miss", "next": "https://elsewhere.example/"})["Location"] == page(call)
    assert admin_client.post(address, {"do": "complete", "next": reverse(DAY)})["Location"] == reverse(DAY)
    assert admin_client.post(address.replace(str(call.pk), str(call.pk + 1)), {"do": "miss"}).status_code == 404


# ── Who sees what ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_managers_see_calls_of_their_assistants_and_their_own(client: Client) -> None:
    me, colleague = a_manager(first_name="Me"), a_manager(first_name="Colleague")
    shared, (somebody,), channel = an_assistant()
    foreign, (stranger,), hidden = an_assistant(owner=colleague)
    own, _people, _channel = an_assistant(owner=me)
    channel.team.add(me)
    call_of_shared = a_call(shared, channel, somebody, soon(days=1))
    call_of_own = a_call(own, channel, somebody, soon(days=2))
    mine = a_call(foreign, hidden, me, soon(days=3))
    theirs = a_call(foreign, hidden, stranger, soon(days=4))
    client.force_login(me)
    assert listed(client, show="all") == [mine.pk, call_of_own.pk, call_of_shared.pk]
    assert client.get(page(mine)).status_code == 200
    assert client.get(page(theirs)).status_code == 404
    assert client.post(reverse("admin:sales_scheduledcall_do", args=(theirs.pk,)), {"do": "cancel"}).status_code == 404
    managers = client.get(reverse(LIST)).context["cl"].filter_specs[2].lookup_choices
    assert str(stranger.pk) not in [pk for pk, _name in managers]


def test_rights_are_asked_for(client: Client, world: Any) -> None:
    configured, (one, _two), channel = world
    call = a_call(configured, channel, one, soon(hours=-2))
    clerk = User.objects.create_user("clerk", is_staff=True)
    client.force_login(clerk)
    for address in (page(call), reverse(LIST), reverse(DAY)):
        assert client.get(address).status_code == 403
    clerk.user_permissions.add(Permission.objects.get(codename="view_scheduledcall"))
    for address in (page(call), reverse(LIST), reverse(DAY)):
        html = client.get(address).content.decode()
        assert 'name="do"' not in html
    assert client.post(reverse("admin:sales_scheduledcall_do", args=(call.pk,)), {"do": "miss"}).status_code == 403
    assert Client().get(reverse(DAY)).status_code == 302


# ── The day ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def blocks(column: call_day.Column) -> list[str]:
    """A column in short: `10:00–12:00 free`, `12:00–12:30 scheduled`."""
    told = []
    for block in column.blocks:
        what = "free" if block.gap else "mark" if block.to_mark else block.call.status if block.call else "busy"
        told.append(f"{block.begins.astimezone(ALMATY):%H:%M}–{block.ends.astimezone(ALMATY):%H:%M} {what}")
    return told


def test_a_day_shows_calls_and_gaps(world: Any, admin_user: Any) -> None:
    configured, (one, two), channel = world
    a_call(configured, channel, one, at(24, 10))
    a_call(configured, channel, one, at(24, 12))
    a_call(configured, channel, one, at(24, 12, 30), status="completed")
    a_call(configured, channel, two, at(24, 19), end=at(24, 20, 15))
    called_off = a_call(configured, channel, two, at(24, 15), status="cancelled")
    day = call_day.build(admin_user, at(24, 0).date(), ALMATY, at(24, 11, 15))
    assert [column.name for column in day.columns] == ["Manager 1", "Manager 2"]
    assert blocks(day.columns[0]) == [
        "10:00–10:30 mark", "11:15–12:00 free", "12:00–12:30 scheduled", "12:30–13:00 completed", "12:30–18:00 free",
    ]  # fmt: skip
    assert blocks(day.columns[1]) == ["11:15–18:00 free", "19:00–20:15 scheduled"]
    assert (day.hours[0], day.hours[-1], day.minutes, day.now_at) == (("10:00", 0), ("21:00", 660), 660, 75)
    assert [(block.top, block.height) for block in day.columns[1].blocks] == [(75, 405), (540, 75)]
    assert day.cancelled == [called_off]


def test_calls_that_overlap_stand_side_by_side(world: Any, admin_user: Any) -> None:
    configured, (one, _two), channel = world
    for start, status in ((at(24, 12), "completed"), (at(24, 12, 15), "missed"), (at(24, 12, 30), "scheduled"), (at(24, 15), "scheduled")):
        a_call(configured, channel, one, start, status=status)
    drawn = call_day.build(admin_user, at(24, 0).date(), ALMATY, at(23, 9)).columns[0].blocks
    assert [(block.lane, block.lanes) for block in drawn if block.call] == [(0, 2), (1, 2), (0, 2), (0, 1)]


def test_a_day_off_has_no_gaps(world: Any, admin_user: Any) -> None:
    saturday = call_day.build(admin_user, at(28, 0).date(), ALMATY, at(24, 12))
    assert [(column.day_off, column.blocks, column.holiday) for column in saturday.columns] == [(True, [], "")] * 2
    holiday = call_day.build(admin_user, at(16, 0, month=12).date(), ALMATY, at(24, 12))
    assert holiday.columns[0].holiday == "Independence Day"
    assert holiday.now_at is None


def test_what_nobody_marked_comes_up_today(admin_client: Client, world: Any, admin_user: Any) -> None:
    configured, (one, _two), channel = world
    forgotten = a_call(configured, channel, one, at(20, 12))
    assert call_day.build(admin_user, at(24, 0).date(), ALMATY, at(24, 12)).unmarked == [forgotten]
    assert call_day.build(admin_user, at(25, 0).date(), ALMATY, at(24, 12)).unmarked == []


def test_another_owners_calls_are_only_busy_time() -> None:
    me, colleague = a_manager(), a_manager()
    shared, (one,), channel = an_assistant()
    foreign, _people, hidden = an_assistant(owner=colleague)
    channel.team.add(me)
    a_call(shared, channel, one, at(24, 10))
    a_call(foreign, hidden, one, at(24, 12))
    day = call_day.build(me, at(24, 0).date(), ALMATY, at(24, 9))
    assert blocks(day.columns[0])[:4] == ["10:00–10:30 scheduled", "10:30–12:00 free", "12:00–12:30 busy", "12:30–18:00 free"]


def test_the_page_of_a_day(admin_client: Client, world: Any) -> None:
    configured, (one, _two), channel = world
    now = db.now().astimezone(ALMATY)
    conversation = a_conversation(channel, phone="77017654321", full_name="<b>Aigerim</b>")
    call = a_call(configured, channel, one, now - timedelta(minutes=40), conversation=conversation, phone="77017654321")
    response = admin_client.get(reverse(DAY), {"date": call.starts_at.astimezone(ALMATY).date().isoformat()})
    html = response.content.decode()
    for words in ("&lt;b&gt;Aigerim&lt;/b&gt;", "tel:+77017654321", "to be marked", 'value="complete"', "Almaty time"):
        assert words in html
    assert reverse("admin:conversations_conversation_change", args=(conversation.pk,)) in html
    assert f'href="{reverse(LIST)}"' in html
    for odd in ("x", "0001-01-01", "9999-12-31", ""):
        response = admin_client.get(reverse(DAY), {"date": odd})
        assert response.context["d"].day == db.now().astimezone(ALMATY).date()
    assert f'href="{reverse(DAY)}"' in admin_client.get(reverse(LIST)).content.decode()
    assert f'href="{reverse(DAY)}"' in admin_client.get(reverse("admin:index")).content.decode()


def test_a_conversation_that_one_may_not_open_is_not_linked(client: Client) -> None:
    me = a_manager()
    foreign, _people, _channel = an_assistant(owner=a_manager())
    secret = a_conversation(a_channel(owner=a_manager()))
    call = a_call(foreign, secret.channel, me, soon(minutes=5), conversation=secret)
    client.force_login(me)
    link = reverse("admin:conversations_conversation_change", args=(secret.pk,))
    day = call.starts_at.astimezone(ALMATY).date().isoformat()
    for address in (page(call), f"{reverse(DAY)}?date={day}"):
        html = client.get(address).content.decode()
        assert "Call" in html
        assert link not in html
    assert Conversation.objects.get(pk=secret.pk)


def test_a_day_costs_the_same_for_any_number_of_calls(world: Any, admin_user: Any) -> None:
    configured, (one, _two), channel = world

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            call_day.build(admin_user, at(24, 0).date(), ALMATY, at(24, 9))
        return len(queries)

    a_call(configured, channel, one, at(24, 10))
    first = cost()
    for hour in range(11, 17):
        a_call(configured, channel, one, at(24, hour))
    assert cost() == first


def test_the_zone_of_a_day_is_that_of_the_assistants(admin_user: Any, settings: Any) -> None:
    assert call_day.zone_of(admin_user).key == settings.TIME_ZONE
    an_assistant(time_zone="Europe/Moscow")
    assert call_day.zone_of(admin_user) == ZoneInfo("Europe/Moscow")
    Assistant.objects.create(name="Other", slug="other", time_zone="Asia/Omsk")
    assert call_day.zone_of(admin_user).key == settings.TIME_ZONE


def test_without_assistants_the_day_says_so(admin_client: Client) -> None:
    assert "No assistant has managers" in admin_client.get(reverse(DAY)).content.decode()
