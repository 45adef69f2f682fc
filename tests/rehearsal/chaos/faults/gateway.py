"""The messenger's gateway refuses, hangs, loses its answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.rehearsal.stack import call

from ..names import NAMES
from .processes import held
from .table import REACH_SECONDS, Scene, fault

#: The longest that a send may last: the deadline of our HTTP client, and what a busy machine adds.
SEND_SECONDS = 28.0
#: Sends that were claimed before a delay was heard of may begin so much later, in seconds.
UNHEARD_SECONDS = 0.5


def _refused(scene: Scene, *, count: int, status: int, **more: Any) -> None:
    """The next sends are refused in the provider's own words."""
    scene.stack.gateway("fail", count=count, status=status, **more)
    _wait_for_all(scene)


def _faulty(scene: Scene, **what: Any) -> None:
    """The next sends are carried out, and something is wrong with their answers."""
    scene.stack.gateway("faults", **what)
    _wait_for_all(scene)


def _wait_for_all(scene: Scene) -> None:
    """Until all that was to go wrong has."""
    stack = scene.stack
    until = time.monotonic() + REACH_SECONDS
    while time.monotonic() < until:
        time.sleep(0.2)
        left = call("POST", f"{stack.control['gateway']}/_sandbox/faults", {"path": "/nowhere", "count": 0})
        if not left:
            break
    else:
        scene.notes.append("not all of the faulty answers were given")
    call("DELETE", f"{stack.control['gateway']}/_sandbox/faults")


@contextmanager
def _watching_sends(scene: Scene) -> Iterator[None]:
    """Meanwhile no send may last longer than its deadline."""
    over = threading.Event()
    longest = [0.0]

    def watch() -> None:
        while not over.wait(1):
            (found,) = scene.stack.rows(
                "SELECT extract(epoch FROM now() - min(state_changed_at))::float FROM conversations_message WHERE state = 'sending'"
            )
            longest[0] = max(longest[0], found[0] or 0.0)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        scene.notes.append(f"the longest send lasted {longest[0]:.0f} s")
        if longest[0] > SEND_SECONDS:
            scene.wrong.append(f"a send lasted {longest[0]:.0f} s")


@fault("send-5xx", "provider", "500, 502 and 504 on sending: nobody knows, so nothing is sent twice")
def send_5xx(scene: Scene) -> None:
    for status in (500, 502, 504):
        _refused(scene, count=1 if scene.brief else 3, status=status)


@fault("send-503", "provider", "503 on sending was certainly not done: sent again, in order", rare=True)
def send_503(scene: Scene) -> None:
    _refused(scene, count=4 if scene.brief else 8, status=503)


@fault("send-429", "provider", "too many requests, with a delay in each form that the provider has: obeyed, and order kept", lasts=(8, 12))
def send_429(scene: Scene) -> None:
    seen = len(scene.stack.record()["attempts"])
    refusals = NAMES[scene.stack.kind.name].refusals
    for refusal in refusals:
        _refused(scene, **{"status": 429, **refusal})

    def look() -> None:
        attempts = scene.stack.record()["attempts"][seen:]
        told = [one["after"] > 0 for one in attempts if one["status"] in (400, 429)]
        wanted, delays = (sum(one["count"] for one in refusals if "after" in one or every) for every in (True, False))
        if (len(told), sum(told)) != (wanted, delays):
            scene.notes.append(f"{len(told)} of {wanted} were refused, {sum(told)} of {delays} with a delay that was still to come")
        scene.wrong += too_early(attempts)

    scene.later.append(look)


def too_early(attempts: list[dict[str, float]]) -> list[str]:
    """Sends that began earlier than the provider had told somebody to wait, in words."""
    found = []
    for told in attempts:
        early = [
            one["begun"] - told["answered"]
            for one in attempts
            if told["answered"] + UNHEARD_SECONDS < one["begun"] < told["answered"] + told["after"] - 0.1
        ]
        if told["status"] == 429 and early:
            found.append(f"told to wait for {told['after']:.1f} s, {len(early)} sends came after {early[0]:.1f} s")
    return found


@fault("send-timeout", "provider", "accepted, but the answer never came: found in the history, not sent again", lasts=(8, 10))
def send_timeout(scene: Scene) -> None:
    stack = scene.stack
    stack.gateway("hold", left=5, seconds=17)
    held(scene, stack.record, 5, "five sends accepted and not answered")
    time.sleep(2)


@fault(
    "send-dropped", "provider", "accepted, and the connection closed without an answer: found in the history, not sent again",
    rare=True,
)  # fmt: skip
def send_dropped(scene: Scene) -> None:
    _faulty(scene, count=4, drop=True)


@fault("send-dripped", "provider", "accepted, and answered a byte a second: the deadline ends it, found, not sent again", lasts=(8, 10), rare=True)
def send_dripped(scene: Scene) -> None:
    with _watching_sends(scene):
        _faulty(scene, count=4, drip=1.0)
        time.sleep(SEND_SECONDS)


@fault("send-malformed", "provider", "accepted, and answered with what is no JSON: found in the history, not sent again")
def send_malformed(scene: Scene) -> None:
    _faulty(scene, count=4, status=200, body="<html>Bad gateway</html>", accept=True)


@fault("send-refused", "provider", "the gateway refuses connections: kept, and sent in order when it is back", lasts=(8, 12))
def send_refused(scene: Scene) -> None:
    scene.stack.gateway("door", open=False)
    scene.sleep(5, 10)
    scene.stack.gateway("door", open=True)


@fault(
    "gateway-frozen", "provider", "the gateway takes connections and says nothing: deadlines hold, what it never had is not claimed sent",
    lasts=(20, 30), rare=True,
)  # fmt: skip
def gateway_frozen(scene: Scene) -> None:
    scene.stack.gateway("door", frozen=True)
    with _watching_sends(scene):
        scene.sleep(18, 30)
    scene.stack.gateway("door", frozen=False)


@fault(
    "error-mix", "provider", "every send fails, then three of ten, and models as well: the breaker opens and closes again",
    lasts=(16, 60), rare=True,
)  # fmt: skip
def error_mix(scene: Scene) -> None:
    stack = scene.stack
    begun = time.time()
    stack.llm("mix", share=0.3, ways=["error", "unavailable", "malformed"])
    stack.gateway("mix", share=1.0, ways=[503])
    scene.sleep(5, 10)
    stack.gateway("mix", share=0.3, ways=[503, 503, 429, 502])
    scene.sleep(11, 50)
    stack.gateway("mix")
    stack.llm("mix")

    def look() -> None:
        noted = stack.rows(
            "SELECT event FROM channels_channellog WHERE at > to_timestamp(%s) AND event LIKE 'sending %%'"
            " ORDER BY id", begun,
        )  # fmt: skip
        told = [str(row[0]) for row in noted]
        scene.notes.append(f"the breaker opened {told.count('sending paused')} times")
        still = stack.rows("SELECT 1 FROM channels_channelbreaker WHERE opened_at IS NOT NULL")
        if "sending paused" not in told or "sending again" not in told or still:
            scene.wrong.append(f"the breaker did not open and close: {told}{', it is open' if still else ''}")

    scene.later.append(look)


@fault("token-revoked", "provider", "401: what could not be sent is in needs attention; afterwards all goes on", lasts=(6, 8))
def token_revoked(scene: Scene) -> None:
    scene.stack.gateway("revoke", revoked=True)
    scene.sleep(2, 3)
    scene.stack.gateway("revoke", revoked=False)
