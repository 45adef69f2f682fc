"""Writing unasked: by an approved template outside the reply window, and not faster than a fragile number may."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
from django.urls import reverse

from channels import directory
from channels.adapters.widget import WidgetAdapter
from channels.base import BLOCKED, Reachability
from channels.models import Channel, MessageTemplate, SendBudget
from conversations import reach
from conversations.models import Contact, Conversation, Message, Notice, Turn
from foundation.errors import Rejected
from sales import calls, follow_ups, proactive
from sales.models import Assistant, FollowUp, ScheduledCall, Touch, TouchTemplate
from tests.conftest import Broker, Company
from tests.sales.database_clock import Clock, clock, database_clock  # noqa: F401
from tests.sales.follow_up_world import ALMATY, MONDAY, World

pytestmark = pytest.mark.django_db(transaction=True)
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)


@pytest.fixture
def world(company: Company, broker: Broker, clock: Clock) -> World:  # noqa: F811
    clock.set(MONDAY)
    return World(company, broker, clock)


@pytest.fixture
def windowed(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A channel that takes only templates 24 hours after the customer's last message."""
    able = replace(WidgetAdapter.capabilities, reply_window=DAY, templates=True)
    monkeypatch.setattr(WidgetAdapter, "capabilities", able)
    directory.forget()
    return world


