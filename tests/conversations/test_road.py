"""The road of one message: received, answered, delivered, each exactly once, whatever happens in between."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from channels import directory
from channels.adapters.widget import WidgetAdapter
from channels.models import InboundEvent
from conversations import history, outbox, replies, takeover, turns, verdicts
from conversations.drafts import Draft
from conversations.models import Contact, Conversation, Message, Takeover, Turn
from conversations.tasks import sweep
from foundation.errors import Rejected, Retry, Unconfirmed
from sales import agent, truth
from tests.conftest import Broker, Company

pytestmark = pytest.mark.django_db(transaction=True)


def expire_leases() -> None:
    """As if twenty seconds had passed for every claimed row."""
    past = timezone.now() - timedelta(seconds=1)
    InboundEvent.objects.filter(leased_until__isnull=False).update(leased_until=past)
    Turn.objects.filter(leased_until__isnull=False).update(leased_until=past)
    Message.objects.filter(leased_until__isnull=False).update(leased_until=past)


def age(seconds: float) -> None:
    """As if the rows had been waiting for so long."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE channels_inboundevent SET received_at = received_at - make_interval(secs => %s)", [seconds])
        cursor.execute(
            "UPDATE conversations_turn SET due_at = due_at - make_interval(secs => %s),"
            " swept_at = swept_at - make_interval(secs => %s)", [seconds, seconds])  # fmt: skip
        cursor.execute(
            "UPDATE conversations_message SET next_attempt_at = next_attempt_at - make_interval(secs => %s),"
            " swept_at = swept_at - make_interval(secs => %s)", [seconds, seconds])  # fmt: skip
        cursor.execute("UPDATE channels_channelbreaker SET retry_at = retry_at - make_interval(secs => %s)", [seconds])


def test_a_message_is_answered_once(company: Company, broker: Broker) -> None:
    company.says("Здравствуйте!")
    broker.run()
    [reply] = company.sent()
    assert reply.state == Message.State.SENT
    assert "Aida" in reply.text
    [turn] = company.turns()
    assert turn.stage == Turn.Stage.DONE
    assert [entry["what"] for entry in turn.timeline] == ["received", "answer", "model", "deliver", "done"]
    assert [name for name, _ in broker.done] == ["conversations.receive", "sales.answer", "conversations.deliver"]


def test_the_same_event_again_changes_nothing(company: Company, broker: Broker) -> None:
    for _ in range(3):
        company.says("Здравствуйте!", client_id="same")
    broker.run()
    assert len(company.sent()) == 1
    assert InboundEvent.objects.count() == 1


def test_every_task_run_twice_still_sends_one_reply(company: Company, broker: Broker) -> None:
    company.says("Здравствуйте!")
    while broker.waiting:
        broker.waiting.extend(broker.waiting[:1])
        broker.run_one()
        broker.run_one()
    assert len(company.sent()) == 1


@pytest.mark.parametrize("lost_after", [0, 1, 2])
def test_a_flushed_broker_costs_only_time(company: Company, broker: Broker, lost_after: int) -> None:
    company.says("Здравствуйте!")
    for _ in range(lost_after):
        broker.run_one()
    broker.lose()
    age(60)
    sweep()
    broker.run()
    [reply] = company.sent()
    assert reply.state == Message.State.SENT


def test_three_quick_messages_get_one_reply(company: Company, broker: Broker) -> None:
    for text in ("Здравствуйте!", "Сколько стоит", "кофемашина?"):
        company.says(text)
    broker.run()
    assert len(company.sent()) == 1
    [turn] = company.turns()
    assert (turn.from_seq, turn.upto_seq, turn.version) == (1, 3, 3)


def test_whatever_a_turn_has_to_answer_is_told_to_the_model(company: Company, broker: Broker, settings: Any) -> None:
    settings.MAX_CONTEXT_MESSAGES = 4
    company.says("Здравствуйте!")
    broker.run()
    for number in range(9):
        company.says(f"Вопрос {number}")
    broker.run(skip=("sales.answer",))
    turn = company.turns()[-1]
    for _ in range(5):
        company.says("Уже для следующего ответа")
    broker.run(skip=("sales.answer",))
    lines = history.before_answer(turn.conversation_id, turn.pk, turn.upto_seq)
    assert [line.text for line in lines] == [f"Вопрос {number}" for number in range(9)]


