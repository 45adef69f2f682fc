"""Two beats by mistake: whatever beat starts is started twice at the same moment, and everything happens once."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from celery import current_app
from django.contrib.auth.models import User
from django.db import connections

from channels.models import Channel, InboundEvent
from config import backup, celery_settings
from conversations.models import ContactIdentity, Conversation, Message, Notice, Takeover, Turn, source_index
from knowledge.models import Source
from sales.models import Assistant, FollowUp, ScheduledCall, Touch
from tests.conftest import Broker, Company
from tests.sales.database_clock import Clock, clock, database_clock  # noqa: F401
from tests.sales.follow_up_world import World
from tests.sandbox.server import running
from tests.sandbox.wappi import FakeWappi
from tests.sandbox.wappi_rows import PROFILE, TOKEN

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).resolve().parent.parent.parent
PHONES = ("77011234567", "77017654321")


def twice(run: Callable[[], object]) -> None:
    """Run it in two threads that begin together, each with a connection of its own. What one raises is raised."""
    gate, failed = threading.Barrier(2), list[BaseException]()

    def one() -> None:
        try:
            gate.wait()
            run()
        except BaseException as error:  # noqa: BLE001
            failed.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in failed:
        raise error


def beat(broker: Broker, skip: tuple[str, ...] = ("knowledge.parse",)) -> None:
    """Every task of the schedule, by two beats; then every hint that came of it, each by two workers."""
    for entry in celery_settings.schedule(5.0, 5.0).values():
        twice(current_app.tasks[entry["task"]])
    for _ in range(200):
        hints = [hint for hint in broker.waiting if hint[0] not in skip]
        if not hints:
            return
        broker.waiting.remove(hints[0])
        task, row_id, _delay = hints[0]
        twice(lambda task=task, row_id=row_id: current_app.tasks[task](row_id))  # type: ignore[misc]
    raise AssertionError(f"still busy: {broker.waiting[:5]}")


@pytest.fixture
def fake() -> Iterator[FakeWappi]:
    app = FakeWappi()
    with running(app):
        yield app


@pytest.fixture
def copies(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Backups that take a moment, in a folder of their own."""
    settings.BACKUP_PATH = tmp_path / "backups"

    def dump(program: str, copy: Path) -> None:
        time.sleep(0.3)
        copy.with_name(f"{copy.stem}-{threading.get_ident()}.dump").write_bytes(b"copy")
        copy.write_bytes(b"copy")
        os.utime(copy, (time.time(), time.time()))

    monkeypatch.setattr(backup, "_dump", dump)
    monkeypatch.setattr(backup, "_pg_dump", lambda: "pg_dump")
    return tmp_path / "backups"


def of(visitor: str) -> Conversation:
    return Conversation.objects.get(identity__source_index=source_index(visitor))


def out(visitor: str, **fields: Any) -> int:
    return Message.objects.filter(conversation=of(visitor), direction="out", **fields).count()


@pytest.fixture
def world(company: Company, broker: Broker, clock: Clock, fake: FakeWappi, settings: Any, tmp_path: Path) -> World:  # noqa: F811
    """Something is due for every task."""
    made = World(company, broker, clock)
    settings.KNOWLEDGE_BASE_PATH = tmp_path / "knowledge"
    made.silent()
    due = made.touch(1).planned_at + timedelta(seconds=1)
    clock.set(due - timedelta(minutes=30))
    for visitor in ("silent-2", "called", "dead-send", "led"):
        made.says("Здравствуйте!", visitor=visitor)
    clock.set(due - timedelta(seconds=30))
    company.says("Сколько стоит доставка?", visitor="lost", at=clock.now())
    broker.lose()
    clock.set(due)
    _call(company, of("called"), clock)
    reply = Message.objects.filter(conversation=of("dead-send"), direction="out")
    reply.update(state="sending", external_id=None, lease_token=uuid4(), leased_until=clock.now() - timedelta(seconds=5))
    Turn.objects.filter(conversation=of("dead-send")).update(stage="deliver", finished_at=None)
    led = Conversation.objects.filter(pk=of("led").pk)
    led.update(mode="manager", resumes_at=clock.now() - timedelta(seconds=5))
    _wappi(fake)
    _old_event(company.channel, clock)
    _document(settings.KNOWLEDGE_BASE_PATH)
    return made


