"""The fake messengers with what a chaos run needs of them: whole bursts of messages with a plan for their webhooks, answers
that are held or refused in each provider's own words, and a record of times.

The product speaks to the *door* (`doors`), a forwarder in the same process. The control paths under `/_sandbox/` are reached
past it, at the port itself.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from collections.abc import Coroutine, Iterator, Mapping
from contextvars import ContextVar
from email.utils import formatdate, parsedate_to_datetime
from typing import Any

import httpx2

from tests.sandbox import whatsapp_cloud_rows as cloud
from tests.sandbox.server import Fault, Request, Response, Router, as_json
from tests.sandbox.speech import recording
from tests.sandbox.telegram import SECRET_HEADER, FakeTelegram
from tests.sandbox.telegram_rows import TOKEN as TELEGRAM_TOKEN
from tests.sandbox.wappi import PROFILE, FakeWappi, Profile
from tests.sandbox.wappi_rows import TOKEN as WAPPI_TOKEN
from tests.sandbox.whatsapp_cloud import FakeCloud

from .doors import Door
from .holds import Hold, Mix, turn
from .names import telegram_number, telegram_update, wamid

#: The longest pause between two deliveries of a webhook that is refused, in seconds, of providers who do not give up.
LONGEST_PAUSE = 60.0
ANOTHER_TOKEN = "700100200:another-token"
EDGE_PAGE = "<!DOCTYPE html><html><head><title>Error</title></head><body>Sorry, something went wrong.</body></html>"

_begun: ContextVar[float] = ContextVar("begun", default=0.0)
_sends: ContextVar[bool] = ContextVar("sends", default=False)


class ChaosGateway(Router):
    """To be put before a fake messenger. Faults strike its sends only."""

    ledger: list[dict[str, Any]]
    _poster: httpx2.AsyncClient

    def __init__(self, door: Door) -> None:
        super().__init__()
        self.door, self.hold, self.mix = door, Hold(), Mix()
        self.shown: dict[str, dict[str, float]] = {}
        """Message of the load → `begun`, when it was first shown, and `known`, when a webhook with it was first answered 2xx."""
        self.refusals: list[float] = []
        self.attempts: list[dict[str, float]] = []
        """Every request to send: when it `begun`, when it was `answered`, its `status`, and the `after` it was told, in
        seconds."""
        self._coming: set[asyncio.Task[None]] = set()
        for path, control in (
            ("burst", self._burst), ("hold", self._hold), ("door", self._door), ("revoke", self._revoke), ("mix", self._mix),
            ("fail", self._fail),
        ):  # fmt: skip
            self.route("POST", f"/_sandbox/{path}")(control)
        self.route("GET", "/_sandbox/record")(self._record)

    # ── What each provider has of its own ────────────────────────────────────────────────────────────────────────────
    def sends(self, request: Request) -> bool:
        """Whether a request is to send a message to a customer."""
        raise NotImplementedError

    def say(self, phone: str, wanted: Mapping[str, Any]) -> bytes:
        """Take in a message of a customer (`id`, `text`, `voice`); returns the body of its webhook."""
        raise NotImplementedError

    def target(self, body: bytes) -> tuple[str, Mapping[str, str]]:
        """Where a webhook goes, and the headers by which it is proven."""
        raise NotImplementedError

    def failure(self, status: int, after: float = 0.0, **more: Any) -> Fault:
        """How this provider refuses with a status, telling to come back after so many seconds where it can."""
        raise NotImplementedError

    def revoke(self, revoked: bool) -> None:
        """The token is not taken any more, or is again."""
        raise NotImplementedError

    def entry(self, sent: Mapping[str, Any]) -> dict[str, Any]:
        """An accepted send: `number`, `phone`, `text`, `begun`, `message_id`."""
        return {"phone": sent["recipient"], **{name: sent[name] for name in ("number", "text", "begun", "message_id")}}

    def pauses(self) -> Iterator[float]:
        """Seconds between the deliveries of a webhook that is refused; it is given up where they end."""
        return itertools.chain((1.0, 2.0, 4.0, 8.0, 16.0, 32.0), itertools.repeat(LONGEST_PAUSE))

    def coming(self) -> int:
        """Webhooks that are still to come."""
        return len(self._coming)

    # ── Requests ─────────────────────────────────────────────────────────────────────────────────────────────────────
    async def started(self) -> None:
        await super().started()
        await self.door.open()

    async def _http(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        _begun.set(time.time())
        _sends.set(False)
        await super()._http(scope, receive, self._noting(send))

    def _noting(self, send: Any) -> Any:
        async def noting(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start" and _sends.get():
                headers = {name.decode(): value.decode() for name, value in message["headers"]}
                self.attempts.append({
                    "begun": _begun.get(), "answered": time.time(), "status": message["status"],
                    "after": _seconds(headers.get("retry-after", "")),
                })  # fmt: skip
            await send(message)

        # The fake that cuts a connection reaches for its transport.
        noting.__self__ = send.__self__  # type: ignore[attr-defined]
        return noting

    def _next_fault(self, request: Request) -> Fault | None:
        if request.path.startswith("/_sandbox/") or not self.sends(request):
            return None
        _sends.set(True)
        fault = super()._next_fault(request)
        return self.failure(status) if fault is None and (status := self.mix.strikes()) else fault

    async def _handle(self, request: Request) -> Response:
        before = len(self.ledger)
        response = await super()._handle(request)
        if _sends.get() and len(self.ledger) > before:
            self.ledger[before]["begun"] = _begun.get()
            await self.hold.wait()
        return response

    # ── What people do ───────────────────────────────────────────────────────────────────────────────────────────────
    async def _burst(self, request: Request) -> Response:
        """`{"phone": …, "messages": [{"id", "text", "voice", "after", "posts": [seconds, …]}, …]}`"""
        wanted = request.json()
        for message in wanted["messages"]:
            self._later(self._say(wanted["phone"], message))
        return as_json({})

    async def _say(self, phone: str, wanted: dict[str, Any]) -> None:
        await asyncio.sleep(wanted["after"])
        body = self.say(phone, wanted)
        for delay in wanted["posts"]:
            self._later(self._post_copy(wanted["id"], body, delay))

    async def _post_copy(self, identifier: str, body: bytes, delay: float) -> None:
        """One copy of a webhook of a customer's message."""
        await asyncio.sleep(delay)
        times = self.shown.setdefault(identifier, {"begun": time.time()})
        if await self.deliver(body):
            times.setdefault("known", time.time())

    async def deliver(self, body: bytes) -> bool:
        """Post a webhook again and again, as this provider does. False: it was given up."""
        url, headers = self.target(body)
        for pause in itertools.chain(self.pauses(), (0.0,)):
            try:
                answer = await self._poster.post(url, content=body, headers={"Content-Type": "application/json", **headers})
                if answer.status_code < 300:
                    return True
            except httpx2.HTTPError:
                pass  # no answer is a refusal as well
            self.refusals.append(time.time())
            await asyncio.sleep(pause)
        return False

    def _later(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._coming.add(task)
        task.add_done_callback(self._coming.discard)

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
        await turn(self.door, request.json())
        return as_json({})

    async def _mix(self, request: Request) -> Response:
        """`{"share": 0.3, "ways": [503, 502]}`: sends that are refused at random."""
        self.mix = Mix(**request.json())
        return as_json({})

    async def _fail(self, request: Request) -> Response:
        """`{"count": 3, "status": 429, "after": 2}`: the next sends are refused so."""
        wanted = request.json()
        count = wanted.pop("count")
        fault = self.failure(**wanted)
        fault.count = count
        self.faults.append(fault)
        return as_json({})

    async def _revoke(self, request: Request) -> Response:
        self.revoke(request.json()["revoked"])
        return as_json({})

    async def _record(self, request: Request) -> Response:
        """Accepted sends from number `since` on, when messages were shown, webhooks still to come."""
        ledger = self.ledger[int(request.query.get("since", 0)) :]
        return as_json({
            "ledger": [self.entry(sent) for sent in ledger], "shown": self.shown, "coming": self.coming(),
            "refused": len(self.refusals), "held": self.hold.held, "attempts": self.attempts,
        })  # fmt: skip


def _seconds(after: str) -> float:
    """What a Retry-After asks for, in seconds from now; 0 where there is none."""
    if not after:
        return 0.0
    return float(after) if after.isdigit() else max(0.0, parsedate_to_datetime(after).timestamp() - time.time())


class ChaosWappi(ChaosGateway, FakeWappi):
    """Also notes which messages a poll has shown. It gives a webhook up after three tries: polls find the rest."""

    def sends(self, request: Request) -> bool:
        return request.path.endswith("/message/send")

    def say(self, phone: str, wanted: Mapping[str, Any]) -> bytes:
        more: dict[str, Any] = {"id": wanted["id"], "deliver": "poll", "name": "Клиент"}
        if wanted["voice"]:
            sound = recording(wanted["text"], seconds=1)
            self.customer_writes(phone, type="ptt", content=sound, mime="audio/wav", seconds=1, **more)
        else:
            self.customer_writes(phone, wanted["text"], **more)
        return json.dumps({"messages": [self.webhook_row(PROFILE, self.messages[wanted["id"]], "incoming_message")]}).encode()

    def target(self, body: bytes) -> tuple[str, Mapping[str, str]]:
        return self.profiles[PROFILE].webhook_url, {"User-Agent": "WappiWH"}

    def failure(self, status: int, after: float = 0.0, *, dated: bool = False, **more: Any) -> Fault:
        told = formatdate(time.time() + after, usegmt=True) if dated else f"{after:g}"
        return Fault(status=status, body="{}" if status == 429 else "", headers={"Retry-After": told} if after else {})

    def revoke(self, revoked: bool) -> None:
        self.token = ANOTHER_TOKEN if revoked else WAPPI_TOKEN

    def entry(self, sent: Mapping[str, Any]) -> dict[str, Any]:
        return super().entry({**sent, "recipient": sent["recipient"].split("@")[0]})

    def pauses(self) -> Iterator[float]:
        return iter((1.0, 2.0))

    def coming(self) -> int:
        return super().coming() + len(self._pending)

    async def _messages_get(self, request: Request, profile: Profile) -> Response:
        response = await super()._messages_get(request, profile)
        now = time.time()
        for identifier in re.findall(rb'"id":"([^"]+)"', response.body):
            self.shown.setdefault(identifier.decode(), {"begun": now})
        return response


class ChaosTelegram(ChaosGateway, FakeTelegram):
    """Posts each copy of an update for itself, where Telegram keeps the updates of a chat in order: the harder case."""

    def __init__(self, door: Door) -> None:
        super().__init__(door)
        self.bot = self.bots[TELEGRAM_TOKEN]
        self._update_row: dict[str, Any] = {}
        # Customers' messages have numbers of their own (`names`).
        self._serial = itertools.count(10_000_000)

    def sends(self, request: Request) -> bool:
        return request.path.endswith("/sendMessage")

    def update(self, what: dict[str, Any], token: str = TELEGRAM_TOKEN) -> int | None:
        """Kept for the one who asked for it: the load decides when it is posted."""
        self._update_row = what
        return None

    def say(self, phone: str, wanted: Mapping[str, Any]) -> bytes:
        more = {"message_id": telegram_number(wanted["id"]), "name": "Клиент"}
        if wanted["voice"]:
            self.customer_speaks(int(phone), wanted["text"], seconds=1, **more)
        else:
            self.customer_writes(int(phone), wanted["text"], **more)
        update = {"update_id": telegram_update(wanted["id"]), **self._update_row}
        return json.dumps(update, ensure_ascii=False).encode()

    def target(self, body: bytes) -> tuple[str, Mapping[str, str]]:
        return self.bot.webhook_url, {SECRET_HEADER: self.bot.secret_token}

    def failure(self, status: int, after: float = 0.0, **more: Any) -> Fault:
        words = {
            429: f"Too Many Requests: retry after {after or 1:g}", 500: "Internal Server Error", 502: "Bad Gateway",
            503: "Service Unavailable", 504: "Gateway Timeout",
        }  # fmt: skip
        answer: dict[str, Any] = {"ok": False, "error_code": status, "description": words[status]}
        if status != 429:
            return Fault(status=status, body=json.dumps(answer))
        seconds = int(after or 1)
        answer["parameters"] = {"retry_after": seconds}
        return Fault(status=status, body=json.dumps(answer), headers={"Retry-After": str(seconds)})

    def revoke(self, revoked: bool) -> None:
        self.bots = {ANOTHER_TOKEN if revoked else TELEGRAM_TOKEN: self.bot}

    def entry(self, sent: Mapping[str, Any]) -> dict[str, Any]:
        return super().entry({**sent, "recipient": str(sent["chat_id"])})


class ChaosCloud(ChaosGateway, FakeCloud):
    """Statuses and echoes of the phone app are posted again until they are taken, like messages."""

    def __init__(self, door: Door) -> None:
        super().__init__(door)
        self.number.auto_receipts = ["sent", "delivered"]

    def sends(self, request: Request) -> bool:
        # Read marks and the typing sign are posted to the same address.
        return request.method == "POST" and request.path.endswith("/messages") and request.json().get("status") != "read"

    def say(self, phone: str, wanted: Mapping[str, Any]) -> bytes:
        more = {"id": wamid(phone, wanted["id"]), "name": "Клиент"}
        self.holding = True
        if wanted["voice"]:
            self.customer_speaks(phone, wanted["text"], seconds=1, **more)
        else:
            self.customer_writes(phone, wanted["text"], **more)
        self.holding = False
        return self.held.pop()

    def target(self, body: bytes) -> tuple[str, Mapping[str, str]]:
        signed = cloud.signature(body, self.app_secret)
        return self.number.webhook_url, {"X-Hub-Signature-256": signed, "User-Agent": "facebookexternalua"}

    def failure(self, status: int, after: float = 0.0, *, code: int = 0, **more: Any) -> Fault:
        """Meta decides by its codes, says nothing of when to come back, and its edge answers with pages."""
        known = {
            429: (130429, "Rate limit hit"), 400: (131056, "(Business Account, Consumer Account) pair rate limit hit"),
            500: (131000, "Something went wrong"), 503: (2, "Service temporarily unavailable"),
        }  # fmt: skip
        if status not in known:
            return Fault(status=status, body=EDGE_PAGE)
        code, title = known[status]
        error = {
            "message": f"(#{code}) {title}", "type": "OAuthException", "code": code,
            "error_data": {"messaging_product": "whatsapp", "details": title}, "fbtrace_id": "AxYz0123456789abcdef",
        }  # fmt: skip
        return Fault(status=status, body=json.dumps({"error": error}))

    def revoke(self, revoked: bool) -> None:
        self.token = ANOTHER_TOKEN if revoked else cloud.TOKEN

    def coming(self) -> int:
        return super().coming() + len(self._pending)

    async def _post(self, body: bytes, sign: str | None = None, tries: int = 3) -> None:
        await self.deliver(body)


GATEWAYS = {"wappi": ChaosWappi, "telegram": ChaosTelegram, "whatsapp_cloud": ChaosCloud}
