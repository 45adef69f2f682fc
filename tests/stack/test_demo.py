"""The demo is a test as well: the whole story of three customers, told on the real processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
LIMIT = 300.0

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the embedded servers are Linux's"),
]


def test_every_message_of_the_story_arrives_once() -> None:
    command = [sys.executable, "-m", "tests.rehearsal.demo"]
    told = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert told.returncode == 0, f"{told.stdout[-6000:]}\n{told.stderr[-3000:]}"
    assert "Every message arrived exactly once" in told.stdout
