"""The keeper of a port: its server comes and goes, and no connection is refused."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.rehearsal.stack import free_port, wait_for

ROOT = Path(__file__).resolve().parent.parent.parent
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the keeper's children end with it on Linux")

#: Answers every connection with its pid; does not come up while the file named first is there, ends when the second one is.
SERVER = """
import os, socket, sys, time
if os.path.exists(sys.argv[1]):
    sys.exit(3)
listener = socket.socket(fileno=int(os.environ["LISTEN_FD"]))
listener.settimeout(0.05)
os.write(int(os.environ["READY_FD"]), b"1")
while not os.path.exists(sys.argv[2]):
    try:
        connection, _peer = listener.accept()
    except TimeoutError:
        continue
    connection.sendall(str(os.getpid()).encode())
    connection.close()
sys.exit(4)
"""


class Kept:
    """A keeper with a small server."""

    def __init__(self, folder: Path) -> None:
        self.port, self.log = free_port(), folder / "log"
        self.broken, self.ends = folder / "broken", folder / "ends"
        script = folder / "server.py"
        script.write_text(SERVER)
        command = [
            sys.executable, "-m", "foundation.keeper", "--port", str(self.port), "--",
            sys.executable, str(script), str(self.broken), str(self.ends),
        ]  # fmt: skip
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stderr=log)
        wait_for("the first server", self.ask, 20)

    def ask(self) -> int:
        with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            return int(connection.recv(20))

    def says(self, text: str) -> Callable[[], bool]:
        return lambda: text in self.log.read_text()


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    keeper = Kept(tmp_path)
    yield keeper
    keeper.process.kill()
    keeper.process.wait()


def test_a_new_server_takes_over_without_a_refused_connection(kept: Kept) -> None:
    first, seen, failed, stop = kept.ask(), set[int](), list[BaseException](), threading.Event()

    def keep_asking() -> None:
        while not stop.is_set():
            try:
                seen.add(kept.ask())
            except (OSError, ValueError) as error:
                failed.append(error)

    asking = threading.Thread(target=keep_asking)
    asking.start()
    for number in (1, 2):
        kept.process.send_signal(signal.SIGHUP)
        wait_for("the next server", lambda number=number: kept.log.read_text().count("is replaced") == number, 20)
        wait_for("its answer", lambda number=number: len(seen) > number, 20)
    stop.set()
    asking.join()
    # The small server closes at SIGTERM what it has just accepted; the product's own waits (config.web).
    assert len(failed) <= 2 and not any(isinstance(error, ConnectionRefusedError) for error in failed)
    assert kept.ask() != first


def test_a_server_that_does_not_come_up_leaves_the_old_one(kept: Kept) -> None:
    first = kept.ask()
    kept.broken.touch()
    kept.process.send_signal(signal.SIGHUP)
    wait_for("the word", kept.says("did not come up"), 20)
    assert kept.ask() == first and kept.process.poll() is None


def test_it_ends_with_its_server_and_its_server_with_it(kept: Kept) -> None:
    server = kept.ask()
    kept.process.terminate()
    assert kept.process.wait(20) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(server, 0)
    with pytest.raises(ConnectionRefusedError):
        kept.ask()


def test_a_server_that_ends_by_itself_ends_the_keeper(kept: Kept) -> None:
    kept.ends.touch()
    assert kept.process.wait(20) == 4


def test_no_server_outlives_a_killed_keeper(kept: Kept) -> None:
    server = kept.ask()
    kept.process.kill()
    kept.process.wait()
    wait_for("its end", lambda: not Path(f"/proc/{server}").exists() or "Z" in Path(f"/proc/{server}/stat").read_text().split()[2], 5)


def test_a_taken_port_is_said_in_one_line(kept: Kept) -> None:
    again = subprocess.run(
        [sys.executable, "-m", "foundation.keeper", "--port", str(kept.port), "--", "true"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert again.returncode == 1
    assert again.stderr == f"keeper: 127.0.0.1:{kept.port}: Address already in use\n"
