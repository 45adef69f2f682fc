"""The Avito adapter over real HTTP against the fake server, faults included."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
import time_machine
from django.utils import translation

from channels import rich
from channels.adapters import avito_sent
from channels.adapters.avito import AvitoAdapter
from channels.base import Echo, Event, InboundMessage, OutboundFile, PollResult, Skipped
from foundation.errors import ProviderError, Rejected, Retry, Unauthorized, Unconfirmed
from tests.sandbox.avito import FakeAvito
from tests.sandbox.avito_rows import ACCOUNT, BUYER, CLIENT_ID, CLIENT_SECRET, ITEM
from tests.sandbox.fixtures import served
from tests.sandbox.server import Fault

from .avito_server import CHAT, SECRET, SLUG, adapter_of, forget, text_to

PNG = OutboundFile("a.png", "image/png", b"\x89PNG\r\n\x1a\n one")
JPEG = OutboundFile("b.jpg", "image/jpeg", b"\xff\xd8\xff\r\n two")
PDF = OutboundFile("offer.pdf", "application/pdf", b"%PDF-1")
URL = f"https://sales.example/webhooks/avito/{SLUG}/{SECRET}/"


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    """The words for managers are read as they are written."""
    with translation.override("en"):
        yield


server = served(FakeAvito)


@pytest.fixture
def fake(server: FakeAvito) -> FakeAvito:
    forget(server)
    return server


@pytest.fixture
def adapter(fake: FakeAvito) -> AvitoAdapter:
    fake.chat()
    return adapter_of(fake.base_url)


def account_of(fake: FakeAvito) -> Any:
    return fake.accounts[CLIENT_ID]


def events(adapter: AvitoAdapter, result: PollResult) -> list[Event]:
    return [event for raw in result.events for event in adapter.parse(raw.payload)]


def texts(adapter: AvitoAdapter, result: PollResult) -> list[str]:
    return [event.text for event in events(adapter, result) if isinstance(event, InboundMessage | Echo)]


# ── Token ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_token_is_fetched_once_for_all(fake: FakeAvito, adapter: AvitoAdapter) -> None:
    for one in (adapter, adapter, adapter_of(fake.base_url)):
        one.poll({})
    assert fake.calls["token"] == 1


def test_it_is_renewed_an_hour_before_its_day_is_over(fake: FakeAvito, adapter: AvitoAdapter) -> None:
    start = time.time()
    with time_machine.travel(start, tick=False) as clock:
        adapter.poll({})
        clock.move_to(start + 23 * 3600 - 1)
        adapter.poll({})
        assert fake.calls["token"] == 1
        clock.move_to(start + 23 * 3600)
        adapter.poll({})
        assert fake.calls["token"] == 2


def test_a_refused_token_is_replaced_within_the_call(fake: FakeAvito, adapter: AvitoAdapter) -> None:
    adapter.send(text_to(text="one"))
    fake.expire_tokens()
    adapter.send(text_to(text="two"))
    assert [sent["text"] for sent in fake.ledger] == ["one", "two"]
    assert fake.calls["token"] == 2


def test_a_second_refusal_is_final(fake: FakeAvito, adapter: AvitoAdapter) -> None:
    fake.faults.append(Fault("/messages", status=401, count=5))
    with pytest.raises(Unauthorized) as raised:
        adapter.send(text_to())
    assert raised.value.code == "401"
    assert fake.calls["token"] == 2
    assert not fake.ledger


@pytest.mark.parametrize("changes", [{"client_id": "x", "client_secret": "y"}, {"client_id": "", "client_secret": ""}, {}])
def test_wrong_keys_are_unauthorized(fake: FakeAvito, changes: dict[str, str]) -> None:
    with pytest.raises(Unauthorized):
        adapter_of(fake.base_url, credentials=changes).send(text_to())


def test_other_keys_have_another_token(fake: FakeAvito, adapter: AvitoAdapter) -> None:
    adapter.poll({})
    with pytest.raises(Unauthorized):
        adapter_of(fake.base_url, credentials={"client_id": CLIENT_ID, "client_secret": "changed"}).poll({})


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault("/token", status=500), Retry), (Fault("/token", status=429), Retry), (Fault("/token", drop=True), Retry),
        (Fault("/token", status=400), Unauthorized), (Fault("/token", status=403), Unauthorized),
        (Fault("/token", body="{}"), Retry), (Fault("/token", body="<html>"), Retry), (Fault("/token", body="[1]"), Retry),
    ],
)  # fmt: skip
def test_a_token_that_does_not_come(fake: FakeAvito, adapter: AvitoAdapter, fault: Fault, error: type[ProviderError]) -> None:
    fake.faults.append(fault)
    with pytest.raises(error) as raised:
        adapter.send(text_to())
    assert type(raised.value) is error
    assert not fake.ledger


def test_a_redirected_token_is_followed_to_its_slash(fake: FakeAvito, adapter: AvitoAdapter) -> None:
    fake.token_at_slash = True
    adapter.send(text_to())
    assert len(fake.ledger) == 1


def test_no_secret_is_logged(fake: FakeAvito, adapter: AvitoAdapter, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("asyncio").setLevel(logging.INFO)
    fake.customer_writes(CHAT, "Секрет покупателя")
    adapter.poll({})
    adapter.send(text_to(text="Секрет ответа"))
    [token] = account_of(fake).tokens
    for secret in (CLIENT_SECRET, token, "Секрет"):
        assert secret not in caplog.text


# ── Sending ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_text_arrives_and_its_id_comes_back(fake: FakeAvito, adapter: AvitoAdapter) -> None:
    result = adapter.send(text_to())
    [sent] = fake.ledger
    assert (sent["chat"], sent["text"], sent["id"]) == (CHAT, "Добрый день", result.external_id)


def test_marks_are_left_out(fake: FakeAvito, adapter: AvitoAdapter) -> None:
    adapter.send(text_to(text="**Цена** _скоро_: [здесь](https://shop.example/a)"))
    assert fake.ledger[0]["text"] == "Цена скоро: здесь: https://shop.example/a"


@pytest.mark.parametrize("text", ["я" * 1000, "😀" * 500, "слово " * 166])
def test_a_text_of_the_full_length_fits(fake: FakeAvito, adapter: AvitoAdapter, text: str) -> None:
    [piece] = rich.split(text, adapter.capabilities.max_length, adapter.capabilities.markup)
    adapter.send(text_to(text=piece))
    assert len(fake.ledger) == 1


def test_a_picture_is_handed_over_and_sent_after_its_words(fake: FakeAvito, adapter: AvitoAdapter) -> None:
    result = adapter.send(text_to(files=[PNG, JPEG]))
    assert [("text" in sent, "image" in sent) for sent in fake.ledger] == [(True, False), (False, True), (False, True)]
    assert result.external_id == fake.ledger[0]["id"]
    names = [next(iter(sizes.values())) for sizes in fake.images.values()]
    assert len(names) == 2
    assert {PNG.content, JPEG.content} <= set(fake.files.values())


def test_a_caption_is_a_text_of_its_own(fake: FakeAvito, adapter: AvitoAdapter) -> None:
    adapter.send(text_to(text="", files=[OutboundFile("a.png", "image/png", PNG.content, caption="Вид спереди")]))
    assert [sent.get("text") for sent in fake.ledger] == ["Вид спереди", None]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (text_to(text=" "), "empty"), (text_to(text="", voice=OutboundFile("a.ogg", "audio/ogg", b"OggS")), "voice"),
        (text_to(files=[PDF]), "file"), (text_to(files=[PNG, PDF]), "file"), (text_to(to=""), "recipient"),
        (text_to(to=".."), "recipient"), (text_to(files=[OutboundFile("a.png", "image/png", bytes(25 * 1024 * 1024))]), "too_large"),
    ],
)  # fmt: skip
def test_what_cannot_go_is_refused_before_any_call(fake: FakeAvito, adapter: AvitoAdapter, message: Any, code: str) -> None:
    with pytest.raises(Rejected) as raised:
        adapter.send(message)
    assert raised.value.code == code
    assert not fake.ledger
    assert not fake.images


def test_a_picture_that_cannot_be_handed_over_stops_its_words(fake: FakeAvito, adapter: AvitoAdapter) -> None:
    fake.faults.append(Fault("uploadImages", status=500))
    with pytest.raises(Retry):
        adapter.send(text_to(files=[PNG]))
    assert not fake.ledger


@pytest.mark.parametrize("fault", [Fault("/messages/image", status=429), Fault("/messages/image", status=400)])
def test_a_failure_after_the_first_part_is_unconfirmed(fake: FakeAvito, adapter: AvitoAdapter, fault: Fault) -> None:
    fake.faults.append(fault)
    with pytest.raises(Unconfirmed):
        adapter.send(text_to(files=[PNG]))
    assert len(fake.ledger) == 1


ERRORS = [
    (Fault("/messages", status=400, body='{"error": {"code": 400, "message": "Validation error"}}'), Rejected, "400"),
    (Fault("/messages", status=402), Unauthorized, "402"),
    (Fault("/messages", status=404), Rejected, "blocked"),
    (Fault("/messages", status=429, headers={"Retry-After": "7"}), Retry, "429"),
    (Fault("/messages", status=500), Unconfirmed, "500"),
    (Fault("/messages", status=502), Unconfirmed, "502"),
    (Fault("/messages", status=503), Retry, "503"),
    (Fault("/messages", status=504), Unconfirmed, "504"),
    (Fault("/messages", status=302), Rejected, "302"),
    (Fault("/messages", drop=True), Unconfirmed, "connection"),
    (Fault("/messages", body="<html>"), Unconfirmed, "unreadable"),
    (Fault("/messages", body="{}"), Unconfirmed, "no_id"),
    (Fault("/messages", body="[]"), Unconfirmed, "no_id"),
]


@pytest.mark.parametrize(("fault", "error", "code"), ERRORS, ids=lambda value: getattr(value, "status", None))
def test_errors(fake: FakeAvito, adapter: AvitoAdapter, fault: Fault, error: type[ProviderError], code: str) -> None:
    fake.faults.append(Fault(**{name: getattr(fault, name) for name in Fault.__slots__}))
    with pytest.raises(error) as raised:
        adapter.send(text_to(text="Секрет"))
    assert (type(raised.value), raised.value.code) == (error, code)
    assert "Секрет" not in str(raised.value)
    if code == "429":
        assert raised.value.after == 7.0  # type: ignore[attr-defined]


def test_a_lost_answer_is_found_in_the_history(fake: FakeAvito, adapter: AvitoAdapter) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    fake.faults.append(Fault("/messages", drop=True))
    with pytest.raises(Unconfirmed):
        adapter.send(text_to(text="Дошло ли?"))
    [record] = adapter.sent_since(CHAT, before)
    assert (record.text, record.external_id) == ("Дошло ли?", fake.ledger[0]["id"])


def test_a_chat_we_are_no_part_of_says_nothing_of_the_account(fake: FakeAvito, adapter: AvitoAdapter) -> None:
    fake.chats[CHAT].closed = True
    for _ in range(3):
        with pytest.raises(Rejected) as raised:
            adapter.send(text_to())
        assert (type(raised.value), raised.value.code) == (Rejected, "blocked")
    assert fake.calls["token"] == 2, "a new token is tried once, not for each message"


def test_keys_without_the_right_are_unauthorized(fake: FakeAvito, adapter: AvitoAdapter) -> None:
    account_of(fake).rights = False
    with pytest.raises(Unauthorized) as raised:
        adapter.send(text_to())
    assert raised.value.code == "403"


def test_what_avito_says_of_a_failure_is_told_without_numbers(fake: FakeAvito, adapter: AvitoAdapter) -> None:
    said = {"error": {"code": 400, "message": 'Bad phone 77011234567 of user@example.com in "Секрет"'}}
    fake.faults.append(Fault("/messages", status=400, body=json.dumps(said)))
    with pytest.raises(Rejected) as raised:
        adapter.send(text_to())
    assert str(raised.value) == "avito messages: HTTP 400 Bad phone … of … in …"


# ── Reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("bare", [True, False])
@pytest.mark.parametrize("newest_first", [True, False])
def test_a_poll_brings_what_was_said_in_its_order(
    fake: FakeAvito, adapter: AvitoAdapter, bare: bool, newest_first: bool
) -> None:
    fake.bare, fake.newest_first = bare, newest_first
    now = int(time.time())
    for place, word in enumerate(("один", "два", "три")):
        fake.customer_writes(CHAT, word, at=now - 30 + place)
    fake.customer_writes("u2u-other", "в профиль", at=now - 29, buyer=5, name="Olga")
    result = adapter.poll({})
    assert texts(adapter, result) == ["один", "два", "в профиль", "три"]
    assert result.complete


def test_a_second_poll_brings_only_what_is_new(fake: FakeAvito, adapter: AvitoAdapter) -> None:
    fake.customer_writes(CHAT, "раз")
    first = adapter.poll({})
    calls = fake.calls["messages"]
    second = adapter.poll(first.cursor)
    assert (list(second.events), fake.calls["messages"]) == ([], calls), "a chat without news is not read"
    fake.customer_writes(CHAT, "ещё")
    known = {raw.external_id for raw in first.events}
    third = adapter.poll(second.cursor)
    assert [raw.external_id in known for raw in third.events] == [True, False]


def test_a_message_that_the_history_shows_later_is_read_later(fake: FakeAvito, adapter: AvitoAdapter) -> None:
    start = time.time()
    with time_machine.travel(start, tick=False) as clock:
        fake.customer_writes(CHAT, "раз", at=int(start))
        fake.customer_writes(CHAT, "опоздавшее", at=int(start), lag=2)
        first = adapter.poll({})
        assert texts(adapter, first) == ["раз"]
        clock.move_to(start + 5)
        assert "опоздавшее" in texts(adapter, adapter.poll(first.cursor))


def test_avitos_own_chats_are_not_read(fake: FakeAvito, adapter: AvitoAdapter) -> None:
    fake.customer_writes("a2u-promo", "Поднимите объявление")
    assert not adapter.poll({}).events


def test_many_chats_are_read_page_by_page(fake: FakeAvito, adapter: AvitoAdapter) -> None:
    now = int(time.time())
    for number in range(60):
        fake.customer_writes(f"u2i-{number}", str(number), at=now - 60 + number, buyer=number + 1)
    fake.customer_writes("u2i-old", "давно", at=now - 3600)
    assert texts(adapter, adapter.poll({})) == [str(number) for number in range(60)]


def test_a_long_history_is_read_page_by_page(fake: FakeAvito, adapter: AvitoAdapter) -> None:
    now = int(time.time())
    for number in range(130):
        fake.customer_writes(CHAT, str(number), at=now - 200 + number, deliver="history")
    assert texts(adapter, adapter.poll({})) == [str(number) for number in range(130)]


def test_a_chat_that_fails_does_not_hold_up_the_others(fake: FakeAvito, adapter: AvitoAdapter) -> None:
    now = int(time.time())
    fake.customer_writes("u2i-bad", "первое", at=now - 20)
    fake.customer_writes("u2i-good", "второе", at=now - 10)
    fake.faults.append(Fault("u2i-bad/messages/", status=500))
    first = adapter.poll({})
    assert (texts(adapter, first), first.complete) == (["второе"], False)
    assert "первое" in texts(adapter, adapter.poll(first.cursor))


def test_a_chat_that_is_refused_is_passed_over(fake: FakeAvito, adapter: AvitoAdapter) -> None:
    fake.customer_writes("u2i-bad", "первое")
    fake.customer_writes("u2i-good", "второе")
    fake.faults.append(Fault("u2i-bad/messages/", status=404))
    result = adapter.poll({})
    assert (texts(adapter, result), result.complete) == (["второе"], True)


@pytest.mark.parametrize(("status", "error"), [(429, Retry), (500, Retry), (402, Unauthorized)])
def test_a_poll_that_reads_nothing_says_why(fake: FakeAvito, adapter: AvitoAdapter, status: int, error: type) -> None:
    fake.customer_writes(CHAT, "раз")
    fake.faults.append(Fault("/chats", status=status, count=3))
    with pytest.raises(error):
        adapter.poll({})


@pytest.mark.parametrize("body", ["{}", "[]", '{"chats": 5}', "nothing"])
def test_an_unreadable_list_is_asked_for_again(fake: FakeAvito, adapter: AvitoAdapter, body: str) -> None:
    fake.faults.append(Fault("/chats", body=body))
    with pytest.raises(Retry):
        adapter.poll({})


def test_a_look_back_brings_everything_again(fake: FakeAvito, adapter: AvitoAdapter) -> None:
    since = datetime.now(UTC) - timedelta(minutes=15)
    fake.customer_writes(CHAT, "старое", at=int(time.time()) - 3600)
    fake.customer_writes(CHAT, "раз")
    adapter.poll({})
    result = adapter.look_back(since, {})
    assert (texts(adapter, result), result.complete) == (["раз"], True)


def test_the_owners_words_are_echoes(fake: FakeAvito, adapter: AvitoAdapter) -> None:
    fake.customer_writes(CHAT, "Ещё продаёте?")
    fake.owner_writes(CHAT, "Да")
    said, answered = events(adapter, adapter.poll({}))
    assert isinstance(said, InboundMessage)
    assert isinstance(answered, Echo)
    assert answered.recipient.source_id == CHAT


def test_further_parts_of_our_own_message_are_not_told_of(fake: FakeAvito, adapter: AvitoAdapter) -> None:
    """The core knows the id of the first part only, and would take the others for a person's."""
    fake.customer_writes(CHAT, "Есть фото?")
    sent = adapter.send(text_to(text="Да", files=[PNG, JPEG]))
    fake.owner_writes(CHAT, "И ещё")
    echoes = [event for event in events(adapter, adapter.poll({})) if isinstance(event, Echo)]
    assert {echo.external_id for echo in echoes} == {sent.external_id, fake.chats[CHAT].messages[-1].id}


