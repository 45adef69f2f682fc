"""`script/bench` runs and loses nothing; how fast it is, a shared machine cannot tell."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
LIMIT = 420.0


pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the embedded servers are Linux's"),
]


def bench(figures: Path, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.rehearsal.bench", "--quick", "--json", str(figures), *arguments]
    run = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert run.returncode == 0, f"{run.stdout[-3000:]}\n{run.stderr[-3000:]}"
    told: dict[str, Any] = json.loads(figures.read_text())
    return told


def test_a_small_scenario_beside_its_baseline(tmp_path: Path) -> None:
    told = bench(tmp_path / "bench.json", "--only", "burst-100")
    assert list(told["scenarios"]) == ["burst-100"] and told["errors_logged"] == []
    for case in told["scenarios"]["burst-100"].values():
        assert case["messages"] == case["replies"] == 100
        assert case["lost"] == case["doubled"] == case["refused"] == 0
        assert 0 < case["acknowledge"]["p50_ms"] <= case["acknowledge"]["p95_ms"] <= case["acknowledge"]["max_ms"]
        assert case["baseline_p95_ms"] > 0
    assert {aim["aim"].split(":")[0] for aim in told["aims"]} == {"burst of 100, 800 ms model"}


def test_every_operation_is_timed_at_each_size_of_the_tables(tmp_path: Path) -> None:
    rows = bench(tmp_path / "rows.json", "--rows", "2000")["rows"]
    assert list(rows["milliseconds"]) == ["1000", "2000"]
    assert {"store an event", "claim a turn", "claim an outgoing message", "poll", "sweep turns", "due touches"} <= set(rows["ratio"])
    assert sum(name.startswith("admin: ") for name in rows["ratio"]) > 8
    for times in rows["milliseconds"].values():
        assert times.keys() == rows["ratio"].keys() and all(ms > 0 for ms in times.values())
