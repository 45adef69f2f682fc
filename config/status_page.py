"""`/admin/status/`: the engineers' page. Do the invariants hold, what waits where, and does every part of it live?"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from conversations import notices
from foundation.cache import Remembered
from foundation.db import row
from foundation.looks import ago
from foundation.queues import queue_sizes

from . import audit, backup, pulse, states

PERMISSION = notices.VIEW
#: Windows offered, in days, and the longest one that is shown.
WINDOWS, LONGEST = (1, 7, 30), 30
#: Free space of VAR_DIR below which it is short: a share, and bytes.
SHORT_SHARE, SHORT_BYTES = 0.05, 2**30
BACKUP_LIMIT = timedelta(hours=26)


@dataclass(frozen=True, slots=True)
class Line:
    """One part of the installation: what is said of it, and a tone of `foundation.looks`."""

    label: str
    value: str
    tone: str = "ok"
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue, how much waits in it, and who read it last."""

    name: str
    size: int | None
    pulse: pulse.Pulse | None


def page(request: HttpRequest) -> HttpResponse:
    """GET; `?days=` is the window, one day by default."""
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
    days = _days(request.GET.get("days", ""))
    findings, pulses = findings_of(days), pulse.read()
    context = {
        **admin.site.each_context(request),
        "title": _("Status"),
        "is_fullwidth": "1",
        "days": days,
        "windows": WINDOWS,
        "findings": sorted(findings, key=lambda finding: finding.ok),
        "broken": sum(not finding.ok for finding in findings),
        "states": states.counted(days),
        "queues": _queues(pulses),
        "lines": [*_beats(pulses), *_stores()],
    }
    return TemplateResponse(request, "admin/status.html", context)


#: Asked anew after some seconds, however many people look.
findings_of: Remembered[float, list[audit.Finding]] = Remembered(10.0, audit.run)


def _days(asked: str) -> int:
    return min(max(int(asked), 1), LONGEST) if asked.isascii() and asked.isdigit() and len(asked) < 4 else WINDOWS[0]


def _queues(pulses: pulse.Pulses | None) -> list[Queue]:
    read = pulses.queues if pulses else {}
    return [Queue(name, size, read.get(name)) for name, size in queue_sizes().items()]


def _beats(pulses: pulse.Pulses | None) -> list[Line]:
    if pulses is None:
        return [Line("Redis", _("away"), "bad", _("Signs of life cannot be read."))]
    if not pulses.beats:
        return [Line("beat", _("never seen"), "bad", _("Nothing is planned, polled or swept without it."))]
    last, running = pulses.beats[0], pulses.running_beats
    if not running:
        return [Line("beat", ago(last.at), "bad", _("Nothing is planned, polled or swept without it."))]
    words = ngettext("%(n)d beat runs", "%(n)d beats run", running) % {"n": running}
    detail = _("One is enough; nothing happens twice for it.") if running > 1 else last.by
    return [Line("beat", words, "warn" if running > 1 else "ok", detail)]


def _stores() -> Sequence[Line]:
    return [_database(), _disk(), _backup()]


def _database() -> Line:
    found = row("SELECT pg_database_size(current_database()) AS bytes, current_setting('server_version') AS version", {})
    return Line(_("Database"), _size(found.bytes if found else 0), detail=f"PostgreSQL {found.version}" if found else "")


def _disk() -> Line:
    try:
        usage = shutil.disk_usage(settings.VAR_DIR)
    except OSError as error:
        return Line(_("Disk"), _("cannot be read"), "bad", error.strerror or "")
    short = usage.free < max(SHORT_BYTES, SHORT_SHARE * usage.total)
    shown = {"free": _size(usage.free), "total": _size(usage.total)}
    return Line(_("Disk"), _("%(free)s free of %(total)s") % shown, "bad" if short else "ok", _("of VAR_DIR"))


def _backup() -> Line:
    try:
        newest = max(((copy.stat().st_mtime, copy.stat().st_size) for copy in backup.copies()), default=None)
    except OSError as error:
        return Line(_("Backup"), _("cannot be read"), "bad", error.strerror or "")
    if newest is None:
        return Line(_("Backup"), _("none yet"), "warn", _("One is made every day; manage.py backup makes one now."))
    at = datetime.fromtimestamp(newest[0], UTC)
    old = datetime.now(UTC) - at > BACKUP_LIMIT
    return Line(_("Backup"), ago(at), "bad" if old else "ok", _size(newest[1]))


def _size(number: float) -> str:
    """Bytes in the largest unit of which there is at least one."""
    for unit in ("B", "KB", "MB", "GB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit in ("B", "KB") else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TB"
