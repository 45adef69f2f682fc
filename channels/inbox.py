"""The inbox: raw provider events, durable and unique before anybody is told that we have them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from foundation import steps
from foundation.crypto import CannotOpen, blind_index
from foundation.db import execute, row, rows
from foundation.leases import LEASE

from .base import RawEvent
from .models import InboundEvent

logger = logging.getLogger(__name__)

#: Seconds before an event that cannot be opened is tried again, times the attempts: a key may be on its way.
UNOPENED_SECONDS = 3.0

_payload = InboundEvent._meta.get_field("payload")

_STORE = """
INSERT INTO channels_inboundevent (channel_id, external_id, lane, source, payload)
SELECT e.channel, e.id, e.lane, %(source)s, e.payload
FROM unnest(%(channels)s::bigint[], %(ids)s::text[], %(lanes)s::text[], %(payloads)s::bytea[]) WITH ORDINALITY
    AS e (channel, id, lane, payload, n)
ORDER BY e.n
ON CONFLICT DO NOTHING
RETURNING id, channel_id, external_id, lane
"""


def store(channel_id: int, events: Sequence[RawEvent], source: str) -> list[int]:
    """Store the events not seen before and enqueue their processing. Returns the ids of the new rows.

    Called within a transaction, the events and whatever else it holds (a poll cursor) become durable together.
    """
    return store_all([(channel_id, events)], source)[0]


def store_all(batches: Sequence[tuple[int, Sequence[RawEvent]]], source: str) -> list[list[int]]:
    """As `store`, for the events of several requests at once: channel id and events each. All are stored, or none."""
    arrived = [(channel_id, event.external_id[:255], event) for channel_id, events in batches for event in events]
    if not arrived:
        return [[] for _batch in batches]
    stored = rows(
        _STORE,
        {
            "source": source,
            "channels": [channel_id for channel_id, _id, _event in arrived],
            "ids": [external_id for _channel, external_id, _event in arrived],
            "lanes": [lane(event.lane) for _channel, _id, event in arrived],
            "payloads": [_payload.seal(event.payload) for _channel, _id, event in arrived],
        },
    )
    heads = {(event.channel_id, event.lane or event.id): event.id for event in reversed(stored)}
    for event_id in sorted(heads.values()):
        steps.start("receive", event_id)
    new = {(event.channel_id, event.external_id): event.id for event in stored}
    # What two requests brought at once counts for the first of them.
    found = [[new.pop((channel_id, event.external_id[:255]), None) for event in events] for channel_id, events in batches]
    return [[event_id for event_id in ids if event_id is not None] for ids in found]


def lane(chat: str) -> str:
    """The stored form of a lane: a short keyed hash, since chats are named by phones."""
    return blind_index(chat, "lane")[:32] if chat else ""


def store_unreadable(channel_id: int, body: bytes, error: str) -> None:
    """Keep a body that no adapter understands, once, where a manager sees it."""
    row(
        """
        INSERT INTO channels_inboundevent (channel_id, external_id, source, payload, state, reason)
        VALUES (%(channel)s, %(id)s, 'webhook', %(payload)s, 'failed', %(reason)s)
        ON CONFLICT DO NOTHING RETURNING id
        """,
        {
            "channel": channel_id,
            "id": f"sha256:{hashlib.sha256(body).hexdigest()}",
            "payload": _payload.seal(body),
            "reason": error[:200],
        },
    )


_CLAIM = f"""
UPDATE channels_inboundevent SET lease_token = gen_random_uuid(), leased_until = now() + {LEASE}, attempts = attempts + 1
WHERE id = {{head}} AND state = 'new'
  AND (leased_until IS NULL OR leased_until < now()) AND (next_attempt_at IS NULL OR next_attempt_at <= now())
