"""What the Wappi adapter understands of webhooks and of the polled history. No database, no network."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from channels.adapters.wappi import WappiAdapter
from channels.adapters.wappi_parse import raw_event
from channels.adapters.wappi_rows import PolledRow, chat_key, is_customer, moment
from channels.base import (
    Access,
    DeliveryReceipt,
    Echo,
    Event,
    InboundMessage,
    Kind,
    RawEvent,
    Receipt,
    SessionChange,
    Skipped,
    Webhook,
)
from foundation.errors import Forged, Unreadable

PAYLOADS = Path(__file__).parent.parent / "payloads" / "wappi"
PROFILE = "71ad40e9-b023"
SENT_AT = datetime(2026, 3, 6, 8, 27, 57, tzinfo=UTC)
CONTACT = {"FirstName": "Aigul", "FullName": "Aigul S", "PushName": "Aika", "BusinessName": "Tea House"}


def adapter(**changes: object) -> WappiAdapter:
    access = {
        "slug": "shop", "base_url": "", "credentials": {"token": "t"}, "options": {"profile_id": PROFILE},
        "webhook_secret": "path-secret",
    }  # fmt: skip
    return WappiAdapter(Access(**{**access, **changes}))  # type: ignore[arg-type]


def raw_events(name: str) -> list[RawEvent]:
    body = (PAYLOADS / f"{name}.json").read_bytes()
    if name.startswith("polled_"):
        return [raw_event(row, PolledRow, CONTACT) for row in json.loads(body)["messages"]]
    return adapter().split(body)


def events(name: str) -> list[Event]:
    return [event for raw in raw_events(name) for event in adapter().parse(raw.payload)]


def message(name: str) -> InboundMessage:
    [event] = events(name)
    assert isinstance(event, InboundMessage)
    return event


def webhook(**row: object) -> bytes:
    return json.dumps({"messages": [{"wh_type": "incoming_message", "profile_id": PROFILE, **row}]}).encode()


# ── Messages ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_text() -> None:
    found = message("text")
    assert (found.external_id, found.text, found.kind) == ("3A945DD9CDD3016BE11B", "Is it in stock?", Kind.TEXT)
    assert found.sent_at == SENT_AT
    assert (found.sender.source_id, found.sender.phone) == ("77011234567", "77011234567")
    assert (found.sender.name, found.sender.full_name) == ("Aigul", "Aigul S")
    assert (found.reply_to, found.edited) == ("", "")


def test_polled_text_brings_the_names_of_the_chat_list() -> None:
    found = message("polled_text")
    assert (found.text, found.sent_at, found.sender.phone) == ("Is it in stock?", SENT_AT, "77011234567")
    assert (found.sender.name, found.sender.full_name, found.sender.business_name) == ("Aika", "Aigul S", "Tea House")


def test_reply_names_what_it_quotes() -> None:
    assert message("text_reply").reply_to == "3A9DA038CF9A2CD87E66"


@pytest.mark.parametrize("name", ["voice", "polled_voice"])
def test_voice(name: str) -> None:
    found = message(name)
    [media] = found.media
    assert (found.kind, found.text) == (Kind.VOICE, "")
    assert (media.ref, media.mime, media.seconds) == (found.external_id, "audio/ogg", 4)
    assert media.url.startswith("https://sample-bucket.storage.yandexcloud.net/")


@pytest.mark.parametrize(
    ("name", "kind", "mime", "text", "file_name"),
    [
        ("image", Kind.IMAGE, "image/jpeg", "like this one", "a.jpg"),
        ("polled_image", Kind.IMAGE, "image/jpeg", "like this one", ""),
        ("document", Kind.DOCUMENT, "application/pdf", "our brief", "brief.pdf"),
        ("polled_document", Kind.DOCUMENT, "application/pdf", "", "brief.pdf"),
        ("video_as_document", Kind.VIDEO, "video/mp4", "", "tour.mp4"),
        ("sticker", Kind.STICKER, "image/webp", "", ""),
    ],
)
def test_files(name: str, kind: Kind, mime: str, text: str, file_name: str) -> None:
    found = message(name)
    assert (found.kind, found.text) == (kind, text)
    assert [(media.mime, media.name) for media in found.media] == [(mime, file_name)]


@pytest.mark.parametrize(("name", "text"), [("location", "Office"), ("polled_location", "")])
def test_location(name: str, text: str) -> None:
    found = message(name)
    assert (found.kind, found.text) == (Kind.LOCATION, text)
    assert found.details == {"latitude": 43.238949, "longitude": 76.889709}


@pytest.mark.parametrize("name", ["vcard", "polled_vcard"])
def test_contact_card(name: str) -> None:
    found = message(name)
    assert (found.kind, found.details) == (Kind.CONTACT, {"name": "Timur", "phone": "77025556677"})


def test_contact_card_of_text_only() -> None:
    body = "BEGIN:VCARD\nFN:Timur\nitem1.TEL;waid=77025556677:+7 702 555 66 77\nEND:VCARD"
    [raw] = adapter().split(webhook(id="3A00", type="vcard", body=body, chatId="77011234567@c.us", time=1772785677))
    [event] = adapter().parse(raw.payload)
    assert isinstance(event, InboundMessage)
    assert event.details == {"name": "Timur", "phone": "77025556677"}


@pytest.mark.parametrize(
    ("name", "text", "action"),
    [("button_tap", "Yes, please", "confirm"), ("list_choice", "row-2", "row-2"), ("poll_vote", "Tuesday, Friday", "")],
)
def test_choices(name: str, text: str, action: str) -> None:
    found = message(name)
    assert (found.kind, found.text, found.action) == (Kind.BUTTON, text, action)


@pytest.mark.parametrize("name", ["edited", "polled_edited"])
def test_edit_names_the_message_it_replaces(name: str) -> None:
    found = message(name)
    assert (found.edited, found.text) == ("3A945DD9CDD3016BE11B", "Is it in stock in black?")


def test_hidden_identity_has_no_phone() -> None:
    found = message("lid")
    assert (found.sender.source_id, found.sender.phone) == ("178412345678901@lid", None)


def test_newer_suffix_and_milliseconds() -> None:
    found = message("polled_newer_suffix_milliseconds")
    assert (found.sender.source_id, found.sent_at) == ("77011234567", SENT_AT)


def test_unknown_type_is_kept_with_its_words() -> None:
    found = message("unknown_type")
    assert (found.kind, found.text) == (Kind.OTHER, "Opening day")


def test_text_that_no_database_takes_is_cleaned() -> None:
    [raw] = adapter().split(webhook(id="3A00", type="chat", body="a\0b\ud83d", chatId="77011234567@c.us", time=1772785677))
    [event] = adapter().parse(raw.payload)
    assert isinstance(event, InboundMessage)
    assert event.text == "ab?"


@pytest.mark.parametrize("name", ["group", "status_post", "reaction", "polled_reaction", "deleted", "note_to_self", "call"])
def test_what_concerns_no_customer_is_skipped(name: str) -> None:
    [event] = events(name)
    assert isinstance(event, Skipped)
    assert event.reason


@pytest.mark.parametrize(
    ("name", "by_person", "text"),
    [
        ("echo_from_phone", True, "I will call you"),
        ("echo_from_phone_older_form", True, "I will call you"),
        ("polled_from_phone", True, "I will call you"),
        ("echo_from_api", False, "Good afternoon"),
        ("polled_from_api", False, "Good afternoon"),
    ],
)
def test_echoes(name: str, by_person: bool, text: str) -> None:
    [event] = events(name)
    assert isinstance(event, Echo)
    assert (event.by_person, event.text, event.recipient.source_id) == (by_person, text, "77011234567")
    assert event.recipient.name != "Shop"


# ── Reports ──────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(("name", "status"), [("delivery_object", Receipt.SENT), ("delivery_array", Receipt.READ)])
def test_delivery(name: str, status: Receipt) -> None:
    at = datetime(2026, 3, 6, 12, 45, 14, tzinfo=UTC)
    assert events(name) == [DeliveryReceipt("3EB0B9085608CCF26A7607", status, at)]


def test_ban_fails_the_message_and_the_connection() -> None:
    receipt, change = events("delivery_ban")
    assert isinstance(receipt, DeliveryReceipt) and receipt.status is Receipt.FAILED and receipt.reason
    assert isinstance(change, SessionChange) and not change.online


def test_connection() -> None:
    assert events("authorization_offline") == [SessionChange(online=False, reason="logout from api")]
    assert events("application_online") == [SessionChange(online=True)]


# ── Unreadable ───────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("name", ["missing_fields", "wrong_types"])
def test_what_lacks_the_necessary_is_unreadable(name: str) -> None:
    [raw] = raw_events(name)
    with pytest.raises(Unreadable):
        adapter().parse(raw.payload)


@pytest.mark.parametrize("removed", ["id", "type", "time", "body", "chatId", "wh_type"])
def test_any_one_field_may_be_missing_without_another_error(removed: str) -> None:
    row = json.loads((PAYLOADS / "text.json").read_bytes())["messages"][0]
    rest = {key: value for key, value in row.items() if key != removed}
    [raw] = adapter().split(json.dumps({"messages": [rest]}).encode())
    assert raw.external_id
    if removed in ("time", "chatId"):  # the other spelling of the time and the sender stand in
        assert isinstance(adapter().parse(raw.payload)[0], InboundMessage)
    else:
        with pytest.raises(Unreadable):
            adapter().parse(raw.payload)


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff\xfe", b"[]", b"null", b"{}", b'{"messages": 1}', b'{"messages": ["x"]}', b"[" * 200_000, b"9" * 5_000],
)
def test_bodies_of_another_shape_are_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        adapter().split(body)


@pytest.mark.parametrize("payload", [b"", b"{}", b'{"shape": "poll"}', b'{"shape": "webhook", "item": []}'])
def test_stored_payloads_of_another_shape_are_unreadable(payload: bytes) -> None:
    with pytest.raises(Unreadable):
        adapter().parse(payload)


@pytest.mark.parametrize("value", [float("inf"), 10**400, -5, True, {}, "2026-13-40"])
def test_odd_times_are_unreadable(value: object) -> None:
    with pytest.raises(Unreadable):
        moment(value)


# ── Duplicates ───────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("webhook_name", "polled_name"),
    [
        ("text", "polled_text"),
        ("voice", "polled_voice"),
        ("image", "polled_image"),
        ("document", "polled_document"),
        ("reaction", "polled_reaction"),
        ("edited", "polled_edited"),
        ("echo_from_phone", "polled_from_phone"),
        ("echo_from_api", "polled_from_api"),
    ],
)
def test_webhook_and_polled_copy_are_one_event(webhook_name: str, polled_name: str) -> None:
    [posted], [polled] = raw_events(webhook_name), raw_events(polled_name)
    assert posted.external_id == polled.external_id


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("text", "message:3A945DD9CDD3016BE11B"),
        ("delivery_object", "status:3EB0B9085608CCF26A7607:pending"),
        ("delivery_ban", "status:3EB0B9085608CCF26A7607:temporary-ban"),
        ("authorization_offline", "session:authorization_status:1772884002:offline"),
    ],
)
def test_event_ids(name: str, expected: str) -> None:
    assert [raw.external_id for raw in raw_events(name)] == [expected]


def test_an_edit_is_not_the_message_it_edits_and_two_edits_differ() -> None:
    common = {"id": "3A945DD9CDD3016BE11B", "type": "chat", "chatId": "77011234567@c.us", "time": 1772785677}
    ids = [
        adapter().split(webhook(**common, body=body, is_edited=edited))[0].external_id
        for body, edited in (("one", False), ("two", True), ("three", True))
    ]
    assert len(set(ids)) == 3


def test_event_ids_never_carry_a_phone() -> None:
    posted = {
        "call": {"wh_type": "incoming_call", "type": "missed_call", "number": "77011234567", "time": 1772801114},
        "whole chat in the id": {"id": "false_77011234567@c.us_3EB0128AE55B5D222DD0", "type": "chat"},
        "phone as id": {"id": "77011234567", "type": "chat"},
        "phone and serial": {"id": "77011234567-12", "type": "chat"},
        "nothing": {"from": "77011234567@c.us"},
    }
    ids = [adapter().split(webhook(**row))[0].external_id for row in posted.values()]
    assert len(set(ids)) == len(ids)
    assert not [identifier for identifier in ids if "7011234567" in identifier or len(identifier) > 255]


def test_every_payload_file_splits_into_ids_that_fit() -> None:
    for path in PAYLOADS.glob("*.json"):
        if path.stem != "foreign_profile":
            for raw in raw_events(path.stem):
                assert 0 < len(raw.external_id) <= 255
                assert raw.payload.startswith(b'{"shape":"')


def test_base64_is_dropped_only_where_a_link_remains() -> None:
    [linked], [bare] = raw_events("voice"), raw_events("voice_without_link")
    assert b"T2dnUw" not in linked.payload
    assert b"T2dnUw" in bare.payload
    assert b"JPEGThumbnail" not in raw_events("polled_image")[0].payload


def test_several_messages_in_one_post() -> None:
    assert [raw.external_id[-2:] for raw in raw_events("two_messages")] == ["38", "39"]
    assert adapter().split(b'{"messages": []}') == []


# ── Forgeries ────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_foreign_profile_is_forged() -> None:
    with pytest.raises(Forged):
        raw_events("foreign_profile")


@pytest.mark.parametrize("row", [{}, {"profile_id": None}, {"profile_id": [PROFILE]}])
def test_missing_or_odd_profile_is_forged(row: dict[str, object]) -> None:
    with pytest.raises(Forged):
        adapter().split(json.dumps({"messages": {"id": "3A00", **row}}).encode())


def test_nothing_is_ours_without_a_profile() -> None:
    with pytest.raises(Forged):
        adapter(options={}).split(webhook(id="3A00", profile_id=""))


def test_right_path_is_accepted() -> None:
    adapter().verify(Webhook("path-secret", {}, b""))


@pytest.mark.parametrize("secret", ["", "wrong", "päth-secret", "\ud800", "path-secret "])
def test_wrong_path_is_forged(secret: str) -> None:
    with pytest.raises(Forged):
        adapter().verify(Webhook(secret, {}, b""))


def test_an_empty_secret_accepts_nothing() -> None:
    with pytest.raises(Forged):
        adapter(webhook_secret="").verify(Webhook("", {}, b""))


# ── Chats ────────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("chat", "key", "customer"),
    [
        ("77011234567@c.us", "77011234567", True),
        ("77011234567@s.whatsapp.net", "77011234567", True),
        ("77011234567:12@s.whatsapp.net", "77011234567", True),
        ("+77011234567", "77011234567", True),
        ("178412345678901@lid", "178412345678901@lid", True),
        ("120363046984195036@g.us", "120363046984195036@g.us", False),
        ("77011234567-1588248175@g.us", "77011234567-1588248175@g.us", False),
        ("status@broadcast", "status@broadcast", False),
        ("0@s.whatsapp.net", "0", False),
        ("120363@newsletter", "120363@newsletter", False),
    ],
)
def test_chat_keys(chat: str, key: str, customer: bool) -> None:
    assert (chat_key(chat), is_customer(chat)) == (key, customer)
