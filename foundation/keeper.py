"""Holds a port for a server and replaces the server without refusing a connection: `python -m foundation.keeper`.

    python -m foundation.keeper --host 127.0.0.1 --port 8000 -- python -m config.web

The command inherits the listening socket as LISTEN_FD and writes a byte to READY_FD when it serves. SIGHUP starts a second
one beside the first, and ends the first when the second serves; where it does not come up, the first one stays. SIGTERM ends
everything. It imports nothing of the product, so that a new version of that is what the second command finds.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from .processes import dies_with_parent

#: Seconds until a new server has to serve, and until an old one has to be gone.
READY_SECONDS = 60.0
LEAVE_SECONDS = 15.0
#: Connections that wait while nobody accepts.
BACKLOG = 2048
TICK = 0.1


class Keeper:
    """One listening socket and the server that accepts from it."""

    def __init__(self, listener: socket.socket, command: Sequence[str]) -> None:
        self.listener, self.command = listener, command
        self.stopping = self.replacing = False
        self.server: subprocess.Popen[bytes] | None = None

    def run(self) -> int:
        """Until SIGTERM (0), or until the server ends by itself (its status)."""
        for number, name in ((signal.SIGTERM, "stopping"), (signal.SIGINT, "stopping"), (signal.SIGHUP, "replacing")):
            signal.signal(number, lambda *_, name=name: setattr(self, name, True))
        self.server, ready = self._start()
        self._wait_for(ready, float("inf"))
        os.close(ready)
        while not self.stopping:
            if self.replacing:
                self.replacing = False
                self._replace()
            elif self.server.poll() is not None:
                return self.server.returncode or 1
            time.sleep(TICK)
        self.listener.close()
        self._end(self.server)
        return 0

    def _start(self) -> tuple[subprocess.Popen[bytes], int]:
        """Start the command. Returns it, and the end of the pipe on which it says that it serves."""
        ready, told = os.pipe()
        fd = self.listener.fileno()
        try:
            server = subprocess.Popen(  # noqa: S603  the command line of the Procfile
                self.command, env={**os.environ, "LISTEN_FD": str(fd), "READY_FD": str(told)}, pass_fds=(fd, told),
                preexec_fn=dies_with_parent(signal.SIGKILL),
            )  # fmt: skip
        finally:
            os.close(told)
        return server, ready

    def _replace(self) -> None:
        fresh, ready = self._start()
        try:
            serves = self._wait_for(ready, READY_SECONDS)
        finally:
            os.close(ready)
        assert self.server is not None
        if serves:
            self.server, fresh = fresh, self.server
            _say("the server is replaced")
        elif not self.stopping:
            _say("the new server did not come up; the old one goes on")
        self._end(fresh)

    def _wait_for(self, ready: int, seconds: float) -> bool:
        """Whether the byte came in time; its pipe ends without one where the command has ended."""
        until = time.monotonic() + seconds
        while not self.stopping and time.monotonic() < until:
            if select.select([ready], [], [], TICK)[0]:
                return bool(os.read(ready, 1))
        return False

    def _end(self, server: subprocess.Popen[bytes]) -> None:
        server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(LEAVE_SECONDS)
        server.kill()
        server.wait()


def _say(text: str) -> None:
    sys.stderr.write(f"keeper: {text}\n")
    sys.stderr.flush()


def listen(host: str, port: int) -> socket.socket:
    """The listening socket. Raises OSError where the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


def main(arguments: Sequence[str] | None = None) -> Any:
    """The command line. Exit status 1 where the port is taken."""
    parser = argparse.ArgumentParser(prog="keeper", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("command", nargs="+")
    given = parser.parse_args(arguments)
    try:
        listener = listen(given.host, given.port)
    except OSError as error:
        _say(f"{given.host}:{given.port}: {os.strerror(error.errno) if error.errno else error}")
        return 1
    return Keeper(listener, given.command).run()


if __name__ == "__main__":
    sys.exit(main())
