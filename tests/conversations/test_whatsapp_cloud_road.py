"""A customer of the WhatsApp Cloud API from webhook to answer: the real tasks, and the fake Graph API behind real HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from channels import directory, registry
from channels.base import TemplateUse
from channels.models import Channel, InboundEvent
from conversations import contacts, media, outbox, takeover
from conversations.drafts import Draft
from conversations.models import Contact, ContactIdentity, Conversation, Message, Turn
from sales.models import Assistant, Bot
from tests.conftest import Broker
from tests.sandbox.fixtures import served
from tests.sandbox.server import Fault
from tests.sandbox.whatsapp_cloud import FakeCloud
from tests.sandbox.whatsapp_cloud_rows import ACCOUNT, APP_SECRET, NUMBER, TOKEN, VERIFY_TOKEN, Number, signature, user_id

pytestmark = pytest.mark.django_db(transaction=True)

PHONE = "77010000001"


server = served(FakeCloud)


@pytest.fixture
def fake(server: FakeCloud) -> FakeCloud:
    server.reset()
    server.number = Number(auto_receipts=["sent", "delivered"])
    server.holding = True
    return server


@pytest.fixture
def shop(fake: FakeCloud, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Channel:
    monkeypatch.setitem(registry.ADAPTERS, "whatsapp_cloud", "channels.adapters.whatsapp_cloud.WhatsAppCloudAdapter")
    registry.adapter_class.cache_clear()
    channel = Channel.objects.create(
        name="WhatsApp", slug="wa", kind="whatsapp_cloud", company="Demo", hold=0, moderation=False, base_url=fake.base_url,
        credentials={"access_token": TOKEN, "app_secret": APP_SECRET, "verify_token": VERIFY_TOKEN},
        options={"phone_number_id": NUMBER, "waba_id": ACCOUNT},
    )  # fmt: skip
    Bot.objects.create(channel=channel, assistant=Assistant.objects.create(name="Aida", slug="aida"))
    directory.forget()
    return channel


def deliver(fake: FakeCloud, channel: Channel, broker: Broker) -> None:
    """Post what Meta holds, as it would, and let the workers do what follows from it."""
    bodies, fake.held = fake.held, []
    for body in bodies:
        answer: Any = Client().post(
            f"/webhooks/whatsapp_cloud/{channel.slug}/{channel.webhook_secret}/", body, content_type="application/json",
            headers={"X-Hub-Signature-256": signature(body)},
        )  # fmt: skip
        assert answer.status_code == 200
    broker.run()


def settle(fake: FakeCloud) -> None:
    """Wait for the statuses of what was sent: they are made beside the answer."""
    import asyncio

    async def done() -> None:
        await asyncio.gather(*fake._pending)

    if fake.loop is not None:
        asyncio.run_coroutine_threadsafe(done(), fake.loop).result(10)


def replies() -> list[Message]:
    return list(Message.objects.filter(direction="out", author="bot").order_by("seq"))


def test_a_text_is_answered_marked_read_and_delivered(fake: FakeCloud, shop: Channel, broker: Broker) -> None:
    asked = fake.customer_writes(PHONE, "Здравствуйте!")
    deliver(fake, shop, broker)
    [reply] = replies()
    [sent] = fake.ledger
    assert (sent["recipient"], sent["text"], sent["message_id"]) == (PHONE, reply.text, reply.external_id)
    assert sent["body"]["biz_opaque_callback_data"] == f"saudager:{reply.pk}"
    assert fake.read == [asked]
    settle(fake)
    deliver(fake, shop, broker)
    reply.refresh_from_db()
    assert reply.state == Message.State.DELIVERED
    assert Contact.objects.get().phone == PHONE


def test_repeated_webhooks_are_answered_once(fake: FakeCloud, shop: Channel, broker: Broker) -> None:
    fake.customer_writes(PHONE, "Здравствуйте!")
    fake.held *= 3
    deliver(fake, shop, broker)
    assert len(fake.ledger) == len(replies()) == 1


def test_one_who_hides_the_phone_later_stays_the_same_customer(fake: FakeCloud, shop: Channel, broker: Broker) -> None:
    fake.customer_writes(PHONE, "Здравствуйте!")
    deliver(fake, shop, broker)
    fake.customer_writes(PHONE, "Сколько стоит?", hidden=True)
    deliver(fake, shop, broker)
    assert Conversation.objects.count() == 1
    assert ContactIdentity.objects.get().source_id == user_id(PHONE)
    assert [sent["recipient"] for sent in fake.ledger] == [PHONE, PHONE]


def test_a_voice_message_can_be_fetched(fake: FakeCloud, shop: Channel, broker: Broker) -> None:
    fake.customer_speaks(PHONE, content=b"OggS a question")
    deliver(fake, shop, broker)
    message = Message.objects.get(direction="in")
    assert media.content(message, 0) == (b"OggS a question", "audio/ogg")


def test_a_reply_that_whatsapp_refuses_reaches_a_manager(fake: FakeCloud, shop: Channel, broker: Broker) -> None:
    fake.refused[PHONE] = 131026
    fake.customer_writes(PHONE, "Здравствуйте!")
    deliver(fake, shop, broker)
    [reply] = replies()
    assert reply.state == Message.State.FAILED
    assert "131026" in reply.error
    assert Turn.objects.get().stage == Turn.Stage.FAILED


def test_a_refusal_that_comes_later_reaches_a_manager(fake: FakeCloud, shop: Channel, broker: Broker) -> None:
    fake.number.auto_receipts = []
    fake.customer_writes(PHONE, "Здравствуйте!")
    deliver(fake, shop, broker)
    [reply] = replies()
    fake.reports_status(str(reply.external_id), "failed", 131047)
    deliver(fake, shop, broker)
    reply.refresh_from_db()
    assert reply.state == Message.State.FAILED
    assert Conversation.objects.get().needs_attention


@pytest.mark.parametrize("later", [False, True])
def test_who_refuses_marketing_is_written_to_unasked_no_more_and_answered_as_ever(
    fake: FakeCloud, shop: Channel, broker: Broker, later: bool
) -> None:
    fake.number.auto_receipts = []
    fake.customer_writes(PHONE, "Здравствуйте!")
    deliver(fake, shop, broker)
    conversation = Conversation.objects.get()
    fake.approve("remind", "ru", "Вы ещё думаете?")
    if not later:
        fake.refused[PHONE] = 131050
    with transaction.atomic():
        locked = contacts.known_conversation(shop.pk, conversation.identity.source_id)
        draft = Draft("Вы ещё думаете?", template=TemplateUse("remind", "ru"))
        outbox.queue(locked, shop.pk, draft, author="bot", cycle=locked.cycle if hasattr(locked, "cycle") else None)
    broker.run()
    touch = replies()[-1]
    if later:
        assert touch.state == Message.State.SENT and Contact.objects.get().opted_out_at is None
        fake.reports_status(str(touch.external_id), "failed", 131050)
        deliver(fake, shop, broker)
        touch.refresh_from_db()
    assert touch.state == Message.State.FAILED and "131050" in touch.error
    assert Contact.objects.get().opted_out_at is not None
    assert Conversation.objects.get().unreachable_since is None
    fake.refused.clear()
    fake.customer_writes(PHONE, "А доставка есть?")
    deliver(fake, shop, broker)
    assert replies()[-1].state == Message.State.SENT
    assert Contact.objects.get().opted_out_at is not None


@pytest.mark.parametrize("later", [False, True])
def test_who_has_blocked_the_number_is_unreachable_until_they_write(
    fake: FakeCloud, shop: Channel, broker: Broker, later: bool
) -> None:
    fake.number.auto_receipts = []
    if not later:
        fake.refused[PHONE] = 131026
    fake.customer_writes(PHONE, "Здравствуйте!")
    deliver(fake, shop, broker)
    if later:
        fake.reports_status(str(replies()[0].external_id), "failed", 131026)
        deliver(fake, shop, broker)
    assert Conversation.objects.get().unreachable_since is not None
    fake.refused.clear()
    fake.customer_writes(PHONE, "Ау")
    deliver(fake, shop, broker)
    assert Conversation.objects.get().unreachable_since is None


def test_a_refused_token_keeps_the_reply(fake: FakeCloud, shop: Channel, broker: Broker) -> None:
    fake.faults.append(Fault(path="/messages", count=1, status=401, body='{"error":{"code":190}}'))
    fake.customer_writes(PHONE, "Здравствуйте!")
    deliver(fake, shop, broker)
    shop.refresh_from_db()
    assert shop.health == Channel.Health.NEEDS_ATTENTION
    assert replies()[0].state == Message.State.QUEUED


def test_a_lost_answer_is_never_sent_again(fake: FakeCloud, shop: Channel, broker: Broker) -> None:
    fake.faults.append(Fault(path="/messages", drop=True))
    fake.customer_writes(PHONE, "Здравствуйте!")
    deliver(fake, shop, broker)
    assert replies()[0].state == Message.State.UNCONFIRMED
    assert len(fake.ledger) == 1


def test_the_owner_who_writes_on_the_phone_takes_over(fake: FakeCloud, shop: Channel, broker: Broker) -> None:
    fake.customer_writes(PHONE, "Здравствуйте!")
    deliver(fake, shop, broker)
    fake.owner_types_on_phone(PHONE, "Я сама отвечу")
    deliver(fake, shop, broker)
    conversation = Conversation.objects.get()
    assert conversation.mode == Conversation.Mode.MANAGER
    assert Message.objects.filter(author="manager").get().text == "Я сама отвечу"
    takeover.give_back(conversation.pk, cause=takeover.Cause.TIMEOUT)
    fake.customer_writes(PHONE, "Хорошо, жду")
    deliver(fake, shop, broker)
    assert len(fake.ledger) == 2


def test_a_tap_becomes_a_message(fake: FakeCloud, shop: Channel, broker: Broker) -> None:
    tap = {"type": "button_reply", "button_reply": {"id": "slot:1", "title": "Завтра в 15:00"}}
    fake.customer_sends(PHONE, {"type": "interactive", "interactive": tap, "context": {"from": "7", "id": "wamid.X"}})
    deliver(fake, shop, broker)
    message = Message.objects.get(direction="in")
    assert (message.kind, message.text, (message.details or {})["action"]) == ("button", "Завтра в 15:00", "slot:1")
    assert len(replies()) == 1


def test_what_concerns_no_customer_is_ignored_with_a_reason(fake: FakeCloud, shop: Channel, broker: Broker) -> None:
    fake.customer_sends(PHONE, {"type": "reaction", "reaction": {"message_id": "wamid.X", "emoji": "👍"}})
    fake.customer_sends(PHONE, {"type": "text", "text": {"body": "всем"}, "group_id": "Y2Fw"})
    fake.reports_account("message_template_status_update", {"event": "APPROVED", "message_template_name": "hello"})
    deliver(fake, shop, broker)
    assert {event.state for event in InboundEvent.objects.all()} == {InboundEvent.State.IGNORED}
    assert all(event.reason for event in InboundEvent.objects.all())
    assert not Contact.objects.exists()


def test_a_restricted_account_shows_on_the_channel(fake: FakeCloud, shop: Channel, broker: Broker) -> None:
    fake.reports_account("account_update", {"event": "ACCOUNT_RESTRICTION"})
    deliver(fake, shop, broker)
    shop.refresh_from_db()
    assert shop.health == Channel.Health.TROUBLE
    assert "ACCOUNT_RESTRICTION" in shop.health_detail
