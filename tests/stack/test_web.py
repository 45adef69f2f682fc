"""The web server's end: what comes on connections that are open already is still answered."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rehearsal.stack import free_port, wait_for

ROOT = Path(__file__).resolve().parent.parent.parent
pytestmark = pytest.mark.stack


@pytest.fixture
def web() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    port = free_port()
    command = [sys.executable, "-m", "foundation.keeper", "--port", str(port), "--", sys.executable, "-m", "config.web"]
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, "LOG_LEVEL": "ERROR"}) as process:
        wait_for("web", lambda: asked(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) == (200, None), 30)
        yield process, port
        process.kill()


def asked(connection: http.client.HTTPConnection) -> tuple[int, str | None]:
    """Status of `/health`, and what the answer says of the connection."""
    connection.request("GET", "/health")
    answer = connection.getresponse()
    answer.read()
    return answer.status, answer.getheader("Connection")


def test_an_open_connection_is_answered_once_more_and_asked_to_close(web: tuple[subprocess.Popen[bytes], int]) -> None:
    process, port = web
    kept = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    assert asked(kept) == (200, None)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert asked(kept) == (200, "close")
    assert process.wait(20) == 0
