"""Calls: which times are free, who gets them, and what customers are told. Times are read in Almaty, UTC+5."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, close_old_connections, connection, transaction
from django.utils import timezone, translation

from conversations import outbox
from conversations.models import Contact, Conversation, Message
from foundation import db, live
from sales import call_texts, calls
from sales.assistants import Configuration
from sales.calls import Refusal
from sales.models import ScheduledCall
from sales.tasks import remind_calls
from tests.conversations.rows import a_channel, a_conversation, english  # noqa: F401

from .call_world import ALMATY, MONDAY, a_call, an_assistant, at, booked

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def rung(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    topics: list[str] = []
    monkeypatch.setattr(live, "ring", lambda topic, **_what: topics.append(topic))
    return topics


def local(starts: list[Any]) -> list[str]:
    return [start.astimezone(ALMATY).strftime("%d %H:%M") for start in starts]


def told(conversation: Conversation) -> list[Message]:
    return list(Message.objects.filter(conversation=conversation, direction="out").order_by("seq"))


def soon(**span: float) -> Any:
    return db.now() + timedelta(**span)


# ── Which times can be had ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (at(23, 10, 59), Refusal.PAST),
        (at(23, 11), Refusal.PAST),
        (at(23, 11, 5), None),
        (at(23, 17, 59), None),
        (at(23, 18), Refusal.CLOSED),
        (at(24, 9, 59), Refusal.CLOSED),
        (at(24, 10), None),
        (at(28, 12), Refusal.DAY_OFF),
        (at(16, 12, month=12), Refusal.DAY_OFF),  # Independence Day
        (at(22, 11, month=1, year=2027), None),
        (at(22, 12, month=1, year=2027), Refusal.FAR),
    ],
)
def test_working_hours_days_off_and_the_horizon(start: Any, expected: Refusal | None) -> None:
    configured, _people, _channel = an_assistant()
    assert calls.refusal(start, now=MONDAY, hours=configured.working_time) == expected
    assert calls.check(configured, start, now=MONDAY) == expected


def test_a_saturday_that_works_in_place_of_another_day() -> None:
    configured, _people, _channel = an_assistant(country="RU", time_zone="Europe/Moscow")
    moscow = ZoneInfo("Europe/Moscow")
    saturday = at(1, 12, year=2025, zone=moscow)
    monday = at(3, 12, year=2025, zone=moscow)
    now = at(30, 12, month=10, year=2025, zone=moscow)
    assert calls.refusal(saturday, now=now, hours=configured.working_time) is None
    assert calls.refusal(monday, now=now, hours=configured.working_time) == Refusal.DAY_OFF


def test_nobody_takes_calls() -> None:
    configured, _people, _channel = an_assistant(managers=0)
    assert calls.check(configured, at(24, 12), now=MONDAY) == Refusal.NO_MANAGER
    assert calls.free(configured, MONDAY, now=MONDAY) == []
    assert calls.nearest(configured, at(24, 12), now=MONDAY) is None


def test_free_times_show_several_days() -> None:
    configured, _people, _channel = an_assistant(call_minutes=60)
    assert local(calls.free(configured, MONDAY, now=MONDAY)) == [
        "23 12:00", "23 14:00", "23 15:00", "23 17:00", "24 10:00", "24 12:00", "24 15:00", "24 17:00", "25 10:00",
        "25 12:00", "25 15:00", "25 17:00",
    ]  # fmt: skip
    assert local(calls.free(configured, at(28, 0), now=MONDAY, limit=5)) == ["30 10:00", "30 12:00", "30 15:00", "30 17:00", "01 10:00"]


def test_what_begins_in_ten_minutes_is_free_and_what_begins_earlier_is_not() -> None:
    configured, _people, _channel = an_assistant()
    assert local(calls.free(configured, MONDAY, now=at(23, 17, 20), limit=1)) == ["23 17:30"]
    assert local(calls.free(configured, MONDAY, now=at(23, 17, 21), limit=1)) == ["24 10:00"]


def test_a_time_is_taken_when_every_manager_has_a_call() -> None:
    configured, (one, two), channel = an_assistant(managers=2)
    a_call(configured, channel, one, at(24, 12))
    assert calls.check(configured, at(24, 12), now=MONDAY) is None
    last = a_call(configured, channel, two, at(24, 12))
    assert calls.check(configured, at(24, 12), now=MONDAY) == Refusal.TAKEN
    assert calls.check(configured, at(24, 11, 45), now=MONDAY) == Refusal.TAKEN
    assert calls.check(configured, at(24, 12, 30), now=MONDAY) is None
    assert calls.check(configured, at(24, 12), now=MONDAY, contact_id=last.contact_id) is None
    assert "24 12:00" not in local(calls.free(configured, at(24, 0), now=MONDAY, limit=50))
    calls.cancel(last.pk, notify=False)
    assert calls.check(configured, at(24, 12), now=MONDAY) is None


def test_a_manager_of_two_assistants_has_one_diary() -> None:
    first, (manager,), channel = an_assistant()
    second, _others, _channel = an_assistant()
    second.assistant.call_managers.set([manager])
    a_call(first, channel, manager, at(24, 12))
    assert calls.check(Configuration.read(second.assistant), at(24, 12), now=MONDAY) == Refusal.TAKEN


@pytest.mark.parametrize(
    ("wanted", "now", "expected"),
    [
        (at(24, 8), MONDAY, "24 10:00"),  # before opening
        (at(24, 20), MONDAY, "24 17:30"),  # after closing: earlier that day
        (at(24, 12), MONDAY, "24 12:30"),  # taken: later rather than earlier
        (at(28, 15), MONDAY, "30 10:00"),  # Saturday: Monday
        (at(23, 10), MONDAY, "23 11:30"),  # passed: later today
        (at(23, 19), at(23, 19, 5), "24 10:00"),  # nothing left of today
        (at(1, 12, month=6, year=2027), MONDAY, "22 11:00"),  # beyond the horizon: its last one
    ],
)
def test_the_nearest_free_time(wanted: Any, now: Any, expected: str) -> None:
    configured, (manager,), channel = an_assistant()
    a_call(configured, channel, manager, at(24, 12))
    found = calls.nearest(configured, wanted, now=now)
    assert found is not None
    assert local([found]) == [expected]
    assert calls.check(configured, found, now=now) is None


# ── Booking ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_calls_go_to_whoever_has_the_fewest_that_day() -> None:
    configured, people, channel = an_assistant(managers=3)
    a_call(configured, channel, people[0], at(24, 10))
    a_call(configured, channel, people[1], at(24, 10), status="cancelled")
    a_call(configured, channel, people[1], at(25, 10))
    taken = [booked(configured, a_conversation(channel), at(24, hour)).manager for hour in (12, 13, 14, 15)]
    assert taken == [people[1], people[2], people[0], people[1]]


def test_a_booked_call_has_all_it_needs(rung: list[str], django_capture_on_commit_callbacks: Any) -> None:
    configured, (manager,), channel = an_assistant(call_minutes=45)
    conversation = a_conversation(channel)
    with django_capture_on_commit_callbacks(execute=True):
        made = booked(configured, conversation, at(24, 12), phone="8 701 765-43-21", customer_zone="Europe/Moscow")
    call = ScheduledCall.objects.get()
    assert call == made
    assert (call.manager, call.phone, call.time_zone, call.customer_zone) == (manager, "77017654321", "Asia/Almaty", "Europe/Moscow")
    assert (call.starts_at, call.ends_at, call.reminded_at) == (at(24, 12), at(24, 12, 45), None)
    assert rung == [f"conversation:{conversation.pk}"]
    assert told(conversation) == []


@pytest.mark.parametrize("phone", [None, "", "abc", "12"])
def test_without_a_number_there_is_no_call(phone: str | None) -> None:
    configured, _people, channel = an_assistant()
    with pytest.raises(calls.NoPhone, match="no phone number"):
        calls.book(
            configured, contact_id=a_conversation(channel).contact_id, conversation_id=None, start=at(24, 12), phone=phone, now=MONDAY
        )
    assert not ScheduledCall.objects.exists()


def test_the_same_contact_moves_the_call_and_keeps_the_manager() -> None:
    configured, people, channel = an_assistant(managers=2)
    conversation = a_conversation(channel)
    a_call(configured, channel, people[0], at(24, 10))
    first = booked(configured, conversation, at(24, 12))
    assert first.manager == people[1]
    a_call(configured, channel, people[1], at(24, 15))
    moved = booked(configured, conversation, at(24, 12, 15))
    assert (moved.pk, moved.manager, moved.starts_at) == (first.pk, people[1], at(24, 12, 15))
    moved = booked(configured, conversation, at(24, 15))
    assert (moved.pk, moved.manager) == (first.pk, people[0])
    with pytest.raises(calls.Taken):
        booked(configured, a_conversation(channel), at(24, 15))
    assert ScheduledCall.objects.get(pk=first.pk).starts_at == at(24, 15)


def test_agreed_anew_after_a_call_that_nobody_marked() -> None:
    configured, (manager,), channel = an_assistant()
    conversation = a_conversation(channel)
    old = a_call(configured, channel, manager, at(20, 12), conversation=conversation)
    call = booked(configured, conversation, at(24, 12))
    assert call.pk == old.pk
    assert "Friday, 20 November, 12:00 Almaty time" in call.notes


def test_a_call_of_another_assistant_stays() -> None:
    first, (manager,), channel = an_assistant()
    second, _others, _channel = an_assistant()
    conversation = a_conversation(channel)
    a_call(first, channel, manager, at(24, 12), conversation=conversation)
    booked(second, conversation, at(25, 12))
    assert ScheduledCall.objects.filter(status="scheduled").count() == 2


def test_the_database_itself_refuses_an_overlap() -> None:
    configured, (one, two), channel = an_assistant(managers=2)
    a_call(configured, channel, one, at(24, 12))
    with pytest.raises(IntegrityError, match="one_call_at_a_time"), transaction.atomic():
        a_call(configured, channel, one, at(24, 12, 29))
    a_call(configured, channel, one, at(24, 12, 30))
    a_call(configured, channel, two, at(24, 12))
    a_call(configured, channel, one, at(24, 12), status="missed")


def test_where_the_database_refuses_one_manager_the_next_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    configured, people, channel = an_assistant(managers=2)
    a_call(configured, channel, people[0], at(24, 12))
    monkeypatch.setattr(calls, "_in_turn", lambda *_: [person.pk for person in people])
    assert booked(configured, a_conversation(channel), at(24, 12)).manager == people[1]


def in_threads(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What `work` gives in so many threads that begin together, each with its own connection; errors are results too."""
    results: list[Any] = [None] * count
    gate = threading.Barrier(count)

    def run(number: int) -> None:
        close_old_connections()
        try:
            gate.wait()
            results[number] = work(number)
        except Exception as error:  # noqa: BLE001
            results[number] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("managers", [1, 3])
