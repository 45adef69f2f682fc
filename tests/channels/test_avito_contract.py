"""Both sides against Avito's own OpenAPI files: what we send, what our fake answers and posts, what our payloads show."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from channels.adapters.avito import AvitoAdapter
from channels.adapters.avito_items import AvitoItems
from channels.adapters.avito_parse import raw_event
from channels.base import OutboundFile
from tests.sandbox import avito_rows
from tests.sandbox.avito import FakeAvito
from tests.sandbox.avito_rows import ACCOUNT, CLIENT_ID, ITEM
from tests.sandbox.fixtures import served

from .avito_server import CHAT, access_of, adapter_of, forget, text_to

CONTRACT = json.loads((Path(__file__).parent.parent / "contracts" / "avito.json").read_text())
PAYLOADS = sorted((Path(__file__).parent.parent / "payloads" / "avito").glob("*.json"))
#: These are what no Avito would send.
BROKEN = {"missing_fields", "wrong_types", "unknown_type", "app_call", "file", "video", "webhook_unknown_event"}
PNG = OutboundFile("a.png", "image/png", b"\x89PNG")
URL = "https://sales.example/webhooks/avito/shop/path-secret/"


server = served(FakeAvito)


@pytest.fixture
def fake(server: FakeAvito) -> FakeAvito:
    forget(server)
    server.add_item(ITEM)
    server.customer_writes(CHAT, "Ещё продаёте?", deliver="history")
    return server


@pytest.fixture
def adapter(fake: FakeAvito) -> AvitoAdapter:
    return adapter_of(fake.base_url, options={})


def wrong(schema: Any, value: Any) -> list[str]:
    return [
        f"{'.'.join(map(str, e.absolute_path))}: {e.message[:200]}" for e in Draft202012Validator(schema).iter_errors(value)
    ]


def closed(schema: Any) -> Any:
    """The schema without room for what it does not name: our requests hold nothing else."""
    if isinstance(schema, dict):
        found = {name: closed(item) for name, item in schema.items()}
        if "properties" in found and isinstance(found["properties"], dict):
            found.setdefault("additionalProperties", False)
        return found
    return [closed(item) for item in schema] if isinstance(schema, list) else schema


def operation(request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The described operation behind a request: the one whose path fits with the fewest places to fill."""
    fitting = []
    for name, found in CONTRACT["operations"].items():
        method, template = name.split(" ")
        if method == request["method"] and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), request["path"]):
            fitting.append((template.count("{"), name, found))
    assert fitting, f"{request['method']} {request['path']} is not described"
    _places, name, found = min(fitting, key=lambda item: item[0])
    return name, found


def from_query(text: str, schema: dict[str, Any]) -> Any:
    """A word of the query as a value: numbers, and lists with commas."""
    if schema.get("type") == "array":
        return [from_query(part, schema["items"]) for part in text.split(",")]
    return int(text) if schema.get("type") == "integer" and text.isdecimal() else text


def check(request: dict[str, Any]) -> str:
    name, described = operation(request)
    for field, value in request["query"].items():
        schema = described["query"][field]["schema"]
        assert wrong(schema, from_query(value, schema)) == [], f"{name}?{field}"
    assert {field for field, given in described["query"].items() if given["required"]} <= request["query"].keys(), name
    if request.get("content_type", "").startswith("multipart/"):
        assert list(described["body"]["required"]) == ["uploadfile[]"]
    elif described["body"] is None:
        assert request["body"] is None, name
    else:
        assert wrong(closed(described["body"]), request["body"]) == [], name
    return name


def one_voice(fake: FakeAvito, adapter: AvitoAdapter) -> None:
    fake.customer_speaks(CHAT, content=b"opus", deliver="history")
    adapter.fetch_media(f"voice:{next(iter(fake.voices))}")


def items(fake: FakeAvito) -> AvitoItems:
    return AvitoItems(access_of(fake.base_url))


CALLS: dict[str, Callable[[FakeAvito, AvitoAdapter], Any]] = {
    "text": lambda fake, adapter: adapter.send(text_to(text="**Цена**", reply_to="m1")),
    "pictures": lambda fake, adapter: adapter.send(text_to(files=[PNG, PNG])),
    "poll": lambda fake, adapter: adapter.poll({}),
    "look back": lambda fake, adapter: adapter.look_back(datetime.now(UTC) - timedelta(hours=1), {}),
    "sent since": lambda fake, adapter: adapter.sent_since(CHAT, datetime.now(UTC)),
    "voice": one_voice,
    "read": lambda fake, adapter: adapter.mark_read(CHAT, "m1"),
    "blacklist": lambda fake, adapter: adapter.block(CHAT),
    "check": lambda fake, adapter: adapter.check(),
    "subscribe": lambda fake, adapter: adapter.subscribe(URL),
    "unsubscribe": lambda fake, adapter: (adapter.subscribe(URL), adapter.unsubscribe()),
    "items": lambda fake, adapter: items(fake).items(2),
    "item": lambda fake, adapter: items(fake).item(ITEM),
    "price": lambda fake, adapter: items(fake).set_price(ITEM, 100),
    "statistics": lambda fake, adapter: items(fake).statistics([ITEM], date(2026, 1, 1), date(2026, 1, 3)),
}


