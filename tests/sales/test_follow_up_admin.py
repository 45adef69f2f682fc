"""The managers' pages of follow-ups, the card beside the chat, and what the page of a contact knows of the sale."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from conversations.models import Contact, Conversation, Turn
from sales import cadence
from sales.models import FollowUp, FunnelProgress, Qualification, Touch
from tests.conftest import Broker
from tests.conversations.rows import a_channel, a_conversation, a_manager, a_message, a_turn, english  # noqa: F401
from tests.sales.sale_rows import a_bot, a_follow_up, a_scheduled_call

pytestmark = pytest.mark.django_db
LIST = "admin:sales_followup_changelist"


@pytest.fixture
def conversation() -> Conversation:
    channel = a_channel(name="WhatsApp")
    a_bot(channel)
    return a_conversation(channel, phone="77017654321", name="Айгерим", is_client=True)


def page(follow_up: FollowUp) -> str:
    return reverse("admin:sales_followup_change", args=(follow_up.pk,))


def listed(browser: Client, **query: str) -> list[int]:
    return [row.pk for row in browser.get(reverse(LIST), query).context["cl"].result_list]


def decide(browser: Client, follow_up: FollowUp, what: str, number: int = 1) -> str:
    touch = follow_up.touches.get(number=number)
    response = browser.post(reverse("admin:follow_up_decide", args=(follow_up.pk, what)), {"touch": touch.pk}, follow=True)
    assert response.status_code == 200
    return " ".join(str(message) for message in response.context["messages"])


def states(follow_up: FollowUp) -> list[str]:
    return list(follow_up.touches.order_by("number").values_list("state", flat=True))


# ── The line of dots ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_touch_has_its_own_sign_and_says_why(conversation: Conversation) -> None:
    anchor = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
    made, lost = (a_turn(conversation, stage, reason=reason) for stage, reason in (("done", ""), ("failed", "undelivered")))
    follow_up = a_follow_up(
        conversation,
        {
            1: {"state": "fired", "fired_at": anchor + timedelta(days=1), "turn": made},
            2: {"state": "fired", "fired_at": anchor + timedelta(days=3), "turn": lost},
            3: {"state": "skipped", "reason": "outage"},
            4: {"reason": "hours", "planned_at": anchor + timedelta(days=14, hours=20)},
        },
        anchor=anchor,
    )
    dots = cadence.dots(follow_up.touches.all(), conversation.channel.zone, active=True)
    assert [dot.kind for dot in dots] == ["made", "lost", "skipped", "moved", "planned"]
    assert [dot.is_next for dot in dots] == [False, False, False, True, False]
    assert dots[0].title == "Touch 1 of 5 · made · 21.11.2026 11:30", "in the zone of the channel"
    assert dots[1].title.endswith("the reply could not be delivered")
    assert dots[2].title.endswith("skipped · 27.11.2026 11:30 · a later touch was due as well")
    assert dots[3].title == "Touch 4 of 5 · next · 05.12.2026 07:30 · moved into sending hours"
    assert len({dot.icon for dot in dots}) == 5, "not told apart by colour alone"


def test_a_touch_on_its_way_and_one_whose_turn_is_forgotten(conversation: Conversation) -> None:
    leaving = a_turn(conversation, "answer", trigger="follow_up")
    fired = {"state": "fired", "fired_at": timezone.now()}
    follow_up = a_follow_up(conversation, {1: fired, 2: {**fired, "turn": leaving}, 3: {"state": "cancelled"}})
    dots = cadence.dots(follow_up.touches.all(), conversation.channel.zone, active=False)
    assert [dot.kind for dot in dots] == ["made", "leaving", "cancelled", "planned", "planned"]
    assert not any(dot.is_next for dot in dots), "what has ended has no next touch"


# ── The list ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_list_says_who_when_and_why_it_ended(admin_client: Client, conversation: Conversation) -> None:
    stopped = a_follow_up(conversation, cycle=0, state="stopped", stop_reason="client_said_no", stopped_at=timezone.now())
    active = a_follow_up(conversation, cycle=1, cause="vague")
    html = admin_client.get(reverse(LIST)).content.decode()
    for word in ("Айгерим", "WhatsApp", "the customer declined", "a vague answer", "sd-cadence__touch--next"):
        assert word in html
    due = active.touches.get(number=1).planned_at.astimezone(conversation.channel.zone)
    assert due.strftime("%d.%m.%Y %H:%M") in html
    assert listed(admin_client, state__exact="active") == [active.pk]
    assert listed(admin_client, stop_reason__exact="client_said_no") == [stopped.pk]
    assert listed(admin_client, cause__exact="vague") == [active.pk]
    assert listed(admin_client, channel=str(conversation.channel_id)) == [active.pk, stopped.pk]
    assert listed(admin_client, q="айгерим") == [active.pk, stopped.pk]
    assert listed(admin_client, q="nobody") == []


def test_names_are_escaped(admin_client: Client) -> None:
    follow_up = a_follow_up(a_conversation(a_channel(), name="<b>x</b>"))
    for address in (reverse(LIST), page(follow_up)):
        html = admin_client.get(address).content.decode()
        assert "<b>x</b>" not in html
        assert "&lt;b&gt;x&lt;/b&gt;" in html


def test_the_list_costs_the_same_queries_for_any_length(admin_client: Client) -> None:
    def queries(rows: int) -> int:
        for _ in range(rows):
            made = a_turn(conversation := a_conversation(a_channel()), "done")
            a_follow_up(conversation, {1: {"state": "fired", "fired_at": timezone.now(), "turn": made}})
        with CaptureQueriesContext(connection) as captured:
            admin_client.get(reverse(LIST))
        return len(captured)

    queries(1)
    few = queries(2)
    assert queries(10) == few


def test_follow_ups_of_foreign_channels_stay_hidden(client: Client) -> None:
    manager = a_manager()
    own = a_follow_up(a_conversation(a_channel(owner=manager)))
    foreign = a_follow_up(a_conversation(a_channel(owner=a_manager())))
    client.force_login(manager)
    assert listed(client) == [own.pk]
    assert client.get(page(foreign)).status_code == 302
    assert client.post(reverse("admin:follow_up_decide", args=(foreign.pk, "stop"))).status_code == 404
    foreign.refresh_from_db()
    assert foreign.state == "active"


def test_the_list_stops_several(admin_client: Client, conversation: Conversation, broker: Broker) -> None:
    ended = a_follow_up(conversation, cycle=0, state="stopped", stop_reason="by_hand", stopped_at=timezone.now())
    active = a_follow_up(conversation, cycle=1)
    data = {"action": "stop", "_selected_action": [ended.pk, active.pk]}
    response = admin_client.post(reverse(LIST), data, follow=True)
    told = " ".join(str(message) for message in response.context["messages"])
    assert "1 follow-up stopped" in told
    assert "ended already" in told
    assert set(states(active)) == {"cancelled"}


# ── The page of one follow-up ────────────────────────────────────────────────────────────────────────────────────────


def a_made_touch(conversation: Conversation) -> FollowUp:
    turn = a_turn(conversation, "done", trigger="follow_up")
    a_message(conversation, "bot", "Подумали о <b>кофе</b>?", turn=turn)
    return a_follow_up(conversation, {1: {"state": "fired", "fired_at": timezone.now(), "turn": turn}})


def test_the_page_tells_what_was_sent_and_leads_to_the_chat(admin_client: Client, conversation: Conversation) -> None:
    html = admin_client.get(page(a_made_touch(conversation))).content.decode()
    assert "Подумали о &lt;b&gt;кофе&lt;/b&gt;?" in html
    assert reverse("admin:conversations_conversation_change", args=(conversation.pk,)) in html
    assert "Send the next touch now" in html
    assert "data-confirm" in html
    assert "Times of Asia/Almaty" in html


def test_nobody_adds_edits_or_deletes(admin_client: Client, conversation: Conversation) -> None:
    follow_up = a_follow_up(conversation)
    assert admin_client.post(page(follow_up), {"state": "completed"}).status_code == 403
    for what, arguments in (("add", []), ("delete", [follow_up.pk])):
        assert admin_client.post(reverse(f"admin:sales_followup_{what}", args=arguments)).status_code == 403


def test_readers_see_no_buttons_and_decide_nothing(client: Client, conversation: Conversation) -> None:
    follow_up, reader = a_made_touch(conversation), a_manager()
    reader.user_permissions.set(reader.user_permissions.filter(codename="view_followup"))
    client.force_login(reader)
    html = client.get(page(follow_up)).content.decode()
    assert "Send the next touch now" not in html
    assert "Подумали" not in html, "who may not see conversations does not read them here"
    assert client.post(reverse("admin:follow_up_decide", args=(follow_up.pk, "stop"))).status_code == 403
    assert client.get(reverse("admin:follow_up_decide", args=(follow_up.pk, "stop"))).status_code == 405


def test_a_follow_up_is_stopped(admin_client: Client, admin_user: Any, conversation: Conversation, broker: Broker) -> None:
    follow_up = a_follow_up(conversation)
    assert "The follow-up is stopped" in decide(admin_client, follow_up, "stop")
    follow_up.refresh_from_db()
    assert (follow_up.state, follow_up.stop_reason, follow_up.stopped_by) == ("stopped", "by_hand", admin_user)
    assert set(states(follow_up)) == {"cancelled"}
    assert "ended already" in decide(admin_client, follow_up, "stop")
    html = admin_client.get(page(follow_up)).content.decode()
    assert "stopped by hand" in html
    assert "Send the next touch now" not in html


def test_the_next_touch_is_skipped_once(admin_client: Client, conversation: Conversation, broker: Broker) -> None:
    follow_up = a_follow_up(conversation)
    assert "The touch is skipped" in decide(admin_client, follow_up, "skip")
    assert "not planned any more" in decide(admin_client, follow_up, "skip"), "a second click does not reach the next one"
    assert states(follow_up) == ["skipped", *["planned"] * 4]


def test_the_next_touch_is_sent_now(admin_client: Client, conversation: Conversation, broker: Broker) -> None:
    follow_up = a_follow_up(conversation)
    assert "An earlier touch is still planned" in decide(admin_client, follow_up, "send_now", 2)
    assert "being written and sent" in decide(admin_client, follow_up, "send_now", 1)
    assert states(follow_up) == ["fired", *["planned"] * 4]
    assert (Turn.objects.get().trigger, Turn.objects.get().stage) == ("follow_up", "answer")


def test_what_harms_is_refused_with_words(admin_client: Client, conversation: Conversation, broker: Broker) -> None:
    follow_up = a_follow_up(conversation)
    Contact.objects.update(opted_out_at=timezone.now())
    assert "does not want to be written to" in decide(admin_client, follow_up, "send_now")
    assert states(follow_up) == ["planned"] * 5


def test_nonsense_is_not_found(admin_client: Client, conversation: Conversation) -> None:
    follow_up, other = a_follow_up(conversation), a_follow_up(a_conversation(a_channel()))
    for what, touch in (
        ("explode", "1"),
        ("skip", ""),
        ("skip", "x"),
        ("skip", "٣"),
        ("skip", str(other.touches.get(number=1).pk)),
    ):
        address = reverse("admin:follow_up_decide", args=(follow_up.pk, what))
        assert admin_client.post(address, {"touch": touch}).status_code == 404, (what, touch)
    assert set(Touch.objects.values_list("state", flat=True)) == {"planned"}


def test_one_goes_back_where_the_button_was_but_nowhere_else(admin_client: Client, conversation: Conversation) -> None:
    follow_up = a_follow_up(conversation)
    address, here = reverse("admin:follow_up_decide", args=(follow_up.pk, "stop")), f"http://testserver{reverse(LIST)}"
    assert admin_client.post(address, headers={"referer": here})["Location"] == here
    assert admin_client.post(address, headers={"referer": "https://evil.example/"})["Location"] == page(follow_up)


# ── The card beside the chat ─────────────────────────────────────────────────────────────────────────────────────────


def feed(browser: Client, conversation: Conversation, version: str = "") -> dict[str, Any]:
    answer = browser.get(reverse("admin:conversation_feed", args=(conversation.pk,)), {"version": version})
    found: dict[str, Any] = answer.json()
    return found


def in_chat(browser: Client, conversation: Conversation, do: str, row: int) -> tuple[int, str]:
    answer = browser.post(reverse("admin:conversation_decide", args=(conversation.pk,)), {"do": do, "id": str(row)})
    return answer.status_code, answer.json().get("done") or answer.json()["error"]


def test_the_card_shows_what_was_answered_in_the_funnel(admin_client: Client, conversation: Conversation) -> None:
    version = feed(admin_client, conversation)["version"]
    assert "Questionnaire" not in feed(admin_client, conversation)["side"]
    FunnelProgress.objects.create(
        conversation=conversation, segment="office", answers={"language": "ru", "people": "20", "drinks": ["латте", "<i>"]}
    )
    told = feed(admin_client, conversation, version)
    assert all(word in told["side"] for word in ("Questionnaire", "office", "<dt>people</dt><dd>20</dd>", "латте, &lt;i&gt;"))
    assert "<dt>language</dt>" not in told["side"]


def test_the_card_tells_how_the_sale_stands(admin_client: Client, admin_user: Any, conversation: Conversation) -> None:
    side = feed(admin_client, conversation)["side"]
    for word in ("Nothing is known of the need yet", "None is agreed", "None so far"):
        assert word in side
    Qualification.objects.create(contact=conversation.contact, stage="problem", situation="офис на 20 человек", problem="<i>")
    assistant = conversation.channel.bot.assistant
    start = datetime(2035, 11, 26, 10, 0, tzinfo=UTC)
    a_scheduled_call(conversation, assistant, admin_user, timezone.now() - timedelta(days=2), status="missed")
    call = a_scheduled_call(conversation, assistant, admin_user, start)
    follow_up = a_follow_up(conversation)
    side = feed(admin_client, conversation)["side"]
    for word in ("офис на 20 человек", "&lt;i&gt;", "26.11.2035 15:00", "sd-cadence__touch--next", 'data-do="skip_touch"'):
        assert word in side
    assert side.count('class="sd-steps__reached') == 2
    for address in (page(follow_up), reverse("admin:sales_scheduledcall_change", args=(call.pk,))):
        assert address in side


def test_a_call_whose_time_is_over_asks_to_be_marked(admin_client: Client, admin_user: Any, conversation: Conversation) -> None:
    call = a_scheduled_call(conversation, conversation.channel.bot.assistant, admin_user, timezone.now() - timedelta(hours=1))
    assert "did it take place?" in feed(admin_client, conversation)["side"]
    call.status = "completed"
    call.save()
    side = feed(admin_client, conversation)["side"]
    assert "completed" in side
    assert "did it take place?" not in side


def test_the_card_is_renewed_when_anything_of_it_changes(
    admin_client: Client, admin_user: Any, conversation: Conversation
) -> None:
    version = feed(admin_client, conversation)["version"]
    assert "side" not in feed(admin_client, conversation, version)
    known = Qualification.objects.create(contact=conversation.contact, stage="situation")
    follow_up = a_follow_up(conversation)
    call = a_scheduled_call(conversation, conversation.channel.bot.assistant, admin_user, timezone.now() + timedelta(days=1))
    changes: list[Any] = [lambda: None]
    changes += [lambda row=row: row.save() for row in (known, call)]
    changes.append(lambda: follow_up.touches.filter(number=1).update(state="skipped"))
    changes.append(lambda: FollowUp.objects.update(state="stopped", stop_reason="by_hand"))
    changes.append(lambda: FollowUp.objects.update(stop_reason="client_said_no"))
    for change in changes:
        change()
        told = feed(admin_client, conversation, version)
        assert "side" in told
        version = told["version"]


def test_watching_a_chat_costs_one_statement_more(admin_client: Client, conversation: Conversation) -> None:
    a_follow_up(conversation)
    version = feed(admin_client, conversation)["version"]
    with CaptureQueriesContext(connection) as captured:
        feed(admin_client, conversation, version)
    assert len([query for query in captured if "sales_" in query["sql"]]) == 1


def test_the_buttons_of_the_card(admin_client: Client, conversation: Conversation, broker: Broker) -> None:
    follow_up = a_follow_up(conversation)
    first, second = follow_up.touches.order_by("number")[:2]
    assert in_chat(admin_client, conversation, "skip_touch", first.pk) == (200, "The touch is skipped.")
    assert in_chat(admin_client, conversation, "send_touch", second.pk)[0] == 200
    assert in_chat(admin_client, conversation, "stop_follow_up", follow_up.pk) == (200, "The follow-up is stopped.")
    assert in_chat(admin_client, conversation, "stop_follow_up", follow_up.pk)[0] == 409
    assert in_chat(admin_client, conversation, "send_touch", second.pk)[0] == 409


def test_the_card_decides_nothing_about_other_conversations(admin_client: Client, conversation: Conversation) -> None:
    other = a_follow_up(a_conversation(conversation.channel))
    assert in_chat(admin_client, conversation, "stop_follow_up", other.pk)[0] == 409
    assert in_chat(admin_client, conversation, "skip_touch", other.touches.get(number=1).pk)[0] == 409
    assert set(states(other)) == {"planned"}


def test_the_card_shows_what_a_person_may_see(client: Client, conversation: Conversation) -> None:
    follow_up, manager = a_follow_up(conversation), a_manager()
    conversation.channel.team.add(manager)
    Qualification.objects.create(contact=conversation.contact, stage="problem", situation="офис на 20 человек")
    rights = manager.user_permissions
    rights.set(rights.filter(codename__in=["view_conversation", "change_conversation", "view_followup"]))
    client.force_login(manager)
    side = feed(client, conversation)["side"]
    assert "sd-cadence" in side
    assert "офис" not in side
    assert 'data-do="stop_follow_up"' not in side
    assert in_chat(client, conversation, "stop_follow_up", follow_up.pk) == (409, "You may not decide about follow-ups.")
    rights.set(rights.exclude(codename="view_followup"))
    client.force_login(type(manager).objects.get(pk=manager.pk))
    assert "Sale" not in feed(client, conversation)["side"]


# ── The page of a contact ────────────────────────────────────────────────────────────────────────────────────────────


def of(contact: Contact) -> str:
    return reverse("admin:conversations_contact_change", args=(contact.pk,))


def test_the_page_of_a_contact_shows_what_is_known_of_the_need(admin_client: Client, conversation: Conversation) -> None:
    contact = conversation.contact
    assert admin_client.get(of(contact)).status_code == 200
    Qualification.objects.create(contact=contact, stage="need_payoff", need="кофемашина до конца года")
    html = admin_client.get(of(contact)).content.decode()
    assert "кофемашина до конца года" in html
    assert html.count("sd-steps__reached") == 4


def test_the_time_zone_of_a_contact_is_chosen(admin_client: Client, conversation: Conversation) -> None:
    contact = conversation.contact
    data = {"name": "Айгерим", "full_name": "", "business_name": "", "language": "ru"}
    for prefix in ("identities", "qualification"):
        data |= {f"{prefix}-TOTAL_FORMS": "0", f"{prefix}-INITIAL_FORMS": "0"}
    assert admin_client.post(of(contact), {**data, "time_zone": "Europe/Moscow"}).status_code == 302
    contact.refresh_from_db()
    assert contact.time_zone == "Europe/Moscow"
    assert admin_client.post(of(contact), {**data, "time_zone": "Mars/Base"}).status_code == 200
    assert admin_client.post(of(contact), {**data, "time_zone": ""}).status_code == 302


def test_a_contact_may_be_written_to_again(admin_client: Client, conversation: Conversation, broker: Broker) -> None:
    contact, follow_up = conversation.contact, a_follow_up(conversation)
    address = "admin:contact_writing"
    assert "Do not write first" in admin_client.get(of(contact)).content.decode()
    assert admin_client.post(reverse(address, args=(contact.pk, "forbid")))["Location"] == of(contact)
    contact.refresh_from_db()
    follow_up.refresh_from_db()
    assert contact.opted_out_at is not None
    assert follow_up.stop_reason == "opted_out"
    assert "May be written to again" in admin_client.get(of(contact)).content.decode()
    admin_client.post(reverse(address, args=(contact.pk, "allow")))
    contact.refresh_from_db()
    assert contact.opted_out_at is None


def test_writing_again_by_the_list_and_by_those_who_may(
    admin_client: Client, client: Client, conversation: Conversation
) -> None:
    Contact.objects.update(opted_out_at=timezone.now())
    contact = conversation.contact
    reader = a_manager()
    reader.user_permissions.set(reader.user_permissions.filter(codename__startswith="view_"))
    client.force_login(reader)
    assert client.post(reverse("admin:contact_writing", args=(contact.pk, "allow"))).status_code == 403
    client.force_login(a_manager())
    foreign = a_conversation(a_channel(owner=a_manager())).contact
    assert client.post(reverse("admin:contact_writing", args=(foreign.pk, "allow"))).status_code == 404
    data = {"action": "allow_writing", "_selected_action": [contact.pk]}
    answer = admin_client.post(reverse("admin:conversations_contact_changelist"), data, follow=True)
    assert "1 contact may be written to again" in " ".join(str(m) for m in answer.context["messages"])
    contact.refresh_from_db()
    assert contact.opted_out_at is None
    assert admin_client.post(reverse("admin:contact_writing", args=(contact.pk, "explode"))).status_code == 404


# ── Today ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_board_counts_what_is_due(
    admin_client: Client, admin_user: Any, client: Client, conversation: Conversation
) -> None:
    now = timezone.now()
    a_follow_up(conversation, {1: {"planned_at": now - timedelta(days=1)}}, cycle=1)
    a_follow_up(conversation, {1: {"planned_at": now - timedelta(days=1)}}, cycle=0, state="stopped")
    assistant = conversation.channel.bot.assistant
    noon = timezone.localtime().replace(hour=12, minute=0, second=0, microsecond=0)
    a_scheduled_call(conversation, assistant, admin_user, noon, status="completed")
    a_scheduled_call(conversation, assistant, admin_user, noon + timedelta(hours=1), status="cancelled")
    a_scheduled_call(conversation, assistant, admin_user, noon + timedelta(days=1))
    board = admin_client.get(reverse("admin:index")).context["board"]
    assert (board["follow_ups"], board["touches"], board["calls"]) == (1, 1, 1)
    reader = a_manager()
    reader.user_permissions.set(reader.user_permissions.filter(codename="view_conversation"))
    client.force_login(reader)
    page = client.get(reverse("admin:index"))
    assert "follow_ups" not in page.context["board"]
    assert "Follow-ups under way" not in page.content.decode()
