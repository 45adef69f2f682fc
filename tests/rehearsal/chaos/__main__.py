"""`script/chaos`: plays a seeded load of conversations against the whole product while faults are injected one after another.

What came of each message is counted from the records of the fake providers. Exits 0 only if nothing was lost, doubled, out
of order or sent after a takeover, and all came to rest.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from tests.rehearsal import rabbitmq
from tests.rehearsal.kinds import KINDS
from tests.rehearsal.stack import scratch_folder

from . import audit, harness, load, report
from .audit import Evidence
from .faults import FAULTS, Fault, Scene
from .harness import ChaosStack
from .names import NAMES
from .report import Result
from .witness import Quiet, Witness

#: Conversations for each fault, in the short form and the long one.
CONVERSATIONS = (10, 24)
#: The load plays for so long before a fault and after it, in seconds.
BEFORE, AFTER = 1.2, 1.3
#: What the short form leaves out unless it is named: another one in the list proves nearly the same, or it takes too long.
LONG = ("zombie", "models-down", "clock-jump", "send-timeout", "rolling-restart")


class Run:
    """One run over a running stack."""

    def __init__(self, stack: ChaosStack, options: argparse.Namespace) -> None:
        self.stack, self.options, self.names = stack, options, NAMES[stack.kind.name]
        self.numbers = load.Numbers(options.seed)
        self.brief = options.short or not options.all
        self.witnesses: list[tuple[Result, Witness]] = []

    def play(self, fault: Fault) -> Result:
        """Play the load, inject the fault, wait for quiet, judge."""
        if self.stack.broker not in fault.brokers:
            return _skipped(fault, f"not on {self.stack.broker}")
        if why := self.names.lacks.get(fault.needs):
            return _skipped(fault, why)
        player = load.Player(self.stack.control["gateway"], self.stack.write_as_manager)
        witness = Witness(self.stack, player, self.names)
        scene = Scene(self.stack, self.brief, phones=lambda: [phone for phone, _said in player.said])
        seconds = BEFORE + fault.lasts[0 if self.brief else 1] + AFTER
        random = Random(f"{self.options.seed}:{fault.name}")
        restarts = self.stack.restarts
        player.start(load.plan(random, self.numbers, self.options.conversations, seconds, fault.mischief, self.names.ways))
        time.sleep(BEFORE)
        fault.inject(scene)
        over = scene.over_at or time.time()
        player.wait()
        quiet = witness.wait_for_quiet()
        for look in scene.later:
            look()
        resumed = scene.resumed()
        evidence = witness.evidence()
        result = Result(
            fault.name, fault.proves, audit.judge(evidence), replace(quiet, seconds=quiet.since(over)),
            first_answer=_first_answer(evidence, over), slowest=_slowest(evidence), unconfirmed=witness.unconfirmed(),
            restarts=self.stack.restarts - restarts, resumed=resumed, memory=self.stack.memory(), wrong=scene.wrong, notes=scene.notes,
        )  # fmt: skip
        self.witnesses.append((result, witness))
        return result

    def look_again(self) -> None:
        """At the end, judge every fault's messages once more: a double may come late."""
        for result, witness in self.witnesses:
            evidence = witness.evidence()
            if self.options.tamper:
                evidence = self._tampered(result, evidence)
            verdict = audit.judge(evidence)
            if report.problems(replace(result, verdict=verdict)) != report.problems(result):
                result.notes.append("the figures have changed since: these are those of the end of the run")
            result.verdict = verdict

    def prove(self) -> None:
        """Tamper with the record in each way: the auditor has to notice each time. Raises SystemExit."""
        for how, found in audit.TAMPERS.items():
            for _result, witness in self.witnesses:
                try:
                    verdict = audit.judge(audit.tampered(witness.evidence(), how))
                except ValueError:
                    continue
                if not getattr(verdict, found):
                    raise SystemExit(f"The record was tampered with ({how}), and the auditor did not notice.")
                break
            else:
                raise SystemExit(f"No load of this run could be tampered with ({how}).")
        print(f"\nTampered with, the record is found {', '.join(audit.TAMPERS)}.")

    def _tampered(self, result: Result, evidence: Evidence) -> Evidence:
        try:
            return audit.tampered(evidence, self.options.tamper)
        except ValueError as error:
            result.notes.append(str(error))
            return evidence


def _first_answer(evidence: Evidence, over: float) -> float | None:
    after = [sent.begun - over for sent in evidence.sent if sent.by_bot and sent.begun >= over]
    return round(min(after), 1) if after else None


