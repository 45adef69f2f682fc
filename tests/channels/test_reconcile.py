"""What webhooks and polls missed is found in the provider's history, once, and answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from channels import checks, directory, polling, reconcile, symptoms
from channels.adapters import wappi as wappi_module
from channels.adapters.wappi import WappiAdapter
from channels.base import PollResult
from channels.models import Channel, ChannelLog, InboundEvent
from conversations.models import Message, Turn
from foundation.errors import Retry, Unauthorized
from sales.models import Assistant, Bot
from tests.conftest import Broker
from tests.sandbox.server import Fault, running
from tests.sandbox.wappi import FakeWappi
from tests.sandbox.wappi_rows import PROFILE, TOKEN

from .test_webhooks import as_bytes, path, post

pytestmark = pytest.mark.django_db(transaction=True)


class Posting(FakeWappi):
    """Posts its webhooks straight to our door."""

    def _deliver(self, url: str, body: dict[str, Any]) -> Future[None] | None:
        assert post(url, as_bytes(body)).status_code == 200
        return None


@pytest.fixture
def fake() -> Iterator[Posting]:
    app = Posting()
    with running(app):
        yield app


def channel(fake: FakeWappi | None = None, slug: str = "wa", **options: Any) -> Channel:
    made = Channel.objects.create(
        name=slug, slug=slug, kind="wappi", company="Demo", hold=0, moderation=False, base_url=fake.base_url if fake else "",
        credentials={"token": TOKEN}, options={"profile_id": PROFILE, **options}, own_number="77019990000",
    )  # fmt: skip
    Channel.objects.filter(pk=made.pk).update(created_at=timezone.now() - timedelta(days=2))
    return made


def again(wappi: Channel) -> int:
    """The look back of two minutes later."""
    Channel.objects.filter(pk=wappi.pk).update(next_reconcile_at=None)
    return reconcile.reconcile(wappi.pk)


def seen(wappi: Channel) -> set[str]:
    return {event.removeprefix("message:") for event in wappi.events.values_list("external_id", flat=True)}


def test_a_provider_that_drops_webhooks_and_lists_messages_late_loses_nothing(fake: Posting, broker: Broker) -> None:
    wappi = channel(fake, polling=False)
    Bot.objects.create(channel=wappi, assistant=Assistant.objects.create(name="Aida", slug="aida"))
    profile = fake.profiles[PROFILE]
    profile.webhook_url, profile.drop_share = path(wappi), 0.05
    for number in range(200):
        fake.customer_writes(f"770112345{number % 50:02}", f"Здравствуйте {number}", name="Demo")
    late = [
        fake.customer_writes(
            f"770188800{n:02}", "давно", deliver="none", time=time.time() - 600, listed_at=time.time() + 3600, name="Demo"
        )
        for n in range(5)
    ]
    hidden = fake.customer_writes("77011234500", "поздно", deliver="none", time=time.time() - 300, listed_at=time.time() + 3600)
    assert 3 <= len(fake.dropped) <= 25
    assert reconcile.reconcile(wappi.pk) == len(fake.dropped)
    assert seen(wappi) == set(fake.messages) - {*late, hidden}
    for one in (*late, hidden):
        fake.messages[one].listed_at = 0
    assert again(wappi) == 6
    assert again(wappi) == 0
    assert seen(wappi) == set(fake.messages)
    broker.run(limit=3000)
    assert Message.objects.filter(direction="in").count() == 206
    assert not Message.objects.filter(direction="in", turn=None).exists()
    assert set(Turn.objects.values_list("stage", flat=True)) == {"done"}
    assert fake.marked_all == 0


def test_a_poll_misses_what_is_listed_late_and_the_look_back_finds_it(fake: Posting, broker: Broker) -> None:
    wappi = channel(fake)
    fake.customer_writes("77011234567", "первое", deliver="poll")
    late = fake.customer_writes("77011234567", "между", deliver="poll", time=time.time() - 400, listed_at=time.time() + 3600)
    assert polling.poll(wappi.pk) == 1
    fake.messages[late].listed_at = 0
    assert polling.poll(wappi.pk) == 0
    assert reconcile.reconcile(wappi.pk) == 1
    assert InboundEvent.objects.get(source="history").external_id == f"message:{late}"
    assert ChannelLog.objects.filter(channel=wappi, event="found in the history").exists()


def test_after_an_outage_it_looks_back_to_the_last_whole_look(fake: Posting, broker: Broker) -> None:
    wappi = channel(fake)
    old = fake.customer_writes("77011234567", "два часа назад", deliver="none", time=time.time() - 7200)
    assert reconcile.reconcile(wappi.pk) == 0
    Channel.objects.update(reconciled_at=timezone.now() - timedelta(hours=3))
    assert again(wappi) == 1
    assert seen(wappi) == {old}
    Channel.objects.update(reconciled_at=timezone.now() - timedelta(days=30))
    assert again(wappi) == 0


def test_nothing_is_read_from_before_the_channel_existed(fake: Posting, broker: Broker) -> None:
    wappi = channel(fake)
    Channel.objects.update(created_at=timezone.now() - timedelta(minutes=2))
    fake.customer_writes("77011234567", "раньше", deliver="none", time=time.time() - 600)
    assert reconcile.reconcile(wappi.pk) == 0


def test_a_long_look_back_goes_on_where_it_stopped(
    fake: Posting, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    wappi = channel(fake)
    for number in range(6):
        fake.customer_writes(f"7701123456{number}", "Здравствуйте", deliver="none", time=time.time() - 60 + number)
    monkeypatch.setattr(wappi_module, "LOOK_BACK_BUDGET", 0.0)
    found = 0
    for _ in range(6):
        wappi.refresh_from_db()
        assert wappi.reconciled_at is None
        found += reconcile.reconcile(wappi.pk)
    wappi.refresh_from_db()
    assert (found, wappi.reconcile_state) == (6, None)
    assert wappi.reconciled_at is not None
    assert fake.calls["/api/sync/messages/get"] == 6


def test_a_chat_that_cannot_be_read_holds_a_look_back_up_for_some_minutes_only(fake: Posting, broker: Broker) -> None:
    wappi = channel(fake)
    for number in range(2):
        fake.customer_writes(f"7701123456{number}", "Здравствуйте", deliver="none")
    fake.crossed = {"77011234560@c.us": "77011234561@c.us"}
    assert reconcile.reconcile(wappi.pk) == 2
    wappi.refresh_from_db()
    assert wappi.reconciled_at is None and wappi.reconcile_state is not None
    state = {**wappi.reconcile_state, "began": time.time() - reconcile.LONGEST - 1}
    Channel.objects.filter(pk=wappi.pk).update(reconcile_state=state)
    fake.crossed = {}
    again(wappi)
    wappi.refresh_from_db()
    assert wappi.reconciled_at is not None and wappi.reconciled_at > timezone.now() - timedelta(minutes=1)


def test_failures_leave_the_look_back_due(fake: Posting, broker: Broker) -> None:
    wappi = channel(fake)
    fake.faults.append(Fault(path="/chats/get", count=1, status=429, headers={"Retry-After": "600"}))
    assert reconcile.reconcile(wappi.pk) == 0
    wappi.refresh_from_db()
    assert wappi.reconciled_at is None and wappi.poll_leased_until is None
    assert wappi.next_reconcile_at > timezone.now() + timedelta(minutes=9)


def test_refused_credentials_call_a_manager(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    wappi = channel()

    def refused(self: WappiAdapter, since: Any, cursor: Any) -> PollResult:
        raise Unauthorized("refused", code="401")

    monkeypatch.setattr(WappiAdapter, "look_back", refused)
    reconcile.reconcile(wappi.pk)
    wappi.refresh_from_db()
    assert wappi.health == Channel.Health.NEEDS_ATTENTION


# ── Once, and never across ───────────────────────────────────────────────────────────────────────────────────────────


def in_thread(function: Any, *args: Any) -> Any:
    try:
        return function(*args)
    finally:
        connection.close()


def both_at_once(function: Any, *args: Any, times: int = 8) -> list[Any]:
    ready = threading.Barrier(times)

    def run() -> Any:
        ready.wait()
        return in_thread(function, *args)

    with ThreadPoolExecutor(times) as threads:
        return [job.result() for job in [threads.submit(run) for _ in range(times)]]


def test_two_beats_ask_for_one_poll_and_one_look_back(broker: Broker) -> None:
    wappi = channel()
    both_at_once(polling.poll_due)
    assert broker.named("channels.poll") == [wappi.pk]
    Channel.objects.update(poll_asked_at=timezone.now() - timedelta(seconds=10))
    assert polling.poll_due() == 1
    assert reconcile.reconcile_due() == 1


def test_a_channel_that_lives_by_its_webhook_is_not_polled(broker: Broker) -> None:
    channel(slug="quiet", polling=False)
    polled = channel(slug="polled", polling=True)
    assert polling.poll_due() == 1
    assert broker.named("channels.poll") == [polled.pk]
    assert reconcile.reconcile_due() == 2


def test_polls_and_looks_back_of_a_channel_never_cross(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    wappi = channel()
    reading, most, calls = [0], [0], []
    lock = threading.Lock()

    def slow(name: str) -> PollResult:
        with lock:
            reading[0] += 1
            most[0] = max(most[0], reading[0])
            calls.append(name)
        time.sleep(0.3)
        with lock:
            reading[0] -= 1
        return PollResult([], {})

    monkeypatch.setattr(WappiAdapter, "poll", lambda self, cursor: slow("poll"))
    monkeypatch.setattr(WappiAdapter, "look_back", lambda self, since, cursor: slow("look back"))
    directory.forget()
    with ThreadPoolExecutor(8) as threads:
        jobs = [threads.submit(in_thread, (polling.poll, reconcile.reconcile)[n % 2], wappi.pk) for n in range(8)]
        for job in jobs:
            job.result()
    assert most == [1]
    assert len(calls) == 1
    Channel.objects.update(next_reconcile_at=None)
    assert both_at_once(reconcile.reconcile, wappi.pk) == [0] * 8
    assert reconcile.reconcile(wappi.pk) == 0
    assert calls.count("look back") in (1, 2) and most == [1]


def test_a_lost_lease_stores_nothing(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    wappi = channel()

    def slow(self: WappiAdapter, since: Any, cursor: Any) -> PollResult:
        from channels.base import RawEvent

        Channel.objects.filter(pk=wappi.pk).update(poll_token="00000000-0000-4000-8000-000000000001")
        return PollResult([RawEvent("message:1", b"{}")], {})

    monkeypatch.setattr(WappiAdapter, "look_back", slow)
    assert reconcile.reconcile(wappi.pk) == 0
    assert not InboundEvent.objects.exists()


# ── Connected but silent ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def _counted() -> Iterator[None]:
    symptoms._usually.forget()
    yield
    symptoms._usually.forget()


def traffic(wappi: Channel, ages: list[timedelta], source: str = "webhook") -> None:
    made = InboundEvent.objects.bulk_create(
        InboundEvent(
            channel=wappi, external_id=f"message:{source}{n}", lane="chat", source=source, payload=b"{}", state="processed"
        )
        for n, _age in enumerate(ages)
    )
    for event, age in zip(made, ages, strict=True):
        InboundEvent.objects.filter(pk=event.pk).update(received_at=timezone.now() - age)


def usual(wappi: Channel, days: Any, each: int = 6) -> None:
    """So many messages at this time of each of these days before."""
    traffic(wappi, [timedelta(days=day, minutes=15 * n + 1) for day in days for n in range(each)])


def checked(wappi: Channel) -> Channel:
    symptoms._usually.forget()
    checks.check(wappi.pk)
    wappi.refresh_from_db()
    return wappi


@pytest.fixture
def connected(fake: Posting, _counted: None) -> Channel:
    wappi = channel(fake)
    Channel.objects.update(last_event_at=timezone.now() - timedelta(hours=5))
    return wappi


def test_silence_at_a_busy_time_raises_an_alarm_that_ends_with_it(connected: Channel) -> None:
    usual(connected, range(1, 15))
    assert checked(connected).health == Channel.Health.TROUBLE
    assert connected.health_detail
    Channel.objects.update(health_changed_at=timezone.now() - timedelta(minutes=20))
    assert checked(connected).health == Channel.Health.NEEDS_ATTENTION
    Channel.objects.update(last_event_at=timezone.now())
    assert checked(connected).health == Channel.Health.OK


def test_the_alarm_stays_on_while_it_lasts(connected: Channel) -> None:
    usual(connected, range(1, 15))
    checked(connected)
    Channel.objects.update(health_changed_at=timezone.now() - timedelta(minutes=20))
    for _ in range(3):
        assert checked(connected).health == Channel.Health.NEEDS_ATTENTION
    assert ChannelLog.objects.filter(event="health: needs_attention").count() == 1


@pytest.mark.parametrize(
    ("days", "each"),
    [
        (range(1, 15), 1),  # a quiet hour of every day
        (range(1, 6), 6),  # a new channel
        ([day for day in range(1, 15) if day not in (7, 14)], 6),  # a day off
        ([], 0),
    ],
    ids=["quiet nights", "new", "day off", "no traffic"],
)
def test_quiet_times_raise_none(connected: Channel, days: Any, each: int) -> None:
    usual(connected, days, each)
    assert checked(connected).health == Channel.Health.OK


def test_a_channel_that_was_just_heard_is_not_silent(connected: Channel) -> None:
    usual(connected, range(1, 15))
    Channel.objects.update(last_event_at=timezone.now() - timedelta(hours=1))
    assert checked(connected).health == Channel.Health.OK


def test_a_webhook_that_does_not_arrive_is_noticed_while_customers_are_answered(
    fake: Posting, broker: Broker, _counted: None
) -> None:
    wappi = channel(fake, polling=False)
    Bot.objects.create(channel=wappi, assistant=Assistant.objects.create(name="Aida", slug="aida"))
    for number in range(3):
        fake.customer_writes(f"7701123456{number}", "Здравствуйте", deliver="none", name="Demo")
    assert reconcile.reconcile(wappi.pk) == 3
    broker.run()
    assert len(fake.ledger) == 3
    assert checked(wappi).health == Channel.Health.TROUBLE
    assert wappi.health_detail
    InboundEvent.objects.update(received_at=timezone.now() - timedelta(hours=2))
    assert checked(wappi).health == Channel.Health.OK


def test_a_few_dropped_webhooks_raise_no_alarm(connected: Channel) -> None:
    Channel.objects.update(last_event_at=timezone.now())
    traffic(connected, [timedelta(minutes=5)] * 5, "history")
    traffic(connected, [timedelta(minutes=5)] * 60)
    assert checked(connected).health == Channel.Health.OK


def test_polls_that_fail_show_though_the_connection_is_well(connected: Channel) -> None:
    Channel.objects.update(poll_failures=polling.TROUBLE_AFTER)
    assert checked(connected).health == Channel.Health.TROUBLE


def test_the_retry_of_a_look_back_is_a_matter_of_the_provider(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    wappi = channel()

    def away(self: WappiAdapter, since: Any, cursor: Any) -> PollResult:
        raise Retry("away")

    monkeypatch.setattr(WappiAdapter, "look_back", away)
    reconcile.reconcile(wappi.pk)
    wappi.refresh_from_db()
    left = (wappi.next_reconcile_at - timezone.now()).total_seconds()
    assert 100 < left <= reconcile.INTERVAL
