"""Fault points do nothing unless they are named, and are refused in production."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from foundation import faults

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPT = "import django; django.setup(); from foundation import faults; faults.point('enqueue'); print('passed')"


def python(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def test_a_point_that_is_not_named_is_passed() -> None:
    faults.point("enqueue")


def test_a_process_dies_at_a_named_point_once_its_file_is_laid(tmp_path: Path) -> None:
    laid = "import os, pathlib; pathlib.Path(os.environ['FAULT_FOLDER'], f'enqueue.{os.getpid()}').touch();"
    named = {"FAULT_POINT": "enqueue,sent", "FAULT_FOLDER": str(tmp_path), "ENVIRONMENT": "rehearsal"}
    assert python(SCRIPT, **named).stdout == "passed\n"
    assert python(f"{laid} {SCRIPT}", **named).returncode == -signal.SIGKILL
    assert not list(tmp_path.iterdir())


def test_who_meets_a_poisoned_row_dies_each_time(tmp_path: Path) -> None:
    named = {"FAULT_POINT": "understand", "FAULT_FOLDER": str(tmp_path), "ENVIRONMENT": "rehearsal"}
    meets = "import django; django.setup(); from foundation import faults; faults.poison('understand', {row}); print('passed')"
    laid = tmp_path / "understand.7"
    laid.touch()
    assert [python(meets.format(row=7), **named).returncode for _ in range(2)] == [-signal.SIGKILL] * 2
    assert laid.stat().st_size == 2
    assert python(meets.format(row=8), **named).stdout == "passed\n"
    assert python(meets.format(row=7), **named | {"FAULT_POINT": "enqueue"}).stdout == "passed\n"


@pytest.mark.parametrize("environment", [{"ENVIRONMENT": "production", "FAULT_FOLDER": "/nowhere"}, {"ENVIRONMENT": "rehearsal"}])
def test_a_named_point_is_refused_in_production_and_without_a_folder(environment: dict[str, str]) -> None:
    told = python(SCRIPT, FAULT_POINT="enqueue", **environment)
    assert told.returncode == 1 and "FAULT_POINT" in told.stderr
