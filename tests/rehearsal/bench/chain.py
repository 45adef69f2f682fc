"""The bare Celery chain of the same run: as many hops a message as the road's, in a process of its own."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..load import percentiles
from ..stack import ROOT, Stack, wait_for
from .meters import Meter, memory_mb
from .writers import steady_rate

WARM_UP = 200
_COMMAND = "from tests.rehearsal.bench import chain; chain.main()"
BURSTS = (100, 500)


def measure(stack: Stack, jobs: int, window: int, workers: int = 2) -> dict[str, Any]:
    """Chains a second in a closed loop of `window`, CPU for each, and the time of a chain when many start at once."""
    out = stack.folder / "baseline.bin"
    out.unlink(missing_ok=True)
    command = [
        sys.executable, "-c", _COMMAND, "--jobs", str(jobs), "--window", str(window),
        "--workers", str(workers), "--out", str(out),
    ]  # fmt: skip
    env = {key: value for key, value in stack.env.items() if key != "DATABASE_POOL"}
    env |= {"BASELINE_OUT": str(out), "DJANGO_SETTINGS_MODULE": "config.settings", "LOG_LEVEL": "INFO"}
    done = subprocess.run(command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the baseline failed:\n{done.stderr[-2000:]}")
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


@contextlib.contextmanager
def _worker(processes: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [
        sys.executable, "-m", "celery", "-q", "-A", "tests.rehearsal.baseline", "worker", "-P", "prefork",
        "-c", str(processes), "-Q", "baseline", "-n", "baseline@%h", "--without-gossip", "--without-mingle", "-l", "INFO",
    ]  # fmt: skip
    with log.open("wb") as output:
        worker = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, start_new_session=True)
    try:
        wait_for("baseline worker", lambda: b"ready" in log.read_bytes(), 60)
        yield worker
    finally:
        os.killpg(worker.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.wait(15)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()


class Loop:
    """Starts chains and reads when they ended."""

    def __init__(self, out: Path) -> None:
        from .. import baseline

        self.chain, self.out = baseline, out

    def ended(self) -> int:
        return self.out.stat().st_size // 16 if self.out.exists() else 0

    def run(self, ids: list[int], window: int) -> list[tuple[float, float]]:
        """Keep `window` chains in flight until all are done; when each began and ended. Raises TimeoutError."""
        before, sent, until = self.ended(), 0, time.monotonic() + 180
        with self.chain.app.connection_for_write() as broker, self.chain.app.amqp.Producer(broker) as producer:
            while (done := self.ended() - before) < len(ids):
                if time.monotonic() > until:
                    raise TimeoutError("the baseline did not finish")
                if sent < len(ids) and sent - done < window:
                    self.chain.hops[0].apply_async((ids[sent], time.time()), producer=producer)
                    sent += 1
                else:
                    time.sleep(0.001)
        return list(struct.iter_unpack("<dd", self.out.read_bytes()))[before:]


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    loop = Loop(options.out)
    loop.chain.create_table()
    try:
        rows = [loop.chain.Job(payload={"text": "x" * 400}) for _ in range(options.jobs)]
        ids = [job.pk for job in loop.chain.Job.objects.bulk_create(rows)]
        with _worker(options.workers, options.out.with_suffix(".log")):
            loop.run(ids[:WARM_UP], 8)
            meter = Meter(os.getppid())
            ends = loop.run(ids, options.window)
            cpu = {name: ms for name, ms in meter.per(len(ids)).items() if name in ("baseline", "redis", "rabbitmq", "postgres")}
            cpu["product"] = round(sum(cpu.values()), 2)
            bursts = {f"burst_{users}": percentiles([b - a for a, b in loop.run(ids[:users], users)]) for users in BURSTS}
            memory = memory_mb(os.getpid())["total"]
    finally:
        loop.chain.drop_table()
    return {
        "hops": loop.chain.HOPS, "workers": options.workers, "chains_per_second": steady_rate([end for _, end in ends]),
        "cpu_ms_per_chain": cpu, "memory_mb": memory, **bursts,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--window", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    print(json.dumps(_measure(parser.parse_args())))
