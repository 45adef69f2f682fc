"""A channel that cannot send: few attempts, nothing lost, no other channel slowed, and an orderly return."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from channels import breaker, control, directory
from channels.models import ChannelBreaker, ChannelLog
from conversations import draining, outbox, outbox_sweep, takeover
from conversations.drafts import Draft
from conversations.models import Message
from foundation.errors import RecipientBusy, Rejected, Retry, Unauthorized, Unconfirmed
from tests.conftest import Broker

from .backlog import Provider, a_wappi, breaker_of, pass_time, provider_for, seconds_until, states, waiting

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch, broker: Broker) -> Provider:
    return provider_for(monkeypatch)


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the drainer would have waited."""
    pauses: list[float] = []
    monkeypatch.setattr(draining, "sleep", pauses.append)
    return pauses


def down(provider: Provider, *slugs: str, error: Exception | None = None) -> None:
    provider.dead, provider.error = set(slugs), error or Retry("no connection", code="connect")


# ── Closing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_dead_channel_is_asked_a_few_times_only(provider: Provider, broker: Broker) -> None:
    channel = a_wappi()
    waiting(channel, 100)
    down(provider, "wa")
    broker.run(limit=500)
    assert len(provider.calls) == breaker.OPENS_AFTER
    assert states(channel) == {"queued": 100}
    tried = Message.objects.filter(attempts__gt=0)
    assert tried.count() == breaker.OPENS_AFTER
    found = breaker_of(channel)
    assert found is not None and found.failures == breaker.OPENS_AFTER and found.reason == "no connection"
    assert ChannelLog.objects.filter(channel=channel, event="sending paused").count() == 1


def test_the_sweeper_makes_no_churn_of_a_paused_backlog(provider: Provider, broker: Broker) -> None:
    channel = a_wappi()
    waiting(channel, 50)
    down(provider, "wa", error=Retry("busy", after=600))
    broker.run()
    broker.lose()
    Message.objects.update(next_attempt_at=timezone.now() - timedelta(minutes=1))
    outbox_sweep.sweep()
    draining.wake()
    assert broker.waiting == []
    pass_time(channel, 700)
    for _ in range(2):
        outbox_sweep.sweep()
        draining.wake()
    assert {hint[:2] for hint in broker.waiting} == {("conversations.drain", channel.pk)}


def test_a_delay_that_the_provider_names_pauses_the_channel_at_once(provider: Provider, broker: Broker) -> None:
    channel = a_wappi()
    waiting(channel, 10)
    down(provider, "wa", error=Retry("busy", code="429", after=120))
    broker.run()
    assert len(provider.calls) == 1
    found = breaker_of(channel)
    assert found is not None and found.retry_at is not None and 110 < seconds_until(found.retry_at) <= 120
    assert draining.drain(channel.pk) == 0
    assert len(provider.calls) == 1


