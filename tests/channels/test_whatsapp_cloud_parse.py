"""What Meta's webhooks say: every kind of message, status and notice, and whose they are."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from channels.adapters.whatsapp_cloud import WhatsAppCloudAdapter
from channels.base import Access, DeliveryReceipt, Echo, Event, InboundMessage, Kind, Receipt, SessionChange, Skipped
from foundation.errors import Unreadable
from tests.sandbox.whatsapp_cloud_rows import ACCOUNT, NUMBER

PAYLOADS = Path(__file__).parent.parent / "payloads" / "whatsapp_cloud"
USER = "KZ.13491208655302741918"
PHONE = "77010000001"


@pytest.fixture
def adapter() -> WhatsAppCloudAdapter:
    return WhatsAppCloudAdapter(Access("wa", "", {}, {"phone_number_id": NUMBER, "waba_id": ACCOUNT}, "secret"))


def events(adapter: WhatsAppCloudAdapter, body: bytes) -> list[Event]:
    return [event for raw in adapter.split(body) for event in adapter.parse(raw.payload)]


def only(adapter: WhatsAppCloudAdapter, name: str) -> Any:
    [event] = events(adapter, (PAYLOADS / f"{name}.json").read_bytes())
    return event


def changed(name: str, **changes: Any) -> bytes:
    """A payload with other fields in its message; None removes one."""
    body = json.loads((PAYLOADS / f"{name}.json").read_text())
    item = body["entry"][0]["changes"][0]["value"]["messages"][0]
    item |= changes
    for key in [key for key, value in item.items() if value is None]:
        del item[key]
    return json.dumps(body).encode()


# ── Messages ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_text(adapter: WhatsAppCloudAdapter) -> None:
    event = only(adapter, "text")
    assert (event.kind, event.text) == (Kind.TEXT, "Здравствуйте, сколько стоит?")
    assert (event.sender.source_id, event.sender.phone, event.sender.name) == (USER, PHONE, "Aigul")
    assert event.sent_at == datetime.fromtimestamp(1782561600, UTC)
    assert event.external_id.startswith("wamid.")


def test_somebody_without_a_phone_is_known_by_the_user_id(adapter: WhatsAppCloudAdapter) -> None:
    sender = only(adapter, "text_hidden_phone").sender
    assert (sender.source_id, sender.phone, sender.name) == (USER, None, "aigul.kz")


def test_somebody_without_a_user_id_is_known_by_the_phone(adapter: WhatsAppCloudAdapter) -> None:
    sender = only(adapter, "text_without_user_id").sender
    assert (sender.source_id, sender.phone) == (PHONE, PHONE)


def test_hiding_the_phone_does_not_make_another_person(adapter: WhatsAppCloudAdapter) -> None:
    [shown] = adapter.split((PAYLOADS / "text.json").read_bytes())
    [hidden] = adapter.split((PAYLOADS / "text_hidden_phone.json").read_bytes())
    assert shown.lane == hidden.lane == USER


def test_an_ad_is_the_source_and_what_it_is_about(adapter: WhatsAppCloudAdapter) -> None:
    details = only(adapter, "text_from_ad").details
    assert details["source"] == "whatsapp-ad:120226305854810726"
    assert details["about"] == {
        "title": "Напишите нам: Маникюр со скидкой", "url": "https://fb.me/3cr4Wqqkv", "id": "120226305854810726",
    }  # fmt: skip


def test_a_source_is_never_too_long(adapter: WhatsAppCloudAdapter) -> None:
    [event] = events(adapter, changed("text", referral={"source_id": "9" * 200, "source_type": "post"}))
    assert isinstance(event, InboundMessage)
    assert len(event.details["source"]) == 60


def test_a_product_is_what_it_is_about(adapter: WhatsAppCloudAdapter) -> None:
    assert only(adapter, "text_about_product").details["about"] == {"id": "di9ozbzfi4"}


def test_quotations_and_forwards(adapter: WhatsAppCloudAdapter) -> None:
    assert only(adapter, "text_quoting").reply_to == "wamid.OURS"
    assert only(adapter, "text_forwarded").details == {"forwarded": True}


@pytest.mark.parametrize(
    ("name", "kind", "mime", "file_name", "text"),
    [
        ("image", Kind.IMAGE, "image/jpeg", "", "такой цвет"),
        ("video", Kind.VIDEO, "video/mp4", "", ""),
        ("voice", Kind.VOICE, "audio/ogg", "", ""),
        ("audio_file", Kind.VOICE, "audio/mpeg", "", ""),
        ("document", Kind.DOCUMENT, "application/pdf", "tz.pdf", "ТЗ"),
        ("photo_as_document", Kind.IMAGE, "image/jpeg", "photo.jpg", ""),
        ("sticker", Kind.STICKER, "image/webp", "", ""),
    ],
)
def test_files(adapter: WhatsAppCloudAdapter, name: str, kind: Kind, mime: str, file_name: str, text: str) -> None:
    event = only(adapter, name)
    [media] = event.media
    assert (event.kind, event.text) == (kind, text)
    assert (media.ref, media.mime, media.name) == ("1003383421387256", mime, file_name)


def test_a_location(adapter: WhatsAppCloudAdapter) -> None:
    event = only(adapter, "location")
    assert (event.kind, event.text, event.details) == (
        Kind.LOCATION, "Офис, Алматы", {"latitude": 43.238, "longitude": 76.945},
    )  # fmt: skip


def test_contact_cards(adapter: WhatsAppCloudAdapter) -> None:
    event = only(adapter, "contacts")
    assert (event.kind, event.text) == (Kind.CONTACT, "Ann")
    assert event.details == {"name": "Lucía Gómez", "phone": "19835552319"}
    assert event.sender.phone == PHONE


@pytest.mark.parametrize(
    ("name", "action", "title", "quoted"),
    [
        ("button_reply", "slot:1:yes", "Да", "wamid.OURS"),
        ("list_reply", "svc:11", "Классический", "wamid.OURS"),
        ("template_button", "rem:77:ok", "Приду", "wamid.TEMPLATE"),
    ],
)
def test_taps(adapter: WhatsAppCloudAdapter, name: str, action: str, title: str, quoted: str) -> None:
    event = only(adapter, name)
    assert (event.kind, event.action, event.text, event.reply_to) == (Kind.BUTTON, action, title, quoted)


def test_an_order(adapter: WhatsAppCloudAdapter) -> None:
    event = only(adapter, "order")
    assert event.kind is Kind.OTHER
    assert event.text.splitlines()[1:] == ["di9ozbzfi4 × 2 — 30 USD", "nqryix03ez × 1 — 25.5 USD"]


def test_what_meta_does_not_hand_on_is_a_message_without_words(adapter: WhatsAppCloudAdapter) -> None:
    event = only(adapter, "unsupported")
    assert (event.kind, event.text, event.details) == (Kind.OTHER, "", {"type": "unsupported"})


def test_an_edit_replaces_the_text(adapter: WhatsAppCloudAdapter) -> None:
    event = only(adapter, "edit")
    assert (event.edited, event.text) == ("wamid.THEIRS", "исправлено")
    assert event.external_id != event.edited


@pytest.mark.parametrize(
    "name", ["reaction", "reaction_removed", "system_number_changed", "revoke", "group", "chat_opened", "echo_revoked"]
)
def test_what_is_no_message_is_skipped(adapter: WhatsAppCloudAdapter, name: str) -> None:
    event = only(adapter, name)
    assert isinstance(event, Skipped)
    assert event.reason


@pytest.mark.parametrize(
    "changes",
    [
        {"timestamp": None}, {"timestamp": "soon"}, {"timestamp": "9" * 30}, {"type": None}, {"id": None}, {"text": None},
        {"text": {"body": 5}}, {"type": "image", "image": {}}, {"type": "location", "location": {"latitude": "north"}},
        {"type": "contacts", "contacts": []}, {"type": "edit"}, {"type": "button", "button": {}},
        {"type": "interactive", "interactive": {"type": "list_reply"}},
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_unreadable(adapter: WhatsAppCloudAdapter, changes: dict[str, Any]) -> None:
    [raw] = adapter.split(changed("text", **changes))
    with pytest.raises(Unreadable):
        adapter.parse(raw.payload)


def test_a_message_of_nobody_is_unreadable(adapter: WhatsAppCloudAdapter) -> None:
    body = json.loads(changed("text", **{"from": None, "from_user_id": None}))
    del body["entry"][0]["changes"][0]["value"]["contacts"]
    [raw] = adapter.split(json.dumps(body).encode())
    with pytest.raises(Unreadable):
        adapter.parse(raw.payload)


# ── Statuses and echoes ──────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("name", "status", "key"),
    [
        ("status_sent", Receipt.SENT, "41"),
        ("status_delivered", Receipt.DELIVERED, "41"),
        ("status_read", Receipt.READ, ""),
        ("status_played", Receipt.READ, ""),
    ],
)
def test_statuses(adapter: WhatsAppCloudAdapter, name: str, status: Receipt, key: str) -> None:
    at = datetime.fromtimestamp(1782561612, UTC)
    assert only(adapter, name) == DeliveryReceipt("wamid.OURS", status, at, key=key)


def test_a_failure_says_why(adapter: WhatsAppCloudAdapter) -> None:
    event = only(adapter, "status_failed_window")
    assert (event.status, event.key) == (Receipt.FAILED, "41")
    assert "131047" in event.reason


def test_a_failure_of_the_account_takes_the_channel_down(adapter: WhatsAppCloudAdapter) -> None:
    failed, change = events(adapter, (PAYLOADS / "status_failed_payment.json").read_bytes())
    assert isinstance(failed, DeliveryReceipt)
    assert isinstance(change, SessionChange)
    assert not change.online


def test_further_parts_and_unknown_statuses_are_skipped(adapter: WhatsAppCloudAdapter) -> None:
    assert isinstance(only(adapter, "status_of_second_part"), Skipped)
    assert isinstance(only(adapter, "status_deleted"), Skipped)


def test_what_the_owner_typed_on_the_phone(adapter: WhatsAppCloudAdapter) -> None:
    event = only(adapter, "echo")
    assert isinstance(event, Echo)
    assert (event.text, event.by_person, event.external_id) == ("Я сама отвечу", True, "wamid.ECHO")
    assert (event.recipient.source_id, event.recipient.phone, event.recipient.name) == (USER, PHONE, "")


# ── Notices ──────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("name", "online"),
    [("account_restricted", False), ("account_disabled", False), ("account_reinstated", True), ("errors", False)],
)
def test_the_account_goes_down_and_up(adapter: WhatsAppCloudAdapter, name: str, online: bool) -> None:
    event = only(adapter, name)
    assert isinstance(event, SessionChange)
    assert event.online is online


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("errors_passing", "130429"), ("account_verified", "VERIFIED_ACCOUNT"), ("template_status", "visit_reminder"),
        ("quality", "FLAGGED"), ("history", ""), ("contacts_of_the_phone", ""),
    ],
)  # fmt: skip
def test_other_notices_are_skipped(adapter: WhatsAppCloudAdapter, name: str, word: str) -> None:
    event = only(adapter, name)
    assert isinstance(event, Skipped)
    assert word in event.reason


@pytest.mark.parametrize("name", ["history", "contacts_of_the_phone"])
def test_old_chats_and_the_address_book_are_not_kept(adapter: WhatsAppCloudAdapter, name: str) -> None:
    [raw] = adapter.split((PAYLOADS / f"{name}.json").read_bytes())
    assert b"77010000009" not in raw.payload


# ── Raw events ───────────────────────────────────────────────────────────────────────────────────────────────────────
def test_ids_tell_no_phone_and_are_the_same_every_time(adapter: WhatsAppCloudAdapter) -> None:
    for path in sorted(PAYLOADS.glob("*.json")):
        first, second = adapter.split(path.read_bytes()), adapter.split(path.read_bytes())
        assert [raw.external_id for raw in first] == [raw.external_id for raw in second]
        for raw in first:
            assert PHONE not in raw.external_id
            assert base64.b64encode(PHONE.encode()).decode()[:12] not in raw.external_id
            assert len(raw.external_id) <= 128


def test_different_events_have_different_ids(adapter: WhatsAppCloudAdapter) -> None:
    names = {name for name in (path.stem for path in PAYLOADS.glob("*.json")) if name != "several_of_two_numbers"}
    ids = {name: adapter.split((PAYLOADS / f"{name}.json").read_bytes())[0].external_id for name in names}
    same = {"status_delivered", "status_of_second_part", "status_failed_window", "status_failed_payment"}
    assert len(set(ids.values())) == len(names) - len(same) // 2


def test_one_body_may_bring_several_and_those_of_another_number(adapter: WhatsAppCloudAdapter) -> None:
    first, second, status = events(adapter, (PAYLOADS / "several_of_two_numbers.json").read_bytes())
    assert isinstance(first, InboundMessage)
    assert isinstance(second, InboundMessage)
    assert (first.text, second.text) == ("один", "два")
    assert isinstance(status, DeliveryReceipt)


@pytest.mark.parametrize("name", ["text", "status_sent", "errors", "echo", "history", "account_disabled", "template_status"])
def test_another_number_or_account_is_none_of_ours(name: str) -> None:
    other = WhatsAppCloudAdapter(Access("wa", "", {}, {"phone_number_id": "999", "waba_id": "888"}, "secret"))
    assert other.split((PAYLOADS / f"{name}.json").read_bytes()) == []


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"not json", b"\xff\xfe", b"[" * 100_000, b"{}", b'{"object":"page","entry":[]}',
        b'{"object":"whatsapp_business_account","entry":{}}',
    ],
)  # fmt: skip
def test_a_body_that_is_no_webhook_is_unreadable(adapter: WhatsAppCloudAdapter, body: bytes) -> None:
    with pytest.raises(Unreadable):
        adapter.split(body)


@pytest.mark.parametrize("riddle", [5, {}, {"changes": [5]}, {"changes": [{"field": "messages"}]}, {"changes": [{"value": 1}]}])
def test_a_riddle_does_not_take_the_rest_of_its_body_along(adapter: WhatsAppCloudAdapter, riddle: Any) -> None:
    body = json.loads((PAYLOADS / "text.json").read_text())
    body["entry"].insert(0, riddle)
    unknown, known = adapter.split(json.dumps(body).encode())
    with pytest.raises(Unreadable):
        adapter.parse(unknown.payload)
    [event] = adapter.parse(known.payload)
    assert isinstance(event, InboundMessage)


def test_half_a_surrogate_pair_harms_nothing(adapter: WhatsAppCloudAdapter) -> None:
    body = (
        (PAYLOADS / "text.json").read_bytes().replace("Здравствуйте".encode(), b"\\ud83d").replace(b"wamid.", b"\\ud83dwamid.")
    )
    [event] = events(adapter, body)
    assert isinstance(event, InboundMessage)
    assert event.text.startswith("?")


ODD: tuple[Any, ...] = (None, 0, -1.5, True, "", "x", "9" * 400, [], [None], [[1]], [{}], {}, {"id": {}}, "\ud83d")


def spots(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where in a body something else may stand."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [spot for key in keys for spot in ((*place, key), *spots(value[key], (*place, key)))]


@pytest.mark.parametrize("path", sorted(PAYLOADS.glob("*.json")), ids=lambda path: path.stem)
def test_whatever_stands_where_it_should_not_is_understood_or_unreadable(adapter: WhatsAppCloudAdapter, path: Path) -> None:
    text = path.read_text()
    for spot in spots(json.loads(text)):
        for odd in ODD:
            body = json.loads(text)
            inner = body
            for key in spot[:-1]:
                inner = inner[key]
            inner[spot[-1]] = odd
            try:
                found: list[Any] = events(adapter, json.dumps(body).encode())
            except Unreadable as refusal:
                found = [refusal]
            assert all(isinstance(one, Event | Unreadable) for one in found), (spot, odd)
