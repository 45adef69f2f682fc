"""Moves the clock of a stack's PostgreSQL, by which everything in the product falls due, while all else keeps real time.

`now()` and its sisters are shadowed by functions of a schema that every later session finds first. Leases run by the same
clock: move it only while nothing is being worked on.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import holidays
import psycopg

HOME = ZoneInfo("Asia/Almaty")
TUESDAY = 1
#: So many days after the story begins without a public holiday: all its touches then fall on the same weekdays every time.
PLAIN_DAYS = 45
_FUNCTIONS = {"now": "STABLE", "statement_timestamp": "STABLE", "transaction_timestamp": "STABLE", "clock_timestamp": "VOLATILE"}
_BOUND = r"\m(?:pg_catalog\.)?(now|statement_timestamp|transaction_timestamp|clock_timestamp)\(\)"
# Defaults are bound to their function when the column is made, so they have to be made anew.
_DEFAULTS = """
SELECT format('ALTER TABLE %%s ALTER COLUMN %%I SET DEFAULT %%s', c.oid::regclass, a.attname,
              regexp_replace(pg_get_expr(d.adbin, d.adrelid), %(bound)s, 'clock.\\1()', 'g'))
FROM pg_attrdef d JOIN pg_class c ON c.oid = d.adrelid JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.adnum
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND pg_get_expr(d.adbin, d.adrelid) ~ %(bound)s
"""


class Clock:
    """The clock of one database. Its user must own the database."""

    def __init__(self, url: str) -> None:
        """Install it, at the real time: after the last migration, before the first process that shall follow it."""
        self.connection = psycopg.connect(url, autocommit=True)
        run = self.connection.execute
        run("CREATE SCHEMA clock")
        run("CREATE TABLE clock.moved (by interval NOT NULL)")
        run("INSERT INTO clock.moved VALUES ('0')")
        for name, volatility in _FUNCTIONS.items():
            run(
                f"CREATE FUNCTION clock.{name}() RETURNS timestamptz LANGUAGE sql {volatility}"
                f" AS 'SELECT pg_catalog.{name}() + (SELECT by FROM clock.moved)'"
            )
        for (statement,) in run(_DEFAULTS, {"bound": _BOUND}).fetchall():
            run(statement)
        run(f'ALTER DATABASE "{self.connection.info.dbname}" SET search_path = clock, pg_catalog, public')

    def set(self, to: datetime) -> None:
        self.connection.execute("UPDATE clock.moved SET by = %s - pg_catalog.clock_timestamp()", [to])

    def now(self) -> datetime:
        """In the zone of the story."""
        found = self.connection.execute("SELECT clock.clock_timestamp()").fetchone()
        assert found is not None
        return found[0].astimezone(HOME)  # type: ignore[no-any-return]

    def close(self) -> None:
        self.connection.close()


_HOLIDAYS = holidays.country_holidays("KZ")


def beginning(today: date) -> datetime:
    """Eleven o'clock on the first Tuesday after `today` that plain weeks follow."""
    day = today + timedelta(days=1)
    while day.weekday() != TUESDAY or any(day + timedelta(days=n) in _HOLIDAYS for n in range(-1, PLAIN_DAYS)):
        day += timedelta(days=1)
    return datetime.combine(day, time(11), HOME)


def in_working_hours(at: datetime) -> bool:
    """Whether it is 10:00 to 18:00 on a working day; counted here anew, not by the product."""
    local = at.astimezone(HOME)
    return local.weekday() < 5 and local.date() not in _HOLIDAYS and time(10) <= local.time() < time(18)


def working_time_after(at: datetime) -> datetime:
    """`at` itself if people work then, else the first full half hour at which they do."""
    while not in_working_hours(at):
        at = at.replace(minute=0, second=0, microsecond=0) + timedelta(minutes=30 if at.minute < 30 else 60)
    return at


def today() -> date:
    return datetime.now(UTC).astimezone(HOME).date()
