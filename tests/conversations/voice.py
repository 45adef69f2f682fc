"""A company on WhatsApp whose assistant listens: the fake Wappi and the fake language model behind real HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.utils import timezone

from channels.models import Channel
from conversations.models import Conversation, Message, Turn
from conversations.tasks import sweep
from llm.models import LanguageModel
from sales.models import Assistant, Bot
from tests.conftest import Broker
from tests.sandbox.llm import FakeLLM
from tests.sandbox.llm_answers import Prompted, default
from tests.sandbox.server import run_in_thread
from tests.sandbox.wappi import FakeWappi
from tests.sandbox.wappi_rows import OWN_NUMBER, PROFILE, TOKEN, Profile

PHONE = "77011234567"


@pytest.fixture(scope="module")
def _servers() -> Iterator[tuple[FakeWappi, FakeLLM]]:
    wappi, llm = FakeWappi(), FakeLLM()
    _url, stop_wappi = run_in_thread(wappi)
    _url, stop_llm = run_in_thread(llm)
    yield wappi, llm
    stop_wappi()
    stop_llm()


@dataclass
class Shop:
    """What the tests say and see."""

    channel: Channel
    provider: FakeWappi
    llm: FakeLLM
    broker: Broker

    def speaks(self, words: str = "Сколько стоит доставка?", **more: Any) -> str:
        """A voice note, posted by the provider's webhook; it waits in the broker until `run`."""
        return self._arrives(self.provider.customer_speaks(PHONE, words, deliver="poll", **more))

    def writes(self, text: str, **more: Any) -> str:
        return self._arrives(self.provider.customer_writes(PHONE, text, deliver="poll", **more))

    def _arrives(self, identifier: str) -> str:
        row = self.provider.webhook_row(PROFILE, self.provider.messages[identifier], "incoming_message")
        address = f"/webhooks/wappi/{self.channel.slug}/{self.channel.webhook_secret}/"
        answer = Client().post(address, {"messages": [row]}, content_type="application/json")
        assert answer.status_code == 200
        return identifier

    def run(self, **more: Any) -> None:
        self.broker.run(**more)

    def until(self, task: str) -> None:
        """Run what comes before the first hint of this task."""
        while not self.broker.named(task):
            self.broker.run_one()

    def later(self, times: int = 1) -> None:
        """As if minutes had passed, so often: retries fall due, the sweeper starts what was lost."""
        for _ in range(times):
            past = timezone.now() - timedelta(seconds=1)
            Turn.objects.filter(leased_until__isnull=False).update(leased_until=past)
            with connection.cursor() as cursor:
                cursor.execute("UPDATE conversations_turn SET due_at = due_at - interval '5 minutes', swept_at = NULL")
                cursor.execute("UPDATE conversations_message SET next_attempt_at = next_attempt_at - interval '5 minutes'")
            self.broker.lose()
            sweep()
            self.broker.run()

    def conversation(self) -> Conversation:
        return Conversation.objects.get()

    def turn(self) -> Turn:
        return Turn.objects.get()

    def inbound(self) -> list[Message]:
        return list(Message.objects.filter(direction="in").order_by("seq"))

    def voice(self) -> Message:
        return Message.objects.get(kind="voice")

    def arrived(self) -> list[str]:
        """The texts that the customer received."""
        return [entry["text"] for entry in self.provider.ledger]

    def listened(self) -> int:
        """How often a model was given a recording."""
        return sum("inlineData" in str(call.body) for call in self.llm.calls)

    def asked(self) -> list[str]:
        """What the models were asked without a recording: the last message of each request."""
        last = [call.body["contents"][-1]["parts"] for call in self.llm.calls]
        return [part["text"] for parts in last for part in parts if "text" in part]


@pytest.fixture
def shop(
    _servers: tuple[FakeWappi, FakeLLM], transactional_db: None, broker: Broker, settings: Any, tmp_path: Path
) -> Iterator[Shop]:
    provider, llm = _servers
    provider.reset()
    provider.profiles[PROFILE] = Profile()
    llm.reset()
    cache.clear()
    settings.MEDIA_ROOT = tmp_path / "media"
    channel = Channel.objects.create(
        name="WhatsApp", slug="wa", kind="wappi", company="Demo", about="Sells coffee machines.", hold=0, moderation=False,
        base_url=provider.base_url, credentials={"token": TOKEN}, options={"profile_id": PROFILE}, own_number=OWN_NUMBER,
    )  # fmt: skip
    Bot.objects.create(channel=channel, assistant=Assistant.objects.create(name="Aida", slug="aida"))
    LanguageModel.objects.create(
        name="fake", kind="gemini", model_id="fake", api_key="sk-secret", base_url=llm.base_url,
        supports_audio=True, position=1, input_price=1, output_price=2,
    )  # fmt: skip
    yield Shop(channel, provider, llm, broker)


def script(shop: Shop, hears: Callable[[Prompted], Any]) -> None:
    """Let `hears` answer when the model is given a recording."""
    shop.llm.script = lambda prompted: hears(prompted) if prompted.audio else default(prompted)
