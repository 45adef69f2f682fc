"""The folders that are written to: there, writable for this user, and with room."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _

from config.status_page import SHORT_BYTES, SHORT_SHARE

from .findings import Finding, fail, ok, warn

#: With less than this PostgreSQL and the backup are about to fail.
NOTHING_LEFT = 256 * 2**20
INODES_SHARE = 0.02


def look() -> Iterator[Finding]:
    devices: set[int] = set()
    for name, path in _folders().items():
        place = _existing(path)
        if not _writable(place):
            yield fail(
                name,
                _("%(path)s cannot be written to by this user.") % {"path": place},
                _("Give the folder to the user of the processes (chown -R), or name another one in %(name)s.") % {"name": name},
            )
            continue
        device = place.stat().st_dev
        yield _space(name, place) if device not in devices else ok(name, _("writable"))
        devices.add(device)


def _folders() -> dict[str, Path]:
    named = {
        "VAR_DIR": settings.VAR_DIR, "MEDIA_ROOT": settings.MEDIA_ROOT, "KNOWLEDGE_BASE_PATH": settings.KNOWLEDGE_BASE_PATH,
        "BACKUP_PATH": settings.BACKUP_PATH, "LOG_DIR": settings.LOGGING["directory"],
    }  # fmt: skip
    return {name: Path(path) for name, path in named.items() if path}


def _existing(path: Path) -> Path:
    """The folder, or the one in which it will be made."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _writable(path: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=path) as file:
            file.write(b"0")
            file.flush()
    except OSError:
        return False
    return True


def _space(name: str, path: Path) -> Finding:
    usage = shutil.disk_usage(path)
    facts = {"free": filesizeformat(usage.free), "total": filesizeformat(usage.total)}
    told = _("%(free)s free of %(total)s") % facts
    do = _("Free some space or enlarge the disk; BACKUP_KEEP says how many copies of the database are kept.")
    if usage.free < NOTHING_LEFT:
        return fail(name, told, do)
    if usage.free < max(SHORT_BYTES, SHORT_SHARE * usage.total):
        return warn(name, told, do)
    files = os.statvfs(path)
    if files.f_files and files.f_favail < INODES_SHARE * files.f_files:
        return warn(name, _("The disk has hardly room for more files (inodes)."), do)
    return ok(name, told)
