"""Polling: one poller per channel, cursor and events in one transaction, a bad channel harms no other."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from channels import checks, inbox, polling
from channels.adapters.wappi import WappiAdapter
from channels.base import Health, PollResult, RawEvent
from channels.models import Channel, ChannelLog, InboundEvent
from conversations.models import Message
from foundation.errors import Retry, Unauthorized
from tests.conftest import Broker
from tests.sandbox.server import Fault, running
from tests.sandbox.wappi import FakeWappi
from tests.sandbox.wappi_rows import PROFILE, TOKEN

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def fake() -> Iterator[FakeWappi]:
    app = FakeWappi()
    with running(app):
        yield app


def channel(fake: FakeWappi | None = None, slug: str = "wa") -> Channel:
    return Channel.objects.create(
        name=slug, slug=slug, kind="wappi", company="Demo", hold=0, moderation=False, base_url=fake.base_url if fake else "",
        credentials={"token": TOKEN}, options={"profile_id": PROFILE},
    )  # fmt: skip


def test_what_customers_wrote_is_found_once(fake: FakeWappi, broker: Broker) -> None:
    wappi = channel(fake)
    fake.customer_writes("77011234567", "Здравствуйте", deliver="poll")
    fake.customer_writes("77017654321", "Добрый день", deliver="poll")
    assert polling.poll(wappi.pk) == 2
    assert polling.poll(wappi.pk) == 0
    fake.customer_writes("77011234567", "Сколько стоит?", deliver="poll")
    assert polling.poll(wappi.pk) == 1
    assert InboundEvent.objects.count() == 3


def test_only_chats_that_changed_are_read(fake: FakeWappi, broker: Broker) -> None:
    wappi = channel(fake)
    for number in range(5):
        fake.customer_writes(f"7701123456{number}", "Здравствуйте", deliver="poll")
    polling.poll(wappi.pk)
    before = fake.calls.get("/api/sync/messages/get", 0)
    fake.customer_writes("77011234560", "ещё", deliver="poll")
    polling.poll(wappi.pk)
    assert fake.calls["/api/sync/messages/get"] - before == 1


def test_one_poller_at_a_time(fake: FakeWappi, broker: Broker) -> None:
    wappi = channel(fake)
    assert polling._claim(wappi.pk) is not None
    assert polling._claim(wappi.pk) is None
    fake.customer_writes("77011234567", "Здравствуйте", deliver="poll")
    assert polling.poll(wappi.pk) == 0
    assert polling.poll_due() == 0


def test_the_cursor_stays_when_the_events_could_not_be_stored(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    wappi = channel()
    event = RawEvent("message:1", b"{}", lane="7701")
    monkeypatch.setattr(WappiAdapter, "poll", lambda self, cursor: PollResult([event], {"since": 5}))

    def broken(*args: Any) -> Any:
        raise RuntimeError("disk full")

    monkeypatch.setattr(inbox, "store", broken)
    with pytest.raises(RuntimeError):
        polling.poll(wappi.pk)
    wappi.refresh_from_db()
    assert wappi.cursor == {}
    assert not InboundEvent.objects.exists()


def test_a_poller_that_lost_its_lease_stores_nothing(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    wappi = channel()

    def slow(self: WappiAdapter, cursor: dict[str, Any]) -> PollResult:
        Channel.objects.filter(pk=wappi.pk).update(poll_token="00000000-0000-4000-8000-000000000001")
        return PollResult([RawEvent("message:1", b"{}")], {"since": 5})

    monkeypatch.setattr(WappiAdapter, "poll", slow)
    assert polling.poll(wappi.pk) == 0
    assert not InboundEvent.objects.exists()


def test_a_failing_channel_waits_longer_and_is_shown(fake: FakeWappi, broker: Broker) -> None:
    bad, good = channel(fake, "bad"), channel(fake, "good")
    for _ in range(polling.TROUBLE_AFTER):
        fake.faults.append(Fault(path="/chats/get", count=1, status=500))
        polling.poll(bad.pk)
        Channel.objects.filter(pk=bad.pk).update(next_poll_at=None)
    fake.faults.clear()
    fake.customer_writes("77011234567", "Здравствуйте", deliver="poll")
    assert polling.poll(good.pk) == 1
    bad.refresh_from_db()
    assert (bad.health, bad.poll_failures) == (Channel.Health.TROUBLE, polling.TROUBLE_AFTER)
    assert ChannelLog.objects.filter(channel=bad).exists()
    assert polling.poll(bad.pk) == 1
    bad.refresh_from_db()
    assert (bad.health, bad.poll_failures) == (Channel.Health.OK, 0)


def test_the_providers_own_delay_is_kept(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    wappi = channel()

    def busy(self: WappiAdapter, cursor: dict[str, Any]) -> PollResult:
        raise Retry("busy", after=60)

    monkeypatch.setattr(WappiAdapter, "poll", busy)
    polling.poll(wappi.pk)
    wappi.refresh_from_db()
    assert wappi.next_poll_at > timezone.now() + timedelta(seconds=50)
    assert polling.poll_due() == 0


def test_refused_credentials_call_a_manager(fake: FakeWappi, broker: Broker) -> None:
    wappi = channel(fake)
    fake.faults.append(Fault(path="/chats/get", count=1, status=401))
    polling.poll(wappi.pk)
    wappi.refresh_from_db()
    assert wappi.health == Channel.Health.NEEDS_ATTENTION


def test_due_channels_are_those_that_are_enabled_and_polled(fake: FakeWappi, broker: Broker) -> None:
    due = channel(fake, "due")
    Channel.objects.create(name="off", slug="off", kind="wappi", enabled=False, company="Demo")
    Channel.objects.create(name="site", slug="site", kind="widget", company="Demo")
    assert polling.poll_due() == 1
    assert broker.named("channels.poll") == [due.pk]


def test_what_was_polled_is_answered(fake: FakeWappi, broker: Broker) -> None:
    from sales.models import Assistant, Bot

    wappi = channel(fake)
    Bot.objects.create(channel=wappi, assistant=Assistant.objects.create(name="Aida", slug="aida"))
    fake.customer_writes("77011234567", "Здравствуйте", deliver="poll")
    polling.poll(wappi.pk)
    broker.run()
    [accepted] = fake.ledger
    assert str(accepted["recipient"]).startswith("77011234567")
    polling.poll(wappi.pk)
    broker.run()
    assert Message.objects.filter(direction="out").count() == 1
    assert len(fake.marked) == 1


@pytest.mark.parametrize(
    ("health", "expected"), [(Health(ok=True, own_number="77019990000"), "ok"), (Health(ok=False, detail="offline"), "trouble")]
)
def test_a_check_records_the_health(monkeypatch: pytest.MonkeyPatch, health: Health, expected: str) -> None:
    wappi = channel()
    monkeypatch.setattr(WappiAdapter, "check", lambda self: health)
    checks.check(wappi.pk)
    wappi.refresh_from_db()
    assert wappi.health == expected
    assert wappi.own_number == health.own_number


def test_trouble_that_lasts_calls_a_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    wappi = channel()
    monkeypatch.setattr(WappiAdapter, "check", lambda self: Health(ok=False, detail="connecting"))
    checks.check(wappi.pk)
    Channel.objects.update(health_changed_at=timezone.now() - timedelta(minutes=20))
    checks.check(wappi.pk)
    wappi.refresh_from_db()
    assert wappi.health == Channel.Health.NEEDS_ATTENTION


def test_refused_credentials_are_found_by_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    wappi = channel()

    def refused(self: WappiAdapter) -> Health:
        raise Unauthorized("refused", code="401")

    monkeypatch.setattr(WappiAdapter, "check", refused)
    assert not checks.check(wappi.pk)
    wappi.refresh_from_db()
    assert wappi.health == Channel.Health.NEEDS_ATTENTION


def test_checks_of_all_channels_are_tasks_of_their_own(broker: Broker) -> None:
    channel(slug="one")
    channel(slug="two")
    checks.check_all()
    assert len(broker.named("channels.check")) == 2
