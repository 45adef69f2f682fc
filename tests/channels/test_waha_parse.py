"""What the WAHA adapter understands of webhooks and of the history. No database, no network."""

import contextlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from channels.adapters.waha import WahaAdapter
from channels.adapters.waha_client import file_path
from channels.adapters.waha_ids import address, answered_id, chat_id, message_id
from channels.adapters.waha_parse import history_event, raw_event
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
)
from foundation.errors import Forged, Unreadable
from tests.sandbox.waha_rows import HMAC_KEY, SESSION

PAYLOADS = Path(__file__).parent.parent / "payloads" / "waha"
ALL = sorted(path.stem for path in PAYLOADS.glob("*.json"))
SENT_AT = datetime(2026, 3, 6, 8, 27, 57, tzinfo=UTC)
PHONE = "77011234567"
LID = "178412345678901@lid"


def adapter(**changes: Any) -> WahaAdapter:
    access = {
        "slug": "shop", "base_url": "http://127.0.0.1:9", "credentials": {"api_key": "k", "hmac_key": HMAC_KEY},
        "options": {"session": SESSION}, "webhook_secret": "path-secret",
    }  # fmt: skip
    return WahaAdapter(Access(**{**access, **changes}))


def envelope(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((PAYLOADS / f"{name}.json").read_bytes())
    return found


def raw(name: str) -> RawEvent:
    [event] = adapter().split((PAYLOADS / f"{name}.json").read_bytes())
    return event


def event(name: str) -> Event:
    [found] = adapter().parse(raw(name).payload)
    return found


def message(name: str) -> InboundMessage:
    found = event(name)
    assert isinstance(found, InboundMessage)
    return found


# ── Messages ─────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("name", ["text", "text_noweb", "text_webjs"])
def test_a_text_of_every_engine(name: str) -> None:
    found = message(name)
    assert (found.external_id, found.kind, found.text) == ("3A945DD9CDD3016BE11B", Kind.TEXT, "Is it in stock?")
    assert (found.sender.source_id, found.sender.phone, found.sender.name) == (PHONE, PHONE, "Aigul")
    assert found.sent_at == SENT_AT


def test_a_hidden_identity_stays_who_it_is() -> None:
    sender = message("text_by_hidden_id").sender
    assert (sender.source_id, sender.phone) == (LID, None)


@pytest.mark.parametrize("name", ["text_with_phone_behind_gows", "text_with_phone_behind_noweb"])
def test_the_phone_behind_a_hidden_identity_is_attested_where_the_engine_tells_it(name: str) -> None:
    sender = message(name).sender
    assert (sender.source_id, sender.phone) == (LID, PHONE)


def test_one_message_under_phone_and_hidden_id_is_one_event() -> None:
    assert raw("text").external_id == raw("text_by_hidden_id").external_id == "message:3A945DD9CDD3016BE11B"


def test_the_history_has_the_id_of_the_webhook() -> None:
    row = envelope("text")["payload"]
    del row["source"]
    found = history_event(row, SESSION)
    assert found.external_id == raw("text").external_id
    assert adapter().parse(found.payload) == [message("text")]


def test_ids_of_events_carry_no_phone() -> None:
    assert not [name for name in ALL if name != "foreign_session" and PHONE in raw(name).external_id]


@pytest.mark.parametrize(
    ("name", "kind", "mime", "size", "seconds"),
    [
        ("voice", Kind.VOICE, "audio/ogg", 16384, 7),
        ("voice_noweb", Kind.VOICE, "audio/ogg", 16384, 7),
        ("voice_webjs", Kind.VOICE, "audio/ogg", 16384, 7),
        ("voice_not_fetched", Kind.VOICE, "audio/ogg", 16384, 7),
        ("image", Kind.IMAGE, "image/jpeg", 50123, None),
        ("video", Kind.VIDEO, "video/mp4", 901234, 12),
        ("document", Kind.DOCUMENT, "application/pdf", 20480, None),
        ("sticker", Kind.STICKER, "image/webp", None, None),
    ],
)
def test_files(name: str, kind: Kind, mime: str, size: int | None, seconds: float | None) -> None:
    found = message(name)
    [media] = found.media
    assert (found.kind, media.mime, media.size, media.seconds) == (kind, mime, size, seconds)
    whole_id, _space, path = media.ref.partition(" ")
    assert whole_id == f"false_{PHONE}@c.us_3A945DD9CDD3016BE11B"
    assert path.startswith(f"/api/files/{SESSION}/") or name == "voice_not_fetched"


def test_captions_and_names_of_files() -> None:
    assert message("image").text == "Do you have this?"
    assert (message("document").text, message("document").media[0].name) == ("our plan", "plan.pdf")


def test_thumbnails_and_keys_are_not_stored() -> None:
    assert b"AAAAAAA" not in raw("image").payload
    assert b"kkkkkkk" not in raw("voice_webjs").payload


def test_location_contact_reply_and_choice() -> None:
    place = message("location")
    assert (place.kind, place.text) == (Kind.LOCATION, "Our office")
    assert place.details == {"latitude": 43.238949, "longitude": 76.889709}
    card = message("contact")
    assert (card.kind, card.details) == (Kind.CONTACT, {"name": "Buyer Two", "phone": "77025556677"})
    assert message("text_reply").reply_to == "3EB0B9085608CCF26A7607"
    choice = message("list_choice")
    assert (choice.kind, choice.text, choice.action) == (Kind.BUTTON, "Delivery", "delivery:1")


def test_what_we_do_not_know_is_kept_as_other() -> None:
    found = message("poll")
    assert (found.kind, found.details) == (Kind.OTHER, {"type": "pollCreationMessageV3"})


def test_an_edit_names_what_it_replaces() -> None:
    found = message("edited")
    assert (found.edited, found.text) == ("3A945DD9CDD3016BE11B", "Is the blue one in stock?")
    assert raw("edited").external_id.startswith("edit:3A945DD9CDD3016BE11B:")
    mine = event("edited_by_owner")
    assert isinstance(mine, Echo) and mine.external_id == "3A0123456789ABCDEF01"


@pytest.mark.parametrize(
    "name",
    [
        "group", "status_post", "newsletter", "note_to_self", "reaction", "revoked", "call", "service", "ack_pending",
        "ack_group", "ack_of_the_customers", "session_starting",
    ],
)  # fmt: skip
def test_what_concerns_no_customer_is_skipped(name: str) -> None:
    found = event(name)
    assert isinstance(found, Skipped) and found.reason


@pytest.mark.parametrize(
    ("name", "by_person"),
    [
        ("echo_from_phone", True),
        ("echo_without_to", True),
        ("echo_as_some_engines_write_it", True),
        ("echo_from_api", False),
    ],
)
def test_echoes(name: str, by_person: bool) -> None:
    found = event(name)
    assert isinstance(found, Echo)
    assert (found.by_person, found.recipient.source_id, found.recipient.name) == (by_person, PHONE, "")


@pytest.mark.parametrize(("bare", "by_person"), [("3EB0B9085608CCF26A7607", False), ("3A0123456789ABCDEF01", True)])
def test_a_row_that_tells_no_source_goes_by_its_id(bare: str, by_person: bool) -> None:
    row = {**envelope("echo_from_phone")["payload"], "id": f"true_{PHONE}@c.us_{bare}"}
    del row["source"]
    [found] = adapter().parse(history_event(row, SESSION).payload)
    assert isinstance(found, Echo) and found.by_person is by_person


# ── Reports ──────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("ack_server", Receipt.SENT),
        ("ack_device", Receipt.DELIVERED),
        ("ack_read", Receipt.READ),
        ("ack_played", Receipt.READ),
        ("ack_by_hidden_id", Receipt.READ),
        ("ack_error", Receipt.FAILED),
    ],
)
def test_acknowledgements(name: str, status: Receipt) -> None:
    found = event(name)
    assert isinstance(found, DeliveryReceipt)
    assert (found.external_id, found.status) == ("3EB0B9085608CCF26A7607", status)
    assert bool(found.reason) is (status is Receipt.FAILED)


