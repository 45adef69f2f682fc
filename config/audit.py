"""The invariants, asked of the rows themselves: each check is one bounded query that finds what must never be.

Bounded means: it reads a window of time by an index, open rows by a partial index, or the newest rows of a table, never all
of a table. Names of invariants (I1 …) and of security items (S23) are those of the design.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from channels.registry import ADAPTERS, adapter_class
from conversations import notices
from foundation.crypto import key_prefix
from foundation.db import execute, rows
from foundation.fields import EncryptedField

logger = logging.getLogger(__name__)

#: Violations of one check that are named; how many more there are is not counted.
NAMED = 20
#: Seconds that one check may take.
SECONDS = 5
#: The newest rows of each table whose encrypted columns are looked at.
NEWEST = 20_000
#: The subject of the notice on the attention page, and where it leads.
NOTICE, PAGE = "audit", "admin:status"

_OPEN = "('transcribe', 'classify', 'answer', 'deliver')"
_LEFT = "('sent', 'delivered', 'read')"
#: What a provider had in hand when something forbade it may still leave: a send ends within this time.
_IN_HAND = "interval '60 seconds'"
_OUT = f"m.created_at >= %(since)s AND m.direction = 'out' AND m.state IN {_LEFT}"


@dataclass(frozen=True, slots=True)
class Check:
    """`sql` selects `id` (and `note`) of every row that breaks what `what` says; it knows `since`, `kinds` and key prefixes.

    `page` is the name of the admin's address of such a row; without one it is found by the table named in the note.
    """

    name: str
    invariant: str
    what: str | Promise
    sql: str
    page: str = ""


# ruff: noqa: S608  the statements hold our own constants only
CHECKS: tuple[Check, ...] = (
    Check(
        "event_has_an_end", "I1", gettext_lazy("An event that ended says how: processed, or not, with the reason."),
        """
        SELECT id FROM channels_inboundevent WHERE payload IS NOT NULL AND received_at >= %(since)s AND (
            (state = 'processed' AND processed_at IS NULL) OR (state IN ('ignored', 'failed', 'dismissed') AND reason = ''))
        """,
        "admin:channels_inboundevent_change",
    ),
    # An id that might have carried a phone is stored as a keyed hash, by which no message can be found. OFFSET keeps the
    # planner from reading all messages once where many events look for theirs by the index.
    Check(
        "event_has_its_message", "I1", gettext_lazy("The event of a message that was processed has left that message."),
        """
        SELECT e.id FROM channels_inboundevent e
        WHERE e.payload IS NOT NULL AND e.received_at >= %(since)s AND e.state = 'processed'
          AND e.external_id LIKE 'message:%%' AND e.external_id !~ '^message:[0-9a-f]{64}$' AND NOT EXISTS (
            SELECT FROM conversations_message m
            WHERE m.channel_id = e.channel_id AND m.external_id = substring(e.external_id FROM 9) OFFSET 0)
        """,
        "admin:channels_inboundevent_change",
    ),
    Check(
        "event_is_not_stuck", "I1", gettext_lazy("No event waits longer than ten minutes beyond its time."),
        """
        SELECT id FROM channels_inboundevent
        WHERE state = 'new' AND greatest(received_at, leased_until, next_attempt_at) < now() - interval '10 minutes'
        """,
        "admin:channels_inboundevent_change",
    ),
    Check(
        "message_has_a_turn", "I3", gettext_lazy("What a customer wrote belongs to a turn, or the open turn's end opens one."),
        f"""
        SELECT m.id FROM conversations_message m JOIN conversations_conversation c ON c.id = m.conversation_id
        WHERE m.direction = 'in' AND m.turn_id IS NULL AND m.created_at >= %(since)s
          AND m.created_at < now() - interval '10 minutes' AND c.mode = 'bot' AND NOT EXISTS (
            SELECT FROM conversations_turn t WHERE t.conversation_id = c.id AND t.stage IN {_OPEN})
        """,
        "admin:conversations_message_change",
    ),
    Check(
        "turn_has_an_end", "I3", gettext_lazy("A turn that ended says when; one that was ignored or failed says why."),
        f"""
        SELECT id FROM conversations_turn WHERE opened_at >= %(since)s AND stage NOT IN {_OPEN}
          AND (finished_at IS NULL OR (stage IN ('ignored', 'failed') AND reason = ''))
        """,
        "admin:conversations_turn_change",
    ),
    Check(
        "turn_has_its_reply", "I3", gettext_lazy("A turn that is done has answered."),
        """
        SELECT t.id FROM conversations_turn t
        WHERE t.opened_at >= %(since)s AND t.stage = 'done' AND t.trigger = 'inbound' AND NOT EXISTS (
            SELECT FROM conversations_message m WHERE m.turn_id = t.id AND m.direction = 'out' AND m.state <> 'suppressed')
        """,
        "admin:conversations_turn_change",
    ),
    Check(
        "turn_is_not_stuck", "I3", gettext_lazy("A turn whose worker died or whose hour has come is taken up within minutes."),
        f"""
        SELECT t.id FROM conversations_turn t WHERE t.stage IN {_OPEN} AND t.stage <> 'deliver'
          AND (t.leased_until < now() - interval '2 minutes'
               OR (t.leased_until IS NULL AND t.due_at < now() - interval '10 minutes'))
        UNION ALL
        SELECT t.id FROM conversations_turn t WHERE t.stage = 'deliver' AND t.due_at < now() - interval '10 minutes'
          AND NOT EXISTS (
            SELECT FROM conversations_message m
            WHERE m.turn_id = t.id AND m.direction = 'out' AND m.state IN ('queued', 'sending'))
        """,
        "admin:conversations_turn_change",
    ),
    Check(
        "one_reply_a_turn", "I4",
        gettext_lazy("A turn sends one reply: its messages were written at once, one behind the other."),
        """
        SELECT m.turn_id AS id FROM conversations_message m
        WHERE m.created_at >= %(since)s AND m.direction = 'out' AND m.turn_id IS NOT NULL GROUP BY m.turn_id
        HAVING max(m.seq) - min(m.seq) + 1 <> count(*)
            OR max(m.created_at) FILTER (WHERE m.author = 'bot')
               - min(m.created_at) FILTER (WHERE m.author = 'bot') > interval '5 seconds'
        UNION
        SELECT t.id FROM conversations_turn t
        WHERE t.opened_at >= %(since)s
          AND jsonb_array_length(jsonb_path_query_array(t.timeline, '$[*] ? (@.what == "deliver")')) > 1
        """,
        "admin:conversations_turn_change",
    ),
    Check(
        "send_is_not_stuck", "I5", gettext_lazy("A message whose sender died becomes unconfirmed within two minutes."),
        """
        SELECT id FROM conversations_message
        WHERE state = 'sending' AND coalesce(leased_until, state_changed_at) < now() - interval '2 minutes'
        """,
        "admin:conversations_message_change",
    ),
    Check(
        "sent_has_its_id", "I6", gettext_lazy("What was sent carries the provider's id, where the channel gives one."),
        # A manager's word that it arrived brings no id, and leaves the token of the attempt whose answer was lost.
        f"""
        SELECT m.id FROM conversations_message m JOIN channels_channel ch ON ch.id = m.channel_id
        WHERE {_OUT} AND m.external_id IS NULL AND m.lease_token IS NULL AND ch.kind = ANY(%(kinds)s)
        """,
        "admin:conversations_message_change",
    ),
    Check(
        "sent_in_order", "I7", gettext_lazy("The messages of a conversation leave in their order."),
        # Left out: what was sent again by hand (it was stored anew, after what follows it), and what was found in the
        # provider's history or told by an echo (nobody knows when exactly it left: `sent_at` is not our own).
        f"""
        SELECT id FROM (
            SELECT id, sent_at, lag(sent_at) OVER (PARTITION BY conversation_id ORDER BY seq) AS before FROM (
                SELECT m.id, m.conversation_id, m.seq, m.sent_at, m.created_at, m.attempts,
                    min(m.created_at) OVER (PARTITION BY m.conversation_id ORDER BY m.seq
                        ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS following
                FROM conversations_message m WHERE {_OUT}) AS ours
            WHERE attempts > 0 AND sent_at > created_at AND created_at <= coalesce(following, created_at)) AS sent
        WHERE sent_at < before
        """,
        "admin:conversations_message_change",
    ),
    Check(
        "nothing_after_a_takeover", "I8",
        gettext_lazy("What was composed before a person took over does not leave afterwards."),
        f"""
        SELECT m.id FROM conversations_message m WHERE {_OUT} AND m.author = 'bot' AND EXISTS (
            SELECT FROM conversations_takeover k WHERE k.conversation_id = m.conversation_id AND k.mode <> 'bot'
              AND k.after_seq >= m.seq AND k.at < m.sent_at - {_IN_HAND} OFFSET 0)
        """,
        "admin:conversations_message_change",
    ),
    Check(
        "nothing_waits_behind_a_takeover", "I8", gettext_lazy("Nothing of the assistant waits where a person leads."),
        f"""
        SELECT m.id, 'conversations_message' AS note
        FROM conversations_message m JOIN conversations_conversation c ON c.id = m.conversation_id
        WHERE m.state = 'queued' AND m.author = 'bot' AND (c.mode <> 'bot' OR c.epoch <> m.epoch)
        UNION ALL
        SELECT t.id, 'conversations_turn' AS note
        FROM conversations_turn t JOIN conversations_conversation c ON c.id = t.conversation_id
        WHERE t.stage IN {_OPEN} AND c.mode <> 'bot'
        """,
    ),
    Check(
        "touch_made_once", "I9", gettext_lazy("A follow-up message that left is the one its touch stands for."),
        f"""
        SELECT DISTINCT m.turn_id AS id FROM conversations_message m JOIN conversations_turn t ON t.id = m.turn_id
        WHERE {_OUT} AND m.cycle IS NOT NULL AND t.trigger = 'follow_up'
          AND NOT EXISTS (SELECT FROM sales_touch x WHERE x.turn_id = t.id AND x.state = 'fired')
        """,
        "admin:conversations_turn_change",
    ),
    Check(
        "no_touch_after_a_reply", "I9",
        gettext_lazy("No follow-up message leaves after the customer wrote or the follow-up ended."),
        f"""
        SELECT m.id FROM conversations_message m WHERE {_OUT} AND m.cycle IS NOT NULL AND (EXISTS (
            SELECT FROM conversations_message i WHERE i.conversation_id = m.conversation_id AND i.seq > m.seq
              AND i.direction = 'in' AND i.created_at < m.sent_at - {_IN_HAND}) OR EXISTS (
            SELECT FROM sales_touch x JOIN sales_followup f ON f.id = x.follow_up_id
            WHERE x.turn_id = m.turn_id AND f.state = 'stopped' AND f.stopped_at < m.sent_at - {_IN_HAND}))
        """,
        "admin:conversations_message_change",
    ),
    Check(
        "no_touch_of_an_ended_follow_up", "I9", gettext_lazy("A follow-up that has ended has nothing planned."),
        """
        SELECT x.follow_up_id AS id FROM sales_touch x
        WHERE x.state = 'planned' AND x.planned_at < now() - interval '10 minutes' AND EXISTS (
            SELECT FROM sales_followup f WHERE f.id = x.follow_up_id AND f.state <> 'active' OFFSET 0)
        """,
        "admin:sales_followup_change",
    ),
    Check(
        "no_touch_after_an_opt_out", "I9", gettext_lazy("Who does not want to be written to gets no follow-up message."),
        f"""
        SELECT m.id FROM conversations_message m
        JOIN conversations_conversation c ON c.id = m.conversation_id JOIN conversations_contact k ON k.id = c.contact_id
        WHERE {_OUT} AND m.cycle IS NOT NULL AND k.opted_out_at < m.sent_at - {_IN_HAND}
        """,
        "admin:conversations_message_change",
    ),
    Check(
        "calls_do_not_overlap", "I9", gettext_lazy("No manager has two calls at the same time."),
        """
        SELECT a.id FROM sales_scheduledcall a JOIN sales_scheduledcall b
            ON b.manager_id = a.manager_id AND b.id <> a.id AND b.status = 'scheduled'
            AND b.starts_at < a.ends_at AND b.ends_at > a.starts_at AND b.starts_at > a.starts_at - interval '1 day'
        WHERE a.status = 'scheduled' AND a.starts_at >= %(since)s
        """,
        "admin:sales_scheduledcall_change",
    ),
)  # fmt: skip


def _encrypted() -> Iterator[tuple[str, str, str]]:
    """Table, primary key and column of every encrypted field, quoted."""
    quote = connection.ops.quote_name
    for model in apps.get_models():
        for field in model._meta.local_fields:
            if isinstance(field, EncryptedField):
                table, pk = model._meta.db_table, str(model._meta.pk.column)
                yield quote(table), quote(pk), quote(str(field.column))


def _sealed() -> Check:
    """Whether the newest values of every encrypted column begin with the mark of a key that is configured."""
    prefixes = [key_prefix(key_id) for key_id in settings.ENCRYPTION_KEYS]
    parts = []
    for table, pk, column in _encrypted():
        known = " OR ".join(
            f"substring({column} FROM 1 FOR {len(prefix)}) = %(key{number})s" for number, prefix in enumerate(prefixes)
        )
        newest = f"SELECT {pk}, {column} FROM {table} ORDER BY {pk} DESC LIMIT {NEWEST}"
        place = f"{table}.{column}".replace('"', "")
        parts.append(
            f"SELECT {pk} AS id, '{place}' AS note FROM ({newest}) AS newest WHERE {column} IS NOT NULL AND NOT ({known})"
        )
    return Check("sealed", "S23", gettext_lazy("Personal data and credentials are encrypted with a key that is configured."),
                 "\nUNION ALL\n".join(parts))  # fmt: skip


def checks() -> tuple[Check, ...]:
    """All checks, those that follow from the models among them."""
    return (*CHECKS, _sealed())


@dataclass(frozen=True, slots=True)
class Violation:
    """A row that breaks an invariant. `note` is the table, or table and column, where the check looks at several."""

    id: int
    note: str
    url: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: at most NAMED violations, and whether there are more. `error` where it could not be asked."""

    name: str
    invariant: str
    what: str
    violations: tuple[Violation, ...]
    more: bool
    ms: int
    error: str = ""

    @property
    def ok(self) -> bool:
        return not self.violations and not self.error


def run(days: float = 1, *, only: Sequence[str] = (), seconds: int = SECONDS) -> list[Finding]:
    """Ask every check (or `only` those) about the last `days`. A check that takes longer than `seconds` says so."""
    return [_ask(check, days, seconds) for check in checks() if not only or check.name in only]


def _ask(check: Check, days: float, seconds: int) -> Finding:
    started, found, error = time.monotonic(), list[Any](), ""
    try:
        with transaction.atomic():
            execute("SELECT set_config('statement_timeout', %(ms)s, true)", {"ms": str(seconds * 1000)})
            found = rows(*statement(check, days))
    except OperationalError as failure:
        logger.warning("check not answered", extra={"check": check.name, "error": type(failure.__cause__).__name__})
        error = _("no answer within %(seconds)d s") % {"seconds": seconds}
    violations = tuple(
        Violation(row.id, getattr(row, "note", ""), _url(check, row.id, getattr(row, "note", ""))) for row in found[:NAMED]
    )
    ms = round(1000 * (time.monotonic() - started))
    return Finding(check.name, check.invariant, str(check.what), violations, len(found) > NAMED, ms, error)


def statement(check: Check, days: float) -> tuple[str, dict[str, Any]]:
    """The bounded query of a check, and its values."""
    given: dict[str, Any] = {
        "days": days, "kinds": [kind for kind in ADAPTERS if adapter_class(kind).capabilities.receipts],
        **{f"key{number}": key_prefix(key_id) for number, key_id in enumerate(settings.ENCRYPTION_KEYS)},
    }  # fmt: skip
    # A moment in the statement itself, not computed here: the rows' times are the database's.
    text = check.sql.replace("%(since)s", "(now() - make_interval(secs => 86400 * %(days)s::float))")
    # Materialized: for the first few by id the planner would rather walk the whole primary key backwards.
    sql = f"WITH violations AS MATERIALIZED ({text}) SELECT * FROM violations ORDER BY id DESC LIMIT {NAMED + 1}"
    return sql, {name: value for name, value in given.items() if f"%({name})s" in sql}


def _url(check: Check, pk: int, note: str) -> str:
    """The address of the row's page in the admin; empty where it has none."""
    page = check.page
    if not page:
        table = note.partition(".")[0]
        model = next((model for model in apps.get_models() if model._meta.db_table == table), None)
        page = f"admin:{model._meta.app_label}_{model._meta.model_name}_change" if model else ""
    try:
        return reverse(page, args=(pk,))
    except NoReverseMatch:
        return ""


def as_json(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """The findings as plain values."""
    return [{**asdict(finding), "ok": finding.ok} for finding in findings]


def report() -> bool:
    """The daily audit: what is wrong is logged as an error and stands on the attention page. Returns whether all is well."""
    bad = [finding for finding in run(1.5, seconds=60) if not finding.ok]
    if not bad:
        notices.withdraw(NOTICE)
        return True
    for finding in bad:
        ids = ", ".join(str(violation.id) for violation in finding.violations)
        logger.error("invariant broken", extra={"check": finding.name, "rows": ids, "why": finding.error})
    text = ngettext(
        "The daily audit found %(n)d rule broken: %(names)s", "The daily audit found %(n)d rules broken: %(names)s", len(bad)
    )
    notices.put(NOTICE, text % {"n": len(bad), "names": ", ".join(finding.name for finding in bad)}, PAGE)
    return False
