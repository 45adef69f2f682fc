"""Reading back what a provider's history holds: what webhooks and polls missed is found here, minutes later.

Every event of the overlap is handed to the inbox again, which knows what it has seen. A look back holds the channel's poll
lease: the two never read at the same time.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from django.db import transaction
from django.utils.translation import ngettext

from foundation import steps
from foundation.db import execute, row, rows
from foundation.errors import ProviderError, Retry, Unauthorized

from . import directory, inbox, log
from .models import Channel, ChannelLog, InboundEvent
from .polling import POLL_LEASE_SECONDS
from .registry import ADAPTERS, adapter_class

logger = logging.getLogger(__name__)

#: Seconds from one look back to the next.
INTERVAL = 120.0
#: What was listed late is looked for so long; after an outage as far back as the last whole look, up to the second.
OVERLAP_MINUTES = 15
FARTHEST_HOURS = 24
#: A look back that is not done after so many seconds begins anew, with what has been listed since.
LONGEST = 300.0

_state = Channel._meta.get_field("reconcile_state")


def kinds() -> list[str]:
    """The kinds of channels whose providers keep a history that can be read back."""
    able = {kind: adapter_class(kind).capabilities for kind in ADAPTERS}
    return [kind for kind, capabilities in able.items() if capabilities.history and capabilities.polling]


def reconcile_due() -> int:
    """Enqueue a look back for every channel that is due. Returns how many."""
    due = rows(
        """
        SELECT id FROM channels_channel
        WHERE enabled AND kind = ANY(%(kinds)s) AND (poll_leased_until IS NULL OR poll_leased_until < now())
          AND (next_reconcile_at IS NULL OR next_reconcile_at <= now()) AND (next_poll_at IS NULL OR next_poll_at <= now())
        """,
        {"kinds": kinds()},
    )
    for channel in due:
        steps.start("reconcile", channel.id)
    return len(due)


def reconcile(channel_id: int) -> int:
    """Look back on one channel unless it was just done or its provider is being read. Returns how many events were missed."""
    claimed = _claim(channel_id)
    if claimed is None:
        return 0
    began = claimed.now.timestamp()
    state = _state.open(claimed.reconcile_state)
    if state is None or began - state["began"] > LONGEST:
        state = {"began": began, "since": claimed.since.timestamp(), "cursor": {}}
    adapter = directory.entry(channel_id).adapter
    try:
        result = adapter.look_back(datetime.fromtimestamp(state["since"], UTC), state["cursor"])
    except ProviderError as error:
        _failed(claimed, error)
        return 0
    with transaction.atomic():
        if not _release(claimed, None if result.complete else {**state, "cursor": result.cursor}, state["began"]):
            logger.warning("look back lost its lease", extra={"channel_id": channel_id})
            return 0
        missed = inbox.store(channel_id, result.events, InboundEvent.Source.HISTORY)
        if missed:
            _tell(channel_id, len(missed))
    return len(missed)


def _claim(channel_id: int) -> Any | None:
    """The poll's own lease. The next look back is set here, so that a second task of the same beat finds it done."""
    return row(
        """
        UPDATE channels_channel
        SET poll_token = gen_random_uuid(), poll_leased_until = now() + make_interval(secs => %(lease)s),
            next_reconcile_at = now() + make_interval(secs => %(interval)s)
        WHERE id = %(channel)s AND enabled AND kind = ANY(%(kinds)s)
          AND (poll_leased_until IS NULL OR poll_leased_until < now())
          AND (next_reconcile_at IS NULL OR next_reconcile_at <= now()) AND (next_poll_at IS NULL OR next_poll_at <= now())
        RETURNING id, poll_token, reconcile_state, now() AS now,
            greatest(least(reconciled_at, now() - make_interval(mins => %(overlap)s)),
                now() - make_interval(hours => %(farthest)s), created_at) AS since
        """,
        {
            "channel": channel_id, "kinds": kinds(), "lease": POLL_LEASE_SECONDS, "interval": INTERVAL,
            "overlap": OVERLAP_MINUTES, "farthest": FARTHEST_HOURS,
        },
    )  # fmt: skip


def _release(claimed: Any, unfinished: dict[str, Any] | None, began: float) -> bool:
    """End the look back, or leave it for the next beat to go on. False where the lease was lost."""
    state = None if unfinished is None else _state.seal(unfinished)
    return bool(
        execute(
            """
            UPDATE channels_channel
            SET poll_token = NULL, poll_leased_until = NULL, reconcile_state = %(state)s,
                reconciled_at = CASE WHEN %(done)s THEN to_timestamp(%(began)s) ELSE reconciled_at END,
                next_reconcile_at = CASE WHEN %(done)s THEN next_reconcile_at ELSE now() END
            WHERE id = %(channel)s AND poll_token = %(token)s
            """,
            {
                "channel": claimed.id, "token": claimed.poll_token, "state": state, "done": state is None, "began": began,
            },
        )
    )  # fmt: skip


def _failed(claimed: Any, error: ProviderError) -> None:
    after = error.after if isinstance(error, Retry) and error.after else 0.0
    execute(
        """
        UPDATE channels_channel
        SET poll_token = NULL, poll_leased_until = NULL,
            next_reconcile_at = greatest(next_reconcile_at, now() + make_interval(secs => %(after)s))
        WHERE id = %(channel)s AND poll_token = %(token)s
        """,
        {"channel": claimed.id, "token": claimed.poll_token, "after": after},
    )
    logger.warning("look back failed", extra={"channel_id": claimed.id, "error": type(error).__name__, "code": error.code})
    if isinstance(error, Unauthorized):
        log.set_health(claimed.id, Channel.Health.NEEDS_ATTENTION, str(error))


def _tell(channel_id: int, missed: int) -> None:
    words = ngettext("%(n)d event had not reached us", "%(n)d events had not reached us", missed) % {"n": missed}
    log.note(channel_id, "found in the history", words, ChannelLog.Level.WARNING)
    logger.warning("events found in the history", extra={"channel_id": channel_id, "missed": missed})
