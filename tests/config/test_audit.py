"""The audit: it says nothing where nothing is wrong, and finds one injected fault of every kind."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from channels.models import Channel, InboundEvent
from config import audit, states
from conversations.models import Contact, Conversation, Message, Notice, Takeover, Turn
from sales.models import FollowUp
from tests.conversations.rows import a_channel, a_conversation, a_message, a_turn, english  # noqa: F401
from tests.sales.sale_rows import a_bot, a_follow_up, a_scheduled_call

pytestmark = pytest.mark.django_db


def ago(**time: float) -> Any:
    return timezone.now() - timedelta(**time)


def sql(statement: str, *values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


class World:
    """An ordinary hour: a question answered in two parts, a takeover, a follow-up with its first touch, an opt-out, a call."""

    def __init__(self) -> None:
        self.channel: Channel = a_channel(
            kind="wappi", credentials={"token": "t"}, options={"profile_id": "1"}, name="WhatsApp"
        )
        self.assistant = a_bot(self.channel)
        self.manager = User.objects.create_user("manager")
        self.answered = a_conversation(self.channel, phone="77010000001", name="Anna")
        self.turn = a_turn(self.answered, "done", at=ago(minutes=30), timeline=[{"what": "deliver", "at": "x"}])
        self.question = a_message(self.answered, "customer", "?", turn=self.turn, at=ago(minutes=30), external_id="M1")
        self.event = self.an_event("message:M1", state="processed", processed_at=timezone.now())
        self.reply = [self.said(self.answered, f"part {number}", self.turn, seconds=number) for number in (1, 2)]
        self.led = a_conversation(self.channel, mode="manager", epoch=1)
        self.composed = self.said(self.led, "composed before", a_turn(self.led, "done", at=ago(minutes=29)))
        Takeover.objects.create(conversation=self.led, mode="manager", cause="admin", after_seq=1)
        self.followed = a_conversation(self.channel, is_client=True)
        self.follow_up: FollowUp = a_follow_up(self.followed, anchor=ago(hours=30))
        self.touched = a_turn(self.followed, "done", at=ago(minutes=28), trigger="follow_up")
        self.touch = self.said(self.followed, "still there?", self.touched, cycle=0)
        self.follow_up.touches.filter(number=1).update(state="fired", turn=self.touched, fired_at=ago(minutes=28))
        self.call = a_scheduled_call(self.answered, self.assistant, self.manager, timezone.now() + timedelta(hours=1))

    def an_event(self, external_id: str, **fields: Any) -> InboundEvent:
        return InboundEvent.objects.create(
            channel=self.channel, external_id=external_id, source="webhook", payload=b"{}", **fields
        )

    def said(self, conversation: Conversation, text: str, turn: Turn, *, seconds: float = 1, **fields: Any) -> Message:
        """A message of ours that left some seconds after it was written, twenty-five minutes ago."""
        written = ago(minutes=25)
        message = a_message(conversation, "bot", text, turn=turn, attempts=1, epoch=0, **fields)
        Message.objects.filter(pk=message.pk).update(created_at=written, sent_at=written + timedelta(seconds=seconds))
        message.refresh_from_db()
        return message


@pytest.fixture
def world() -> World:
    return World()


def change(row: Any, **fields: Any) -> None:
    type(row)._default_manager.filter(pk=row.pk).update(**fields)


# ── One fault of each kind ───────────────────────────────────────────────────────────────────────────────────────────


def ended_without_a_word(world: World) -> None:
    world.an_event("e1", state="ignored")


def lost_message(world: World) -> None:
    world.an_event("message:GONE", state="processed", processed_at=timezone.now())


def forgotten_event(world: World) -> None:
    world.an_event("e2", received_at=ago(minutes=20))


def forgotten_message(world: World) -> None:
    a_message(world.answered, "customer", "?", at=ago(minutes=20))


def silent_turn(world: World) -> None:
    a_turn(world.answered, "failed")


def done_without_a_reply(world: World) -> None:
    Message.objects.filter(turn=world.turn, direction="out").update(turn=None)


def turn_of_a_dead_worker(world: World) -> None:
    a_turn(world.answered, "answer", leased_until=ago(minutes=5))


def two_replies(world: World) -> None:
    change(world.reply[1], created_at=ago(minutes=20), sent_at=ago(minutes=20, seconds=-1))


def send_of_a_dead_worker(world: World) -> None:
    change(world.reply[1], state="sending", leased_until=ago(minutes=5))


def sent_without_an_id(world: World) -> None:
    change(world.reply[1], external_id=None)


def overtaken(world: World) -> None:
    change(world.reply[0], sent_at=world.reply[1].sent_at + timedelta(seconds=5))


def after_the_takeover(world: World) -> None:
    Takeover.objects.update(at=world.composed.sent_at - timedelta(minutes=3))


def waits_behind_a_person(world: World) -> None:
    change(world.composed, state="queued")


def unknown_touch(world: World) -> None:
    world.follow_up.touches.update(turn=None)


def touch_after_a_reply(world: World) -> None:
    reply = a_message(world.followed, "customer", "!", turn=world.touched)
    change(reply, created_at=world.touch.sent_at - timedelta(minutes=3))


def planned_after_the_end(world: World) -> None:
    change(world.follow_up, state="completed")
    world.follow_up.touches.filter(number=2).update(planned_at=ago(hours=1))


def touch_after_an_opt_out(world: World) -> None:
    Contact.objects.filter(pk=world.followed.contact_id).update(opted_out_at=ago(hours=2))


def two_calls_at_once(world: World) -> None:
    sql("SET CONSTRAINTS ALL IMMEDIATE")
    sql("ALTER TABLE sales_scheduledcall DROP CONSTRAINT one_call_at_a_time")
    a_scheduled_call(world.led, world.assistant, world.manager, world.call.starts_at + timedelta(minutes=10))


def plain_text(world: World) -> None:
    sql("UPDATE conversations_message SET text = 'in plain words'::bytea WHERE id = %s", world.question.pk)


FAULTS: dict[str, Callable[[World], None]] = {
    "event_has_an_end": ended_without_a_word,
    "event_has_its_message": lost_message,
    "event_is_not_stuck": forgotten_event,
    "message_has_a_turn": forgotten_message,
    "turn_has_an_end": silent_turn,
    "turn_has_its_reply": done_without_a_reply,
    "turn_is_not_stuck": turn_of_a_dead_worker,
    "one_reply_a_turn": two_replies,
    "send_is_not_stuck": send_of_a_dead_worker,
    "sent_has_its_id": sent_without_an_id,
    "sent_in_order": overtaken,
    "nothing_after_a_takeover": after_the_takeover,
    "nothing_waits_behind_a_takeover": waits_behind_a_person,
    "touch_made_once": unknown_touch,
    "no_touch_after_a_reply": touch_after_a_reply,
    "no_touch_of_an_ended_follow_up": planned_after_the_end,
    "no_touch_after_an_opt_out": touch_after_an_opt_out,
    "calls_do_not_overlap": two_calls_at_once,
    "sealed": plain_text,
}


def broken() -> dict[str, audit.Finding]:
    found = audit.run(1)
    assert not [finding.error for finding in found if finding.error]
    return {finding.name: finding for finding in found if not finding.ok}


def test_an_ordinary_hour_breaks_nothing(world: World) -> None:
    assert broken() == {}


def test_every_check_has_its_fault() -> None:
    assert {check.name for check in audit.checks()} == set(FAULTS)


@pytest.mark.parametrize("name", FAULTS)
def test_the_fault_is_found_and_no_other(name: str, world: World) -> None:
    FAULTS[name](world)
    [finding] = broken().values()
    assert finding.name == name and finding.what
    assert all(violation.id and violation.url.startswith("/admin/") for violation in finding.violations)


def test_a_second_delivery_in_the_timeline_is_a_second_reply(world: World) -> None:
    change(world.turn, timeline=[{"what": "deliver", "at": "x"}, {"what": "deliver", "at": "y"}])
    assert list(broken()) == ["one_reply_a_turn"]


def test_what_a_manager_sent_again_breaks_no_order(world: World) -> None:
    later = timezone.now()
    change(world.reply[0], author="manager", created_at=later, sent_at=later + timedelta(seconds=1))
    assert broken() == {}


def test_evidence_found_later_breaks_no_order(world: World) -> None:
    change(world.reply[1], sent_at=world.reply[1].created_at)
    assert broken() == {}


def test_a_value_sealed_with_a_key_that_is_gone_is_found(world: World, settings: Any) -> None:
    settings.ENCRYPTION_KEYS = {"k9": b"9" * 32}
    finding = broken()["sealed"]
    assert {"conversations_message.text", "channels_inboundevent.payload"} <= {row.note for row in finding.violations} or finding.more
    settings.ENCRYPTION_KEYS = {"k9": b"9" * 32, "k1": b"1" * 32}
    assert broken() == {}


def test_the_window_and_the_number_of_names_are_bounded(world: World) -> None:
    for number in range(audit.NAMED + 5):
        world.an_event(f"b{number}", state="failed", received_at=ago(hours=1))
    [finding] = broken().values()
    assert len(finding.violations) == audit.NAMED and finding.more
    InboundEvent.objects.filter(state="failed").update(received_at=ago(days=2))
    assert broken() == {} and not audit.run(3, only=["event_has_an_end"])[0].ok


def test_a_check_that_takes_too_long_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = audit.Check("slow", "I1", "Sleeps.", "SELECT 1 AS id FROM pg_sleep(5)")
    monkeypatch.setattr(audit, "CHECKS", (slow,))
    finding = audit.run(1, only=["slow"], seconds=1)[0]
    assert finding.error == "no answer within 1 s" and not finding.ok


# ── What is made of it ───────────────────────────────────────────────────────────────────────────────────────────────


def test_the_daily_audit_tells_people_once_and_takes_it_back(world: World, caplog: pytest.LogCaptureFixture) -> None:
    assert audit.report() and not Notice.objects.exists()
    lost_message(world)
    for _ in range(2):
        assert not audit.report()
    [record, _again] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert record.check == "event_has_its_message"  # type: ignore[attr-defined]
    assert "event_has_its_message" in Notice.objects.get().text
    InboundEvent.objects.filter(external_id="message:GONE").delete()
    assert audit.report() and not Notice.objects.exists()


def test_the_command_ends_with_one_where_something_is_broken(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("audit")
    assert "sealed" in capsys.readouterr().out
    lost_message(world)
    with pytest.raises(SystemExit) as ended:
        call_command("audit", "--json", "--days", "2")
    assert ended.value.code == 1
    told = {finding["name"]: finding for finding in json.loads(capsys.readouterr().out)}
    assert not told["event_has_its_message"]["ok"] and told["event_has_an_end"]["ok"]


# ── How much is read ─────────────────────────────────────────────────────────────────────────────────────────────────

_BIG = ("conversations_message", "conversations_turn", "channels_inboundevent")
_OLD = """
INSERT INTO channels_inboundevent (channel_id, external_id, source, payload, state, received_at, processed_at)
SELECT %(channel)s, 'old' || n, 'webhook', '\\x01', 'processed', now() - interval '9 days', now() FROM generate_series(1, %(n)s) n;
INSERT INTO conversations_turn (conversation_id, trigger, stage, from_seq, upto_seq, opened_at, finished_at)
SELECT %(conversation)s, 'inbound', 'done', n, n, now() - interval '9 days', now() FROM generate_series(1, %(n)s) n;
INSERT INTO conversations_message (conversation_id, channel_id, seq, direction, author, kind, text, state, created_at, sent_at, turn_id)
SELECT %(conversation)s, %(channel)s, 100 + n, CASE n %% 2 WHEN 0 THEN 'in' ELSE 'out' END, 'bot', 'text', '\\x01', 'sent',
    now() - interval '9 days', now() - interval '9 days', (SELECT max(id) FROM conversations_turn) - n
FROM generate_series(1, %(n)s) n;
ANALYZE;
"""


def test_no_query_reads_a_whole_table(world: World) -> None:
    with connection.cursor() as cursor:
        values = {"channel": world.channel.pk, "conversation": world.answered.pk, "n": 40_000}
        for statement in filter(str.strip, _OLD.split(";")):
            cursor.execute(statement, {name: value for name, value in values.items() if f"%({name})s" in statement} or None)
        # The newest rows by their number are what the check of the keys is about; elsewhere that walk would not end.
        asked = [audit.statement(check, 1) for check in audit.checks() if check.name != "sealed"]
        asked += [(text, {"days": 1.0}) for text in (states._EVENTS, states._TURNS, states._MESSAGES)]
        for text, given in asked:
            cursor.execute(f"EXPLAIN {text}", given or None)
            plan = "\n".join(line for (line,) in cursor.fetchall())
            whole = [f"Seq Scan on {table}" for table in _BIG] + [f"Backward using {table}_pkey" for table in _BIG]
            assert not [walk for walk in whole if walk in plan], plan
