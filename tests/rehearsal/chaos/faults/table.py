"""The table of faults, and what every fault acts with."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.rehearsal.stack import wait_for

from ..harness import WORKERS, ChaosStack
from ..load import Mischief
from ..witness import InHand

#: Seconds a fault waits for the load to bring the product to the point it wants to strike at.
REACH_SECONDS = 20.0
#: What a worker that dies had in hand goes on within so many seconds: a lease, a sweep, and what a queue may add.
RESUMED_SECONDS = 30.0


@dataclass
class Scene:
    """What a fault acts on."""

    stack: ChaosStack
    brief: bool
    notes: list[str] = field(default_factory=list)
    """What is worth telling beside the figures."""
    wrong: list[str] = field(default_factory=list)
    """What the fault itself found that must not be."""
    phones: Callable[[], list[str]] = list
    """Who has written so far."""
    later: list[Callable[[], None]] = field(default_factory=list)
    """What is done and looked at once all is quiet."""
    over_at: float = 0.0
    """When the fault was over, in Unix seconds, if that was before its function returned."""
    in_hand: list[InHand] = field(default_factory=list)
    """What those had in hand who died."""

    def pick(self, brief: float, long: float) -> float:
        return brief if self.brief else long

    def kill(self, *names: str) -> None:
        """kill -9, and note what they had in hand."""
        for name in names:
            self.stack.signal(name, signal.SIGKILL)
        self.note_in_hand()

    def note_in_hand(self) -> None:
        """Who had them has just died: the leased turns have to be resumed by somebody else, and in time."""
        self.in_hand.append(InHand.now(self.stack))

    def resumed(self) -> float | None:
        """Seconds until the last turn that the dead had in hand went on; None where they had none."""
        waits = [wait for hand in self.in_hand if (wait := hand.resumed(self.stack)) is not None]
        if waits and max(waits) > RESUMED_SECONDS:
            self.wrong.append(f"a turn that a dead worker had in hand went on after {max(waits):.1f} s only")
        return max(waits, default=None)

    def reach(self, what: str, condition: Callable[[], Any]) -> bool:
        """Wait until the load has brought the product there; False, and a wrong, where it does not come."""
        try:
            wait_for(what, condition, REACH_SECONDS)
        except TimeoutError:
            self.wrong.append(f"the fault struck nothing: {what} did not happen")
            return False
        return True

    def restart(self, name: str) -> None:
        """Politely; the keeper starts it again."""
        before = self.stack.current[name]
        before.popen.terminate()
        wait_for(f"a new {name}", lambda: self.stack.current[name] is not before, 60)
        if name in WORKERS:
            self.stack.wait_ready(name)

    def refused_within(self, what: Callable[[], None]) -> int:
        """How many webhooks the product refused while this was done."""
        before = int(self.stack.record()["refused"])
        what()
        return int(self.stack.record()["refused"]) - before

    def sleep(self, brief: float, long: float) -> None:
        time.sleep(self.pick(brief, long))


Inject = Callable[[Scene], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """`lasts` is about how many seconds the load goes on for it, briefly and in the long form."""

    name: str
    group: str
    proves: str
    inject: Inject
    lasts: tuple[float, float]
    mischief: Mischief
    brokers: tuple[str, ...]
    rare: bool
    """Takes so long that only `--all` and its name bring it."""
    needs: str
    """What not every kind of channel has (`names.Names.lacks`); mostly nothing."""


FAULTS: dict[str, Fault] = {}


def fault(
    name: str, group: str, proves: str, *, lasts: tuple[float, float] = (2, 3), mischief: Mischief | None = None,
    brokers: tuple[str, ...] = ("redis", "rabbitmq"), rare: bool = False, needs: str = "",
) -> Callable[[Inject], Inject]:  # fmt: skip
    """Enter a fault into the table."""

    def enter(inject: Inject) -> Inject:
        FAULTS[name] = Fault(name, group, proves, inject, lasts, mischief or Mischief(), brokers, rare, needs)
        return inject

    return enter
