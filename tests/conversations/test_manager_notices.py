"""Managers are told in their own chat: connected by a code in Telegram, told of leads from Avito, once and without words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from channels import directory, polling, registry
from channels.adapters import telegram_pace
from channels.models import Channel, ChannelBreaker, InboundEvent
from conversations import manager_chats, manager_notices, notices, turns
from conversations.models import Contact, Conversation, ManagerChat, ManagerNotice, Notice
from conversations.tasks import purge
from sales.models import Assistant, Bot
from tests.channels.avito_server import CHAT, forget
from tests.conftest import Broker
from tests.conversations.rows import a_channel, a_conversation, a_manager, english  # noqa: F401
from tests.sandbox import telegram_rows
from tests.sandbox.avito import FakeAvito
from tests.sandbox.avito_rows import CLIENT_ID, CLIENT_SECRET
from tests.sandbox.server import Fault, running
from tests.sandbox.telegram import FakeTelegram
from tests.sandbox.telegram_rows import TOKEN

pytestmark = pytest.mark.django_db(transaction=True)
GROUP, USER = -1001234567890, 5550001
TEXT = "Здравствуйте! Ещё продаёте?"


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[FakeTelegram, FakeAvito]]:
    telegram, avito = FakeTelegram(), FakeAvito()
    with running(telegram), running(avito):
        yield telegram, avito


@pytest.fixture
def fake(servers: tuple[FakeTelegram, FakeAvito]) -> FakeTelegram:
    telegram_pace.forget()
    server = servers[0]
    server.bots = {TOKEN: telegram_rows.Bot()}
    server.reset()
    server.known |= {GROUP, -8}
    server.hold = True
    directory.forget()
    manager_chats.addresses.forget()
    return server


@pytest.fixture
def shop(servers: tuple[FakeTelegram, FakeAvito]) -> FakeAvito:
    forget(servers[1])
    servers[1].hold = True
    return servers[1]


@pytest.fixture
def bot(fake: FakeTelegram, broker: Broker) -> Channel:
    channel = a_channel(
        name="Bot", kind="telegram", hold=0, moderation=False, base_url=fake.base_url, credentials={"token": TOKEN}
    )
    Bot.objects.create(channel=channel, assistant=Assistant.objects.create(name="Aida", slug="aida"))
    registry.adapter_for(channel).subscribe(f"https://shop.example/webhooks/telegram/{channel.slug}/{channel.webhook_secret}/")
    return channel


@pytest.fixture
def avito(shop: FakeAvito, broker: Broker) -> Channel:
    channel = a_channel(
        name="Avito Moscow", kind="avito", hold=0, moderation=False, base_url=shop.base_url,
        credentials={"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET},
    )  # fmt: skip
    assistant = Assistant.objects.create(name="Aida", slug="aida-2")
    Bot.objects.create(channel=channel, assistant=assistant)
    return channel


@pytest.fixture
def chat(bot: Channel) -> ManagerChat:
    """It is told of leads; what else it is told, its tests say."""
    return ManagerChat.objects.create(
        name="Sales", channel=bot, address=str(GROUP), connected_at=timezone.now(), calls=False
    )


def deliver(fake: FakeTelegram, broker: Broker) -> None:
    """Post everything that waits at Telegram, and let the workers work."""
    state = fake.bots[TOKEN]
    for number, update in list(state.pending.items()):
        answer = Client().post(
            state.webhook_url.removeprefix("https://shop.example"), json.dumps(update), content_type="application/json",
            headers={"X-Telegram-Bot-Api-Secret-Token": state.secret_token},
        )  # fmt: skip
        assert answer.status_code == 200
        del state.pending[number]
    broker.run()


def in_group(fake: FakeTelegram, text: str) -> None:
    group = {"id": GROUP, "type": "supergroup", "title": "Продажи"}
    fake.customer_writes(USER, text, chat=group)


def buyer_writes(shop: FakeAvito, avito: Channel, broker: Broker, text: str = TEXT, chat: str = CHAT) -> None:
    shop.customer_writes(chat, text, title="Диван [угловой]", price="35 000 ₽")
    polling.poll(avito.pk)
    broker.run()


def told(fake: FakeTelegram, chat: int = GROUP) -> list[dict[str, Any]]:
    return [sent for sent in fake.ledger if sent["chat_id"] == chat]


# ── Connecting ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", ["/managers {}", "/managers@sandbox_shop_bot {}", "/managers  {} "])
def test_a_group_is_connected_by_its_code(fake: FakeTelegram, bot: Channel, broker: Broker, command: str) -> None:
    chat = ManagerChat.objects.create(name="Sales", channel=bot)
    in_group(fake, command.format(manager_chats.new_code(chat).lower()))
    deliver(fake, broker)
    chat.refresh_from_db()
    assert (chat.address, chat.title, chat.code) == (str(GROUP), "Продажи", None)
    [sent] = told(fake)
    assert "Connected" in sent["text"] and "Sales" in sent["text"]
    assert not Contact.objects.exists()


def test_a_code_holds_once_for_its_bot_and_for_a_day(fake: FakeTelegram, bot: Channel, broker: Broker) -> None:
    other = ManagerChat.objects.create(name="Other", channel=a_channel(kind="telegram"))
    late = ManagerChat.objects.create(name="Late", channel=bot)
    codes = [manager_chats.new_code(other), manager_chats.new_code(late), "ABCDEFGHJK"]
    ManagerChat.objects.filter(pk=late.pk).update(code_until=timezone.now() - timedelta(seconds=1))
    for code in codes:
        in_group(fake, f"/managers {code}")
    deliver(fake, broker)
    assert not ManagerChat.objects.filter(connected_at__isnull=False).exists()
    assert set(InboundEvent.objects.values_list("state", "reason")) == {("ignored", "no managers' chat waits for this code")}
    assert fake.ledger == []


def test_a_manager_alone_with_the_bot_is_no_customer_any_more(fake: FakeTelegram, bot: Channel, broker: Broker) -> None:
    chat = ManagerChat.objects.create(name="Me", channel=bot)
    fake.customer_writes(USER, f"/managers {manager_chats.new_code(chat)}")
    deliver(fake, broker)
    fake.customer_writes(USER, "Спасибо, вижу")
    deliver(fake, broker)
    assert len(told(fake, USER)) == 1 and not Conversation.objects.exists()
    assert InboundEvent.objects.latest("id").reason == "a chat of managers"


# ── Leads ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_lead_from_avito_is_told_once_without_its_words(
    fake: FakeTelegram, shop: FakeAvito, avito: Channel, chat: ManagerChat, broker: Broker
) -> None:
    buyer_writes(shop, avito, broker)
    buyer_writes(shop, avito, broker, "А торг?")
    [sent] = told(fake)
    assert sent["text"].splitlines()[:2] == ["New lead · Avito Moscow", "Guldan"]
    assert "Диван (угловой), 35000 RUB" in sent["text"] and "avito-lead" in sent["text"]
    assert "продаёте" not in sent["raw"] and "торг" not in sent["raw"]
    conversation = Conversation.objects.get()
    assert reverse("admin:conversations_conversation_change", args=(conversation.pk,)) in sent["raw"]
    notice = ManagerNotice.objects.get()
    assert (notice.state, notice.kind) == ("sent", "lead")
    manager_notices.tell(notice.pk)
    manager_notices.sweep()
    broker.run()
    assert len(told(fake)) == 1


def test_only_the_chosen_channels_and_those_of_the_owner_are_told(
    fake: FakeTelegram, shop: FakeAvito, avito: Channel, bot: Channel, chat: ManagerChat, broker: Broker
) -> None:
    owner, stranger = a_manager(), a_manager()
    Channel.objects.filter(pk=avito.pk).update(owner=owner)
    given = {"channel": bot, "connected_at": timezone.now(), "calls": False}
    elsewhere = ManagerChat.objects.create(name="Elsewhere", address="-7", **given)
    elsewhere.sources.add(bot)
    chosen = ManagerChat.objects.create(name="Chosen", address="-8", owner=owner, **given)
    chosen.sources.add(avito, bot)
    for name, fields in {
        "Theirs": {"owner": stranger}, "Off": {"enabled": False}, "Silent": {"leads": False}, "Unconnected": {"connected_at": None},
    }.items():  # fmt: skip
        ManagerChat.objects.create(name=name, **{"address": "-9", **given, **fields})
    buyer_writes(shop, avito, broker)
    assert set(ManagerNotice.objects.values_list("chat__name", flat=True)) == {"Sales", "Chosen"}
    assert {sent["chat_id"] for sent in fake.ledger} == {GROUP, -8}


def test_clients_without_a_source_are_told_where_that_is_wanted(
    fake: FakeTelegram, bot: Channel, chat: ManagerChat, broker: Broker
) -> None:
    fake.customer_writes(USER, "Здравствуйте!")
    deliver(fake, broker)
    assert told(fake) == []
    ManagerChat.objects.update(every_client=True)
    fake.customer_writes(USER + 1, "Здравствуйте!", name="Оля [тут](https://evil.example) **")
    deliver(fake, broker)
    [sent] = told(fake)
    assert "evil" in sent["text"] and "<a href=\"https://evil" not in sent["raw"]
    fake.customer_writes(USER + 2, "/start spring")
    deliver(fake, broker)
    assert "tg:spring" in told(fake)[1]["text"]


def test_a_moderated_contact_is_told_once_a_client(
    fake: FakeTelegram, bot: Channel, chat: ManagerChat, broker: Broker
) -> None:
    Channel.objects.update(moderation=True, about="Продаём кофемашины")
    ManagerChat.objects.update(every_client=True)
    directory.forget()
    fake.customer_writes(USER, "Привет")
    deliver(fake, broker)
    before = len(told(fake))
    fake.customer_writes(USER, "Сколько стоит кофемашина? Хочу купить")
    deliver(fake, broker)
    assert Contact.objects.get().is_client
    assert (before, len(told(fake))) == (0, 1)


def test_old_messages_of_a_history_are_no_leads(
    fake: FakeTelegram, shop: FakeAvito, avito: Channel, chat: ManagerChat, broker: Broker
) -> None:
    Channel.objects.update(answer_age_hours=0.1)
    directory.forget()
    shop.customer_writes(CHAT, TEXT)
    shop.chats[CHAT].messages[0].created -= 3600
    polling.poll(avito.pk)
    broker.run()
    assert not ManagerNotice.objects.exists()


# ── Calls ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_conversation_that_needs_a_person_is_told_once(
    fake: FakeTelegram, bot: Channel, chat: ManagerChat, broker: Broker
) -> None:
    ManagerChat.objects.update(calls=True)
    conversation = a_conversation(bot, phone="77011234567", last_seq=4)
    turns.call_manager(conversation.pk, "handed over to a manager")
    turns.call_manager(conversation.pk, "something else")
    broker.run()
    [sent] = told(fake)
    assert sent["text"].splitlines()[0] == "A conversation needs a person · Bot"
    assert "something else" in sent["text"] and "7701" not in sent["text"]


def test_what_somebody_has_seen_meanwhile_is_not_told(
    fake: FakeTelegram, bot: Channel, chat: ManagerChat, broker: Broker
) -> None:
    ManagerChat.objects.update(calls=True)
    conversation = a_conversation(bot)
    turns.call_manager(conversation.pk, "stuck")
    Conversation.objects.update(needs_attention=False)
    broker.run()
    assert told(fake) == [] and ManagerNotice.objects.get().state == "void"


# ── Failures ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def call(bot: Channel) -> ManagerNotice:
    ManagerChat.objects.update(calls=True)
    turns.call_manager(a_conversation(bot).pk, "stuck")
    return ManagerNotice.objects.latest("id")


def test_a_busy_provider_is_asked_again_when_it_says(fake: FakeTelegram, bot: Channel, chat: ManagerChat, broker: Broker) -> None:
    busy = {"ok": False, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": 120}}
    fake.faults.append(Fault("sendMessage", status=429, body=json.dumps(busy)))
    notice = call(bot)
    broker.run()
    notice.refresh_from_db()
    assert notice.state == "queued" and notice.next_attempt_at > timezone.now() + timedelta(seconds=110)
    assert manager_notices.sweep() == 0
    ManagerNotice.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=5))
    assert manager_notices.sweep() == 1
    broker.run()
    assert len(told(fake)) == 1


def test_a_lost_hint_and_a_dead_worker_are_swept_up(fake: FakeTelegram, bot: Channel, chat: ManagerChat, broker: Broker) -> None:
    notice = call(bot)
    broker.lose()
    long_ago = timezone.now() - timedelta(seconds=60)
    ManagerNotice.objects.filter(pk=notice.pk).update(next_attempt_at=long_ago, leased_until=timezone.now() + timedelta(seconds=9))
    assert manager_notices.sweep() == 0, "somebody is at it"
    ManagerNotice.objects.filter(pk=notice.pk).update(leased_until=long_ago)
    assert manager_notices.sweep() == 1
    assert manager_notices.sweep() == 0, "swept a moment ago"
    broker.run()
    assert len(told(fake)) == 1


def test_a_lost_answer_is_asked_again_as_missing_is_worse(
    fake: FakeTelegram, bot: Channel, chat: ManagerChat, broker: Broker
) -> None:
    fake.faults.append(Fault("sendMessage", drop=True))
    notice = call(bot)
    broker.run_one("conversations.tell_managers")
    notice.refresh_from_db()
    assert notice.state == "queued" and notice.error
    ManagerNotice.objects.update(next_attempt_at=timezone.now())
    manager_notices.tell(notice.pk)
    notice.refresh_from_db()
    assert notice.state == "sent"


def test_a_bot_that_was_thrown_out_is_told_on_our_pages(
    fake: FakeTelegram, bot: Channel, chat: ManagerChat, broker: Broker
) -> None:
    gone = {"ok": False, "error_code": 403, "description": "Forbidden: bot was kicked from the supergroup chat"}
    fake.faults.append(Fault("sendMessage", status=403, body=json.dumps(gone)))
    notice = call(bot)
    broker.run()
    notice.refresh_from_db()
    chat.refresh_from_db()
    assert (notice.state, bool(chat.error)) == ("failed", True)
    assert "Sales" in Notice.objects.get(key=f"managers-chat-{chat.pk}").text
    call(bot)
    broker.run()
    chat.refresh_from_db()
    assert chat.error == "" and not notices.withdraw(f"managers-chat-{chat.pk}")


def test_a_paused_channel_is_not_asked(fake: FakeTelegram, bot: Channel, chat: ManagerChat, broker: Broker) -> None:
    until = timezone.now() + timedelta(seconds=300)
    ChannelBreaker.objects.create(channel=bot, failures=5, opened_at=timezone.now(), retry_at=until)
    notice = call(bot)
    broker.run()
    notice.refresh_from_db()
    assert notice.state == "queued" and notice.next_attempt_at > timezone.now() + timedelta(seconds=280)
    assert fake.calls["sendMessage"] == 0


def test_what_is_a_day_old_is_given_up(fake: FakeTelegram, bot: Channel, chat: ManagerChat, broker: Broker) -> None:
    notice = call(bot)
    ManagerNotice.objects.update(created_at=timezone.now() - timedelta(hours=25))
    broker.run()
    notice.refresh_from_db()
    assert notice.state == "failed" and told(fake) == []


def test_old_notices_are_forgotten_and_those_that_still_wait_are_kept(bot: Channel, chat: ManagerChat, settings: Any) -> None:
    settings.RAW_EVENT_DAYS = 30
    kept, gone = [], []
    for state, days in (("sent", 29), ("queued", 31), ("sent", 31), ("failed", 40), ("void", 90)):
        ended = None if state == "queued" else timezone.now() - timedelta(days=days)
        notice = ManagerNotice.objects.create(
            chat=chat, kind="call", conversation=a_conversation(bot), state=state, ended_at=ended,
            created_at=timezone.now() - timedelta(days=days),
        )  # fmt: skip
        (gone if state != "queued" and days > 30 else kept).append(notice.pk)
    assert manager_notices.purge(30, batch=2) == 2
    purge.run()
    assert sorted(ManagerNotice.objects.values_list("pk", flat=True)) == kept and len(gone) == 3


# ── The pages ────────────────────────────────────────────────────────────────────────────────────────────────────────


def form(bot: Channel, **fields: Any) -> dict[str, Any]:
    empty = {"notices-TOTAL_FORMS": "0", "notices-INITIAL_FORMS": "0"}
    return {"name": "Sales", "channel": str(bot.pk), "enabled": "on", "leads": "on", "calls": "on", **empty, **fields}


def test_a_manager_adds_a_chat_and_sees_its_code(fake: FakeTelegram, bot: Channel, avito: Channel) -> None:
    user, hidden = a_manager(), a_channel(kind="telegram", name="Hidden", owner=a_manager())
    Channel.objects.filter(pk__in=(bot.pk, avito.pk)).update(owner=user)
    client = Client()
    client.force_login(user)
    add = reverse("admin:conversations_managerchat_add")
    shown = client.get(add).content.decode()
    assert "Hidden" not in shown and "Bot" in shown
    assert client.post(add, form(hidden)).status_code == 200, "not a channel of theirs"
    assert client.post(add, form(avito)).status_code == 200, "not a bot that can write to managers"
    assert client.post(add, form(bot, sources=[avito.pk])).status_code == 302
    chat = ManagerChat.objects.get()
    assert (chat.owner, list(chat.sources.all())) == (user, [avito])
    page = reverse("admin:conversations_managerchat_change", args=(chat.pk,))
    assert f"/managers {chat.code}" in client.get(page).content.decode()
    stranger = Client()
    stranger.force_login(a_manager())
    assert stranger.get(page).status_code != 200
    assert page not in stranger.get(reverse("admin:conversations_managerchat_changelist")).content.decode()


def test_saving_keeps_the_connection_and_another_bot_needs_a_new_one(admin_client: Client, bot: Channel, chat: ManagerChat) -> None:
    page = reverse("admin:conversations_managerchat_change", args=(chat.pk,))
    turns.call_manager(a_conversation(bot).pk, "stuck")
    assert admin_client.get(page).status_code == 200
    assert admin_client.post(page, form(bot, name="Leads")).status_code == 302
    chat.refresh_from_db()
    assert (chat.name, chat.address) == ("Leads", str(GROUP))
    other = a_channel(kind="telegram")
    assert admin_client.post(page, form(other)).status_code == 302
    chat.refresh_from_db()
    assert chat.address is None and chat.connected_at is None and chat.code


def test_a_new_code_leaves_the_chat_connected(admin_client: Client, chat: ManagerChat) -> None:
    address = reverse("admin:conversations_managerchat_changelist")
    admin_client.post(address, {"action": "renew_code", "_selected_action": [chat.pk]})
    chat.refresh_from_db()
    assert chat.code and chat.address == str(GROUP)
    assert chat.code in admin_client.get(reverse("admin:conversations_managerchat_change", args=(chat.pk,))).content.decode()
