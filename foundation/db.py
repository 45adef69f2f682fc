"""Short SQL statements with rows as named tuples, for the few hot paths where one statement must decide a race."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.db import connection


@lru_cache(maxsize=256)
def _row_type(columns: tuple[str, ...]) -> Any:
    return namedtuple("Row", columns)


def rows(sql: str, params: Mapping[str, Any]) -> list[Any]:
    """Execute one statement and return what it selects or RETURNs."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        if cursor.description is None:
            return []
        make = _row_type(tuple(column.name for column in cursor.description))._make
        return [make(values) for values in cursor.fetchall()]


def row(sql: str, params: Mapping[str, Any]) -> Any | None:
    """As `rows`, for a statement that gives at most one row."""
    found = rows(sql, params)
    return found[0] if found else None


def execute(sql: str, params: Mapping[str, Any]) -> int:
    """Execute one statement and return how many rows it touched."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return int(cursor.rowcount)


def now() -> datetime:
    """The database's clock, the only one by which rows fall due: workers' clocks may differ."""
    found = row("SELECT now() AS now", {})
    assert found is not None
    moment: datetime = found.now
    return moment
