"""The product's own web process on the test database, for what only a real server shows: streams and browsers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.parse import quote

from django.db import connection

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Server:
    url: str
    process: subprocess.Popen[bytes]

    def threads(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("Threads:")).split()[1])


@contextmanager
def running(**environment: str) -> Iterator[Server]:
    """Started as the Procfile does, with these variables on top."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "config.asgi:application", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--no-access-log", "--loop", "uvloop", "--http", "httptools", "--timeout-graceful-shutdown", "1"]
    known = {"DATABASE_URL": _database_url(), "DATABASE_POOL": "12", "LOG_LEVEL": "WARNING", "PGAPPNAME": "web process"}
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | known | environment)
    server = Server(f"http://127.0.0.1:{port}", process)
    try:
        _wait(server)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _database_url() -> str:
    database = connection.settings_dict
    login = ":".join(quote(str(part), safe="") for part in (database["USER"], database["PASSWORD"]) if part)
    host, port = database["HOST"] or "127.0.0.1", database["PORT"] or 5432
    return f"postgresql://{login}@{quote(host, safe='')}:{port}/{database['NAME']}"


def _wait(server: Server) -> None:
    until = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(f"{server.url}/widget/widget.js", timeout=2):
                return
        except (URLError, OSError):
            if time.monotonic() > until or server.process.poll() is not None:
                raise
            time.sleep(0.1)