def test_two_hundred_want_one_slot(managers: int) -> None:
    configured, people, _channel = an_assistant(managers=managers)
    contacts = [Contact.objects.create() for _ in range(200)]
    places = threading.Semaphore(40)  # connections of the server

    def want(number: int) -> str:
        with places:
            try:
                with transaction.atomic():
                    calls.book(
                        configured, contact_id=contacts[number].pk, conversation_id=None, start=at(24, 12), phone="77010000001",
                        now=MONDAY,
                    )  # fmt: skip
            except calls.Taken:
                return "taken"
            finally:
                connection.close()
            return "won"

    assert Counter(map(str, in_threads(200, want))) == {"won": managers, "taken": 200 - managers}
    assert {call.manager for call in ScheduledCall.objects.all()} == set(people)


@pytest.mark.django_db(transaction=True)
def test_one_contact_books_on_two_channels_at_once() -> None:
    configured, _people, _channel = an_assistant(managers=2)
    contact = Contact.objects.create()

    def want(number: int) -> Any:
        with transaction.atomic():
            return calls.book(
                configured, contact_id=contact.pk, conversation_id=None, start=at(24, 12 + number), phone="77010000001", now=MONDAY
            ).pk

    assert len(set(in_threads(2, want))) == 1
    assert ScheduledCall.objects.count() == 1


