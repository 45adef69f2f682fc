"""Celery's processes as forks of one process that has imported the product: they share its memory instead of each holding it.

On Linux only: on macOS system libraries do not survive a fork without exec. There, and in every deployment that starts a
line of the Procfile by itself, a process is an ordinary command.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import os
import re
import shlex
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

from django.conf import settings

from foundation.processes import dies_with_parent

#: `${NAME}` and `${NAME:-default}`, the only things of the shell that the Procfile's Celery lines use.
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}$]*))?\}")
#: Modules of Celery that its processes import late.
_STARTED_WITH = (
    "celery.__main__", "celery.app.amqp", "celery.app.control", "celery.app.events", "celery.app.log", "celery.app.routes",
    "celery.apps.beat", "celery.apps.worker", "celery.bin.celery", "celery.concurrency.prefork", "celery.concurrency.thread",
    "celery.worker.autoscale", "celery.worker.components", "celery.worker.consumer", "celery.worker.strategy",
    "celery.worker.consumer.delayed_delivery", "kombu.transport.redis", "logging.handlers", "flower.app", "flower.urls",
)  # fmt: skip
_COMMAND = re.compile(r"exec celery ([^|&;<>()`\\\"'*?~]*)")


def supported() -> bool:
    """Whether this machine's processes may be forks."""
    return sys.platform.startswith("linux")


def celery_arguments(command: str, environment: Mapping[str, str]) -> list[str] | None:
    """The arguments of a Procfile line that is `exec celery …` and plain enough to need no shell; None for any other."""
    found = _COMMAND.fullmatch(command)
    if not found:
        return None
    line = _VARIABLE.sub(lambda name: shlex.quote(environment.get(name[1]) or name[2] or ""), found[1])
    return None if "$" in line else shlex.split(line)


def warm() -> None:
    """Import what Celery's processes need, do once what each of them does when it starts, and keep all that for the forks.

    Opens no connection and starts no thread: neither would survive the fork. Reads the settings, so the environment must be
    complete.
    """
    # Freed gaps between what stays would be filled, and with it copied, by every fork.
    gc.disable()
    # Celery makes Django's checks at every start of a worker, which imports the site, and throws away what they find.
    os.environ.setdefault("CELERY_SKIP_CHECKS", "1")
    import django

    from .celery import app

    for name in _STARTED_WITH:
        importlib.import_module(name)
    django.setup()
    # Its models want the apps.
    importlib.import_module("django_celery_beat.schedulers")
    app.loader.import_default_modules()
    app.finalize()
    assert app.amqp.queues and app.amqp.router
    _fill_caches()
    gc.collect()
    gc.freeze()
    gc.enable()


def _fill_caches() -> None:
    """What the ORM works out about models at their first use, psycopg's adapters, and Celery's command line."""
    from celery.bin.celery import celery
    from django.apps import apps
    from django.db import connection
    from django.db.backends.postgresql.psycopg_any import get_adapters_template

    for model in apps.get_models():
        str(model._default_manager.filter(pk=None).query)
        model._meta.get_fields()
    get_adapters_template(settings.USE_TZ, connection.timezone)
    for command in ("worker", "beat", "flower"):
        celery.commands[command].make_context(command, [], resilient_parsing=True)


class Forked:
    """One Celery process. To honcho it is what a Popen is: `pid`, `stdout`, `returncode`, `wait()`."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self.returncode: int | None = None
        reader, writer = os.pipe()
        # Written now: what lies in a buffer would be written by the fork again.
        sys.stdout.flush()
        sys.stderr.flush()
        watch_parent = dies_with_parent(signal.SIGKILL)
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reader)
            _become_celery(arguments, environment, writer, watch_parent)
        os.close(writer)
        self.stdout: IO[bytes] = os.fdopen(reader, "rb")

    def wait(self) -> int:
        """Its exit status, below 0 for the signal that ended it."""
        if self.returncode is None:
            _pid, status = os.waitpid(self.pid, 0)
            self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


def _become_celery(
    arguments: Sequence[str], environment: Mapping[str, str], output: int, watch_parent: Callable[[], None] | None
) -> NoReturn:
    """The fork: what exec would have made fresh, then Celery's command line, then the end."""
    status: Any = 1
    try:
        os.setsid()
        if watch_parent:
            watch_parent()
        _as_after_exec(environment, output)
        # Celery starts itself again by these at SIGHUP: then from the files, as a new version wants it.
        sys.argv = [shutil.which("celery") or str(Path(sys.executable).with_name("celery")), *arguments]
        set_title(f"celery {shlex.join(arguments)}")
        from celery.__main__ import main

        main()
        status = 0
    except SystemExit as end:
        status = end.code
    except BaseException:  # noqa: BLE001  this is the outermost frame of the process
        traceback.print_exc()
    finally:
        _end(status)


def _as_after_exec(environment: Mapping[str, str], output: int) -> None:
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(output)
    os.environ.clear()
    os.environ.update(environment)


def _end(status: Any) -> NoReturn:
    """End as the interpreter does, without returning through the frames of the process that was forked."""
    code = status if isinstance(status, int) else 0 if status is None else 1
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def set_title(title: str) -> None:
    """Show `title` as this process's command line, as far as it fits in the place of the one that it was started with."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])
    room = end - start
    # Without a zero at the very end, the kernel would go on into the environment.
    ctypes.memmove(start, title.encode()[: room - 1].ljust(room, b"\0"), room)