def test_events_of_a_lane_keep_their_order_whoever_comes_first(company: Company, broker: Broker) -> None:
    company.says("один")
    company.says("два")
    company.says("три")
    broker.waiting.reverse()
    broker.run()
    texts = [m.text for m in Message.objects.filter(direction="in").order_by("seq")]
    assert texts == ["один", "два", "три"]


def interrupt(monkeypatch: pytest.MonkeyPatch, action: Any) -> None:
    """Let `action` happen while the model thinks, the first time it is asked."""
    original = truth.complete
    happened: list[bool] = []

    def complete(*args: Any, **kwargs: Any) -> Any:
        if not happened:
            happened.append(True)
            action()
        return original(*args, **kwargs)

    monkeypatch.setattr(truth, "complete", complete)


def test_a_message_during_the_answer_makes_it_new_once(
    company: Company, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def writes_on() -> None:
        company.says("и ещё доставка")
        broker.run_one("conversations.receive")

    interrupt(monkeypatch, writes_on)
    company.says("Здравствуйте!")
    broker.run()
    [turn] = company.turns()
    assert turn.redone
    assert turn.upto_seq == 2
    assert len(company.sent()) == 1


def test_nobody_is_starved_by_a_customer_who_writes_on(
    company: Company, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = truth.complete
    rounds = iter(range(2))
    requests: list[Any] = []

    def complete(*args: Any, **kwargs: Any) -> Any:
        requests.append(args[0])
        if next(rounds, None) is not None:
            company.says("ещё")
            broker.run_one("conversations.receive")
        return original(*args, **kwargs)

    monkeypatch.setattr(truth, "complete", complete)
    company.says("Здравствуйте!")
    broker.run()
    first, second = company.turns()
    assert (first.from_seq, first.upto_seq) == (1, 2)
    assert second.stage == Turn.Stage.DONE
    assert len(company.sent()) == 2
    [late] = second.messages.filter(direction="in")
    assert late.seq == 3
    # It was written before the first reply, and still is what the second one answers.
    assert [request.facts["question"] for request in requests] == ["Здравствуйте!", "Здравствуйте!\nещё", "ещё"]
    assert requests[-1].messages[-1].role == "user"


def test_a_message_while_the_reply_is_on_its_way_opens_the_next_turn(company: Company, broker: Broker) -> None:
    company.says("Здравствуйте!")
    broker.run(skip=("conversations.deliver",))
    company.says("Есть доставка?")
    broker.run(skip=("conversations.deliver",))
    assert len(company.turns()) == 1
    broker.run()
    assert [t.stage for t in company.turns()] == ["done", "done"]
    assert [m.seq for m in company.sent()] == [2, 4]


def test_takeover_during_the_answer_sends_nothing(
    company: Company, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(monkeypatch, lambda: takeover.take_over(company.conversation().pk))
    company.says("Здравствуйте!")
    broker.run()
    assert company.sent() == []
    assert company.turns()[0].stage == Turn.Stage.SUPERSEDED


def test_takeover_withdraws_what_is_queued(company: Company, broker: Broker) -> None:
    company.says("Здравствуйте!")
    broker.run(skip=("conversations.deliver",))
    takeover.take_over(company.conversation().pk)
    broker.run()
    assert [m.state for m in company.sent()] == ["suppressed"]


def test_a_message_composed_before_a_takeover_is_never_claimed(company: Company, broker: Broker) -> None:
    company.says("Здравствуйте!")
    broker.run(skip=("conversations.deliver",))
    conversation = company.conversation()
    Conversation.objects.filter(pk=conversation.pk).update(epoch=conversation.epoch + 1)
    assert outbox.deliver(conversation.pk) == 0


def test_the_bot_resumes_and_answers_what_the_manager_did_not(company: Company, broker: Broker) -> None:
    company.says("Здравствуйте!")
    broker.run()
    takeover.take_over(company.conversation().pk)
    company.says("Вы тут?")
    broker.run()
    assert company.turns()[-1].reason == Turn.Reason.MANAGER
    assert len(company.sent()) == 1
    assert takeover.give_back(company.conversation().pk)
    broker.run()
    assert len(company.sent()) == 2
    assert [t.mode for t in Takeover.objects.order_by("id")] == ["manager", "bot"]


def test_what_is_closed_stays_silent_until_the_customer_writes_again(company: Company, broker: Broker) -> None:
    company.says("Здравствуйте!")
    broker.run_one()
    assert takeover.close(company.conversation().pk)
    assert not takeover.close(company.conversation().pk)
    broker.run()
    assert company.sent() == []
    assert (company.turns()[0].stage, company.turns()[0].reason) == ("superseded", "closed")
    company.says("Ещё вопрос: есть доставка?")
    broker.run()
    assert company.conversation().mode == Conversation.Mode.BOT
    assert len(company.sent()) == 1


def test_messages_met_with_silence_join_the_turn_that_is_open(company: Company, broker: Broker) -> None:
    company.channel.moderation = True
    company.channel.save()
    company.says("Привет")
    broker.run()
    company.says("Вы тут?")
    broker.run_one("conversations.receive")
    verdicts.decide(Contact.objects.get().pk, True, user=None)
    [turn] = [turn for turn in company.turns() if turn.is_open]
    assert (turn.from_seq, turn.upto_seq) == (1, 2)
    broker.run()
    assert len(company.sent()) == 1


def test_the_bot_resumes_by_itself_after_the_pause(company: Company, broker: Broker) -> None:
    company.says("Здравствуйте!")
    broker.run()
    takeover.take_over(company.conversation().pk)
    assert takeover.resume_due() == 0
    Conversation.objects.update(resumes_at=timezone.now() - timedelta(seconds=1))
    assert takeover.resume_due() == 1
    assert company.conversation().mode == Conversation.Mode.BOT


def test_a_worker_that_died_while_answering_is_replaced(company: Company, broker: Broker) -> None:
    company.says("Здравствуйте!")
    broker.run_one()
    dead = turns.claim(company.turns()[0].pk, "answer")
    assert dead is not None
    broker.run()
    assert company.sent() == []
    expire_leases()
    age(60)
    sweep()
    broker.run()
    assert len(company.sent()) == 1
    assert not turns.end(dead.id, "failed", token=dead.lease_token)


def test_a_worker_that_died_while_sending_leaves_the_message_unconfirmed(company: Company, broker: Broker) -> None:
    company.says("Здравствуйте!")
    broker.run(skip=("conversations.deliver",))
    Message.objects.filter(direction="out").update(
        state="sending", leased_until=timezone.now() - timedelta(seconds=1), lease_token="00000000-0000-4000-8000-000000000001"
    )
    sweep()
    broker.run()
    [reply] = company.sent()
    assert reply.state == Message.State.UNCONFIRMED
    assert company.turns()[0].reason == Turn.Reason.UNCONFIRMED
    assert company.conversation().needs_attention


@pytest.mark.parametrize(
    ("error", "state", "attention"),
    [
        (Retry("busy", after=30), "queued", False),
        (Rejected("blocked"), "failed", True),
        (Unconfirmed("timeout"), "unconfirmed", True),
    ],
)
def test_what_a_provider_says_decides_the_state(
    company: Company, broker: Broker, monkeypatch: pytest.MonkeyPatch, error: Exception, state: str, attention: bool
) -> None:
    calls: list[str] = []

    def send(self: WidgetAdapter, message: Any) -> Any:
        calls.append(message.key)
        raise error

    monkeypatch.setattr(WidgetAdapter, "send", send)
    company.says("Здравствуйте!")
    broker.run()
    [reply] = company.sent()
    assert reply.state == state
    assert company.conversation().needs_attention is attention
    assert len(calls) == 1


def test_a_long_reply_leaves_in_order_and_waits_behind_a_postponed_part(
    company: Company, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    company.says("Здравствуйте!")
    broker.run(skip=("conversations.deliver",))
    conversation = Conversation.objects.get()
    outbox.queue(conversation, company.channel.pk, Draft("second"), author="bot", turn_id=company.turns()[0].pk)
    seen: list[str] = []
    original = WidgetAdapter.send

    def send(self: WidgetAdapter, message: Any) -> Any:
        seen.append(message.text)
        if len(seen) == 1:
            raise Retry("busy", after=30)
        return original(self, message)

    monkeypatch.setattr(WidgetAdapter, "send", send)
    directory.forget()
    broker.run()
    assert len(seen) == 1
    age(60)
    sweep()
    broker.run()
    assert [m.state for m in company.sent()] == ["sent", "sent"]
    assert seen[1:] == [seen[0], "second"]


def test_old_history_is_stored_and_not_answered(company: Company, broker: Broker) -> None:
    company.says("давно", at=timezone.now() - timedelta(days=3))
    broker.run()
    assert company.sent() == []
    assert company.turns()[0].reason == Turn.Reason.OLD


def test_two_bots_are_cut_off(company: Company, broker: Broker, settings: Any) -> None:
    settings.BOT_LOOP_TURNS = 3
    for n in range(5):
        company.says(f"авто-ответ {n}")
        broker.run()
    assert len(company.sent()) == 3
    assert company.turns()[-1].reason == Turn.Reason.LOOP
    assert company.conversation().needs_attention


def test_past_the_message_limit_messages_wait_visibly(company: Company, broker: Broker) -> None:
    company.channel.rate_limit_count = 2
    company.channel.save()
    for n in range(3):
        company.says(f"вопрос {n}")
        broker.run()
    assert len(company.sent()) == 2
    assert company.turns()[-1].reason == Turn.Reason.RATE_LIMIT


def test_a_turn_that_keeps_failing_needs_attention(
    company: Company, broker: Broker, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    def no_model(*args: Any, **kwargs: Any) -> Any:
        raise agent.NoModel("answer", [])

    monkeypatch.setattr(truth, "complete", no_model)
    company.says("Здравствуйте!")
    for _ in range(settings.MAX_RETRIES + 3):
        broker.run()
        age(60)
        sweep()
    [turn] = company.turns()
    assert (turn.stage, turn.reason) == ("failed", "attempts")
    assert company.conversation().needs_attention


def test_moderated_channel_stays_silent_until_the_contact_is_a_client(company: Company, broker: Broker) -> None:
    company.channel.moderation = True
    company.channel.save()
    company.says("Привет")
    broker.run()
    assert company.turns()[-1].reason == Turn.Reason.UNSURE
    company.says("Сколько стоит кофемашина с доставкой?")
    broker.run()
    assert Contact.objects.get().is_client is True
    assert len(company.sent()) == 1
    company.says("Спасибо")
    before = len(broker.done)
    broker.run()
    assert [name for name, _ in broker.done[before:]] == ["conversations.receive", "sales.answer", "conversations.deliver"]


def test_a_reply_put_off_during_a_takeover_does_not_stand_before_the_managers_words(
    company: Company, broker: Broker, monkeypatch: pytest.MonkeyPatch, admin_user: Any
) -> None:
    original, refused = WidgetAdapter.send, []

    def busy_while_a_person_takes_over(self: WidgetAdapter, message: Any) -> Any:
        if refused:
            return original(self, message)
        refused.append(message)
        takeover.take_over(company.conversation().pk, user=admin_user)
        raise Retry("busy")

    monkeypatch.setattr(WidgetAdapter, "send", busy_while_a_person_takes_over)
    company.says("Здравствуйте!")
    broker.run(skip=("conversations.deliver",))
    broker.run_one("conversations.deliver")
    replies.reply(company.conversation().pk, "Добрый день, это менеджер", admin_user)
    broker.run()
    assert [(message.author, message.state) for message in company.sent()] == [("bot", "suppressed"), ("manager", "sent")]
