"""What every test may use: rows of a small company, and a broker that runs tasks when told."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from celery import current_app
from django.conf import settings
from django.core.cache import cache
from django.utils import timezone

from channels import directory, inbox
from channels.adapters.widget import raw_event
from channels.models import Channel
from conversations.models import Conversation, Message, Turn
from foundation import tasks
from llm import prompts, roster
from sales import assistants


def pytest_configure() -> None:
    """Tests that run side by side have a Redis database each, as pytest-django gives them a PostgreSQL database each."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None:
        return
    database = 1 + int(worker.removeprefix("gw"))
    own = urlsplit(settings.REDIS_URL)._replace(path=f"/{database}").geturl()
    os.environ["REDIS_URL"] = settings.REDIS_URL = settings.CACHES["default"]["LOCATION"] = own


@pytest.fixture(scope="session", autouse=True)
def _tasks() -> None:
    """Workers import every task module when they start; so do the tests."""
    current_app.loader.import_default_modules()


@pytest.fixture(autouse=True)
def _forget_remembered() -> Iterator[None]:
    """No row of one test is remembered by the next."""
    for forget in (directory.forget, assistants.configuration.forget, roster.forget, prompts.forget):
        forget()
    yield


@pytest.fixture(autouse=True)
def _quick_settings(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    settings.KICK_IN_BACKGROUND = False


@dataclass
class Broker:
    """Stands between commit and worker: hints wait here until `run`; `lose` forgets them, as a flushed broker does."""

    waiting: list[tuple[str, int, float]] = field(default_factory=list)
    done: list[tuple[str, int]] = field(default_factory=list)

    def publish(self, task: str, row_id: int, delay: float) -> None:
        self.waiting.append((task, row_id, delay))

    def lose(self) -> None:
        self.waiting.clear()

    def named(self, task: str) -> list[int]:
        return [row_id for name, row_id, _delay in self.waiting if name == task]

    def run_one(self, task: str | None = None) -> None:
        """Run the first hint (of this task)."""
        index = next(n for n, hint in enumerate(self.waiting) if task in (None, hint[0]))
        name, row_id, _delay = self.waiting.pop(index)
        self.done.append((name, row_id))
        current_app.tasks[name].run(row_id)

    def run(self, *, limit: int = 200, skip: tuple[str, ...] = ()) -> None:
        """Run hints until none is left (of those not skipped)."""
        for _ in range(limit):
            if not any(name not in skip for name, _row, _delay in self.waiting):
                return
            index = next(n for n, hint in enumerate(self.waiting) if hint[0] not in skip)
            name, row_id, _delay = self.waiting.pop(index)
            self.done.append((name, row_id))
            current_app.tasks[name].run(row_id)
        raise AssertionError(f"still busy after {limit} tasks: {self.waiting[:5]}")


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    held = Broker()
    monkeypatch.setattr(tasks, "_publish", held.publish)
    return held


@pytest.fixture
def _clean_cache() -> Iterator[None]:
    cache.clear()
    yield


@dataclass
class Company:
    """A company with one widget channel and an assistant without knowledge; answers come from the offline model."""

    channel: Channel
    says: Callable[..., list[int]]

    def conversation(self) -> Conversation:
        return Conversation.objects.get()

    def turns(self) -> list[Turn]:
        return list(Turn.objects.order_by("id"))

    def sent(self) -> list[Message]:
        return list(Message.objects.filter(direction="out").order_by("seq"))


_counter = iter(range(10**9))


@pytest.fixture
def company(transactional_db: None, broker: Broker) -> Company:
    from sales.models import Assistant, Bot

    channel = Channel.objects.create(
        name="Site", slug="site", kind=Channel.Kind.WIDGET, company="Demo", about="Sells coffee machines.", hold=0, moderation=False
    )
    assistant = Assistant.objects.create(name="Aida", slug="aida")
    Bot.objects.create(channel=channel, assistant=assistant)

    def says(text: str, *, visitor: str = "visitor-1", at: datetime | None = None, client_id: str | None = None) -> list[int]:
        event = raw_event(
            visitor=visitor, client_id=client_id or f"c{next(_counter)}", text=text, at=at or timezone.now()
        )
        return inbox.store(channel.pk, [event], "webhook")

    return Company(channel, says)
