"""What each sort of Avito's messages becomes, what a webhook amounts to, and that a broken one never becomes a crash."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.adapters.avito import AvitoAdapter
from channels.adapters.avito_parse import about_of, raw_event, understand
from channels.base import Access, Echo, Event, InboundMessage, Kind, News, RawEvent, Skipped
from foundation.errors import Forged, Unreadable

PAYLOADS = Path(__file__).parent.parent / "payloads" / "avito"
MESSAGES = sorted(path for path in PAYLOADS.glob("*.json") if not path.stem.startswith("webhook_"))
WEBHOOKS = sorted(PAYLOADS.glob("webhook_*.json"))
UNREADABLE = {"missing_fields", "wrong_types"}
ACCOUNT = 141906442
CHAT = "u2i-y9ykWR1EkNOJ~J"
ID = "bdcc5bac2d00345f1cc66fa657813958"

adapter = AvitoAdapter(Access("shop", "", {}, {"user_id": str(ACCOUNT)}, "path-secret"))


def stored(path: Path) -> RawEvent:
    found = json.loads(path.read_text())
    return raw_event(found["chat"], found["message"], ACCOUNT)


def understood(name: str) -> Event:
    [event] = adapter.parse(stored(PAYLOADS / f"{name}.json").payload)
    return event


def message(name: str) -> InboundMessage:
    event = understood(name)
    assert isinstance(event, InboundMessage), event
    return event


@pytest.mark.parametrize("path", MESSAGES, ids=lambda path: path.stem)
def test_every_message_is_one_event_of_its_chat(path: Path) -> None:
    raw = stored(path)
    assert (raw.external_id, raw.lane) == (f"message:{ID}", json.loads(path.read_text())["chat"]["id"])
    if path.stem in UNREADABLE:
        with pytest.raises(Unreadable):
            adapter.parse(raw.payload)
    else:
        assert len(adapter.parse(raw.payload)) == 1


def test_a_text_tells_who_wrote_what_when_and_about_what() -> None:
    found = message("text")
    assert (found.kind, found.text, found.external_id) == (Kind.TEXT, "Здравствуйте! Ещё продаёте?", ID)
    assert found.sent_at == datetime.fromtimestamp(1760000017, UTC)
    assert (found.sender.source_id, found.sender.name, found.sender.phone) == (CHAT, "Guldan", None)
    assert found.details == {
        "source": "avito-lead",
        "about": {
            "title": "Mazda 3 2008", "price": "300000", "currency": "RUB", "id": "1768287444",
            "url": "https://avito.ru/moskva/avtomobili/mazda_3_2008_1768287444",
        },
    }  # fmt: skip


def test_pictures_profiles_and_ourselves_are_not_stored() -> None:
    payload = stored(PAYLOADS / "text.json").payload.decode()
    assert "img.example" not in payload
    assert "Магазин" not in payload
    assert "habr.com/ru" not in stored(PAYLOADS / "link.json").payload.decode()


def test_a_quotation_names_what_it_quotes() -> None:
    assert message("text_with_quote").reply_to == "c0ffee"


def test_a_chat_of_a_profile_is_about_nothing() -> None:
    found = message("profile_chat")
    assert (found.sender.source_id, dict(found.details)) == ("u2u-abc", {"source": "avito-lead"})


def test_an_image_is_its_largest_size() -> None:
    [media] = message("image").media
    assert (media.ref, media.mime) == ("image:https://img.example/1280x960.jpg", "image/jpeg")


def test_a_voice_message_is_known_by_its_id() -> None:
    found = message("voice")
    assert (found.kind, found.media[0].ref, found.media[0].mime) == (Kind.VOICE, "voice:8a1f-voice-id", "audio/mp4")


def test_a_location_has_coordinates_and_words() -> None:
    found = message("location")
    assert (found.kind, found.text) == (Kind.LOCATION, "Москва, Варшавское шоссе")
    assert (found.details["latitude"], found.details["longitude"]) == (55.599799, 37.603954)


def test_links_and_listings_are_words() -> None:
    assert message("link").text == "habr.com"
    assert message("item").text == "Диван угловой, 35 000 ₽\nhttps://avito.ru/divan_1"
    assert message("item").details["item"] == {
        "title": "Диван угловой", "price": "35000", "currency": "RUB", "url": "https://avito.ru/divan_1",
    }  # fmt: skip
    assert message("item_without_price").text == "Диван угловой\nhttps://avito.ru/divan_1"


@pytest.mark.parametrize(("name", "kind"), [("file", Kind.DOCUMENT), ("video", Kind.VIDEO), ("unknown_type", Kind.OTHER)])
def test_what_avito_does_not_show_is_a_message_all_the_same(name: str, kind: Kind) -> None:
    found = message(name)
    assert (found.kind, list(found.media)) == (kind, [])


@pytest.mark.parametrize("name", ["call", "app_call", "system", "deleted", "empty_text", "avito_itself"])
def test_what_concerns_no_customer_is_passed_over(name: str) -> None:
    assert isinstance(understood(name), Skipped)


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("own_text", "Добрый день, да", Kind.TEXT),
        ("own_image", "", Kind.IMAGE),
        ("own_by_author_only", "Добрый день", Kind.TEXT),
    ],
)
def test_what_left_our_side_is_an_echo(name: str, text: str, kind: Kind) -> None:
    found = understood(name)
    assert isinstance(found, Echo)
    assert (found.external_id, found.text, found.kind, found.recipient.source_id) == (ID, text, kind, CHAT)
    assert found.by_person


@pytest.mark.parametrize(
    ("shown", "price", "currency"),
    [
        ("300 000 ₽", "300000", "RUB"), ("300\xa0000\xa0₽", "300000", "RUB"), ("99,50 ₽", "99.50", "RUB"),
        ("от 1 000 ₽ за услугу", "от 1 000 ₽ за услугу", None), ("Бесплатно", "Бесплатно", None), ("", None, None),
        (None, None, None), (5, None, None),
    ],
)  # fmt: skip
def test_a_price_is_a_number_only_where_it_is_one(shown: Any, price: str | None, currency: str | None) -> None:
    found = about_of({"price_string": shown})
    assert (found.get("price"), found.get("currency")) == (price, currency)


# ── Webhooks ─────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("path", WEBHOOKS, ids=lambda path: path.stem)
def test_a_webhook_only_rings(path: Path) -> None:
    [raw] = adapter.split(path.read_bytes())
    assert "актуально" not in raw.payload.decode()
    assert raw.lane == ""
    [event] = adapter.parse(raw.payload)
    assert isinstance(event, News)


def test_the_ring_and_the_message_are_two_events() -> None:
    """The message must not be taken for known because its webhook came."""
    [ring] = adapter.split((PAYLOADS / "webhook_text.json").read_bytes())
    assert ring.external_id == "ring:msg001"
    body = json.loads((PAYLOADS / "text.json").read_text())
    assert raw_event(body["chat"], {**body["message"], "id": "msg001"}, ACCOUNT).external_id == "message:msg001"


def test_avitos_own_trial_is_fine() -> None:
    assert adapter.split(b"{}") == []


@pytest.mark.parametrize("body", [b"", b"[]", b"nothing", b'{"payload": 1}', b'{"payload": {"value": []}}', b"\xff\xfe{\x00"])
def test_rubbish_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        adapter.split(body)


@pytest.mark.parametrize("user_id", [1, None, "141906442", True])
def test_another_account_is_refused(user_id: Any) -> None:
    body = json.loads((PAYLOADS / "webhook_text.json").read_text())
    body["payload"]["value"]["user_id"] = user_id
    with pytest.raises(Forged):
        adapter.split(json.dumps(body).encode())


def test_an_odd_id_is_hashed() -> None:
    body = json.loads((PAYLOADS / "webhook_text.json").read_text())
    body["payload"]["value"]["id"] = "+7 701 123 45 67"
    [raw] = adapter.split(json.dumps(body).encode())
    assert raw.external_id.startswith("ring:sha256:")
    assert "123 45 67" not in raw.external_id + raw.payload.decode()


# ── Anything at all ──────────────────────────────────────────────────────────────────────────────────────────────────
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["id", "type", "content", "text", "image", "sizes", "1x1", "voice", "voice_id", "link", "url", "item", "location", "lat",
         "lon", "created", "quote", "context", "value", "users", "name", "price_string", "payload", "user_id", "chat", "message",
         "account", "ring"]), inner, max_size=5),
    max_leaves=12,
)  # fmt: skip


@given(VALUES)
def test_no_payload_crashes(value: Any) -> None:
    """Each is understood as a list, or refused in a word of ours."""
    body = json.dumps(value).encode()
    for read in (understand, adapter.split):
        try:
            found: Any = read(body)
        except (Unreadable, Forged) as refusal:
            found = refusal
        assert isinstance(found, list | Unreadable | Forged)


@given(st.sampled_from(["text", "image", "voice", "link", "item", "location", "call", "odd"]), VALUES, VALUES, VALUES)
def test_no_message_crashes(sort: str, content: Any, context: Any, users: Any) -> None:
    row = {"id": "m1", "author_id": 5, "created": 1760000017, "type": sort, "content": content, "quote": context}
    raw = raw_event({"id": "u2i-1", "context": context, "users": users}, row, ACCOUNT)
    try:
        events = understand(raw.payload)
    except Unreadable:
        return
    assert len(events) == 1