def test_the_session() -> None:
    assert event("session_working") == SessionChange(online=True)
    for name in ("session_scan", "session_failed"):
        found = event(name)
        assert isinstance(found, SessionChange) and not found.online and found.reason


# ── Unreadable ───────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("name", ["missing_fields", "wrong_types"])
def test_what_lacks_the_necessary_is_unreadable(name: str) -> None:
    with pytest.raises(Unreadable):
        adapter().parse(raw(name).payload)


@pytest.mark.parametrize("name", [name for name in ALL if name not in ("foreign_session", "missing_fields", "wrong_types")])
def test_any_one_field_may_be_missing_or_of_another_type(name: str) -> None:
    whole = envelope(name)
    for key in whole["payload"]:
        for value in (None, 17, "text", ["x"], {"y": {}}, True):
            body = {**whole, "payload": {**whole["payload"], key: value}}
            [stored] = adapter().split(json.dumps(body).encode())
            assert stored.external_id
            with contextlib.suppress(Unreadable):
                adapter().parse(stored.payload)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"7", b'{"session": "shop_17"}', b'{"session":"shop_17","event":"message","payload":[]}']
)
def test_what_is_no_event_is_refused(body: bytes) -> None:
    with pytest.raises((Unreadable, Forged)):
        adapter().split(body)


