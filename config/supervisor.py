"""Runs the processes of the Procfile together: all of them, or none. A process of its own, started by `starter`.

It imports the product once and forks Celery's processes from there (`forks`), and does not know what only the servers and
their starter may know.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import honcho.manager
import honcho.process
from honcho.environ import parse_procfile

from foundation.processes import dies_with_parent

from . import forks
from .starter import READY, Plan

#: Seconds between SIGTERM and SIGKILL: a reply that a language model is composing right now may still be sent.
KILL_WAIT = 20
#: Seconds between two looks whether the site answers.
READY_INTERVAL = 0.5
#: Seconds that the workers need a little longer than the site.
SETTLING = 1.5


class Signals:
    """How processes are told to end.

    honcho tells the whole process group; a Celery pool's children would die in the middle of a task. Only the leader
    is asked, and it sees to its children; the group is for force.
    """

    def terminate(self, pid: int) -> None:
        """Ask one process to end. One that is gone already is fine."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)

    def kill(self, pid: int) -> None:
        """End a process and its children by force."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


class Process(honcho.process.Process):
    """A process of the Procfile that does not outlive a killed supervisor."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._watch_parent = dies_with_parent(signal.SIGKILL)
        self._child_ctor = self._start_child

    def run(self, events: Any = None, ignore_signals: bool = False) -> None:
        """Runs in a fork of the supervisor, between it and the process, and carries the output."""
        if self._watch_parent:
            self._watch_parent()
        super().run(events, ignore_signals)

    @staticmethod
    def _start_child(cmd: str, **kwargs: Any) -> honcho.process.Popen | forks.Forked:
        arguments = forks.celery_arguments(cmd, kwargs["env"]) if forks.supported() else None
        if arguments is not None:
            return forks.Forked(arguments, kwargs["env"])
        return honcho.process.Popen(cmd, preexec_fn=dies_with_parent(signal.SIGKILL), **kwargs)


class Supervisor(honcho.manager.Manager):
    """honcho's manager that also tells when the site answers.

    After `loop()`, `ended_by` names the process that ended it; it is "" when it was asked to end.
    """

    def __init__(self, health_url: str, on_ready: Callable[[], None]) -> None:
        super().__init__()
        honcho.manager.KILL_WAIT = KILL_WAIT
        self._procmgr = Signals()
        self._process_ctor = Process
        self._health_url = health_url
        self._on_ready: Callable[[], None] | None = on_ready
        self._next_look = 0.0
        self._site_answers = False
        self._asked = False
        self.ended_by = ""

    def terminate(self) -> None:
        """End everything. Before all have started it is only noted: the loop comes back to it."""
        if not self._terminating and self._all_started():
            super().terminate()
        self._asked = True

    def end_when_started(self) -> None:
        """For a signal that comes before the loop listens to any."""
        self._asked = True

    def sweep(self) -> None:
        """After the loop: no child of an ended process may stay."""
        for process in self._processes.values():
            if "pid" in process:
                self._procmgr.kill(process["pid"])

    def _any_stopped(self) -> bool:
        """The loop asks this ten times a second whether it is time to end everything."""
        stopped = self._asked or self._stopped_process()
        if not stopped:
            self._look_whether_ready()
        return stopped

    def _stopped_process(self) -> bool:
        for name, process in self._processes.items():
            if process.get("returncode") is not None:
                self.ended_by = name
                return True
        return False

    def _look_whether_ready(self) -> None:
        if self._on_ready is None or time.monotonic() < self._next_look:
            return
        if self._site_answers:
            on_ready, self._on_ready = self._on_ready, None
            on_ready()
        else:
            self._site_answers = _answers(self._health_url)
            self._next_look = time.monotonic() + (SETTLING if self._site_answers else READY_INTERVAL)


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(url, timeout=1).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def main() -> int:
    """The supervisor's process: runs the plan that it is told until a process ends or SIGTERM comes."""
    # honcho starts each process from a fork of this one; the watch over the parent needs exactly that.
    multiprocessing.set_start_method("fork", force=True)
    plan = Plan(**json.load(sys.stdin))
    supervisor = Supervisor(plan.health_url, lambda: _report(plan, READY))
    signal.signal(signal.SIGTERM, lambda *_: supervisor.end_when_started())
    lines = parse_procfile(Path(plan.procfile).read_text()).processes
    chosen = {name: command for name, command in lines.items() if name in plan.names or not plan.names}
    if forks.supported() and any(forks.celery_arguments(command, os.environ) for command in chosen.values()):
        forks.warm()
    for name, command in chosen.items():
        environ = {**os.environ, **plan.extra.get(name, {})}
        supervisor.add_process(name, command, env=environ, cwd=str(Path(plan.procfile).parent))
    try:
        supervisor.loop()
    finally:
        supervisor.sweep()
    _report(plan, supervisor.ended_by)
    return 0


def _report(plan: Plan, said: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(plan.report, f"{said}\n".encode())


if __name__ == "__main__":
    sys.exit(main())
