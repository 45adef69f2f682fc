"""`script/bench`: how fast the road is, beside a bare Celery chain of as many hops on the same machine, in one run.

Prints JSON. All times are milliseconds; *acknowledge* is the webhook's answer, *end to end* runs from the webhook's post
to the acceptance of the reply by the fake provider, whose own record is what is counted.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import time
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from .load import Poster, percentiles
from .stack import ROOT, Stack, call, scratch_folder, wait_for

COMPANY = Path(__file__).with_name("company.yaml")
PROFILE = "71ad40e9-b023"
QUESTIONS = ("Здравствуйте! Сколько стоит доставка?", "Какая гарантия на кофемашину?", "Есть ли рассрочка?")
WINDOW = 64


@dataclass
class Run:
    """One scenario: what was posted when, and what the provider accepted when, by phone."""

    posted: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    acknowledged: list[float] = field(default_factory=list)
    refused: int = 0
    accepted: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def waits(self) -> list[float]:
        """End-to-end seconds; the n-th reply to a phone belongs to its n-th message."""
        return [b - a for phone, posts in self.posted.items() for a, b in zip(posts, self.accepted[phone], strict=False)]

    def report(self) -> dict[str, Any]:
        messages = sum(map(len, self.posted.values()))
        replies = sum(len(self.accepted[phone]) for phone in self.posted)
        return {
            "messages": messages, "replies": replies, "refused": self.refused,
            "acknowledge": percentiles(self.acknowledged), "end_to_end": percentiles(self.waits()),
        }  # fmt: skip


class Bench:
    """Writes as customers do and watches the fake provider's record of what left."""

    def __init__(self, stack: Stack, webhook: str) -> None:
        self.stack, self.webhook = stack, webhook
        self.seen = len(call("GET", f"{stack.wappi_url}/_sandbox/ledger"))
        self.phones = iter(range(77_010_000_000, 77_019_999_999))

    def phone(self) -> str:
        return str(next(self.phones))

    def body(self, phone: str, text: str) -> bytes:
        row = {
            "wh_type": "incoming_message", "profile_id": PROFILE, "id": uuid.uuid4().hex[:20].upper(), "body": text,
            "type": "chat", "from": f"{phone}@c.us", "to": "77019990000@c.us", "senderName": "Клиент", "is_me": False,
            "chatId": f"{phone}@c.us", "time": int(time.time()), "from_where": "phone", "chat_type": "dialog",
        }  # fmt: skip
        return json.dumps({"messages": [row]}, ensure_ascii=False).encode()

    async def write(self, poster: Poster, run: Run, phone: str, text: str) -> None:
        run.posted[phone].append(time.time())
        status, seconds = await poster.post(self.body(phone, text))
        run.acknowledged.append(seconds)
        run.refused += status != 200

    async def collect(self, run: Run, expected: int, seconds: float) -> None:
        """Read the provider's record until so many replies to this run's phones were accepted."""
        until, got = time.monotonic() + seconds, 0
        while got < expected and time.monotonic() < until:
            ledger = await asyncio.to_thread(call, "GET", f"{self.stack.wappi_url}/_sandbox/ledger?since={self.seen}")
            self.seen += len(ledger)
            for entry in ledger:
                phone = str(entry["recipient"]).split("@")[0]
                if phone in run.posted:
                    run.accepted[phone].append(entry["at"])
                    got += 1
            await asyncio.sleep(0.02 if expected < 50 else 0.1)

    async def one_user(self, messages: int) -> dict[str, Any]:
        """One customer who waits for each reply."""
        poster, run, phone = Poster(self.webhook, 1), Run(), self.phone()
        for number in range(messages):
            if number % 20 == 0:
                phone = self.phone()
            await self.write(poster, run, phone, QUESTIONS[number % len(QUESTIONS)])
            await self.collect(run, 1, 30)
        await poster.close()
        return run.report()

    async def burst(self, users: int, rounds: int) -> dict[str, Any]:
        """All users write at the same moment."""
        poster, total = Poster(self.webhook, users), Run()
        for _ in range(rounds):
            run = Run()
            await asyncio.gather(*(self.write(poster, run, self.phone(), QUESTIONS[0]) for _ in range(users)))
            await self.collect(run, users, 60)
            total.posted |= run.posted
            total.accepted |= run.accepted
            total.acknowledged += run.acknowledged
            total.refused += run.refused
        await poster.close()
        return total.report()

    async def steady(self, users: int, every: float, seconds: float) -> dict[str, Any]:
        """Users who write once in `every` seconds, spread evenly: the load of an ordinary busy day."""
        poster, run = Poster(self.webhook, users), Run()
        phones = [self.phone() for _ in range(users)]
        begun = time.monotonic()
        count = int(users * seconds / every)
        watcher = asyncio.create_task(self.collect(run, count, seconds + 60))
        tasks = []
        for number in range(count):
            await asyncio.sleep(max(0.0, begun + number * every / users - time.monotonic()))
            phone, text = phones[number % users], QUESTIONS[number % len(QUESTIONS)]
            tasks.append(asyncio.create_task(self.write(poster, run, phone, text)))
        await asyncio.gather(*tasks)
        await watcher
        await poster.close()
        return run.report()

    async def saturate(self, messages: int, window: int) -> dict[str, Any]:
        """`window` known customers who write again as soon as they are answered: the rate that the machine carries."""
        poster, run = Poster(self.webhook, window), Run()
        phones = [self.phone() for _ in range(window)]
        await asyncio.gather(*(self.write(poster, run, phone, QUESTIONS[0]) for phone in phones))
        await self.collect(run, window, 60)
        run, cpu, sent, begun = Run(), Meter(), 0, time.time()
        run.posted.update({phone: [] for phone in phones})
        watcher = asyncio.create_task(self.collect(run, messages, 180))
        while not watcher.done():
            free = [phone for phone in phones if len(run.accepted[phone]) == len(run.posted[phone])][: messages - sent]
            if free:
                await asyncio.gather(*(self.write(poster, run, phone, QUESTIONS[sent % 3]) for phone in free))
                sent += len(free)
            else:
                await asyncio.sleep(0.005)
        await poster.close()
        ends = sorted(at for moments in run.accepted.values() for at in moments)
        cut = ends[int(len(ends) * 0.1) : int(len(ends) * 0.9)]
        rate = (len(cut) - 1) / (cut[-1] - cut[0]) if len(cut) > 1 else 0.0
        return {
            **run.report(), "messages_per_second": round(rate, 1), "seconds": round(time.time() - begun, 1),
            "cpu_ms_per_message": cpu.per(messages),
        }  # fmt: skip


