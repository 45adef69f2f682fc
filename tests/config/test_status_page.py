"""The engineers' page: who sees it, what it tells, and the signs of life it reads."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from celery import current_app
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from config import backup, celery_settings, pulse, states, status_page
from config.tasks import pulse as pulse_task
from conversations.models import Turn
from sales.models import Touch
from tests.conversations.rows import a_channel, a_conversation, a_manager, a_message, a_turn, english  # noqa: F401
from tests.sales.sale_rows import a_follow_up

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _own_keys(monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Any) -> Iterator[None]:
    """No broker, backups of our own, and signs of life that no running copy writes."""
    monkeypatch.setattr(status_page, "queue_sizes", lambda: {"answers": 7, "knowledge": 0, "poll": None})
    for name in ("QUEUES_KEY", "BEATS_KEY"):
        monkeypatch.setattr(pulse, name, f"test:{name}:{os.getpid()}")
    settings.BACKUP_PATH = tmp_path
    status_page.findings_of.forget()
    yield
    pulse._client().delete(pulse.QUEUES_KEY, pulse.BEATS_KEY)
    status_page.findings_of.forget()


def shown(client: Client, **query: Any) -> Any:
    response = client.get(reverse("admin:status"), query)
    assert response.status_code == 200
    return response


def test_only_who_may_see_notices_sees_the_page(admin_client: Client, client: Client) -> None:
    clerk = a_manager()
    clerk.user_permissions.remove(*clerk.user_permissions.filter(codename="view_notice"))
    client.force_login(clerk)
    assert client.get(reverse("admin:status")).status_code == 403
    assert reverse("admin:status") not in client.get(reverse("admin:index")).content.decode()
    assert reverse("admin:status") in shown(admin_client).content.decode()
    assert Client().get(reverse("admin:status")).status_code == 302


def test_it_names_what_is_broken_with_a_link_and_what_is_late(admin_client: Client) -> None:
    conversation = a_conversation(a_channel())
    stuck = a_turn(conversation, "answer", at=timezone.now() - timedelta(hours=1), leased_until=timezone.now() - timedelta(hours=1))
    page = shown(admin_client)
    assert page.context["broken"] == 1
    assert page.context["findings"][0].name == "turn_is_not_stuck"
    assert reverse("admin:conversations_turn_change", args=(stuck.pk,)) in page.content.decode()
    turns = {state.label: state for state in dict(page.context["states"])["Turns"]}
    assert (turns["answer"].n, turns["answer"].late, turns["classification"].n) == (1, True, 0)


@pytest.mark.parametrize(("asked", "days"), [("", 1), ("7", 7), ("999", 30), ("9999", 1), ("0", 1), ("-3", 1), ("x", 1), ("²", 1)])
def test_the_window_is_bounded(admin_client: Client, asked: str, days: int) -> None:
    assert shown(admin_client, days=asked).context["days"] == days


def test_the_audit_is_asked_once_for_many_who_look(admin_client: Client) -> None:
    shown(admin_client)
    with CaptureQueriesContext(connection) as captured:
        shown(admin_client)
    assert not any("violations" in query["sql"] for query in captured)


def test_every_state_is_counted_and_open_ones_have_an_age() -> None:
    conversation, now = a_conversation(a_channel()), timezone.now()
    a_turn(conversation, "done", at=now - timedelta(days=3))
    a_turn(conversation, "ignored", reason="unsure")
    a_message(conversation, "bot", "!", state="unconfirmed")
    a_follow_up(conversation, {1: {"planned_at": now - timedelta(minutes=20)}, 2: {"state": "skipped"}})
    counted = {title: {state.label: state for state in group} for title, group in states.counted(1)}
    assert list(counted) == ["Events", "Turns", "Messages", "Touches", "Calls"]
    assert len(counted["Turns"]) == len(Turn.Stage) and len(counted["Touches"]) == len(Touch.State)
    assert (counted["Turns"]["done"].n, counted["Turns"]["ignored"].n, counted["Turns"]["ignored"].oldest) == (0, 1, None)
    assert (counted["Messages"]["unconfirmed"].n, counted["Messages"]["unconfirmed"].late) == (1, False)
    assert (counted["Touches"]["planned"].n, counted["Touches"]["planned"].late, counted["Touches"]["skipped"].n) == (4, True, 1)
    assert {title: group["done"].n for title, group in [("Turns", {s.label: s for s in dict(states.counted(7))["Turns"]})]} == {"Turns": 1}


# ── Signs of life ────────────────────────────────────────────────────────────────────────────────────────────────────


def taken_from(queue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    request = SimpleNamespace(delivery_info={"routing_key": queue}, hostname="answers@host")
    monkeypatch.setattr(pulse, "current_task", SimpleNamespace(request=request))
    pulse_task.run()


def test_a_worker_that_takes_the_task_shows_its_queue_alive(monkeypatch: pytest.MonkeyPatch, admin_client: Client) -> None:
    assert set(pulse.read().queues.values()) == {None}
    taken_from("answers", monkeypatch)
    found = pulse.read().queues["answers"]
    assert found is not None and (found.by, found.silent) == ("answers@host", False)
    html = shown(admin_client).content.decode()
    assert html.count("heart_broken") == 2, "the other two queues of the page were never read"


def test_silence_is_shown_after_ninety_seconds_and_later_for_slow_queues() -> None:
    client = pulse._client()
    for seconds, queue, silent in ((80, "answers", False), (95, "answers", True), (95, "knowledge", False), (300, "knowledge", True)):
        client.hset(pulse.QUEUES_KEY, queue, f"{time.time() - seconds:.3f} worker@host")
        found = pulse.read().queues[queue]
        assert found is not None and found.silent is silent


def test_beats_are_told_apart() -> None:
    line = status_page._beats(pulse.read())[0]
    assert (line.value, line.tone) == ("never seen", "bad")
    pulse._ticked = 0.0
    pulse._tick()
    assert status_page._beats(pulse.read())[0].tone == "ok"
    pulse._client().hset(pulse.BEATS_KEY, "other:1", f"{time.time():.3f} ")
    line = status_page._beats(pulse.read())[0]
    assert (line.value, line.tone) == ("2 beats run", "warn")
    for field in pulse._client().hkeys(pulse.BEATS_KEY):
        pulse._client().hset(pulse.BEATS_KEY, field, f"{time.time() - 60:.3f} ")
    assert status_page._beats(pulse.read())[0].tone == "bad"


def test_a_beat_forgets_those_of_yesterday() -> None:
    pulse._client().hset(pulse.BEATS_KEY, "gone:1", f"{time.time() - 7200:.3f} ")
    pulse._watch_beat()
    try:
        assert pulse.read().beats == ()
    finally:
        pulse.after_task_publish.disconnect(dispatch_uid="config.pulse.tick")


def test_a_redis_that_is_away_is_said_and_breaks_nothing(monkeypatch: pytest.MonkeyPatch, admin_client: Client) -> None:
    away = redis.Redis.from_url("redis://127.0.0.1:1/0", socket_connect_timeout=0.2)
    working = pulse._client
    monkeypatch.setattr(pulse, "_client", lambda: away)
    taken_from("answers", monkeypatch)
    assert pulse.read() is None
    assert "Signs of life cannot be read." in shown(admin_client).content.decode()
    monkeypatch.setattr(pulse, "_client", working)


def test_beat_puts_one_into_every_queue_and_drops_what_is_late() -> None:
    schedule = celery_settings.schedule(5.0, 5.0)
    pulses = [entry["options"]["queue"] for entry in schedule.values() if entry["task"] == "config.pulse"]
    assert sorted(pulses) == sorted(celery_settings.QUEUES)
    from django_celery_beat.schedulers import ModelEntry

    for name, entry in schedule.items():
        made = ModelEntry.from_entry(name, app=current_app, **entry)
        assert 5 <= made.options["expires"] <= 3600, name
        assert made.options.get("queue") == entry["options"].get("queue")


# ── The rest ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_last_backup_and_the_disk(settings: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (status_page._backup().value, status_page._backup().tone) == ("none yet", "warn")
    copy = tmp_path / "saudager-20261120-000000.dump"
    copy.write_bytes(b"x" * 2048)
    assert (status_page._backup().tone, status_page._backup().detail) == ("ok", "2 KB")
    old = time.time() - 30 * 3600
    os.utime(copy, (old, old))
    assert status_page._backup().tone == "bad" and backup.due()
    assert status_page._disk().tone in ("ok", "bad") and "free of" in status_page._disk().value
    monkeypatch.setattr(status_page.shutil, "disk_usage", lambda _path: SimpleNamespace(free=10, total=100))
    assert status_page._disk().tone == "bad"
    settings.VAR_DIR = tmp_path / "missing"
    monkeypatch.undo()
    assert status_page._disk().tone == "bad"
    assert status_page._database().value.endswith("MB")
