"""Follow-ups: who is followed up, when, in which words, and everything that stops it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections
from django.utils import timezone

from channels import directory
from channels.adapters.widget import WidgetAdapter
from channels.models import Channel, NumberRule
from conversations import outbox, takeover, turns, verdicts
from conversations.models import Contact, Conversation, Message, Turn
from conversations.receive import receive
from conversations.tasks import sweep
from foundation import db
from foundation.crypto import blind_index
from foundation.errors import Rejected, Retry
from sales import follow_ups, touches, truth
from sales.follow_up_plan import times
from sales.guard import Claim
from sales.models import Assistant, FollowUp, ScheduledCall, Touch
from sales.sending_hours import SendingHours
from tests.conftest import Broker, Company
from tests.sales.database_clock import Clock, clock, database_clock  # noqa: F401
from tests.sales.follow_up_world import ALMATY, MONDAY, World

pytestmark = pytest.mark.django_db(transaction=True)
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)


@pytest.fixture
def world(company: Company, broker: Broker, clock: Clock) -> World:  # noqa: F811
    clock.set(MONDAY)
    return World(company, broker, clock)


def local(at: datetime, zone: ZoneInfo = ALMATY) -> str:
    return at.astimezone(zone).strftime("%a %d.%m %H:%M")


def states(follow_up: FollowUp) -> list[str]:
    return list(follow_up.touches.order_by("number").values_list("state", flat=True))


def ended(follow_up: FollowUp) -> tuple[str, str]:
    follow_up.refresh_from_db()
    return follow_up.state, follow_up.stop_reason


# ── The clock of the tests ───────────────────────────────────────────────────────────────────────────────────────────


def test_the_database_is_where_the_clock_says(world: World) -> None:
    world.clock.set(MONDAY)
    assert abs(db.now() - MONDAY) < MINUTE
    assert abs(timezone.now() - MONDAY) < MINUTE
    world.company.says("Здравствуйте!", at=MONDAY)
    world.broker.run()
    assert all(abs(m.created_at - MONDAY) < MINUTE for m in Message.objects.all())
    [turn] = world.company.turns()
    assert all(entry["at"].startswith("2027-06-07") for entry in turn.timeline)


# ── Planning ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_five_touches_are_planned_from_our_unanswered_message(world: World) -> None:
    follow_up = world.silent()
    answer = world.company.sent()[0]
    assert (follow_up.cause, follow_up.state, follow_up.cycle, follow_up.anchor_at) == ("silence", "active", 1, answer.sent_at)
    planned = list(follow_up.touches.order_by("number"))
    assert [touch.due_at - follow_up.anchor_at for touch in planned] == [timedelta(hours=h) for h in (24, 72, 168, 336, 720)]
    assert [local(touch.planned_at)[:9] for touch in planned] == ["Tue 08.06", "Thu 10.06", "Mon 14.06", "Mon 21.06", "Wed 07.07"]
    assert [touch.planned_at for touch in planned] == [touch.due_at for touch in planned]


def test_a_vague_answer_is_a_cause_of_its_own(world: World) -> None:
    assert world.silent("Спасибо, я подумаю").cause == FollowUp.Cause.VAGUE


def test_nobody_is_followed_up_twice_for_one_silence(world: World) -> None:
    world.silent()
    assert follow_ups.plan() == 0
    world.clock.pass_by(DAY)
    assert follow_ups.plan() == 0


def test_silence_begins_after_a_quarter_of_an_hour_and_counts_for_a_week(world: World) -> None:
    world.says("Здравствуйте!")
    world.clock.pass_by(14 * MINUTE)
    assert follow_ups.plan() == 0
    world.clock.pass_by(7 * DAY)
    assert follow_ups.plan() == 0
    world.clock.set(MONDAY + 6 * DAY)
    assert follow_ups.plan() == 1


def _a_call(world: World) -> None:
    boss = User.objects.create_superuser("boss")
    start = world.clock.now() + 2 * DAY
    ScheduledCall.objects.create(
        contact=Contact.objects.get(), assistant=Assistant.objects.get(), manager=boss, starts_at=start,
        ends_at=start + HOUR, phone="77010000000",
    )  # fmt: skip


def _blocked(world: World, rule: str = "blocked") -> None:
    Contact.objects.update(phone="77010000000", phone_index=blind_index("77010000000", "phone"))
    NumberRule.objects.create(rule=rule, phone="77010000000" if rule != "allowed" else "77019999999", phone_index=blind_index(
        "77010000000" if rule != "allowed" else "77019999999", "phone"))  # fmt: skip


UNFIT: dict[str, Callable[[World], Any]] = {
    "led by a manager": lambda _: takeover.take_over(Conversation.objects.get().pk),
    "closed": lambda _: takeover.close(Conversation.objects.get().pk),
    "opted out": lambda _: follow_ups.opt_out(Contact.objects.get().pk),
    "not a client": lambda _: verdicts.decide(Contact.objects.get().pk, False, user=None),
    "unsure on a moderated channel": lambda _: Channel.objects.update(moderation=True),
    "switched off for the assistant": lambda _: Assistant.objects.update(follow_ups=False),
    "channel disabled": lambda _: Channel.objects.update(enabled=False),
    "channel stopped": lambda _: Channel.objects.update(running=False),
    "needs attention": lambda _: turns.call_manager(Conversation.objects.get().pk, "why"),
    "call agreed": _a_call,
    "blocked number": _blocked,
    "excluded number": lambda world: _blocked(world, "excluded"),
    "number not allowed": lambda world: _blocked(world, "allowed"),
    "agreed": lambda _: Turn.objects.update(commitment="yes"),
    "declined": lambda _: Turn.objects.update(commitment="no"),
    "asked for a person": lambda _: Turn.objects.update(intent="handoff"),
    "complained": lambda _: Turn.objects.update(intent="complaint"),
    "asked for silence": lambda _: Turn.objects.update(intent="opt_out"),
    "not delivered": lambda _: Message.objects.filter(direction="out").update(state="failed"),
    "unconfirmed": lambda _: Message.objects.filter(direction="out").update(state="unconfirmed"),
    "last word of a manager": lambda _: Message.objects.filter(direction="out").update(author="manager"),
    "never written": lambda _: Conversation.objects.update(cycle=0),
    "working on an answer": lambda _: Turn.objects.update(stage="answer"),
}


@pytest.mark.parametrize("why", UNFIT)
def test_who_is_not_followed_up(world: World, why: str) -> None:
    world.says("Здравствуйте!")
    UNFIT[why](world)
    world.clock.pass_by(HOUR)
    assert follow_ups.plan() == 0


def test_thanks_alone_are_silence(world: World) -> None:
    world.says("Здравствуйте!")
    Turn.objects.update(intent="thanks")
    world.clock.pass_by(HOUR)
    assert follow_ups.plan() == 1


def test_a_client_of_a_moderated_channel_is_followed_up(world: World) -> None:
    world.says("Здравствуйте!")
    Channel.objects.update(moderation=True)
    Contact.objects.update(is_client=True)
    world.clock.pass_by(HOUR)
    assert follow_ups.plan() == 1


def test_follow_ups_can_be_switched_off_for_all(world: World, settings: Any) -> None:
    settings.ENABLE_FOLLOW_UPS = False
    world.says("Здравствуйте!")
    world.clock.pass_by(HOUR)
    assert follow_ups.plan() == 0


def test_two_planners_plan_once(world: World) -> None:
    world.says("Здравствуйте!")
    world.clock.pass_by(HOUR)
    assert sum(at_once(follow_ups.plan, follow_ups.plan)) == 1
    assert Touch.objects.count() == 5


def test_a_fault_in_one_conversation_does_not_keep_the_others(world: World) -> None:
    world.says("Здравствуйте!", visitor="one")
    world.says("Здравствуйте!", visitor="two")
    Contact.objects.filter(pk=Contact.objects.earliest("pk").pk).update(time_zone="Mars/Olympus")
    world.clock.pass_by(HOUR)
    assert follow_ups.plan() == 1


# ── Hours ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def hours(**fields: Any) -> SendingHours:
    return SendingHours(Assistant(**fields), "")


def test_times_outside_of_hours_are_moved_with_a_spread() -> None:
    open_at = hours().opening(MONDAY.replace(hour=23), key=0)
    assert local(open_at) == "Tue 08.06 10:00"
    spread = {hours().opening(MONDAY.replace(hour=23), key=n) - open_at for n in range(500)}
    assert len(spread) > 400
    assert max(spread) < 20 * MINUTE
    assert hours().opening(MONDAY, key=7) == MONDAY


def test_the_spread_stays_inside_short_hours() -> None:
    short = hours(hours={"mon": ["10:00", "10:05"]})
    moved = [short.opening(MONDAY, key=n) for n in range(100)]
    assert all(short.is_open(at) for at in moved)


def test_the_clock_on_the_wall_of_the_customer_counts(world: World) -> None:
    world.clock.set(MONDAY)
    world.says("Здравствуйте!")
    Contact.objects.update(time_zone="America/New_York")
    world.clock.pass_by(HOUR)
    follow_ups.plan()
    # Noon in Almaty is three in the morning in New York.
    assert local(world.touch(1).planned_at, ZoneInfo("America/New_York")).startswith("Tue 08.06 10:")


def test_closing_time() -> None:
    assert hours().closing(MONDAY + timedelta(seconds=30)) == MONDAY.replace(hour=18)
    assert hours(hours={"mon": ["00:00", "23:59"]}).closing(MONDAY) == MONDAY.replace(hour=23, minute=59)
    with pytest.raises(ValueError, match="Nothing may be sent"):
        hours().closing(MONDAY.replace(hour=9))


def test_without_any_hours_touches_wait_and_are_not_lost(world: World) -> None:
    assistant = Assistant.objects.get()
    assistant.hours = {}
    assistant.save()
    follow_up = world.silent()
    assert world.make(1) == 0
    assert states(follow_up) == ["planned"] * 5
    assistant.hours = {"fri": ["10:00", "18:00"]}
    assistant.save()
    world.clock.set(MONDAY + 4 * DAY + HOUR)
    assert follow_ups.fire() == 1


def test_touches_pushed_together_by_a_holiday_keep_a_day_between_them() -> None:
    # From the 20th to the 24th of March 2027 nobody works: Nauryz, and its Sunday made good on Wednesday.
    planned = list(times(datetime(2027, 3, 18, 17, 59, tzinfo=ALMATY), [24, 72, 96, 336], hours(), 1))
    moments = [at.planned for at in planned]
    assert [local(at)[:9] for at in moments] == ["Fri 19.03", "Thu 25.03", "Fri 26.03", "Thu 01.04"]
    assert all(hours().is_open(at) for at in moments)


def test_nothing_is_sent_on_a_day_off_that_is_declared_later(world: World) -> None:
    follow_up = world.silent()
    assistant = Assistant.objects.get()
    assistant.hours = {day: ["10:00", "18:00"] for day in ("wed", "thu", "fri")}
    assistant.save()
    assert world.make(1) == 0
    assert world.touch(1).reason == Touch.Reason.HOURS
    assert local(world.touch(1).planned_at).startswith("Wed 09.06 10:")
    assert world.make(1) == 1
    assert states(follow_up)[0] == "fired"


# ── The whole road ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_five_touches_leave_one_after_the_other_and_end(world: World) -> None:
    follow_up = world.silent()
    for number in range(1, 6):
        assert world.make(number) == 1
        assert follow_ups.fire() == 0
    assert ended(follow_up) == ("completed", "completed_5_touches")
    assert states(follow_up) == ["fired"] * 5
    assert len({m.text for m in world.sent()}) == 5
    assert all("Demo" in m.text for m in world.sent())
    assert [t.touch.number for t in Turn.objects.filter(trigger="follow_up", stage="done").order_by("id")] == [1, 2, 3, 4, 5]
    world.clock.pass_by(DAY)
    assert follow_ups.plan() == 0


@pytest.mark.parametrize(("language", "word"), [("ru", "Demo"), ("kk", "Demo"), ("en", "Hello")])
def test_touches_speak_the_language_of_the_customer(language: str, word: str) -> None:
    for number in range(1, 6):
        facts = {"language": language, "company": "Demo", "assistant": "Aida", "number": number, "last": number == 5}
        text = touches.touch_offline(facts)
        assert text["language"] == language
        assert word in text["reply"]


def test_a_cadence_of_three_ends_with_a_farewell(world: World, settings: Any) -> None:
    settings.FOLLOW_UP_INTERVALS = [24, 72, 168]
    follow_up = world.silent()
    for number in (1, 2, 3):
        world.make(number)
    assert ended(follow_up) == ("completed", "completed_5_touches")
    assert len({m.text for m in world.sent()}) == 3


def test_a_month_later_the_model_is_still_told_what_it_is_about(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    original = truth.complete

    def complete(request: Any, **kwargs: Any) -> Any:
        asked.append(request)
        return original(request, **kwargs)

    monkeypatch.setattr(truth, "complete", complete)
    world.silent("Спасибо, я подумаю о кофемашине")
    for number in range(1, 6):
        world.make(number)
    request = asked[-1]
    assert request.purpose == "follow_up"
    prompt = request.messages[0].text
    assert "я подумаю о кофемашине" in prompt
    assert "касание 5 из 5" in prompt
    assert "Прощание" in prompt
    assert "30 дн." in prompt
    assert "неопределённо" in prompt


def test_the_next_silence_is_followed_up_anew(world: World) -> None:
    first = world.silent()
    world.make(1)
    world.clock.pass_by(HOUR)
    world.says("Здравствуйте!")
    assert ended(first) == ("stopped", "client_responded")
    world.clock.pass_by(HOUR)
    assert follow_ups.plan() == 1
    second = FollowUp.objects.latest("id")
    assert (second.pk != first.pk, second.cycle) == (True, 2)


# ── Replies ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_reply_cancels_what_is_planned_in_its_own_commit(world: World) -> None:
    follow_up = world.silent()
    world.company.says("Здравствуйте!", at=world.clock.now())
    world.broker.run_one("conversations.receive")
    assert ended(follow_up) == ("stopped", "client_responded")
    assert states(follow_up) == ["cancelled"] * 5


@pytest.mark.parametrize(
    ("commitment", "intent", "reason"),
    [
        ("yes", "other", "client_said_yes"), ("no", "other", "client_said_no"), ("vague", "other", "client_responded"),
        ("none", "opt_out", "opted_out"), ("none", "question", "client_responded"),
    ],
)  # fmt: skip
def test_what_the_reply_said_is_the_reason(world: World, commitment: str, intent: str, reason: str) -> None:
    follow_up = world.silent()
    for text in ("Здравствуйте!", "ещё"):
        world.company.says(text, at=world.clock.now())
        world.broker.run_one("conversations.receive")
    follow_ups.note_answer(follow_up.conversation_id, commitment, intent)
    assert ended(follow_up)[1] == reason


def test_a_later_message_does_not_rewrite_the_reason(world: World) -> None:
    follow_up = world.silent()
    world.says("Здравствуйте!")
    world.says("Здравствуйте!")
    follow_ups.note_answer(follow_up.conversation_id, "no", "other")
    assert ended(follow_up)[1] == "client_responded"


def test_the_agent_tells_what_the_reply_said(world: World) -> None:
    follow_up = world.silent()
    world.says("Нет, не интересно")
    assert ended(follow_up) == ("stopped", "client_said_no")
    world.clock.pass_by(HOUR)
    assert follow_ups.plan() == 0


def stages(world: World) -> dict[str, Callable[[], None]]:
    """The road of a touch up to the outbox's claim, cut where something may come between."""
    return {
        "planned": lambda: None,
        "made": lambda: _made(world),
        "queued": lambda: (_made(world), world.broker.run_one("sales.touch")),  # type: ignore[dict-item]
    }


