"""A company with the demo's funnel, on a channel with something to tap and on one without."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from channels import directory, inbox
from channels.adapters.widget import WidgetAdapter, raw_event
from channels.base import Capabilities, InboundMessage, Kind, RawEvent
from channels.models import Channel
from conversations import drafts
from conversations.models import Conversation, Message, Turn
from sales import assistants
from sales.models import Assistant, Bot, FunnelProgress
from tests.conftest import Broker, Company

DEMO = Path(__file__).resolve().parents[2] / "demo" / "funnel.yaml"


class Linking(WidgetAdapter):
    """The widget, if a link could open a step of a funnel."""

    def parse(self, payload: bytes) -> list[Any]:
        [message] = super().parse(payload)
        assert isinstance(message, InboundMessage)
        action = json.loads(payload).get("action", "")
        return [InboundMessage(
            message.external_id, message.sender, message.sent_at, Kind.BUTTON if action else Kind.TEXT, message.text,
            action=action,
        )]  # fmt: skip


class Tapping(Linking):
    """The widget, if it had five buttons below a message."""

    capabilities = Capabilities(max_length=4000, choices=5)


class Customer:
    """Somebody who talks to the demo's assistant, and what they are shown."""

    def __init__(self, company: Company, broker: Broker) -> None:
        self.company, self.broker, self.taps = company, broker, False

    def can_tap(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("channels.registry.adapter_class", lambda kind: Tapping)
        directory.forget()
        self.taps = True

    def send(self, text: str, action: str = "", *, run: bool = True) -> str:
        """Write or tap; returns what was answered."""
        before = self.count()
        event = raw_event(
            visitor="v", client_id=f"f{Message.objects.count()}-{before}-{text}-{action}", text=text, at=timezone.now()
        )
        payload = {**json.loads(event.payload), "action": action}
        raw = RawEvent(event.external_id, json.dumps(payload).encode(), event.lane)
        inbox.store(self.company.channel.pk, [raw], "webhook")
        if run:
            self.broker.run()
        return "\n\n".join(message.text for message in self.company.sent()[before:])

    def count(self) -> int:
        return len(self.company.sent())

    @property
    def last(self) -> Message:
        return self.company.sent()[-1]

    def titles(self) -> list[str]:
        return [choice.title for choice in drafts.choices_of(self.last.details)]

    def choose(self, title: str) -> str:
        """Tap what our last message offers, or type its number where there is nothing to tap."""
        offered = drafts.choices_of(self.last.details)
        number = next(n for n, choice in enumerate(offered, start=1) if choice.title == title)
        return self.send(title, offered[number - 1].id) if self.taps else self.send(str(number))

    @property
    def progress(self) -> FunnelProgress:
        return FunnelProgress.objects.select_related("step").get()

    @property
    def step(self) -> str:
        assert self.progress.step is not None
        return self.progress.step.key

    def turn(self) -> Turn:
        return Turn.objects.latest("id")

    def conversation(self) -> Conversation:
        return Conversation.objects.get()


@pytest.fixture
def customer(company: Company, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Customer:
    call_command("provision", str(DEMO), stdout=StringIO())
    Bot.objects.filter(channel=company.channel).update(assistant=Assistant.objects.get(slug="secretary"))
    Channel.objects.filter(pk=company.channel.pk).update(company="Демо-Секретарь")
    monkeypatch.setattr("channels.registry.adapter_class", lambda kind: Linking)
    assistants.configuration.forget()
    directory.forget()
    return Customer(company, broker)


@pytest.fixture(params=["taps", "types"])
def either(request: pytest.FixtureRequest, customer: Customer, monkeypatch: pytest.MonkeyPatch) -> Customer:
    """A customer who taps, and one who has to type numbers."""
    if request.param == "taps":
        customer.can_tap(monkeypatch)
    return customer
