"""Fault points: places at which a rehearsal may end the process, as by kill -9. Off unless the environment names them.

FAULT_POINT=enqueue,sent FAULT_FOLDER=/some/folder: a process that comes to the point `enqueue` and finds the file
`enqueue.<its process id>` there removes it and dies. With `understand`, whoever comes to the row that the file
`understand.<its id>` names dies, again and again: the file stays, and grows by a byte each time. Refused in production.
"""

from __future__ import annotations

import os
import signal

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

_named = frozenset(filter(None, os.environ.get("FAULT_POINT", "").split(",")))
_folder = os.environ.get("FAULT_FOLDER", "")
if _named and (settings.ENVIRONMENT == "production" or not _folder):
    raise ImproperlyConfigured("FAULT_POINT is for rehearsals: it needs FAULT_FOLDER, and another ENVIRONMENT than production.")


def point(name: str) -> None:
    """Die here if the point is switched on and its file was laid for this process; whoever removes the file dies, once."""
    if name not in _named:
        return
    try:
        os.unlink(os.path.join(_folder, f"{name}.{os.getpid()}"))
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def poison(name: str, row: int) -> None:
    """Die here, each time, if the point is switched on and a file was laid for this row."""
    if name not in _named:
        return
    try:
        laid = os.open(os.path.join(_folder, f"{name}.{row}"), os.O_WRONLY | os.O_APPEND)
    except FileNotFoundError:
        return
    os.write(laid, b".")
    os.kill(os.getpid(), signal.SIGKILL)
