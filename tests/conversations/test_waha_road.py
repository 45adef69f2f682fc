"""From a signed WAHA webhook to a reply at the fake server and back, through the real tasks."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from channels import checks, polling, reconcile, registry
from channels.models import Channel, InboundEvent, NumberRule
from conversations.models import Contact, Conversation, Message, Turn
from foundation.tasks import kick
from sales.models import Assistant, Bot
from tests.conftest import Broker
from tests.sandbox.fixtures import served
from tests.sandbox.server import Fault
from tests.sandbox.waha import FakeWaha, signed
from tests.sandbox.waha_rows import API_KEY, HMAC_KEY, OWN_NUMBER, SESSION

pytestmark = pytest.mark.django_db(transaction=True)

PHONE = "77011234567"
LID = "178412345678901@lid"


server = served(FakeWaha)


@pytest.fixture
def fake(server: FakeWaha) -> FakeWaha:
    server.reset()
    return server


@pytest.fixture
def waha(fake: FakeWaha, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Channel:
    monkeypatch.setitem(registry.ADAPTERS, "waha", "channels.adapters.waha.WahaAdapter")
    registry.adapter_class.cache_clear()
    channel = Channel.objects.create(
        name="WhatsApp", slug="wa", kind="waha", company="Demo", hold=0, moderation=False, base_url=fake.base_url,
        credentials={"api_key": API_KEY, "hmac_key": HMAC_KEY}, options={"session": SESSION}, own_number=OWN_NUMBER,
    )  # fmt: skip
    Bot.objects.create(channel=channel, assistant=Assistant.objects.create(name="Aida", slug="aida"))
    return channel


def post(channel: Channel, envelope: dict[str, Any]) -> int:
    body = json.dumps(envelope, ensure_ascii=False).encode()
    headers = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in signed(body, HMAC_KEY).items()}
    url = f"/webhooks/waha/{channel.slug}/{channel.webhook_secret}/"
    return int(Client().post(url, body, content_type="application/json", **headers).status_code)


def arrives(fake: FakeWaha, channel: Channel, broker: Broker, bare: str) -> None:
    """Post the webhook of a stored message and let every task run."""
    row = fake.row(next(message for message in fake.messages[SESSION] if message.bare == bare))
    assert post(channel, fake.envelope("message.any", row)) == 200
    broker.run()


def bring(fake: FakeWaha, channel: Channel, broker: Broker, text: str = "Здравствуйте!", chat: str = PHONE, **more: Any) -> str:
    bare = fake.customer_writes(chat, text, deliver="history", name="Aigul", **more)
    arrives(fake, channel, broker, bare)
    return bare


def replies() -> list[Message]:
    return list(Message.objects.filter(direction="out", author="bot").order_by("seq"))


@pytest.mark.parametrize("engine", ["GOWS", "NOWEB", "WEBJS"])
def test_a_text_is_answered(fake: FakeWaha, waha: Channel, broker: Broker, engine: str) -> None:
    fake.engine = engine
    asked = bring(fake, waha, broker)
    [reply], [sent] = replies(), fake.ledger
    assert (reply.state, reply.external_id) == (Message.State.SENT, sent["message_id"])
    assert (sent["recipient"], sent["text"]) == (f"{PHONE}@c.us", reply.text)
    assert fake.marked == [f"false_{PHONE}@c.us_{asked}"]
    contact = Contact.objects.get()
    assert (contact.phone, contact.name) == (PHONE, "Aigul")


def test_acknowledgements_move_the_reply_forward_only(fake: FakeWaha, waha: Channel, broker: Broker) -> None:
    bring(fake, waha, broker)
    [reply] = replies()
    message = next(message for message in fake.messages[SESSION] if message.bare == reply.external_id)
    for ack, state in ((0, "sent"), (2, "delivered"), (3, "read"), (1, "read"), (-1, "read")):
        assert post(waha, fake.envelope("message.ack", fake.ack_row(message, ack))) == 200
        broker.run()
        reply.refresh_from_db()
        assert reply.state == state


def test_an_error_reported_later_fails_the_reply(fake: FakeWaha, waha: Channel, broker: Broker) -> None:
    bring(fake, waha, broker)
    [reply] = replies()
    message = next(message for message in fake.messages[SESSION] if message.bare == reply.external_id)
    post(waha, fake.envelope("message.ack", fake.ack_row(message, -1)))
    broker.run()
    reply.refresh_from_db()
    assert reply.state == Message.State.FAILED
    assert Conversation.objects.get().needs_attention


def test_a_hidden_identity_is_answered_there(fake: FakeWaha, waha: Channel, broker: Broker) -> None:
    bring(fake, waha, broker, chat=LID)
    assert fake.ledger[0]["recipient"] == LID
    assert Contact.objects.get().phone is None


def test_a_hidden_identity_whose_phone_is_told_is_the_person_known_by_it(fake: FakeWaha, waha: Channel, broker: Broker) -> None:
    bring(fake, waha, broker)
    bring(fake, waha, broker, "И ещё вопрос", chat=LID, behind=PHONE)
    assert Contact.objects.count() == 1
    assert [sent["recipient"] for sent in fake.ledger] == [f"{PHONE}@c.us", LID]


def test_the_phone_behind_a_hidden_identity_is_asked_for_once(fake: FakeWaha, waha: Channel, broker: Broker) -> None:
    fake.phones = {LID: PHONE}
    bring(fake, waha, broker)
    bring(fake, waha, broker, "И ещё вопрос", chat=LID)
    bring(fake, waha, broker, "И последний", chat=LID)
    assert Contact.objects.get().phone == PHONE
    assert [sent["recipient"] for sent in fake.ledger] == [f"{PHONE}@c.us", LID, LID]
    assert sum(count for path, count in fake.calls.items() if "/lids/" in path) == 1


@pytest.mark.parametrize(("rule", "stored"), [("blocked", 1), ("excluded", 0)])
def test_the_rules_for_numbers_hold_behind_a_hidden_identity(
    fake: FakeWaha, waha: Channel, broker: Broker, rule: str, stored: int
) -> None:
    fake.phones = {LID: PHONE}
    NumberRule.objects.create(channel=waha, rule=rule, phone=PHONE)
    bring(fake, waha, broker, chat=LID)
    assert Message.objects.count() == stored
    assert fake.ledger == []


def test_an_allowed_number_is_answered_behind_a_hidden_identity(fake: FakeWaha, waha: Channel, broker: Broker) -> None:
    fake.phones = {LID: PHONE}
    NumberRule.objects.create(channel=waha, rule="allowed", phone=PHONE)
    bring(fake, waha, broker, chat=LID)
    assert [sent["recipient"] for sent in fake.ledger] == [LID]


@pytest.mark.parametrize(("failures", "phone"), [(1, PHONE), (3, None)])
def test_while_the_phone_cannot_be_asked_for_the_message_waits_but_is_never_lost(
    fake: FakeWaha, waha: Channel, broker: Broker, failures: int, phone: str | None
) -> None:
    fake.phones = {LID: PHONE}
    fake.faults.append(Fault(path="/lids/", status=503, count=failures))
    bring(fake, waha, broker, chat=LID)
    assert fake.ledger == []
    event = InboundEvent.objects.get()
    for _look in range(2):
        InboundEvent.objects.filter(state="new").update(next_attempt_at=timezone.now())
        kick("conversations.receive", event.pk)
        broker.run()
    assert len(fake.ledger) == 1
    assert Contact.objects.get().phone == phone


def test_one_message_under_two_addresses_is_answered_once(fake: FakeWaha, waha: Channel, broker: Broker) -> None:
    bare = bring(fake, waha, broker)
    bring(fake, waha, broker, chat=LID, bare=bare)
    assert len(fake.ledger) == 1
    assert InboundEvent.objects.count() == 1


def test_the_copy_of_our_own_reply_changes_nothing(fake: FakeWaha, waha: Channel, broker: Broker) -> None:
    bring(fake, waha, broker)
    [reply] = replies()
    arrives(fake, waha, broker, str(reply.external_id))
    assert Conversation.objects.get().mode == Conversation.Mode.BOT
    assert Message.objects.filter(direction="out").count() == 1


def test_what_the_owner_types_on_the_phone_takes_over(fake: FakeWaha, waha: Channel, broker: Broker) -> None:
    bring(fake, waha, broker)
    bare = fake.owner_types_on_phone(PHONE, "Я сам отвечу", deliver="history")
    arrives(fake, waha, broker, bare)
    assert Conversation.objects.get().mode == Conversation.Mode.MANAGER
    bring(fake, waha, broker, "Спасибо")
    assert len(fake.ledger) == 1


def test_an_edit_replaces_the_text(fake: FakeWaha, waha: Channel, broker: Broker) -> None:
    bare = bring(fake, waha, broker, "Есть красный?")
    edit = fake.row(fake._store(SESSION, PHONE, "Есть синий?")) | {"editedMessageId": bare}
    post(waha, fake.envelope("message.edited", edit))
    broker.run()
    assert Message.objects.get(external_id=bare).text == "Есть синий?"


def test_what_webhooks_missed_is_found_by_polls_and_by_looking_back(fake: FakeWaha, waha: Channel, broker: Broker) -> None:
    Channel.objects.update(created_at=timezone.now() - timedelta(hours=1))
    known = bring(fake, waha, broker)
    fake.customer_writes("77025556677", "Алло?", deliver="history")
    assert polling.poll(waha.pk) == 2  # the customer's, and the copy of our own reply
    broker.run()
    fake.customer_writes("77025556688", "Вы тут?", deliver="history")
    assert reconcile.reconcile(waha.pk) == 2
    broker.run()
    assert len(fake.ledger) == 3
    assert Message.objects.filter(external_id=known).count() == 1
    assert not Conversation.objects.exclude(mode=Conversation.Mode.BOT).exists()


def test_a_lost_answer_is_settled_by_the_history(fake: FakeWaha, waha: Channel, broker: Broker) -> None:
    fake.faults.append(Fault("sendText", drop=True))
    bring(fake, waha, broker)
    [reply] = replies()
    assert (reply.state, len(fake.ledger)) == (Message.State.SENT, 1)
    assert reply.external_id == fake.ledger[0]["message_id"]
    assert Turn.objects.get().stage == Turn.Stage.DONE


def test_a_session_that_is_not_linked_loses_no_reply(fake: FakeWaha, waha: Channel, broker: Broker) -> None:
    bare = fake.customer_writes(PHONE, "Здравствуйте!", deliver="history")
    envelope = fake.envelope("message.any", fake.row(fake.messages[SESSION][0]))
    fake.sessions[SESSION].status = "SCAN_QR_CODE"
    assert post(waha, envelope) == 200
    broker.run()
    [reply] = replies()
    assert (reply.state, fake.ledger) == (Message.State.QUEUED, [])
    waha.refresh_from_db()
    assert waha.health == Channel.Health.NEEDS_ATTENTION and waha.health_detail
    assert Message.objects.get(external_id=bare).direction == "in"


def test_the_session_is_seen_in_the_channels_health(fake: FakeWaha, waha: Channel, broker: Broker) -> None:
    point = {"status": "FAILED", "timestamp": int(time.time() * 1000)}
    post(waha, fake.envelope("session.status", {"name": SESSION, "status": "FAILED", "statuses": [point]}))
    broker.run()
    waha.refresh_from_db()
    assert waha.health == Channel.Health.TROUBLE and waha.health_detail
    fake.sessions[SESSION].phone = "77019991111"
    assert checks.check(waha.pk)
    waha.refresh_from_db()
    assert (waha.health, waha.own_number) == (Channel.Health.OK, "77019991111")


def test_a_voice_message_is_fetched_from_waha(
    fake: FakeWaha, waha: Channel, broker: Broker, settings: Any, tmp_path: Any
) -> None:
    settings.MEDIA_ROOT = tmp_path
    from conversations import media

    bare = fake.customer_speaks(PHONE, content=b"OggS sound", deliver="history", file_gone=True)
    arrives(fake, waha, broker, bare)
    message = Message.objects.get(external_id=bare)
    assert message.kind == Message.Kind.VOICE
    assert media.content(message, 0) == (b"OggS sound", "audio/ogg")