def _made(world: World) -> None:
    assert follow_ups.fire() == 1


def _writes(world: World) -> None:
    world.company.says("Здравствуйте!", at=world.clock.now())
    world.broker.run_one("conversations.receive")


COMES_BETWEEN: dict[str, tuple[Callable[[World], Any], str]] = {
    "reply": (_writes, "client_responded"),
    "takeover": (lambda _: takeover.take_over(Conversation.objects.get().pk), "manager"),
    "closing": (lambda _: takeover.close(Conversation.objects.get().pk), "manager"),
    "opt-out": (lambda _: follow_ups.opt_out(Contact.objects.get().pk), "opted_out"),
    "stop by hand": (lambda _: follow_ups.stop(FollowUp.objects.get().pk, User.objects.create(username="m")), "by_hand"),
}


@pytest.mark.parametrize("number", [1, 5])
@pytest.mark.parametrize("stage", ["planned", "made", "queued"])
@pytest.mark.parametrize("what", COMES_BETWEEN)
def test_nothing_leaves_after_a_stop(world: World, what: str, stage: str, number: int) -> None:
    follow_up = world.silent()
    Touch.objects.filter(number__lt=number).update(state="skipped", reason="by_hand")
    world.to(number)
    stages(world)[stage]()
    act, reason = COMES_BETWEEN[what]
    act(world)
    world.broker.run()
    follow_ups.fire()
    world.sweep()
    assert world.sent() == []
    assert ended(follow_up) == ("stopped", reason)
    assert set(states(follow_up)[number - 1 :]) == {"cancelled"}


