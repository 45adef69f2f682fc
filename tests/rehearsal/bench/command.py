"""The command line of `script/bench`, and the table it prints."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from ..kinds import KINDS
from . import growth
from .ground import Options, ground
from .scenarios import APART, SCENARIOS, Figures

#: What is aimed at: name, unit, limit, whether more is better, and where the figure stands.
AIMS: tuple[tuple[str, float, bool, tuple[str, ...]], ...] = (
    ("messages/s", 60, True, ("saturation", "model 0 ms", "messages_per_second")),
    ("share of the baseline's rate", 0.75, True, ("saturation", "model 0 ms", "of_baseline")),
    ("CPU ms a message", 20, False, ("saturation", "model 0 ms", "cpu_ms_per_message", "product")),
    ("burst of 100, 800 ms model: acknowledge p95, ms", 200, False, ("burst-100", "model 800 ms", "acknowledge", "p95_ms")),
    ("burst of 100, 800 ms model: end to end p95, ms", 2000, False, ("burst-100", "model 800 ms", "end_to_end", "p95_ms")),
    ("100 users, 2 s model: end to end p95, ms", 3000, False, ("conversations-100", "model 2000 ms", "end_to_end", "p95_ms")),
    ("memory at rest, MB", 500, False, ("memory", "idle", "memory_mb")),
)
_COLUMNS = ("case", "messages", "lost", "twice", "ack p95", "reply p50", "reply p95", "per s", "CPU ms", "baseline")
_WIDTHS = (32, 8, 5, 5, 8, 9, 9, 7, 7, 30)


def main(arguments: list[str] | None = None) -> int:
    """Measure what was asked for, print a table, and return 1 where a message was lost or a scenario ended in an error."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.rows and options.channel != "wappi":
        parser.error("--rows times the database, which all channels share: without --channel")
    if options.list:
        for scenario in SCENARIOS.values():
            print(f"{scenario.name:18} {scenario.about}")
        return 0
    asked = Options(
        quick=options.quick, hold=options.hold, minutes=options.minutes, rate=options.rate, model_ms=options.model,
        broker=options.broker, rows=options.rows, channel=options.channel,
    )  # fmt: skip
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whatever ends us, the stack's processes end as well
    names = options.only or ([] if options.rows else list(SCENARIOS))
    results = _measure(asked, names, options.json)
    results["aims"] = aims(results["scenarios"])
    for line in _aim_lines(results["aims"]):
        print(line)
    _keep(results, options.json)
    lost = sum(case.get("lost", 0) for name, cases in results["scenarios"].items() if name != "highest-rate" for case in cases.values())
    return 1 if lost or results["errors_logged"] else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="script/bench", description="Measures the road on this machine.")
    parser.add_argument("--list", action="store_true", help="name the scenarios")
    parser.add_argument("--only", action="append", choices=list(SCENARIOS), metavar="NAME", help="this scenario; may be repeated")
    parser.add_argument("--quick", action="store_true", help="a few messages of each: to see that it runs")
    parser.add_argument("--rows", type=int, default=0, metavar="N", help="fill the tables up to N old messages instead, and time each operation")
    parser.add_argument("--minutes", type=float, default=5.0, help="length of `sustained` (default 5)")
    parser.add_argument("--rate", type=float, default=20.0, help="messages a second of `sustained` (default 20)")
    parser.add_argument("--model", type=int, default=800, metavar="MS", help="the fake model's time where a scenario has one (default 800)")
    parser.add_argument("--hold", type=float, default=0.0, metavar="S", help="the channel's hold in seconds (default 0)")
    parser.add_argument("--channel", choices=tuple(KINDS), default="wappi", help="the kind of channel that customers write on")
    parser.add_argument("--broker", choices=("redis", "rabbitmq"), default="redis")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file")
    return parser


def _keep(results: dict[str, Any], path: Path | None) -> None:
    if path is not None:
        path.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")