def test_another_session_is_refused() -> None:
    with pytest.raises(Forged):
        raw("foreign_session")
    with pytest.raises(Forged):
        adapter(options={}).split((PAYLOADS / "text.json").read_bytes())


def test_a_lone_surrogate_and_a_nul_do_not_hurt() -> None:
    whole = envelope("text")
    whole["payload"]["body"] = "a\0b\ud83d"
    [found] = adapter().parse(raw_event(whole).payload)
    assert isinstance(found, InboundMessage) and found.text == "ab?"


# ── Ids and paths ────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("value", "bare", "chat"),
    [
        ("false_77011234567@c.us_AAAA", "AAAA", "77011234567@c.us"),
        ("true_120363@g.us_BBBB_77011234567@c.us", "BBBB", "120363@g.us"),
        ({"_serialized": "true_1234567@lid_CCCC", "id": "CCCC"}, "CCCC", "1234567@lid"),
        ({"id": "DDDD"}, "DDDD", ""),
        ("EEEE", "EEEE", ""),
        ("77011234567@c.us", "", ""),
        (None, "", ""),
        (17, "", ""),
    ],
)
def test_ids_of_messages(value: Any, bare: str, chat: str) -> None:
    found = message_id(value)
    assert (found.bare, found.chat) == (bare, chat)


@pytest.mark.parametrize(
    ("answer", "bare"),
    [
        ({"id": "true_77011234567@c.us_AAAA"}, "AAAA"),
        ({"id": {"_serialized": "true_77011234567@c.us_AAAA"}}, "AAAA"),
        ({"key": {"remoteJid": "77011234567@s.whatsapp.net", "id": "AAAA"}}, "AAAA"),
        ({"_data": {"id": {"_serialized": "true_77011234567@c.us_AAAA"}}}, "AAAA"),
        ({}, ""),
    ],
)
def test_where_engines_put_the_id_of_what_was_sent(answer: dict[str, Any], bare: str) -> None:
    assert answered_id(answer) == bare


@pytest.mark.parametrize(
    ("value", "spelt"),
    [
        ("77011234567@c.us", "77011234567@c.us"),
        ("77011234567:12@s.whatsapp.net", "77011234567@c.us"),
        ("178412345678901:3@LID", "178412345678901@lid"),
        ("0@c.us", ""),
        ("120363046984195036@g.us", "120363046984195036@g.us"),
        ("nobody", ""),
        (None, ""),
    ],
)
def test_ids_of_chats(value: Any, spelt: str) -> None:
    assert chat_id(value) == spelt


def test_addresses() -> None:
    assert address(PHONE) == f"{PHONE}@c.us"
    assert address(LID) == LID
    assert address("somebody") == address("120363046984195036@g.us") == ""


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://localhost:3000/api/files/shop_17/false_1@c.us_A.oga", "/api/files/shop_17/false_1@c.us_A.oga"),
        ("https://host/waha/api/files/s/a.pdf?x-api-key=1", "/api/files/s/a.pdf"),
        ("http://evil.example/api/files/s/a.pdf", "/api/files/s/a.pdf"),
        ("http://localhost:3000/api/files/../sessions", ""),
        ("http://localhost:3000/api/files/%2e%2e/sessions", ""),
        ("http://localhost:3000/api/files/%252e%252e/sessions", ""),
        ("http://localhost:3000/api/files/a\\b", ""),
        ("http://localhost:3000/api/files/{session}", ""),
        ("http://localhost:3000/api/sessions", ""),
        ("https://bucket.s3.example/shop/file.oga", ""),
        ("http://[bad", ""),
        (None, ""),
    ],
)
def test_paths_of_files(url: Any, path: str) -> None:
    assert file_path(url) == path
