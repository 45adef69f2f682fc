"""A RabbitMQ server of our own on free ports, where Debian's package is installed."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from .stack import free_port, wait_for

BINARY = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
START_SECONDS = 60.0


def missing() -> str:
    """Why no server can be started here, or the empty word."""
    if not BINARY.exists():
        return "RabbitMQ is not installed (apt-get install rabbitmq-server)"
    return "" if shutil.which("erl") else "Erlang is not on the path"


class Server:
    """A server on free ports that keeps its data between two starts; everything it writes is in `folder`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.port, self.epmd = folder, free_port(), free_port()
        self.process: subprocess.Popen[bytes] | None = None
        config = folder / "rabbitmq.conf"
        config.write_text(
            f"listeners.tcp.default = 127.0.0.1:{self.port}\nloopback_users.guest = true\nlog.console.level = warning\n"
        )
        self.env = {
            **os.environ, "HOME": str(folder), "RABBITMQ_NODENAME": f"saudager{secrets.token_hex(4)}@localhost",
            "RABBITMQ_NODE_PORT": str(self.port), "RABBITMQ_DIST_PORT": str(free_port()), "RABBITMQ_CONFIG_FILE": str(config),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"), "RABBITMQ_LOG_BASE": str(folder / "log"), "RABBITMQ_LOGS": "-",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"), "RABBITMQ_PID_FILE": str(folder / "pid"),
            "ERL_EPMD_PORT": str(self.epmd), "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1",
        }  # fmt: skip

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def start(self) -> None:
        """Start it and wait until it greets. Raises TimeoutError."""
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [BINARY], env=self.env, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        wait_for("RabbitMQ", lambda: _greets(self.port), START_SECONDS, step=0.2)

    def kill(self) -> None:
        """End it as by kill -9."""
        self._end(signal.SIGKILL)

    def signal(self, number: int) -> None:
        """A signal to the whole server: SIGSTOP makes it keep its connections and say nothing."""
        assert self.process is not None
        os.killpg(self.process.pid, number)

    def close_all_connections(self) -> None:
        """As an operator does with `rabbitmqctl`. Raises RuntimeError with what it said."""
        command = [BINARY.with_name("rabbitmqctl"), "close_all_connections", "rehearsal"]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"rabbitmqctl: {done.stdout[-300:]}{done.stderr[-700:]}")

    def stop(self) -> None:
        """End it politely, then by force, and Erlang's port mapper with it."""
        self._end(signal.SIGTERM, signal.SIGKILL)
        _stop_port_mapper(self.epmd)

    def _end(self, *numbers: int) -> None:
        if self.process is None:
            return
        for number in numbers:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(15)


@contextlib.contextmanager
def running(folder: Path) -> Iterator[str]:
    """The server's AMQP URL; everything it writes is in `folder`. Raises TimeoutError."""
    server = Server(folder)
    try:
        server.start()
        yield server.url
    finally:
        server.stop()


def _greets(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), 1) as connection:
        connection.sendall(b"AMQP\x00\x00\x09\x01")
        return bool(connection.recv(8))


def _stop_port_mapper(port: int) -> None:
    """Erlang leaves its port mapper running in a session of its own."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as connection:
        connection.sendall(b"\x00\x01k")
        connection.recv(8)
