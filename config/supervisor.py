"""Runs the processes of the Procfile together: all of them, or none."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import honcho.manager
import honcho.process
from honcho.environ import parse_procfile

from foundation.processes import dies_with_parent

from .embedded import Server

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
    def _start_child(cmd: str, **kwargs: Any) -> honcho.process.Popen:
        return honcho.process.Popen(cmd, preexec_fn=dies_with_parent(signal.SIGKILL), **kwargs)


class Supervisor(honcho.manager.Manager):
    """honcho's manager that also ends with the embedded servers, and tells when the site answers.

    After `loop()`, `ended_by` says what ended it: a process's or server's name, or "" when it was asked to.
    """

    def __init__(self, servers: Sequence[Server], health_url: str, on_ready: Callable[[], None]) -> None:
        super().__init__()
        honcho.manager.KILL_WAIT = KILL_WAIT
        self._procmgr = Signals()
        self._process_ctor = Process
        self._servers = servers
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

    def sweep(self) -> None:
        """After the loop: no child of an ended process may stay."""
        for process in self._processes.values():
            if "pid" in process:
                self._procmgr.kill(process["pid"])

    def _any_stopped(self) -> bool:
        """The loop asks this ten times a second whether it is time to end everything."""
        stopped = self._asked or self._stopped_process() or self._stopped_server()
        if not stopped:
            self._look_whether_ready()
        return stopped

    def _stopped_process(self) -> bool:
        for name, process in self._processes.items():
            if process.get("returncode") is not None:
                self.ended_by = name
                return True
        return False

    def _stopped_server(self) -> bool:
        for server in self._servers:
            if server.died():
                self.ended_by = server.name
                self._system_print(f"{server.name} has ended; its log is {server.log}\n")
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


def supervise(
    procfile: Path,
    environment: Mapping[str, str],
    extra: Mapping[str, Mapping[str, str]],
    servers: Sequence[Server],
    health_url: str,
    on_ready: Callable[[], None],
) -> str:
    """Run every line of the Procfile until one ends, a server ends, or a signal comes. Then end all of them.

    `extra` holds what only one process may see in its environment. Returns who ended it: "" for a signal.
    """
    # honcho starts each process from a fork of this one; the watch over the parent needs exactly that.
    multiprocessing.set_start_method("fork", force=True)
    supervisor = Supervisor(servers, health_url, on_ready)
    for name, command in parse_procfile(procfile.read_text()).processes.items():
        environ = {**environment, **extra.get(name, {})}
        supervisor.add_process(name, command, env=environ, cwd=str(procfile.parent))
    signal.signal(signal.SIGHUP, partial(_hang_up, signal.getsignal(signal.SIGHUP)))
    try:
        supervisor.loop()
    finally:
        supervisor.sweep()
    return supervisor.ended_by


def _hang_up(previous: Any, *_: Any) -> None:
    """A closed terminal ends everything in order, unless started under nohup."""
    if previous != signal.SIG_IGN:
        os.kill(os.getpid(), signal.SIGTERM)
