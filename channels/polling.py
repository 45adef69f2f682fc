"""Asking providers what is new: one poller per channel at a time, each channel on its own.

The cursor moves in the transaction that makes the events durable.
"""

from __future__ import annotations

import logging
from typing import Any

from django.conf import settings
from django.db import transaction

from foundation import steps
from foundation.db import execute, row, rows
from foundation.errors import ProviderError, Retry, Unauthorized
from foundation.leases import LEASE_SECONDS

from . import directory, inbox, log
from .models import Channel, InboundEvent
from .registry import ADAPTERS, adapter_class

logger = logging.getLogger(__name__)

#: A poll reads many pages; its lease is long because a second poller would cross over with it at the provider.
POLL_LEASE_SECONDS = LEASE_SECONDS * 6
SLOWEST_RETRY_SECONDS = 120.0
#: After so many failures in a row the channel is shown as in trouble.
TROUBLE_AFTER = 3

_cursor = Channel._meta.get_field("cursor")


#: Of the polling interval: within it, a second beat asks for no second poll.
ONCE_WITHIN = 0.8


def poll_due() -> int:
    """Enqueue a poll for every polled channel that is due. Returns how many.

    A channel with the option `"polling": false` lives by its webhook alone, and by the look back at its history.
    """
    kinds = [kind for kind in ADAPTERS if adapter_class(kind).capabilities.polling]
    due = rows(
        """
        UPDATE channels_channel SET poll_asked_at = now()
        WHERE enabled AND kind = ANY(%(kinds)s) AND (poll_leased_until IS NULL OR poll_leased_until < now())
          AND (next_poll_at IS NULL OR next_poll_at <= now()) AND coalesce(options ->> 'polling', '') <> 'false'
          AND (poll_asked_at IS NULL OR poll_asked_at <= now() - make_interval(secs => %(once)s))
        RETURNING id
        """,
        {"kinds": kinds, "once": settings.POLLING_INTERVAL * ONCE_WITHIN},
    )
    for channel in due:
        steps.start("poll", channel.id)
    return len(due)


def poll(channel_id: int) -> int:
    """Poll one channel unless somebody else does. Returns how many new events were stored."""
    claimed = _claim(channel_id)
    if claimed is None:
        return 0
    adapter = directory.entry(channel_id).adapter
    try:
        result = adapter.poll(_cursor.open(claimed.cursor) or {})
    except ProviderError as error:
        _failed(claimed, error)
        return 0
    with transaction.atomic():
        if not _release(claimed, _cursor.seal(result.cursor)):
            logger.warning("poll lost its lease", extra={"channel_id": channel_id})
            return 0
        new = inbox.store(channel_id, result.events, InboundEvent.Source.POLL)
    if claimed.poll_failures >= TROUBLE_AFTER:
        log.set_health(channel_id, Channel.Health.OK)
    return len(new)


def _claim(channel_id: int) -> Any | None:
    return row(
        """
        UPDATE channels_channel
        SET poll_token = gen_random_uuid(), poll_leased_until = now() + make_interval(secs => %(lease)s)
        WHERE id = %(channel)s AND enabled AND (poll_leased_until IS NULL OR poll_leased_until < now())
          AND (next_poll_at IS NULL OR next_poll_at <= now())
        RETURNING id, cursor, poll_token, poll_failures
        """,
        {"channel": channel_id, "lease": POLL_LEASE_SECONDS},
    )


def _release(claimed: Any, cursor: bytes) -> bool:
    return bool(
        execute(
            """
            UPDATE channels_channel
            SET cursor = %(cursor)s, poll_token = NULL, poll_leased_until = NULL, polled_at = now(), poll_failures = 0,
                next_poll_at = NULL
            WHERE id = %(channel)s AND poll_token = %(token)s
            """,
            {"channel": claimed.id, "token": claimed.poll_token, "cursor": cursor},
        )
    )


def _failed(claimed: Any, error: ProviderError) -> None:
    """Wait longer after each failure, up to a limit; the provider's own word on the delay wins."""
    failures = claimed.poll_failures + 1
    after = error.after if isinstance(error, Retry) and error.after else settings.POLLING_INTERVAL * 2 ** min(failures - 1, 6)
    execute(
        """
        UPDATE channels_channel
        SET poll_token = NULL, poll_leased_until = NULL, poll_failures = %(failures)s,
            next_poll_at = now() + make_interval(secs => %(seconds)s)
        WHERE id = %(channel)s AND poll_token = %(token)s
        """,
        {
            "channel": claimed.id,
            "token": claimed.poll_token,
            "failures": failures,
            "seconds": min(after, SLOWEST_RETRY_SECONDS),
        },
    )
    logger.warning("poll failed", extra={"channel_id": claimed.id, "error": type(error).__name__, "code": error.code})
    if isinstance(error, Unauthorized):
        log.set_health(claimed.id, Channel.Health.NEEDS_ATTENTION, str(error))
    elif failures == TROUBLE_AFTER:
        log.set_health(claimed.id, Channel.Health.TROUBLE, str(error))