def _slowest(evidence: Evidence) -> float:
    shown = {one.token: one.begun for one in evidence.asked}
    waits = [sent.begun - shown[token] for sent in evidence.sent if sent.by_bot for token in sent.tokens if token in shown]
    return max(waits, default=0.0)


def _skipped(fault: Fault, why: str) -> Result:
    return Result(fault.name, fault.proves, audit.Verdict(), Quiet(0, 0.0, {}), None, 0.0, 0, 0, skipped=why)


def chosen(options: argparse.Namespace) -> list[Fault]:
    """The faults to inject, in the order of the table."""
    if options.fault:
        return [FAULTS[name] for name in options.fault]
    return [one for name, one in FAULTS.items() if options.all or not (one.rare or (options.short and name in LONG))]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="script/chaos", description=__doc__)
    parser.add_argument("--all", action="store_true", help="every fault, and each as long as in the long form (about 25 minutes)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--fault", action="append", choices=list(FAULTS), metavar="NAME", help="only this one; may be repeated")
    which.add_argument("--soak", type=float, metavar="MINUTES", help="faults at random for so long; memory must stay flat")
    which.add_argument("--list", action="store_true", help="name the faults and what they prove, and do nothing")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--conversations", type=int, help=f"for each fault; default {CONVERSATIONS[1]}, short {CONVERSATIONS[0]}")
    parser.add_argument("--short", action="store_true", help="shorter faults and less load; without those that take longest")
    parser.add_argument("--channel", choices=tuple(NAMES), default="wappi", help="the kind of channel that customers write on")
    parser.add_argument("--broker", choices=("redis", "rabbitmq"), default="redis")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    parser.add_argument(
        "--break", dest="tamper", choices=tuple(audit.TAMPERS),
        help="tamper with the record at the end: the run must then fail",
    )  # fmt: skip
    parser.add_argument("--prove", action="store_true", help="at the end, show that each way of tampering would be noticed")
    options = parser.parse_args(arguments)
    options.conversations = options.conversations or CONVERSATIONS[0 if options.short else 1]
    if options.list:
        for fault in FAULTS.values():
            print(f"{fault.name:<18}{fault.group:<10}{fault.proves}{' (rare)' if fault.rare else ''}")
        return 0
    if options.broker == "rabbitmq" and (missing := rabbitmq.missing()):
        print(f"saudager: {missing}", file=sys.stderr)
        return 1
    with scratch_folder("chaos") as folder:
        results = _play_all(folder, options)
        text = report.summary(results)
        print(f"\n{text}")
        if options.json:
            _write(options.json, options, results)
        if not all(result.passed for result in results):
            # The exception keeps the folder with the logs.
            raise SystemExit(1)
    return 0


def _play_all(folder: Path, options: argparse.Namespace) -> list[Result]:
    print(f"Starting Saudager with a fake provider of {options.channel} and a fake language model …", flush=True)
    begun = time.monotonic()
    with harness.start(folder, options.broker, KINDS[options.channel]) as stack:
        stack.connect()
        print(f"Up after {time.monotonic() - begun:.1f} s. Seed {options.seed}, {options.channel}, {options.broker}.\n\n{report.HEAD}", flush=True)
        run = Run(stack, options)
        results = []
        for fault in _in_turn(options):
            result = run.play(fault)
            results.append(result)
            print(report.line(result), flush=True)
        before = [report.line(result) for result in results]
        run.look_again()
        changed = [report.line(result) for result, line in zip(results, before, strict=True) if report.line(result) != line]
        if changed:
            print("\nAt the end:\n" + "\n".join(changed))
        if options.prove:
            run.prove()
        if options.soak:
            print(f"\n{report.memory(results)}")
    print(f"\n{time.monotonic() - begun:.0f} s.")
    return results


def _in_turn(options: argparse.Namespace) -> Iterator[Fault]:
    """The chosen faults once, or at random until the time of a soak is over."""
    if not options.soak:
        yield from chosen(options)
        return
    random, until = Random(f"soak:{options.seed}"), time.monotonic() + 60 * options.soak
    while time.monotonic() < until:
        lacks = NAMES[options.channel].lacks
        yield random.choice([one for one in chosen(options) if options.broker in one.brokers and one.needs not in lacks])


def _write(path: Path, options: argparse.Namespace, results: Sequence[Result]) -> None:
    figures: dict[str, Any] = {
        "seed": options.seed, "channel": options.channel, "broker": options.broker, "conversations": options.conversations, "short": options.short,
        "passed": all(result.passed for result in results), "faults": [result.as_json() for result in results],
    }  # fmt: skip
    path.write_text(json.dumps(figures, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    sys.exit(main())
