"""The daily copy of the database: how old it is, and whether the next one can be made."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime

from django.template.defaultfilters import filesizeformat
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

from config import backup
from config.status_page import BACKUP_LIMIT
from foundation.db import row

from .findings import Finding, fail, ok, warn

_MAJOR = re.compile(r"\(PostgreSQL\) (\d+)")


def look() -> Iterator[Finding]:
    yield _age()
    yield from _program()


def _age() -> Finding:
    subject = _("last copy")
    try:
        newest = max(((copy.stat().st_mtime, copy.stat().st_size) for copy in backup.copies()), default=None)
    except OSError as error:
        told = _("The copies cannot be read: %(error)s") % {"error": error.strerror or ""}
        return fail(subject, told, _("Give BACKUP_PATH a folder that this user may read."))
    do = _("Run “manage.py backup” and see what it says; the worker that reads “maintenance” makes one every day.")
    if newest is None:
        return warn(subject, _("There is none yet."), do)
    at = datetime.fromtimestamp(newest[0], UTC)
    told = _("made %(ago)s ago") % {"ago": timesince(at, datetime.now(UTC))}
    if datetime.now(UTC) - at > BACKUP_LIMIT:
        return fail(subject, told, do)
    if not newest[1]:
        return fail(subject, _("It is empty."), do)
    return ok(subject, f"{told}, {filesizeformat(newest[1])}")


def _program() -> Iterator[Finding]:
    """pg_dump copies from servers of its own version and older ones."""
    try:
        program = backup._pg_dump()
        told = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout  # noqa: S603
    except (backup.CannotBackUp, OSError, subprocess.SubprocessError):
        yield fail(
            "pg_dump",
            _("It is not installed here, so no copy can be made by this machine."),
            _("Install PostgreSQL's client programs of the server's version, or copy the database another way."),
        )
        return
    found = row("SELECT current_setting('server_version_num')::int / 10000 AS major", {})
    major = _MAJOR.search(told)
    if found is not None and major is not None and int(major[1]) < found.major:
        facts = {"program": major[1], "server": found.major}
        yield fail(
            "pg_dump",
            _("It is of version %(program)s, the server of %(server)s: it refuses to copy.") % facts,
            _("Install PostgreSQL's client programs of the server's version, or copy the database another way."),
        )
