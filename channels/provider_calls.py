"""How long providers take and how often they fail: counted in memory, written by minute to `ProviderCall`.

An adapter from `measured` says for which channel its calls are made; `foundation.http` reports each call as it ends.
One thread a process writes what has been counted every FLUSH_SECONDS, so that a call costs a dictionary entry. What a
process counted in its last seconds is lost with it: these are statistics.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any, TypeVar

from django.conf import settings
from django.db import Error, connection
from django.utils import timezone

from foundation import http
from foundation.db import execute

from .base import Adapter
from .models import Channel, ProviderCall

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 10.0
#: Counters kept while the database is away; beyond this the newest are dropped.
MOST = 5_000
#: The methods of an adapter in which it talks to its provider.
CALLING = (
    "send", "poll", "look_back", "sent_since", "fetch_media", "mark_read", "typing", "check", "subscribe", "unsubscribe",
    "resolve", "templates", "session", "start_session", "stop_session", "log_out", "qr", "pairing_code", "block",
)  # fmt: skip

AnyAdapter = TypeVar("AnyAdapter", bound=Adapter)
#: Channel id, minute, call.
Key = tuple[int, datetime, str]

_channel: ContextVar[int | None] = ContextVar("provider_calls_channel", default=None)
_counted: dict[Key, list[int]] = {}
_lock = threading.Lock()
_writer: threading.Thread | None = None
_wake = threading.Event()


def measured(adapter: AnyAdapter, channel_id: int) -> AnyAdapter:
    """The same adapter, whose provider calls are counted for this channel."""
    for name in CALLING:
        if (method := getattr(adapter, name, None)) is not None:
            setattr(adapter, name, _within(channel_id, method))
    return adapter


@contextmanager
def counted_for(channel_id: int) -> Iterator[None]:
    """Provider calls made within the block are counted for this channel."""
    token = _channel.set(channel_id)
    try:
        yield
    finally:
        _channel.reset(token)


def _within(channel_id: int, method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        with counted_for(channel_id):
            return method(*args, **kwargs)

    return call


def observe(label: str, outcome: str, ms: int) -> None:
    """Count one finished call; `outcome` is its HTTP status or a word for what went wrong."""
    channel_id = _channel.get()
    if channel_id is None:
        return
    minute = datetime.now(UTC).replace(second=0, microsecond=0)
    failed = not (outcome.isdigit() and int(outcome) < 400)
    _add({(channel_id, minute, label[:40]): [1, int(failed), ms, ms]})
    if not settings.TESTING:
        _start_writer()


http.observers.append(observe)


def _add(counted: dict[Key, list[int]]) -> None:
    with _lock:
        for key, (count, errors, total_ms, max_ms) in counted.items():
            entry = _counted.get(key)
            if entry is not None:
                entry[:] = entry[0] + count, entry[1] + errors, entry[2] + total_ms, max(entry[3], max_ms)
            elif len(_counted) < MOST:
                _counted[key] = [count, errors, total_ms, max_ms]


def _start_writer() -> None:
    """One thread a process; a forked worker starts its own."""
    global _writer
    if _writer is not None and _writer.is_alive():
        return
    with _lock:
        if _writer is None or not _writer.is_alive():
            _writer = threading.Thread(target=_write, name="provider-calls", daemon=True)
            _writer.start()


def _write() -> None:
    while True:
        _wake.wait(FLUSH_SECONDS)
        try:
            flush()
        finally:
            connection.close()


_UPSERT = """
INSERT INTO channels_providercall AS p (channel_id, minute, call, count, errors, total_ms, max_ms)
SELECT c.id, n.minute, n.call, n.count, n.errors, n.total_ms, n.max_ms
FROM unnest(%(channels)s::bigint[], %(minutes)s::timestamptz[], %(calls)s::text[], %(counts)s::int[], %(errors)s::int[],
    %(totals)s::bigint[], %(longest)s::int[]) AS n (channel_id, minute, call, count, errors, total_ms, max_ms)
JOIN channels_channel c ON c.id = n.channel_id
ORDER BY c.id, n.minute, n.call
ON CONFLICT (channel_id, minute, call) DO UPDATE
SET count = p.count + EXCLUDED.count, errors = p.errors + EXCLUDED.errors, total_ms = p.total_ms + EXCLUDED.total_ms,
    max_ms = greatest(p.max_ms, EXCLUDED.max_ms)
"""


def flush() -> int:
    """Write what was counted; kept for the next time where the database is away. Returns how many rows it touched."""
    with _lock:
        counted = dict(_counted)
        _counted.clear()
    if not counted:
        return 0
    channels, minutes, calls = zip(*counted, strict=True)
    counts, errors, totals, longest = zip(*counted.values(), strict=True)
    values = {
        "channels": list(channels), "minutes": list(minutes), "calls": list(calls), "counts": list(counts),
        "errors": list(errors), "totals": list(totals), "longest": list(longest),
    }  # fmt: skip
    try:
        return execute(_UPSERT, values)
    except Error as error:
        logger.warning("provider calls not written", extra={"error": type(error).__name__})
        _add(counted)
        return 0


def purge(days: int) -> int:
    """Forget what is older than so many days. Returns how many rows went."""
    old = timezone.now() - timedelta(days=days)
    channels = list(Channel.objects.values_list("pk", flat=True))  # named, they let the unique index find the rows
    return ProviderCall.objects.filter(channel__in=channels, minute__lt=old).delete()[0]
