"""What managers decide about failed turns and doubtful messages."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from conversations import attention, notices, takeover, turns, verdicts
from conversations.models import Conversation, Message, Turn

from .rows import a_channel, a_conversation, a_manager, a_message, a_turn, english  # noqa: F401

pytestmark = pytest.mark.django_db


@pytest.fixture
def conversation() -> Conversation:
    return a_conversation(a_channel(), is_client=True, needs_attention=True, attention_reason="failed too often")


def failed(conversation: Conversation, *texts: str, reason: str = "attempts") -> Turn:
    turn = a_turn(conversation, "failed", reason=reason)
    for text in texts:
        turn.upto_seq = a_message(conversation, "customer", text, turn=turn).seq
    turn.save()
    return turn


def test_retry_opens_a_turn_for_the_same_messages(conversation: Conversation) -> None:
    turn = failed(conversation, "one", "two")
    attention.retry_turn(turn.pk)
    turn.refresh_from_db()
    conversation.refresh_from_db()
    fresh = Turn.objects.get(stage="answer")
    assert turn.stage == "superseded"
    assert (fresh.from_seq, fresh.upto_seq) == (1, 2)
    assert set(Message.objects.values_list("turn", flat=True)) == {fresh.pk}
    assert not conversation.needs_attention


def test_retry_joins_the_open_turn_and_makes_it_compute_again(conversation: Conversation) -> None:
    turn = failed(conversation, "one")
    running = a_turn(conversation, "answer")
    a_message(conversation, "customer", "two", turn=running)
    attention.retry_turn(turn.pk)
    running.refresh_from_db()
    assert (running.version, running.from_seq, running.upto_seq) == (2, 1, 2)
    assert set(Message.objects.values_list("turn", flat=True)) == {running.pk}
    assert Turn.objects.filter(stage__in=Turn.OPEN).count() == 1


def test_retry_waits_behind_a_reply_on_its_way(conversation: Conversation) -> None:
    turn = failed(conversation, "one")
    a_turn(conversation, "deliver")
    attention.retry_turn(turn.pk)
    assert Message.objects.get().turn is None
    assert Turn.objects.filter(stage__in=Turn.OPEN).count() == 1


@pytest.mark.parametrize("reason", ["undelivered", "unconfirmed"])
def test_retry_never_writes_a_second_reply(conversation: Conversation, reason: str) -> None:
    turn = failed(conversation, "one", reason=reason)
    with pytest.raises(attention.Refused):
        attention.retry_turn(turn.pk)
    turn.refresh_from_db()
    assert turn.stage == "failed"


def test_retry_is_refused_where_it_would_do_nothing_or_harm(conversation: Conversation) -> None:
    empty = failed(conversation)
    done = a_turn(conversation, "done")
    for turn_id in (empty.pk, done.pk, 10**9):
        with pytest.raises(attention.Refused):
            attention.retry_turn(turn_id)

    answered = failed(conversation, "one")
    a_message(conversation, "bot", "answered by a later turn")
    with pytest.raises(attention.Refused):
        attention.retry_turn(answered.pk)


def test_retry_while_a_manager_leads_is_refused_and_works_after_giving_back(conversation: Conversation) -> None:
    turn = failed(conversation, "one")
    takeover.take_over(conversation.pk)
    with pytest.raises(attention.Refused):
        attention.retry_turn(turn.pk)
    takeover.give_back(conversation.pk)
    attention.retry_turn(turn.pk)
    assert Turn.objects.filter(stage="answer").exists()


def test_retry_twice_is_once(conversation: Conversation) -> None:
    turn = failed(conversation, "one")
    attention.retry_turn(turn.pk)
    with pytest.raises(attention.Refused):
        attention.retry_turn(turn.pk)
    assert Turn.objects.count() == 2


def test_dismiss(conversation: Conversation) -> None:
    user = a_manager()
    turn = failed(conversation, "one")
    attention.dismiss_turn(turn.pk, user)
    turn.refresh_from_db()
    conversation.refresh_from_db()
    assert turn.stage == "dismissed"
    assert turn.timeline[-1]["what"] == "dismissed"
    assert not conversation.needs_attention
    with pytest.raises(attention.Refused):
        attention.dismiss_turn(turn.pk, user)


def test_the_conversation_stays_on_the_list_while_something_else_waits(conversation: Conversation) -> None:
    first, _second = failed(conversation, "one"), failed(conversation, "two")
    attention.dismiss_turn(first.pk, a_manager())
    conversation.refresh_from_db()
    assert conversation.needs_attention


def test_the_conversation_stays_on_the_list_when_a_later_turn_called_the_manager(conversation: Conversation) -> None:
    turn = failed(conversation, "one")
    a_turn(conversation, "done")
    attention.dismiss_turn(turn.pk, a_manager())
    conversation.refresh_from_db()
    assert conversation.needs_attention


@pytest.mark.parametrize(
    ("state", "reason", "decide", "message_state", "stage"),
    [
        ("unconfirmed", "unconfirmed", attention.message_arrived, "sent", "done"),
        ("failed", "undelivered", attention.withdraw_message, "suppressed", "dismissed"),
    ],
)
def test_deciding_the_message_ends_its_turn(
    conversation: Conversation, state: str, reason: str, decide: Any, message_state: str, stage: str
) -> None:
    turn = failed(conversation, "one", reason=reason)
    message = a_message(conversation, "bot", "reply", state=state, turn=turn)
    decide(message.pk, a_manager())
    message.refresh_from_db()
    turn.refresh_from_db()
    conversation.refresh_from_db()
    assert (message.state, turn.stage, conversation.needs_attention) == (message_state, stage, False)
    with pytest.raises(attention.Refused):
        decide(message.pk, a_manager())


def test_a_turn_with_another_doubtful_message_stays(conversation: Conversation) -> None:
    turn = failed(conversation, "one", reason="unconfirmed")
    one, _two = (a_message(conversation, "bot", text, state="unconfirmed", turn=turn) for text in "12")
    attention.message_arrived(one.pk, a_manager())
    turn.refresh_from_db()
    assert turn.stage == "failed"


def test_what_waits_is_counted_for_who_may_see_it() -> None:
    manager = a_manager()
    own, foreign = a_channel(owner=manager, health="needs_attention"), a_channel(owner=a_manager(), health="needs_attention")
    for channel in (own, foreign):
        conversation = a_conversation(channel)
        failed(conversation, "one")
        a_message(conversation, "bot", "x", state="failed")
        channel.events.create(external_id="e", source="webhook", state="failed", payload=b"x")
    assert attention.waiting_count(manager) == 4
    manager.is_superuser = True
    assert attention.waiting_count(manager) == 8


def test_a_verdict_while_a_manager_leads_opens_no_turn() -> None:
    conversation = a_conversation(a_channel(), is_client=None, mode="manager")
    message = a_message(conversation, "customer", "?", turn=a_turn(conversation, "ignored", reason="unsure"))
    assert verdicts.decide(conversation.contact_id, True, user=a_manager()) == 0
    message.refresh_from_db()
    assert message.turn is not None


def test_an_unheard_voice_message_is_heard_before_the_joined_turn_answers(conversation: Conversation) -> None:
    turn = failed(conversation, "")
    Message.objects.update(kind="voice", unheard=True)
    running = a_turn(conversation, "answer", attempts=2, lease_token=uuid4(), leased_until=timezone.now() + timedelta(seconds=9))
    a_message(conversation, "customer", "two", turn=running)
    attention.retry_turn(turn.pk)
    running.refresh_from_db()
    assert (running.stage, running.attempts, running.lease_token, running.redone) == ("transcribe", 0, None, True)


def test_retry_joins_no_turn_that_could_not_take_it_in(conversation: Conversation) -> None:
    leased = timezone.now() + timedelta(seconds=9)
    for fields in ({"redone": True, "leased_until": leased}, {"trigger": "follow_up"}):
        turn = failed(conversation, "one")
        running = a_turn(conversation, "answer", **fields)
        attention.retry_turn(turn.pk)
        running.refresh_from_db()
        assert running.version == 1 and Message.objects.latest("seq").turn is None
        turns.end(running.pk, Turn.Stage.IGNORED, "empty")


def test_a_notice_is_one_for_its_subject_until_it_is_well_again() -> None:
    manager, clerk = a_manager(), a_manager()
    clerk.user_permissions.remove(*clerk.user_permissions.filter(codename="view_notice"))
    notices.put("audit", "one violation", "admin:status")
    notices.put("audit", "two violations", "admin:status")
    [notice] = notices.visible_notices(manager)
    assert notice.text == "two violations" and notice.at > notice.since
    assert (attention.waiting_count(manager), attention.waiting_count(clerk)) == (1, 0)
    assert notices.withdraw("audit") and not notices.withdraw("audit")
    assert attention.waiting_count(manager) == 0


def test_a_turn_that_ended_its_workers_says_so(conversation: Conversation, settings: Any) -> None:
    for error, told in (("", "the worker ended while at work"), ("TimeoutError", "TimeoutError")):
        turn = a_turn(conversation, "answer", attempts=settings.MAX_RETRIES + 1, error=error)
        assert turns.claim(turn.pk, "answer") is None
        turn.refresh_from_db()
        assert (turn.stage, turn.reason, turn.error) == ("failed", "attempts", told)
