"""Leases: how long a claimed row stays with its worker, and the heartbeat that renews it while work goes on.

A lease is short, so that the work of a dead process is noticed within seconds, and renewed by one thread per process,
so that slow work keeps it. The token, not the clock, protects the commit: whoever lost the lease finds another token in
the row and writes nothing. All times are PostgreSQL's.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.db import Error, close_old_connections, connection
from django.db.models import Model

from .db import execute

logger = logging.getLogger(__name__)

LEASE_SECONDS = 20
RENEW_SECONDS = 5
#: For SQL: `leased_until = now() + LEASE`.
LEASE = f"interval '{LEASE_SECONDS} seconds'"

_held: dict[UUID, str] = {}
_lock = threading.Lock()
_heartbeat: threading.Thread | None = None


@contextmanager
def held(model: type[Model], token: UUID) -> Iterator[None]:
    """Keep the lease with this token on a row of `model` renewed while the block runs."""
    with _lock:
        _held[token] = model._meta.db_table
        _start()
    try:
        yield
    finally:
        with _lock:
            _held.pop(token, None)


def _start() -> None:
    global _heartbeat
    if _heartbeat is None or not _heartbeat.is_alive():
        _heartbeat = threading.Thread(target=_beat, name="leases", daemon=True)
        _heartbeat.start()


_wake = threading.Event()


def _beat() -> None:
    while True:
        _wake.wait(RENEW_SECONDS)
        with _lock:
            tables: dict[str, list[UUID]] = {}
            for token, table in _held.items():
                tables.setdefault(table, []).append(token)
        if tables:
            renew(tables)


def renew(tables: dict[str, list[UUID]]) -> None:
    """Push the given leases (table name to tokens) forward by a whole lease from now."""
    try:
        close_old_connections()
        for table, tokens in tables.items():
            execute(
                f"UPDATE {connection.ops.quote_name(table)} SET leased_until = now() + {LEASE} "  # noqa: S608
                "WHERE lease_token = ANY(%(tokens)s) AND leased_until IS NOT NULL",
                {"tokens": tokens},
            )
    except Error as error:
        logger.warning("leases not renewed", extra={"error": type(error).__name__})
