"""Starting and stopping: what is proven, what survives a restart of the server, what becomes of the webhook."""

from __future__ import annotations

from typing import Any

import pytest

from channels import control
from channels.adapters.telegram import TelegramAdapter
from channels.base import Health
from channels.models import Channel
from foundation.errors import Rejected
from tests.conversations.rows import a_channel, english  # noqa: F401

pytestmark = pytest.mark.django_db


@pytest.fixture
def telegram(monkeypatch: pytest.MonkeyPatch) -> Channel:
    monkeypatch.setattr(TelegramAdapter, "check", lambda self: Health(ok=True, detail="@shop"))
    monkeypatch.setattr(TelegramAdapter, "unsubscribe", lambda self: None)
    return a_channel(kind="telegram", credentials={"token": "1:a"}, running=False, auto_start=False)


def test_without_a_public_address_messages_are_asked_for(telegram: Channel, settings: Any) -> None:
    settings.PUBLIC_URL = "http://127.0.0.1:8000"
    assert control.start(telegram.pk, user=None).ok
    telegram.refresh_from_db()
    assert telegram.options["polling"] is True and telegram.running and telegram.health == "ok"
    events = list(telegram.log.order_by("pk").values_list("event", flat=True))
    assert events == ["polling instead of a webhook", "health: ok", "started"]


def test_who_forbade_polling_is_told_why_it_does_not_start(telegram: Channel, settings: Any) -> None:
    settings.PUBLIC_URL = "http://127.0.0.1:8000"
    Channel.objects.update(options={"polling": False})
    with pytest.raises(Rejected, match="https"):
        control.start(telegram.pk, user=None)
    telegram.refresh_from_db()
    assert not telegram.running and not telegram.auto_start


def test_what_starts_by_itself_runs_after_a_restart_and_nothing_else() -> None:
    stays, comes, goes = (a_channel(running=r, auto_start=a) for r, a in ((True, True), (False, True), (True, False)))
    archived = a_channel(running=False, auto_start=True, archived_at="2026-01-01T00:00Z")
    assert control.boot() == 2
    for channel, runs in ((stays, True), (comes, True), (goes, False), (archived, False)):
        channel.refresh_from_db()
        assert channel.running is runs
    assert control.boot() == 0


def test_an_event_that_waits_is_history(telegram: Channel) -> None:
    telegram.events.create(external_id="1", source="webhook", payload=b"{}")
    assert not control.remove(telegram, user=None)
    telegram.refresh_from_db()
    assert telegram.archived_at is not None and not telegram.enabled
    assert control.restore(telegram.pk, user=None) and not control.restore(telegram.pk, user=None)