# ── What managers do ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def agreed() -> tuple[Configuration, list[User], ScheduledCall]:
    """A call in two days, by the database's clock."""
    configured, people, channel = an_assistant(managers=2)
    conversation = a_conversation(channel, phone="77017654321")
    Contact.objects.update(language="en")
    return configured, people, a_call(configured, channel, people[0], soon(days=2), conversation=conversation, phone="77017654321")


def test_a_moved_call_is_told_once(agreed: Any, rung: list[str], django_capture_on_commit_callbacks: Any) -> None:
    _configured, people, call = agreed
    ScheduledCall.objects.update(reminded_at=db.now())
    start = soon(days=3).replace(hour=20, minute=0, second=0, microsecond=0)  # 1:00 in Almaty: people may
    with django_capture_on_commit_callbacks(execute=True):
        calls.move(call.pk, start, user=people[1])
        calls.move(call.pk, start, user=people[1])
    call.refresh_from_db()
    assert (call.starts_at, call.ends_at - call.starts_at, call.reminded_at) == (start, timedelta(minutes=30), None)
    (message,) = told(call.conversation)
    assert (message.author, message.user, message.state, message.valid_until) == ("manager", people[1], "queued", start)
    assert call_texts.of_call(call) in message.text
    assert "01:00 Almaty time" in message.text
    assert "Manager 1" in message.text
    assert "+7 701 765 4321" in message.text
    assert f"conversation:{call.conversation_id}" in rung
    call.conversation.refresh_from_db()
    assert (call.conversation.last_seq, call.conversation.mode) == (1, "bot")


