"""Contacts, messages and sending by the HTTP API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.utils import timezone

from channels.models import NumberRule
from conversations.models import Contact, Conversation, Message, Takeover
from tests.config.api_world import World, client_of, make_user
from tests.conftest import Broker

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(broker: Broker, settings: Any) -> World:
    settings.RATE_LIMIT_PER_MINUTE = 10**6
    return World()


@pytest.fixture
def get(world: World) -> Any:
    def asked(path: str, user: Any = None, expect: int = 200) -> Any:
        answer = client_of(user or world.manager).get(f"/api/v1/{path}")
        assert answer.status_code == expect, answer.content
        return answer.json()

    return asked


@pytest.fixture
def send(world: World) -> Any:
    def sent(expect: int = 202, user: Any = None, **body: Any) -> Any:
        body = {"channel": "mine", "text": "Good day", **body}
        answer = client_of(user or world.manager).post("/api/v1/test/send-message/", body, format="json")
        assert answer.status_code == expect, answer.content
        return answer.json()

    return sent


# ── Contacts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "written", ["77010000001", "+77010000001", "+7 701 000-00-01", "8 (701) 000 00 01", "87010000001", "7010000001"]
)
def test_a_contact_by_any_way_to_write_a_phone(world: World, get: Any, written: str) -> None:
    conversation = world.conversation(world.mine, "77010000001", "Anna", is_client=True, reasoning="asks for prices")
    told = get(f"contacts/{quote(written, safe='')}/")
    assert told["id"] == conversation.contact_id and told["phone"] == "+77010000001"
    assert (told["name"], told["is_client"], told["reasoning"]) == ("Anna", True, "asks for prices")
    assert [c["id"] for c in told["conversations"]] == [conversation.pk]


def test_a_contact_without_a_phone_by_its_number(world: World, get: Any) -> None:
    contact = world.conversation(world.mine, name="Visitor").contact_id
    assert get(f"contacts/id:{contact}/")["phone"] is None
    for unknown in ("id:0", "id:99999999", f"id:{10**17}", "id:x", "id:", "id:-1", "id:٣", f"id:{'9' * 40}"):
        get(f"contacts/{quote(unknown)}/", expect=404)


@pytest.mark.parametrize("nonsense", ["123", "phone", "+7abc", "7" * 30, "%00", "..", "'; DROP"])
def test_what_is_no_phone_is_said_so(get: Any, nonsense: str) -> None:
    error = get(f"contacts/{quote(nonsense)}/", expect=400)["error"]
    assert error["code"] == "invalid" and "phone" in error["fields"]


def test_an_unknown_phone_is_not_found(get: Any) -> None:
    assert get("contacts/77019999999/", expect=404)["error"]["code"] == "not_found"


def test_conversations_on_other_channels_are_left_out(world: World, get: Any) -> None:
    mine = world.conversation(world.mine, "77010000001")
    theirs = world.identity(mine.contact, world.theirs, "77010000001")
    world.message(mine, "for us")
    world.message(theirs, "for them")
    assert [c["channel"] for c in get("contacts/77010000001/")["conversations"]] == ["mine"]
    assert [m["text"] for m in get(f"messages/{mine.contact_id}/")["results"]] == ["for us"]
    both = get(f"messages/{mine.contact_id}/", user=world.root)["results"]
    assert {m["text"] for m in both} == {"for us", "for them"}


def test_contacts_by_verdict_search_and_channel(world: World, get: Any) -> None:
    world.conversation(world.mine, "77010000001", "Anna Smith", is_client=True)
    world.conversation(world.mine, "77010000002", "Boris", is_client=False)
    world.conversation(world.mine, "77010000003", "Анна Петрова")
    world.conversation(world.theirs, "77010000004", "Anna Secret", is_client=True)

    def names(query: str) -> set[str]:
        return {contact["name"] for contact in get(f"contacts/?{query}")["results"]}

    assert names("is_client=true") == {"Anna Smith"}
    assert names("is_client=false") == {"Boris"}
    assert names("is_client=null") == {"Анна Петрова"}
    assert names("search=anna") == {"Anna Smith"}
    assert names("search=smith+ANNA") == {"Anna Smith"}
    assert names("search=" + quote("АННА")) == {"Анна Петрова"}
    assert names("search=" + quote("8 701 000 00 02")) == {"Boris"}
    assert names("search=77010000004") == names("search=an") == names("search=x") == set()
    assert names("channel=mine") == {"Anna Smith", "Boris", "Анна Петрова"}
    assert names("channel=theirs") == names("channel=nowhere") == set()
    assert get("contacts/?is_client=maybe", expect=400)["error"]["fields"].keys() == {"is_client"}


def test_contacts_come_in_pages_the_latest_first(world: World, get: Any) -> None:
    now = timezone.now()
    for number in range(5):
        world.conversation(world.mine, f"7701000000{number}", last_message_at=now - timedelta(hours=number))
    world.conversation(world.mine, "77010000009")
    page = get("contacts/?page_size=4")
    assert page["count"] == 6 and page["next"] and not page["previous"]
    assert [c["phone"][-1] for c in page["results"]] == ["0", "1", "2", "3"]
    assert [c["phone"][-1] for c in get("contacts/?page_size=4&page=2")["results"]] == ["4", "9"]
    get("contacts/?page_size=4&page=3", expect=404)
    get("contacts/?page=no", expect=404)
    assert len(get("contacts/?page_size=100000")["results"]) == 6


def test_a_page_is_never_longer_than_allowed(world: World, get: Any) -> None:
    Contact.objects.bulk_create(Contact() for _ in range(230))
    assert len(get("contacts/?page_size=1000", user=world.root)["results"]) == 200


def test_the_list_asks_the_database_as_often_for_many_as_for_few(
    world: World, get: Any, django_assert_max_num_queries: Any
) -> None:
    for number in range(30):
        conversation = world.conversation(world.mine, f"770100000{number:02}")
        world.message(conversation, "hi")
    for path in ("contacts/", "logs/messages/?text=1"):
        with django_assert_max_num_queries(8):
            get(path)


# ── Classifying anew ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_classify_asks_the_moderator_again(world: World, broker: Broker, django_capture_on_commit_callbacks: Any) -> None:
    conversation = world.conversation(world.mine, "77010000001", is_client=False, verdict_final=True)
    turn = world.turn(conversation, timezone.now(), stage="ignored", reason="not_client")
    world.message(conversation, "How much is it?", turn=turn)
    with django_capture_on_commit_callbacks(execute=True):
        answer = client_of(world.manager).post("/api/v1/contacts/77010000001/classify/")
    assert answer.status_code == 202 and answer.json()["turns_started"] == 1
    contact = Contact.objects.get()
    assert contact.is_client is None and not contact.verdict_final
    assert len(broker.named("conversations.classify")) == 1


def test_classify_where_nothing_waits(world: World) -> None:
    world.conversation(world.mine, "77010000001", is_client=True)
    answer = client_of(world.manager).post("/api/v1/contacts/%2B7%20701%20000%2000%2001/classify/")
    assert answer.status_code == 202 and answer.json()["turns_started"] == 0


def test_classify_only_by_post(get: Any, world: World) -> None:
    world.conversation(world.mine, "77010000001")
    assert get("contacts/77010000001/classify/", expect=405)["error"]["code"] == "method_not_allowed"


@pytest.mark.parametrize("method", ["put", "patch", "delete", "post"])
def test_nothing_else_changes_a_contact(world: World, method: str) -> None:
    world.conversation(world.mine, "77010000001", is_client=False)
    body = {"is_client": True, "phone": "77019999999", "verdict_final": True}
    answer = getattr(client_of(world.root), method)("/api/v1/contacts/77010000001/", body, format="json")
    assert answer.status_code == 405
    assert Contact.objects.get().is_client is False


# ── Messages ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_messages_in_both_directions_newest_first(world: World, get: Any) -> None:
    conversation = world.conversation(world.mine)
    start = timezone.now() - timedelta(hours=5)
    for number in range(6):
        world.message(conversation, f"m{number}", at=start + timedelta(hours=number), out=bool(number % 2))
    path = f"messages/{conversation.contact_id}/"

    def texts(query: str = "") -> list[str]:
        return [message["text"] for message in get(f"{path}?{query}")["results"]]

    assert texts() == ["m5", "m4", "m3", "m2", "m1", "m0"]
    assert texts("direction=in") == ["m4", "m2", "m0"]
    assert texts("direction=out&state=sent") == ["m5", "m3", "m1"]
    since = quote((start + timedelta(hours=4)).isoformat())
    assert texts(f"since={since}") == ["m5", "m4"]
    assert texts("page_size=2&page=2") == ["m3", "m2"]
    for wrong in ("direction=up", "since=yesterday", "state=lost"):
        assert get(f"{path}?{wrong}", expect=400)["error"]["code"] == "invalid"
    get("messages/999999/", expect=404)
    get(f"messages/{10**30}/", expect=404)
    get("messages/me/", expect=404)


def test_the_log_has_no_texts_unless_asked_for(world: World, get: Any) -> None:
    conversation = world.conversation(world.mine, "77010000001")
    world.message(conversation, "private words", external_id="wamid.1")
    (line,) = get("logs/messages/")
    assert line["external_id"] == "wamid.1" and line["channel"] == "mine" and line["contact"] == conversation.contact_id
    assert "text" not in line and "private" not in str(line)
    assert get("logs/messages/?text=1")[0]["text"] == "private words"


def test_texts_in_the_log_need_the_right(world: World, get: Any) -> None:
    newcomer = make_user("newcomer")
    world.mine.owner = newcomer
    world.mine.save()
    world.message(world.conversation(world.mine), "private words")
    assert len(get("logs/messages/", user=newcomer)) == 1
    assert get("logs/messages/?text=1", user=newcomer, expect=403)["error"]["code"] == "permission_denied"


def test_the_log_is_limited_filtered_and_scoped(world: World, get: Any) -> None:
    mine, theirs = world.conversation(world.mine), world.conversation(world.theirs)
    for number in range(5):
        world.message(mine, "in", at=timezone.now() - timedelta(minutes=number))
    world.message(mine, "out", out=True, state="failed")
    world.message(theirs, "foreign")
    assert len(get("logs/messages/")) == 6 and len(get("logs/messages/", user=world.root)) == 7
    assert len(get("logs/messages/?limit=2")) == 2
    assert [line["state"] for line in get("logs/messages/?state=failed")] == ["failed"]
    assert get("logs/messages/?channel=theirs") == []
    for wrong in ("0", "1001", "many"):
        assert "limit" in get(f"logs/messages/?limit={wrong}", expect=400)["error"]["fields"]


# ── Sending ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_message_to_a_known_phone(world: World, send: Any, broker: Broker, django_capture_on_commit_callbacks: Any) -> None:
    conversation = world.conversation(world.mine, "77010000001")
    queued = world.message(conversation, "the assistant's", out=True, state="queued")
    with django_capture_on_commit_callbacks(execute=True):
        told = send(phone="8 701 000 00 01")
    message = Message.objects.get(pk=told["message"])
    assert (message.text, message.author, message.user, message.state) == ("Good day", "manager", world.manager, "queued")
    conversation.refresh_from_db()
    assert (conversation.mode, conversation.taken_by, conversation.last_seq) == ("manager", world.manager, 2)
    assert Takeover.objects.get().cause == "reply"
    queued.refresh_from_db()
    assert queued.state == "suppressed", "people first"
    assert broker.named("conversations.deliver") == [conversation.pk]
    assert told == {
        "message": message.pk, "conversation": conversation.pk, "contact": conversation.contact_id, "state": "queued",
    }  # fmt: skip


def test_a_message_to_a_phone_that_never_wrote(world: World, send: Any) -> None:
    told = send(phone="+7 701 000 00 09")
    conversation = Conversation.objects.get(pk=told["conversation"])
    assert conversation.identity.source_id == "77010000009" and conversation.contact.phone == "77010000009"
    assert send(phone="77010000009")["conversation"] == conversation.pk, "the second one goes to the same place"
    assert Contact.objects.count() == 1


def test_a_phone_leads_to_the_conversation_of_its_owner_under_whatever_id(world: World, send: Any) -> None:
    elsewhere = world.conversation(world.channel("second", world.manager), "77010000001")
    here = world.identity(elsewhere.contact, world.mine, "KZ.00000000000000000001")
    assert send(phone="+7 701 000 00 01")["conversation"] == here.pk, "no second conversation with the same person"
    here.refresh_from_db()
    assert here.mode == "manager", "and the assistant gives way in it"


def test_a_message_to_a_contact(world: World, send: Any) -> None:
    visitor = world.conversation(world.mine)
    assert send(contact=visitor.contact_id)["conversation"] == visitor.pk
    elsewhere = world.channel("second", world.manager)
    known = world.conversation(elsewhere, "77010000001")
    told = send(contact=known.contact_id)
    assert told["contact"] == known.contact_id and told["conversation"] != known.pk, "their phone leads to this channel too"
    without = world.conversation(elsewhere)
    assert "contact" in send(contact=without.contact_id, expect=400)["error"]["fields"]


def test_foreign_rows_do_not_exist_for_sending(world: World, send: Any) -> None:
    theirs = world.conversation(world.theirs)
    send(contact=theirs.contact_id, expect=404)
    send(contact=999_999, expect=404)
    send(phone="77010000001", channel="theirs", expect=404)
    send(phone="77010000001", channel="nowhere", expect=404)
    assert not Message.objects.exists() and Conversation.objects.count() == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"phone": "123"}, "phone"),
        ({"phone": "77010000001", "text": ""}, "text"),
        ({"phone": "77010000001", "text": "   "}, "text"),
        ({"phone": "77010000001", "text": "x" * 20_001}, "text"),
        ({"phone": "77010000001", "channel": ""}, "channel"),
        ({"contact": "x"}, "contact"),
        ({}, ""),
        ({"phone": "77010000001", "contact": 1}, ""),
    ],
)
def test_what_cannot_be_sent_is_said_so(send: Any, body: dict[str, Any], field: str) -> None:
    error = send(expect=400, **body)["error"]
    assert error["code"] == "invalid" and (field in error["fields"] if field else error["message"])
    assert not Message.objects.exists() and not Conversation.objects.exists()


def test_excluded_numbers_are_left_in_peace(world: World, send: Any) -> None:
    NumberRule.objects.create(rule="excluded", phone="77010000001")
    assert "phone" in send(phone="77010000001", expect=400)["error"]["fields"]
    assert not Contact.objects.exists(), "nothing is kept of them"


def test_a_disabled_channel_sends_nothing(world: World, send: Any) -> None:
    world.mine.enabled = False
    world.mine.save()
    send(phone="77010000001", expect=400)
    assert not Message.objects.exists() and not Contact.objects.exists()


@pytest.mark.parametrize("kind", ["widget", "telegram"])
def test_some_channels_are_not_reached_by_phone(world: World, send: Any, kind: str) -> None:
    world.channel("site", world.manager, kind=kind)
    assert "phone" in send(phone="77010000001", channel="site", expect=400)["error"]["fields"]


def test_the_sender_is_the_one_who_is_logged_in(world: World) -> None:
    body = {"channel": "mine", "phone": "77010000001", "text": "Hi", "author": "bot", "state": "sent", "user": world.root.pk}
    answer = client_of(world.manager).post("/api/v1/test/send-message/", {**body, "epoch": 99}, format="json")
    told = answer.json()
    message = Message.objects.get(pk=told["message"])
    assert (message.author, message.user, message.state) == ("manager", world.manager, "queued") and message.epoch != 99


# ── Channels ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_channels_without_their_secrets(world: World, get: Any) -> None:
    (channel,) = get("channels/")["results"]
    assert channel["slug"] == "mine" and channel["health"] == "unknown"
    assert "wappi-secret" not in str(channel) and world.mine.webhook_secret not in str(channel)
    assert not {"credentials", "webhook_secret", "cursor"} & set(channel)
    assert len(get("channels/", user=world.root)["results"]) == 2
    assert get("channels/?kind=widget")["results"] == []