def _call(company: Company, conversation: Conversation, clock: Clock) -> None:  # noqa: F811
    start = clock.now() + timedelta(minutes=30)
    ScheduledCall.objects.create(
        contact=conversation.contact, conversation=conversation, assistant=Assistant.objects.get(),
        manager=User.objects.create_user("manager"), starts_at=start, ends_at=start + timedelta(minutes=30), phone="77010000001",
    )  # fmt: skip


def _wappi(fake: FakeWappi) -> None:
    channel = Channel.objects.create(
        name="wa", slug="wa", kind="wappi", company="Demo", hold=0, moderation=False, base_url=fake.base_url,
        credentials={"token": TOKEN}, options={"profile_id": PROFILE}, answer_age_hours=10**6,
    )  # fmt: skip
    Assistant.objects.get().bots.create(channel=channel)
    for phone in PHONES:
        fake.customer_writes(phone, "Здравствуйте", deliver="poll")


def _old_event(channel: Channel, clock: Clock) -> None:  # noqa: F811
    InboundEvent.objects.create(
        channel=channel, external_id="old", source="webhook", payload=b"x", state="processed",
        received_at=clock.now() - timedelta(days=40), processed_at=clock.now(),
    )  # fmt: skip


def _document(folder: Path) -> None:
    folder.mkdir()
    source = next((ROOT / "demo" / "knowledge").glob("*.pdf"))
    shutil.copy(source, folder / "prices.pdf")
    os.utime(folder / "prices.pdf", (10**9, 10**9))


def test_everything_that_is_due_happens_once(world: World, broker: Broker, fake: FakeWappi, copies: Path) -> None:
    for _ in range(2):
        beat(broker)
    touched = Touch.objects.filter(state="fired")
    assert touched.count() == 1 and Turn.objects.filter(trigger="follow_up").count() == 1
    assert out("visitor-1", cycle__isnull=False, state="sent") == 1
    assert FollowUp.objects.filter(conversation=of("silent-2")).count() == 1
    assert out("called", author="system") == 1 and ScheduledCall.objects.get().reminded_at is not None
    assert out("lost", author="bot", state="sent") == 1
    assert out("dead-send") == 1 and out("dead-send", state="unconfirmed") == 1
    assert Takeover.objects.filter(conversation=of("led"), cause="timeout").count() == 1 and of("led").mode == "bot"
    assert InboundEvent.objects.filter(channel__slug="wa").count() == len(PHONES)
    assert sorted(str(entry["recipient"])[:11] for entry in fake.ledger) == sorted(PHONES)
    assert InboundEvent.objects.get(external_id="old").payload is None
    assert len(list(copies.glob("saudager-*-*-*.dump"))) == 1, "one dump was made"
    assert Source.objects.count() == 1
    assert Notice.objects.count() <= 1
    assert ContactIdentity.objects.count() == 6 + len(PHONES)


def test_one_of_two_polls_leaves_the_other_alone(world: World, broker: Broker, fake: FakeWappi) -> None:
    channel = Channel.objects.get(slug="wa")
    twice(lambda: current_app.tasks["channels.poll"](channel.pk))
    assert fake.calls["/api/sync/chats/get"] == 1


def test_two_beats_that_were_away_for_a_day_make_up_for_one_touch(world: World, broker: Broker, fake: FakeWappi, copies: Path) -> None:
    world.clock.pass_by(timedelta(hours=26))
    for _ in range(2):
        beat(broker)
    assert out("visitor-1", cycle__isnull=False, state="sent") == 1
    touches = FollowUp.objects.get(conversation=of("visitor-1")).touches.order_by("number")
    assert [touch.state for touch in touches] == ["fired", *["planned"] * 4]
    assert touches[1].planned_at > world.clock.now() + timedelta(hours=12), "the next one keeps its distance"