def test_lost_answers_pause_as_well(provider: Provider, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    channel = a_wappi()
    waiting(channel, 30)
    down(provider, "wa", error=Unconfirmed("no answer in time"))
    broker.run(skip=("conversations.confirm",), limit=500)
    assert len(provider.calls) <= breaker.OPENS_AFTER + 1
    assert states(channel)["queued"] >= 24


def test_recipients_who_have_had_too_much_pause_nobody_else(provider: Provider, broker: Broker, slept: list[float]) -> None:
    channel = a_wappi()
    conversations = waiting(channel, 12)
    down(provider, "wa", error=RecipientBusy("too many messages to this customer", code="131056"))
    assert [outbox.deliver(conversation.pk) for conversation in conversations] == [0] * 12
    assert len(provider.calls) == 12 and states(channel) == {"queued": 12}
    assert breaker_of(channel) is None

    breaker.failed(channel.pk, Retry("busy", after=5))
    pass_time(channel, 70)
    assert draining.drain(channel.pk) == 0
    assert len(provider.calls) == 24, "one who is busy says nothing of the next"
    found = breaker_of(channel)
    assert found is not None and found.opened_at is None, "and nothing of the channel"


def test_refusals_of_single_messages_pause_nothing(provider: Provider, broker: Broker) -> None:
    channel = a_wappi()
    waiting(channel, 12)
    down(provider, "wa", error=Rejected("no such number"))
    broker.run()
    assert states(channel) == {"failed": 12}
    assert breaker_of(channel) is None


def test_a_refused_account_keeps_its_messages_until_it_is_repaired(provider: Provider, broker: Broker) -> None:
    channel = a_wappi()
    waiting(channel, 12)
    down(provider, "wa", error=Unauthorized("unpaid", code="402"))
    broker.run()
    channel.refresh_from_db()
    assert (channel.health, states(channel)) == ("needs_attention", {"queued": 12})
    provider.dead = set()
    pass_time(channel, 100)
    draining.wake()
    broker.run()
    assert states(channel) == {"sent": 12}


def test_single_failures_between_successes_pause_nothing(provider: Provider, broker: Broker) -> None:
    channel = a_wappi()
    for conversation in waiting(channel, 20):
        down(provider, "wa", error=Retry("hiccup"))
        outbox.deliver(conversation.pk)
        provider.dead = set()
        pass_time(channel, 10)
        outbox.deliver(conversation.pk)
    assert states(channel) == {"sent": 20}
    assert breaker_of(channel) is None


def test_a_healthy_channel_pays_nothing(provider: Provider, broker: Broker) -> None:
    [conversation] = waiting(a_wappi(), 1)
    with CaptureQueriesContext(connection) as told:
        assert outbox.deliver(conversation.pk) == 1
    naming = [query["sql"] for query in told.captured_queries if "channelbreaker" in query["sql"]]
    assert len(naming) == 2 and all("SET state = 'sending'" in sql for sql in naming)


# ── Coming back ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_one_message_probes_and_a_failure_lengthens_the_pause(provider: Provider, broker: Broker) -> None:
    channel = a_wappi()
    waiting(channel, 30)
    down(provider, "wa")
    broker.run(limit=500)
    pauses = []
    for seconds in (12, 25, 40, 65):
        before = len(provider.calls)
        pass_time(channel, seconds)
        assert draining.drain(channel.pk) == 0
        assert len(provider.calls) == before + 1
        found = breaker_of(channel)
        assert found is not None and found.retry_at is not None and found.recovered_at is None
        pauses.append(seconds_until(found.retry_at))
    assert [round(pause) for pause in pauses] == [12, 37, 60, 60]
    assert states(channel) == {"queued": 30}


def test_the_backlog_leaves_in_order_at_the_providers_rate(
    provider: Provider, broker: Broker, slept: list[float]
) -> None:
    channel = a_wappi(sends_per_second=4)
    waiting(channel, 20, each=2)
    down(provider, "wa")
    broker.run(limit=500)
    provider.dead = set()
    pass_time(channel, 100)
    draining.wake()
    broker.run()
    assert states(channel) == {"sent": 40}
    # A pause is what is left of a quarter of a second after the send before it, which takes longer on a busy machine.
    assert len(slept) == 40 and all(0 < pause <= 0.25 for pause in slept) and max(slept) > 0.2
    for number in range(20):
        assert [text for text in provider.texts("wa") if text.startswith(f"{number}.")] == [f"{number}.0", f"{number}.1"]
    assert breaker_of(channel) is None
    assert [line.event for line in ChannelLog.objects.order_by("at")] == ["sending paused", "sending again"]


def test_the_rate_is_kept_by_the_clock(provider: Provider, broker: Broker) -> None:
    channel = a_wappi(sends_per_second=20)
    waiting(channel, 12)
    down(provider, "wa", error=Retry("busy", after=60))
    broker.run()
    provider.dead = set()
    pass_time(channel, 100)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _n: in_thread(draining.drain, channel.pk), range(4)))
    times = [at for _slug, _text, at in provider.accepted]
    assert len(times) == 12
    assert times[-1] - times[0] > 11 * 0.045
    assert min(after - before for before, after in pairwise(times)) > 0.03


