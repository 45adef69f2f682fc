"""A year of follow-ups in a minute: customers, holidays, restarts and races, and a record of everything that left.

The record is written by the database itself at the moment of the outbox's claim, with what was committed by then.
"""

from __future__ import annotations

import heapq
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import cache
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

import holidays
import pytest
from celery import current_app
from django.contrib.auth.models import User
from django.db import connection, connections

from channels import directory
from channels.adapters.widget import WidgetAdapter
from conversations import outbox, takeover, turns
from conversations.models import Contact, Conversation, Message, Turn, source_index
from conversations.tasks import sweep
from foundation import leases, tasks
from foundation.db import row, rows
from foundation.errors import Rejected, Retry
from sales import follow_ups
from sales.models import FollowUp, Touch
from tests.conftest import Company
from tests.sales.database_clock import Clock, clock, database_clock  # noqa: F401

pytestmark = pytest.mark.django_db(transaction=True)

SEED = 20270111
CUSTOMERS, DAYS = 60, 365
ALMATY = ZoneInfo("Asia/Almaty")
START = datetime(2027, 1, 11, 9, 0, tzinfo=ALMATY)
ZONES = ("", "", "Asia/Almaty", "Europe/Moscow", "Asia/Vladivostok", "America/New_York")
#: Schedulers look every so often; what falls due between is found late, as after a short stop.
TICK = timedelta(minutes=10)

_RECORD = """
CREATE TABLE clock.claimed (message_id bigint, touch_id bigint, follow_up_id bigint, at timestamptz, mode text, same_cycle bool,
    same_epoch bool, opted_out bool, stopped bool, zone text);
CREATE FUNCTION clock.record() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO clock.claimed
    SELECT NEW.id, x.id, f.id, clock.clock_timestamp(), c.mode, c.cycle = NEW.cycle, c.epoch = NEW.epoch,
        k.opted_out_at IS NOT NULL, f.state = 'stopped', coalesce(nullif(k.time_zone, ''), 'Asia/Almaty')
    FROM public.conversations_conversation c JOIN public.conversations_contact k ON k.id = c.contact_id
    LEFT JOIN public.sales_touch x ON x.turn_id = NEW.turn_id LEFT JOIN public.sales_followup f ON f.id = x.follow_up_id
    WHERE c.id = NEW.conversation_id;
    RETURN NULL;
END $$;
CREATE TRIGGER record AFTER UPDATE OF state ON public.conversations_message FOR EACH ROW
    WHEN (NEW.state = 'sending' AND OLD.state <> 'sending' AND NEW.cycle IS NOT NULL) EXECUTE FUNCTION clock.record();
"""


class Died(BaseException):
    """A process is killed."""


