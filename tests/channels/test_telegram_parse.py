"""What each kind of Telegram's updates becomes, and that a broken one never becomes a crash."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.adapters.telegram import TelegramAdapter
from channels.base import Access, Event, InboundMessage, Kind, Reachability, Skipped
from foundation.errors import Unreadable

PAYLOADS = Path(__file__).parent.parent / "payloads" / "telegram"
FILES = sorted(PAYLOADS.glob("*.json"))
UNREADABLE = {"missing_fields"}
TOKEN = "123456:AAbbCCdd-ee_ff"
CHAT = "5550001"

adapter = TelegramAdapter(Access("tg", "", {"token": TOKEN}, {}, "path-secret"))


def understood(name: str, **changes: Any) -> Event:
    update = json.loads((PAYLOADS / f"{name}.json").read_text())
    if changes:
        update["message"] |= changes
    [raw] = adapter.split(json.dumps(update).encode())
    [event] = adapter.parse(raw.payload)
    return event


def message(name: str, **changes: Any) -> InboundMessage:
    event = understood(name, **changes)
    assert isinstance(event, InboundMessage), event
    return event


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_payload_is_one_event_with_an_id_of_its_own(path: Path) -> None:
    [raw] = adapter.split(path.read_bytes())
    assert raw.external_id == f"123456:{json.loads(path.read_text())['update_id']}"
    if path.stem in UNREADABLE:
        with pytest.raises(Unreadable):
            adapter.parse(raw.payload)
    else:
        assert len(adapter.parse(raw.payload)) == 1


def test_a_text_tells_who_wrote_what_and_when() -> None:
    found = message("text")
    assert (found.kind, found.text) == (Kind.TEXT, "Здравствуйте! Сколько стоит доставка?")
    assert found.external_id == f"123456:{CHAT}:17"
    assert found.sent_at == datetime.fromtimestamp(1760000017, UTC)
    assert (found.sender.source_id, found.sender.name, found.sender.full_name) == (CHAT, "Айгуль", "Айгуль С.")
    assert found.sender.phone is None


def test_events_of_one_chat_share_a_lane() -> None:
    lanes = {adapter.split((PAYLOADS / f"{name}.json").read_bytes())[0].lane for name in ("text", "edited", "tap", "voice")}
    assert lanes == {CHAT}


def test_a_reply_names_the_message_it_quotes() -> None:
    assert message("text_reply").reply_to == f"123456:{CHAT}:12"


@pytest.mark.parametrize(
    ("text", "said", "source"),
    [
        ("/start ref_42", "/start", "tg:ref_42"),
        ("/start@shop_bot  ref_42", "/start", "tg:ref_42"),
        (f"/start {'x' * 64}", "/start", f"tg:{'x' * 57}"),
        ("/start", "/start", None),
        ("/start два слова", "/start два слова", None),
        ("/started ref_42", "/started ref_42", None),
    ],
)
def test_the_link_a_customer_came_by_is_the_source_of_the_lead(text: str, said: str, source: str | None) -> None:
    found = message("start_with_source", text=text)
    assert (found.text, found.details.get("source")) == (said, source)


@pytest.mark.parametrize(
    ("name", "kind", "text", "mime", "file", "seconds"),
    [
        ("voice", Kind.VOICE, "", "audio/ogg", "", 7),
        ("audio", Kind.VOICE, "Послушайте", "audio/mpeg", "memo.mp3", 63),
        ("photo", Kind.IMAGE, "Такой нужен", "image/jpeg", "", None),
        ("document", Kind.DOCUMENT, "Реквизиты", "application/pdf", "заявка.pdf", None),
        ("photo_as_document", Kind.IMAGE, "", "image/heic", "IMG_1.heic", None),
        ("video", Kind.VIDEO, "", "video/mp4", "", 12),
        ("video_note", Kind.VIDEO, "", "video/mp4", "", 9),
        ("animation", Kind.VIDEO, "", "video/mp4", "a.mp4", 3),
        ("sticker", Kind.STICKER, "👍", "", "", None),
    ],
)
def test_files(name: str, kind: Kind, text: str, mime: str, file: str, seconds: float | None) -> None:
    found = message(name)
    [media] = found.media
    assert (found.kind, found.text) == (kind, text)
    assert (media.mime, media.name, media.seconds) == (mime, file, seconds)
    assert media.ref.startswith("BQAC")
    assert media.url == ""


def test_of_a_photo_the_largest_size_is_taken() -> None:
    [media] = message("photo").media
    assert (media.ref, media.size) == ("BQACAgIAAxkBAAIp2", 150000)


@pytest.mark.parametrize(
    ("name", "phone", "shared"),
    [
        ("contact_own", "77011234567", "77011234567"),
        ("contact_of_another", "77025556677", None),
        ("contact_without_account", "77025556677", None),
        ("contact_own_forwarded", "77011234567", None),
    ],
)
def test_only_the_senders_own_card_proves_a_phone(name: str, phone: str, shared: str | None) -> None:
    found = message(name)
    assert found.kind is Kind.CONTACT
    assert found.details["phone"] == phone
    assert found.sender.phone == shared


def test_a_card_sent_through_another_bot_proves_nothing() -> None:
    assert message("contact_own", via_bot={"id": 9, "is_bot": True, "first_name": "x"}).sender.phone is None


def test_a_location_and_a_venue() -> None:
    assert dict(message("location").details) == {"latitude": 43.238949, "longitude": 76.889709}
    assert message("venue").text == "ТРЦ, пр. Абая, 1"
    assert message("venue").kind is Kind.LOCATION


def test_an_edit_replaces_the_words_of_its_message() -> None:
    found = message("edited")
    assert (found.edited, found.external_id) == (f"123456:{CHAT}:17", f"123456:{CHAT}:17")
    assert found.text.endswith("в Астану?")
    assert found.sent_at < datetime.fromtimestamp(1760000100, UTC)


@pytest.mark.parametrize("name", ["edited_live_location", "edited_voice_caption"])
def test_an_edit_that_brings_no_new_words_takes_none_away(name: str) -> None:
    assert isinstance(understood(name), Skipped)


@pytest.mark.parametrize(
    ("name", "title", "quoted"),
    [("tap", "Да", f"123456:{CHAT}:18"), ("tap_on_inaccessible", "", f"123456:{CHAT}:18"), ("tap_without_message", "", "")],
)
def test_a_tap_brings_its_action_back(name: str, title: str, quoted: str) -> None:
    found = message(name)
    assert (found.kind, found.action, found.text, found.reply_to) == (Kind.BUTTON, "order:42:ok", title, quoted)
    assert found.external_id.startswith("tap:4382bfdwdsb323b2d")
    assert found.sender.source_id == CHAT
    assert abs((found.sent_at - datetime.now(UTC)).total_seconds()) < 60


@pytest.mark.parametrize(
    "name",
    ["group_message", "tap_in_group", "added_to_group", "migrated_group", "channel_post", "another_bot", "pinned",
     "business_message", "pre_checkout", "unknown_update", "tap_on_game"],
)  # fmt: skip
def test_what_concerns_no_customer_is_skipped_with_a_reason(name: str) -> None:
    event = understood(name)
    assert isinstance(event, Skipped)
    assert event.reason


@pytest.mark.parametrize(("name", "reachable"), [("blocked", False), ("unblocked", True)])
def test_who_shuts_the_bot_out_is_told_in_the_order_of_their_messages(name: str, reachable: bool) -> None:
    assert understood(name) == Reachability(CHAT, reachable=reachable)
    update = json.loads((PAYLOADS / f"{name}.json").read_text())
    [raw] = adapter.split(json.dumps(update).encode())
    [said] = adapter.split((PAYLOADS / "text.json").read_bytes())
    assert raw.lane == said.lane == CHAT
    update["my_chat_member"]["new_chat_member"]["status"] = "restricted"
    [raw] = adapter.split(json.dumps(update).encode())
    assert isinstance(adapter.parse(raw.payload)[0], Skipped)


@pytest.mark.parametrize(("name", "type_"), [("unknown_kind", "hologram"), ("story", "story"), ("poll", "poll")])
def test_a_kind_we_do_not_know_still_waits_for_an_answer(name: str, type_: str) -> None:
    found = message(name)
    assert (found.kind, found.details["type"]) == (Kind.OTHER, type_)


def test_fields_of_other_types_read_as_empty() -> None:
    found = message("wrong_types")
    assert (found.text, found.sender.name, found.reply_to) == ("x", "", "")


def test_text_that_cannot_be_stored_is_made_storable() -> None:
    found = message("text", text="a\0b\ud83d")
    found.text.encode()
    assert "\0" not in found.text


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"nonsense", b'{"update_id": "5"}', b'{"update_id": true}', b"\xff\xfe"])
def test_what_is_no_update_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        adapter.split(body)


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
_names = [path.stem for path in FILES]


@given(name=st.sampled_from(_names), value=_values, place=st.integers(0, 40))
def test_any_field_may_be_anything(name: str, value: Any, place: int) -> None:
    update = json.loads((PAYLOADS / f"{name}.json").read_text())
    places = list(_places(update))
    holder, key = places[place % len(places)]
    if key != "update_id":
        holder[key] = value
    try:
        [raw] = adapter.split(json.dumps(update).encode())
        found: Any = adapter.parse(raw.payload)
    except Unreadable as refusal:
        found = [refusal]
    assert len(found) == 1 and isinstance(found[0], Event | Unreadable)


def _places(value: Any) -> Any:
    if isinstance(value, dict):
        for key in value:
            yield value, key
            yield from _places(value[key])
    elif isinstance(value, list):
        for key in range(len(value)):
            yield value, key
            yield from _places(value[key])


def test_another_bot_on_the_same_channel_numbers_anew() -> None:
    body = (PAYLOADS / "text.json").read_bytes()
    other = TelegramAdapter(Access("tg", "", {"token": "777:AAbbCC"}, {}, "path-secret"))
    ids = {found.external_id for made in (adapter, other) for found in made.parse(made.split(body)[0].payload)}  # type: ignore[union-attr]
    assert len(ids) == 2
