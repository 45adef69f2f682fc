"""Language models that fail, hang, talk nonsense."""

from __future__ import annotations

import time
from typing import Any

from tests.rehearsal.stack import call

from .table import REACH_SECONDS, Scene, fault


def _models_fail(scene: Scene, kind: str, times: int, **more: Any) -> None:
    stack = scene.stack
    stack.llm("faults", fault=kind, times=times, **more)
    until = time.monotonic() + REACH_SECONDS
    while call("GET", f"{stack.control['llm']}/_sandbox/faults")["faults"] and time.monotonic() < until:
        time.sleep(0.2)
    stack.llm("clear")


@fault("model-errors", "model", "500, 503, 429 with a delay, and nonsense: asked again, answered once, nonsense never leaves")
def model_errors(scene: Scene) -> None:
    # Few at a time, with answers between: five failures in a row would open the breaker, which is models-down's subject.
    for kind, more in (("error", {}), ("unavailable", {}), ("rate_limited", {"after": 1.0}), ("malformed", {})):
        _models_fail(scene, kind, 2, **more)
        time.sleep(0.7)


@fault("models-frozen", "model", "the model takes connections and says nothing: deadlines hold, another way is found", lasts=(20, 40), rare=True)
def models_frozen(scene: Scene) -> None:
    scene.stack.llm("door", frozen=True)
    scene.sleep(20, 40)
    scene.stack.llm("door", frozen=False)


@fault("models-down", "model", "every model down: the offline model answers from the documents, or a person is called", lasts=(12, 62))
def models_down(scene: Scene) -> None:
    for shut in (True, False):
        # First the server refuses connections, then it answers 503 to everything.
        scene.stack.llm("door", open=not shut)
        scene.stack.llm("down", down=not shut)
        scene.sleep(5, 30)
    scene.stack.llm("down", down=False)
