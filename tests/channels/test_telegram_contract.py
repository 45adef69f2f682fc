"""Both sides against Telegram's own machine-readable specification: what we send, what we read, what our fake answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from channels.adapters import telegram_pace
from channels.adapters.telegram import UPDATES, TelegramAdapter
from channels.adapters.telegram_parse import CONTENT, ENVELOPE, SERVICE
from channels.base import Access, Choice, OutboundFile, OutboundMessage
from tests.sandbox.server import running
from tests.sandbox.telegram import FakeTelegram
from tests.sandbox.telegram_rows import BOT_ID, TOKEN, Bot

SPEC = json.loads((Path(__file__).parent.parent / "contracts" / "telegram.json").read_text())
PAYLOADS = sorted((Path(__file__).parent.parent / "payloads" / "telegram").glob("*.json"))
#: These are what no Telegram would send.
BROKEN = {"missing_fields", "wrong_types", "unknown_kind", "unknown_update"}
USER = 5550001
FILES = ("photo", "document", "voice")


def wrong(schema: dict[str, Any], value: Any) -> list[str]:
    validator = Draft202012Validator({**schema, "$defs": SPEC["$defs"]})
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in validator.iter_errors(value)]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTelegram]:
    monkeypatch.setattr(telegram_pace, "sleep", lambda seconds: None)
    fake = FakeTelegram([Bot()])
    fake.known.add(USER)
    with running(fake):
        yield fake


def adapter_of(fake: FakeTelegram, **options: Any) -> TelegramAdapter:
    return TelegramAdapter(Access("tg", fake.base_url, {"token": TOKEN}, options, "path-secret"))


def everything(fake: FakeTelegram) -> None:
    """Every call that the adapter can make, in every form."""
    adapter = adapter_of(fake)
    pdf, png = OutboundFile("a.pdf", "application/pdf", b"%PDF"), OutboundFile("a.png", "image/png", b"\x89PNG")
    ogg = OutboundFile("a.ogg", "audio/ogg", b"OggS")
    choices = [Choice(f"slot:{n}", f"Slot {n}", "free") for n in range(10)]
    number = fake.customer_writes(USER, "hello")
    for more in (
        {"text": "**bold** _it_ [w](https://x.example)"},
        {"text": "quoted", "reply_to": f"{BOT_ID}:{USER}:{number}"},
        {"text": "choose", "choices": choices},
        {"text": "phone", "asks_phone": True},
        {"text": "both", "asks_phone": True, "choices": choices[:2]},
        {"text": "files", "files": [pdf, png]},
        {"text": "spoken", "voice": ogg},
        {"text": "x" * 2000, "files": [png]},
    ):
        adapter.send(OutboundMessage(key="k", to=str(USER), **more))  # type: ignore[arg-type]
    adapter.typing(str(USER))
    adapter.mark_read(str(USER), f"tap:{fake.customer_taps(USER, 'slot:1')}")
    adapter.fetch_media(fake.messages[USER, fake.customer_speaks(USER, "hi")]["voice"]["file_id"])
    adapter.subscribe("https://shop.example/webhooks/telegram/tg/path-secret/")
    adapter.check()
    polling = adapter_of(fake, polling=True)
    polling.poll(polling.poll({}).cursor)


def test_every_request_is_one_that_telegram_knows(fake: FakeTelegram, settings: Any) -> None:
    settings.POLLING_INTERVAL = 1.0
    everything(fake)
    assert {method for method, _body in fake.requests} == set(SPEC["methods"])
    for method, body in fake.requests:
        asked = {name: {"file": value} if name in FILES else value for name, value in body.items()}
        assert wrong(SPEC["methods"][method], asked) == [], method


@pytest.mark.parametrize("path", [path for path in PAYLOADS if path.stem not in BROKEN], ids=lambda path: path.stem)
def test_every_payload_is_one_that_telegram_may_send(path: Path) -> None:
    assert wrong({"$ref": "#/$defs/Update"}, json.loads(path.read_text())) == []


def test_the_fake_answers_and_posts_as_telegram_does(fake: FakeTelegram) -> None:
    fake.customer_writes(USER, "/start ref_42")
    fake.customer_speaks(USER, "hi")
    fake.customer_sends_file(USER, b"\xff\xd8", kind="photo", caption="this one")
    fake.customer_shares_contact(USER, "77011234567")
    fake.customer_shares_location(USER, 43.2, 76.9)
    fake.customer_edits(USER, fake.customer_writes(USER, "hello"), "hello!")
    adapter_of(fake).send(OutboundMessage(key="k", to=str(USER), text="a", choices=[Choice("a", "A")]))
    fake.customer_taps(USER, "a")
    fake.customer_blocks(USER)
    updates = list(fake.bots[TOKEN].pending.values())
    assert len(updates) == 9
    for update in updates:
        assert wrong({"$ref": "#/$defs/Update"}, update) == []
    for row in fake.messages.values():
        assert wrong({"$ref": "#/$defs/Message"}, row) == []


def test_the_sorts_of_updates_exist() -> None:
    assert set(UPDATES) <= set(SPEC["$defs"]["Update"]["properties"])


def test_every_field_of_a_message_is_accounted_for() -> None:
    """A field of a new version of the specification has to be put into one of the lists."""
    known = set(SPEC["$defs"]["Message"]["properties"])
    assert set(SPEC["service"]) <= SERVICE
    assert known >= ENVELOPE | SERVICE | {name for name, _read in CONTENT}
    rest = known - ENVELOPE - SERVICE - {name for name, _read in CONTENT}
    assert rest == {"game", "invoice", "paid_media", "live_photo", "checklist", "story", "rich_message"}