def test_a_call_is_moved_neither_into_the_past_nor_onto_another(agreed: Any) -> None:
    configured, people, call = agreed
    with pytest.raises(calls.Past, match="passed"):
        calls.move(call.pk, soon(minutes=-1), user=people[0])
    other = a_call(configured, a_channel(), people[0], soon(days=5))
    with pytest.raises(calls.Taken, match="overlaps"):
        calls.move(call.pk, other.starts_at + timedelta(minutes=10), user=people[0])
    assert told(call.conversation) == []


def test_another_manager_is_told_once(agreed: Any) -> None:
    configured, people, call = agreed
    for _ in range(2):
        calls.reassign(call.pk, people[1].pk, user=people[0])
    (message,) = told(call.conversation)
    assert "Manager 2" in message.text
    busy = a_call(configured, a_channel(), people[0], call.starts_at)
    with pytest.raises(calls.Taken):
        calls.reassign(call.pk, busy.manager_id, user=people[0])
    User.objects.filter(pk=people[0].pk).update(is_active=False)
    with pytest.raises(calls.NoManager):
        calls.reassign(call.pk, people[0].pk, user=people[1])


def test_a_cancelled_call_is_told_once(agreed: Any) -> None:
    _configured, people, call = agreed
    assert calls.cancel(call.pk, user=people[0])
    assert not calls.cancel(call.pk, user=people[0])
    (message,) = told(call.conversation)
    assert "cancelled" in message.text
    with pytest.raises(calls.Gone, match="not scheduled"):
        calls.move(call.pk, soon(days=3), user=people[0])
    with pytest.raises(calls.Gone):
        calls.reassign(call.pk, people[1].pk, user=people[0])


def test_who_cancelled_it_themselves_is_not_told(agreed: Any) -> None:
    _configured, _people, call = agreed
    assert calls.cancel(call.pk, notify=False)
    assert told(call.conversation) == []


def test_without_a_conversation_nobody_is_told(agreed: Any) -> None:
    _configured, people, call = agreed
    conversation = call.conversation
    ScheduledCall.objects.update(conversation=None)
    calls.move(call.pk, soon(days=4), user=people[0])
    calls.reassign(call.pk, people[1].pk, user=people[0])
    assert calls.cancel(call.pk, user=people[0])
    assert told(conversation) == []


def test_what_is_over_is_cancelled_in_silence(agreed: Any) -> None:
    _configured, people, call = agreed
    ScheduledCall.objects.update(starts_at=soon(hours=-2), ends_at=soon(hours=-1))
    assert calls.cancel(call.pk, user=people[0])
    assert told(call.conversation) == []


def test_customers_are_told_in_their_language(agreed: Any) -> None:
    _configured, people, call = agreed
    Contact.objects.update(language="")
    asked = []

    def words(call: ScheduledCall, language: str) -> str:
        with call_texts._in(language):
            asked.append(translation.get_language())
        return "…"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(call_texts, "moved", words)
        for number, language in enumerate(["", "kk", "en"], start=3):
            Contact.objects.update(language=language)
            calls.move(call.pk, soon(days=number), user=people[0])
    assert asked == ["ru", "kk", "en"]


