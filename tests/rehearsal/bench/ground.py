"""What a scenario stands on: the running stack, those who write to it, and the baseline of the same run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from honcho.environ import parse_procfile

from .. import rabbitmq
from ..kinds import KINDS, TELEGRAM
from ..stack import ROOT, Process, Stack, _signal, call, scratch_folder, wait_for
from . import chain
from .meters import Watch
from .writers import Bench

COMPANY = Path(__file__).parent.with_name("company.yaml")
#: Chains that a closed loop keeps in flight.
WINDOW = 64
#: The queues on the road of a text message.
ROAD = ("incoming_messages", "answers", "outgoing_messages")


@dataclass
class Options:
    """What the command line says. `hold` and `minutes` in their units, `model_ms` for scenarios with one model time."""

    quick: bool = False
    hold: float = 0.0
    minutes: float = 5.0
    rate: float = 20.0
    model_ms: int = 800
    broker: str = "redis"
    rows: int = 0
    channel: str = "wappi"


@dataclass
class Ground:
    """Handed to every scenario."""

    stack: Stack
    options: Options
    bench: Bench
    watch: Watch
    _baselines: dict[int, dict[str, Any]] = field(default_factory=dict)

    def latency(self, milliseconds: int) -> None:
        """How long the fake model thinks from now on."""
        call("POST", f"{self.stack.llm_url}/_sandbox/settings", {"latency_ms": milliseconds})

    def baseline(self, workers: int = 2) -> dict[str, Any]:
        """The bare chain on so many worker processes, measured once a run."""
        if workers not in self._baselines:
            self.watch.wait_for_quiet(60)
            self._baselines[workers] = chain.measure(self.stack, 600 if self.options.quick else 2000, WINDOW, workers)
        return self._baselines[workers]


@contextlib.contextmanager
def ground(options: Options, *, together: bool = True) -> Iterator[Ground]:
    """A fresh stack, warm: two small bursts have gone through it. `together`: as `script/server` starts it; else each process
    is a command of its own, so that more of a kind can be started."""
    environment = {
        "HOLD": str(options.hold), "POLLING_INTERVAL": "3600", "LOG_LEVEL": "INFO", "RATE_LIMIT_PER_MINUTE": "1000000",
        "BOT_LOOP_TURNS": "30000",
    }  # fmt: skip
    with contextlib.ExitStack() as stop:
        folder = stop.enter_context(scratch_folder("bench"))
        if options.broker == "rabbitmq":
            environment["BROKER_URL"] = stop.enter_context(rabbitmq.running(folder / "broker"))
        kind = KINDS[options.channel]
        stack = stop.enter_context(Stack(folder, COMPANY, environment=environment, together=together, kind=kind))
        bench = Bench(stack, webhook_address(stack), webhook_secret(stack))
        asyncio.run(bench.burst(20, 2))
        yield Ground(stack, options, bench, Watch(stack))


def webhook_address(stack: Stack) -> str:
    """The address of the stack's channel, as its admin page shows it."""
    return _channel(stack, "print(control.webhook_url(c))")


def subscribe(stack: Stack) -> None:
    """Tell the fake provider where to post, as the button in the admin does."""
    _channel(stack, "control.subscribe(c, user=None)")


def webhook_secret(stack: Stack) -> str:
    """What the fake provider proves its webhooks by; empty where that needs nothing that it was told."""
    if stack.kind is not TELEGRAM:
        return ""
    subscribe(stack)
    # The load posts past it, so it never sees anybody start the bot.
    return str(call("POST", f"{stack.gateway_url}/_sandbox/bot", {"knows_everybody": True})["secret_token"])


def _channel(stack: Stack, what: str) -> str:
    """The last line that this prints of the channel `c`."""
    found = f"from channels import control; from channels.models import Channel; c = Channel.objects.get(slug='{stack.kind.slug}')"
    return "".join(stack.manage("shell", "--verbosity=0", "-c", f"{found}; {what}").strip().splitlines()[-1:])


def carriers(names: Sequence[str]) -> dict[str, str]:
    """Of the named processes of the Procfile, those that carry text messages: name → command."""
    lines = parse_procfile((ROOT / "Procfile").read_text()).processes
    queues = {name: re.search(r"-Q (\S+)", lines[name]) for name in names}
    return {name: lines[name] for name, found in queues.items() if found and set(found[1].split(",")) & set(ROAD)}


@contextlib.contextmanager
def more_workers(stack: Stack, number: int) -> Iterator[None]:
    """`number` processes of each kind that carries messages instead of one, each kept on one core while there are several."""
    road, started = carriers(stack.processes), []
    try:
        for name, command in road.items():
            for copy in range(2, number + 1):
                line = command.replace(f"-n {name}@", f"-n {name}{copy}@")
                started.append(stack.start(f"{name}{copy}", ["/bin/sh", "-c", line]))
        for process in started:
            wait_for(process.name, lambda p=process: p.says("ready."), 60)  # type: ignore[misc]
        every = [process for process in stack.running if process.name.rstrip("0123456789") in road]
        if number > 1:
            _pin(every)
        yield
    finally:
        for process in started:
            _signal(process.popen, 15)
        for process in started:
            with contextlib.suppress(Exception):
                process.popen.wait(40)
            _signal(process.popen, 9)
            stack.running.remove(process)
        _pin([process for process in stack.running if process.name in road], spread=False)


def _pin(processes: list[Process], *, spread: bool = True) -> None:
    cores = sorted(os.sched_getaffinity(0))
    kinds: dict[str, int] = {}
    for process in processes:
        name = process.name.rstrip("0123456789")
        place = kinds[name] = kinds.get(name, -1) + 1
        wanted = [cores[place % len(cores)]] if spread else cores
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(process.popen.pid)
            for one in (root, *root.children(recursive=True)):
                for thread in one.threads():
                    os.sched_setaffinity(thread.id, wanted)