class Meter:
    """CPU milliseconds of everything below this process, by kind of process."""

    def __init__(self) -> None:
        self.before = self._now()

    @staticmethod
    def _now() -> dict[tuple[str, int], float]:
        used = {}
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                times, line = process.cpu_times(), " ".join(process.cmdline())
                used[_kind(line), process.pid] = times.user + times.system
        return used

    def per(self, count: int) -> dict[str, float]:
        spent: dict[str, float] = defaultdict(float)
        for (kind, pid), seconds in self._now().items():
            spent[kind] += seconds - self.before.get((kind, pid), 0.0)
        shown = {kind: round(1000 * seconds / max(count, 1), 2) for kind, seconds in sorted(spent.items())}
        return {**shown, "product": round(sum(v for k, v in shown.items() if not k.startswith("fake")), 2)}


def _kind(line: str) -> str:
    kinds = {
        "sandbox": "fake providers", "config.web": "web", "messages@": "messages", "answers@": "answers", "files@": "files",
        "celery": "celery", "redis-server": "redis", "postgres": "postgres", "baseline": "baseline",
    }  # fmt: skip
    return next((kind for word, kind in kinds.items() if word in line), "other")


def memory_mb() -> dict[str, float]:
    """Resident memory (proportional share) of the product's processes, in MB."""
    total: dict[str, float] = defaultdict(float)
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            kind = _kind(" ".join(process.cmdline()))
            if not kind.startswith("fake") and kind != "other":
                total[kind] += process.memory_full_info().pss / 2**20
    return {**{k: round(v) for k, v in sorted(total.items())}, "total": round(sum(total.values()))}


