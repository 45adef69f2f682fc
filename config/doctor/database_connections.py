"""Whether PostgreSQL admits all connections that the processes may open, and what a pooler in between asks for."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.utils.translation import gettext as _

from foundation.db import row

from .findings import Finding, fail, ok, warn

#: What a worker's pool holds beyond its threads (`config.celery`).
BESIDE = 4
#: Of all admitted connections in use at this moment.
CROWDED = 0.85
TIMEOUTS = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
_WORKER = re.compile(r" worker .*?-P (?P<pool>\w+) .*?-c (?P<n>\d+)")
_WEB = re.compile(r"DATABASE_POOL=\$\{DATABASE_POOL:-(?P<n>\d+)\}")


def look() -> Iterator[Finding]:
    if through_a_pooler():
        yield from _pooler()
        return
    yield _room()


def through_a_pooler() -> bool:
    """Whether the server process that answers is another one than greeted us. A pooler greets with a number of its own."""
    connection.ensure_connection()
    assert connection.connection is not None
    found = row("SELECT pg_backend_pid() AS pid", {})
    return found is not None and bool(found.pid != connection.connection.info.backend_pid)


def _pooler() -> Iterator[Finding]:
    subject = _("pooler")
    if "prepare_threshold" in connection.settings_dict["OPTIONS"]:
        yield warn(
            subject,
            _("Connections go through a pooler, and statements are prepared on the server."),
            _("Set DATABASE_PREPARED=0, unless it is PgBouncer 1.21 or newer with max_prepared_statements."),
        )
    unset = [name for name in TIMEOUTS if _setting(name) == "0"]
    if unset:
        commands = " ".join(f"ALTER ROLE … SET {name} = '{limit}';" for name, limit in _limits().items() if name in unset)
        yield fail(
            subject,
            _("The pooler passes our time-outs over: %(names)s. A forgotten transaction would hold a conversation for ever.")
            % {"names": ", ".join(unset)},
            _("Set them for the role: %(commands)s") % {"commands": commands},
        )
    else:
        yield ok(subject, _("connections go through a pooler; its own limits count"))


def _setting(name: str) -> str:
    found = row("SELECT current_setting(%(name)s) AS value", {"name": name})
    return str(found.value) if found else ""


def _limits() -> Mapping[str, str]:
    return dict(zip(TIMEOUTS, ("5s", "30s", "60s"), strict=True))


def _room() -> Finding:
    subject = _("connections")
    found = row(
        """
        SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
                 - coalesce(current_setting('reserved_connections', true), '0')::int AS server,
               (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user) AS role,
               (SELECT datconnlimit FROM pg_database WHERE datname = current_database()) AS base,
               (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS used
        """,
        {},
    )
    assert found is not None
    room = min(limit for limit in (found.server, found.role, found.base) if limit >= 0)
    wanted = _wanted()
    facts = {"wanted": wanted, "room": room, "used": found.used}
    do = _("Raise max_connections (and the role's limit), start fewer threads, or put PgBouncer in between: docs/scaling.md.")
    if wanted > room:
        return warn(subject, _("The processes may open %(wanted)d, PostgreSQL admits %(room)d.") % facts, do)
    if found.used > CROWDED * room:
        return warn(subject, _("%(used)d of %(room)d are in use.") % facts, do)
    return ok(subject, _("%(used)d in use; the processes may open %(wanted)d, PostgreSQL admits %(room)d") % facts)


def _wanted() -> int:
    procfile = Path(settings.BASE_DIR) / "Procfile"
    return may_open(procfile.read_text(encoding="utf-8"), os.environ) if procfile.exists() else 0


def may_open(procfile: str, environ: Mapping[str, str]) -> int:
    """Connections that one of each process of a Procfile may hold at most, beat's among them."""
    total = 0
    for line in procfile.splitlines():
        if worker := _WORKER.search(line):
            total += int(worker["n"]) + (1 if worker["pool"] == "prefork" else BESIDE)
        elif web := _WEB.search(line):
            given = environ.get("DATABASE_POOL", "")
            total += int(given) if given.isdigit() and int(given) else int(web["n"])
        elif line.startswith("beat:"):
            total += 1
    return total
