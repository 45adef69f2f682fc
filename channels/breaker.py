"""A circuit breaker per channel for sending: a provider that is away is asked by one message at a time, not by all.

It is a row, so that it survives restarts, is the same for all processes and can be shown. A channel that is well has no
row, and asking costs nothing: whoever claims a message for sending joins this table (`OPEN`). All times are PostgreSQL's.

    no row ─ failure ─▶ counting ─ OPENS_AFTER in a row, or “not before …” ─▶ open ─ retry_at ─▶ one probe
       ▲                   │ success                                           ▲ ◀── failure ────┤
       └───────────────────┴────────── nothing waits ◀── paced backlog ◀───────│───── success ───┘
                                                             └─ failures ──────┘
"""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from foundation import steps
from foundation.db import execute, row, rows
from foundation.errors import ProviderError, Retry
from foundation.leases import LEASE

from . import log
from .base import Adapter
from .models import Channel, ChannelBreaker, ChannelLog

logger = logging.getLogger(__name__)

#: Failed sends in a row that pause a channel, and that end a recovery.
OPENS_AFTER = 5
RELAPSES_AFTER = 3
#: Seconds of a pause for which the provider named none: as long as the outage has lasted so far, within these.
SHORTEST_PAUSE, LONGEST_PAUSE = 10.0, 60.0
#: Channels that recover at the same time, each by one thread of a worker; the others take turns.
MOST_DRAINING = 8
#: Slower than this is not a rate but a mistake.
SLOWEST_RATE = 0.1

#: For SQL that claims messages, with `b` the channel's row of this table, if any: whether the claim is refused.
OPEN = "(b.opened_at IS NOT NULL AND coalesce(b.lease_token <> %(drain)s::uuid, true))"

_COUNT = """
INSERT INTO channels_channelbreaker AS b (channel_id, failures, reason, opened_at, retry_at)
VALUES (%(channel)s, 1, %(reason)s, CASE WHEN %(named)s THEN now() END,
    CASE WHEN %(named)s THEN now() + make_interval(secs => %(after)s) END)
ON CONFLICT (channel_id) DO UPDATE
SET failures = b.failures + 1, reason = EXCLUDED.reason,
    opened_at = CASE WHEN b.opened_at IS NOT NULL THEN b.opened_at
        WHEN %(named)s OR b.failures + 1 >= %(opens_after)s THEN now() END,
    retry_at = CASE WHEN b.opened_at IS NULL THEN
            CASE WHEN %(named)s OR b.failures + 1 >= %(opens_after)s THEN now() + make_interval(secs => %(after)s) END
        WHEN %(named)s THEN greatest(b.retry_at, now() + make_interval(secs => %(after)s))
        ELSE b.retry_at END
RETURNING failures, opened_at IS NOT NULL AS open, opened_at IS NOT DISTINCT FROM now() AS opened
"""

_RELAPSE = """
UPDATE channels_channelbreaker b
SET failures = b.failures + 1, reason = %(reason)s,
    opened_at = CASE WHEN b.recovered_at IS NOT NULL AND (%(named)s OR b.failures + 1 >= %(relapses_after)s)
        THEN now() ELSE b.opened_at END,
    recovered_at = CASE WHEN NOT (%(named)s OR b.failures + 1 >= %(relapses_after)s) THEN b.recovered_at END,
    retry_at = now() + CASE
        WHEN b.recovered_at IS NOT NULL AND NOT (%(named)s OR b.failures + 1 >= %(relapses_after)s) THEN interval '0'
        WHEN %(named)s OR b.recovered_at IS NOT NULL THEN make_interval(secs => %(after)s)
        ELSE greatest(make_interval(secs => %(after)s), least(now() - b.opened_at, make_interval(secs => %(longest)s))) END
WHERE b.channel_id = %(channel)s AND b.lease_token = %(drain)s
RETURNING failures, recovered_at IS NULL AS open, opened_at IS NOT DISTINCT FROM now() AS opened
"""


def failed(channel_id: int, error: ProviderError, *, drain: UUID | None = None) -> bool:
    """Note a send that the channel's provider did not take. `drain` is the lease of whoever drains it.

    Returns whether the channel is paused now.
    """
    after = error.after if isinstance(error, Retry) else None
    found = row(
        _COUNT if drain is None else _RELAPSE,
        {
            "channel": channel_id, "drain": drain, "reason": str(error)[:300], "named": after is not None,
            "after": SHORTEST_PAUSE if after is None else after, "longest": LONGEST_PAUSE,
            "opens_after": OPENS_AFTER, "relapses_after": RELAPSES_AFTER,
        },
    )  # fmt: skip
    if found is None:
        return True  # the lease was lost: somebody else drains
    if found.opened:
        log.note(channel_id, "sending paused", str(error), ChannelLog.Level.WARNING)
        told = {"channel_id": channel_id, "failures": found.failures, "code": error.code}
        logger.warning("channel breaker opened", extra=told)
        pause = SHORTEST_PAUSE if after is None else after
        if pause <= LONGEST_PAUSE:
            steps.start("drain", channel_id, delay=pause)
    return bool(found.open)


