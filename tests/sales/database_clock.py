"""A database whose clock can be moved: `now()` and its sisters in every statement, and Python's clock with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection

_FUNCTIONS = {"now": "STABLE", "statement_timestamp": "STABLE", "transaction_timestamp": "STABLE", "clock_timestamp": "VOLATILE"}


def _run(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def _defaults(old: str, new: str) -> None:
    """Let columns that are filled in by the database take the time from elsewhere: defaults are bound when they are made."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
            " AND column_default = %s", [old]
        )  # fmt: skip
        for table, column in cursor.fetchall():
            cursor.execute(f'ALTER TABLE public."{table}" ALTER COLUMN "{column}" SET DEFAULT {new}')


@dataclass
class Clock:
    """The database's clock, and that of this process unless it is set apart."""

    traveller: Any
    apart: timedelta = timedelta(0)

    def set(self, to: datetime) -> None:
        _run(f"UPDATE clock.shift SET by = '{to.isoformat()}'::timestamptz - pg_catalog.clock_timestamp()")
        self.traveller.move_to(to + self.apart)

    def pass_by(self, time: timedelta) -> None:
        self.set(self.now() + time)

    def now(self) -> datetime:
        with connection.cursor() as cursor:
            cursor.execute("SELECT clock.clock_timestamp()")
            found: datetime = cursor.fetchone()[0]
        return found


@pytest.fixture(scope="module")
def database_clock(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The functions, found before PostgreSQL's own by every connection that is opened from now on."""
    with django_db_blocker.unblock():
        database = connection.settings_dict["NAME"]
        _defaults("clock.statement_timestamp()", "pg_catalog.statement_timestamp()")
        _run("DROP SCHEMA IF EXISTS clock CASCADE", "CREATE SCHEMA clock", "CREATE TABLE clock.shift (by interval)")
        _run("INSERT INTO clock.shift VALUES ('0')")
        for name, volatility in _FUNCTIONS.items():
            body = f"SELECT pg_catalog.{name}() + (SELECT by FROM clock.shift)"
            _run(f"CREATE FUNCTION clock.{name}() RETURNS timestamptz LANGUAGE sql {volatility} AS '{body}'")
        _defaults("statement_timestamp()", "clock.statement_timestamp()")
        _run(f'ALTER DATABASE "{database}" SET search_path = clock, pg_catalog, public')
        connection.close()
    yield
    with django_db_blocker.unblock():
        connection.close()
        _run(f'ALTER DATABASE "{database}" RESET search_path', "SET search_path = public")
        _defaults("clock.statement_timestamp()", "pg_catalog.statement_timestamp()")
        _run("DROP SCHEMA clock CASCADE")
        connection.close()


@pytest.fixture
def clock(database_clock: None, transactional_db: None) -> Iterator[Clock]:
    """Imported, with `database_clock`, by tests that move the time of the database."""
    _run("UPDATE clock.shift SET by = '0'")
    traveller = time_machine.travel(datetime.now().astimezone(), tick=True)
    try:
        yield Clock(traveller.start())
    finally:
        traveller.stop()
