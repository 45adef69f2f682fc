"""Budgets of unasked messages on unofficial gateways: counted, kept, and seen by managers."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client
from django.urls import reverse

from channels import pacing
from channels.models import Channel, SendBudget
from channels.registry import adapter_class
from tests.conversations.rows import a_channel, english  # noqa: F401

pytestmark = pytest.mark.django_db
ALMATY = ZoneInfo("Asia/Almaty")
NOON = datetime(2027, 6, 7, 12, 0, tzinfo=ALMATY)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def number(**limits: int) -> Channel:
    options = {"profile_id": "p", "pacing": {"seconds_between": 0, **limits}}
    return a_channel(kind="wappi", credentials={"token": "t"}, options=options)


def test_only_unofficial_gateways_are_slowed() -> None:
    assert {kind for kind in Channel.Kind.values if adapter_class(kind).capabilities.fragile} == {"wappi", "waha"}
    site = a_channel()
    assert pacing.take(site, at=NOON) is None
    assert pacing.used(site, NOON) == []
    assert not SendBudget.objects.exists()


def test_an_hours_budget_is_kept_and_the_next_hour_is_another() -> None:
    channel = number(per_hour=3)
    assert [pacing.take(channel, at=NOON + n * MINUTE) for n in range(3)] == [None] * 3
    over = pacing.take(channel, at=NOON + 30 * MINUTE)
    assert over == pacing.Over("proactive", NOON + HOUR)
    assert SendBudget.objects.get().count == 3
    assert pacing.take(channel, at=NOON + HOUR) is None


def test_what_waits_does_not_come_back_at_once() -> None:
    channel = number(per_hour=0)
    back = {over.until for key in range(200) if (over := pacing.take(channel, at=NOON, key=key)) is not None}
    assert len(back) > 100
    assert min(back) >= NOON + HOUR
    assert max(back) < NOON + HOUR + timedelta(seconds=pacing.SPREAD_SECONDS)


def test_messages_keep_their_distance() -> None:
    channel = number(seconds_between=45)
    assert pacing.take(channel, at=NOON) is None
    assert pacing.take(channel, at=NOON + timedelta(seconds=20)) == pacing.Over("proactive", NOON + timedelta(seconds=45))
    assert pacing.take(channel, at=NOON + timedelta(seconds=45)) is None


def test_new_contacts_are_counted_by_the_channels_day() -> None:
    channel = number(new_contacts_per_day=2)
    late = datetime(2027, 6, 7, 19, 50, tzinfo=ALMATY)
    assert [pacing.take(channel, at=late, new_contact=True) for _ in range(2)] == [None, None]
    midnight = datetime(2027, 6, 8, tzinfo=ALMATY)
    assert pacing.take(channel, at=late, new_contact=True) == pacing.Over("new_contact", midnight)
    assert pacing.take(channel, at=late) is None, "who has written before is no new contact"
    assert SendBudget.objects.get(kind="proactive").count == 3, "what had to wait was counted nowhere"
    assert pacing.take(channel, at=midnight + 9 * HOUR, new_contact=True) is None


@pytest.mark.parametrize(
    ("hour", "zone", "waits_until"),
    [(23, "", 8), (3, "", 8), (12, "", None), (8, "", None), (21, "", 8), (20, "", None), (23, "Europe/Moscow", 10), (9, "Europe/Moscow", 10)],
)
def test_night_is_on_the_customers_clock(hour: int, zone: str, waits_until: int | None) -> None:
    channel = number(night_sends_per_day=0)
    over = pacing.take(channel, at=NOON.replace(hour=hour), customer_zone=zone)
    assert (over.until.astimezone(ALMATY).hour if over else None) == waits_until
    assert over is None or over.kind == "night"


def test_the_same_text_is_known_by_its_hash_alone() -> None:
    channel = number(same_text_per_day=2)
    assert [pacing.take_text(channel, text, at=NOON) for text in ("Hello  there", "hello there\n")] == [None, None]
    assert pacing.take_text(channel, "Hello there", at=NOON) == pacing.Over("same_text", datetime(2027, 6, 8, tzinfo=ALMATY))
    assert pacing.take_text(channel, "Hello you", at=NOON) is None
    assert not any("hello" in text.lower() for text in SendBudget.objects.values_list("text", flat=True))


def test_what_a_person_sends_is_counted_and_not_held_up() -> None:
    channel = number(per_hour=1, new_contacts_per_day=0)
    for _ in range(3):
        assert pacing.take(channel, at=NOON, new_contact=True, forced=True) is None
    assert SendBudget.objects.get(kind="new_contact").count == 3
    assert pacing.take(channel, at=NOON) is not None


def test_budgets_are_the_numbers_own() -> None:
    one, other = number(per_hour=1), number(per_hour=1)
    assert pacing.take(one, at=NOON) is None
    assert pacing.take(other, at=NOON) is None
    assert pacing.take(one, at=NOON) is not None


@pytest.mark.django_db(transaction=True)
def test_many_workers_at_once_keep_the_budget() -> None:
    channel, taken = number(per_hour=5), []

    def work() -> None:
        try:
            taken.extend(pacing.take(channel, at=NOON) is None for _ in range(4))
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == 5
    assert SendBudget.objects.get().count == 5


@pytest.mark.parametrize("option", [[], {"per_day": 1}, {"per_hour": -1}, {"per_hour": True}, {"per_hour": "5"}, {"night_begins": 24}])
def test_wrong_limits_are_refused(option: Any) -> None:
    with pytest.raises(ValidationError):
        pacing.read(option)
    channel = a_channel(kind="wappi", credentials={"token": "t"}, options={"profile_id": "p", "pacing": option})
    with pytest.raises(ValidationError):
        channel.clean()
    assert pacing.limits(channel) == pacing.Limits()


@pytest.mark.usefixtures("_clean_cache")
def test_managers_see_how_the_budgets_stand(admin_client: Client) -> None:
    from foundation.db import now

    channel = number()
    for _ in range(12):
        pacing.take(channel, at=now(), new_contact=True, forced=True)
    page = admin_client.get(reverse("admin:channels_channel_change", args=(channel.pk,))).content.decode()
    assert "new contacts today: 12 of 40" in page
    [told] = admin_client.get(reverse("channels")).json()["results"]
    assert {one["kind"]: (one["count"], one["most"]) for one in told["pacing"]}["new_contact"] == (12, 40)
    site = a_channel()
    assert "new contacts today" not in admin_client.get(reverse("admin:channels_channel_change", args=(site.pk,))).content.decode()


def test_old_counts_are_forgotten() -> None:
    channel = number()
    pacing.take(channel, at=NOON)
    pacing.take(channel, at=NOON + 3 * DAY)
    assert pacing.purge(NOON + 3 * DAY + HOUR) == 1
