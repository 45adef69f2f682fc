"""An event that always fails must not hold up for ever what was said after it."""

from __future__ import annotations

from typing import Any

import pytest

from channels.models import InboundEvent
from conversations.models import Message
from conversations.tasks import sweep
from foundation.db import execute
from tests.conftest import Broker, Company


def minutes_pass(broker: Broker) -> None:
    """Leases run out, retries fall due, the sweeper looks."""
    execute(
        """
        UPDATE channels_inboundevent
        SET received_at = received_at - interval '5 minutes', next_attempt_at = next_attempt_at - interval '5 minutes',
            leased_until = leased_until - interval '5 minutes'
        """,
        {},
    )
    sweep()
    broker.run()


def heard() -> list[str]:
    return [message.text for message in Message.objects.filter(direction="in").order_by("seq")]


def test_an_event_that_cannot_be_opened_waits_for_a_person_and_its_lane_goes_on(
    company: Company, broker: Broker, settings: Any
) -> None:
    (first,) = company.says("one")
    execute("UPDATE channels_inboundevent SET payload = %(payload)s WHERE id = %(id)s", {"id": first, "payload": b"\0poison"})
    company.says("two")
    broker.run()
    for _ in range(settings.MAX_RETRIES + 1):
        minutes_pass(broker)
    event = InboundEvent.objects.defer("payload").get(pk=first)
    assert (event.state, event.reason, event.attempts) == ("failed", "CannotOpen", settings.MAX_RETRIES)
    assert heard() == ["two"]


def test_an_event_that_ends_its_workers_waits_for_a_person_and_its_lane_goes_on(
    company: Company, broker: Broker, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = company.says("one")
    company.says("two")
    with monkeypatch.context() as patched:
        # Killed between claim and commit: the claim stays until its lease runs out.
        patched.setattr("conversations.receive._process_claimed", lambda claimed: False)
        broker.run()
        for _ in range(settings.MAX_RETRIES):
            minutes_pass(broker)
    assert InboundEvent.objects.get(pk=first).state == "new"
    for _ in range(2):
        minutes_pass(broker)
    assert InboundEvent.objects.get(pk=first).state == "failed"
    assert heard() == ["two"]
