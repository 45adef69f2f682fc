"""Starts the supervisor and watches over it, beside the embedded servers: knows their secrets and not the product."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from foundation.processes import dies_with_parent

from .embedded import Server

#: Seconds between two looks at the embedded servers.
TICK = 0.1
READY = "ready"
#: An argument that means nothing: its place in the process list is where forks show what they are.
TITLE_ROOM = " " * 400


@dataclass(frozen=True)
class Plan:
    """What the supervisor's process is told, on its standard input: whatever must not be in anyone's environment too."""

    procfile: str
    health_url: str
    #: Process → what only it may see in its environment.
    extra: Mapping[str, Mapping[str, str]]
    #: Names of the lines to run; empty: all.
    names: Sequence[str]
    #: Where it reports: a file descriptor.
    report: int


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
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb", buffering=0) as reports:
        plan = Plan(str(procfile), health_url, extra, (), writer)
        process = start(plan, environment)
        os.close(writer)
        return _Watch(process, servers, reports, on_ready).run()


def start(plan: Plan, environment: Mapping[str, str], **options: Any) -> subprocess.Popen[bytes]:
    """Start the supervisor's process, in a session of its own: what the terminal says comes to whoever starts it."""
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "config.supervisor", TITLE_ROOM],
        env=dict(environment),
        cwd=str(Path(plan.procfile).parent),
        stdin=subprocess.PIPE,
        pass_fds=(plan.report,),
        start_new_session=True,
        preexec_fn=dies_with_parent(signal.SIGKILL),
        **options,
    )
    assert process.stdin
    with contextlib.suppress(BrokenPipeError), process.stdin as told:
        told.write(json.dumps(asdict(plan)).encode())
    return process


class _Watch:
    """Beside the supervisor's process: hands signals on, ends it with the servers, and hears what it reports."""

    def __init__(
        self, process: subprocess.Popen[bytes], servers: Sequence[Server], reports: IO[bytes], on_ready: Callable[[], None]
    ) -> None:
        self.process, self.servers, self.reports, self.on_ready = process, servers, reports, on_ready
        self.ended_by = ""
        self.asked = False

    def run(self) -> str:
        """Until the supervisor has ended. Returns who ended it."""
        before = {number: signal.signal(number, self._ask) for number in (signal.SIGTERM, signal.SIGINT)}
        before[signal.SIGHUP] = signal.getsignal(signal.SIGHUP)
        if before[signal.SIGHUP] != signal.SIG_IGN:
            # A closed terminal ends everything in order, unless started under nohup.
            signal.signal(signal.SIGHUP, self._ask)
        try:
            while self.process.poll() is None:
                self._look_at_servers()
                self._hear(TICK)
            self._hear(0)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if self.process.returncode and not self.ended_by and not self.asked:
            self.ended_by = "the supervisor"
        return self.ended_by

    def _ask(self, *_: Any) -> None:
        self.asked = True
        self.process.terminate()

    def _look_at_servers(self) -> None:
        died = next((server for server in self.servers if server.died()), None)
        if died and not self.ended_by:
            self.ended_by = died.name
            sys.stdout.write(f"{died.name} has ended; its log is {died.log}\n")
            sys.stdout.flush()
            self.process.terminate()

    def _hear(self, seconds: float) -> None:
        if not select.select([self.reports], [], [], seconds)[0]:
            return
        for line in self.reports.read(4096).decode().splitlines():
            if line == READY:
                self.on_ready()
            elif not self.ended_by and not self.asked:
                self.ended_by = line
