"""No fault at all, but a load that is worse than usual."""

from __future__ import annotations

from ..load import Mischief
from .table import Scene, fault


@fault("none", "load", "the load alone: duplicates, reordered webhooks, polls of the same messages, takeovers in the middle")
def nothing(scene: Scene) -> None:
    scene.sleep(2, 3)


@fault("dropped-webhooks", "load", "what webhooks missed is found by polls", mischief=Mischief(dropped=0.05), needs="history")
def dropped_webhooks(scene: Scene) -> None:
    scene.sleep(2, 3)


@fault("tenfold", "load", "every webhook comes ten times at once: one message, one answer, ten times 2xx", mischief=Mischief(duplicated=1.0))
def tenfold(scene: Scene) -> None:
    if refused := scene.refused_within(lambda: scene.sleep(3, 4)):
        scene.wrong.append(f"{refused} copies of webhooks were refused")


@fault("bursts", "load", "every customer writes eight messages within three seconds", lasts=(4, 8), mischief=Mischief(burst=(8, 3.0)))
def bursts(scene: Scene) -> None:
    scene.sleep(4, 8)


@fault(
    "takeovers", "load", "people first: nine of ten conversations are taken over, at any moment of a generation of two seconds",
    lasts=(3, 4), mischief=Mischief(taken_over=0.9),
)  # fmt: skip
def takeovers(scene: Scene) -> None:
    stack = scene.stack
    usual = stack.latency_ms
    stack.llm("settings", latency_ms=2000)
    scene.sleep(6, 7)
    stack.llm("settings", latency_ms=usual)
