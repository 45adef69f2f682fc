"""The rows of `fill`: as many as asked for, in order, and nothing of them waits for a worker."""

import pytest
from django.db import connection

from channels import inbox
from conversations import outbox_sweep, turns
from conversations.models import Conversation, Message, Turn
from sales import follow_up_plan, follow_ups
from sales.models import FollowUp, Touch

from .fill import TABLES, fill

pytestmark = pytest.mark.django_db


def test_as_many_as_asked_for() -> None:
    fill(connection, 1000)
    assert [model._default_manager.count() for model, _each in TABLES.values()] == [100, 100, 100, 500, 1000, 1000, 100, 500]


def test_more_rows_can_be_added() -> None:
    fill(connection, 100)
    fill(connection, 100)
    assert Message.objects.count() == 200


def test_a_turn_holds_the_question_and_its_answer() -> None:
    fill(connection, 200)
    turn = Turn.objects.order_by("pk")[30]
    asked, said = turn.messages.order_by("seq")
    assert (asked.direction, said.direction, said.seq) == ("in", "out", asked.seq + 1)
    assert {asked.conversation_id, said.conversation_id} == {turn.conversation_id}
    assert asked.text.startswith("Здравствуйте")


def test_times_rise_with_the_numbers_within_a_conversation() -> None:
    fill(connection, 200)
    times = list(Conversation.objects.order_by("pk")[3].messages.order_by("seq").values_list("sent_at", flat=True))
    assert len(times) == 10 and times == sorted(times)


def test_nothing_is_due() -> None:
    fill(connection, 2000)
    assert (inbox.sweep(), turns.sweep(), outbox_sweep.sweep()) == (0, 0, 0)
    assert (follow_up_plan.plan(), follow_ups.fire()) == (0, 0)
    assert FollowUp.objects.filter(state="active").exists() and Touch.objects.filter(state="planned").exists()