@pytest.fixture
def fragile(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A channel whose number must not write to too many people unasked."""
    monkeypatch.setattr(WidgetAdapter, "capabilities", replace(WidgetAdapter.capabilities, fragile=True))
    directory.forget()
    return world


def limit(**limits: int) -> Channel:
    channel = Channel.objects.get()
    channel.options = {"pacing": {"seconds_between": 0, **limits}}
    channel.save()
    directory.forget()
    return channel


def choose(purpose: str = "touch_1", language: str = "ru", **fields: Any) -> MessageTemplate:
    body = fields.pop("body", "Здравствуйте, {{1}}! Это {{2}}.")
    variables = [
        {"name": "1", "source": "contact_name", "default": "клиент"}, {"name": "2", "source": "assistant_name", "default": ""},
    ]  # fmt: skip
    given = {"name": "remind", "slug": f"remind-{purpose}-{language}", "provider_name": f"remind_{purpose}", **fields}
    template = MessageTemplate.objects.create(
        channel=Channel.objects.get(), kind="approved", provider_status="APPROVED", language=language, body=body,
        variables=variables, **given,
    )  # fmt: skip
    TouchTemplate.objects.create(assistant=Assistant.objects.get(), purpose=purpose, template=template)
    return template


# ── The reply window ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_outside_the_window_the_chosen_template_leaves_and_no_model_is_asked(
    windowed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sales.touches.compose", lambda *_a, **_k: pytest.fail("a model was asked"))
    windowed.silent()
    choose()
    assert windowed.make(1) == 1
    [message] = windowed.sent()
    assert message.text == "Здравствуйте, клиент! Это Aida."
    assert message.details["template"] == {"name": "remind_touch_1", "language": "ru", "values": ["клиент", "Aida"]}
    turn = Turn.objects.get(trigger="follow_up")
    assert (turn.stage, turn.model, turn.cost, turn.language) == ("done", "", 0, "ru")
    assert not Notice.objects.exists()


def test_within_the_window_the_assistant_writes_its_own_words(windowed: World, settings: Any) -> None:
    settings.FOLLOW_UP_INTERVALS = [3, 72, 168, 336, 720]
    windowed.silent()
    choose()
    assert windowed.make(1) == 1
    [message] = windowed.sent()
    assert not message.details
    assert message.valid_until is not None
    assert message.valid_until <= MONDAY + DAY


def test_own_words_never_leave_after_the_window_closed(windowed: World, settings: Any) -> None:
    settings.FOLLOW_UP_INTERVALS = [23.5, 72, 168, 336, 720]
    windowed.silent()
    windowed.to(1)
    assert follow_ups.fire() == 1
    windowed.broker.run(skip=("conversations.deliver",))
    windowed.broker.lose()
    windowed.clock.set(MONDAY + DAY + 5 * MINUTE)
    windowed.sweep()
    assert follow_ups.fire() == 0
    assert windowed.sent() == []
    assert windowed.touch(1).state == "planned"
    choose()
    windowed.make(1)
    assert [bool(message.details) for message in windowed.sent()] == [True]


def test_without_a_template_the_touch_waits_visibly_and_the_managers_are_told_once(
    windowed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sales.touches.compose", lambda *_a, **_k: pytest.fail("a model was asked"))
    windowed.silent()
    windowed.says("Здравствуйте!", visitor="visitor-2")
    windowed.clock.pass_by(20 * MINUTE)
    follow_ups.plan()
    windowed.clock.set(MONDAY + DAY + 2 * HOUR)
    assert follow_ups.fire() == 0
    first = Touch.objects.filter(number=1)
    assert set(first.values_list("state", "reason")) == {("planned", "template")}
    assert all(touch.planned_at > windowed.clock.now() for touch in first)
    notice = Notice.objects.get()
    assert Channel.objects.get().name in notice.text
    assert Turn.objects.filter(trigger="follow_up").count() == 0
    follow_ups.fire()
    assert Notice.objects.count() == 1


def test_the_list_of_follow_ups_shows_what_waits(windowed: World, admin_client: Client, settings: Any) -> None:
    settings.LANGUAGE_CODE = "en"
    windowed.silent()
    windowed.to(1)
    follow_ups.fire()
    page = admin_client.get(reverse("admin:sales_followup_changelist")).content.decode()
    assert "sd-cadence__touch--waits" in page
    assert "it needs an approved template" in page


def test_choosing_a_template_wakes_what_waits(windowed: World) -> None:
    windowed.silent()
    windowed.to(1)
    follow_ups.fire()
    assert Notice.objects.exists()
    choose()
    assert not Notice.objects.exists()
    assert follow_ups.fire() == 1
    windowed.broker.run()
    assert len(windowed.sent()) == 1
    assert windowed.touch(1).reason == ""


def test_a_template_that_the_provider_approves_later_wakes_as_well(windowed: World) -> None:
    template = choose()
    MessageTemplate.objects.filter(pk=template.pk).update(provider_status="PENDING")
    windowed.silent()
    windowed.to(1)
    assert follow_ups.fire() == 0
    template.refresh_from_db()
    template.provider_status = "APPROVED"
    template.save()
    assert follow_ups.fire() == 1


def test_a_waiting_touch_gives_way_to_the_next_and_is_skipped_after_a_week(windowed: World) -> None:
    windowed.silent()
    choose("touch_3")
    for _ in range(60):
        windowed.clock.pass_by(4 * HOUR)
        follow_ups.fire()
        windowed.broker.run()
    states = list(Touch.objects.order_by("number").values_list("state", flat=True))
    assert states == ["skipped", "skipped", "fired", "planned", "planned"]
    assert len(windowed.sent()) == 1
    windowed.clock.set(MONDAY + 45 * DAY)
    for _ in range(80):
        windowed.clock.pass_by(6 * HOUR)
        follow_ups.fire()
    follow_up = FollowUp.objects.get()
    assert follow_up.state == "completed"
    assert Touch.objects.get(number=5).reason == "template"
    follow_ups.fire()
    assert not Notice.objects.exists(), "nothing waits any more"


def test_the_customers_language_comes_first_and_a_missing_value_is_told(windowed: World) -> None:
    choose(language="ru")
    choose(language="kk", provider_name="remind_kk", body="Сәлеметсіз бе, {{1}}! Бұл {{2}}.")
    windowed.silent()
    Contact.objects.update(language="kk")
    windowed.make(1)
    assert windowed.sent()[0].text.startswith("Сәлеметсіз бе")
    template = MessageTemplate.objects.get(slug="remind-touch_1-kk")
    template.variables = []
    template.save()
    with pytest.raises(proactive.WaitsForTemplate, match="remind"):
        follow_ups.proactive_way(follow_ups.situation_of(FollowUp.objects.get().pk), windowed.touch(1))


def test_a_manager_who_sends_by_hand_is_told_at_once(windowed: World, admin_user: User) -> None:
    windowed.silent()
    windowed.clock.set(MONDAY + DAY + HOUR)
    touch = windowed.touch(1)
    with pytest.raises(follow_ups.Refused):
        follow_ups.send_now(touch.pk, admin_user)
    assert windowed.touch(1).state == "planned"
    choose()
    follow_ups.send_now(touch.pk, admin_user)
    windowed.broker.run()
    assert len(windowed.sent()) == 1


# ── Reminders of calls ───────────────────────────────────────────────────────────────────────────────────────────────


def a_call(world: World, at: Any) -> ScheduledCall:
    boss = User.objects.filter(is_superuser=True).first() or User.objects.create_superuser("boss", first_name="Marat")
    return ScheduledCall.objects.create(
        contact=Contact.objects.get(), conversation=Conversation.objects.get(), assistant=Assistant.objects.get(), manager=boss,
        starts_at=at, ends_at=at + 30 * MINUTE, phone="77010000000",
    )  # fmt: skip


def test_a_reminder_outside_the_window_goes_by_its_template(windowed: World) -> None:
    windowed.says("Здравствуйте!")
    call = a_call(windowed, MONDAY + 2 * DAY)
    windowed.clock.set(MONDAY + 2 * DAY - 30 * MINUTE)
    assert calls.remind_due() == 0
    call.refresh_from_db()
    assert call.reminded_at is None
    assert [notice.key.partition("-")[0] for notice in Notice.objects.all()] == ["reminder"]
    calls.remind_due()
    assert Notice.objects.count() == 1
    template = choose("call_reminder", body="Звонок: {{1}}. {{2}}")
    template.variables = [{"name": "1", "source": "call_time"}, {"name": "2", "source": "assistant_name"}]
    template.save()
    assert not Notice.objects.exists()
    assert calls.remind_due() == 1
    windowed.broker.run()
    message = Message.objects.filter(author="system").get()
    assert message.state == "sent"
    assert message.text.startswith("Звонок: среда")
    assert message.details["template"]["name"] == "remind_call_reminder"


def test_a_reminder_that_is_over_budget_waits_for_its_turn(fragile: World) -> None:
    fragile.says("Здравствуйте!")
    a_call(fragile, MONDAY + 2 * DAY)
    limit(per_hour=0)
    fragile.clock.set(MONDAY + 2 * DAY - 30 * MINUTE)
    assert calls.remind_due() == 0
    assert ScheduledCall.objects.get().reminded_at is None
    limit(per_hour=1)
    assert calls.remind_due() == 1


# ── Changes of calls ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def agreed(windowed: World) -> ScheduledCall:
    """A call in two days, of a customer who has been silent for longer than anything but a template may be sent."""
    windowed.says("Здравствуйте!")
    call = a_call(windowed, MONDAY + 3 * DAY)
    windowed.clock.set(MONDAY + DAY + HOUR)
    return call


def told(world: World) -> list[Message]:
    world.broker.run()
    return list(Message.objects.filter(author__in=("manager", "system")).order_by("seq"))


def of_call(purpose: str, body: str) -> MessageTemplate:
    template = choose(purpose, body=body)
    template.variables = [{"name": "1", "source": "call_time"}, {"name": "2", "source": "call_manager"}]
    template.save()
    return template


@pytest.mark.parametrize("change", ["call_moved", "call_reassigned", "call_cancelled"])
def test_a_change_outside_the_window_goes_by_its_template(agreed: ScheduledCall, windowed: World, change: str) -> None:
    of_call(change, "Звонок: {{1}}. Звонит {{2}}")
    make_change(agreed, change)
    [message] = told(windowed)
    assert (message.state, message.author, message.user) == ("sent", "manager", agreed.manager)
    assert message.text.startswith("Звонок: ") and message.details["template"]["name"] == f"remind_{change}"
    agreed.refresh_from_db()
    assert agreed.untold == "" and not Notice.objects.exists()


def make_change(call: ScheduledCall, change: str) -> None:
    boss = call.manager
    if change == "call_moved":
        calls.move(call.pk, call.starts_at + HOUR, user=boss)
    elif change == "call_reassigned":
        calls.reassign(call.pk, User.objects.create_user("second", first_name="Dana").pk, user=boss)
    else:
        assert calls.cancel(call.pk, user=boss)


@pytest.mark.parametrize("change", ["call_moved", "call_reassigned", "call_cancelled"])
def test_without_a_template_it_is_done_and_the_customer_told_once_one_is_chosen(
    agreed: ScheduledCall, windowed: World, change: str
) -> None:
    make_change(agreed, change)
    assert told(windowed) == [], "nothing that the channel would refuse is tried"
    agreed.refresh_from_db()
    assert (agreed.untold, agreed.status) == (change, "cancelled" if change == "call_cancelled" else "scheduled")
    [notice] = Notice.objects.all()
    assert notice.key == f"call-{Channel.objects.get().pk}" and Channel.objects.get().name in notice.text
    assert calls.tell_due() == 0 and Notice.objects.count() == 1
    of_call(change, "Звонок: {{1}}. Звонит {{2}}")
    assert not Notice.objects.exists()
    assert calls.tell_due() == 1 and calls.tell_due() == 0
    [message] = told(windowed)
    assert message.state == "sent" and message.details["template"]["name"] == f"remind_{change}"
    agreed.refresh_from_db()
    assert agreed.untold == ""


def test_a_customer_who_writes_is_told_in_our_own_words(agreed: ScheduledCall, windowed: World) -> None:
    make_change(agreed, "call_cancelled")
    windowed.says("Звонок в силе?")
    assert calls.tell_due() == 1
    [message] = told(windowed)
    assert "отмен" in message.text.lower() and not message.details
    assert not Notice.objects.exists(), "nothing waits any more"


def test_nobody_is_told_of_a_change_when_the_call_has_begun_or_they_are_unreachable(
    agreed: ScheduledCall, windowed: World
) -> None:
    make_change(agreed, "call_moved")
    of_call("call_moved", "Звонок: {{1}}. Звонит {{2}}")
    Conversation.objects.update(unreachable_since=windowed.clock.now())
    assert calls.tell_due() == 0
    Conversation.objects.update(unreachable_since=None)
    windowed.clock.set(agreed.starts_at + 2 * HOUR)
    assert calls.tell_due() == 0 and told(windowed) == []


def test_the_pages_and_the_api_say_what_the_customer_does_not_know(
    agreed: ScheduledCall, windowed: World, admin_client: Client, settings: Any
) -> None:
    settings.LANGUAGE_CODE = "en"
    do = reverse("admin:sales_scheduledcall_do", args=(agreed.pk,))
    page = reverse("admin:sales_scheduledcall_change", args=(agreed.pk,))
    assert "not told yet" not in admin_client.get(page).content.decode()
    shown = admin_client.post(do, {"do": "cancel"}, follow=True).content.decode()
    assert "only an approved template may be sent now" in shown
    assert "a manager has cancelled the call" in admin_client.get(page).content.decode()
    assert admin_client.get(f"/api/v1/scheduled-calls/{agreed.pk}/").json()["untold"] == "call_cancelled"


def test_within_the_window_a_change_is_told_in_our_own_words(windowed: World) -> None:
    windowed.says("Здравствуйте!")
    call = a_call(windowed, MONDAY + 2 * DAY)
    choose("call_moved")
    make_change(call, "call_moved")
    [message] = told(windowed)
    assert message.state == "sent" and not message.details


# ── Who is not reached ───────────────────────────────────────────────────────────────────────────────────────────────


def lost(world: World) -> None:
    identity = Conversation.objects.get().identity
    with transaction.atomic():
        assert reach.note(identity.channel_id, Reachability(identity.source_id, reachable=False))


def test_a_follow_up_ends_with_a_reason_of_its_own_and_none_begins(world: World) -> None:
    follow_up = world.silent()
    lost(world)
    follow_up.refresh_from_db()
    assert (follow_up.state, follow_up.stop_reason) == ("stopped", "unreachable")
    assert set(Touch.objects.values_list("state", flat=True)) == {"cancelled"}
    assert world.make(1) == 0 and world.sent() == []
    FollowUp.objects.all().delete()
    world.clock.set(MONDAY + HOUR)
    assert follow_ups.plan() == 0
    Conversation.objects.update(unreachable_since=None)
    assert follow_ups.plan() == 1


def test_a_touch_in_the_outbox_is_withdrawn(world: World) -> None:
    follow_up = world.silent()
    world.to(1)
    assert follow_ups.fire() == 1
    world.broker.run(skip=("conversations.deliver",))
    lost(world)
    world.broker.run()
    assert world.sent() == []
    assert Turn.objects.get(trigger="follow_up").reason == "unreachable"
    follow_up.refresh_from_db()
    assert follow_up.stop_reason == "unreachable"


def test_a_touch_that_is_refused_ends_it_and_the_next_message_begins_anew(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: Any) -> Any:
        raise Rejected("The customer has blocked the bot", code=BLOCKED)

    follow_up = world.silent()
    with monkeypatch.context() as patch:
        patch.setattr(WidgetAdapter, "send", refuse)
        directory.forget()
        world.make(1)
    directory.forget()
    assert Conversation.objects.get().unreachable_since is not None
    follow_ups.fire()
    follow_up.refresh_from_db()
    assert (follow_up.state, follow_up.stop_reason) == ("stopped", "unreachable")
    world.says("Я снова здесь")
    assert Conversation.objects.get().unreachable_since is None
    assert world.company.sent()[-1].state == "sent"


def test_a_manager_cannot_send_a_touch_and_no_reminder_is_tried(world: World, admin_user: User) -> None:
    world.silent()
    a_call(world, MONDAY + 2 * HOUR)
    Conversation.objects.update(unreachable_since=world.clock.now())
    with pytest.raises(follow_ups.Refused):
        follow_ups.send_now(world.touch(1).pk, admin_user)
    world.clock.set(MONDAY + 90 * MINUTE)
    assert calls.remind_due() == 0
    Conversation.objects.update(unreachable_since=None)
    assert calls.remind_due() == 1


# ── The pace of a fragile number ─────────────────────────────────────────────────────────────────────────────────────


def crowd(world: World, size: int) -> None:
    """So many customers of one afternoon, all silent since."""
    for n in range(size):
        world.says("Здравствуйте!", visitor=f"visitor-{n}")
    world.clock.pass_by(20 * MINUTE)
    assert follow_ups.plan() == size


def test_touches_over_budget_wait_and_none_is_dropped(fragile: World) -> None:
    limit(per_hour=2, same_text_per_day=100)
    crowd(fragile, 5)
    fragile.clock.set(MONDAY + DAY + HOUR)
    assert follow_ups.fire() == 2
    put_off = Touch.objects.filter(number=1, state="planned")
    assert set(put_off.values_list("reason", flat=True)) == {"pace"}
    for _ in range(8):
        fragile.clock.pass_by(30 * MINUTE)
        follow_ups.fire()
        fragile.broker.run()
    assert set(Touch.objects.filter(number=1).values_list("state", flat=True)) == {"fired"}
    assert Message.objects.filter(cycle__isnull=False, state="sent").count() == 5
    assert max(SendBudget.objects.filter(kind="proactive").values_list("count", flat=True)) == 2


def test_the_same_words_wait_for_another_day(fragile: World) -> None:
    limit(per_hour=100, same_text_per_day=1)
    crowd(fragile, 2)
    fragile.clock.set(MONDAY + DAY + HOUR)
    assert follow_ups.fire() == 2
    fragile.broker.run()
    assert Message.objects.filter(cycle__isnull=False, state="sent").count() == 1
    waiting = Touch.objects.get(number=1, state="planned")
    assert waiting.reason == "pace"
    assert waiting.planned_at.astimezone(ALMATY).date() == (MONDAY + 2 * DAY).date()
    fragile.clock.set(waiting.planned_at + MINUTE)
    follow_ups.fire()
    fragile.broker.run()
    assert Message.objects.filter(cycle__isnull=False, state="sent").count() == 2


def test_who_waits_for_an_answer_waits_for_no_budget(fragile: World) -> None:
    limit(per_hour=0, same_text_per_day=0, new_contacts_per_day=0, night_sends_per_day=0)
    fragile.clock.set(MONDAY.replace(hour=23))
    fragile.says("Здравствуйте!")
    assert [message.state for message in fragile.company.sent()] == ["sent"]
    assert not SendBudget.objects.exists()


def test_what_a_person_sends_by_hand_is_only_counted(fragile: World, admin_user: User) -> None:
    limit(per_hour=0, same_text_per_day=0)
    fragile.silent()
    follow_ups.send_now(fragile.touch(1).pk, admin_user)
    fragile.broker.run()
    assert len(fragile.sent()) == 1
    assert set(SendBudget.objects.values_list("kind", "count")) == {("proactive", 1), ("same_text", 1)}


def test_a_touch_that_was_not_made_is_not_counted(fragile: World, monkeypatch: pytest.MonkeyPatch) -> None:
    limit(per_hour=5)
    fragile.silent()
    fragile.to(1)
    monkeypatch.setattr("conversations.turns.open_proactive", lambda *_args: None)
    assert follow_ups.fire() == 0
    assert fragile.touch(1).reason == "busy"
    assert not SendBudget.objects.exists()