def in_thread(function: Any, *args: Any) -> Any:
    try:
        return function(*args)
    finally:
        connection.close()


def test_what_is_written_meanwhile_waits_its_turn(provider: Provider, broker: Broker) -> None:
    channel = a_wappi()
    [first] = waiting(channel, 1)
    down(provider, "wa", error=Retry("busy", after=60))
    broker.run()
    provider.dead = set()
    first.refresh_from_db()
    outbox.queue(first, channel.pk, Draft("later"), author="manager")
    assert outbox.deliver(first.pk) == 0
    assert provider.accepted == []
    pass_time(channel, 100)
    draining.wake()
    broker.run()
    assert provider.texts("wa") == ["0.0", "later"]


def test_a_relapse_pauses_again(provider: Provider, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    channel = a_wappi()
    waiting(channel, 30)
    down(provider, "wa")
    broker.run(limit=500)
    pass_time(channel, 100)
    provider.dead, left = set(), 3
    original = provider.send

    def failing_after_three(adapter: Any, message: Any) -> Any:
        provider.dead = {"wa"} if len(provider.accepted) >= left else set()
        return original(adapter, message)

    monkeypatch.setattr(provider, "send", failing_after_three)
    assert draining.drain(channel.pk) == 3
    assert len(provider.calls) == breaker.OPENS_AFTER + 3 + breaker.RELAPSES_AFTER
    found = breaker_of(channel)
    assert found is not None and found.recovered_at is None and found.lease_token is None
    assert states(channel) == {"sent": 3, "queued": 27}


def test_a_message_that_nobody_takes_does_not_stand_before_all_others(
    provider: Provider, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = a_wappi()
    waiting(channel, 15)
    original = provider.send

    def picky(adapter: Any, message: Any) -> Any:
        if message.text == "0.0":
            provider.calls.append(("wa", message.text, 0))
            raise Retry("not this one")
        return original(adapter, message)

    down(provider, "wa")
    broker.run(limit=500)
    provider.dead = set()
    monkeypatch.setattr(provider, "send", picky)
    pass_time(channel, 100)
    draining.wake()
    broker.run(limit=30)
    assert states(channel) == {"sent": 14, "queued": 1}


def test_a_takeover_during_the_pause_withdraws_what_the_assistant_wrote(
    provider: Provider, broker: Broker, admin_user: Any
) -> None:
    channel = a_wappi()
    [conversation] = waiting(channel, 1)
    conversation.refresh_from_db()
    outbox.queue(conversation, channel.pk, Draft("by the assistant"), author="bot")
    down(provider, "wa", error=Retry("busy", after=60))
    broker.run()
    takeover.take_over(conversation.pk, user=admin_user)
    provider.dead = set()
    pass_time(channel, 100)
    draining.wake()
    broker.run()
    assert provider.texts("wa") == ["0.0"]
    assert states(channel) == {"sent": 1, "suppressed": 1}


def test_a_drainer_that_dies_is_replaced(provider: Provider, broker: Broker) -> None:
    channel = a_wappi()
    waiting(channel, 3)
    down(provider, "wa", error=Retry("busy", after=60))
    broker.run()
    provider.dead = set()
    pass_time(channel, 100)
    assert breaker.enter(channel.pk) is not None
    assert draining.drain(channel.pk) == 0
    assert breaker.due() == []
    ChannelBreaker.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
    assert breaker.due() == [channel.pk]
    assert draining.drain(channel.pk) == 3


def test_a_worker_lets_others_have_their_turn(provider: Provider, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    channel = a_wappi()
    waiting(channel, 5)
    down(provider, "wa", error=Retry("busy", after=60))
    broker.run()
    broker.lose()
    provider.dead = set()
    pass_time(channel, 100)
    monkeypatch.setattr(draining, "BUDGET", 0.0)
    assert draining.drain(channel.pk) == 1
    assert broker.named("conversations.drain") == [channel.pk]
    broker.run()
    assert states(channel) == {"sent": 5}


def test_only_so_many_channels_recover_at_once(provider: Provider, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    channels = [a_wappi(f"wa{n}") for n in range(4)]
    for channel in channels:
        waiting(channel, 1)
    down(provider, *(channel.slug for channel in channels), error=Retry("busy", after=60))
    broker.run()
    for channel in channels:
        pass_time(channel, 100)
    monkeypatch.setattr(breaker, "MOST_DRAINING", 3)
    assert breaker.enter(channels[0].pk) is not None
    assert breaker.due() == [channels[1].pk, channels[2].pk]


def test_a_quiet_channel_is_not_paused_for_ever(provider: Provider, broker: Broker) -> None:
    channel = a_wappi()
    waiting(channel, 1)
    down(provider, "wa", error=Retry("busy", after=60))
    broker.run()
    Message.objects.update(state="suppressed")
    pass_time(channel, 100)
    assert draining.drain(channel.pk) == 0
    found = breaker_of(channel)
    assert found is not None and found.opened_at is None
    [conversation] = waiting(a_wappi("other"), 1)
    assert outbox.deliver(conversation.pk) == 1


def test_a_manager_need_not_wait(provider: Provider, broker: Broker, admin_user: Any) -> None:
    channel = a_wappi()
    waiting(channel, 3)
    down(provider, "wa", error=Retry("busy", after=3000))
    broker.run()
    provider.dead = set()
    assert control.try_now(channel.pk, user=admin_user)
    broker.run()
    assert states(channel) == {"sent": 3}
    assert not control.try_now(channel.pk, user=admin_user)


def test_what_waited_too_long_is_shown_to_a_manager(provider: Provider, broker: Broker) -> None:
    channel = a_wappi()
    [old, young] = waiting(channel, 2)
    down(provider, "wa", error=Retry("busy", after=600))
    broker.run()
    Message.objects.filter(conversation=old).update(created_at=timezone.now() - outbox.GIVE_UP_AFTER - timedelta(minutes=1))
    outbox_sweep.sweep()
    assert Message.objects.get(conversation=old).state == Message.State.FAILED
    assert Message.objects.get(conversation=old).error == "busy"
    assert Message.objects.get(conversation=young).state == Message.State.QUEUED
    old.refresh_from_db()
    assert old.needs_attention


# ── Bulkhead ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_half_of_the_threads_at_most() -> None:
    procfile = (Path(__file__).parent.parent.parent / "Procfile").read_text()
    [line] = [line for line in procfile.splitlines() if "outgoing_messages" in line]
    assert int(line.split(" -c ")[1].split()[0]) >= 2 * outbox.MOST_PER_CHANNEL


def test_a_channel_that_hangs_slows_no_other(provider: Provider, broker: Broker) -> None:
    hanging, well = a_wappi("hanging"), a_wappi("well")
    stuck = waiting(hanging, 40)
    free = waiting(well, 10)
    provider.gate = threading.Event()
    down(provider, "hanging", error=Unconfirmed("no answer in time"))
    with ThreadPoolExecutor(16) as threads:
        jobs = [threads.submit(in_thread, outbox.deliver, one.pk) for one in [*stuck[:30], *free, *stuck[30:]]]
        until = time.monotonic() + 10
        while len(provider.texts("well")) < 10 and time.monotonic() < until:
            time.sleep(0.05)
        assert len(provider.texts("well")) == 10
        while sum(not job.done() for job in jobs) > outbox.MOST_PER_CHANNEL and time.monotonic() < until:
            time.sleep(0.05)
        assert sum(slug == "hanging" for slug, _text, _at in provider.calls) == outbox.MOST_PER_CHANNEL
        assert states(hanging) == {"sending": outbox.MOST_PER_CHANNEL, "queued": 40 - outbox.MOST_PER_CHANNEL}
        provider.gate.set()
        for job in jobs:
            job.result(20)
    tried = sum(slug == "hanging" for slug, _text, _at in provider.calls)
    assert tried < outbox.MOST_PER_CHANNEL + breaker.OPENS_AFTER
    assert Message.objects.filter(channel=hanging, state="queued", attempts=0).count() == 40 - tried
    assert outbox.bulkhead._busy == {} and not any(outbox.bulkhead._waiting.values())


def test_what_found_no_place_goes_on_with_the_thread_that_is_done(provider: Provider, broker: Broker) -> None:
    channel = a_wappi("slow")
    conversations = waiting(channel, 40)
    provider.gate = threading.Event()
    provider.dead = {"slow"}  # without an error: slow, and then well
    with ThreadPoolExecutor(16) as threads:
        jobs = [threads.submit(in_thread, outbox.deliver, one.pk) for one in conversations]
        time.sleep(0.5)
        provider.gate.set()
        for job in jobs:
            job.result(20)
    assert states(channel) == {"sent": 40}
    assert set(Message.objects.values_list("attempts", flat=True)) == {1}


# ── Lost answers ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_history_that_cannot_be_read_is_asked_again_after_the_outage(
    provider: Provider, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    from channels.adapters.wappi import WappiAdapter
    from channels.base import SentRecord

    channel = a_wappi()
    [conversation] = waiting(channel, 1)
    down(provider, "wa", error=Unconfirmed("no answer in time"))
    asked: list[str] = []

    def history(self: WappiAdapter, to: str, since: Any) -> list[SentRecord]:
        asked.append(to)
        if provider.dead:
            raise Retry("away")
        return [SentRecord("3EB0FOUND", "0.0", timezone.now())]

    monkeypatch.setattr(WappiAdapter, "sent_since", history)
    directory.forget()
    outbox.deliver(conversation.pk)
    broker.run()
    assert len(asked) == 1
    an_hour_ago = timezone.now() - timedelta(hours=1)
    Message.objects.update(state_changed_at=an_hour_ago, next_attempt_at=an_hour_ago)
    ChannelBreaker.objects.filter(channel=channel).update(opened_at=an_hour_ago)
    outbox_sweep.sweep()
    assert broker.named("conversations.confirm") == []
    ChannelBreaker.objects.all().delete()
    provider.dead = set()
    outbox_sweep.sweep()
    broker.run()
    message = Message.objects.get()
    assert (message.state, message.external_id) == (Message.State.SENT, "3EB0FOUND")


def test_a_history_that_was_read_in_vain_is_left_alone(
    provider: Provider, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    from channels.adapters.wappi import WappiAdapter

    monkeypatch.setattr(WappiAdapter, "sent_since", lambda self, to, since: [])
    [conversation] = waiting(a_wappi(), 1)
    down(provider, "wa", error=Unconfirmed("no answer in time"))
    outbox.deliver(conversation.pk)
    broker.run()
    past = timezone.now() - timedelta(minutes=5)
    Message.objects.update(state_changed_at=past, next_attempt_at=past)
    outbox_sweep.sweep()
    assert len(broker.named("conversations.confirm")) == 1
    broker.run()
    Message.objects.update(state_changed_at=timezone.now() - timedelta(hours=5, minutes=59))
    outbox_sweep.sweep()
    assert broker.waiting == []


def test_waiting_for_a_history_holds_few_threads(
    provider: Provider, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    from channels.adapters.wappi import WappiAdapter
    from conversations import evidence

    reading, release = [], threading.Event()

    def slow(self: WappiAdapter, to: str, since: Any) -> list[Any]:
        reading.append(to)
        release.wait(10)
        return []

    monkeypatch.setattr(WappiAdapter, "sent_since", slow)
    waiting(a_wappi(), 8)
    Message.objects.update(state="unconfirmed")
    with ThreadPoolExecutor(8) as threads:
        jobs = [threads.submit(in_thread, evidence.confirm, message.pk) for message in Message.objects.all()]
        until = time.monotonic() + 10
        while sum(job.done() for job in jobs) < 6 and time.monotonic() < until:
            time.sleep(0.05)
        assert len(reading) == evidence.MOST_PER_CHANNEL
        release.set()
        for job in jobs:
            job.result(10)
    assert Message.objects.filter(next_attempt_at__gt=timezone.now()).count() == 8
