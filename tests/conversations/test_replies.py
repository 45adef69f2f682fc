"""A manager's reply: people first, in one transaction."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError

from conversations import replies, takeover
from conversations.models import Conversation, Message, Takeover

from .rows import a_channel, a_conversation, a_manager, a_message, a_turn

pytestmark = pytest.mark.django_db


def test_the_bots_queued_words_are_withdrawn_and_the_manager_speaks_in_the_new_epoch() -> None:
    conversation = a_conversation(a_channel(), is_client=True)
    turn = a_turn(conversation, "deliver")
    a_message(conversation, "customer", "?", turn=turn)
    a_message(conversation, "bot", "!", state="queued", turn=turn)
    user = a_manager()

    replies.reply(conversation.pk, "I take it from here", user)

    conversation.refresh_from_db()
    mine = Message.objects.get(author="manager")
    assert (mine.seq, mine.epoch, mine.state) == (3, 1, "queued")
    assert (conversation.last_seq, conversation.epoch, conversation.mode) == (3, 1, "manager")
    assert Message.objects.get(author="bot").state == "suppressed"
    turn.refresh_from_db()
    assert (turn.stage, turn.reason) == ("superseded", "manager")
    handover = Takeover.objects.get()
    assert (handover.cause, handover.user, handover.after_seq) == ("reply", user, 2)


def test_a_second_reply_keeps_the_epoch_and_numbers_on() -> None:
    conversation, user = a_conversation(a_channel()), a_manager()
    replies.reply(conversation.pk, "one", user)
    replies.reply(conversation.pk, "two", user)
    assert list(Message.objects.order_by("seq").values_list("seq", "epoch")) == [(1, 1), (2, 1)]
    assert Takeover.objects.count() == 1


def test_a_closed_conversation_is_led_by_the_manager_again() -> None:
    conversation, user = a_conversation(a_channel()), a_manager()
    takeover.close(conversation.pk, user=user)
    replies.reply(conversation.pk, "one more thing", user)
    conversation.refresh_from_db()
    assert conversation.mode == "manager"
    assert Message.objects.get().epoch == conversation.epoch


def test_a_reply_answers_what_called_the_manager() -> None:
    conversation = a_conversation(a_channel(), needs_attention=True, attention_reason="x")
    replies.reply(conversation.pk, "Here I am", a_manager())
    conversation.refresh_from_db()
    assert not conversation.needs_attention


@pytest.mark.parametrize(("text", "fields"), [("  ", {}), ("Hi", {"enabled": False})])
def test_what_cannot_be_sent_changes_nothing(text: str, fields: dict[str, Any]) -> None:
    conversation = a_conversation(a_channel(**fields))
    with pytest.raises(ValidationError):
        replies.reply(conversation.pk, text, a_manager())
    conversation.refresh_from_db()
    assert (conversation.mode, conversation.epoch) == ("bot", 0)
    assert not Message.objects.exists()


def test_a_reply_longer_than_the_channel_carries_leaves_in_parts() -> None:
    conversation = a_conversation(a_channel())
    replies.reply(conversation.pk, "слово " * 1000, a_manager())
    parts = [message.text for message in Message.objects.order_by("seq")]
    assert len(parts) == 2
    assert all(len(part) <= 4000 for part in parts)
    assert " ".join(parts).split() == ["слово"] * 1000


def test_no_such_conversation() -> None:
    with pytest.raises(Conversation.DoesNotExist):
        replies.reply(10**9, "Hi", a_manager())
