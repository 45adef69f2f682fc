"""The list of conversations: what needs me, who may see what, finding people, and the bulk actions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from conversations.models import Conversation

from .rows import a_channel, a_conversation, a_manager, a_message, a_turn, english  # noqa: F401

pytestmark = pytest.mark.django_db
LIST = "admin:conversations_conversation_changelist"


@pytest.fixture
def boss_client(admin_client: Client) -> Client:
    return admin_client


def listed(browser: Client, /, **query: str) -> list[int]:
    response = browser.get(reverse(LIST), query)
    assert response.status_code == 200
    return [row.pk for row in response.context["cl"].result_list]


def act(client: Client, action: str, *rows: Conversation) -> str:
    """POST a bulk action and return what the page says."""
    data = {"action": action, "_selected_action": [row.pk for row in rows]}
    response = client.post(f"{reverse(LIST)}?show=all", data, follow=True)
    assert response.status_code == 200
    return " ".join(str(message) for message in response.context["messages"])


def ago(**span: float) -> Any:
    return timezone.now() - timedelta(**span)


def test_at_first_only_what_needs_me_is_shown(boss_client: Client) -> None:
    channel, open_channel = a_channel(moderation=True), a_channel(moderation=False)
    flagged = a_conversation(channel, is_client=True, needs_attention=True, attention_reason="x")
    owed = a_conversation(channel, is_client=True, mode="manager")
    a_message(owed, "customer", "And?", at=ago(minutes=1))
    unsure = a_conversation(channel, is_client=None)
    a_message(unsure, "customer", "Hi", at=ago(hours=1))
    fresh = a_conversation(channel, is_client=None)
    a_message(fresh, "customer", "Hi", at=ago(minutes=1))
    unmoderated = a_conversation(open_channel, is_client=None)
    a_message(unmoderated, "customer", "Hi", at=ago(hours=1))
    answered = a_conversation(channel, is_client=True, mode="manager")
    a_message(answered, "customer", "?", at=ago(minutes=5))
    a_message(answered, "manager", "!", at=ago(minutes=4))
    forgotten = a_conversation(channel, is_client=None)
    a_message(forgotten, "customer", "Hi", at=ago(days=30))

    assert set(listed(boss_client)) == {flagged.pk, owed.pk, unsure.pk}
    assert len(listed(boss_client, show="all")) == 7


def test_led_by_me(boss_client: Client, admin_user: Any) -> None:
    channel = a_channel()
    mine = a_conversation(channel, mode="manager", taken_by=admin_user)
    a_conversation(channel, mode="manager", taken_by=a_manager())
    assert listed(boss_client, show="mine") == [mine.pk]


@pytest.mark.parametrize(
    "term", ["8 701 765-43-21", "+7 701 765 43 21", "7017654321", "нурланова", "АЙГЕРИМ", "Айгерим Петрова"]
)
def test_people_are_found_by_phone_in_any_spelling_and_by_parts_of_names(boss_client: Client, term: str) -> None:
    channel = a_channel()
    found = a_conversation(channel, phone="77017654321", name="Айгерим", full_name="Айгерим Нурланова")
    a_conversation(channel, phone="77019999999", name="Ержан")
    assert listed(boss_client, q=term) == [found.pk]


def test_a_visitor_is_found_by_the_id_on_the_channel(boss_client: Client) -> None:
    visitor = a_conversation(a_channel())
    a_conversation(a_channel())
    assert listed(boss_client, q=visitor.identity.source_id) == [visitor.pk]


def test_filters(boss_client: Client) -> None:
    one, other = a_channel(), a_channel()
    client = a_conversation(one, is_client=True)
    unsure = a_conversation(other, is_client=None, mode="closed", needs_attention=True)
    assert listed(boss_client, show="all", client="yes") == [client.pk]
    assert listed(boss_client, show="all", client="unsure") == [unsure.pk]
    assert listed(boss_client, show="all", channel=str(other.pk)) == [unsure.pk]
    assert listed(boss_client, show="all", mode__exact="closed") == [unsure.pk]
    assert listed(boss_client, show="all", needs_attention__exact="1") == [unsure.pk]


def test_the_row_shows_the_first_words_escaped_and_the_state(boss_client: Client) -> None:
    conversation = a_conversation(
        a_channel(), phone="77017654321", name="Айгерим", is_client=None, needs_attention=True, attention_reason="handed over"
    )
    a_message(conversation, "customer", "<b>Сколько</b> стоит? " + "очень " * 40)
    page = boss_client.get(reverse(LIST)).content.decode()
    assert "&lt;b&gt;Сколько&lt;/b&gt; стоит?" in page
    assert "<b>Сколько" not in page
    assert "+7 701 765 4321" in page
    assert "handed over" in page
    assert "очень " * 30 not in page


def test_the_number_of_queries_does_not_grow_with_the_list(boss_client: Client) -> None:
    channel = a_channel()

    def queries(rows: int) -> int:
        for number in range(rows):
            conversation = a_conversation(channel, name=f"Name {number}", mode="manager", taken_by=a_manager())
            a_message(conversation, "customer", "Hello?")
        with CaptureQueriesContext(connection) as captured:
            boss_client.get(reverse(LIST), {"show": "all"})
        return len(captured)

    queries(1)
    few = queries(2)
    assert queries(12) == few


def test_bulk_actions(boss_client: Client, admin_user: Any) -> None:
    channel = a_channel()
    one, two = (a_conversation(channel, needs_attention=True) for _ in range(2))

    assert "2" in act(boss_client, "mark_seen", one, two)
    assert not Conversation.objects.filter(needs_attention=True).exists()

    act(boss_client, "take_over", one, two)
    assert set(Conversation.objects.values_list("mode", "taken_by")) == {("manager", admin_user.pk)}

    assert "1" in act(boss_client, "give_back", one)
    one.refresh_from_db()
    assert one.mode == "bot"
    assert "0" in act(boss_client, "give_back", one)

    act(boss_client, "close", two)
    two.refresh_from_db()
    assert two.mode == "closed"


def test_who_may_only_look_may_not_act(client: Client) -> None:
    conversation = a_conversation(a_channel(), needs_attention=True)
    reader = a_manager()
    reader.user_permissions.set(reader.user_permissions.filter(codename__startswith="view_"))
    client.force_login(reader)
    act(client, "take_over", conversation)
    conversation.refresh_from_db()
    assert conversation.mode == "bot"


def test_managers_see_their_own_channels_and_those_of_their_teams(client: Client) -> None:
    manager, colleague = a_manager(), a_manager()
    own = a_conversation(a_channel(owner=manager), needs_attention=True)
    shared = a_conversation(a_channel(owner=colleague), needs_attention=True)
    shared.channel.team.add(manager)
    a_conversation(a_channel(owner=None), needs_attention=True)
    foreign_channel = a_channel(owner=colleague, name="Secret channel")
    foreign = a_conversation(foreign_channel, needs_attention=True)
    client.force_login(manager)

    assert set(listed(client)) == {own.pk, shared.pk}
    assert "Secret channel" not in client.get(reverse(LIST)).content.decode()
    act(client, "take_over", foreign)
    foreign.refresh_from_db()
    assert foreign.mode == "bot"
    for name in ("admin:conversations_conversation_change", "admin:conversation_feed", "admin:conversation_older"):
        assert client.get(reverse(name, args=(foreign.pk,))).status_code == 404
    for name in ("admin:conversation_reply", "admin:conversation_decide"):
        assert client.post(reverse(name, args=(foreign.pk,)), {"text": "x", "do": "take_over"}).status_code == 404


def test_nobody_adds_or_deletes_conversations(boss_client: Client) -> None:
    conversation = a_conversation(a_channel())
    assert boss_client.get(reverse("admin:conversations_conversation_add")).status_code == 403
    assert boss_client.post(reverse("admin:conversations_conversation_delete", args=(conversation.pk,))).status_code == 403


def test_the_page_opens_for_every_kind_of_row(boss_client: Client) -> None:
    a_conversation(a_channel())
    voice = a_conversation(a_channel())
    a_message(voice, "customer", "", kind="voice", turn=a_turn(voice, "ignored", reason="manager"))
    assert len(listed(boss_client, show="all")) == 2
