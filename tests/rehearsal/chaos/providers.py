"""The fake providers of a chaos run as processes, and the fake model with what such a run needs of it.

    python -m tests.rehearsal.chaos.providers wappi --port N --door N
"""

from __future__ import annotations

import argparse
import json
import re
from typing import Any

import uvicorn

from tests.sandbox.llm import FakeLLM, Fault, _refuse, _respond
from tests.sandbox.llm_answers import Prompted, default, fill

from .doors import Door
from .gateways import GATEWAYS
from .holds import Hold, Mix, turn

TOKEN = re.compile(r"#m\d+")
#: What the fake model writes before the tokens of the messages it was asked to answer.
ANSWERED = "answered"


class ChaosLLM(FakeLLM):
    """Repeats the tokens of the messages it is asked to answer; can hold its answers, refuse all calls, and close its door."""

    def __init__(self, door: Door, latency: float) -> None:
        super().__init__(latency=latency, script=echo, keep_bodies=False)
        self.door, self.hold, self.mix, self.down = door, Hold(), Mix(), False

    async def started(self) -> None:
        await self.door.open()

    async def _control(self, action: str, body: bytes, send: Any) -> None:
        given = json.loads(body) if body else {}
        if action == "hold":
            self.hold.begin(**given) if given else self.hold.end()
        elif action == "down":
            self.down = given["down"]
        elif action == "door":
            await turn(self.door, given)
        elif action == "mix":
            self.mix = Mix(**given)
        elif action == "clear":
            self.queued.clear()
        elif action != "held":
            await super()._control(action, body, send)
            return
        await _respond(send, 200, {"held": self.hold.held, "calls": len(self.calls)})

    async def _answer(self, prompted: Prompted, fault: Fault | None, receive: Any, send: Any) -> int:
        if self.down:
            return await _refuse(prompted, Fault("unavailable"), send)
        if prompted.audio or not self.hold.audio:
            await self.hold.wait()
        return await super()._answer(prompted, fault, receive, send)

    def _next_fault(self, model: str) -> Fault | None:
        fault = super()._next_fault(model)
        return Fault(kind) if fault is None and (kind := self.mix.strikes()) else fault


def echo(prompted: Prompted) -> Any:
    """`answered #m12 #m13`: every token of the last words of the customer, and no other."""
    if prompted.audio or "reply" not in (prompted.schema or {}).get("properties", {}):
        return default(prompted)
    tokens = dict.fromkeys(TOKEN.findall(prompted.last_user))
    return fill(prompted.schema or {}, {"reply": " ".join((ANSWERED, *(tokens or ("nothing",)))), "language": "ru"})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("provider", choices=(*GATEWAYS, "llm"))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--door", type=int, required=True)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    given = parser.parse_args()
    door = Door(given.door, given.port)
    app: Any = ChaosLLM(door, given.latency_ms / 1000) if given.provider == "llm" else GATEWAYS[given.provider](door)
    # Links of files lead through the door as well.
    app.base_url = f"http://127.0.0.1:{given.door}"
    # As long as nginx keeps an idle connection: one that is cut just as a request comes is a fault of its own.
    uvicorn.run(
        app, host="127.0.0.1", port=given.port, log_level="warning", access_log=False, lifespan="on", timeout_keep_alive=75
    )


if __name__ == "__main__":
    main()
