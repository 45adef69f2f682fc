"""Avito from a buyer's message to the answer in their chat: a webhook rings, a poll reads, the fake Avito takes the reply."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from channels import checks, directory, polling, reconcile, registry
from channels.models import Channel, InboundEvent
from conversations import evidence
from conversations.models import Contact, Conversation, Message, Turn
from sales.models import Assistant, Bot
from tests.channels.avito_server import forget
from tests.conftest import Broker
from tests.sandbox.avito import FakeAvito
from tests.sandbox.avito_rows import CLIENT_ID, CLIENT_SECRET
from tests.sandbox.fixtures import served
from tests.sandbox.server import Fault

pytestmark = pytest.mark.django_db(transaction=True)

CHAT = "u2i-abc~1"
SITE = "https://shop.example"


server = served(FakeAvito)


@pytest.fixture
def fake(server: FakeAvito, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAvito]:
    monkeypatch.setitem(registry.ADAPTERS, "avito", "channels.adapters.avito.AvitoAdapter")
    registry.adapter_class.cache_clear()
    forget(server)
    server.hold = True  # the tests post by themselves
    yield server
    server.held.clear()
    registry.adapter_class.cache_clear()
    directory.forget()


@pytest.fixture
def avito(fake: FakeAvito, broker: Broker, settings: Any, tmp_path: Path) -> Channel:
    settings.MEDIA_ROOT = tmp_path
    channel = Channel.objects.create(
        name="Avito", slug="shop", kind="avito", company="Demo", hold=0, moderation=False, base_url=fake.base_url,
        credentials={"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET},
    )  # fmt: skip
    Bot.objects.create(channel=channel, assistant=Assistant.objects.create(name="Aida", slug="aida"))
    registry.adapter_for(channel).subscribe(f"{SITE}/webhooks/avito/shop/{channel.webhook_secret}/")
    return channel


def ring(fake: FakeAvito, broker: Broker) -> None:
    """Post what Avito would post, and let the workers work."""
    for url, body in fake.held:
        answer = Client().post(url.removeprefix(SITE), json.dumps(body), content_type="application/json")
        assert answer.status_code == 200
    fake.held.clear()
    broker.run()


def deliver(fake: FakeAvito, channel: Channel, broker: Broker) -> int:
    """Ring, then read. Returns how many events were new to the poll."""
    ring(fake, broker)
    new = polling.poll(channel.pk)
    broker.run()
    return new


def replies() -> list[Message]:
    return list(Message.objects.filter(direction="out", author="bot").order_by("seq"))


def incoming() -> Message:
    return Message.objects.filter(direction="in").latest("seq")


def look_back(channel: Channel, broker: Broker) -> None:
    Channel.objects.filter(pk=channel.pk).update(next_reconcile_at=None)
    reconcile.reconcile(channel.pk)
    broker.run()


def test_a_text_is_answered_in_its_chat(fake: FakeAvito, avito: Channel, broker: Broker) -> None:
    fake.customer_writes(CHAT, "Здравствуйте! Ещё продаёте?")
    deliver(fake, avito, broker)
    [reply], [sent] = replies(), fake.ledger
    assert (reply.state, reply.external_id) == (Message.State.SENT, sent["id"])
    assert (sent["chat"], sent["text"]) == (CHAT, reply.text)
    assert fake.read == [CHAT]
    contact = Contact.objects.get()
    assert (contact.name, contact.phone) == ("Guldan", None)
    assert Turn.objects.get().stage == Turn.Stage.DONE


def test_it_is_known_where_the_buyer_comes_from_and_what_they_ask_about(
    fake: FakeAvito, avito: Channel, broker: Broker
) -> None:
    fake.customer_writes(CHAT, "Торг уместен?", title="Диван угловой", price="35 000 ₽")
    deliver(fake, avito, broker)
    details = incoming().details
    assert details["source"] == "avito-lead"
    assert (details["about"]["title"], details["about"]["price"], details["about"]["currency"]) == (
        "Диван угловой",
        "35000",
        "RUB",
    )


def test_webhook_poll_and_look_back_of_one_message_are_one_message(fake: FakeAvito, avito: Channel, broker: Broker) -> None:
    fake.customer_writes(CHAT, "Здравствуйте!")
    held = list(fake.held)
    deliver(fake, avito, broker)
    fake.held += held
    deliver(fake, avito, broker)
    look_back(avito, broker)
    assert Message.objects.filter(direction="in").count() == 1
    assert len(fake.ledger) == 1
    assert Conversation.objects.get().mode == Conversation.Mode.BOT


def test_an_invented_webhook_has_no_effect(fake: FakeAvito, avito: Channel, broker: Broker) -> None:
    fake.customer_writes(CHAT, "Здравствуйте!")
    [(_url, body)] = fake.held
    body["payload"]["value"] |= {"id": "invented", "content": {"text": "Пришлите всё"}, "chat_id": "u2i-other"}
    deliver(fake, avito, broker)
    assert [message.text for message in Message.objects.filter(direction="in")] == ["Здравствуйте!"]
    assert {sent["chat"] for sent in fake.ledger} == {CHAT}


def test_two_listings_are_two_conversations(fake: FakeAvito, avito: Channel, broker: Broker) -> None:
    fake.customer_writes(CHAT, "Здравствуйте!")
    fake.customer_writes("u2i-second", "И про это")
    deliver(fake, avito, broker)
    assert {sent["chat"] for sent in fake.ledger} == {CHAT, "u2i-second"}
    assert Conversation.objects.count() == 2


def test_without_webhooks_polls_do(fake: FakeAvito, avito: Channel, broker: Broker) -> None:
    registry.adapter_for(avito).unsubscribe()
    fake.customer_writes(CHAT, "Здравствуйте!")
    assert polling.poll(avito.pk) == 1
    broker.run()
    assert polling.poll(avito.pk) == 1, "the echo of our own reply"
    broker.run()
    assert polling.poll(avito.pk) == 0
    assert len(fake.ledger) == 1
    assert Conversation.objects.get().mode == Conversation.Mode.BOT
    assert checks.check(avito.pk)


def test_the_owner_who_answers_in_the_app_takes_over(fake: FakeAvito, avito: Channel, broker: Broker) -> None:
    fake.customer_writes(CHAT, "Здравствуйте!")
    deliver(fake, avito, broker)
    fake.owner_writes(CHAT, "Я сам отвечу")
    deliver(fake, avito, broker)
    assert Conversation.objects.get().mode == Conversation.Mode.MANAGER
    fake.customer_writes(CHAT, "Хорошо")
    deliver(fake, avito, broker)
    assert len(fake.ledger) == 1
    authors = Message.objects.order_by("seq").values_list("author", flat=True)
    assert list(authors) == ["customer", "bot", "manager", "customer"]


def test_a_voice_message_is_stored_as_what_it_is(fake: FakeAvito, avito: Channel, broker: Broker) -> None:
    fake.customer_speaks(CHAT, content=b"\0\0\0\x18ftypmp42 opus")
    deliver(fake, avito, broker)
    message = incoming()
    [media] = message.details["media"]
    assert (message.kind, media["mime"], media["ref"]) == (Message.Kind.VOICE, "audio/mp4", f"voice:{next(iter(fake.voices))}")
    assert fake.calls["voices"] == 1


def test_a_late_history_is_read_when_it_comes(fake: FakeAvito, avito: Channel, broker: Broker) -> None:
    """The webhook, and the list of chats, may know a message before the history shows it."""
    fake.customer_writes(CHAT, "Здравствуйте!", lag=3600)
    assert deliver(fake, avito, broker) == 0
    fake.chats[CHAT].messages[0].listed_at = 0.0
    assert polling.poll(avito.pk) == 1
    broker.run()
    assert len(fake.ledger) == 1


def test_a_lost_answer_is_looked_up_and_not_sent_again(fake: FakeAvito, avito: Channel, broker: Broker) -> None:
    fake.customer_writes(CHAT, "Здравствуйте!")
    polling.poll(avito.pk)
    fake.faults.append(Fault("/messages", drop=True))
    broker.run(skip=("conversations.confirm", "channels.poll"))
    [reply] = replies()
    assert reply.state == Message.State.UNCONFIRMED
    evidence.confirm(reply.pk)
    reply.refresh_from_db()
    assert (reply.state, reply.external_id) == (Message.State.SENT, fake.ledger[0]["id"])
    broker.run()
    assert len(fake.ledger) == 1


def test_a_chat_that_is_closed_to_us_needs_a_person(fake: FakeAvito, avito: Channel, broker: Broker) -> None:
    fake.customer_writes(CHAT, "Здравствуйте!")
    polling.poll(avito.pk)
    fake.chats[CHAT].closed = True
    broker.run()
    assert replies()[0].state == Message.State.FAILED
    assert Conversation.objects.get().needs_attention
    avito.refresh_from_db()
    assert avito.health != Channel.Health.NEEDS_ATTENTION


def test_a_tariff_that_ran_out_is_told_and_the_answer_waits(fake: FakeAvito, avito: Channel, broker: Broker) -> None:
    fake.customer_writes(CHAT, "Здравствуйте!")
    polling.poll(avito.pk)
    fake.accounts[CLIENT_ID].tariff = False
    broker.run()
    assert replies()[0].state == Message.State.QUEUED
    assert not checks.check(avito.pk)
    avito.refresh_from_db()
    assert avito.health == Channel.Health.NEEDS_ATTENTION
    assert CLIENT_SECRET not in avito.health_detail


@pytest.mark.parametrize("sort", ["system", "call", "deleted"])
def test_what_concerns_no_customer_is_ignored_with_a_reason(fake: FakeAvito, avito: Channel, broker: Broker, sort: str) -> None:
    fake.customer_writes(CHAT, type=sort, content={})
    deliver(fake, avito, broker)
    told = InboundEvent.objects.exclude(external_id__startswith="ring:")
    assert {(event.state, bool(event.reason)) for event in told} == {("ignored", True)}
    assert not Contact.objects.exists()
