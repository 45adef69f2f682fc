"""Collects the evidence: the fake provider's record, and what the product says of messages that nothing answers."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from . import audit
from .audit import Asked, End, Evidence, Sent
from .harness import ChaosStack
from .load import Player, Said
from .names import Names

QUIET_SECONDS = 120.0
#: Work at rest for so long with messages still unaccounted for: nobody will come back for them. Longer than two polls,
#: a lease and a sweep.
HOPELESS_SECONDS = 40.0
#: So much longer is waited after everything is at rest for what would come twice.
SETTLE_SECONDS = 0.7
MANAGERS_WORDS = "это менеджер"

_MESSAGES = """
SELECT m.external_id, m.conversation_id, coalesce(t.stage, ''), coalesce(t.reason, ''), coalesce(t.degraded, false), c.mode
FROM conversations_message m JOIN conversations_conversation c ON c.id = m.conversation_id
LEFT JOIN conversations_turn t ON t.id = m.turn_id
WHERE m.direction = 'in' AND m.external_id = ANY(%s)
"""
_EVENTS = "SELECT external_id, state, reason FROM channels_inboundevent WHERE external_id = ANY(%s)"
_TAKEOVERS = """
SELECT conversation_id, extract(epoch FROM min(pg_xact_commit_timestamp(xmin)))::float
FROM conversations_takeover WHERE mode = 'manager' AND conversation_id = ANY(%s) GROUP BY conversation_id
"""
_DEGRADED = """
SELECT conversation_id, count(*) FROM conversations_turn
WHERE (degraded OR reason IN ('unheard', 'untraceable')) AND conversation_id = ANY(%s) GROUP BY conversation_id
"""
_UNCONFIRMED = """
SELECT count(*) FROM conversations_message WHERE state = 'unconfirmed' AND conversation_id = ANY(%s)
"""
#: Turns in somebody's hands: a step's lease, or that of the message on its way.
_LEASED = """
SELECT t.id FROM conversations_turn t WHERE t.stage IN ('transcribe', 'classify', 'answer', 'deliver')
  AND (t.leased_until > now() OR EXISTS (
    SELECT 1 FROM conversations_message m
    WHERE m.turn_id = t.id AND m.direction = 'out' AND m.state = 'sending' AND m.leased_until > now()))
"""
#: When the last of these turns had its next entry: what joins it is not anybody's work.
_RESUMED = """
SELECT extract(epoch FROM max(next)) FROM (
    SELECT min((entry->>'at')::timestamptz) AS next
    FROM conversations_turn t CROSS JOIN jsonb_array_elements(t.timeline) AS entry
    WHERE (entry->>'at')::timestamptz > to_timestamp(%s) AND entry->>'what' NOT IN ('received', 'joined') AND t.id = ANY(%s)
    GROUP BY t.id) AS entries
"""
#: Work that somebody will still do by itself. An unconfirmed message is looked up in the history after ten seconds; what
#: was looked up in vain is put off for a minute.
_AT_WORK = """
SELECT (SELECT count(*) FROM channels_inboundevent WHERE state = 'new'),
    (SELECT count(*) FROM conversations_turn WHERE stage IN ('transcribe', 'classify', 'answer', 'deliver')),
    (SELECT count(*) FROM conversations_message WHERE state IN ('queued', 'sending')),
    (SELECT count(*) FROM conversations_message WHERE state = 'unconfirmed' AND state_changed_at > now() - interval '16 seconds'
        AND next_attempt_at < now() + interval '50 seconds')
