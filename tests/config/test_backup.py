"""The daily copy of the database: whole, private, and not more of them than asked for."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from config import backup, tasks
from tests.conftest import Company

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Path) -> Path:
    settings.BACKUP_PATH, settings.BACKUP_KEEP = tmp_path / "copies", 2
    return tmp_path / "copies"


def age(copy: Path, **by: float) -> None:
    at = (datetime.now(UTC) - timedelta(**by)).timestamp()
    os.utime(copy, (at, at))


def test_a_copy_holds_the_rows_and_nobody_else_reads_it(company: Company, folder: Path) -> None:
    call_command("backup")
    [copy] = folder.iterdir()
    assert copy.stat().st_mode & 0o077 == 0
    restore = Path(backup._pg_dump()).with_name("pg_restore")
    listed = subprocess.run([restore, "--data-only", "--table=channels_channel", "-f", "-", copy], capture_output=True, text=True)
    assert company.channel.slug in listed.stdout


def test_once_a_day_and_only_the_newest_are_kept(folder: Path) -> None:
    tasks.backup()
    [first] = backup.copies()
    tasks.backup()
    assert backup.copies() == [first]
    for day in (1, 2, 3):
        old = folder / f"saudager-2026010{day}-000000.dump"
        old.write_bytes(b"")
        age(old, days=10 - day)
    age(first, days=2)
    tasks.backup()
    assert len(backup.copies()) == 2 and first in backup.copies()


def test_a_failed_copy_says_why_and_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup, "_pg_dump", lambda: "false")
    with pytest.raises(CommandError, match="pg_dump"):
        call_command("backup")
    assert not list(folder.iterdir())


def test_a_folder_that_cannot_be_written_is_named(settings: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    settings.BACKUP_PATH = tmp_path / "file" / "copies"
    with pytest.raises(CommandError, match="BACKUP_PATH"):
        call_command("backup")
