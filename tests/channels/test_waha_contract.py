"""Every request the WAHA adapter makes is one that WAHA's own OpenAPI file describes, and its examples are understood."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from channels.adapters.waha import WahaAdapter
from channels.adapters.waha_hooks import EVENTS
from channels.base import DeliveryReceipt, Echo, InboundMessage, OutboundFile, Sender, SessionChange, Skipped
from tests.sandbox.fixtures import served
from tests.sandbox.waha import FakeWaha

from .waha_server import LID, PHONE, adapter_of, text_to

CONTRACT = json.loads((Path(__file__).parent.parent / "contracts" / "waha.json").read_bytes())
URL = "https://sales.example/webhooks/waha/shop/path-secret/"
PDF, PNG = OutboundFile("offer.pdf", "application/pdf", b"%PDF-1"), OutboundFile("a.png", "image/png", b"\x89PNG")
VOICE = OutboundFile("a.ogg", "audio/ogg", b"OggS")


server = served(FakeWaha)


@pytest.fixture
def fake(server: FakeWaha) -> FakeWaha:
    server.reset()
    server.phones[LID] = PHONE
    return server


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": CONTRACT["components"]})


def faults(schema: dict[str, Any], value: Any) -> list[str]:
    """Where a value is not as the description says."""
    return [f"{error.json_path}: {error.message[:300]}" for error in validator(schema).iter_errors(value)]


def operation(request: dict[str, Any]) -> dict[str, Any]:
    """The described operation behind a request: the longest template that its path fits."""
    fitting = []
    for name, found in CONTRACT["operations"].items():
        method, template = name.split(" ")
        if method == request["method"] and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), request["path"]):
            fitting.append((template.count("{"), found))
    assert fitting, f"{request['method']} {request['path']} is not described"
    return min(fitting, key=lambda item: item[0])[1]


def unlinked(fake: FakeWaha) -> None:
    fake.sessions["shop_17"].status = "SCAN_QR_CODE"


def one_file(fake: FakeWaha, adapter: WahaAdapter) -> None:
    bare = fake.customer_speaks(PHONE, content=b"OggS", deliver="history")
    adapter.fetch_media(f"false_{PHONE}@c.us_{bare}")


CALLS: dict[str, Callable[[FakeWaha, WahaAdapter], Any]] = {
    "text": lambda fake, adapter: adapter.send(text_to(PHONE, reply_to="3A00")),
    "text to a hidden id": lambda fake, adapter: adapter.send(text_to(LID)),
    "file": lambda fake, adapter: adapter.send(text_to(PHONE, files=[PDF])),
    "image": lambda fake, adapter: adapter.send(text_to(PHONE, files=[PNG])),
    "voice": lambda fake, adapter: adapter.send(text_to(PHONE, voice=VOICE)),
    "read": lambda fake, adapter: adapter.mark_read(PHONE, "3A00"),
    "typing": lambda fake, adapter: adapter.typing(LID),
    "resolve": lambda fake, adapter: adapter.resolve(Sender(LID)),
    "poll": lambda fake, adapter: adapter.poll({}),
    "look back": lambda fake, adapter: adapter.look_back(datetime.now(UTC) - timedelta(hours=1), {}),
    "sent since": lambda fake, adapter: adapter.sent_since(LID, datetime.now(UTC)),
    "file again": one_file,
    "check": lambda fake, adapter: adapter.check(),
    "subscribe": lambda fake, adapter: adapter.subscribe(URL),
    "unsubscribe": lambda fake, adapter: (adapter.subscribe(URL), adapter.unsubscribe()),
    "create": lambda fake, adapter: (fake.sessions.clear(), adapter.subscribe(URL)),
    "create and start": lambda fake, adapter: (fake.sessions.clear(), adapter.start_session()),
    "start": lambda fake, adapter: adapter.start_session(),
    "stop": lambda fake, adapter: adapter.stop_session(),
    "log out": lambda fake, adapter: adapter.log_out(),
    "QR": lambda fake, adapter: (unlinked(fake), adapter.qr()),
    "pairing code": lambda fake, adapter: (unlinked(fake), adapter.pairing_code(PHONE)),
}


@pytest.mark.parametrize("engine", ["GOWS", "WEBJS"])
@pytest.mark.parametrize("name", CALLS)
def test_every_request_is_as_described(fake: FakeWaha, name: str, engine: str) -> None:
    fake.engine = engine
    fake.customer_writes(PHONE, "hello", deliver="history")
    CALLS[name](fake, adapter_of(fake.base_url))
    requests = [request for request in fake.requests if not request["path"].startswith("/api/files/")]
    assert requests
    for request in requests:
        described = operation(request)
        known = {given["name"]: given for given in described["query"]}
        assert request["query"].keys() <= known.keys()
        assert {name for name, given in known.items() if given["required"]} <= request["query"].keys()
        assert [key for key, value in request["query"].items() if not _fits(known[key]["schema"], value)] == []
        assert (request["body"] is None) == (described["body"] is None)
        if described["body"]:
            assert faults(described["body"], request["body"]) == []


def _fits(schema: dict[str, Any], value: str) -> bool:
    """Whether a value of the query is one that the description allows."""
    if "enum" in schema:
        return value in schema["enum"]
    if schema.get("type") == "number":
        return re.fullmatch(r"-?\d+(\.\d+)?", value) is not None
    return schema.get("type") != "boolean" or value in ("true", "false")


def test_the_fake_server_answers_as_described(fake: FakeWaha) -> None:
    """Where the description is right: it knows no null, which the real server writes for all it has not."""
    fake.customer_writes(PHONE, "hello", deliver="history")
    row = {name: value for name, value in fake.row(fake.messages["shop_17"][0]).items() if value is not None}
    row |= {"participant": "", "mediaUrl": ""}
    session = {**fake.sessions["shop_17"].row(), "presence": {}, "config": {}}
    assert faults({"$ref": "#/components/schemas/WAMessage"}, row) == []
    assert faults({"$ref": "#/components/schemas/SessionInfo"}, session) == []
    assert faults({"$ref": "#/components/schemas/SessionInfo"}, {**session, "name": 1}) != []


def test_we_subscribe_to_events_that_exist() -> None:
    assert set(EVENTS) <= CONTRACT["webhooks"].keys()


@pytest.mark.parametrize("name", CONTRACT["examples"])
def test_every_example_of_the_description_is_understood(name: str) -> None:
    adapter = adapter_of("http://127.0.0.1:9", options={"session": "default"})
    example = CONTRACT["examples"][name]
    [raw] = adapter.split(json.dumps(example).encode())
    [event] = adapter.parse(raw.payload)
    # The example's number writes to itself, and its receipt is for a message of the customer.
    assert isinstance(event, Skipped | SessionChange)
    [raw] = adapter.split(json.dumps(turned_to_somebody_else(example)).encode())
    [event] = adapter.parse(raw.payload)
    expected: dict[str, Any] = {
        "message": InboundMessage, "message.any": InboundMessage, "message.edited": InboundMessage | Echo,
        "message.ack": DeliveryReceipt, "message.ack.group": DeliveryReceipt, "session.status": SessionChange,
    }  # fmt: skip
    assert isinstance(event, expected.get(name, Skipped))


def turned_to_somebody_else(example: dict[str, Any]) -> dict[str, Any]:
    own = {**example["me"], "id": "77019990000@c.us"}
    mine = "ack" in example["event"]
    return {**example, "me": own, "payload": {**example["payload"], "fromMe": mine}}
