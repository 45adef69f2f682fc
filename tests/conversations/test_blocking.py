"""Customers whom a manager blocks: silence from us, the provider's blacklist where there is one, and the way back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from channels import directory, polling
from channels.models import Channel
from conversations import blocking, takeover, turns
from conversations.models import Conversation, Message, Turn
from sales.models import Assistant, Bot
from tests.channels.avito_server import CHAT, forget
from tests.conftest import Broker, Company
from tests.conversations.rows import a_channel, a_conversation, a_manager, english  # noqa: F401
from tests.sandbox.avito import FakeAvito
from tests.sandbox.avito_rows import CLIENT_ID, CLIENT_SECRET
from tests.sandbox.fixtures import served
from tests.sandbox.server import Fault

pytestmark = pytest.mark.django_db(transaction=True)


server = served(FakeAvito)


@pytest.fixture
def fake(server: FakeAvito) -> FakeAvito:
    forget(server)
    server.hold = True
    return server


@pytest.fixture
def avito(fake: FakeAvito, broker: Broker) -> Channel:
    directory.forget()
    channel = a_channel(
        kind="avito", hold=0, moderation=False, base_url=fake.base_url,
        credentials={"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET},
    )  # fmt: skip
    Bot.objects.create(channel=channel, assistant=Assistant.objects.create(name="Aida", slug="aida"))
    return channel


def leader(channel: Channel) -> Client:
    """The browser of a manager whose channel it is."""
    channel.owner = a_manager()
    channel.save(update_fields=["owner"])
    browser = Client()
    browser.force_login(channel.owner)
    return browser


def read(channel: Channel, broker: Broker) -> None:
    polling.poll(channel.pk)
    broker.run()


def press(client: Client, conversation: Conversation, do: str) -> tuple[int, str]:
    answer = client.post(reverse("admin:conversation_decide", args=(conversation.pk,)), {"do": do})
    told = answer.json()
    return answer.status_code, told.get("done") or told["error"]


def feed(client: Client, conversation: Conversation) -> str:
    found = client.get(reverse("admin:conversation_feed", args=(conversation.pk,))).json()
    return found["head"] + found["side"]


def test_a_blocked_customer_is_stored_and_not_answered_until_the_way_back(company: Company, broker: Broker) -> None:
    manager = a_manager()
    company.says("Здравствуйте!")
    broker.run()
    conversation = company.conversation()
    assert blocking.block(conversation.pk, user=manager)
    assert not blocking.block(conversation.pk, user=manager)
    company.says("Вы где?")
    broker.run()
    conversation.refresh_from_db()
    assert (conversation.mode, conversation.blocked_by) == (Conversation.Mode.CLOSED, manager)
    assert company.turns()[-1].reason == Turn.Reason.BLOCKED
    assert Message.objects.filter(direction="in").count() == 2 and len(company.sent()) == 1
    assert blocking.unblock(conversation.pk, user=manager)
    assert not blocking.unblock(conversation.pk, user=manager)
    company.says("Я исправился")
    broker.run()
    conversation.refresh_from_db()
    assert conversation.mode == Conversation.Mode.BOT and len(company.sent()) == 2


def test_what_was_on_its_way_to_them_does_not_leave(company: Company, broker: Broker) -> None:
    company.says("Здравствуйте!")
    broker.run(skip=("conversations.deliver",))
    blocking.block(company.conversation().pk, user=a_manager())
    broker.run()
    assert [message.state for message in company.sent()] == [Message.State.SUPPRESSED]
    assert company.turns()[0].reason == Turn.Reason.CLOSED


def test_the_assistant_never_leads_again_by_itself(company: Company, broker: Broker) -> None:
    manager = a_manager()
    company.says("Здравствуйте!")
    broker.run()
    conversation = company.conversation()
    blocking.block(conversation.pk, user=manager)
    takeover.take_over(conversation.pk, user=manager)
    Conversation.objects.update(resumes_at=timezone.now() - timedelta(minutes=1))
    takeover.resume_due()
    conversation.refresh_from_db()
    assert conversation.mode == Conversation.Mode.CLOSED
    assert turns.open_proactive(conversation.pk, "manual") is None or conversation.mode != Conversation.Mode.BOT


def test_avito_puts_the_buyer_on_its_blacklist(fake: FakeAvito, avito: Channel, broker: Broker) -> None:
    fake.customer_writes(CHAT, "Здравствуйте!")
    read(avito, broker)
    manager, conversation = leader(avito), Conversation.objects.get()
    assert "Avito will let the customer write no more" in feed(manager, conversation)
    assert press(manager, conversation, "block") == (200, "Blocked: the assistant stays silent here.")
    [listed] = fake.accounts[CLIENT_ID].blacklist
    assert listed["user_id"] and listed["context"]["reason_id"] == 1
    shown = feed(manager, conversation)
    assert "Blocked" in shown and 'data-do="unblock"' in shown and 'data-do="give_back"' not in shown
    status, told = press(manager, conversation, "unblock")
    assert status == 200 and "Avito is changed on its own pages" in told
    assert press(manager, conversation, "unblock")[0] == 409


def test_what_avito_refuses_is_told_and_ours_holds(fake: FakeAvito, avito: Channel, broker: Broker) -> None:
    fake.customer_writes(CHAT, "Здравствуйте!")
    read(avito, broker)
    fake.faults.append(Fault("/blacklist", status=503))
    manager, conversation = leader(avito), Conversation.objects.get()
    status, told = press(manager, conversation, "block")
    assert status == 409 and "did not block the customer" in told
    fake.customer_writes(CHAT, "Ау")
    read(avito, broker)
    assert len(fake.ledger) == 1 and not fake.accounts[CLIENT_ID].blacklist
    assert Turn.objects.latest("id").reason == Turn.Reason.BLOCKED


def test_a_channel_without_a_blacklist_blocks_on_our_side(broker: Broker) -> None:
    conversation = a_conversation(a_channel())
    manager = leader(conversation.channel)
    assert "will be stored and not answered" in feed(manager, conversation)
    assert press(manager, conversation, "block")[0] == 200
    assert press(manager, conversation, "unblock") == (200, "The assistant answers the next message again.")


def test_blocking_is_for_those_who_may_change_the_conversation(broker: Broker) -> None:
    conversation = a_conversation(a_channel(owner=a_manager()))
    stranger = Client()
    stranger.force_login(a_manager())
    address = reverse("admin:conversation_decide", args=(conversation.pk,))
    assert stranger.post(address, {"do": "block"}).status_code == 404
    conversation.refresh_from_db()
    assert conversation.blocked_at is None
