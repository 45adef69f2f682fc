"""Turns, contacts and the attention page."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from channels.models import InboundEvent
from conversations import takeover
from conversations.admin import timeline
from conversations.models import Contact, Conversation, Message, Turn

from .rows import a_channel, a_conversation, a_manager, a_message, a_turn, english  # noqa: F401

pytestmark = pytest.mark.django_db
TURNS, CONTACTS = "admin:conversations_turn_changelist", "admin:conversations_contact_changelist"


def act(browser: Client, where: str, action: str, *rows: Any) -> str:
    data = {"action": action, "_selected_action": [row.pk for row in rows]}
    response = browser.post(reverse(where), data, follow=True)
    assert response.status_code == 200
    return " ".join(str(message) for message in response.context["messages"])


def listed(browser: Client, where: str, **query: str) -> list[int]:
    return [row.pk for row in browser.get(reverse(where), query).context["cl"].result_list]


# ── Turns ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_turns_are_a_journal(admin_client: Client) -> None:
    turn = a_turn(
        a_conversation(a_channel()),
        "done",
        intent="price",
        outcome={"spin_stage": "none"},
        timeline=[{"what": "received", "at": "2026-11-20T10:00:00+00:00"}],
    )
    page = admin_client.get(reverse("admin:conversations_turn_change", args=(turn.pk,)))
    assert page.status_code == 200
    assert "message received" in page.content.decode()
    for name, args in (("add", ()), ("delete", (turn.pk,))):
        assert admin_client.get(reverse(f"admin:conversations_turn_{name}", args=args)).status_code == 403
    assert admin_client.post(reverse("admin:conversations_turn_change", args=(turn.pk,)), {"error": "x"}).status_code == 403


def test_turns_are_filtered(admin_client: Client) -> None:
    one, other = a_channel(), a_channel()
    done = a_turn(a_conversation(one), "done", degraded=True)
    ignored = a_turn(a_conversation(other), "ignored", reason="unsure")
    assert listed(admin_client, TURNS, stage__exact="done") == [done.pk]
    assert listed(admin_client, TURNS, reason__exact="unsure") == [ignored.pk]
    assert listed(admin_client, TURNS, degraded__exact="1") == [done.pk]
    assert listed(admin_client, TURNS, channel=str(other.pk)) == [ignored.pk]


def test_turns_cost_the_same_queries_for_any_length(admin_client: Client) -> None:
    def queries(rows: int) -> int:
        for _ in range(rows):
            a_turn(a_conversation(a_channel()), "done")
        with CaptureQueriesContext(connection) as captured:
            admin_client.get(reverse(TURNS))
        return len(captured)

    queries(1)
    few = queries(2)
    assert queries(10) == few


def test_turns_are_retried_and_dismissed_with_counts(admin_client: Client) -> None:
    conversation = a_conversation(a_channel(), is_client=True)
    retried = a_turn(conversation, "failed", reason="attempts")
    a_message(conversation, "customer", "?", turn=retried)
    other = a_turn(a_conversation(a_channel()), "failed", reason="no_assistant")
    told = act(admin_client, TURNS, "retry", retried, other)
    assert "1 turn retried" in told
    assert "no message of the customer left" in told
    assert "1 turn dismissed" in act(admin_client, TURNS, "dismiss", other)
    assert list(Turn.objects.order_by("pk").values_list("stage", flat=True)) == ["superseded", "dismissed", "answer"]


def test_readers_of_turns_decide_nothing(client: Client) -> None:
    turn = a_turn(a_conversation(a_channel()), "failed", reason="attempts")
    reader = a_manager()
    reader.user_permissions.set(reader.user_permissions.filter(codename__startswith="view_"))
    client.force_login(reader)
    act(client, TURNS, "dismiss", turn)
    assert client.post(reverse("admin:attention"), {"kind": "turn", "id": turn.pk, "do": "dismiss"}).status_code == 403
    turn.refresh_from_db()
    assert turn.stage == "failed"


def test_spans_add_up_over_repeated_attempts() -> None:
    def at(second: float) -> str:
        return f"2026-11-20T10:00:{second:09.6f}+00:00"

    told = [
        ("received", 0),
        ("answer", 1),
        ("answer", 3),
        ("redone", 6),
        ("answer", 7),
        ("model", 9),
        ("deliver", 9),
        ("done", 10),
    ]
    entries = [{"what": what, "at": at(second), **({"ms": 1500} if what == "model" else {})} for what, second in told]
    spans = {span.phase: span.seconds for span in timeline.spans(entries)}
    assert spans == {"hold": 2.0, "answer": pytest.approx(5.5), "model": 1.5, "deliver": 1.0}
    assert sum(span.percent for span in timeline.spans(entries)) == pytest.approx(100, abs=0.5)
    assert timeline.total(entries) == 10
    assert (timeline.spans([]), timeline.total([]), timeline.events([])) == ([], 0.0, [])


# ── Contacts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_contacts_are_found_and_filtered(admin_client: Client) -> None:
    channel = a_channel()
    yes = a_conversation(channel, phone="77017654321", name="Айгерим", is_client=True).contact
    unsure = a_conversation(channel, name="Ержан", is_client=None).contact
    assert listed(admin_client, CONTACTS, q="8 701 765 43 21") == [yes.pk]
    assert listed(admin_client, CONTACTS, q="ержан") == [unsure.pk]
    assert listed(admin_client, CONTACTS, client="unsure") == [unsure.pk]
    assert listed(admin_client, CONTACTS, client="yes") == [yes.pk]


def test_contacts_cost_the_same_queries_for_any_length(admin_client: Client) -> None:
    def queries(rows: int) -> int:
        for number in range(rows):
            a_conversation(a_channel(), name=f"N{number}")
        with CaptureQueriesContext(connection) as captured:
            admin_client.get(reverse(CONTACTS))
        return len(captured)

    queries(1)
    few = queries(2)
    assert queries(10) == few


@pytest.mark.parametrize(
    ("verdict", "is_client", "final"),
    [("client", True, True), ("not_client", False, True), ("unclear", None, False), ("reclassify", None, False)],
)
def test_one_click_corrects_a_contact(admin_client: Client, verdict: str, is_client: bool | None, final: bool) -> None:
    contact = a_conversation(a_channel(), is_client=True, verdict_final=True).contact
    response = admin_client.post(reverse("admin:contact_correct", args=(contact.pk, verdict)))
    assert (response.status_code, response["Location"]) == (302, reverse(CONTACTS))
    contact.refresh_from_db()
    assert (contact.is_client, contact.verdict_final) == (is_client, final)


def test_one_click_goes_back_where_the_button_was_but_nowhere_else(admin_client: Client) -> None:
    contact = a_conversation(a_channel()).contact
    address = reverse("admin:contact_correct", args=(contact.pk, "client"))
    here = f"http://testserver{reverse(CONTACTS)}?client=unsure"
    assert admin_client.post(address, headers={"referer": here})["Location"] == here
    assert admin_client.post(address, headers={"referer": "https://evil.example/"})["Location"] == reverse(CONTACTS)
    assert admin_client.get(address).status_code == 405
    assert admin_client.post(reverse("admin:contact_correct", args=(contact.pk, "other"))).status_code == 404


@pytest.mark.parametrize(
    ("action", "is_client"),
    [("mark_client", True), ("mark_not_client", False), ("let_moderator_decide", None), ("reclassify", None)],
)
def test_bulk_corrections(admin_client: Client, action: str, is_client: bool | None) -> None:
    contacts = [a_conversation(a_channel(), is_client=None).contact for _ in range(2)]
    assert "2" in act(admin_client, CONTACTS, action, *contacts)
    assert set(Contact.objects.values_list("is_client", flat=True)) == {is_client}


def test_the_form_of_a_contact_keeps_names_findable(admin_client: Client) -> None:
    contact = a_conversation(a_channel(), phone="77017654321", name="Old").contact
    address = reverse("admin:conversations_contact_change", args=(contact.pk,))
    page = admin_client.get(address).content.decode()
    assert "+7 701 765 4321" in page
    data = {
        "name": "Айгерим",
        "full_name": "",
        "business_name": "",
        "language": "ru",
        "time_zone": "",
    }
    inlines = {f"{name}-{what}_FORMS": "0" for name in ("identities", "qualification") for what in ("TOTAL", "INITIAL")}
    assert admin_client.post(address, {**data, **inlines}).status_code == 302
    assert listed(admin_client, CONTACTS, q="айгерим") == [contact.pk]
    assert listed(admin_client, CONTACTS, q="old") == []


def test_contacts_of_foreign_channels_stay_hidden(client: Client) -> None:
    manager = a_manager()
    own = a_conversation(a_channel(owner=manager)).contact
    foreign = a_conversation(a_channel(owner=a_manager()), is_client=None).contact
    client.force_login(manager)
    assert listed(client, CONTACTS) == [own.pk]
    assert client.post(reverse("admin:contact_correct", args=(foreign.pk, "client"))).status_code == 404
    assert client.get(reverse("admin:conversations_contact_change", args=(foreign.pk,))).status_code == 302


# ── The attention page ───────────────────────────────────────────────────────────────────────────────────────────────


def waits(browser: Client) -> dict[str, int]:
    counts: dict[str, int] = browser.get(reverse("admin:attention")).context["counts"]
    return counts


def decide(browser: Client, kind: str, do: str, row: Any, **more: str) -> str:
    response = browser.post(reverse("admin:attention"), {"kind": kind, "do": do, "id": str(row.pk), **more}, follow=True)
    assert response.status_code == 200
    return " ".join(str(message) for message in response.context["messages"])


def an_event(channel: Any, number: int = 1) -> InboundEvent:
    return InboundEvent.objects.create(
        channel=channel, external_id=f"e{number}", source="webhook", state="failed", reason="KeyError", payload=b"{}"
    )


def test_the_attention_page_shows_everything_that_waits(admin_client: Client) -> None:
    channel = a_channel(health="needs_attention", health_detail="token refused")
    conversation = a_conversation(channel, name="Айгерим")
    an_event(channel)
    a_turn(conversation, "failed", reason="attempts", error="no model")
    a_message(conversation, "bot", "<b>The reply</b>", state="unconfirmed")
    page = admin_client.get(reverse("admin:attention"))
    assert page.context["counts"] == {"notices": 0, "channels": 1, "events": 1, "turns": 1, "doubtful": 1}
    text = page.content.decode()
    for word in ("token refused", "KeyError", "no model", "&lt;b&gt;The reply&lt;/b&gt;", "might get it twice"):
        assert word in text


def test_an_empty_attention_page_says_so(admin_client: Client) -> None:
    assert "Nothing waits for you here" in admin_client.get(reverse("admin:attention")).content.decode()


def test_events_are_decided_on_the_attention_page(admin_client: Client) -> None:
    channel = a_channel()
    again, closed = an_event(channel, 1), an_event(channel, 2)
    assert "processed again" in decide(admin_client, "event", "retry", again)
    assert "dismissed" in decide(admin_client, "event", "dismiss", closed)
    assert set(InboundEvent.objects.values_list("state", flat=True)) == {"new", "dismissed"}
    assert "not wait any more" in decide(admin_client, "event", "retry", closed)


def test_turns_are_decided_on_the_attention_page(admin_client: Client) -> None:
    conversation = a_conversation(a_channel(), is_client=True)
    turn = a_turn(conversation, "failed", reason="attempts")
    assert "no message" in decide(admin_client, "turn", "retry", turn)
    a_message(conversation, "customer", "?", turn=turn)
    assert "tries again" in decide(admin_client, "turn", "retry", turn)
    other = a_turn(conversation, "failed", reason="attempts")
    assert "dismissed" in decide(admin_client, "turn", "dismiss", other)


def test_messages_are_decided_on_the_attention_page(admin_client: Client) -> None:
    conversation = a_conversation(a_channel())
    again, there = (a_message(conversation, "bot", text, state="unconfirmed") for text in "12")
    given_up = a_message(conversation, "bot", "3", state="failed")
    decide(admin_client, "message", "resend", again)
    decide(admin_client, "message", "arrived", there)
    decide(admin_client, "message", "withdraw", given_up)
    assert list(Message.objects.order_by("seq").values_list("state", flat=True)) == ["queued", "sent", "suppressed"]
    assert waits(admin_client)["doubtful"] == 0


def test_channels_are_checked_on_the_attention_page(admin_client: Client) -> None:
    channel = a_channel(health="needs_attention")
    assert "works" in decide(admin_client, "channel", "check", channel)
    channel.refresh_from_db()
    assert channel.health == "ok"


def test_the_attention_page_refuses_nonsense_and_foreign_rows(admin_client: Client, client: Client) -> None:
    address = reverse("admin:attention")
    assert admin_client.post(address, {"kind": "turn", "do": "explode", "id": "1"}).status_code == 400
    assert admin_client.post(address, {"kind": "turn", "do": "retry", "id": "x"}).status_code == 400
    turn = a_turn(a_conversation(a_channel(owner=a_manager())), "failed", reason="attempts")
    client = Client()
    client.force_login(a_manager())
    assert waits(client)["turns"] == 0
    assert "not wait any more" in decide(client, "turn", "dismiss", turn)
    turn.refresh_from_db()
    assert turn.stage == "failed"
    assert decide(admin_client, "turn", "dismiss", turn, next="https://evil.example/")


def test_the_menu_counts_what_waits(admin_client: Client, admin_user: Any) -> None:
    conversation = a_conversation(a_channel(), needs_attention=True)
    a_turn(conversation, "failed", reason="attempts")
    items = [
        item for group in admin_client.get(reverse("admin:attention")).context["sidebar_navigation"] for item in group["items"]
    ]
    badges = {str(item["title"]): item.get("badge") for item in items}
    assert (badges["Conversations"], badges["Needs attention"]) == (1, 1)
    assert Conversation.objects.count() == 1


# ── Messages and handovers ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("model", ["message", "takeover"])
def test_other_journals_are_read_only_and_know_whose_channel_it_is(admin_client: Client, client: Client, model: str) -> None:
    theirs = a_conversation(a_channel(owner=a_manager()))
    a_message(theirs, "customer", "секретный текст")
    theirs.save()
    takeover.take_over(theirs.pk)
    where = f"admin:conversations_{model}_changelist"
    page = admin_client.get(reverse(where))
    assert page.status_code == 200
    assert "секретный текст" not in page.content.decode()
    [pk] = listed(admin_client, where)
    assert admin_client.get(reverse(f"admin:conversations_{model}_change", args=[pk])).status_code == 200
    for what, arguments in (("add", []), ("delete", [pk])):
        assert admin_client.post(reverse(f"admin:conversations_{model}_{what}", args=arguments)).status_code == 403
    client.force_login(a_manager())
    assert listed(client, where) == []


def test_many_are_decided_at_once_on_the_attention_page(admin_client: Client) -> None:
    channel = a_channel()
    turns = [a_turn(a_conversation(channel), "failed", reason="attempts") for _ in range(3)]
    page = admin_client.get(reverse("admin:attention")).content.decode()
    assert 'id="bulk-turn"' in page and 'id="bulk-event"' not in page

    def decide(**data: Any) -> str:
        response = admin_client.post(reverse("admin:attention"), data, follow=True)
        return " ".join(str(message) for message in response.context["messages"])

    assert "2 decided" in decide(kind="turn", do="dismiss", id=[turns[0].pk, turns[1].pk])
    assert Turn.objects.filter(stage="failed").get() == turns[2]
    for number in range(2):
        channel.events.create(external_id=f"e{number}", source="webhook", state="failed", payload=b"x")
    assert "2 decided" in decide(kind="event", do="retry", all="1")
    assert not InboundEvent.objects.filter(state="failed").exists()
    for nonsense in ({"kind": "turn", "do": "dismiss"}, {"kind": "channel", "do": "check", "all": "1"}):
        assert admin_client.post(reverse("admin:attention"), nonsense).status_code == 400


def test_messages_are_decided_from_the_journal(admin_client: Client) -> None:
    messages = "admin:conversations_message_changelist"
    failed, unknown, sent = (a_message(a_conversation(a_channel()), "bot", "!", state=s) for s in ("failed", "unconfirmed", "sent"))
    told = act(admin_client, messages, "resend", failed, sent)
    assert "1 message is queued again" in told and "moved on" in told
    assert "1 message arrived" in act(admin_client, messages, "arrived", unknown)
    other = a_message(a_conversation(a_channel()), "bot", "!", state="failed")
    assert "1 message is withdrawn" in act(admin_client, messages, "withdraw", other)
    assert list(Message.objects.order_by("pk").values_list("state", flat=True)) == ["queued", "sent", "sent", "suppressed"]


def test_readers_decide_about_no_message(client: Client) -> None:
    message = a_message(a_conversation(a_channel()), "bot", "!", state="failed")
    reader = a_manager()
    reader.user_permissions.set(reader.user_permissions.filter(codename__startswith="view_"))
    client.force_login(reader)
    act(client, "admin:conversations_message_changelist", "resend", message)
    message.refresh_from_db()
    assert message.state == "failed"