def test_marking(agreed: Any) -> None:
    _configured, people, call = agreed
    assert not calls.miss(call.pk, people[0])
    ScheduledCall.objects.update(starts_at=soon(hours=-2), ends_at=soon(hours=-1))
    assert calls.miss(call.pk, people[0])
    assert not calls.miss(call.pk, people[0])
    assert calls.complete(call.pk, people[0])
    assert ScheduledCall.objects.get().status == "completed"
    assert calls.miss(call.pk, people[0])
    ScheduledCall.objects.update(status="cancelled")
    assert not calls.complete(call.pk, people[0])
    assert told(call.conversation) == []


def test_two_managers_move_one_call(agreed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _configured, people, call = agreed
    lock = calls._lock_managers

    def meanwhile(managers: Any) -> None:
        ScheduledCall.objects.update(manager=people[1])
        lock(managers)

    monkeypatch.setattr(calls, "_lock_managers", meanwhile)
    with pytest.raises(calls.Changed, match="somebody else"):
        calls.move(call.pk, soon(days=3), user=people[0])


# ── Reminders ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_reminder_leaves_once_also_while_a_manager_leads(agreed: Any) -> None:
    _configured, _people, call = agreed
    Conversation.objects.update(mode="manager", epoch=3)
    remind_calls()
    assert told(call.conversation) == []
    ScheduledCall.objects.update(starts_at=soon(minutes=59), ends_at=soon(minutes=89))
    remind_calls()
    remind_calls()
    (message,) = told(call.conversation)
    call.refresh_from_db()
    assert (message.author, message.user, message.epoch, message.valid_until) == ("system", None, 3, call.starts_at)
    assert "reminder" in message.text
    assert call.reminded_at is not None


@pytest.mark.parametrize(
    "change",
    [
        {"status": "cancelled"}, {"status": "completed"}, {"minutes": -1}, {"minutes": 61}, {"reminder": 0}, {"opted_out": True},
        {"conversation": None},
    ],
)  # fmt: skip
def test_no_reminder(agreed: Any, change: dict[str, Any]) -> None:
    configured, _people, call = agreed
    starts = soon(minutes=change.get("minutes", 30))
    ScheduledCall.objects.update(
        starts_at=starts, ends_at=starts + timedelta(minutes=30), status=change.get("status", "scheduled"),
        conversation=change.get("conversation", call.conversation),
    )  # fmt: skip
    if "reminder" in change:
        type(configured.assistant).objects.update(call_reminder_minutes=change["reminder"])
    if "opted_out" in change:
        Contact.objects.update(opted_out_at=timezone.now())
    assert calls.remind_due() == 0
    assert told(call.conversation) == []


def test_who_agrees_at_short_notice_is_not_reminded() -> None:
    configured, _people, channel = an_assistant()
    now = at(24, 11)
    assert booked(configured, a_conversation(channel), at(24, 12), now=now).reminded_at == now
    late = booked(configured, a_conversation(channel), at(24, 12, 30), now=now)
    assert late.reminded_at is None
    assert booked(configured, late.conversation, at(24, 11, 30), now=now).reminded_at == now
    assert booked(configured, late.conversation, at(25, 11, 30), now=now).reminded_at is None


def test_one_row_that_cannot_be_read_does_not_stop_the_others(agreed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    configured, people, call = agreed
    other = a_call(configured, a_channel(), people[1], soon(minutes=30))
    ScheduledCall.objects.filter(pk=call.pk).update(starts_at=soon(minutes=10), ends_at=soon(minutes=40))
    words = call_texts.reminder

    def broken(told_of: ScheduledCall, language: str) -> str:
        if told_of.pk == call.pk:
            raise ValueError("unreadable")
        return words(told_of, language)

    monkeypatch.setattr(call_texts, "reminder", broken)
    assert calls.remind_due() == 1
    assert [len(told(one.conversation)) for one in (call, other)] == [0, 1]
    call.refresh_from_db()
    assert call.reminded_at is None


@pytest.mark.django_db(transaction=True)
def test_any_number_of_schedulers_remind_once(broker: Any) -> None:
    configured, people, channel = an_assistant(managers=10)
    made = [a_call(configured, channel, manager, soon(minutes=30)) for manager in people]
    assert sum(in_threads(4, lambda _number: calls.remind_due())) == 10
    assert [len(told(call.conversation)) for call in made] == [1] * 10
    assert calls.remind_due() == 0


@pytest.mark.django_db(transaction=True)
def test_a_reminder_waits_for_nobody(broker: Any) -> None:
    configured, people, channel = an_assistant(managers=2)
    held, free = (a_call(configured, channel, manager, soon(minutes=30)) for manager in people)
    with transaction.atomic():
        outbox.lock(held.conversation_id)
        assert in_threads(1, lambda _number: calls.remind_due()) == [1]
    assert [len(told(call.conversation)) for call in (held, free)] == [0, 1]
    assert calls.remind_due() == 1


# ── Words ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def some_call() -> Iterator[ScheduledCall]:
    configured, (manager,), channel = an_assistant()
    yield a_call(configured, channel, manager, at(24, 15), phone="77017654321", customer_zone="Europe/Moscow")


def test_both_clocks_are_named_where_they_differ(some_call: ScheduledCall) -> None:
    expected = "Your call is booked: Tuesday, 24 November, 13:00 Moscow time (15:00 Almaty time). Our manager Manager 1 will call"
    assert call_texts.confirmation(some_call, "en").startswith(expected)
    assert "+7 701 765 4321" in call_texts.confirmation(some_call, "en")


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        (None, "Tuesday, 24 November, 15:00 Almaty time"),
        ("Asia/Almaty", "Tuesday, 24 November, 15:00 Almaty time"),
        ("Asia/Yekaterinburg", "Tuesday, 24 November, 15:00 Almaty time"),
        ("Europe/London", "Tuesday, 24 November, 10:00 UTC+0 (15:00 Almaty time)"),
        ("Asia/Kolkata", "Tuesday, 24 November, 15:30 UTC+5:30 (15:00 Almaty time)"),
        ("America/St_Johns", "Tuesday, 24 November, 06:30 UTC-3:30 (15:00 Almaty time)"),
        ("Pacific/Auckland", "Tuesday, 24 November, 23:00 UTC+13 (15:00 Almaty time)"),
        ("Pacific/Kiritimati", "Wednesday, 25 November, 00:00 UTC+14 (Tuesday, 24 November, 15:00 Almaty time)"),
    ],
)
def test_a_moment_in_words(zone: str | None, expected: str) -> None:
    assert call_texts.when(at(24, 15), ALMATY, ZoneInfo(zone) if zone else None) == expected


