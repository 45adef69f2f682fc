"""The breaker's row seen by itself, and what people see of it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from channels import breaker, checks
from channels.adapters.wappi import WappiAdapter
from channels.adapters.widget import WidgetAdapter
from channels.base import Health
from channels.models import Channel, ChannelBreaker, ChannelLog
from channels.registry import adapter_for
from foundation.errors import Retry
from tests.conftest import Broker
from tests.conversations.rows import a_channel, a_manager, english  # noqa: F401

pytestmark = pytest.mark.django_db(transaction=True)
ERROR = Retry("no connection", code="connect")


def row_of(channel: Channel) -> ChannelBreaker | None:
    return ChannelBreaker.objects.filter(channel=channel).first()


def paused(channel: Channel, **fields: Any) -> ChannelBreaker:
    values = {"failures": 5, "reason": "no connection", "opened_at": timezone.now(), "retry_at": timezone.now()} | fields
    return ChannelBreaker.objects.create(channel=channel, **values)


def test_failures_in_a_row_open_it_and_a_success_forgets_them(broker: Broker) -> None:
    channel = a_channel(kind="wappi")
    for _ in range(breaker.OPENS_AFTER - 1):
        assert not breaker.failed(channel.pk, ERROR)
    breaker.succeeded(channel.pk)
    assert row_of(channel) is None
    assert [breaker.failed(channel.pk, ERROR) for _ in range(breaker.OPENS_AFTER)] == [False] * 4 + [True]
    breaker.succeeded(channel.pk)  # of a send that had begun before
    found = row_of(channel)
    assert found is not None and found.opened_at is not None
    assert ChannelLog.objects.get(channel=channel, event="sending paused").detail == "no connection"


def test_failures_of_many_threads_open_it_once(broker: Broker) -> None:
    channel = a_channel(kind="wappi")
    ready = threading.Barrier(12)

    def fail(_n: int) -> bool:
        ready.wait()
        try:
            return breaker.failed(channel.pk, ERROR)
        finally:
            connection.close()

    with ThreadPoolExecutor(12) as threads:
        told = list(threads.map(fail, range(12)))
    assert sum(told) == 12 - (breaker.OPENS_AFTER - 1)
    assert ChannelLog.objects.filter(event="sending paused").count() == 1
    assert broker.named("conversations.drain") == [channel.pk]


def test_a_late_answer_with_a_delay_lengthens_the_pause_and_never_shortens_it(broker: Broker) -> None:
    channel = a_channel(kind="wappi")
    breaker.failed(channel.pk, Retry("busy", after=300))
    for after, least in ((600.0, 590), (10.0, 590), (None, 590)):
        breaker.failed(channel.pk, Retry("busy", after=after))
        found = row_of(channel)
        assert found is not None and found.retry_at is not None
        assert found.retry_at > timezone.now() + timedelta(seconds=least)


def test_one_of_many_threads_may_drain() -> None:
    channel = a_channel(kind="wappi")
    paused(channel)
    ready = threading.Barrier(8)

    def enter(_n: int) -> Any:
        ready.wait()
        try:
            return breaker.enter(channel.pk)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        leases = [lease for lease in threads.map(enter, range(8)) if lease is not None]
    assert len(leases) == 1


def test_who_lost_the_lease_changes_nothing(broker: Broker) -> None:
    channel = a_channel(kind="wappi")
    paused(channel)
    lost = breaker.enter(channel.pk)
    ChannelBreaker.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
    assert lost is not None and breaker.enter(channel.pk) is not None
    before = ChannelBreaker.objects.values().get()
    breaker.succeeded(channel.pk, drain=lost.lease_token)
    assert breaker.failed(channel.pk, ERROR, drain=lost.lease_token)
    breaker.emptied(channel.pk, lost.lease_token)
    breaker.leave(channel.pk, lost.lease_token)
    assert ChannelBreaker.objects.values().get() == before


def test_a_disabled_channel_is_not_drained() -> None:
    channel = a_channel(kind="wappi", enabled=False)
    paused(channel)
    assert breaker.due() == []
    assert breaker.enter(channel.pk) is None


@pytest.mark.parametrize(
    ("option", "seconds"),
    [(None, 1.0), (4, 0.25), (0.5, 2.0), (0, 1.0), (-3, 1.0), ("fast", 1.0), (True, 1.0), (0.0001, 10.0)],
)
def test_the_rate_is_the_channels_option_or_the_providers(option: Any, seconds: float) -> None:
    options = {"profile_id": "p", **({} if option is None else {"sends_per_second": option})}
    channel = a_channel(kind="wappi", credentials={"token": "t"}, options=options)
    assert breaker.spacing(channel, adapter_for(channel)) == seconds


def test_our_own_channel_needs_no_rate() -> None:
    channel = a_channel()
    assert isinstance(adapter_for(channel), WidgetAdapter)
    assert breaker.spacing(channel, adapter_for(channel)) == 0


# ── What people see ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_list_says_until_when_sending_is_paused(client: Client) -> None:
    client.force_login(manager := a_manager())
    channel = a_channel(kind="wappi", owner=manager, name="Shop")
    until = timezone.localtime(timezone.now() + timedelta(days=1)).replace(hour=14, minute=5)
    paused(channel, retry_at=until, failures=7)
    page = client.get(reverse("admin:channels_channel_changelist")).content.decode()
    assert "paused until" in page and "2:05 p.m." in page and "after 7 failures" in page
    assert "no connection" in page


def test_a_button_tries_at_once(client: Client, broker: Broker) -> None:
    client.force_login(manager := a_manager())
    channel = a_channel(kind="wappi", owner=manager, credentials={"token": "t"}, options={"profile_id": "p"})
    address = reverse("admin:channels_channel_change", args=(channel.pk,))
    assert "Try sending now" not in client.get(address).content.decode()
    paused(channel, retry_at=timezone.now() + timedelta(hours=1))
    assert "Try sending now" in client.get(address).content.decode()
    client.post(reverse("admin:channel_do", args=(channel.pk, "send")))
    assert broker.named("conversations.drain") == [channel.pk]
    assert breaker.due() == [channel.pk]
    assert ChannelLog.objects.filter(channel=channel, event="sending tried by hand").exists()


def test_strangers_may_not_try(client: Client, broker: Broker) -> None:
    channel = a_channel(kind="wappi")
    paused(channel)
    client.force_login(a_manager(is_superuser=False))
    Channel.objects.update(owner=a_manager())
    assert client.post(reverse("admin:channel_do", args=(channel.pk, "send"))).status_code == 404
    assert broker.waiting == []


def test_the_channel_list_asks_the_same_however_many_are_paused(client: Client, django_assert_max_num_queries: Any) -> None:
    client.force_login(manager := a_manager())
    for _ in range(12):
        paused(a_channel(kind="wappi", owner=manager))
    with django_assert_max_num_queries(22):
        client.get(reverse("admin:channels_channel_changelist"))


def test_a_long_pause_calls_a_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    channel = a_channel(kind="wappi", credentials={"token": "t"}, options={"profile_id": "p"})
    monkeypatch.setattr(WappiAdapter, "check", lambda self: Health(ok=True))
    found = paused(channel)
    assert not checks.check(channel.pk)
    channel.refresh_from_db()
    assert (channel.health, "no connection" in channel.health_detail) == (Channel.Health.TROUBLE, True)
    Channel.objects.update(health_changed_at=timezone.now() - timedelta(minutes=16))
    checks.check(channel.pk)
    channel.refresh_from_db()
    assert channel.health == Channel.Health.NEEDS_ATTENTION
    found.delete()
    assert checks.check(channel.pk)


def test_health_counts_the_paused_channels(client: Client) -> None:
    from config import health

    health.findings.forget()
    paused(a_channel(kind="wappi"))
    paused(a_channel(kind="wappi"), recovered_at=timezone.now())
    assert client.get("/health").json()["channels_sending_paused"] == 1
    health.findings.forget()


def test_the_api_says_how_sending_stands(client: Client, _clean_cache: None) -> None:
    client.force_login(manager := a_manager())
    paused(a_channel(kind="wappi", slug="one", owner=manager), retry_at=timezone.now() + timedelta(hours=30))
    a_channel(kind="wappi", slug="two", owner=manager)
    told = {row["slug"]: row["sending"] for row in client.get("/api/v1/channels/").json()["results"]}
    assert told["two"] == "" and told["one"].startswith("paused until")


def test_saving_the_form_leaves_leases_and_cursors_alone(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from channels import polling
    from channels.admin.channels import ChannelAdmin

    from .test_admin_channels import form

    client.force_login(manager := a_manager())
    channel = a_channel(kind="wappi", owner=manager, credentials={"token": "t"}, options={"profile_id": "p"})
    original = ChannelAdmin.save_model

    def a_poll_begins(self: Any, request: Any, obj: Channel, *rest: Any) -> None:
        assert polling._claim(obj.pk) is not None
        original(self, request, obj, *rest)

    monkeypatch.setattr(ChannelAdmin, "save_model", a_poll_begins)
    address = reverse("admin:channels_channel_change", args=(channel.pk,))
    response = client.post(address, form(name="Renamed", option_profile_id="p"))
    assert response.status_code == 302
    channel.refresh_from_db()
    assert channel.name == "Renamed" and channel.poll_token is not None