"""
AT_WORK = ("events", "turns", "messages", "unconfirmed")


@dataclass(frozen=True, slots=True)
class Quiet:
    """How the wait for quiet ended."""

    at: float
    """Unix seconds."""
    seconds: float
    """How long it took, from the end of the fault."""
    at_work: dict[str, int]
    """What was still unfinished when patience ended; empty: all was at rest."""

    def since(self, over: float) -> float:
        return max(0.0, self.at - over)


@dataclass(frozen=True, slots=True)
class InHand:
    """The turns that somebody had in hand at a moment."""

    at: float
    turns: list[int]

    @classmethod
    def now(cls, stack: ChaosStack) -> InHand:
        at = time.time()
        return cls(at, [row[0] for row in stack.rows(_LEASED)])

    def resumed(self, stack: ChaosStack) -> float | None:
        """Seconds until something was done about the last of them; None: there were none, or people have taken them."""
        (found,) = stack.rows(_RESUMED, self.at, self.turns)
        return None if found[0] is None else float(found[0]) - self.at


class Witness:
    """Watches one fault's messages."""

    def __init__(self, stack: ChaosStack, player: Player, names: Names) -> None:
        self.stack, self.player, self.names = stack, player, names
        self.ledger: list[Sent] = []
        self._events: dict[str, str] = {}
        """Message → the raw event that brought it, both as the product calls them."""

    # ── Providers' records ───────────────────────────────────────────────────────────────────────────────────────────
    def read(self) -> tuple[list[Sent], list[Asked], int]:
        """What was accepted, what was said, and how many webhooks are still to come."""
        record = self.stack.record(len(self.ledger))
        self.ledger += [_sent(entry) for entry in record["ledger"]]
        shown = record["shown"]
        asked = [
            Asked(said.token, phone, self._id(phone, said), times.get("begun", 0.0), times.get("known"))
            for phone, said in self.player.said
            for times in (shown.get(said.id, {}),)
        ]
        phones = {one.phone for one in asked}
        return [sent for sent in self.ledger if sent.phone in phones], asked, record["coming"]

    def _id(self, phone: str, said: Said) -> str:
        message = self.names.message(phone, said.id)
        if message not in self._events:
            self._events[message] = self.names.event(phone, said.id)
        return message

    # ── Quiet ────────────────────────────────────────────────────────────────────────────────────────────────────────
    def wait_for_quiet(self) -> Quiet:
        """Until every message is accounted for and nothing is at work, or patience ends."""
        begun = resting = time.monotonic()
        while True:
            sent, asked, coming = self.read()
            ends = self.ends(audit.unanswered(sent, asked), sent)
            at_work = self.at_work()
            open_ends = [end for end in ends.values() if end.word in (audit.PENDING, audit.LOST)]
            if coming or at_work:
                resting = time.monotonic()
            elif not open_ends:
                time.sleep(SETTLE_SECONDS)
                if not self.at_work():
                    return Quiet(time.time() - SETTLE_SECONDS, 0.0, {})
            waited = time.monotonic() - begun
            if waited > QUIET_SECONDS or time.monotonic() - resting > HOPELESS_SECONDS:
                return Quiet(time.time(), 0.0, at_work)
            time.sleep(0.4)

    def at_work(self) -> dict[str, int]:
        """What is unfinished, by kind."""
        (counts,) = self.stack.rows(_AT_WORK)
        work = {name: count for name, count in zip(AT_WORK, counts, strict=True) if count}
        if not self.names.history:
            # Nobody looks them up: a status may still settle them, which is waited for as a webhook to come.
            work.pop("unconfirmed", None)
        return work

    # ── The product's word ───────────────────────────────────────────────────────────────────────────────────────────
    def ends(self, asked: Sequence[Asked], sent: Iterable[Sent]) -> dict[str, End]:
        """By token: what the product says of messages that no send answers."""
        if not asked:
            return {}
        ids = [one.id for one in asked]
        messages = {row[0]: row[1:] for row in self.stack.rows(_MESSAGES, ids)}
        events = {row[0]: row[1:] for row in self.stack.rows(_EVENTS, [self._events[one] for one in ids])}
        bare = {one.phone for one in sent if one.by_bot and not one.tokens}
        taken = {takeover.phone for takeover in self.player.taken_over}
        return {
            one.token: _end_of_message(*messages[one.id][1:], one.phone in bare, one.phone in taken)
            if one.id in messages
            else _end_of_event(*events.get(self._events[one.id], ("", "")))
            for one in asked
        }

    def evidence(self) -> Evidence:
        """All of it, now."""
        sent, asked, _coming = self.read()
        conversations = self._conversations(asked)
        ids = list(conversations)
        return Evidence(
            sent, asked,
            ends=self.ends(audit.unanswered(sent, asked), sent),
            takeovers={conversations[row[0]]: row[1] for row in self.stack.rows(_TAKEOVERS, ids)},
            degraded={conversations[row[0]]: row[1] for row in self.stack.rows(_DEGRADED, ids)},
        )  # fmt: skip

    def unconfirmed(self) -> int:
        """Sends of which nobody knows whether they arrived."""
        _sent, asked, _coming = self.read()
        return int(self.stack.rows(_UNCONFIRMED, list(self._conversations(asked)))[0][0])

    def _conversations(self, asked: Sequence[Asked]) -> dict[int, str]:
        """Conversation → phone."""
        phones = {one.id: one.phone for one in asked}
        return {row[1]: phones[row[0]] for row in self.stack.rows(_MESSAGES, list(phones))}


def _sent(entry: dict[str, object]) -> Sent:
    text = str(entry["text"])
    return Sent(
        int(str(entry["number"])), str(entry["phone"]), text, float(str(entry["begun"])), str(entry["message_id"]),
        by_bot=MANAGERS_WORDS not in text,
    )  # fmt: skip


def _end_of_message(stage: str, reason: str, degraded: bool, mode: str, has_bare_reply: bool, taken: bool) -> End:
    """What became of a stored message by its turn and conversation. `taken`: a manager of ours did take it over."""
    if stage == "done" and has_bare_reply and (degraded or reason):
        return End(audit.OFFLINE)
    if stage == "done":
        return End(audit.LOST, f"its turn is done{f', {reason}' if reason else ''}")
    if mode == "manager":
        return End(audit.TAKEN) if taken else End(audit.LOST, "taken over by nobody")
    if stage == "ignored":
        return End(audit.IGNORED, reason)
    if stage == "failed":
        return End(audit.ATTENTION, reason)
    if stage in ("superseded", "dismissed"):
        return End(audit.LOST, f"its turn is {stage}{f', {reason}' if reason else ''}")
    return End(audit.PENDING, f"its turn is at {stage}" if stage else "it waits for a turn")


def _end_of_event(state: str, reason: str) -> End:
    """What became of a message of which only the raw event is stored, or nothing at all."""
    if state == "failed":
        return End(audit.ATTENTION, reason)
    if state == "ignored":
        return End(audit.IGNORED, reason)
    return End(audit.PENDING, "its event is new") if state else End(audit.LOST, "never seen by the product")

