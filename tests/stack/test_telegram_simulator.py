"""Telegram against a simulator that others wrote (`telegram-test-api` from npm): text and buttons, from end to end.

It knows no secret header, files, voices or failures; those are played by `tests/sandbox/telegram.py`. To install it:

    mkdir -p var/telegram-simulator && cp tests/stack/telegram_simulator/* var/telegram-simulator/
    npm ci --prefix var/telegram-simulator --ignore-scripts
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from channels import directory, polling, registry
from channels.adapters import telegram_pace
from channels.base import Choice, OutboundMessage
from channels.models import Channel
from conversations.models import Contact, Message, Turn
from sales.models import Assistant, Bot
from tests.conftest import Broker
from tests.rehearsal.stack import call, free_port, wait_for

FOLDER = Path(os.environ.get("TELEGRAM_SIMULATOR") or Path(__file__).parent.parent.parent / "var" / "telegram-simulator")
NODE = shutil.which("node")
TOKEN = "700100201:independent-simulator"
USER = 424242

pytestmark = [
    pytest.mark.stack,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        NODE is None or not (FOLDER / "node_modules" / "telegram-test-api").is_dir(),
        reason="the npm package telegram-test-api is not installed in var/telegram-simulator",
    ),
]


@dataclass
class Simulator:
    """The customer's side of the simulator."""

    base_url: str

    def _ask(self, path: str, body: dict[str, Any]) -> Any:
        return call("POST", f"{self.base_url}/{path}", body)

    def _person(self) -> dict[str, Any]:
        return {
            "botToken": TOKEN, "date": int(time.time()), "from": {"id": USER, "is_bot": False, "first_name": "Aigul"},
            "chat": {"id": USER, "first_name": "Aigul", "type": "private"},
        }  # fmt: skip

    def writes(self, text: str) -> None:
        self._ask("sendMessage", {**self._person(), "text": text})

    def commands(self, text: str) -> None:
        entity = {"offset": 0, "length": len(text.split()[0]), "type": "bot_command"}
        self._ask("sendCommand", {**self._person(), "text": text, "entities": [entity]})

    def taps(self, data: str) -> None:
        person = self._person()
        message = {"from": person["from"], "chat": person["chat"]}
        self._ask("sendCallback", {"botToken": TOKEN, "from": person["from"], "message": message, "data": data})

    def received(self) -> list[dict[str, Any]]:
        """What the bot has written since the last look."""
        return [update["message"] for update in self._ask("getUpdates", {"token": TOKEN, "chatId": USER})["result"]]


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    port = free_port()
    process = subprocess.Popen([str(NODE), "start.js", str(port)], cwd=FOLDER)
    found = Simulator(f"http://127.0.0.1:{port}")
    try:
        wait_for("the simulator", lambda: call("POST", f"{found.base_url}/bot{TOKEN}/getMe", {})["ok"], 30)
        yield found
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def telegram(simulator: Simulator, broker: Broker, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Channel]:
    settings.POLLING_INTERVAL = 1.0
    monkeypatch.setitem(registry.ADAPTERS, "telegram", "channels.adapters.telegram.TelegramAdapter")
    registry.adapter_class.cache_clear()
    telegram_pace.forget()
    simulator.received()
    channel = Channel.objects.create(
        name="Telegram", slug="tg", kind="telegram", company="Demo", hold=0, moderation=False, base_url=simulator.base_url,
        credentials={"token": TOKEN}, options={"polling": True},
    )  # fmt: skip
    Bot.objects.create(channel=channel, assistant=Assistant.objects.create(name="Aida", slug="aida"))
    yield channel
    registry.adapter_class.cache_clear()
    directory.forget()


def test_a_text_is_answered(simulator: Simulator, telegram: Channel, broker: Broker) -> None:
    simulator.writes("Здравствуйте! Есть кто?")
    assert polling.poll(telegram.pk) == 1
    broker.run()
    [answer] = simulator.received()
    [reply] = Message.objects.filter(direction="out")
    assert (answer["chat_id"], answer["text"], answer["parse_mode"]) == (USER, reply.text, "HTML")
    assert reply.state == Message.State.SENT
    assert reply.external_id.startswith(f"700100201:{USER}:")
    assert Contact.objects.get().name == "Aigul"
    assert Turn.objects.get().stage == Turn.Stage.DONE


def test_a_link_brings_the_source(simulator: Simulator, telegram: Channel, broker: Broker) -> None:
    simulator.commands("/start ref_42")
    polling.poll(telegram.pk)
    broker.run()
    assert Message.objects.get(direction="in").details["source"] == "tg:ref_42"
    assert len(simulator.received()) == 1


def test_a_button_brings_its_action_back(simulator: Simulator, telegram: Channel, broker: Broker) -> None:
    adapter = directory.entry(telegram.pk).adapter
    choices = [Choice("slot:1", "Today"), Choice("slot:2", "Tomorrow")]
    adapter.send(OutboundMessage(key="1", to=str(USER), text="**When?**", choices=choices))
    [asked] = simulator.received()
    assert asked["text"] == "<b>When?</b>"
    [[first, second]] = asked["reply_markup"]["inline_keyboard"]
    assert (first["text"], second["callback_data"]) == ("Today", "slot:2")
    simulator.taps(second["callback_data"])
    polling.poll(telegram.pk)
    broker.run()
    message = Message.objects.get(direction="in")
    assert (message.kind, message.details["action"]) == (Message.Kind.BUTTON, "slot:2")
    assert len(simulator.received()) == 1


def test_subscribing_and_back(simulator: Simulator, telegram: Channel) -> None:
    adapter = directory.entry(telegram.pk).adapter
    adapter.subscribe("http://127.0.0.1:9/webhooks/telegram/tg/secret/")
    adapter.unsubscribe()
    simulator.writes("Вы здесь?")
    assert polling.poll(telegram.pk) == 1
