"""What WhatsApp brings, seen from the conversation: every kind of message, echo, receipt and oddity."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from channels import inbox
from channels.adapters.wappi import WappiAdapter
from channels.base import SendResult, SentRecord
from channels.models import Channel, InboundEvent, NumberRule
from conversations import outbox
from conversations.models import Contact, Conversation, Message, Turn
from foundation.errors import Retry, Unconfirmed
from sales.models import Assistant, Bot
from tests.channels.test_webhooks import PROFILE, as_bytes, path, post, text_message
from tests.conftest import Broker

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def wappi(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Channel:
    channel = Channel.objects.create(
        name="WhatsApp", slug="wa", kind="wappi", company="Demo", hold=0, moderation=False,
        credentials={"token": "token-1"}, options={"profile_id": PROFILE}, own_number="77019990000",
    )  # fmt: skip
    Bot.objects.create(channel=channel, assistant=Assistant.objects.create(name="Aida", slug="aida"))
    accepted: list[str] = []

    def send(self: WappiAdapter, message: Any) -> SendResult:
        accepted.append(message.to)
        return SendResult(f"SENT{message.key}")

    monkeypatch.setattr(WappiAdapter, "send", send)
    monkeypatch.setattr(WappiAdapter, "mark_read", lambda self, source, message: None)
    channel.accepted = accepted  # type: ignore[attr-defined]
    return channel


def bring(channel: Channel, broker: Broker, **changes: Any) -> None:
    text = changes.pop("text", "Здравствуйте!")
    assert post(path(channel), as_bytes(text_message(text, **changes))).status_code == 200
    broker.run()


def echo(channel: Channel, broker: Broker, text: str, **changes: Any) -> None:
    row = {"wh_type": "outgoing_message_phone", "id": "3EB0ECHO0000000001", "from": "77019990000@c.us",
           "to": "77011234567@c.us", "is_me": True} | changes  # fmt: skip
    bring(channel, broker, text=text, **row)


def replies() -> list[Message]:
    return list(Message.objects.filter(direction="out", author="bot").order_by("seq"))


def test_a_text_is_answered(wappi: Channel, broker: Broker) -> None:
    bring(wappi, broker)
    [reply] = replies()
    assert reply.state == Message.State.SENT
    contact = Contact.objects.get()
    assert contact.phone == "77011234567"
    assert contact.name == "Demo"


def test_webhook_and_poll_of_one_message_are_one(wappi: Channel, broker: Broker) -> None:
    from channels.adapters.wappi_parse import raw_event
    from channels.adapters.wappi_rows import PolledRow

    bring(wappi, broker)
    polled = {"id": "3A945DD9CDD3016BE11B", "type": "chat", "from": "77011234567@c.us", "to": "77019990000@c.us",
              "fromMe": False, "time": int(timezone.now().timestamp()), "body": "Здравствуйте!",
              "chatId": "77011234567@c.us"}  # fmt: skip
    assert inbox.store(wappi.pk, [raw_event(polled, PolledRow)], "poll") == []
    assert Message.objects.filter(direction="in").count() == 1


def test_the_same_message_under_another_event_id_is_known(wappi: Channel, broker: Broker) -> None:
    from channels.base import RawEvent

    bring(wappi, broker)
    stored = InboundEvent.objects.get()
    inbox.store(wappi.pk, [RawEvent("other:1", bytes(stored.payload), lane="77011234567")], "webhook")
    broker.run()
    assert Message.objects.filter(direction="in").count() == 1
    assert InboundEvent.objects.get(external_id="other:1").state == InboundEvent.State.IGNORED
    assert len(replies()) == 1


@pytest.mark.parametrize("rule", ["excluded", "blocked"])
def test_numbers_with_a_rule_get_no_answer(wappi: Channel, broker: Broker, rule: str) -> None:
    NumberRule.objects.create(rule=rule, phone="8 701 123-45-67")
    bring(wappi, broker)
    assert replies() == []
    event = InboundEvent.objects.get()
    if rule == "excluded":
        assert not Contact.objects.exists()
        assert (event.state, event.payload) == (InboundEvent.State.IGNORED, None)
    else:
        assert Turn.objects.get().reason == Turn.Reason.BLOCKED


def test_where_numbers_are_allowed_others_are_not(wappi: Channel, broker: Broker) -> None:
    NumberRule.objects.create(channel=wappi, rule="allowed", phone="+7 702 000 00 00")
    bring(wappi, broker)
    assert Turn.objects.get().reason == Turn.Reason.NOT_ALLOWED


def test_a_hidden_identity_has_no_phone(wappi: Channel, broker: Broker) -> None:
    bring(wappi, broker, **{"from": "178412345678901@lid", "chatId": "178412345678901@lid"})
    assert Contact.objects.get().phone is None
    assert wappi.accepted == ["178412345678901@lid"]  # type: ignore[attr-defined]


def test_a_group_is_ignored_with_a_reason(wappi: Channel, broker: Broker) -> None:
    bring(wappi, broker, chatId="120363046984195036@g.us", chat_type="group")
    event = InboundEvent.objects.get()
    assert event.state == InboundEvent.State.IGNORED
    assert event.reason
    assert not Contact.objects.exists()


def test_a_message_from_the_future_counts_as_now(wappi: Channel, broker: Broker) -> None:
    bring(wappi, broker, time=int((timezone.now() + timedelta(days=2)).timestamp()))
    assert len(replies()) == 1
    assert Message.objects.get(direction="in").sent_at < timezone.now() + timedelta(minutes=5)


@pytest.mark.parametrize("text", ["А" * 5000, "😊👍🔥", "🇰🇿", "8 701 123 45 67", "​привет", "<b>&lt;"])
def test_odd_texts_arrive_whole(wappi: Channel, broker: Broker, text: str) -> None:
    bring(wappi, broker, text=text)
    assert Message.objects.get(direction="in").text == text
    assert len(replies()) == 1


def test_voice_that_nobody_can_hear_is_answered_with_a_request_to_type(
    wappi: Channel, broker: Broker, monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path
) -> None:
    settings.MEDIA_ROOT = tmp_path
    monkeypatch.setattr(WappiAdapter, "fetch_media", lambda self, ref: b"OggS sound")
    bring(wappi, broker, text="", type="ptt", mimetype="audio/ogg; codecs=opus", file_link="https://fs.wappi.pro/x.ogg")
    message = Message.objects.get(direction="in")
    assert (message.kind, message.text, message.unheard) == (Message.Kind.VOICE, "", False)
    assert message.details["media"][0]["mime"] == "audio/ogg"
    assert message.error
    assert len(replies()) == 1
    assert Turn.objects.get().stage == Turn.Stage.DONE
    assert Conversation.objects.get().needs_attention


def test_files_are_answered_and_named(wappi: Channel, broker: Broker) -> None:
    from conversations.history import said

    bring(wappi, broker, text="", type="document", mimetype="application/pdf", file_name="заявка.pdf")
    message = Message.objects.get(direction="in")
    assert message.kind == Message.Kind.DOCUMENT
    assert said(message).endswith(": заявка.pdf]")
    assert Turn.objects.get().stage == Turn.Stage.DONE


def test_an_edit_changes_the_message_and_not_the_count(wappi: Channel, broker: Broker) -> None:
    bring(wappi, broker)
    bring(wappi, broker, text="Добрый день!", is_edited=True, stanza_id="3A945DD9CDD3016BE11B", id="3A945DD9CDD3016BE11B")
    assert Message.objects.get(direction="in").text == "Добрый день!"
    assert len(replies()) == 1


def test_the_owner_on_the_phone_takes_over(wappi: Channel, broker: Broker) -> None:
    bring(wappi, broker)
    echo(wappi, broker, "Здравствуйте, это владелец")
    conversation = Conversation.objects.get()
    assert conversation.mode == Conversation.Mode.MANAGER
    bring(wappi, broker, id="3A945DD9CDD3016BE222", text="А цена?")
    assert len(replies()) == 1
    assert Message.objects.filter(author="manager").get().text == "Здравствуйте, это владелец"


def test_the_owner_may_write_first(wappi: Channel, broker: Broker) -> None:
    echo(wappi, broker, "Добрый день, вы оставляли заявку")
    assert Conversation.objects.get().mode == Conversation.Mode.MANAGER


def test_an_old_echo_does_not_take_over(wappi: Channel, broker: Broker) -> None:
    bring(wappi, broker)
    echo(wappi, broker, "давно", time=int((timezone.now() - timedelta(days=3)).timestamp()))
    assert Conversation.objects.get().mode == Conversation.Mode.BOT


def test_the_echo_of_our_own_reply_is_not_a_takeover(wappi: Channel, broker: Broker) -> None:
    bring(wappi, broker)
    [reply] = replies()
    echo(wappi, broker, reply.text, wh_type="outgoing_message_api", id=reply.external_id, from_where="api")
    assert Conversation.objects.get().mode == Conversation.Mode.BOT
    assert Message.objects.filter(direction="out").count() == 1


def test_an_echo_proves_an_unconfirmed_reply(wappi: Channel, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(self: WappiAdapter, message: Any) -> SendResult:
        raise Unconfirmed("no answer")

    monkeypatch.setattr(WappiAdapter, "send", lost)
    monkeypatch.setattr(WappiAdapter, "sent_since", lambda self, to, since: [])
    bring(wappi, broker)
    [reply] = replies()
    assert reply.state == Message.State.UNCONFIRMED
    echo(wappi, broker, reply.text, wh_type="outgoing_message_api", id="3EB0LATE", from_where="api")
    reply.refresh_from_db()
    assert (reply.state, reply.external_id) == (Message.State.SENT, "3EB0LATE")
    assert Turn.objects.get().stage == Turn.Stage.DONE


def test_an_echo_during_the_send_proves_a_reply_whose_answer_is_lost(
    wappi: Channel, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def echoed_then_lost(self: WappiAdapter, message: Any) -> SendResult:
        row = {"wh_type": "outgoing_message_api", "id": "3EB0ECHO0000000001", "from": "77019990000@c.us",
               "to": "77011234567@c.us", "is_me": True}  # fmt: skip
        post(path(wappi), as_bytes(text_message(message.text, **row)))
        broker.run_one("conversations.receive")
        raise Unconfirmed("no answer in time")

    monkeypatch.setattr(WappiAdapter, "send", echoed_then_lost)
    bring(wappi, broker)
    [reply] = replies()
    assert (reply.state, reply.external_id, reply.error) == (Message.State.SENT, "3EB0ECHO0000000001", "")
    assert Turn.objects.get().stage == Turn.Stage.DONE
    assert not Conversation.objects.get().needs_attention


def test_the_history_proves_an_unconfirmed_reply(wappi: Channel, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []

    def lost(self: WappiAdapter, message: Any) -> SendResult:
        sent.append(message)
        raise Unconfirmed("no answer")

    def history(self: WappiAdapter, to: str, since: Any) -> list[SentRecord]:
        return [SentRecord("3EB0HIST", sent[0].text, timezone.now())]

    monkeypatch.setattr(WappiAdapter, "send", lost)
    monkeypatch.setattr(WappiAdapter, "sent_since", history)
    bring(wappi, broker)
    [reply] = replies()
    assert (reply.state, reply.external_id) == (Message.State.SENT, "3EB0HIST")
    assert len(sent) == 1


def test_receipts_only_move_forward(wappi: Channel, broker: Broker) -> None:
    bring(wappi, broker)
    [reply] = replies()
    for status in ("read", "delivered", "pending"):
        row = {"wh_type": "delivery_status", "id": reply.external_id, "profile_id": PROFILE, "status": status,
               "time": int(timezone.now().timestamp()), "chat_id": "77011234567@c.us"}  # fmt: skip
        assert post(path(wappi), as_bytes({"messages": row})).status_code == 200
        broker.run()
    reply.refresh_from_db()
    assert reply.state == Message.State.READ


def test_a_receipt_that_comes_too_early_waits(wappi: Channel, broker: Broker) -> None:
    bring(wappi, broker)
    [reply] = replies()
    Message.objects.filter(pk=reply.pk).update(external_id=None)
    row = {"wh_type": "delivery_status", "id": "SENTEARLY", "profile_id": PROFILE, "status": "delivered", "time": 1}
    post(path(wappi), as_bytes({"messages": row}))
    broker.run_one()
    event = InboundEvent.objects.exclude(state="processed").get()
    assert (event.state, event.attempts) == (InboundEvent.State.NEW, 1)
    Message.objects.filter(pk=reply.pk).update(external_id="SENTEARLY")
    InboundEvent.objects.update(next_attempt_at=None)
    broker.run()
    reply.refresh_from_db()
    assert reply.state == Message.State.DELIVERED


def test_a_message_to_itself_is_nobody_else(wappi: Channel, broker: Broker) -> None:
    bring(wappi, broker, **{"from": "77019990000@c.us", "chatId": "77019990000@c.us"})
    assert replies() == []


def test_two_numbers_of_one_company_know_one_person(wappi: Channel, broker: Broker) -> None:
    bring(wappi, broker)
    second = Channel.objects.create(
        name="WhatsApp 2", slug="wa2", kind="wappi", company="Demo", hold=0, moderation=False,
        credentials={"token": "token-1"}, options={"profile_id": PROFILE},
    )  # fmt: skip
    Bot.objects.create(channel=second, assistant=Assistant.objects.get())
    bring(second, broker, id="3A00000000000000000B")
    assert Contact.objects.count() == 1
    assert Conversation.objects.count() == 2


def test_a_provider_that_is_busy_is_asked_again_after_its_own_delay(
    wappi: Channel, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(self: WappiAdapter, message: Any) -> SendResult:
        raise Retry("busy", after=120)

    monkeypatch.setattr(WappiAdapter, "send", busy)
    bring(wappi, broker)
    [reply] = replies()
    assert reply.state == Message.State.QUEUED
    assert reply.next_attempt_at > timezone.now() + timedelta(seconds=110)
    assert outbox.deliver(reply.conversation_id) == 0
