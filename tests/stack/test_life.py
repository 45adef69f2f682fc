"""The whole product as `script/server` runs it: up, together, and gone without a trace."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
LIMIT = 60.0

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the embedded servers and /proc are Linux's"),
]


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def until(condition: Callable[[], object], what: str, limit: float = LIMIT) -> None:
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, f"not within {limit} s: {what}"
        time.sleep(0.05)


class Copy:
    """One copy of Saudager in a folder of its own."""

    def __init__(self, var: Path) -> None:
        self.var = var
        self.log = var.parent / "output.txt"
        self.port, flower = free_ports(2)
        self.environ = {
            "PATH": os.defpath,
            "HOME": str(var.parent),
            "VAR_DIR": str(var),
            "PORT": str(self.port),
            "FLOWER_PORT": str(flower),
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Seconds until it says that it runs."""
        began = time.monotonic()
        self.process = self.spawn()
        until(lambda: self.ended() or "Saudager is running" in self.output(), "a running copy")
        assert not self.ended(), self.output()
        return time.monotonic() - began

    def spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("wb") as log:
            command = [sys.executable, "-m", "config.stack", "server"]
            return subprocess.Popen(
                command, cwd=ROOT, env=self.environ, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
            )

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def ended(self) -> bool:
        assert self.process
        return self.process.poll() is not None

    def wait(self) -> int:
        until(self.ended, "the end of the supervisor")
        assert self.process and self.process.returncode is not None
        return self.process.returncode

    def pids(self) -> dict[int, str]:
        """Every process that works for this copy, wherever it hangs in the tree."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                environ = (folder / "environ").read_bytes().decode(errors="replace")
                if f"VAR_DIR={self.var}\0" in environ or os.readlink(folder / "cwd").startswith(str(self.var)):
                    found[int(folder.name)] = command
        return found

    def pid_of(self, *words: str) -> int:
        pids = [pid for pid, command in self.pids().items() if all(word in command for word in words) and "/sh " not in command]
        assert pids, f"no process with {words}: {self.pids()}"
        return min(pids)

    def nothing_left(self) -> None:
        until(lambda: not self.pids(), f"nothing left, still: {self.pids()}", 10)


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Copy]:
    # A space and a socket path beyond 107 bytes, both of which have broken such set-ups before.
    var = tmp_path / "a folder with spaces" / ("deep" * 25) / "var"
    var.mkdir(parents=True)
    made = Copy(var)
    yield made
    if made.process and not made.ended():
        made.process.kill()
        made.process.wait()
    made.nothing_left()


def test_a_life(copy: Copy) -> None:
    first = copy.start()
    with urllib.request.urlopen(f"http://127.0.0.1:{copy.port}/health", timeout=5) as answer:
        assert answer.status == 200
    assert re.search(r"Login +admin / \S{12,}", copy.output())
    assert_secrets_are_not_in_the_process_list(copy)

    second_copy = Copy(copy.var)
    second_copy.log = copy.var.parent / "second.txt"
    refused = second_copy.spawn()
    assert refused.wait(LIMIT) == 1
    assert re.fullmatch(r"saudager: already running from .*\n", second_copy.output())

    os.kill(copy.pid_of(" beat"), signal.SIGKILL)
    assert copy.wait() == 1
    assert "beat ended" in copy.output()
    copy.nothing_left()

    second = copy.start()
    assert second < first
    assert "changepassword admin" in copy.output()
    assert copy.process
    copy.process.send_signal(signal.SIGINT)
    assert copy.wait() == 0
    assert "Traceback" not in copy.output()
    copy.nothing_left()


def test_nothing_outlives_a_lost_database_or_a_killed_supervisor(copy: Copy) -> None:
    copy.start()
    os.kill(copy.pid_of("bin/postgres", "-D"), signal.SIGKILL)
    assert copy.wait() == 1
    assert "postgres ended" in copy.output()
    copy.nothing_left()

    copy.start()
    assert copy.process
    copy.process.kill()
    copy.wait()
    copy.nothing_left()

    copy.start()
    assert copy.process
    copy.process.terminate()
    assert copy.wait() == 0


def test_a_taken_port_is_one_line_that_names_the_variable(copy: Copy) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", copy.port))
        other.listen()
        copy.process = copy.spawn()
        assert copy.wait() == 1
    assert re.fullmatch(rf"saudager: port {copy.port} is taken .*PORT.*\n", copy.output())


def assert_secrets_are_not_in_the_process_list(copy: Copy) -> None:
    lines = (copy.var / "secrets.env").read_text().splitlines()
    secrets = [line.partition("=")[2] for line in lines if "=" in line and not line.startswith("FLOWER_USER")]
    for command in copy.pids().values():
        assert not any(secret in command for secret in secrets), command