def baseline(stack: Stack, jobs: int, window: int) -> dict[str, Any]:
    """The bare chain: hops per message as many as the road's, closed loop with the same window."""
    out = stack.folder / "baseline.bin"
    env = {**stack.env, "BASELINE_OUT": str(out)}
    command = [
        sys.executable, "-m", "celery", "-q", "-A", "tests.rehearsal.baseline", "worker", "-P", "prefork", "-c", "2",
        "-Q", "baseline", "-n", "baseline@%h", "--without-gossip", "--without-mingle", "-l", "INFO",
    ]  # fmt: skip
    os.environ["BASELINE_OUT"] = str(out)
    from . import baseline as chain

    chain.create_table()
    ids = [job.pk for job in chain.Job.objects.bulk_create([chain.Job(payload={"text": "x" * 400}) for _ in range(jobs + 200)])]
    log = stack.logs / "baseline.log"
    with log.open("wb") as output:
        worker = subprocess.Popen(command, cwd=ROOT, env=env, stdout=output, stderr=output, start_new_session=True)
    try:
        wait_for("baseline worker", lambda: b"ready" in log.read_bytes(), 60)
        _closed_loop(chain, out, ids[:200], 8)
        rate, cpu = _closed_loop(chain, out, ids[200:], window)
    finally:
        os.killpg(worker.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.wait(15)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        chain.drop_table()
    return {"hops": chain.HOPS, "chains_per_second": rate, "cpu_ms_per_chain": cpu}


def _closed_loop(chain: Any, out: Path, ids: list[int], window: int) -> tuple[float, dict[str, float]]:
    """Keep `window` chains in flight; the rate over the middle 80 %, and the CPU spent."""
    before = out.stat().st_size // 16 if out.exists() else 0
    meter, sent, count, until = Meter(), 0, len(ids), time.monotonic() + 180
    with chain.app.connection_for_write() as broker, chain.app.amqp.Producer(broker) as producer:
        done = 0
        while done < count:
            if time.monotonic() > until:
                raise TimeoutError("the baseline did not finish")
            done = (out.stat().st_size // 16 if out.exists() else 0) - before
            if sent < count and sent - done < window:
                chain.hops[0].apply_async((ids[sent], time.time()), producer=producer)
                sent += 1
            else:
                time.sleep(0.001)
    import struct

    ends = [end for _begun, end in struct.iter_unpack("<dd", out.read_bytes())][before:]
    cut = ends[int(count * 0.1) : int(count * 0.9)]
    return round((len(cut) - 1) / (max(cut) - min(cut)), 1), meter.per(count)


def _set_latency(stack: Stack, milliseconds: int) -> None:
    call("POST", f"{stack.llm_url}/_sandbox/settings", {"latency_ms": milliseconds})


def _measure(stack: Stack, bench: Bench, quick: bool) -> dict[str, Any]:
    """Every scenario at both model latencies."""
    results: dict[str, Any] = {}
    for latency in (0, 800):
        _set_latency(stack, latency)
        few = 10 if quick else 30
        results[f"model_{latency}_ms"] = {
            "one_user": asyncio.run(bench.one_user(few)),
            "burst_100_users": asyncio.run(bench.burst(100, 1 if quick else 3)),
            "steady_100_users_every_10_s": asyncio.run(bench.steady(100, 10.0, 10.0 if quick else 40.0)),
        }
    return results


def _with_hold(hold: str, options: argparse.Namespace) -> dict[str, Any]:
    with scratch_folder("bench") as folder:
        environment = {"HOLD": hold, "POLLING_INTERVAL": "3600", "LOG_LEVEL": "WARNING"}
        with Stack(folder, COMPANY, environment=environment | {"LOG_LEVEL": "INFO"}) as stack:
            webhook = webhook_address(stack)
            bench = Bench(stack, webhook)
            asyncio.run(bench.burst(20, 2))
            idle = memory_mb()
            results: dict[str, Any] = {"hold_s": float(hold), "memory_idle_mb": idle, **_measure(stack, bench, options.quick)}
            if hold == "0":
                _set_latency(stack, 0)
                results["saturation"] = asyncio.run(bench.saturate(300 if options.quick else 1000, WINDOW))
                results["memory_after_mb"] = memory_mb()
                stack.connect_django()
                results["baseline"] = baseline(stack, 500 if options.quick else 2000, WINDOW)
                rate, bare = results["saturation"]["messages_per_second"], results["baseline"]["chains_per_second"]
                results["throughput_of_baseline"] = round(rate / bare, 2)
            results["errors_logged"] = stack.errors()[:20]
            print(json.dumps(results, ensure_ascii=False), file=sys.stderr, flush=True)
    return results


def webhook_address(stack: Stack) -> str:
    """The address of the stack's Wappi channel, as its admin page shows it."""
    said = stack.manage("shell", "--verbosity=0", "-c",
                        "from channels.models import Channel as C; c = C.objects.get(slug='wappi'); print(c.webhook_secret)")  # fmt: skip
    return f"{stack.url}/webhooks/wappi/wappi/{said.strip().splitlines()[-1]}/"


def summary(results: dict[str, Any]) -> dict[str, Any]:
    """The figures the aims are about."""
    plain = results["holds"]["0"]
    model = plain["model_800_ms"]["steady_100_users_every_10_s"]["end_to_end"]
    return {
        "overhead_over_model_p95_ms_at_100_users": round(model["p95_ms"] - 800, 1),
        "throughput_of_baseline": plain["throughput_of_baseline"],
        "messages_per_second": plain["saturation"]["messages_per_second"],
        "cpu_ms_per_message": plain["saturation"]["cpu_ms_per_message"]["product"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="script/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the messages: to see that it runs")
    parser.add_argument("--hold", choices=("0", "0.7", "both"), default="both")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    options = parser.parse_args()
    results: dict[str, Any] = {
        "machine": {"python": platform.python_version(), "cores": psutil.cpu_count(), "load_before": os.getloadavg()[0]},
        "holds": {hold: _with_hold(hold, options) for hold in ("0", "0.7") if options.hold in (hold, "both")},
    }
    if "0" in results["holds"]:
        results["summary"] = summary(results)
    text = json.dumps(results, indent=2, ensure_ascii=False)
    print(text)
    if options.json:
        options.json.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
