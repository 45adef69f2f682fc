"""Outside the reply window: a manager is told at once, and offered the templates that the provider has approved."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from channels import directory, registry
from channels.models import Channel, MessageTemplate, SendBudget
from conversations import replies, template_replies, window
from conversations.models import Conversation, Message
from tests.conftest import Broker
from tests.sandbox.fixtures import served
from tests.sandbox.whatsapp_cloud import FakeCloud
from tests.sandbox.whatsapp_cloud_rows import ACCOUNT, APP_SECRET, NUMBER, TOKEN, VERIFY_TOKEN

from .rows import a_channel, a_conversation, a_manager, a_message, english  # noqa: F401

pytestmark = pytest.mark.django_db(transaction=True)
PHONE = "77010000001"
CLOSED = "More than 24 hours since the customer's last message: only a template may be sent."


server = served(FakeCloud)


@pytest.fixture
def shop(server: FakeCloud, broker: Broker) -> Channel:
    server.reset()
    server.holding = True
    registry.adapter_class.cache_clear()
    channel = a_channel(
        kind="whatsapp_cloud", moderation=False, base_url=server.base_url,
        credentials={"access_token": TOKEN, "app_secret": APP_SECRET, "verify_token": VERIFY_TOKEN},
        options={"phone_number_id": NUMBER, "waba_id": ACCOUNT},
    )  # fmt: skip
    directory.forget()
    return channel


def heard(channel: Channel, hours: float, **fields: Any) -> Conversation:
    conversation = a_conversation(channel, phone=PHONE, name="Aigul", is_client=True, **fields)
    message = a_message(conversation, "customer", "?")
    Message.objects.filter(pk=message.pk).update(sent_at=timezone.now() - timedelta(hours=hours))
    return conversation


def approved(channel: Channel, body: str = "Здравствуйте, {{1}}!", **fields: Any) -> MessageTemplate:
    given = {
        "name": "remind", "slug": "remind", "language": "ru", "provider_name": "remind", "provider_status": "APPROVED",
        "variables": [{"name": "1", "source": "contact_name", "default": "клиент"}], **fields,
    }  # fmt: skip
    return MessageTemplate.objects.create(channel=channel, kind="approved", body=body, **given)


def test_within_the_window_all_is_as_ever(shop: Channel) -> None:
    conversation = heard(shop, 23)
    replies.reply(conversation.pk, "Hello", a_manager())
    assert Message.objects.get(author="manager").state == "queued"


def test_outside_a_reply_is_refused_at_once_and_nothing_has_happened(shop: Channel) -> None:
    conversation = heard(shop, 25)
    with pytest.raises(ValidationError) as refused:
        replies.reply(conversation.pk, "Hello", a_manager())
    assert (refused.value.messages, refused.value.code) == ([CLOSED], "window")
    conversation.refresh_from_db()
    assert (conversation.mode, conversation.epoch) == ("bot", 0)
    assert not Message.objects.filter(direction="out").exists()


def test_who_never_wrote_is_outside_and_channels_without_a_window_know_none(shop: Channel) -> None:
    assert not window.is_open(a_conversation(shop).pk, shop.pk)
    site = a_channel()
    assert window.closes_at(a_conversation(site).pk, site.pk) is None


def test_a_template_leaves_and_the_customer_reads_its_words(shop: Channel, server: FakeCloud, broker: Broker) -> None:
    conversation, template = heard(shop, 48), approved(shop)
    server.approve("remind", "ru", template.body)
    server.closed.add(PHONE)
    replies.reply(conversation.pk, "", a_manager(), template_id=template.pk)
    broker.run()
    message = Message.objects.get(author="manager")
    assert (message.state, message.text) == ("sent", "Здравствуйте, Aigul!")
    [sent] = server.sent.values()
    assert sent.body["template"] == {
        "name": "remind", "language": {"code": "ru"},
        "components": [{"type": "body", "parameters": [{"type": "text", "text": "Aigul"}]}],
    }  # fmt: skip


def test_what_the_provider_refuses_is_told_in_the_same_words(shop: Channel, server: FakeCloud, broker: Broker) -> None:
    conversation = heard(shop, 1)
    server.closed.add(PHONE)
    replies.reply(conversation.pk, "Hello", a_manager())
    broker.run()
    message = Message.objects.get(author="manager")
    assert (message.state, message.error) == ("failed", CLOSED)


def test_the_offer_is_what_may_be_sent_here(shop: Channel) -> None:
    conversation, other, user = heard(shop, 48), a_channel(), a_manager()
    approved(shop)
    approved(shop, slug="paused", provider_name="paused", provider_status="PAUSED")
    approved(shop, slug="off", provider_name="off", enabled=False)
    MessageTemplate.objects.create(name="ours", slug="ours", body="I am {{manager_name}}")
    MessageTemplate.objects.create(name="theirs", slug="theirs", body="Hi", channel=other)
    MessageTemplate.objects.create(name="when", slug="when", body="Call: {{call_time}}")
    found = {one.template.slug: (one.text, bool(one.error)) for one in template_replies.offers(conversation, user)}
    assert found == {
        "remind": ("Здравствуйте, Aigul!", False), "ours": (f"I am {user.username}", False), "when": ("", True),
    }  # fmt: skip
    site = a_conversation(other)
    assert {one.template.slug for one in template_replies.offers(site, user)} == {"ours", "theirs", "when"}


@pytest.mark.parametrize("slug", ["paused", "when", "elsewhere"])
def test_a_template_that_cannot_be_sent_is_refused(shop: Channel, slug: str) -> None:
    conversation = heard(shop, 48)
    approved(shop, slug="paused", provider_name="paused", provider_status="PAUSED")
    approved(shop, "Call: {{1}}", slug="when", provider_name="when", variables=[{"name": "1", "source": "call_time"}])
    approved(a_channel(kind="whatsapp_cloud"), slug="elsewhere", provider_name="elsewhere")
    with pytest.raises(ValidationError):
        replies.reply(conversation.pk, "", a_manager(), template_id=MessageTemplate.objects.get(slug=slug).pk)
    assert not Message.objects.filter(direction="out").exists()


def test_our_own_template_is_free_text_and_does_not_open_the_window(shop: Channel) -> None:
    conversation = heard(shop, 48)
    ours = MessageTemplate.objects.create(name="ours", slug="ours", body="Hello")
    with pytest.raises(ValidationError, match="24 hours"):
        replies.reply(conversation.pk, "", a_manager(), template_id=ours.pk)


def test_the_chat_says_so_and_offers_templates(shop: Channel, admin_client: Client) -> None:
    conversation, template = heard(shop, 48), approved(shop)
    page = admin_client.get(reverse("admin:conversations_conversation_change", args=(conversation.pk,)))
    assert page.context["feed"]["window"] == CLOSED
    assert f'<option value="{template.pk}"' in page.content.decode()
    address = reverse("admin:conversation_reply", args=(conversation.pk,))
    refused = admin_client.post(address, {"text": "Hello"})
    assert (refused.status_code, refused.json()["error"]) == (400, CLOSED)
    version = page.context["feed"]["version"]
    assert admin_client.post(address, {"text": "", "template": template.pk}).status_code == 200
    assert Message.objects.get(author="manager").details["template"]["name"] == "remind"
    Message.objects.filter(direction="in").update(sent_at=timezone.now())
    fed = admin_client.get(reverse("admin:conversation_feed", args=(conversation.pk,)), {"version": version}).json()
    assert fed["window"] == ""


@pytest.mark.usefixtures("_clean_cache")
def test_the_api_sends_a_template(shop: Channel, admin_client: Client) -> None:
    conversation = heard(shop, 48)
    approved(shop)
    to = {"channel": shop.slug, "contact": conversation.contact_id}
    send = reverse("send-message")
    told = admin_client.post(send, {**to, "text": "Hello"}, content_type="application/json")
    assert told.status_code == 400
    assert CLOSED in told.content.decode()
    for wrong in ({}, {"text": "x", "template": "remind"}, {"template": "nowhere"}):
        assert admin_client.post(send, {**to, **wrong}, content_type="application/json").status_code == 400
    assert admin_client.post(send, {**to, "template": "remind"}, content_type="application/json").status_code == 202


def test_a_managers_first_words_to_a_stranger_are_counted_on_a_fragile_number() -> None:
    channel = a_channel(kind="wappi", credentials={"token": "t"}, options={"profile_id": "p", "pacing": {"new_contacts_per_day": 0}})
    user, conversation = a_manager(), a_conversation(channel, phone=PHONE)
    for _ in range(2):
        replies.reply(conversation.pk, "Hello", user)
    assert SendBudget.objects.get(kind="new_contact").count == 1
    assert Message.objects.filter(direction="out").count() == 2
