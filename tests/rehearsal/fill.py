"""Fills the tables with history: what an installation has behind it after years, in seconds and without a provider.

All of it is over: nothing filled in is due, held or on its way, so whatever becomes slower by it pays for the past. The
ratios are those of a busy shop: ten messages a conversation, one raw event a message, a turn for every two messages, and
one follow-up of five touches a conversation. A small share still waits for a person, as it always does.
"""

from __future__ import annotations

import math
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model
from psycopg.types.numeric import Int8

from channels.models import Channel, InboundEvent
from conversations.models import Contact, ContactIdentity, Conversation, Message, Turn
from sales.models import FollowUp, Touch

MESSAGES = 10
"""Messages of one conversation: the customer's and ours in turn."""
COHORT = 1000
"""Conversations that run at the same time; their rows lie mixed in the tables, as they do in life."""
TABLES: dict[str, tuple[type[Model], int]] = {
    "contact": (Contact, 1), "identity": (ContactIdentity, 1), "conversation": (Conversation, 1),
    "turn": (Turn, MESSAGES // 2), "message": (Message, MESSAGES), "event": (InboundEvent, MESSAGES),
    "follow_up": (FollowUp, 1), "touch": (Touch, 5),
}  # fmt: skip
"""What is filled, and how many rows of it belong to one conversation."""

# i: number of a conversation, from 0; at: from 400 to 10 days ago, in the order of the ids.
_CONTACTS = """
INSERT INTO conversations_contact (id, phone, phone_index, name, full_name, business_name, name_hashes, is_client, reasoning,
    verdict_final, language, last_message_at, created_at, updated_at, classified_at)
SELECT %(contact)s + i, %(phone)s, encode(sha256(('phone' || %(contact)s + i)::bytea), 'hex'), %(name)s, %(full_name)s,
    %(business_name)s,
    ARRAY[encode(sha256(('one' || i %% 500)::bytea), 'hex'), encode(sha256(('two' || %(contact)s + i)::bytea), 'hex')],
    CASE i %% 10 WHEN 0 THEN false WHEN 1 THEN NULL ELSE true END, %(reasoning)s, i %% 50 = 0, 'ru',
    at, at - interval '1 day', at, at - interval '1 day'
FROM conversation ORDER BY i
"""
_IDENTITIES = """
INSERT INTO conversations_contactidentity (id, contact_id, channel_id, source_id, source_index, created_at)
SELECT %(identity)s + i, %(contact)s + i, channel, %(source_id)s,
    encode(sha256(('source' || %(identity)s + i)::bytea), 'hex'), at - interval '1 day'
FROM conversation ORDER BY i
"""
_CONVERSATIONS = """
INSERT INTO conversations_conversation (id, identity_id, contact_id, channel_id, mode, epoch, cycle, last_seq,
    needs_attention, attention_reason, attention_at, last_inbound_at, last_outbound_at, created_at)
SELECT %(conversation)s + i, %(identity)s + i, %(contact)s + i, channel,
    CASE WHEN i %% 50 = 7 THEN 'manager' WHEN i %% 50 = 8 THEN 'closed' ELSE 'bot' END, 0, %(messages)s / 2, %(messages)s,
    i %% 500 = 9, CASE WHEN i %% 500 = 9 THEN 'wants a person' ELSE '' END, CASE WHEN i %% 500 = 9 THEN at END,
    at - interval '1 minute', at, at - interval '1 day'
FROM conversation ORDER BY i
"""
# n: number of a message, from 0; c: its conversation; s: its place there, from 0; t: its turn.
_TURNS = """
INSERT INTO conversations_turn (id, conversation_id, stage, reason, from_seq, upto_seq, opened_at, due_at, finished_at,
    timeline, intent, emotion, commitment, language, outcome, model, input_tokens, output_tokens, cost, attempts)
SELECT %(turn)s + t, %(conversation)s + c,
    CASE WHEN n %% 5000 = 12 THEN 'failed' WHEN n %% 20 = 2 THEN 'ignored' ELSE 'done' END,
    CASE WHEN n %% 5000 = 12 THEN 'attempts' WHEN n %% 20 = 2 THEN 'not_client' ELSE '' END, s + 1, s + 1, at, at,
    at + interval '2 seconds', '[{"at": "2026-01-01T00:00:00Z", "what": "answer", "ms": 900}]', 'question', 'calm', 'none', 'ru',
    %(outcome)s, 'gemini-main', 900, 120, 0.0004, 1
FROM message WHERE s %% 2 = 0 ORDER BY n
"""
_MESSAGES = """
INSERT INTO conversations_message (id, conversation_id, channel_id, turn_id, seq, direction, author, text, external_id, state,
    state_changed_at, epoch, sent_at, created_at, next_attempt_at, attempts)
SELECT %(message)s + n, %(conversation)s + c, channel, %(turn)s + t, s + 1,
    CASE s %% 2 WHEN 0 THEN 'in' ELSE 'out' END, CASE s %% 2 WHEN 0 THEN 'customer' ELSE 'bot' END, %(text)s,
    'old-' || %(message)s + n,
    CASE WHEN s %% 2 = 0 THEN 'received' WHEN n %% 5000 = 13 THEN 'unconfirmed' WHEN n %% 5000 = 15 THEN 'failed'
        WHEN n %% 3 = 0 THEN 'delivered' ELSE 'read' END,
    at, 0, at, at, at, 1
FROM message ORDER BY n
"""
_EVENTS = """
INSERT INTO channels_inboundevent (id, channel_id, external_id, lane, source, payload, state, reason, received_at, processed_at,
    attempts)
SELECT %(event)s + n, channel, 'old-' || %(event)s + n, left(encode(sha256(('lane' || %(conversation)s + c)::bytea), 'hex'), 32),
    CASE WHEN n %% 50 = 0 THEN 'poll' ELSE 'webhook' END, CASE WHEN n %% 5000 = 17 THEN %(payload)s END,
    CASE WHEN n %% 5000 = 17 THEN 'failed' WHEN s %% 2 = 1 THEN 'ignored' ELSE 'processed' END,
    CASE WHEN n %% 5000 = 17 THEN 'failed too often' ELSE '' END, at, at, 1
FROM message ORDER BY n
"""
_FOLLOW_UPS = """
INSERT INTO sales_followup (id, conversation_id, cycle, cause, anchor_at, state, stop_reason, stopped_at, created_at)
SELECT %(follow_up)s + i, %(conversation)s + i, %(messages)s / 2, CASE i %% 3 WHEN 0 THEN 'vague' ELSE 'silence' END, at,
    CASE WHEN i %% 200 = 5 THEN 'active' WHEN i %% 2 = 0 THEN 'completed' ELSE 'stopped' END,
    CASE WHEN i %% 200 = 5 THEN '' WHEN i %% 2 = 0 THEN 'completed_5_touches' ELSE 'client_responded' END,
    CASE WHEN i %% 200 <> 5 THEN at + interval '5 days' END, at
FROM conversation ORDER BY i
"""
_TOUCHES = """
INSERT INTO sales_touch (id, follow_up_id, number, due_at, planned_at, state, reason, fired_at)
SELECT %(touch)s + i * 5 + number - 1, %(follow_up)s + i, number, planned, planned,
    CASE WHEN active THEN 'planned' WHEN i %% 2 = 0 THEN 'fired' ELSE 'cancelled' END, '',
    CASE WHEN NOT active AND i %% 2 = 0 THEN planned END
FROM (
    SELECT i, i %% 200 = 5 AS active, number,
        CASE WHEN i %% 200 = 5 THEN now() + interval '30 days' ELSE at END + number * interval '1 day' AS planned
    FROM conversation CROSS JOIN generate_series(1, 5) AS number) AS touch
ORDER BY i, number
"""
_OF_CONVERSATIONS = """
WITH conversation AS (
    SELECT i, (%(channels)s::bigint[])[1 + i %% cardinality(%(channels)s::bigint[])] AS channel,
        now() - interval '400 days' + interval '390 days' * ((i / %(size)s + 1)::float8 * %(size)s / %(conversations)s) AS at
    FROM generate_series(0, %(conversations)s - 1) AS i)
"""
_OF_MESSAGES = """
WITH message AS (
    SELECT n, c, s, n / (%(size)s * %(messages)s) * %(size)s * %(messages)s / 2 + s / 2 * %(size)s + n %% %(size)s AS t,
        (%(channels)s::bigint[])[1 + c %% cardinality(%(channels)s::bigint[])] AS channel,
        now() - interval '400 days' + interval '390 days' * (n::float8 / (%(conversations)s * %(messages)s)) AS at
    FROM (
        SELECT n, n / (%(size)s * %(messages)s) * %(size)s + n %% %(size)s AS c,
            n %% (%(size)s * %(messages)s) / %(size)s AS s
        FROM generate_series(0, %(conversations)s * %(messages)s - 1) AS n) AS numbered)
"""


def fill(connection: BaseDatabaseWrapper, rows: int) -> None:
    """Add at least `rows` old messages, as many raw events, and what belongs to them; then let PostgreSQL count them.

    They are spread over the existing channels; where there is none, one is made. May be called again for more.
    """
    conversations = math.ceil(rows / MESSAGES)
    size = min(COHORT, conversations)
    conversations = math.ceil(conversations / size) * size
    with connection.cursor() as cursor:
        # Bound on the server, a small number would be a smallint, and products of them would not fit.
        values: dict[str, Any] = {"conversations": Int8(conversations), "size": Int8(size), "messages": Int8(MESSAGES)}
        values["channels"] = _channels(connection.alias)
        for name, (model, each) in TABLES.items():
            values[name] = Int8(_reserve(cursor, model._meta.db_table, conversations * each))
        values |= _sealed()
        for statement in (_CONTACTS, _IDENTITIES, _CONVERSATIONS, _FOLLOW_UPS, _TOUCHES):
            cursor.execute(_OF_CONVERSATIONS + statement, values)
        for statement in (_TURNS, _MESSAGES, _EVENTS):
            cursor.execute(_OF_MESSAGES + statement, values)
        vacuum = "" if connection.in_atomic_block else "VACUUM "
        for model, _each in TABLES.values():
            cursor.execute(f"{vacuum}ANALYZE {model._meta.db_table}")


def _channels(alias: str) -> list[int]:
    channels = Channel.objects.using(alias)
    found = list(channels.order_by("pk").values_list("pk", flat=True))
    if found:
        return found
    return [channels.create(name="Filled", slug="filled", kind=Channel.Kind.WIDGET, company="Filled").pk]


def _reserve(cursor: Any, table: str, count: int) -> int:
    """Take so many ids of a table at once, and return the first one."""
    cursor.execute(
        "WITH s AS (SELECT pg_get_serial_sequence(%s, 'id')::regclass AS name) SELECT setval(name, nextval(name) + %s) FROM s",
        [table, count],
    )
    return int(cursor.fetchone()[0]) - count


def _sealed() -> dict[str, bytes]:
    """One value for each sealed column, as long as they are in life."""
    text = "Здравствуйте! Доставка по городу бесплатная, по стране — от двух до пяти дней. Куда вам привезти?"
    fields: tuple[tuple[Any, str, Any], ...] = (
        (Contact, "phone", "+77010000000"), (Contact, "name", "Клиент"), (Contact, "full_name", ""),
        (Contact, "business_name", ""), (Contact, "reasoning", text), (ContactIdentity, "source_id", "77010000000@c.us"),
        (Turn, "outcome", {"spin_stage": "situation", "learnt": {"situation": text}}), (Message, "text", text),
        (InboundEvent, "payload", text.encode() * 3),
    )  # fmt: skip
    return {name: model._meta.get_field(name).seal(value) for model, name, value in fields}