def succeeded(channel_id: int, *, drain: UUID | None = None) -> None:
    """Note that the provider took a message, where there are failures on record."""
    if drain is None:
        execute(
            "DELETE FROM channels_channelbreaker WHERE channel_id = %(channel)s AND opened_at IS NULL", {"channel": channel_id}
        )
        return
    found = row(
        """
        UPDATE channels_channelbreaker SET failures = 0, recovered_at = coalesce(recovered_at, now())
        WHERE channel_id = %(channel)s AND lease_token = %(drain)s AND (failures > 0 OR recovered_at IS NULL)
        RETURNING recovered_at = now() AS recovered
        """,
        {"channel": channel_id, "drain": drain},
    )
    if found is not None and found.recovered:
        log.note(channel_id, "sending again")
        logger.info("channel breaker recovers", extra={"channel_id": channel_id})


# ── Draining ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def due() -> list[int]:
    """The paused channels whose time has come and that nobody drains, the longest waiting first, as many as may at once."""
    found = rows(
        """
        SELECT b.channel_id FROM channels_channelbreaker b JOIN channels_channel ch ON ch.id = b.channel_id AND ch.enabled
        WHERE b.opened_at IS NOT NULL AND (b.retry_at IS NULL OR b.retry_at <= now())
          AND (b.leased_until IS NULL OR b.leased_until < now())
        ORDER BY b.drained_at NULLS FIRST, b.channel_id
        LIMIT greatest(0, %(most)s - (SELECT count(*) FROM channels_channelbreaker WHERE leased_until >= now()))
        """,
        {"most": MOST_DRAINING},
    )
    return [breaker.channel_id for breaker in found]


def enter(channel_id: int) -> Any | None:
    """The lease of the one who may send on a paused channel: `lease_token`, `forced`. None: not yet, or somebody has it."""
    return row(
        f"""
        UPDATE channels_channelbreaker b
        SET lease_token = gen_random_uuid(), leased_until = now() + {LEASE}, drained_at = now()
        FROM channels_channel ch
        WHERE b.channel_id = %(channel)s AND ch.id = b.channel_id AND ch.enabled AND b.opened_at IS NOT NULL
          AND (b.retry_at IS NULL OR b.retry_at <= now()) AND (b.leased_until IS NULL OR b.leased_until < now())
        RETURNING b.lease_token, b.retry_at IS NULL AS forced
        """,  # noqa: S608
        {"channel": channel_id},
    )


def leave(channel_id: int, drain: UUID) -> None:
    """Let the next one drain."""
    execute(
        """
        UPDATE channels_channelbreaker SET lease_token = NULL, leased_until = NULL
        WHERE channel_id = %(channel)s AND lease_token = %(drain)s
        """,
        {"channel": channel_id, "drain": drain},
    )


def emptied(channel_id: int, drain: UUID) -> None:
    """Nothing waits any more: the channel sends as ever. Where no message proved it well, the next failure pauses it again."""
    proven = execute(
        """
        DELETE FROM channels_channelbreaker
        WHERE channel_id = %(channel)s AND lease_token = %(drain)s AND recovered_at IS NOT NULL
        """,
        {"channel": channel_id, "drain": drain},
    )
    if not proven:
        execute(
            """
            UPDATE channels_channelbreaker
            SET opened_at = NULL, retry_at = NULL, lease_token = NULL, leased_until = NULL, failures = %(failures)s
            WHERE channel_id = %(channel)s AND lease_token = %(drain)s
            """,
            {"channel": channel_id, "drain": drain, "failures": OPENS_AFTER - 1},
        )


def spacing(channel: Channel, adapter: Adapter) -> float:
    """Seconds from one send to the next while a channel's backlog drains."""
    rate = (channel.options or {}).get("sends_per_second")
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not rate > 0:
        rate = adapter.capabilities.sends_per_second
    return 0.0 if rate is None else 1 / max(float(rate), SLOWEST_RATE)


def try_now(channel_id: int) -> bool:
    """Do not wait for the end of the pause. False: sending is not paused."""
    found = execute(
        "UPDATE channels_channelbreaker SET retry_at = NULL "
        "WHERE channel_id = %(channel)s AND opened_at IS NOT NULL AND recovered_at IS NULL",
        {"channel": channel_id},
    )
    if found:
        steps.start("drain", channel_id)
    return bool(found)


# ── For people ───────────────────────────────────────────────────────────────────────────────────────────────────────


def of(channel: Channel) -> ChannelBreaker | None:
    """The breaker of a channel while sending is paused or the backlog drains."""
    breaker: ChannelBreaker | None = getattr(channel, "breaker", None)
    return breaker if breaker is not None and breaker.opened_at is not None else None


def is_paused(channel: Channel) -> bool:
    """Whether the channel's provider does not take messages at present."""
    breaker = of(channel)
    return breaker is not None and breaker.recovered_at is None


def words(breaker: ChannelBreaker) -> str:
    """How sending stands, for a manager: `paused until 14:05 after 5 failures`."""
    if breaker.recovered_at is not None:
        return _("sends what had to wait")
    if breaker.retry_at is None or breaker.retry_at <= timezone.now():
        return ngettext(
            "paused after %(n)d failure, trying again", "paused after %(n)d failures, trying again", breaker.failures
        ) % {"n": breaker.failures}
    until = timezone.localtime(breaker.retry_at)
    today = until.date() == timezone.localtime().date()
    return ngettext(
        "paused until %(time)s after %(n)d failure", "paused until %(time)s after %(n)d failures", breaker.failures
    ) % {"time": date_format(until, "TIME_FORMAT" if today else "SHORT_DATETIME_FORMAT"), "n": breaker.failures}
