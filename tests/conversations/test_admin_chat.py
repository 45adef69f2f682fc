"""One conversation as a chat: what it shows, what it asks for, what its buttons do."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from channels.models import Channel
from conversations.models import Conversation, Message, Takeover, Turn
from foundation import tasks

from .rows import a_channel, a_conversation, a_manager, a_message, a_turn, english  # noqa: F401

pytestmark = pytest.mark.django_db


@pytest.fixture
def channel() -> Channel:
    return a_channel()


@pytest.fixture
def conversation(channel: Channel) -> Conversation:
    return a_conversation(channel, phone="77017654321", name="Айгерим", is_client=True, confidence=0.9)


def url(name: str, conversation: Conversation) -> str:
    return reverse(f"admin:conversation_{name}", args=(conversation.pk,))


def feed(client: Client, conversation: Conversation, **query: str) -> dict[str, Any]:
    response = client.get(url("feed", conversation), query)
    assert response.status_code == 200
    found: dict[str, Any] = response.json()
    return found


def decide(client: Client, conversation: Conversation, do: str, row_id: int = 0) -> Any:
    return client.post(url("decide", conversation), {"do": do, "id": str(row_id)})


def thread(client: Client, conversation: Conversation) -> str:
    return "".join(item["html"] for item in feed(client, conversation)["items"])


def test_the_page_carries_the_first_messages_and_the_panels(admin_client: Client, conversation: Conversation) -> None:
    a_message(conversation, "customer", "Сколько стоит?")
    page = admin_client.get(reverse("admin:conversations_conversation_change", args=(conversation.pk,)))
    assert page.status_code == 200
    assert page.context["feed"]["items"][0]["seq"] == 1
    assert "+7 701 765 4321" in page.context["feed"]["side"]
    assert "The assistant leads" in page.context["feed"]["head"]
    assert admin_client.get(reverse("admin:conversations_conversation_change", args=("x1",))).status_code == 404


def test_texts_names_and_reasons_are_escaped_everywhere(admin_client: Client, channel: Channel) -> None:
    bad = "</script><img src=x onerror=alert(1)>"
    conversation = a_conversation(channel, name=bad, is_client=True, needs_attention=True, attention_reason=bad)
    conversation.contact.reasoning = bad
    conversation.contact.save()
    quoted = a_message(conversation, "customer", bad)
    details = {"reply_to": quoted.external_id, "media": [{"ref": "r", "name": bad}], "page": bad}
    a_message(conversation, "customer", bad, kind="image", details=details)
    a_message(conversation, "manager", bad, error=bad, state="failed")
    page = admin_client.get(reverse("admin:conversations_conversation_change", args=(conversation.pk,))).content.decode()
    assert "<img src=x" not in page
    told = feed(admin_client, conversation)
    for html in (told["head"], told["side"], *(item["html"] for item in told["items"])):
        assert "<img src=x" not in html
        assert "&lt;img src=x" in html


def test_nothing_is_rendered_again_until_something_changes(admin_client: Client, conversation: Conversation) -> None:
    message = a_message(conversation, "customer", "Hi")
    version = feed(admin_client, conversation)["version"]
    assert feed(admin_client, conversation, version=version) == {"version": version}
    changes = [
        lambda: Message.objects.filter(pk=message.pk).update(text="Hello"),
        lambda: a_message(conversation, "bot", "Yes", state="queued"),
        lambda: Message.objects.filter(seq=2).update(state="read"),
        lambda: Conversation.objects.filter(pk=conversation.pk).update(mode="manager"),
        lambda: Conversation.objects.filter(pk=conversation.pk).update(needs_attention=True),
        lambda: type(conversation.contact).objects.filter(pk=conversation.contact_id).update(is_client=False),
        lambda: Takeover.objects.create(conversation=conversation, mode="bot", cause="timeout", after_seq=2),
    ]
    for change in changes:
        change()
        told = feed(admin_client, conversation, version=version)
        assert "items" in told
        version = told["version"]


def test_older_messages_come_fifty_at_a_time(admin_client: Client, conversation: Conversation) -> None:
    for number in range(1, 121):
        a_message(conversation, "customer", f"Message {number}")
    newest = feed(admin_client, conversation)
    assert (len(newest["items"]), newest["first"], newest["more"]) == (50, 71, True)
    older = admin_client.get(url("older", conversation), {"before": "71"}).json()
    assert (len(older["items"]), older["first"], older["more"]) == (50, 21, True)
    oldest = admin_client.get(url("older", conversation), {"before": "21"}).json()
    assert (len(oldest["items"]), oldest["first"], oldest["more"]) == (20, 1, False)
    assert admin_client.get(url("older", conversation), {"before": "x"}).status_code == 400


def test_times_are_in_the_channels_zone(admin_client: Client) -> None:
    conversation = a_conversation(a_channel(time_zone="Asia/Tokyo"))
    a_message(conversation, "customer", "Hi", at=timezone.now().replace(hour=3, minute=7))
    assert "12:07" in thread(admin_client, conversation)


@pytest.mark.parametrize("state", [s for s in Message.State.values if s != "received"])
def test_every_state_of_our_messages_has_its_mark(admin_client: Client, conversation: Conversation, state: str) -> None:
    a_message(conversation, "bot", "Yes", state=state)
    assert str(Message.State(state).label) in thread(admin_client, conversation)


def test_the_why_of_a_reply(admin_client: Client, conversation: Conversation) -> None:
    turn = a_turn(
        conversation, "done", model="fast-model", degraded=True, input_tokens=123, output_tokens=45, cost="0.00067",
        intent="price", emotion="interested", commitment="none", outcome={"spin_stage": "problem", "actions": []},
        knowledge_used=[{"chunk": 1, "source": "Price list", "page": 3, "score": 0.9}],
        timeline=[
            {"what": "received", "at": "2026-11-20T10:00:00+00:00"},
            {"what": "classify", "at": "2026-11-20T10:00:01+00:00"},
            {"what": "answer", "at": "2026-11-20T10:00:02.500000+00:00"},
            {"what": "model", "at": "2026-11-20T10:00:04.500000+00:00", "ms": 1800},
            {"what": "deliver", "at": "2026-11-20T10:00:04.500000+00:00"},
            {"what": "done", "at": "2026-11-20T10:00:05+00:00"},
        ],
    )  # fmt: skip
    a_message(conversation, "customer", "Price?", turn=turn)
    a_message(conversation, "bot", "100", turn=turn)
    why = thread(admin_client, conversation)
    for word in (
        "1.00 s",
        "1.50 s",
        "0.20 s",
        "1.80 s",
        "0.50 s",
        "5.00 s",
        "fast-model",
        "123",
        "0.00067",
        "Price list",
        "interested",
    ):
        assert word in why, word
    assert "without a model" in why
    assert "none" not in why


@pytest.mark.parametrize("reason", Turn.Reason.values)
def test_an_ignored_message_says_why(admin_client: Client, conversation: Conversation, reason: str) -> None:
    a_message(conversation, "customer", "Hi", turn=a_turn(conversation, "ignored", reason=reason))
    assert f"Not answered: {Turn.Reason(reason).label}" in thread(admin_client, conversation)


def test_a_failed_turn_offers_retry_unless_its_reply_is_written(admin_client: Client, conversation: Conversation) -> None:
    a_message(conversation, "customer", "1", turn=a_turn(conversation, "failed", reason="attempts", error="no model"))
    a_message(conversation, "customer", "2", turn=a_turn(conversation, "failed", reason="unconfirmed"))
    told = feed(admin_client, conversation)["items"]
    assert 'data-do="retry_turn"' in told[0]["html"]
    assert "no model" in told[0]["html"]
    assert 'data-do="retry_turn"' not in told[1]["html"]


def test_doubtful_messages_can_be_decided_and_unconfirmed_ones_ask_first(
    admin_client: Client, conversation: Conversation
) -> None:
    a_message(conversation, "bot", "1", state="failed")
    a_message(conversation, "bot", "2", state="unconfirmed")
    failed, unconfirmed = (item["html"] for item in feed(admin_client, conversation)["items"])
    assert 'data-do="resend"' in failed
    assert 'data-confirm=""' in failed
    assert "might get it twice" in unconfirmed
    assert 'data-do="arrived"' in unconfirmed


def test_who_may_only_look_gets_no_buttons_and_changes_nothing(client: Client, conversation: Conversation) -> None:
    reader = a_manager()
    reader.user_permissions.set(reader.user_permissions.filter(codename__startswith="view_"))
    conversation.channel.team.add(reader)
    client.force_login(reader)
    a_message(conversation, "bot", "1", state="failed")
    told = feed(client, conversation)
    assert "data-do" not in told["head"] + told["side"] + told["items"][0]["html"]
    assert decide(client, conversation, "take_over").status_code == 403
    assert client.post(url("reply", conversation), {"text": "Hi"}).status_code == 403


def test_strangers_and_wrong_methods_are_refused(client: Client, admin_client: Client, conversation: Conversation) -> None:
    assert admin_client.get(url("decide", conversation)).status_code == 405
    assert admin_client.post(url("feed", conversation)).status_code == 405
    assert Client().get(url("feed", conversation)).status_code == 302
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(a_manager())
    assert strict.post(url("reply", conversation), {"text": "Hi"}).status_code == 403


def test_a_reply_takes_over_and_is_queued(
    admin_client: Client, conversation: Conversation, admin_user: Any, monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:  # fmt: skip
    kicked: list[tuple[Any, ...]] = []
    monkeypatch.setattr(tasks, "_publish", lambda *hint: kicked.append(hint))
    with django_capture_on_commit_callbacks(execute=True):
        assert admin_client.post(url("reply", conversation), {"text": " Good morning "}).status_code == 200
    message = Message.objects.get()
    conversation.refresh_from_db()
    assert (message.text, message.author, message.user, message.state) == ("Good morning", "manager", admin_user, "queued")
    assert (conversation.mode, message.epoch, message.seq) == ("manager", conversation.epoch, conversation.last_seq)
    assert ("conversations.deliver", conversation.pk, 0) in kicked


@pytest.mark.parametrize("text", ["", "   "])
def test_a_reply_that_cannot_be_sent_is_refused_in_words_and_takes_nothing_over(
    admin_client: Client, conversation: Conversation, text: str
) -> None:
    response = admin_client.post(url("reply", conversation), {"text": text})
    assert response.status_code == 400
    assert response.json()["error"]
    conversation.refresh_from_db()
    assert conversation.mode == "bot"
    assert not Message.objects.exists()


def test_the_buttons_of_who_leads(admin_client: Client, conversation: Conversation) -> None:
    for do, mode in (("take_over", "manager"), ("give_back", "bot"), ("close", "closed")):
        assert decide(admin_client, conversation, do).status_code == 200
        conversation.refresh_from_db()
        assert conversation.mode == mode
    assert decide(admin_client, conversation, "close").status_code == 409
    assert decide(admin_client, conversation, "explode").status_code == 400
    assert decide(admin_client, conversation, "resend", 10**9).status_code == 404


def test_seen(admin_client: Client, conversation: Conversation) -> None:
    Conversation.objects.update(needs_attention=True, attention_reason="x")
    assert decide(admin_client, conversation, "seen").status_code == 200
    conversation.refresh_from_db()
    assert (conversation.needs_attention, conversation.attention_reason) == (False, "")


def test_the_buttons_of_the_verdict(admin_client: Client, conversation: Conversation, admin_user: Any) -> None:
    contact = conversation.contact
    for do, verdict, final in (
        ("not_client", False, True),
        ("client", True, True),
        ("unclear", None, False),
        ("reclassify", None, False),
    ):
        assert decide(admin_client, conversation, do).status_code == 200
        contact.refresh_from_db()
        assert (contact.is_client, contact.verdict_final, contact.verdict_by) == (verdict, final, admin_user if final else None)


def test_the_verdict_client_lets_silenced_messages_be_answered(admin_client: Client, channel: Channel) -> None:
    conversation = a_conversation(channel, is_client=None)
    message = a_message(conversation, "customer", "Price?", turn=a_turn(conversation, "ignored", reason="unsure"))
    assert "answers now" in decide(admin_client, conversation, "client").json()["done"]
    message.refresh_from_db()
    assert message.turn is not None
    assert message.turn.stage == "answer"


def test_the_buttons_of_doubtful_messages(admin_client: Client, conversation: Conversation, admin_user: Any) -> None:
    again, given_up = (a_message(conversation, "bot", text, state="failed") for text in ("1", "2"))
    there = a_message(conversation, "bot", "3", state="unconfirmed")
    assert decide(admin_client, conversation, "resend", again.pk).status_code == 200
    assert decide(admin_client, conversation, "withdraw", given_up.pk).status_code == 200
    assert decide(admin_client, conversation, "arrived", there.pk).status_code == 200
    assert decide(admin_client, conversation, "arrived", there.pk).status_code == 409
    assert list(Message.objects.order_by("seq").values_list("state", flat=True)) == ["queued", "suppressed", "sent"]
    again.refresh_from_db()
    assert (again.author, again.user) == ("manager", admin_user)


def test_the_buttons_of_failed_turns(admin_client: Client, conversation: Conversation) -> None:
    first = a_turn(conversation, "failed", reason="attempts")
    a_message(conversation, "customer", "1", turn=first)
    assert decide(admin_client, conversation, "retry_turn", first.pk).status_code == 200
    second = a_turn(conversation, "failed", reason="attempts")
    assert decide(admin_client, conversation, "dismiss_turn", second.pk).status_code == 200
    stages = dict(Turn.objects.values_list("pk", "stage"))
    assert (stages[first.pk], stages[second.pk]) == ("superseded", "dismissed")


def test_rows_of_another_conversation_cannot_be_decided_here(
    admin_client: Client, conversation: Conversation, channel: Channel
) -> None:
    other = a_conversation(channel)
    message, turn = a_message(other, "bot", "1", state="failed"), a_turn(other, "failed", reason="attempts")
    assert decide(admin_client, conversation, "resend", message.pk).status_code == 404
    assert decide(admin_client, conversation, "retry_turn", turn.pk).status_code == 404