@pytest.mark.parametrize("name", CALLS)
def test_every_request_is_one_that_avito_describes(fake: FakeAvito, adapter: AvitoAdapter, name: str) -> None:
    CALLS[name](fake, adapter)
    assert len(fake.requests) > 1
    for request in fake.requests:
        check(request)


def test_every_operation_that_is_kept_is_used(fake: FakeAvito, adapter: AvitoAdapter) -> None:
    for call in CALLS.values():
        call(fake, adapter)
    assert {check(request) for request in fake.requests} == set(CONTRACT["operations"])


def test_the_fake_answers_as_avito_does(fake: FakeAvito, adapter: AvitoAdapter, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[tuple[dict[str, Any], Any]] = []
    real = fake._answer

    def answer(account: Any, request: Any, body: Any) -> Any:
        found = real(account, request, body)
        answers.append(({"method": request.method, "path": request.path}, found))
        return found

    monkeypatch.setattr(fake, "_answer", answer)
    for call in CALLS.values():
        call(fake, adapter)
    assert len(answers) > len(CALLS)
    for request, found in answers:
        name, described = operation(request)
        assert wrong(described["answer"], found) == [], name


@pytest.mark.parametrize("path", [path for path in PAYLOADS if path.stem not in BROKEN], ids=lambda path: path.stem)
def test_every_payload_is_one_that_avito_may_send(path: Path) -> None:
    found = json.loads(path.read_text())
    if path.stem.startswith("webhook_"):
        assert wrong(CONTRACT["webhook"], found) == []
        return
    operations = CONTRACT["operations"]
    assert wrong(operations["GET /messenger/v2/accounts/{user_id}/chats/{chat_id}"]["answer"], found["chat"]) == []
    messages = operations["GET /messenger/v3/accounts/{user_id}/chats/{chat_id}/messages/"]["answer"]
    assert wrong(messages, [found["message"]]) == []


def test_the_fake_posts_as_avito_does(fake: FakeAvito) -> None:
    fake.hold = True
    fake.accounts[CLIENT_ID].subscriptions = {URL: "3"}
    fake.customer_writes(CHAT, "раз")
    fake.customer_speaks(CHAT, content=b"opus")
    fake.customer_sends_image(CHAT)
    fake.customer_shares_location(CHAT)
    fake.owner_writes("u2i-abc~1", "Да")
    assert len(fake.held) == 5
    for _url, body in fake.held:
        assert wrong(CONTRACT["webhook"], body) == []
    fake.held.clear()


EXAMPLES: dict[str, dict[str, Any]] = {
    "text": {"text": "привет!"},
    "voice": {"voice": {"voice_id": "2a5c"}},
    "image": {"image": {"sizes": {"1280x960": "https://img.k.avito.ru/chat/1280x960/5083651369.jpg"}}},
    "link": {"link": {"text": "habr.com", "url": "habr.com", "preview": None}},
    "item": {"item": {"title": "Объявление", "item_url": "https://avito.ru/item_url", "price_string": "1 232 323 ₽"}},
    "location": {"location": {"kind": "street", "lat": 55.599799, "lon": 37.603954, "text": "Москва", "title": "Москва"}},
    "call": {"call": {"status": "missed", "target_user_id": 94235311}},
    "system": {"flow_id": "seller_audience_discount"},
    "deleted": {},
}


@pytest.mark.parametrize("sort", EXAMPLES)
def test_every_sort_of_message_of_the_specification_is_understood(sort: str) -> None:
    described = CONTRACT["operations"]["GET /messenger/v3/accounts/{user_id}/chats/{chat_id}/messages/"]["answer"]
    assert sorted(EXAMPLES) == sorted(described["items"]["properties"]["type"]["enum"])
    row = {"id": "m1", "author_id": 94235311, "created": 1571654040, "direction": "in", "type": sort, "content": EXAMPLES[sort]}
    assert wrong(described, [row]) == []
    chat = avito_rows.chat_row(avito_rows.Chat("u2i-1", ACCOUNT, 94235311, "Guldan", 1571412836, avito_rows.listing()), None)
    raw = raw_event(chat, row, ACCOUNT)
    assert len(adapter_of("").parse(raw.payload)) == 1
