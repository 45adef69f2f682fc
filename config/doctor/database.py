"""PostgreSQL: reachable, new enough, with pgvector, and as far as this version of the code."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from foundation.db import row

from .findings import Finding, fail, ok, warn

OLDEST = 15


def look() -> Iterator[Finding]:
    try:
        connection.ensure_connection()
    except OperationalError as error:
        place = f"{connection.settings_dict['HOST'] or 'localhost'}:{connection.settings_dict['PORT'] or 5432}"
        told = _("PostgreSQL at %(place)s refuses us: %(error)s") % {"place": place, "error": _first_line(error)}
        yield fail(_("connection"), told, _("Start PostgreSQL, and compare DATABASE_URL with its address, user and password."))
        return
    yield _version()
    yield _vector()
    yield from _migrations()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0]


def _version() -> Finding:
    found = row("SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS n", {})
    assert found is not None
    if found.n // 10_000 < OLDEST:
        return fail(
            _("version"),
            _("PostgreSQL %(version)s is too old.") % {"version": found.version},
            _("Move the data to PostgreSQL %(oldest)s or newer.") % {"oldest": OLDEST},
        )
    return ok(_("version"), f"PostgreSQL {found.version}")


def _vector() -> Finding:
    found = row("SELECT extversion AS version FROM pg_extension WHERE extname = 'vector'", {})
    if found is None:
        return warn(
            "pgvector",
            _("The extension “vector” is missing. Search does without it so far; a later version may not."),
            _("Install pgvector on the database server and execute as its administrator: CREATE EXTENSION vector;"),
        )
    return ok("pgvector", str(found.version))


def _migrations() -> Iterator[Finding]:
    executor = MigrationExecutor(connection)
    missing = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    known = set(executor.loader.disk_migrations)
    apps = {app for app, _name in known}
    newer = [key for key in executor.loader.applied_migrations if key[0] in apps and key not in known]
    if missing:
        told = ngettext("%(n)d migration is not applied.", "%(n)d migrations are not applied.", missing) % {"n": missing}
        yield fail(_("migrations"), told, _("Run “manage.py prepare”, then start the processes anew."))
    elif newer:
        yield warn(
            _("migrations"),
            _("The database was migrated by a newer version of the program."),
            _("Put the newer version in place, or restore the backup from before it."),
        )
    else:
        yield ok(_("migrations"), _("all applied"))