class Hints:
    """The broker between threads; `lose` forgets everything."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[str, int]] = deque()

    def publish(self, task: str, row_id: int, delay: float) -> None:
        self.waiting.append((task, row_id))

    def work(self, only: str = "") -> None:
        """What a worker does until nothing is left (for it)."""
        while True:
            try:
                name, row_id = self.waiting.popleft()
            except IndexError:
                return
            if only and name != only:
                self.waiting.appendleft((name, row_id))
                return
            current_app.tasks[name].run(row_id)


class Year:
    """The company, its customers and what befalls them."""

    def __init__(self, company: Company, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
        self.company, self.clock, self.chance = company, clock, random.Random(SEED)
        self.hints, self.met, self.user = Hints(), Counter[str](), User.objects.create_user("manager")
        self.accepted: Counter[str] = Counter()
        self.events: list[tuple[datetime, int, str, int]] = []
        self._number = count()
        self.threads = ThreadPoolExecutor(3)
        self.dying, self.asleep = threading.local(), False
        monkeypatch.setattr(tasks, "_publish", self.hints.publish)
        monkeypatch.setattr(WidgetAdapter, "send", self._send(WidgetAdapter.send))
        monkeypatch.setattr(turns, "open_proactive", self._open(turns.open_proactive))
        # Heartbeats keep real time; here a lease lasts until the clock moves on.
        monkeypatch.setattr(leases, "renew", lambda _tables: None)
        directory.forget()
        with connection.cursor() as cursor:
            cursor.execute(_RECORD)

    def _send(self, original: Any) -> Any:
        def send(adapter: Any, message: Any) -> Any:
            fate = random.random()
            if fate < 0.03:
                self.met["provider busy"] += 1
                raise Retry("busy", after=30)
            if fate < 0.035:
                self.met["provider refused"] += 1
                raise Rejected("refused")
            self.accepted[message.key] += 1
            return original(adapter, message)

        return send

    def _open(self, original: Any) -> Any:
        def open_proactive(*args: Any) -> Any:
            turn = original(*args)
            if getattr(self.dying, "now", False):
                self.dying.now = False
                self.met["scheduler killed"] += 1
                raise Died
            return turn

        return open_proactive

    # What will happen ────────────────────────────────────────────────────────────────────────────────────────────────

    def at(self, moment: datetime, what: str, customer: int) -> None:
        heapq.heappush(self.events, (moment, next(self._number), what, customer))

    def imagine(self) -> None:
        """Let chance decide what every customer does within the year, at whatever hour."""
        for customer in range(CUSTOMERS):
            for _ in range(self.chance.randint(2, 4)):
                self.at(START + timedelta(days=self.chance.uniform(0, DAYS)), "writes", customer)
            if self.chance.random() < 0.5:
                fate = self.chance.choice(["takeover", "opts out", "stop by hand", "skip by hand", "not a client"])
                self.at(START + timedelta(days=self.chance.uniform(60, DAYS)), fate, customer)

    def conversation(self, customer: int) -> Conversation | None:
        return Conversation.objects.filter(identity__source_index=source_index(f"customer-{customer}")).first()

    def happen(self, what: str, customer: int) -> None:
        self.met[what] += 1
        known = self.conversation(customer)
        if what == "writes":
            self.writes(customer)
        elif known is not None:
            self.strike(what, known)

    def writes(self, customer: int) -> None:
        """A customer writes; a manager has seen to what was on the list before."""
        Conversation.objects.filter(pk=getattr(self.conversation(customer), "pk", 0)).update(
            needs_attention=False, attention_at=None
        )
        text = self.chance.choice(["Здравствуйте!", "Добрый день!", "Спасибо, я подумаю"])
        self.company.says(text, visitor=f"customer-{customer}", at=self.clock.now())
        self.hints.work()
        written = self.conversation(customer)
        assert written is not None
        Contact.objects.filter(pk=written.contact_id, time_zone="").update(time_zone=ZONES[customer % len(ZONES)])
        self.at(self.clock.now() + timedelta(minutes=16), "nothing", customer)

    def strike(self, what: str, conversation: Conversation) -> None:
        """One of the things that end a follow-up."""
        running = FollowUp.objects.filter(conversation=conversation).order_by("-cycle").first()
        try:
            match what:
                case "reply":
                    customer = conversation.identity.source_id
                    [event] = self.company.says("Здравствуйте!", visitor=customer, at=self.clock.now())
                    current_app.tasks["conversations.receive"].run(event)
                case "takeover":
                    takeover.take_over(conversation.pk, user=self.user)
                case "opts out":
                    follow_ups.opt_out(conversation.contact_id)
                case "stop by hand" if running is not None:
                    follow_ups.stop(running.pk, self.user)
                case "skip by hand" if running is not None:
                    planned = running.touches.filter(state="planned").order_by("number").first()
                    follow_ups.skip(planned.pk if planned else 0, self.user)
                case "not a client":
                    Contact.objects.filter(pk=conversation.contact_id).update(is_client=False)
        except follow_ups.Refused:
            self.met["refused by hand"] += 1

    # How time goes by ────────────────────────────────────────────────────────────────────────────────────────────────

    def next_moment(self) -> datetime | None:
        """The next tick at which anything is due."""
        planned = row("SELECT min(planned_at) AS at FROM sales_touch WHERE state = 'planned'", {})
        moments = [moment for moment in (planned.at if planned else None, self.events[0][0] if self.events else None) if moment]
        if not moments:
            return None
        since = max(min(moments), self.clock.now()) - START
        return START + (since // TICK + 1) * TICK

    def live(self) -> None:
        """Go from moment to moment until nothing is left to happen."""
        while (moment := self.next_moment()) is not None:
            self.clock.set(moment)
            while self.events and self.events[0][0] <= moment:
                _at, _number, what, customer = heapq.heappop(self.events)
                self.happen(what, customer)
            self.run_schedulers()
            self.recover()
            self.met["moments"] += 1

    def run_schedulers(self) -> None:
        """Two schedulers and workers at once, and every fourth time something that happens in these very milliseconds."""
        actors: list[Callable[[], None]] = [self.scheduler, self.scheduler]
        due = rows(
            "SELECT f.conversation_id FROM sales_touch x JOIN sales_followup f ON f.id = x.follow_up_id"
            " WHERE x.state = 'planned' AND x.planned_at <= now() ORDER BY random() LIMIT 1", {},
        )  # fmt: skip
        if due and self.chance.random() < 0.3:
            what = self.chance.choice(["reply"] * 6 + ["takeover", "stop by hand", "opts out", "skip by hand"])
            pause, conversation = self.chance.uniform(0, 0.04), Conversation.objects.get(pk=due[0].conversation_id)
            self.met[f"race: {what}"] += 1

            def racer() -> None:
                time.sleep(pause)
                self.strike(what, conversation)

            actors.append(racer)
            self.at(self.clock.now() + timedelta(minutes=16), "nothing", 0)
        barrier = threading.Barrier(len(actors))

        def start(actor: Callable[[], None]) -> None:
            barrier.wait(30)
            try:
                actor()
            except Died:
                connection.close()

        self.asleep = self.chance.random() < 0.05
        for running in [self.threads.submit(start, actor) for actor in actors]:
            running.result(60)
        if self.asleep:
            self.met["workers asleep"] += 1
            self.clock.pass_by(timedelta(hours=self.chance.uniform(0.1, 12)))

    def scheduler(self) -> None:
        """Beat and worker of one machine, which may be killed at several points."""
        self.dying.now = random.random() < 0.05
        follow_ups.plan()
        follow_ups.fire()
        self.dying.now = False
        if self.asleep:
            return
        if random.random() < 0.04:
            self.met["broker flushed"] += 1
            self.hints.waiting.clear()
        if random.random() < 0.04:
            self.kill_a_worker()
        self.hints.work()

    def kill_a_worker(self) -> None:
        """A worker claims a turn, or a message that is to leave, and is never heard of again."""
        if random.random() < 0.5:
            turn = Turn.objects.filter(stage="answer", trigger="follow_up").first()
            if turn is not None and turns.claim(turn.pk, "answer") is not None:
                self.met["composer killed"] += 1
            return
        self.hints.work(only="sales.touch")
        message = Message.objects.filter(state="queued").first()
        if message is not None and outbox.claim(message.conversation_id) is not None:
            self.met["sender killed"] += 1

    def recover(self) -> None:
        """What a minute brings: leases run out, the sweeper finds what was lost."""
        for _ in range(4):
            unfinished = Turn.objects.filter(stage__in=Turn.OPEN).exists() or Message.objects.filter(
                state__in=("queued", "sending")
            ).exists()  # fmt: skip
            if not unfinished and not self.hints.waiting:
                break
            self.clock.pass_by(timedelta(seconds=45))
            sweep()
            self.hints.work()
        takeover.resume_due()

    def close(self) -> None:
        barrier = threading.Barrier(3)

        def leave() -> None:
            connections.close_all()
            barrier.wait(30)

        for leaving in [self.threads.submit(leave) for _ in range(3)]:
            leaving.result(30)
        self.threads.shutdown()


@cache
def days_off(year: int) -> frozenset[Any]:
    return frozenset(holidays.country_holidays("KZ", years=year))


def may_be_written_to(at: datetime, zone: str) -> bool:
    """Ten to six on a working day where the customer is, counted here once more and independently."""
    local = at.astimezone(ZoneInfo(zone))
    made_up_for = local.date() in holidays.country_holidays("KZ", years=local.year).weekend_workdays
    working = (local.weekday() < 5 and local.date() not in days_off(local.year)) or made_up_for
    return working and 10 <= local.hour < 18


def test_a_year_of_follow_ups(
    company: Company, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture  # noqa: F811
) -> None:
    caplog.set_level("ERROR")
    random.seed(SEED)
    clock.set(START)
    year = Year(company, clock, monkeypatch)
    year.imagine()
    begun = time.perf_counter()
    try:
        year.live()
    finally:
        year.close()
    claimed = rows("SELECT * FROM clock.claimed", {})
    touches = list(Touch.objects.select_related("follow_up", "turn"))
    counts = {
        "seconds": round(time.perf_counter() - begun, 1),
        "follow-ups": FollowUp.objects.count(),
        "ended": dict(Counter(FollowUp.objects.values_list("stop_reason", flat=True))),
        "touches": dict(Counter(touch.state for touch in touches)),
        "reasons": dict(Counter(f"{touch.state}/{touch.reason}" for touch in touches if touch.reason)),
        "claims": len(claimed),
        "turns": dict(Counter(f"{t.stage}/{t.reason}".rstrip("/") for t in Turn.objects.filter(trigger="follow_up"))),
        "met": dict(sorted(year.met.items())),
    }
    print(counts)  # noqa: T201  what the year held, for whoever runs it with -s

    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []
    assert counts["follow-ups"] > 200
    assert len(claimed) > 300
    # Nothing in quiet hours or on days off.
    assert [c for c in claimed if not may_be_written_to(c.at, c.zone)] == []
    # Nothing after a stop that was committed before the claim.
    assert [c for c in claimed if c.touch_id is None or c.stopped or c.opted_out or c.mode != "bot"] == []
    assert [c for c in claimed if not c.same_cycle or not c.same_epoch] == []
    # Nothing twice.
    messages = Counter(touch for touch, _message in {(c.touch_id, c.message_id) for c in claimed})
    left = Counter(c.touch_id for c in {c.message_id: c for c in claimed if year.accepted[str(c.message_id)]}.values())
    assert max(left.values()) == 1
    assert max(messages.values()) <= 2, "a message that outlived its hours is written anew"
    assert max(year.accepted.values()) == 1
    # Everything planned was made, or says why not.
    assert not FollowUp.objects.filter(state="active").exists()
    assert not Turn.objects.filter(stage__in=Turn.OPEN).exists()
    for touch in touches:
        if touch.follow_up.state == FollowUp.State.COMPLETED:
            done = touch.turn is not None and (touch.turn.stage == "done" or touch.turn.reason == "unconfirmed")
            assert (touch.state == "fired" and done) or (touch.state == "skipped" and touch.reason), touch.pk
        else:
            assert touch.state in ("fired", "cancelled", "skipped"), touch.pk
            assert touch.follow_up.stop_reason, touch.pk
