"""The demo is a test as well: its stories are told on the real processes."""

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


def told(*arguments: str) -> str:
    """What the demo prints, where all went as told."""
    command = [sys.executable, "-m", "tests.rehearsal.demo", *arguments]
    ended = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT, check=False)
    wrong = "\n".join(line for line in ended.stdout.splitlines() if line.startswith("WRONG"))
    assert ended.returncode == 0, f"{wrong}\n{ended.stdout[-6000:]}\n{ended.stderr[-3000:]}"
    return ended.stdout


def test_every_message_of_the_story_arrives_once() -> None:
    assert "Every message arrived exactly once" in told()


def test_every_kind_of_channel_tells_its_story() -> None:
    from channels.models import Channel

    transcript = told("--channel", "all")
    assert "Every message arrived exactly once on" in transcript
    assert [kind for kind in Channel.Kind.values if f"── {kind} ─" not in transcript] == []