RETURNING id, channel_id, payload, lease_token, attempts, lane
"""  # noqa: S608
_CLAIM_FOR_EVENT = _CLAIM.format(
    head="""coalesce((
    SELECT head.id FROM channels_inboundevent e
    JOIN channels_inboundevent head ON head.channel_id = e.channel_id AND head.lane = e.lane AND head.state = 'new'
    WHERE e.id = %(event)s AND e.lane <> '' ORDER BY head.id LIMIT 1), %(event)s)"""
)
_CLAIM_LANE = _CLAIM.format(
    head="""(
    SELECT id FROM channels_inboundevent WHERE channel_id = %(channel)s AND lane = %(lane)s AND state = 'new'
    ORDER BY id LIMIT 1)"""
)


def claim(event_id: int) -> Any | None:
    """Claim what is first in the lane of this event (the event itself, if it has none). None: nothing to do here."""
    return _opened(row(_CLAIM_FOR_EVENT, {"event": event_id}))


def next_in_lane(done: Any) -> Any | None:
    """After one event of a lane, claim the next one."""
    if not done.lane:
        return None
    return _opened(row(_CLAIM_LANE, {"channel": done.channel_id, "lane": done.lane}))


def _opened(claimed: Any | None) -> Any | None:
    """A claimed event with its payload readable. What cannot be opened, or has ended its workers again and again, must not
    hold up its lane for ever: it is postponed, and at last waits for a person.
    """
    if claimed is None:
        return None
    if claimed.attempts > settings.MAX_RETRIES + 1:
        postpone(claimed, _("failed too often"), seconds=0)
        return None
    try:
        return claimed._replace(payload=_payload.open(claimed.payload))
    except CannotOpen as error:
        logger.warning("event cannot be opened", extra={"event": claimed.id, "channel_id": claimed.channel_id})
        postpone(claimed, type(error).__name__, seconds=UNOPENED_SECONDS * claimed.attempts)
        return None


def finish(event_id: int, token: UUID, state: str, reason: str = "", *, wipe: bool = False) -> bool:
    """End a claimed event, in the transaction that holds its effects. False where the lease was lost: roll back."""
    return bool(
        execute(
            """
            UPDATE channels_inboundevent
            SET state = %(state)s, reason = %(reason)s, processed_at = now(), leased_until = NULL, lease_token = NULL,
                payload = CASE WHEN %(wipe)s THEN NULL ELSE payload END
            WHERE id = %(event)s AND lease_token = %(token)s
            """,
            {"event": event_id, "token": token, "state": state, "reason": reason[:200], "wipe": wipe},
        )
    )


def postpone(event: Any, error: str, *, seconds: float) -> None:
    """Give a claimed event back for later, or up after MAX_RETRIES attempts: then it needs attention."""
    spent = event.attempts >= settings.MAX_RETRIES
    execute(
        """
        UPDATE channels_inboundevent
        SET state = %(state)s, reason = %(reason)s, leased_until = NULL, lease_token = NULL,
            next_attempt_at = now() + make_interval(secs => %(seconds)s)
        WHERE id = %(event)s AND lease_token = %(token)s
        """,
        {
            "event": event.id,
            "token": event.lease_token,
            "seconds": seconds,
            "reason": error[:200],
            "state": InboundEvent.State.FAILED if spent else InboundEvent.State.NEW,
        },
    )
    if not spent:
        steps.start("receive", event.id, delay=seconds)


def retry(event_id: int) -> bool:
    """Put an event that needs attention back to the start, with a new budget of attempts."""
    with transaction.atomic():
        moved = InboundEvent.objects.filter(pk=event_id, state=InboundEvent.State.FAILED, payload__isnull=False).update(
            state=InboundEvent.State.NEW, attempts=0, reason="", next_attempt_at=None, leased_until=None
        )
        if moved:
            steps.start("receive", event_id)
    return bool(moved)


def dismiss(event_id: int, reason: str = "") -> bool:
    """Close an event that needs attention without processing it."""
    return bool(
        InboundEvent.objects.filter(pk=event_id, state=InboundEvent.State.FAILED).update(
            state=InboundEvent.State.DISMISSED, reason=reason or _("dismissed by a manager")
        )
    )


def sweep(limit: int = 500) -> int:
    """Enqueue again what was lost on the way: new events that nobody holds. Returns how many."""
    lost = rows(
        """
        SELECT DISTINCT ON (channel_id, coalesce(nullif(lane, ''), id::text)) id FROM (
            SELECT id, channel_id, lane FROM channels_inboundevent
            WHERE state = 'new' AND received_at < now() - interval '3 seconds'
              AND (leased_until IS NULL OR leased_until < now()) AND (next_attempt_at IS NULL OR next_attempt_at <= now())
            ORDER BY received_at LIMIT %(limit)s) AS waiting
        ORDER BY channel_id, coalesce(nullif(lane, ''), id::text), id
        """,
        {"limit": limit},
    )
    for event in lost:
        steps.start("receive", event.id)
    return len(lost)


def purge(days: int, batch: int = 5000) -> int:
    """Forget the raw payloads of events older than `days` that need nobody's attention. Returns how many."""
    return execute(
        """
        UPDATE channels_inboundevent SET payload = NULL WHERE id IN (
            SELECT id FROM channels_inboundevent
            WHERE payload IS NOT NULL AND received_at < now() - make_interval(days => %(days)s)
              AND state NOT IN ('new', 'failed')
            ORDER BY received_at LIMIT %(batch)s)
        """,
        {"days": days, "batch": batch},
    )
