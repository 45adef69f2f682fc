"""The scenarios under load. Each says what it does, runs on a warm stack, and returns its figures by case."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .ground import Ground, more_workers
from .meters import Meter, Watch, memory_mb
from .search import highest
from .writers import EVERY

Figures = dict[str, dict[str, Any]]
MODELS_MS = (0, 800, 2000)
#: A rate is held while 95 % of the replies come within so many milliseconds after the model's time.
TOLERANCE_MS = 5000


@dataclass(frozen=True)
class Scenario:
    name: str
    about: str
    run: Callable[[Ground], Figures]


#: Scenarios that start more of a kind of process.
APART = ("workers",)
#: Seconds after which the workers' pools have closed the database connections that a burst had opened.
AT_REST = 75.0


def memory(ground: Ground) -> Figures:
    if not ground.options.quick:
        time.sleep(AT_REST)
    idle = memory_mb()
    ground.latency(0)
    with Watch(ground.stack, every=1.0) as watch:
        asyncio.run(ground.bench.saturate(200 if ground.options.quick else 1000, ground.stack.kind.customers))
    busiest = max(sample["memory_mb"] for sample in watch.samples)
    return {
        "idle": {"memory_mb": idle["total"], "by_process": idle},
        "under load": {"memory_mb": busiest, "by_process": memory_mb(), "baseline": ground.baseline()["memory_mb"]},
    }


def one(ground: Ground) -> Figures:
    return {
        model(ms): asyncio.run(_at(ground, ms).bench.one_user(10 if ground.options.quick else 30)).report() for ms in MODELS_MS
    }


def _burst(users: int) -> Callable[[Ground], Figures]:
    def run(ground: Ground) -> Figures:
        figures: Figures = {}
        for ms in (0, 800):
            done = asyncio.run(_at(ground, ms).bench.burst(users, 1 if ground.options.quick else 3))
            figures[model(ms)] = done.report() | {"baseline_p95_ms": ground.baseline()[f"burst_{users}"]["p95_ms"]}
        return figures

    return run


def _conversations(users: int) -> Callable[[Ground], Figures]:
    def run(ground: Ground) -> Figures:
        figures: Figures = {}
        for ms in MODELS_MS:
            cpu = Meter()
            done, posted = asyncio.run(_at(ground, ms).bench.steady(users / EVERY, 10 if ground.options.quick else 40))
            report = done.report()
            figures[model(ms)] = report | {
                "messages_per_second": round(posted, 1), "cpu_ms_per_message": cpu.per(report["messages"]),
            }  # fmt: skip
        return figures

    return run


def saturation(ground: Ground) -> Figures:
    figures: Figures = {}
    for ms in (0, ground.options.model_ms):
        figures[model(ms)] = asyncio.run(_at(ground, ms).bench.saturate(300 if ground.options.quick else 1000, ground.stack.kind.customers))
    return _beside(figures, ground.baseline())


def workers(ground: Ground) -> Figures:
    figures: Figures = {}
    for number in (1, 2) if ground.options.quick else (1, 2, 4):
        bare = ground.baseline(number)
        with more_workers(ground.stack, number):
            asyncio.run(_at(ground, 0).bench.burst(30, 1))
            found = asyncio.run(ground.bench.saturate(300 if ground.options.quick else 1500, ground.stack.kind.customers))
            figures |= _beside({f"{number} of each": found | {"memory_mb": memory_mb()["total"]}}, bare)
    return figures


def _beside(figures: Figures, bare: dict[str, Any]) -> Figures:
    for case in figures.values():
        case["baseline"] = {key: bare[key] for key in ("hops", "workers", "chains_per_second", "cpu_ms_per_chain")}
        case["of_baseline"] = round(case["messages_per_second"] / bare["chains_per_second"], 2)
    return figures


def highest_rate(ground: Ground) -> Figures:
    """Steps of 30 s; between two of them the stack comes to rest."""
    seconds, ms, steps = 5 if ground.options.quick else 30, ground.options.model_ms, {}
    _at(ground, ms)

    def held(rate: float) -> bool:
        ground.watch.wait_for_quiet(120)
        done, posted = asyncio.run(ground.bench.steady(rate, seconds, patience=TOLERANCE_MS / 1000 + 15))
        report = done.report()
        ok = holds(report, ms) and posted > 0.95 * rate
        steps[f"{rate:.1f} a second"] = report | {"messages_per_second": round(posted, 1), "held": ok}
        return ok

    found = highest(held, 10.0 if ground.options.quick else 20.0, precision=0.5 if ground.options.quick else 0.06)
    bare = ground.baseline()["chains_per_second"]
    return steps | {"highest": {"messages_per_second": round(found, 1), "baseline": ground.baseline(), "of_baseline": round(found / bare, 2)}}


def holds(report: dict[str, Any], model_ms: int) -> bool:
    """Whether nothing was lost, refused or said twice, and the replies came in time."""
    clean = not (report["lost"] or report["refused"] or report["doubled"])
    return clean and report["end_to_end"].get("p95_ms", float("inf")) < model_ms + TOLERANCE_MS


def sustained(ground: Ground) -> Figures:
    seconds = 10.0 if ground.options.quick else 60 * ground.options.minutes
    _at(ground, ground.options.model_ms)
    cpu = Meter()
    with Watch(ground.stack, every=1.0 if ground.options.quick else 5.0) as watch:
        done, posted = asyncio.run(ground.bench.steady(ground.options.rate, seconds))
    report = done.report()
    return {
        f"{ground.options.rate:g} a second, {seconds / 60:g} min": report | {
            "messages_per_second": round(posted, 1), "cpu_ms_per_message": cpu.per(report["messages"]),
            "growth": watch.report(), "quiet_after": ground.watch.wait_for_quiet(10), "samples": watch.samples,
            "baseline": {"cpu_ms_per_chain": ground.baseline()["cpu_ms_per_chain"]},
        }
    }  # fmt: skip


def model(ms: int) -> str:
    return f"model {ms} ms"


def _at(ground: Ground, ms: int) -> Ground:
    ground.latency(ms)
    return ground


def rest(ground: Ground) -> Figures:
    """What the processes use while nobody writes: the sweeps, the pulse, beat."""
    ground.watch.wait_for_quiet(60)
    seconds, cpu = 5 if ground.options.quick else 30, Meter()
    time.sleep(seconds)
    return {"nobody writes": {"cpu_ms_per_second": cpu.per(seconds)}}


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("memory", "memory (PSS) of all processes, at rest and under full load", memory),
        Scenario("rest", "CPU of all processes while nobody writes", rest),
        Scenario("one", "one customer who waits for each reply", one),
        Scenario("burst-100", "100 senders at the same moment: acknowledgement and reply", _burst(100)),
        Scenario("burst-500", "500 senders at the same moment: acknowledgement and reply", _burst(500)),
        Scenario("conversations-100", "100 conversations, each writing once in 10 s", _conversations(100)),
        Scenario("conversations-300", "300 conversations, each writing once in 10 s", _conversations(300)),
        Scenario("saturation", "64 customers (Telegram: 256) who write again as soon as they are answered", saturation),
        Scenario("highest-rate", "the highest rate held for 30 s with nothing lost, by steps", highest_rate),
        Scenario("sustained", "a steady rate for minutes: does memory grow, do queues?", sustained),
        Scenario("workers", "messages a second by the number of worker processes", workers),
    )
}