@pytest.mark.parametrize("what", COMES_BETWEEN)
def test_nothing_leaves_after_a_stop_while_it_is_composed(
    world: World, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow_up = world.silent()
    act, reason = COMES_BETWEEN[what]
    original = truth.complete
    once = iter([True])

    def complete(*args: Any, **kwargs: Any) -> Any:
        if args[0].purpose == "follow_up" and next(once, False):
            act(world)
        return original(*args, **kwargs)

    monkeypatch.setattr(truth, "complete", complete)
    world.make(1)
    assert world.sent() == []
    assert ended(follow_up) == ("stopped", reason)


def test_what_was_claimed_before_the_reply_may_land_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    follow_up = world.silent()
    original = WidgetAdapter.send
    once = iter([True])

    def send(self: Any, message: Any) -> Any:
        if next(once, False):
            _writes(world)
        return original(self, message)

    monkeypatch.setattr(WidgetAdapter, "send", send)
    directory.forget()
    world.make(1)
    assert len(world.sent()) == 1
    assert ended(follow_up) == ("stopped", "client_responded")
    assert states(follow_up) == ["fired", *["cancelled"] * 4]
    assert Message.objects.filter(direction="out", cycle=None).count() == 2, "the reply is answered"


@pytest.mark.parametrize("number", [1, 5])
@pytest.mark.parametrize("what", COMES_BETWEEN)
def test_what_a_provider_puts_off_is_not_tried_again_after_a_stop(
    world: World, what: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow_up = world.silent()
    Touch.objects.filter(number__lt=number).update(state="skipped", reason="by_hand")
    act, reason = COMES_BETWEEN[what]
    original = WidgetAdapter.send
    once = iter([True])

    def send(self: Any, message: Any) -> Any:
        if next(once, False):
            act(world)
            raise Retry("busy", after=1)
        return original(self, message)

    monkeypatch.setattr(WidgetAdapter, "send", send)
    directory.forget()
    world.make(number)
    for _ in range(3):
        world.sweep()
        follow_ups.fire()
    assert world.sent() == []
    assert ended(follow_up) == ("stopped", reason)
    assert "planned" not in states(follow_up)
    assert not Turn.objects.filter(stage__in=Turn.OPEN).exists()
    assert not Message.objects.filter(state__in=("queued", "sending")).exists()


def test_opting_out_stops_every_conversation_of_the_contact(world: World) -> None:
    world.silent()
    contact = Contact.objects.get()
    world.says("Здравствуйте!", visitor="two")
    Conversation.objects.update(contact=contact)
    world.clock.pass_by(HOUR)
    assert follow_ups.plan() == 1
    follow_ups.opt_out(contact.pk)
    assert set(FollowUp.objects.values_list("stop_reason", flat=True)) == {"opted_out"}
    contact.refresh_from_db()
    assert contact.opted_out_at is not None


def test_the_customer_opts_out_in_words(world: World) -> None:
    follow_up = world.silent()
    world.says("Не пишите мне больше")
    assert ended(follow_up) == ("stopped", "opted_out")
    world.clock.pass_by(HOUR)
    assert follow_ups.plan() == 0


# ── What is looked at again when a touch is due ──────────────────────────────────────────────────────────────────────

DUE: dict[str, tuple[Callable[[World], Any], str]] = {
    "not a client": (lambda _: verdicts.decide(Contact.objects.get().pk, False, user=None), "not_client"),
    "blocked": (_blocked, "not_client"),
    "opted out in the admin": (lambda world: Contact.objects.update(opted_out_at=world.clock.now()), "opted_out"),
    "call agreed by hand": (_a_call, "client_said_yes"),
    "switched off": (lambda _: Assistant.objects.get().bots.all().delete(), "switched_off"),
}


@pytest.mark.parametrize("what", DUE)
@pytest.mark.parametrize("stage", ["planned", "made"])
def test_everything_is_looked_at_again(world: World, what: str, stage: str) -> None:
    follow_up = world.silent()
    world.to(1)
    stages(world)[stage]()
    act, reason = DUE[what]
    act(world)
    follow_ups.fire()
    world.broker.run()
    follow_ups.fire()
    assert world.sent() == []
    if what == "switched off" and stage == "made":
        reason = "undeliverable"  # The turn finds no assistant, and fails.
    assert ended(follow_up) == ("stopped", reason)


def test_the_switch_for_all_stops_what_is_due(world: World, settings: Any) -> None:
    follow_up = world.silent()
    settings.ENABLE_FOLLOW_UPS = False
    assert world.make(1) == 0
    assert ended(follow_up) == ("stopped", "switched_off")


def test_a_stopped_channel_only_delays(world: World) -> None:
    follow_up = world.silent()
    channel = Channel.objects.get()
    channel.running = False
    channel.save()
    assert world.make(1) == 0
    assert ended(follow_up)[0] == "active"
    channel.running = True
    channel.save()
    assert world.make(1) == 1
    assert len(world.sent()) == 1


def test_an_open_turn_delays_by_minutes(world: World) -> None:
    world.silent()
    world.to(1)
    conversation = Conversation.objects.get()
    other = turns.open_proactive(conversation.pk, Turn.Trigger.MANUAL)
    assert follow_ups.fire() == 0
    touch = world.touch(1)
    assert (touch.state, touch.reason) == ("planned", "busy")
    turns.end(other.id, Turn.Stage.DONE)
    world.broker.lose()
    assert world.make(1) == 1
    assert len(world.sent()) == 1


# ── Schedulers, outages, clocks ──────────────────────────────────────────────────────────────────────────────────────


def at_once(*functions: Callable[[], Any]) -> list[Any]:
    """Run functions in threads that start together. Returns what they returned."""
    barrier = threading.Barrier(len(functions))
    results: list[Any] = [None] * len(functions)

    def run(n: int, function: Callable[[], Any]) -> None:
        barrier.wait()
        try:
            results[n] = function()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(n, function)) for n, function in enumerate(functions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_two_schedulers_make_a_touch_once(world: World) -> None:
    for visitor in range(12):
        world.says("Здравствуйте!", visitor=f"v{visitor}")
    world.clock.pass_by(HOUR)
    assert follow_ups.plan() == 12
    world.clock.pass_by(DAY)
    assert sum(at_once(follow_ups.fire, follow_ups.fire, follow_ups.fire)) <= 12
    follow_ups.fire()
    world.broker.run()
    assert Touch.objects.filter(state="fired").count() == 12
    assert len(world.sent()) == 12


def test_a_reply_in_the_moment_of_the_claim_lets_no_touch_out(world: World) -> None:
    visitors = [f"v{number}" for number in range(16)]
    for visitor in visitors:
        world.says("Здравствуйте!", visitor=visitor)
    world.clock.pass_by(HOUR)
    assert follow_ups.plan() == len(visitors)
    world.clock.pass_by(DAY)
    replies = [world.company.says("Сколько стоит доставка?", visitor=visitor, at=world.clock.now())[0] for visitor in visitors]

    def reply() -> None:
        # From the other end, so that the two meet in the middle: some replies come before the claim, some after it.
        for event in reversed(replies):
            receive(event)

    at_once(follow_ups.fire, reply)
    world.broker.run()
    follow_ups.fire()
    world.sweep()
    assert world.sent() == []
    assert FollowUp.objects.filter(state="stopped", stop_reason="client_responded").count() == len(visitors)
    assert Turn.objects.filter(trigger="inbound", stage="done").count() == 2 * len(visitors), "every reply is answered"


def test_a_conversation_that_is_locked_is_left_to_the_next_run(world: World) -> None:
    world.silent()
    world.to(1)
    locked, done = threading.Event(), threading.Event()

    def hold() -> None:
        from django.db import transaction

        with transaction.atomic():
            outbox.lock(Conversation.objects.get().pk)
            locked.set()
            done.wait(10)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    locked.wait(10)
    assert follow_ups.fire() == 0
    done.set()
    thread.join()
    assert follow_ups.fire() == 1


def test_a_month_of_outage_costs_one_message(world: World) -> None:
    follow_up = world.silent()
    world.clock.set(MONDAY + 31 * DAY + HOUR)
    assert follow_ups.fire() == 1
    world.broker.run()
    assert len(world.sent()) == 1
    assert states(follow_up) == ["skipped"] * 4 + ["fired"]
    assert list(follow_up.touches.filter(state="skipped").values_list("reason", flat=True)) == ["outage"] * 4
    assert ended(follow_up) == ("completed", "completed_5_touches")


def test_after_an_outage_the_next_touch_keeps_its_distance(world: World) -> None:
    world.silent()
    world.clock.set(MONDAY + 3 * DAY - HOUR)
    assert follow_ups.fire() == 1
    world.broker.run()
    assert world.touch(2).planned_at - world.clock.now() > DAY - MINUTE


def test_a_scheduler_that_dies_leaves_nothing_behind(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    follow_up = world.silent()
    original = turns.open_proactive

    def die(*args: Any) -> Any:
        original(*args)
        raise SystemExit

    world.to(1)
    with monkeypatch.context() as patched:
        patched.setattr(turns, "open_proactive", die)
        with pytest.raises(SystemExit):
            follow_ups.fire()
    assert states(follow_up)[0] == "planned"
    assert Turn.objects.filter(trigger="follow_up").count() == 0
    assert world.make(1) == 1


def test_a_fault_in_one_touch_does_not_keep_the_others(world: World) -> None:
    world.says("Здравствуйте!", visitor="one")
    world.says("Здравствуйте!", visitor="two")
    world.clock.pass_by(HOUR)
    assert follow_ups.plan() == 2
    Contact.objects.filter(pk=Contact.objects.earliest("pk").pk).update(time_zone="Mars/Olympus")
    world.clock.pass_by(DAY)
    assert follow_ups.fire() == 1
    assert Touch.objects.filter(state="planned", planned_at__lte=world.clock.now()).count() == 0


@pytest.mark.parametrize("apart", [timedelta(hours=-2), timedelta(hours=2), timedelta(days=40)])
def test_a_workers_own_clock_does_not_matter(world: World, apart: timedelta) -> None:
    follow_up = world.silent()
    touch = world.touch(1)
    world.clock.apart = apart
    world.clock.set(touch.planned_at - MINUTE)
    assert follow_ups.fire() == 0
    world.clock.set(touch.planned_at + MINUTE)
    assert follow_ups.fire() == 1
    world.broker.run()
    assert states(follow_up)[0] == "fired"
    [message] = world.sent()
    assert message.valid_until == MONDAY.replace(day=8, hour=18)


@pytest.mark.parametrize("lost_after", [0, 1])
def test_a_flushed_broker_costs_only_time(world: World, lost_after: int) -> None:
    world.silent()
    world.to(1)
    follow_ups.fire()
    for _ in range(lost_after):
        world.broker.run_one()
    world.broker.lose()
    world.sweep()
    assert len(world.sent()) == 1


def test_a_worker_that_died_while_composing_is_replaced(world: World) -> None:
    world.silent()
    world.to(1)
    follow_ups.fire()
    assert turns.claim(Turn.objects.latest("id").pk, "answer") is not None
    world.broker.run()
    assert world.sent() == []
    world.sweep()
    assert len(world.sent()) == 1


# ── Late at night ────────────────────────────────────────────────────────────────────────────────────────────────────


def evening(world: World) -> FollowUp:
    """A touch that is due a minute before closing time."""
    follow_up = world.silent(at=MONDAY.replace(hour=17, minute=59))
    assert local(world.touch(1).planned_at) == "Tue 08.06 17:59"
    return follow_up


def test_what_is_composed_too_late_is_planned_for_the_morning(world: World) -> None:
    follow_up = evening(world)
    world.to(1)
    assert follow_ups.fire() == 1
    world.clock.pass_by(5 * MINUTE)
    world.broker.run()
    assert world.sent() == []
    touch = world.touch(1)
    assert (touch.state, touch.reason, touch.turn) == ("planned", "hours", None)
    assert local(touch.planned_at).startswith("Wed 09.06 10:")
    assert Turn.objects.latest("id").reason == Turn.Reason.LATE
    assert world.make(1) == 1
    assert len(world.sent()) == 1
    assert ended(follow_up)[0] == "active"


@pytest.mark.parametrize("number", [1, 5])
def test_what_could_not_leave_by_closing_time_is_planned_for_the_morning(world: World, number: int) -> None:
    follow_up = evening(world)
    Touch.objects.filter(number__lt=number).update(state="skipped", reason="by_hand")
    if number == 5:
        Touch.objects.filter(number=5).update(planned_at=MONDAY.replace(day=8, hour=17, minute=59))
    world.to(number)
    follow_ups.fire()
    world.broker.run_one("sales.touch")
    world.broker.lose()
    world.clock.pass_by(5 * MINUTE)
    assert outbox.deliver(Conversation.objects.get().pk) == 0
    sweep()
    assert world.sent() == []
    follow_ups.fire()
    touch = world.touch(number)
    assert (touch.state, touch.reason) == ("planned", "hours")
    assert local(touch.planned_at).startswith("Wed 09.06 10:")
    assert ended(follow_up)[0] == "active"
    assert world.make(number) == 1
    assert len(world.sent()) == 1


def test_a_provider_that_is_away_until_night_does_not_wake_anybody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    evening(world)

    def away(self: Any, message: Any) -> Any:
        raise Retry("busy", after=120)

    with monkeypatch.context() as patched:
        patched.setattr(WidgetAdapter, "send", away)
        directory.forget()
        world.make(1)
    directory.forget()
    for _ in range(6):
        world.sweep(after=5 * MINUTE)
    assert world.sent() == []
    world.clock.set(MONDAY.replace(day=9, hour=11))
    assert follow_ups.fire() == 1
    world.broker.run()
    assert len(world.sent()) == 1


def test_a_reply_during_the_night_cancels_what_was_put_off(world: World) -> None:
    follow_up = evening(world)
    world.to(1)
    follow_ups.fire()
    world.clock.pass_by(5 * MINUTE)
    _writes(world)
    world.broker.run()
    follow_ups.fire()
    assert ended(follow_up) == ("stopped", "client_responded")
    assert set(states(follow_up)) == {"cancelled"}


# ── What cannot be sent ──────────────────────────────────────────────────────────────────────────────────────────────


def test_what_the_provider_refuses_ends_the_follow_up_and_calls_a_manager(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow_up = world.silent()

    def refuse(self: Any, message: Any) -> Any:
        raise Rejected("blocked by the user")

    monkeypatch.setattr(WidgetAdapter, "send", refuse)
    directory.forget()
    world.make(1)
    follow_ups.fire()
    assert ended(follow_up) == ("stopped", "undeliverable")
    assert Conversation.objects.get().needs_attention


class Unprovable:
    """Lets the guard refuse the words of touches for so many attempts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
        original = truth.untraceable
        self.left = times

        def untraceable(reply: str, sources: Any, *, today: Any) -> list[Claim]:
            if self.left:
                self.left -= 1
                return [Claim("percent", "40", "40 %")]
            return original(reply, sources, today=today)

        monkeypatch.setattr(truth, "untraceable", untraceable)


def test_words_that_no_source_confirms_are_tried_again_the_next_day(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    follow_up = world.silent()
    Unprovable(monkeypatch, 2)
    assert world.make(1) == 1
    assert world.sent() == []
    assert (Turn.objects.latest("id").stage, Turn.objects.latest("id").reason) == ("ignored", "untraceable")
    assert local(world.touch(1).planned_at).startswith("Wed 09.06 12:")
    assert not Conversation.objects.get().needs_attention
    assert world.make(1) == 1
    assert len(world.sent()) == 1
    assert ended(follow_up)[0] == "active"


def test_the_second_time_they_are_skipped_and_a_manager_is_called(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    follow_up = world.silent()
    Unprovable(monkeypatch, 4)
    world.make(1)
    world.make(1)
    assert world.sent() == []
    assert (states(follow_up)[0], world.touch(1).reason) == ("skipped", "unproven")
    assert Conversation.objects.get().needs_attention
    assert ended(follow_up)[0] == "active"
    assert world.make(2) == 1


def test_a_touch_without_any_model_is_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from llm.completion import NoModel

    world.silent()
    with monkeypatch.context() as patched:
        patched.setattr(touches.truth, "complete", lambda *_args, **_kwargs: (_ for _ in ()).throw(NoModel("follow_up", [])))
        world.to(1)
        follow_ups.fire()
        world.broker.run_one("sales.touch")
    assert world.sent() == []
    world.sweep()
    assert len(world.sent()) == 1


# ── By hand ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def manager() -> User:
    return User.objects.create_user("manager")


def test_a_person_sends_the_next_touch_at_any_hour(world: World, manager: User) -> None:
    world.silent()
    world.clock.set(MONDAY.replace(hour=23))
    with pytest.raises(follow_ups.Refused):
        follow_ups.send_now(world.touch(2).pk, manager)
    follow_ups.send_now(world.touch(1).pk, manager)
    world.broker.run()
    [message] = world.sent()
    assert message.valid_until == world.touch(1).fired_at + HOUR
    assert world.touch(1).reason == Touch.Reason.BY_HAND
    with pytest.raises(follow_ups.Refused):
        follow_ups.send_now(world.touch(1).pk, manager)


def test_what_a_person_sent_at_night_does_not_leave_hours_later(world: World, manager: User) -> None:
    world.silent()
    world.clock.set(MONDAY.replace(hour=21))
    follow_ups.send_now(world.touch(1).pk, manager)
    world.broker.lose()
    world.sweep(after=2 * HOUR)
    assert world.sent() == []
    assert (world.touch(1).state, world.touch(1).reason) == ("planned", "hours")


@pytest.mark.parametrize(
    "act",
    [
        lambda world: follow_ups.opt_out(Contact.objects.get().pk),
        lambda world: Contact.objects.update(opted_out_at=world.clock.now()),
        lambda world: takeover.take_over(Conversation.objects.get().pk),
        lambda world: Channel.objects.update(running=False),
        lambda world: turns.open_proactive(Conversation.objects.get().pk, "manual"),
    ],
)
def test_a_person_cannot_send_what_must_not_be_sent(world: World, manager: User, act: Callable[[World], Any]) -> None:
    world.silent()
    act(world)
    with pytest.raises(follow_ups.Refused):
        follow_ups.send_now(world.touch(1).pk, manager)
    world.broker.run()
    assert world.sent() == []


def test_a_person_skips_a_touch(world: World, manager: User) -> None:
    follow_up = world.silent()
    follow_ups.skip(world.touch(1).pk, manager)
    assert (states(follow_up)[0], world.touch(1).reason) == ("skipped", "by_hand")
    assert world.make(2) == 1
    for number in (3, 4, 5):
        follow_ups.skip(world.touch(number).pk, manager)
    assert ended(follow_up) == ("completed", "completed_5_touches")
    with pytest.raises(follow_ups.Refused):
        follow_ups.skip(world.touch(5).pk, manager)


def test_a_person_stops_a_follow_up(world: World, manager: User) -> None:
    follow_up = world.silent()
    follow_ups.stop(follow_up.pk, manager)
    follow_up.refresh_from_db()
    assert (follow_up.state, follow_up.stop_reason, follow_up.stopped_by) == ("stopped", "by_hand", manager)
    with pytest.raises(follow_ups.Refused):
        follow_ups.stop(follow_up.pk, manager)
    with pytest.raises(follow_ups.Refused):
        follow_ups.stop(0, manager)
    assert follow_ups.plan() == 0


def test_logs_hold_ids_only(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    world.silent("Спасибо, подумаю о Petrov-секрете")
    world.make(1)
    lines = [record for record in caplog.records if record.name.startswith("sales.")]
    assert lines
    assert not any("Petrov" in str(record.__dict__) for record in lines)
