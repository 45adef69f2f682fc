"""Many conversations that wait for one channel, and a provider that fails when told."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from channels import directory
from channels.adapters.wappi import WappiAdapter
from channels.base import SendResult
from channels.models import Channel, ChannelBreaker
from conversations import outbox
from conversations.drafts import Draft
from conversations.models import Conversation, Message
from tests.conversations.rows import a_conversation


@dataclass
class Provider:
    """What `WappiAdapter.send` meets: `error` is raised for the slugs in `dead`, everything else is accepted."""

    error: Exception | None = None
    dead: set[str] = field(default_factory=set)
    calls: list[tuple[str, str, float]] = field(default_factory=list)
    accepted: list[tuple[str, str, float]] = field(default_factory=list)
    gate: threading.Event | None = None
    """Sends on dead channels hang until it is set."""

    def send(self, adapter: WappiAdapter, message: Any) -> SendResult:
        slug = adapter.access.slug
        self.calls.append((slug, message.text, time.monotonic()))
        if slug in self.dead and self.gate is not None:
            self.gate.wait(20)
        if slug in self.dead and self.error is not None:
            raise self.error
        self.accepted.append((slug, message.text, time.monotonic()))
        return SendResult(f"SENT{message.key}")

    def texts(self, slug: str) -> list[str]:
        return [text for one, text, _at in self.accepted if one == slug]


def provider_for(monkeypatch: pytest.MonkeyPatch) -> Provider:
    provider = Provider()
    monkeypatch.setattr(WappiAdapter, "send", lambda self, message: provider.send(self, message))
    monkeypatch.setattr(WappiAdapter, "mark_read", lambda self, source, message: None)
    return provider


def a_wappi(slug: str = "wa", **options: Any) -> Channel:
    channel = Channel.objects.create(
        name=slug, slug=slug, kind="wappi", company="Demo", hold=0, moderation=False, credentials={"token": "t"},
        options={"profile_id": "71ad40e9-b023", "sends_per_second": 1000, **options},
    )  # fmt: skip
    directory.forget()
    return channel


def waiting(channel: Channel, conversations: int, each: int = 1) -> list[Conversation]:
    """Conversations with queued messages of managers: `0.0`, `0.1`, `1.0`, …"""
    made = []
    for number in range(conversations):
        conversation = a_conversation(channel, phone=f"7701{channel.pk % 1000:03}{number:04}")
        for part in range(each):
            outbox.queue(conversation, channel.pk, Draft(f"{number}.{part}"), author="manager")
            conversation.refresh_from_db()
        made.append(conversation)
    return made


def breaker_of(channel: Channel) -> ChannelBreaker | None:
    return ChannelBreaker.objects.filter(channel=channel).first()


def pass_time(channel: Channel, seconds: float) -> None:
    """As if a pause, and what each message waits for, had gone on for so long."""
    by = timedelta(seconds=seconds)
    for breaker in ChannelBreaker.objects.filter(channel=channel):
        breaker.retry_at = breaker.retry_at and breaker.retry_at - by
        breaker.opened_at = breaker.opened_at and breaker.opened_at - by
        breaker.save()
    for message in Message.objects.filter(channel=channel, state="queued"):
        Message.objects.filter(pk=message.pk).update(next_attempt_at=message.next_attempt_at - by)


def states(channel: Channel) -> dict[str, int]:
    found: dict[str, int] = {}
    for state in Message.objects.filter(channel=channel).values_list("state", flat=True):
        found[state] = found.get(state, 0) + 1
    return found


def seconds_until(at: Any) -> float:
    return float((at - timezone.now()).total_seconds())