def test_days_and_months_are_small_in_russian_and_kazakh() -> None:
    with translation.override("ru"):
        assert call_texts.when(at(25, 15), ALMATY).startswith("среда, 25 ноября, 15:00")
    with translation.override("kk"):
        assert call_texts.when(at(25, 15), ALMATY).startswith("сәрсенбі, 25 қараша, 15:00")


@pytest.mark.parametrize("refused", list(Refusal))
def test_a_refusal_comes_with_the_nearest_time(refused: Refusal) -> None:
    text = call_texts.instead(refused, at(24, 15), ALMATY, None, "en")
    assert text.endswith("The nearest time I can offer: Tuesday, 24 November, 15:00 Almaty time. Does it suit you?")
    assert call_texts.instead(refused, None, ALMATY, None, "en") != text
    assert refused.label


def test_every_text_can_be_said(some_call: ScheduledCall) -> None:
    moscow = ZoneInfo("Europe/Moscow")
    for language in ("ru", "kk", "en", ""):
        said = {
            word(some_call, language)
            for word in (call_texts.confirmation, call_texts.moved, call_texts.reassigned, call_texts.cancelled, call_texts.reminder)
        }
        said.add(call_texts.ask_phone(some_call.starts_at, ALMATY, moscow, language))
        said.add(call_texts.ask_time([some_call.starts_at], ALMATY, moscow, language))
        assert all("13:00" in text and "15:00" in text and "%(" not in text for text in said)
        assert len(said) == 7
    assert "13:00" not in call_texts.ask_time([], ALMATY, moscow, "en")