def _measure(options: Options, names: list[str], path: Path | None) -> dict[str, Any]:
    """Run the scenarios one after another; what is measured is kept at once, whatever becomes of the next one."""
    results: dict[str, Any] = {"machine": _machine(), "options": vars(options), "scenarios": {}, "errors_logged": []}
    print(_row(_COLUMNS))
    for together in (True, False):
        chosen = [name for name in names if (name not in APART) is together]
        if not chosen:
            continue
        with ground(options, together=together) as ready:
            for name in chosen:
                ready.watch.wait_for_quiet(60)
                begun = time.monotonic()
                figures = results["scenarios"][name] = SCENARIOS[name].run(ready)
                print(f"{name} ({time.monotonic() - begun:.0f} s)")
                for line in lines(figures):
                    print(f"  {line}", flush=True)
                _keep(results, path)
            errors = ready.stack.errors()[:20]
            results["errors_logged"] += errors
            for error in errors:
                print(f"logged: {error}")
    if options.rows:
        results["rows"] = growth.measure(options.rows, quick=options.quick)
        for line in _growth_lines(results["rows"]):
            print(line)
    return results


def _machine() -> dict[str, Any]:
    return {
        "python": platform.python_version(), "cores": len(os.sched_getaffinity(0)), "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "load_before": round(os.getloadavg()[0], 2),
    }  # fmt: skip


def lines(figures: Figures) -> Iterator[str]:
    """The cases of one scenario as lines of the table."""
    for name, case in figures.items():
        ack, reply = case.get("acknowledge", {}), case.get("end_to_end", {})
        cells = (
            name, case.get("messages"), case.get("lost"), case.get("doubled"), ack.get("p95_ms"), reply.get("p50_ms"),
            reply.get("p95_ms"), case.get("messages_per_second"), case.get("cpu_ms_per_message", {}).get("product"),
            _bare(case),
        )  # fmt: skip
        yield _row(cells)
        for what in ("memory_mb", "growth", "by_process", "cpu_ms_per_second", "quiet_after"):
            if what in case:
                yield f"    {what}: {case[what]}"


def _bare(case: dict[str, Any]) -> str:
    """The baseline's figures beside a case's."""
    bare, said = case.get("baseline"), []
    if "baseline_p95_ms" in case:
        said.append(f"chain p95 {case['baseline_p95_ms']} ms")
    if isinstance(bare, dict):
        said += [f"{bare['chains_per_second']}/s"] if "chains_per_second" in bare else []
        said += [f"{bare['cpu_ms_per_chain']['product']} CPU ms"]
    elif bare is not None:
        said.append(f"{bare} MB")
    if "of_baseline" in case:
        said.append(f"ratio {case['of_baseline']}")
    return ", ".join(said)


def _row(cells: tuple[Any, ...]) -> str:
    shown = ("" if cell is None else str(cell) for cell in cells)
    return " ".join(f"{cell:<{width}}" if n == 0 else f"{cell:>{width}}" for n, (cell, width) in enumerate(zip(shown, _WIDTHS, strict=True)))


def _growth_lines(measured: dict[str, Any]) -> Iterator[str]:
    by_level: dict[str, dict[str, float]] = measured["milliseconds"]
    yield f"{'milliseconds with rows':28}" + "".join(f"{int(level):>12,}" for level in by_level) + f"{'ratio':>8}"
    for name in next(iter(by_level.values())):
        yield f"{name:28}" + "".join(f"{found[name]:>12}" for found in by_level.values()) + f"{measured['ratio'].get(name, ''):>8}"
    yield f"bytes for each message, indexes and all: {measured['bytes_per_message']}"


def aims(scenarios: dict[str, Figures]) -> list[dict[str, Any]]:
    """The aims of which this run has a figure, and whether each is reached."""
    found = []
    for name, limit, more, path in AIMS:
        figure: Any = scenarios
        for step in path:
            figure = figure.get(step, {})
        if isinstance(figure, int | float):
            found.append({"aim": name, "limit": limit, "figure": figure, "reached": figure >= limit if more else figure <= limit})
    return found


def _aim_lines(found: list[dict[str, Any]]) -> Iterator[str]:
    for aim in found:
        yield f"{'reached' if aim['reached'] else 'MISSED ':8} {aim['aim']:52} {aim['figure']:>8} (aim {aim['limit']:g})"


if __name__ == "__main__":
    sys.exit(main())
