"""The fake providers with what a chaos run needs of them: answers that are held, a door that closes, a record of times.

    python -m tests.rehearsal.chaos.providers wappi --port N --door N

The product speaks to the *door* (`doors`), a forwarder in the same process. The control paths under `/_sandbox/` are reached
past it, at the port itself.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import re
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import uvicorn

from tests.sandbox.llm import FakeLLM, Fault, _refuse, _respond
from tests.sandbox.llm_answers import Prompted, default, fill
from tests.sandbox.server import Fault as Failure
from tests.sandbox.server import Request, Response, as_json
from tests.sandbox.speech import recording
from tests.sandbox.wappi import PROFILE, FakeWappi, Profile

from .doors import Door

TOKEN = re.compile(r"#m\d+")
#: What the fake model writes before the tokens of the messages it was asked to answer.
ANSWERED = "answered"
SEND = "/message/send"
_begun: ContextVar[float] = ContextVar("begun", default=0.0)


@dataclass
class Hold:
    """Answers that wait: `left` of them, each for `seconds` or, with 0, until released."""

    left: int = 0
    seconds: float = 0.0
    held: int = 0
    audio: bool = False
    """Only answers of those who listen."""
    released: asyncio.Event = field(default_factory=asyncio.Event)

    def begin(self, left: int, seconds: float = 0.0, *, audio: bool = False) -> None:
        self.left, self.seconds, self.audio, self.held = left, seconds, audio, 0
        self.released = asyncio.Event()

    def end(self) -> None:
        self.left = 0
        self.released.set()

    async def wait(self) -> None:
        """Wait if this answer is one of those that do."""
        if self.left <= 0:
            return
        self.left -= 1
        self.held += 1
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.released.wait(), self.seconds or None)


@dataclass
class Mix:
    """Calls that fail at random: this share of them, each in one of these ways."""

    share: float = 0.0
    ways: list[Any] = field(default_factory=list)

    def strikes(self) -> Any | None:
        """The way in which this call fails, or None."""
        return random.choice(self.ways) if random.random() < self.share else None


def _turn(door: Door, wanted: dict[str, Any]) -> None:
    """`{"frozen": true}`, then `{"frozen": false}`: what came meanwhile is lost."""
    if wanted["frozen"]:
        door.freeze()
    else:
        door.thaw(lost=True)


class ChaosWappi(FakeWappi):
    """Also takes whole bursts of messages with a plan for their webhooks, and records when each was first shown to anybody."""

    def __init__(self, door: Door) -> None:
        super().__init__()
        self.door, self.hold, self.mix = door, Hold(), Mix()

    def reset(self) -> None:
        super().reset()
        self.shown: dict[str, dict[str, float]] = {}
        """Message id → `begun`, when it was first shown, and `known`, when a webhook with it was first answered 2xx."""
        self.refusals: list[float] = []
        self.attempts: list[dict[str, float]] = []
        """Every request to send: when it `begun`, when it was `answered`, its `status`, and the `after` it was told, in
        seconds."""

    async def started(self) -> None:
        await super().started()
        await self.door.open()

    def _routes(self) -> None:
        super()._routes()
        for path, control in (
            ("burst", self._burst), ("hold", self._hold), ("door", self._door), ("token", self._token),
            ("mix", self._mix),
        ):
            self.route("POST", f"/_sandbox/{path}")(control)
        self.route("GET", "/_sandbox/record")(self._record)

    async def _http(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        _begun.set(time.time())
        await super()._http(scope, receive, self._noting(send) if scope["path"].endswith(SEND) else send)

    def _noting(self, send: Any) -> Any:
        async def noting(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = {name.decode(): value.decode() for name, value in message["headers"]}
                self.attempts.append({
                    "begun": _begun.get(), "answered": time.time(), "status": message["status"],
                    "after": _seconds(headers.get("retry-after", "")),
                })  # fmt: skip
            await send(message)

        # The fake that cuts a connection reaches for its transport.
        noting.__self__ = send.__self__  # type: ignore[attr-defined]
        return noting

    def _next_fault(self, path: str) -> Failure | None:
        fault = super()._next_fault(path)
        if fault is None and path.endswith(SEND) and (status := self.mix.strikes()):
            return Failure(status=status, body="")
        return fault

    # ── What the product asks ────────────────────────────────────────────────────────────────────────────────────────
    async def _message_send(self, request: Request, profile: Profile) -> Response:
        before = len(self.ledger)
        response = await super()._message_send(request, profile)
        if len(self.ledger) > before:
            self.ledger[before]["begun"] = _begun.get()
            await self.hold.wait()
        return response

    async def _messages_get(self, request: Request, profile: Profile) -> Response:
        response = await super()._messages_get(request, profile)
        now = time.time()
        for identifier in re.findall(rb'"id":"([^"]+)"', response.body):
            self.shown.setdefault(identifier.decode(), {"begun": now})
        return response

    # ── What people do ───────────────────────────────────────────────────────────────────────────────────────────────
    async def _burst(self, request: Request) -> Response:
        """`{"phone": …, "messages": [{"id", "text", "voice", "after", "posts": [seconds, …]}, …]}`"""
        wanted = request.json()
        for message in wanted["messages"]:
            self._spawn(self._say(wanted["phone"], message))
        return as_json({})

    async def _say(self, phone: str, wanted: dict[str, Any]) -> None:
        await asyncio.sleep(wanted["after"])
        more: dict[str, Any] = {"id": wanted["id"], "deliver": "poll", "name": "Клиент"}
        if wanted["voice"]:
            sound = recording(wanted["text"], seconds=1)
            self.customer_writes(phone, type="ptt", content=sound, mime="audio/wav", seconds=1, **more)
        else:
            self.customer_writes(phone, wanted["text"], **more)
        row = self.webhook_row(PROFILE, self.messages[wanted["id"]], "incoming_message")
        for delay in wanted["posts"]:
            self._spawn(self._post_copy(wanted["id"], row, delay))

    async def _post_copy(self, identifier: str, row: dict[str, Any], delay: float) -> None:
        """One copy of a webhook, tried three times as gateways do."""
        await asyncio.sleep(delay)
        times = self.shown.setdefault(identifier, {"begun": time.time()})
        for attempt in (1, 2, 3):
            try:
                answer = await self._poster.post(self.profiles[PROFILE].webhook_url, json={"messages": [row]})
            except httpx2.HTTPError:
                self.refusals.append(time.time())
            else:
                if answer.status_code < 300:
                    times.setdefault("known", time.time())
                    return
                self.refusals.append(time.time())
            await asyncio.sleep(attempt)

    # ── Control ──────────────────────────────────────────────────────────────────────────────────────────────────────
    async def _hold(self, request: Request) -> Response:
        """`{"left": 5, "seconds": 0}` holds answers of accepted sends, `{}` lets them go; answers how many were held."""
        wanted = request.json()
        if wanted:
            self.hold.begin(**wanted)
        else:
            self.hold.end()
        return as_json({"held": self.hold.held})

    async def _door(self, request: Request) -> Response:
        wanted = request.json()
        if "frozen" in wanted:
            _turn(self.door, wanted)
        else:
            await (self.door.open() if wanted["open"] else self.door.close())
        return as_json({})

    async def _mix(self, request: Request) -> Response:
        """`{"share": 0.3, "ways": [503, 502]}`: sends that are refused at random."""
        self.mix = Mix(**request.json())
        return as_json({})

    async def _token(self, request: Request) -> Response:
        self.token = request.json()["token"]
        return as_json({})

    async def _record(self, request: Request) -> Response:
        """Accepted sends from number `since` on, when messages were shown, webhooks still to come."""
        return as_json({
            "ledger": self.ledger[int(request.query.get("since", 0)) :], "shown": self.shown, "coming": len(self._pending),
            "refused": len(self.refusals), "held": self.hold.held, "attempts": self.attempts[int(request.query.get("attempts", 0)) :],
        })  # fmt: skip


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
        elif action == "door" and "frozen" in given:
            _turn(self.door, given)
        elif action == "mix":
            self.mix = Mix(**given)
        elif action == "door":
            await (self.door.open() if given["open"] else self.door.close())
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


def _seconds(after: str) -> float:
    """What a Retry-After asks for, in seconds from now; 0 where there is none."""
    if not after:
        return 0.0
    return float(after) if after.isdigit() else max(0.0, parsedate_to_datetime(after).timestamp() - time.time())


def echo(prompted: Prompted) -> Any:
    """`answered #m12 #m13`: every token of the last words of the customer, and no other."""
    if prompted.audio or "reply" not in (prompted.schema or {}).get("properties", {}):
        return default(prompted)
    tokens = dict.fromkeys(TOKEN.findall(prompted.last_user))
    return fill(prompted.schema or {}, {"reply": " ".join((ANSWERED, *(tokens or ("nothing",)))), "language": "ru"})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("provider", choices=("wappi", "llm"))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--door", type=int, required=True)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    given = parser.parse_args()
    door = Door(given.door, given.port)
    app = ChaosWappi(door) if given.provider == "wappi" else ChaosLLM(door, given.latency_ms / 1000)
    # Links of files lead through the door as well.
    app.base_url = f"http://127.0.0.1:{given.door}"
    # As long as nginx keeps an idle connection: one that is cut just as a request comes is a fault of its own.
    uvicorn.run(
        app, host="127.0.0.1", port=given.port, log_level="warning", access_log=False, lifespan="on", timeout_keep_alive=75
    )


if __name__ == "__main__":
    main()
