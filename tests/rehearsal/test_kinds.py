"""What a rehearsal plays on each kind of channel is what the product takes from the real provider, under the same names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from channels import registry
from channels.adapters import telegram_pace
from channels.base import Access, Adapter, InboundMessage, Kind, OutboundMessage, Webhook
from foundation.errors import Forged, ProviderError, Retry, Unauthorized, Unconfirmed
from tests.rehearsal.chaos.doors import Door
from tests.rehearsal.chaos.gateways import GATEWAYS, ChaosGateway
from tests.rehearsal.chaos.names import NAMES
from tests.rehearsal.kinds import KINDS
from tests.rehearsal.stack import call, free_port
from tests.sandbox.server import run_in_thread

PHONE, SECRET = "77010000001", "path-secret"
each_kind = pytest.mark.parametrize("name", list(KINDS))


@pytest.fixture(autouse=True)
def _unpaced() -> Iterator[None]:
    telegram_pace.forget()
    yield
    telegram_pace.forget()


def adapter_of(name: str, base_url: str = "http://127.0.0.1:9") -> Adapter:
    kind = KINDS[name]
    return registry.adapter_class(name)(Access(kind.slug, base_url, kind.credentials, kind.options, SECRET))


def secret_of(adapter: Adapter) -> str:
    return str(getattr(adapter, "header_secret", ""))


def understood(adapter: Adapter, body: bytes) -> tuple[str, InboundMessage]:
    """The id of the raw event, and the message in it."""
    [raw] = adapter.split(body)
    [event] = adapter.parse(raw.payload)
    assert isinstance(event, InboundMessage)
    return raw.external_id, event


# ── What customers write ─────────────────────────────────────────────────────────────────────────────────────────────


@each_kind
def test_a_webhook_of_the_bench_is_proven_and_understood(name: str) -> None:
    kind, adapter = KINDS[name], adapter_of(name)
    body = kind.body(PHONE, "Здравствуйте!")
    headers = {key.lower(): value for key, value in kind.headers(body, secret_of(adapter)).items()}
    adapter.verify(Webhook(SECRET, headers, body))
    _event, message = understood(adapter, body)
    assert (message.text, message.sender.name) == ("Здравствуйте!", "Клиент")
    if headers:
        with pytest.raises(Forged):
            adapter.verify(Webhook(SECRET, {}, body))
    bodies = [kind.body(PHONE, "Ещё раз") for _ in range(3)]
    assert len({understood(adapter, body)[0] for body in bodies}) == 3, "each is another message"


@each_kind
@pytest.mark.parametrize("voice", [False, True])
def test_a_message_of_the_load_has_the_same_name_on_both_sides(name: str, voice: bool) -> None:
    gateway, adapter = GATEWAYS[name](Door(0, 0)), adapter_of(name)
    identifier = "3EB0C00100000000012A"
    body = gateway.say(PHONE, {"id": identifier, "text": "Есть кто? #m298", "voice": voice})
    event, message = understood(adapter, body)
    assert event == NAMES[name].event(PHONE, identifier)
    assert message.external_id == NAMES[name].message(PHONE, identifier)
    assert message.kind is (Kind.VOICE if voice else Kind.TEXT)


@each_kind
def test_the_company_gets_a_channel_of_the_kind(name: str, tmp_path: Path) -> None:
    file = Path(__file__).with_name("company.yaml")
    [channel] = yaml.safe_load(KINDS[name].company(file, tmp_path).read_text())["channels"]
    assert (channel["kind"], channel["slug"]) == (name, KINDS[name].slug)
    assert {*channel["credentials"]} == {*registry.adapter_class(name).credential_names}
    assert {*registry.adapter_class(name).option_names} <= {*channel["options"]}


# ── What the provider answers ────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def told(request: pytest.FixtureRequest) -> Iterator[tuple[str, ChaosGateway, Adapter]]:
    name = request.param
    port = free_port()
    gateway = GATEWAYS[name](Door(port, 0))
    base_url, stop = run_in_thread(gateway)
    gateway.door.to = int(base_url.rpartition(":")[2])
    gateway.say(PHONE, {"id": "3EB0C001000000000001", "text": "#m1", "voice": False})
    yield name, gateway, adapter_of(name, f"http://127.0.0.1:{port}")
    stop()


each_gateway = pytest.mark.parametrize("told", list(KINDS), indirect=True)


def refused(adapter: Adapter) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        adapter.send(OutboundMessage(to=PHONE, text="answered #m1", key="1"))
    return caught.value


@each_gateway
def test_each_refusal_is_understood_as_the_provider_means_it(told: tuple[str, ChaosGateway, Adapter]) -> None:
    name, gateway, adapter = told
    for status, word in ((500, Unconfirmed), (502, Unconfirmed), (504, Unconfirmed), (503, Retry)):
        gateway.faults.append(gateway.failure(status))
        assert type(refused(adapter)) is word, f"{status} of {name}"
    gateway.revoke(True)
    assert type(refused(adapter)) is Unauthorized
    gateway.revoke(False)
    assert gateway.ledger == []
    adapter.send(OutboundMessage(to=PHONE, text="answered #m1", key="1"))
    assert len(gateway.ledger) == 1


@each_gateway
def test_each_way_to_ask_for_patience_is_understood(told: tuple[str, ChaosGateway, Adapter]) -> None:
    name, gateway, adapter = told
    expected: dict[str, list[float | None]] = {
        "wappi": [None, 2.0, 4.0], "telegram": [1.0, 2.0, 4.0],
        # Meta says nothing of when: ours is the pause, and of a single customer no channel is paused.
        "whatsapp_cloud": [5.0, None],
    }  # fmt: skip
    heard = []
    for refusal in NAMES[name].refusals:
        gateway.faults.append(gateway.failure(**{"status": 429, **{key: value for key, value in refusal.items() if key != "count"}}))
        error = refused(adapter)
        assert isinstance(error, Retry)
        heard.append(error.after)
    assert heard == [None if after is None else pytest.approx(after, abs=1.1) for after in expected[name]]
    assert [one["status"] for one in gateway.attempts] == [refusal.get("status", 429) for refusal in NAMES[name].refusals]


@each_gateway
def test_the_record_tells_of_sends_alike(told: tuple[str, ChaosGateway, Adapter]) -> None:
    _name, gateway, adapter = told
    # Marks that we have read, and the sign that we type, are no sends: no fault strikes them.
    gateway.faults.append(gateway.failure(500))
    adapter.typing(PHONE, "3EB0C001000000000001")
    gateway.faults.clear()
    adapter.send(OutboundMessage(to=PHONE, text="answered #m1", key="1"))
    [sent] = call("GET", f"{gateway.base_url}/_sandbox/record")["ledger"]
    assert (sent["number"], sent["phone"], sent["text"]) == (1, PHONE, "answered #m1") and sent["begun"] > 0


# ── Webhooks that are refused ────────────────────────────────────────────────────────────────────────────────────────


@each_kind
def test_a_refused_webhook_comes_again_as_often_as_the_provider_posts_it(name: str) -> None:
    gateway = GATEWAYS[name](Door(0, 0))
    pauses = gateway.pauses()
    first = [next(pauses), next(pauses)]
    assert first == [1.0, 2.0]
    later: list[Any] = [next(pauses, None) for _ in range(10)]
    assert later == ([None] * 10 if name == "wappi" else [4.0, 8.0, 16.0, 32.0, *[60.0] * 6]), json.dumps(later)