def test_pictures_on_their_way_wait_for_a_look_back(fake: FakeAvito, adapter: AvitoAdapter) -> None:
    fake.customer_writes(CHAT, "Есть фото?")
    picture = fake.owner_writes(CHAT, type="image", content={"image": {"sizes": {"1x1": "https://img.example/1.jpg"}}})
    with avito_sent.sending(SLUG, CHAT):
        first = adapter.poll({})
    assert texts(adapter, first) == ["Есть фото?"]
    again = adapter.look_back(datetime.now(UTC) - timedelta(minutes=15), {})
    assert picture in {event.external_id for event in events(adapter, again) if isinstance(event, Echo)}


def test_without_the_cache_only_our_pictures_wait(
    fake: FakeAvito, adapter: AvitoAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.customer_writes(CHAT, "Есть фото?")
    adapter.send(text_to(text="Да", files=[PNG]))
    fake.owner_writes(CHAT, "И ещё")

    def away(*args: Any, **more: Any) -> Any:
        raise redis.ConnectionError("away")

    monkeypatch.setattr(avito_sent, "cache", type("Away", (), {"get_many": away, "set_many": away, "delete": away})())
    assert texts(adapter, adapter.poll({})) == ["Есть фото?", "Да", "И ещё"]
    adapter.send(text_to(text="ещё", files=[PNG]))


def test_a_deleted_message_is_passed_over(fake: FakeAvito, adapter: AvitoAdapter) -> None:
    fake.deletes(CHAT, fake.customer_writes(CHAT, "ой"))
    [event] = events(adapter, adapter.poll({}))
    assert isinstance(event, Skipped)


# ── Files ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_voice_message_is_fetched_by_a_new_link_each_time(fake: FakeAvito, adapter: AvitoAdapter) -> None:
    fake.customer_speaks(CHAT, content=b"\0\0\0\x18ftypmp42 opus")
    [event] = events(adapter, adapter.poll({}))
    assert isinstance(event, InboundMessage)
    for _ in range(2):
        assert adapter.fetch_media(event.media[0].ref) == b"\0\0\0\x18ftypmp42 opus"
    assert fake.calls["voices"] == 2


def test_a_picture_is_fetched_without_our_token(fake: FakeAvito, adapter: AvitoAdapter) -> None:
    fake.customer_sends_image(CHAT, b"\xff\xd8\xff big")
    [event] = events(adapter, adapter.poll({}))
    assert isinstance(event, InboundMessage)
    assert adapter.fetch_media(event.media[0].ref) == b"\xff\xd8\xff big"


@pytest.mark.parametrize("ref", ["voice:unknown", "image:ftp://x/y", "image:file:///etc/passwd", "image:", "", "odd"])
def test_what_is_not_there_is_rejected(fake: FakeAvito, adapter: AvitoAdapter, ref: str) -> None:
    with pytest.raises(Rejected):
        adapter.fetch_media(ref)


def test_with_the_real_avito_no_link_leads_inside(fake: FakeAvito) -> None:
    with pytest.raises(ProviderError) as raised:
        adapter_of("").fetch_media(f"image:{fake.base_url.replace('http:', 'https:')}/files/x")
    assert raised.value.code == "private_address"


# ── Marks, the blacklist ─────────────────────────────────────────────────────────────────────────────────────────────
def test_a_chat_is_marked_read(fake: FakeAvito, adapter: AvitoAdapter) -> None:
    adapter.mark_read(CHAT, fake.customer_writes(CHAT, "раз"))
    assert fake.read == [CHAT]


def test_who_writes_rubbish_is_put_on_the_blacklist(fake: FakeAvito, adapter: AvitoAdapter) -> None:
    fake.customer_writes(CHAT, "казино")
    adapter.block(CHAT)
    assert account_of(fake).blacklist == [{"user_id": BUYER, "context": {"reason_id": 1, "item_id": ITEM}}]
    adapter.mark_read(CHAT, "")
    with pytest.raises(Rejected) as raised:
        adapter.block("u2i-unknown")
    assert raised.value.code == "blocked"


# ── The connection ───────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_well_channel_is_well(fake: FakeAvito, adapter: AvitoAdapter) -> None:
    adapter.subscribe(URL)
    health = adapter.check()
    assert (health.ok, health.detail, health.own_number) == (True, "", "77010000001")


def test_a_missing_webhook_is_told(fake: FakeAvito, adapter: AvitoAdapter) -> None:
    health = adapter.check()
    assert health.ok
    assert "webhook" in health.detail
    account_of(fake).subscriptions = {URL: "2"}
    assert "old kind" in adapter.check().detail
    account_of(fake).subscriptions = {URL.replace(SECRET, "older"): "3"}
    assert "no webhook" in adapter.check().detail


def test_keys_of_another_account_are_told(fake: FakeAvito) -> None:
    health = adapter_of(fake.base_url, options={"user_id": "5"}).check()
    assert not health.ok
    assert str(ACCOUNT) in health.detail


def test_the_account_is_found_by_its_keys(fake: FakeAvito) -> None:
    fake.customer_writes(CHAT, "раз")
    adapter = adapter_of(fake.base_url, options={})
    assert adapter.client.known_account is None
    for _ in range(2):
        adapter.poll({})
    assert (adapter.client.known_account, fake.calls["self"]) == (ACCOUNT, 1)


def test_a_tariff_without_the_messenger_is_told_in_words(fake: FakeAvito, adapter: AvitoAdapter) -> None:
    account_of(fake).tariff = False
    for action in (adapter.check, lambda: adapter.send(text_to()), lambda: adapter.poll({})):
        with pytest.raises(Unauthorized) as raised:
            action()
        assert "tariff" in str(raised.value)


def test_subscribing_takes_older_webhooks_of_the_channel_away_and_leaves_those_of_others(
    fake: FakeAvito, adapter: AvitoAdapter
) -> None:
    other = "https://crm.example/avito"
    account_of(fake).subscriptions = {other: "3", URL.replace(SECRET, "older"): "3", URL: "2"}
    adapter.subscribe(URL)
    assert account_of(fake).subscriptions == {other: "3", URL: "3"}
    subscribed = fake.calls["subscribe"]
    adapter.subscribe(URL)
    assert fake.calls["subscribe"] == subscribed
    adapter.unsubscribe()
    assert account_of(fake).subscriptions == {other: "3"}


def test_avito_posts_to_https_only(fake: FakeAvito) -> None:
    with pytest.raises(Rejected) as raised:
        adapter_of("").subscribe("http://sales.example/x")
    assert raised.value.code == "url"
