"""The fake providers with what a chaos run needs of them: answers that are held, a door that closes, a record of times.

    python -m tests.rehearsal.chaos.providers wappi --port N --door N

The product speaks to the *door*, a forwarder in the same process: closed, it refuses connections and cuts those it has. The
control paths under `/_sandbox/` are reached past it, at the port itself.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import httpx2
import uvicorn

from tests.sandbox.llm import FakeLLM, Fault, _refuse, _respond
from tests.sandbox.llm_answers import Prompted, default, fill
from tests.sandbox.server import Request, Response, as_json
from tests.sandbox.speech import recording
from tests.sandbox.wappi import PROFILE, FakeWappi, Profile

TOKEN = re.compile(r"#m\d+")
#: What the fake model writes before the tokens of the messages it was asked to answer.
ANSWERED = "answered"
_begun: ContextVar[float] = ContextVar("begun", default=0.0)


@dataclass
class Hold:
    """Answers that wait: `left` of them, each for `seconds` or, with 0, until released."""

    left: int = 0
    seconds: float = 0.0
    held: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)

    def begin(self, left: int, seconds: float) -> None:
        self.left, self.seconds, self.held = left, seconds, 0
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


class Door:
    """Forwards TCP connections to a port of this machine while it is open."""

    def __init__(self, port: int, to: int) -> None:
        self.port, self.to = port, to
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._through, "127.0.0.1", self.port, backlog=512)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()

    async def _through(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self.to)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, inner_writer}
        self._writers |= pair
        try:
            await asyncio.gather(_pipe(reader, inner_writer), _pipe(inner_reader, writer))
        finally:
            self._writers -= pair
            for one in pair:
                one.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # uvloop says RuntimeError of a connection that was closed meanwhile.
    with contextlib.suppress(OSError, RuntimeError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError, RuntimeError):
        writer.write_eof()


class ChaosWappi(FakeWappi):
    """Also takes whole bursts of messages with a plan for their webhooks, and records when each was first shown to anybody."""

    def __init__(self, door: Door) -> None:
        super().__init__()
        self.door, self.hold = door, Hold()

    def reset(self) -> None:
        super().reset()
        self.shown: dict[str, dict[str, float]] = {}
        """Message id → `begun`, when it was first shown, and `known`, when a webhook with it was first answered 2xx."""
        self.refusals: list[float] = []

    async def started(self) -> None:
        await super().started()
        await self.door.open()

    def _routes(self) -> None:
        super()._routes()
        for path, control in (("burst", self._burst), ("hold", self._hold), ("door", self._door), ("token", self._token)):
            self.route("POST", f"/_sandbox/{path}")(control)
        self.route("GET", "/_sandbox/record")(self._record)

    async def _http(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        _begun.set(time.time())
        await super()._http(scope, receive, send)

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
            self.hold.begin(wanted["left"], wanted.get("seconds", 0.0))
        else:
            self.hold.end()
        return as_json({"held": self.hold.held})

    async def _door(self, request: Request) -> Response:
        await (self.door.open() if request.json()["open"] else self.door.close())
        return as_json({})

    async def _token(self, request: Request) -> Response:
        self.token = request.json()["token"]
        return as_json({})

    async def _record(self, request: Request) -> Response:
        """Accepted sends from number `since` on, when messages were shown, webhooks still to come."""
        return as_json({
            "ledger": self.ledger[int(request.query.get("since", 0)) :], "shown": self.shown, "coming": len(self._pending),
            "refused": len(self.refusals), "held": self.hold.held,
        })  # fmt: skip


class ChaosLLM(FakeLLM):
    """Repeats the tokens of the messages it is asked to answer; can hold its answers, refuse all calls, and close its door."""

    def __init__(self, door: Door, latency: float) -> None:
        super().__init__(latency=latency, script=echo, keep_bodies=False)
        self.door, self.hold, self.down = door, Hold(), False

    async def started(self) -> None:
        await self.door.open()

    async def _control(self, action: str, body: bytes, send: Any) -> None:
        given = json.loads(body) if body else {}
        if action == "hold":
            self.hold.begin(given["left"], given.get("seconds", 0.0)) if given else self.hold.end()
        elif action == "down":
            self.down = given["down"]
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
        await self.hold.wait()
        return await super()._answer(prompted, fault, receive, send)


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
