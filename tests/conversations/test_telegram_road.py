"""Telegram from a customer's message to the answer on their phone: webhook or poll in, the fake Bot API out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from channels import checks, directory, polling, registry
from channels.adapters import telegram_pace
from channels.models import Channel, InboundEvent
from conversations import reach
from conversations.models import Contact, Conversation, Message, Turn
from foundation.looks import moment
from sales.models import Assistant, Bot
from tests.conftest import Broker
from tests.sandbox import telegram_rows
from tests.sandbox.fixtures import served
from tests.sandbox.server import Fault, running
from tests.sandbox.telegram import FakeTelegram
from tests.sandbox.telegram_rows import BOT_ID, TOKEN

pytestmark = pytest.mark.django_db(transaction=True)

USER = 5550001


server = served(FakeTelegram)


@pytest.fixture
def fake(server: FakeTelegram, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTelegram]:
    monkeypatch.setitem(registry.ADAPTERS, "telegram", "channels.adapters.telegram.TelegramAdapter")
    registry.adapter_class.cache_clear()
    telegram_pace.forget()
    server.bots = {TOKEN: telegram_rows.Bot()}
    server.reset()
    server.hold = True  # the tests post by themselves
    yield server
    registry.adapter_class.cache_clear()
    directory.forget()


@pytest.fixture
def telegram(fake: FakeTelegram, broker: Broker, settings: Any, tmp_path: Path) -> Channel:
    settings.MEDIA_ROOT = tmp_path
    settings.POLLING_INTERVAL = 1.0
    channel = Channel.objects.create(
        name="Telegram", slug="tg", kind="telegram", company="Demo", hold=0, moderation=False, base_url=fake.base_url,
        credentials={"token": TOKEN},
    )  # fmt: skip
    Bot.objects.create(channel=channel, assistant=Assistant.objects.create(name="Aida", slug="aida"))
    registry.adapter_for(channel).subscribe(f"https://shop.example/webhooks/telegram/tg/{channel.webhook_secret}/")
    return channel


def deliver(fake: FakeTelegram, channel: Channel, broker: Broker) -> None:
    """Post everything that waits at Telegram, as it would, and let the workers work."""
    bot = fake.bots[TOKEN]
    path = bot.webhook_url.removeprefix("https://shop.example")
    headers = {"X-Telegram-Bot-Api-Secret-Token": bot.secret_token}
    for number, update in list(bot.pending.items()):
        answer = Client().post(path, json.dumps(update), content_type="application/json", headers=headers)
        assert answer.status_code == 200
        del bot.pending[number]
    broker.run()


def replies() -> list[Message]:
    return list(Message.objects.filter(direction="out", author="bot").order_by("seq"))


def incoming() -> Message:
    return Message.objects.filter(direction="in").latest("seq")


def test_a_text_is_answered(fake: FakeTelegram, telegram: Channel, broker: Broker) -> None:
    fake.customer_writes(USER, "Здравствуйте!")
    deliver(fake, telegram, broker)
    [reply] = replies()
    [sent] = fake.ledger
    assert (reply.state, reply.external_id) == (Message.State.SENT, f"{BOT_ID}:{USER}:{sent['message_id']}")
    assert (sent["chat_id"], sent["text"]) == (USER, reply.text)
    contact = Contact.objects.get()
    assert (contact.name, contact.phone) == ("Aigul", None)
    assert Turn.objects.get().stage == Turn.Stage.DONE


def test_a_channel_without_an_address_lives_by_polls(fake: FakeTelegram, telegram: Channel, broker: Broker) -> None:
    fake.hold = False
    Channel.objects.update(options={"polling": True})
    directory.forget()
    fake.customer_writes(USER, "Здравствуйте!")
    assert polling.poll(telegram.pk) == 1
    broker.run()
    assert len(fake.ledger) == 1
    assert polling.poll(telegram.pk) == 0
    assert fake.bots[TOKEN].pending == {}
    fake.customer_writes(USER, "А доставка есть?")
    assert polling.poll(telegram.pk) == 1
    broker.run()
    assert len(fake.ledger) == 2
    assert checks.check(telegram.pk)


def test_polls_that_are_repeated_bring_nothing_twice(fake: FakeTelegram, telegram: Channel, broker: Broker) -> None:
    fake.hold = False
    Channel.objects.update(options={"polling": True})
    directory.forget()
    fake.customer_writes(USER, "Здравствуйте!")
    assert polling.poll(telegram.pk) == 1
    cursor = {**directory.entry(telegram.pk).adapter.poll({}).cursor, "offset": None}
    Channel.objects.filter(pk=telegram.pk).update(cursor=cursor)
    assert polling.poll(telegram.pk) == 0
    broker.run()
    assert len(fake.ledger) == 1


def test_an_update_that_telegram_repeats_is_answered_once(fake: FakeTelegram, telegram: Channel, broker: Broker) -> None:
    fake.customer_writes(USER, "Здравствуйте!")
    again = dict(fake.bots[TOKEN].pending)
    deliver(fake, telegram, broker)
    fake.bots[TOKEN].pending |= again
    deliver(fake, telegram, broker)
    # The same message under another number of the sequence.
    [update] = again.values()
    fake.bots[TOKEN].pending[1] = {**update, "update_id": 1}
    deliver(fake, telegram, broker)
    assert Message.objects.filter(direction="in").count() == 1
    assert len(fake.ledger) == 1


def test_the_link_a_customer_came_by_is_kept(fake: FakeTelegram, telegram: Channel, broker: Broker) -> None:
    fake.customer_writes(USER, "/start spring_sale")
    deliver(fake, telegram, broker)
    assert (incoming().text, incoming().details["source"]) == ("/start", "tg:spring_sale")
    assert len(fake.ledger) == 1


def test_a_tap_is_a_message_and_is_told_that_it_arrived(fake: FakeTelegram, telegram: Channel, broker: Broker) -> None:
    query = fake.customer_taps(USER, "slot:42")
    fake.known.add(USER)
    deliver(fake, telegram, broker)
    assert (incoming().kind, incoming().details["action"]) == (Message.Kind.BUTTON, "slot:42")
    assert len(fake.ledger) == 1
    assert fake.taps == {query: True}


def test_a_voice_is_stored_with_what_is_known_of_it(fake: FakeTelegram, telegram: Channel, broker: Broker) -> None:
    fake.customer_speaks(USER, content=b"OggS sound", seconds=7)
    deliver(fake, telegram, broker)
    message = incoming()
    [media] = message.details["media"]
    assert (message.kind, media["mime"], media["seconds"]) == (Message.Kind.VOICE, "audio/ogg", 7)
    assert fake.calls["getFile"] == 1
    assert len(fake.ledger) == 1


def test_a_shared_phone_becomes_the_contacts(fake: FakeTelegram, telegram: Channel, broker: Broker) -> None:
    fake.customer_shares_contact(USER, "77025556677", own=False)
    deliver(fake, telegram, broker)
    assert Contact.objects.get().phone is None
    fake.customer_shares_contact(USER, "77011234567")
    deliver(fake, telegram, broker)
    assert Contact.objects.get().phone == "77011234567"


def test_an_edit_changes_the_message_and_not_the_count(fake: FakeTelegram, telegram: Channel, broker: Broker) -> None:
    number = fake.customer_writes(USER, "Есть белая?")
    deliver(fake, telegram, broker)
    fake.customer_edits(USER, number, "Есть чёрная?")
    deliver(fake, telegram, broker)
    assert Message.objects.filter(direction="in").get().text == "Есть чёрная?"
    assert len(fake.ledger) == 1


@pytest.mark.parametrize("payload", ["group_message", "another_bot", "pinned", "blocked", "unblocked"])
def test_what_concerns_no_customer_is_ignored_with_a_reason(
    fake: FakeTelegram, telegram: Channel, broker: Broker, payload: str
) -> None:
    path = Path(__file__).parent.parent / "payloads" / "telegram" / f"{payload}.json"
    fake.bots[TOKEN].pending[7] = json.loads(path.read_text())
    deliver(fake, telegram, broker)
    event = InboundEvent.objects.get()
    assert event.state == InboundEvent.State.IGNORED
    assert event.reason
    assert not Contact.objects.exists()


def test_who_blocked_the_bot_is_not_written_to_again_and_again(fake: FakeTelegram, telegram: Channel, broker: Broker) -> None:
    fake.customer_writes(USER, "Здравствуйте!")
    fake.blocked.add(USER)
    deliver(fake, telegram, broker)
    [reply] = replies()
    assert reply.state == Message.State.FAILED
    assert fake.calls["sendMessage"] == 1
    conversation = Conversation.objects.get()
    assert conversation.needs_attention and conversation.unreachable_since is not None


def test_who_shuts_the_bot_out_is_unreachable_until_they_let_it_in_again(
    fake: FakeTelegram, telegram: Channel, broker: Broker
) -> None:
    fake.customer_writes(USER, "Здравствуйте!")
    deliver(fake, telegram, broker)
    assert Conversation.objects.get().unreachable_since is None
    fake.customer_blocks(USER)
    deliver(fake, telegram, broker)
    since = Conversation.objects.get().unreachable_since
    assert since is not None and not Conversation.objects.get().needs_attention
    assert InboundEvent.objects.latest("id").state == InboundEvent.State.PROCESSED
    fake.customer_blocks(USER)
    deliver(fake, telegram, broker)
    assert Conversation.objects.get().unreachable_since == since
    fake.customer_blocks(USER, blocked=False)
    deliver(fake, telegram, broker)
    assert Conversation.objects.get().unreachable_since is None


def test_who_writes_again_is_reachable_and_answered(fake: FakeTelegram, telegram: Channel, broker: Broker) -> None:
    fake.customer_writes(USER, "Здравствуйте!")
    fake.blocked.add(USER)
    deliver(fake, telegram, broker)
    fake.blocked.discard(USER)
    fake.customer_writes(USER, "Я передумал")
    deliver(fake, telegram, broker)
    assert Conversation.objects.get().unreachable_since is None
    assert replies()[-1].state == Message.State.SENT


def test_a_refusal_that_is_older_than_the_last_message_is_no_news(fake: FakeTelegram, telegram: Channel, broker: Broker) -> None:
    fake.customer_writes(USER, "Здравствуйте!")
    deliver(fake, telegram, broker)
    [reply] = replies()
    with transaction.atomic():
        Message.objects.filter(pk=reply.pk).update(state_changed_at=timezone.now() - timedelta(minutes=1))
        reach.heed(reply, "blocked")
    assert Conversation.objects.get().unreachable_since is None


def test_the_managers_pages_say_since_when(fake: FakeTelegram, telegram: Channel, broker: Broker, admin_client: Client) -> None:
    fake.customer_writes(USER, "Здравствуйте!")
    deliver(fake, telegram, broker)
    conversation = Conversation.objects.get()
    feed = reverse("admin:conversation_feed", args=(conversation.pk,))
    before = admin_client.get(feed).json()
    fake.customer_blocks(USER)
    deliver(fake, telegram, broker)
    after = admin_client.get(feed).json()
    assert before["version"] != after["version"]
    assert "person_off" not in before["head"] and "person_off" in after["head"]
    contact = admin_client.get(reverse("admin:conversations_contact_change", args=(conversation.contact_id,)))
    conversation.refresh_from_db()
    assert contact.status_code == 200 and str(moment(conversation.unreachable_since)) in contact.content.decode()


def test_a_busy_telegram_is_asked_again_after_its_own_delay(fake: FakeTelegram, telegram: Channel, broker: Broker) -> None:
    busy = {"ok": False, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": 120}}
    fake.faults.append(Fault("sendMessage", status=429, body=json.dumps(busy)))
    fake.customer_writes(USER, "Здравствуйте!")
    deliver(fake, telegram, broker)
    [reply] = replies()
    assert reply.state == Message.State.QUEUED
    assert reply.next_attempt_at > timezone.now() + timedelta(seconds=110)


@pytest.mark.parametrize(
    "fault", [Fault("sendMessage", drop=True), Fault("sendMessage", status=502, body="<html>", accept=True)]
)
def test_a_lost_answer_is_not_sent_again(fake: FakeTelegram, telegram: Channel, broker: Broker, fault: Fault) -> None:
    fake.faults.append(fault)
    fake.customer_writes(USER, "Здравствуйте!")
    deliver(fake, telegram, broker)
    [reply] = replies()
    assert reply.state == Message.State.UNCONFIRMED
    assert len(fake.ledger) == 1
    assert Conversation.objects.get().needs_attention


def test_a_revoked_token_is_told_and_the_answer_waits(fake: FakeTelegram, telegram: Channel, broker: Broker) -> None:
    gone = {"ok": False, "error_code": 401, "description": "Unauthorized"}
    fake.faults.append(Fault("sendMessage", status=401, body=json.dumps(gone)))
    fake.customer_writes(USER, "Здравствуйте!")
    deliver(fake, telegram, broker)
    assert replies()[0].state == Message.State.QUEUED
    telegram.refresh_from_db()
    assert telegram.health == Channel.Health.NEEDS_ATTENTION
    assert TOKEN not in telegram.health_detail + replies()[0].error


def test_a_reply_is_read_aloud(fake: FakeTelegram, telegram: Channel, broker: Broker) -> None:
    from llm.models import Voice
    from tests.sandbox.voices import FakeVoices

    with running(FakeVoices()) as engine:
        voice = Voice.objects.create(name="Irina", slug="irina", engine="piper", base_url=engine, language="")
        Assistant.objects.update(voice=voice, voice_when="always")
        fake.customer_writes(USER, "Здравствуйте!")
        deliver(fake, telegram, broker)
    assert [sent["method"] for sent in fake.ledger] == ["sendMessage", "sendVoice"]
    assert [message.state for message in replies()] == [Message.State.SENT] * 2


def test_a_customer_who_forbids_voice_messages_reads(fake: FakeTelegram, telegram: Channel, broker: Broker) -> None:
    from llm.models import Voice
    from tests.sandbox.voices import FakeVoices

    fake.bots[TOKEN].deaf.append(str(USER))
    with running(FakeVoices()) as engine:
        voice = Voice.objects.create(name="Irina", slug="irina", engine="piper", base_url=engine, language="")
        Assistant.objects.update(voice=voice, voice_when="always")
        fake.customer_writes(USER, "Здравствуйте!")
        deliver(fake, telegram, broker)
    assert [message.state for message in replies()] == [Message.State.SENT, Message.State.SUPPRESSED]
    assert Turn.objects.get().stage == Turn.Stage.DONE and not Conversation.objects.get().needs_attention
