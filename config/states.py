"""How much stands in each state of events, turns, messages, touches and calls, and since when the oldest waits.

What is open is counted whole, by the partial indexes of its states; what has ended is counted for a window of time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Choices
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from channels.models import InboundEvent
from conversations.models import Message, Turn
from foundation.db import now, rows
from sales.models import ScheduledCall, Touch

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
#: How old the oldest row of an open state may be. What waits for a person may wait a day.
LIMITS: dict[Choices, timedelta] = {
    InboundEvent.State.NEW: MINUTE, InboundEvent.State.FAILED: DAY,
    Turn.Stage.TRANSCRIBE: 5 * MINUTE, Turn.Stage.CLASSIFY: 5 * MINUTE, Turn.Stage.ANSWER: 5 * MINUTE,
    Turn.Stage.DELIVER: 10 * MINUTE, Turn.Stage.FAILED: DAY,
    Message.State.QUEUED: 10 * MINUTE, Message.State.SENDING: 2 * MINUTE, Message.State.UNCONFIRMED: DAY,
    Message.State.FAILED: DAY,
    Touch.State.PLANNED: 15 * MINUTE,
    ScheduledCall.Status.SCHEDULED: DAY,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class State:
    """Rows of one kind in one state. `oldest` is the moment since which the longest waiting one is due; None where none is.

    `limit` is how long that may be; without one the rows have ended, and are those of the window.
    """

    kind: str
    label: str
    n: int
    oldest: datetime | None
    limit: timedelta | None
    late: bool
    url: str


def counted(days: float) -> list[tuple[str, list[State]]]:
    """The states of every kind of row, each with its title. `days` is the window of what has ended."""
    at = now()
    groups: Iterable[tuple[str, str, str, type[Any], str]] = (
        (_("Events"), "channels_inboundevent", "state__exact", InboundEvent.State, _EVENTS),
        (_("Turns"), "conversations_turn", "stage__exact", Turn.Stage, _TURNS),
        (_("Messages"), "conversations_message", "state__exact", Message.State, _MESSAGES),
        (_("Touches"), "", "", Touch.State, _TOUCHES),
        (_("Calls"), "sales_scheduledcall", "status__exact", ScheduledCall.Status, _CALLS),
    )
    told = []
    for title, page, query, states, sql in groups:
        found = {row.state: row for row in rows(sql, {"days": days})}
        link = _linked(page, query)
        told.append((title, [_state(title, state, found.get(str(state)), at, link(str(state))) for state in states]))
    return told


def _linked(page: str, query: str) -> Callable[[str], str]:
    address = reverse(f"admin:{page}_changelist") if page else ""
    return lambda state: f"{address}?{urlencode({query: state})}" if address else ""


def _state(kind: str, state: Any, found: Any | None, at: datetime, url: str) -> State:
    limit, oldest = LIMITS.get(state), found.oldest if found else None
    late = limit is not None and oldest is not None and at - oldest > limit
    return State(kind, str(state.label), found.n if found else 0, oldest if limit else None, limit, late, url)


_SINCE = "now() - make_interval(secs => 86400 * %(days)s::float)"

_EVENTS = f"""
SELECT state, count(*) AS n, min(coalesce(next_attempt_at, received_at)) AS oldest FROM channels_inboundevent
WHERE state = 'new' GROUP BY state
UNION ALL
SELECT state, count(*), min(received_at) FROM channels_inboundevent WHERE state = 'failed' GROUP BY state
UNION ALL
SELECT state, count(*), NULL FROM channels_inboundevent
WHERE payload IS NOT NULL AND received_at >= {_SINCE} AND state NOT IN ('new', 'failed') GROUP BY state
"""  # noqa: S608

_TURNS = f"""
SELECT stage AS state, count(*) AS n, min(opened_at) AS oldest FROM conversations_turn
WHERE stage IN ('transcribe', 'classify', 'answer', 'deliver') GROUP BY stage
UNION ALL
SELECT stage, count(*), min(finished_at) FROM conversations_turn WHERE stage = 'failed' GROUP BY stage
UNION ALL
SELECT stage, count(*), NULL FROM conversations_turn
WHERE opened_at >= {_SINCE} AND stage NOT IN ('transcribe', 'classify', 'answer', 'deliver', 'failed') GROUP BY stage
"""  # noqa: S608

# What may not leave before a later hour waits for that hour.
_MESSAGES = f"""
SELECT state, count(*) AS n, min(created_at) AS oldest FROM conversations_message WHERE state = 'queued' GROUP BY state
UNION ALL
SELECT state, count(*), min(state_changed_at) FROM conversations_message WHERE state = 'sending' GROUP BY state
UNION ALL
SELECT state, count(*), min(state_changed_at) FROM conversations_message WHERE state IN ('unconfirmed', 'failed') GROUP BY state
UNION ALL
SELECT state, count(*), NULL FROM conversations_message
WHERE created_at >= {_SINCE} AND state NOT IN ('queued', 'sending', 'unconfirmed', 'failed') GROUP BY state
"""  # noqa: S608

# Touches keep no time of their own when they end: those of follow-ups that began in the window are counted.
_TOUCHES = f"""
SELECT 'planned' AS state, count(*) AS n, min(planned_at) FILTER (WHERE planned_at <= now()) AS oldest
FROM sales_touch WHERE state = 'planned'
UNION ALL
SELECT x.state, count(*), NULL FROM sales_followup f CROSS JOIN LATERAL (
    SELECT state FROM sales_touch WHERE follow_up_id = f.id OFFSET 0) x
WHERE f.anchor_at >= {_SINCE} AND x.state <> 'planned' GROUP BY x.state
"""  # noqa: S608

# A call whose time is over waits for somebody to say whether it took place.
_CALLS = f"""
SELECT status AS state, count(*) AS n, min(ends_at) FILTER (WHERE ends_at <= now()) AS oldest
FROM sales_scheduledcall WHERE status = 'scheduled' GROUP BY status
UNION ALL
SELECT status, count(*), NULL FROM sales_scheduledcall
WHERE status IN ('completed', 'cancelled', 'missed') AND starts_at >= {_SINCE} GROUP BY status
"""  # noqa: S608
