"""How long providers take and how often they fail, counted by the minute."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from threading import Thread
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from channels import provider_calls
from channels.adapters.widget import WidgetAdapter
from channels.base import OutboundMessage, SendResult
from channels.models import Channel, ProviderCall
from foundation import http
from foundation.errors import Retry
from tests.sandbox.server import Fault, Request, Response, Router, as_json, running

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_counted() -> Iterator[None]:
    provider_calls._counted.clear()
    yield
    provider_calls._counted.clear()


@pytest.fixture
def channel() -> Channel:
    return Channel.objects.create(name="Site", slug="site", kind=Channel.Kind.WIDGET, company="Demo")


class Calling(WidgetAdapter):
    """Its `send` reports a call of so many milliseconds, as `foundation.http` does."""

    outcome, ms = "200", 100

    def send(self, message: OutboundMessage) -> SendResult:
        for observer in http.observers:
            observer("fake message/send", self.outcome, self.ms)
        return SendResult("1")


def sent(channel: Channel, outcome: str = "200", ms: int = 100) -> None:
    adapter = provider_calls.measured(Calling(channel.access()), channel.pk)
    adapter.outcome, adapter.ms = outcome, ms  # type: ignore[misc]
    adapter.send(OutboundMessage(key="1", to="x"))


def test_calls_are_summed_by_channel_minute_and_call(channel: Channel) -> None:
    for outcome, ms in (("200", 100), ("200", 300), ("500", 50), ("timeout", 15_000), ("302", 1)):
        sent(channel, outcome, ms)
    assert provider_calls.flush() == 1
    row = ProviderCall.objects.get()
    assert (row.channel, row.call, row.minute.second) == (channel, "fake message/send", 0)
    assert (row.count, row.errors, row.total_ms, row.max_ms) == (5, 2, 15_451, 15_000)


def test_a_second_flush_adds_to_the_first(channel: Channel) -> None:
    sent(channel, ms=100)
    provider_calls.flush()
    sent(channel, ms=40)
    provider_calls.flush()
    assert provider_calls.flush() == 0
    minutes = list(ProviderCall.objects.all())
    assert sum(row.count for row in minutes) == 2 and sum(row.total_ms for row in minutes) == 140
    assert max(row.max_ms for row in minutes) == 100


def test_calls_of_nobody_are_not_counted(channel: Channel) -> None:
    provider_calls.observe("somebody's", "200", 5)
    sent(channel)
    provider_calls.observe("somebody's", "200", 5)
    provider_calls.flush()
    assert ProviderCall.objects.get().call == "fake message/send"


def test_a_measured_adapter_is_what_it_was(channel: Channel) -> None:
    adapter = provider_calls.measured(WidgetAdapter(channel.access()), channel.pk)
    assert isinstance(adapter, WidgetAdapter) and adapter.capabilities.max_length == 4000
    assert adapter.check().ok
    with pytest.raises(NotImplementedError):
        adapter.poll({})


def test_channels_at_the_same_time_do_not_mix(channel: Channel) -> None:
    second = Channel.objects.create(name="Two", slug="two", kind=Channel.Kind.WIDGET, company="Demo")
    threads = [Thread(target=sent, args=(one,)) for one in (channel, second) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    provider_calls.flush()
    assert {row.channel_id: row.count for row in ProviderCall.objects.all()} == {channel.pk: 20, second.pk: 20}


def test_a_deleted_channel_takes_no_other_along(channel: Channel) -> None:
    gone = Channel.objects.create(name="Gone", slug="gone", kind=Channel.Kind.WIDGET, company="Demo")
    sent(gone)
    sent(channel)
    gone.delete()
    assert provider_calls.flush() == 1


def test_without_the_database_the_counts_wait(channel: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_args: Any) -> int:
        raise OperationalError

    sent(channel)
    with monkeypatch.context() as patched:
        patched.setattr(provider_calls, "execute", away)
        assert provider_calls.flush() == 0
    sent(channel)
    provider_calls.flush()
    assert sum(row.count for row in ProviderCall.objects.all()) == 2


def test_the_memory_is_bounded(channel: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider_calls, "MOST", 3)

    def many() -> None:
        for number in range(10):
            provider_calls.observe(f"call {number}", "200", 1)

    provider_calls._within(channel.pk, many)()
    assert len(provider_calls._counted) == 3


def test_old_counts_are_forgotten(channel: Channel) -> None:
    now = timezone.now()
    for days in (0, 29, 31):
        ProviderCall.objects.create(channel=channel, minute=now - timedelta(days=days), call="x", count=1)
    assert provider_calls.purge(30) == 1
    assert ProviderCall.objects.count() == 2


def test_every_end_of_a_real_call_is_reported(channel: Channel) -> None:
    router = Router()

    @router.route("GET", "/fine")
    async def fine(request: Request) -> Response:
        return as_json({"ok": True})

    class Asking(WidgetAdapter):
        def send(self, message: OutboundMessage) -> SendResult:
            for path, label in (("/fine", "ask fine"), ("/missing", "ask missing"), ("/slow", "ask slow")):
                try:
                    http.call("GET", f"{server}{path}", writes=False, label=label, read_timeout=0.3)
                except Retry:
                    continue
            return SendResult("1")

    with running(router) as server:
        router.faults.append(Fault(path="/slow", delay=2))
        provider_calls.measured(Asking(channel.access()), channel.pk).send(OutboundMessage(key="1", to="x"))
    provider_calls.flush()
    counted = dict(ProviderCall.objects.values_list("call", "errors"))
    assert counted == {"ask fine": 0, "ask missing": 1, "ask slow": 1}


def test_the_journal_shows_what_was_counted(admin_client: Client) -> None:
    channel = Channel.objects.create(name="Demo", slug="calls", kind="widget", company="Demo")
    ProviderCall.objects.create(channel=channel, minute=timezone.now(), call="send", count=4, errors=1, total_ms=400, max_ms=200)
    page = admin_client.get("/admin/channels/providercall/")
    assert page.status_code == 200
    assert "100" in page.content.decode()
    assert admin_client.post("/admin/channels/providercall/add/").status_code == 403
