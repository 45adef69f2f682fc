"""A WAHA server in memory that speaks the real protocol for everything the adapter calls, signed webhooks included.

Drive it from Python (`FakeWaha` in a thread) or over HTTP under `/_sandbox/` (`python -m tests.sandbox.waha --port N`).
Every send it accepts is in `ledger` before the answer leaves, so a lost answer never hides what a customer received.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import itertools
import json
import os
import time
from collections import Counter
from typing import Any
from urllib.parse import unquote

import httpx2

from .server import Request, Response, Router, as_json, run_as_process
from .speech import recording
from .waha_rows import ACKS, API_KEY, MIMES, OWN_NUMBER, SESSION, LinkedSession, Message, answer_row, message_row

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 16


class FakeWaha(Router):
    """One API key with one or more sessions of one engine. Methods may be called from any thread."""

    def __init__(self, engine: str = "GOWS", key: str = API_KEY) -> None:
        super().__init__()
        self.key = key
        self.engine = engine
        self.reset()
        self._routes()

    def reset(self, engine: str = "GOWS") -> None:
        """One working session without webhooks, no messages, sends, calls and faults."""
        self.engine = engine
        self.sessions = {SESSION: LinkedSession()}
        self.messages: dict[str, list[Message]] = {SESSION: []}
        self.phones: dict[str, str] = {}
        """Hidden id → phone, as `lids` knows them."""
        self.ledger: list[dict[str, Any]] = []
        self.posted: list[dict[str, Any]] = []
        self.requests: list[dict[str, Any]] = []
        self.calls: Counter[str] = Counter()
        self.typed: list[str] = []
        self.marked: list[Any] = []
        self.refuses_hidden = False
        self.auto_acks: list[int] = []
        self.held: list[tuple[str, bytes, str]] = []
        self.hold = False
        self.faults.clear()
        self._serial = itertools.count(1)
        self._run = os.urandom(3).hex().upper()

    # ── What people do ───────────────────────────────────────────────────────────────────────────────────────────────
    def customer_writes(
        self, phone: str, text: str = "", *, deliver: str = "webhook", session: str = SESSION, **more: Any
    ) -> str:
        """A message from a customer; it is in the history, and posted unless `deliver` is "history". Returns its bare id.

        `phone` may be a whole chat id (`…@lid`, `…@g.us`). `more` are the fields of `Message`.
        """
        message = self._store(session, phone, text, **more)
        if deliver == "webhook":
            self.post("message.any", self.row(message, session), session)
        return message.bare

    def customer_speaks(self, phone: str, words: str = "", *, content: bytes = b"", seconds: int = 2, **more: Any) -> str:
        """A voice message: these bytes, or a recording in which the fake model hears `words`."""
        content, mime = (content, MIMES["ptt"]) if content else (recording(words, seconds=seconds), "audio/wav")
        return self.customer_writes(phone, **({"type": "ptt", "content": content, "mime": mime, "seconds": seconds} | more))

    def customer_sends_file(self, phone: str, content: bytes, *, type: str = "image", **more: Any) -> str:
        return self.customer_writes(
            phone, more.pop("text", ""), **({"type": type, "content": content, "mime": MIMES[type]} | more)
        )

    def owner_types_on_phone(self, phone: str, text: str, **more: Any) -> str:
        """A message that the owner of the number typed on the phone."""
        return self.customer_writes(phone, text, mine=True, bare=f"3A{self._run}{next(self._serial):012X}", **more)

    def reports_ack(self, bare: str, ack: int, *, session: str = SESSION) -> None:
        message = next(message for message in self.messages[session] if message.bare == bare)
        message.ack = ack
        self.post("message.ack", self.ack_row(message, ack), session)

    def reports_status(self, status: str, *, session: str = SESSION) -> None:
        self.sessions[session].status = status
        point = {"status": status, "timestamp": int(time.time() * 1000)}
        self.post("session.status", {"name": session, "status": status, "statuses": [point], "data": None}, session)

    def release(self) -> None:
        """End the hold: everything that waited is posted, in its order."""
        self.hold, held = False, self.held
        self.held = []
        for url, body, key in held:
            self._deliver(url, body, key)

    # ── Webhooks ─────────────────────────────────────────────────────────────────────────────────────────────────────
    def envelope(self, event: str, payload: dict[str, Any], session: str = SESSION) -> dict[str, Any]:
        target = self.sessions[session]
        return {
            "id": f"evt_01{os.urandom(12).hex()}", "timestamp": int(time.time() * 1000), "event": event, "session": session,
            "metadata": target.config.get("metadata", {}), "me": target.me, "payload": payload, "engine": self.engine,
            "environment": {"version": "2026.7.1", "engine": self.engine, "tier": "CORE", "browser": None,
                            "platform": "linux/x64", "worker": {"id": None}},
        }  # fmt: skip

    def post(self, event: str, payload: dict[str, Any], session: str = SESSION) -> None:
        """Post an event to every webhook of the session that wants it, in the background."""
        for hook in self.sessions[session].config.get("webhooks") or []:
            if event in hook["events"]:
                body = json.dumps(self.envelope(event, payload, session)).encode()
                key = (hook.get("hmac") or {}).get("key", "")
                if self.hold:
                    self.held.append((hook["url"], body, key))
                else:
                    self._deliver(hook["url"], body, key)

    def _deliver(self, url: str, body: bytes, key: str) -> None:
        if self.loop is not None:
            asyncio.run_coroutine_threadsafe(self._post(url, body, key), self.loop)

    async def _post(self, url: str, body: bytes, key: str, tries: int = 3) -> None:
        for attempt in range(1, tries + 1):
            started = time.monotonic()
            try:
                answer = await self._poster.post(url, content=body, headers=signed(body, key))
                outcome: int | str = answer.status_code
            except httpx2.HTTPError as error:
                outcome = type(error).__name__
            ms = (time.monotonic() - started) * 1000
            self.posted.append({"at": time.time(), "outcome": outcome, "attempt": attempt, "ms": ms})
            if isinstance(outcome, int) and outcome < 300:
                return
            await asyncio.sleep(attempt)

    async def started(self) -> None:
        self._poster = httpx2.AsyncClient(timeout=httpx2.Timeout(15, pool=60))

    async def stopping(self) -> None:
        await self._poster.aclose()

    # ── Rows ─────────────────────────────────────────────────────────────────────────────────────────────────────────
    def _store(self, session: str, phone: str, body: str, **more: Any) -> Message:
        chat = phone if "@" in phone else f"{phone}@c.us"
        bare = more.pop("bare", "") or f"3A{self._run}{next(self._serial):012X}"
        message = Message(bare, chat, body, more.pop("time", None) or time.time(), **more)
        self.messages.setdefault(session, []).append(message)
        return message

    def row(self, message: Message, session: str = SESSION, *, media: bool = True) -> dict[str, Any]:
        return message_row(message, self.sessions[session], self.engine, self.base_url, media=media)

    def ack_row(self, message: Message, ack: int) -> dict[str, Any]:
        return {
            "id": message.id, "from": message.chat, "to": None, "participant": None, "fromMe": message.mine, "ack": ack,
            "ackName": ACKS[ack], "_data": {},
        }  # fmt: skip

    # ── The API ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def _routes(self) -> None:
        for method in ("GET", "POST", "PUT", "DELETE"):
            self.route(method, "/api/*")(self._api)
        self.route("GET", "/ping")(self._ping)
        for name in ("message", "voice", "file", "owner", "ack", "status", "session", "hold", "reset"):
            self.route("POST", f"/_sandbox/{name}")(getattr(self, f"_control_{name}"))
        for name in ("ledger", "state"):
            self.route("GET", f"/_sandbox/{name}")(getattr(self, f"_control_{name}"))

    async def _ping(self, request: Request) -> Response:
        return as_json({"message": "pong"})

    async def _api(self, request: Request) -> Response:
        self.calls[request.path] += 1
        self.requests.append({
            "method": request.method, "path": request.path, "query": request.query,
            "body": request.json() if request.body else None,
        })  # fmt: skip
        if request.headers.get("x-api-key") != self.key:
            return as_json({"message": "Unauthorized", "statusCode": 401}, 401)
        parts = [unquote(part) for part in request.path.removeprefix("/api/").split("/")]
        if parts[0] == "sessions":
            return self._sessions(request, parts[1:])
        if parts == ["server", "version"]:
            return as_json(self.envelope("", {}, next(iter(self.sessions)))["environment"])
        if parts[0] == "files":
            return self._file(parts[1:])
        if len(parts) == 1:
            return self._chatting(parts[0], request.json())
        return self._of_session(parts[0], parts[1:], request)

    def _sessions(self, request: Request, rest: list[str]) -> Response:
        if not rest:
            given = request.json()
            if given["name"] in self.sessions:
                return _wrong(422, f"Session '{given['name']}' already exists. Use PUT to update it.")
            made = LinkedSession(given["name"], "STOPPED", given.get("config") or {})
            self.sessions[made.name] = made
            made.status = "SCAN_QR_CODE" if given.get("start", True) else "STOPPED"
            return as_json(made.row(), 201)
        target = self.sessions.get(rest[0])
        if target is None:
            return _wrong(404, "Session not found")
        if len(rest) == 1 and request.method == "PUT":
            target.config = request.json().get("config") or {}
        elif len(rest) == 2:
            target.status = {"stop": "STOPPED", "logout": "SCAN_QR_CODE"}.get(rest[1], "WORKING")
            return as_json(target.row(), 201)
        return as_json(target.row())

    def _chatting(self, call: str, given: dict[str, Any]) -> Response:
        target = self.sessions.get(given.get("session", ""))
        if target is None:
            return _wrong(404, "Session not found")
        if target.status != "WORKING":
            return _not_working(target)
        chat = given.get("chatId", "")
        if "@" not in chat or chat.endswith("@s.whatsapp.net") or (self.refuses_hidden and chat.endswith("@lid")):
            return _wrong(400, "chatId")
        if call == "startTyping":
            self.typed.append(chat)
            return Response(status=201)
        if call == "sendSeen":
            self.marked += given.get("messageIds") or [chat]
            return as_json({}, 201)
        return self._accept(call, given, target)

    def _accept(self, call: str, given: dict[str, Any], target: LinkedSession) -> Response:
        file = given.get("file") or {}
        kinds = {"sendText": "chat", "sendImage": "image", "sendVoice": "ptt", "sendFile": "document"}
        bare = given.get("id") if self.engine in ("GOWS", "NOWEB") else ""
        message = self._store(
            target.name, given["chatId"], given.get("text") or given.get("caption") or "", mine=True, by_api=True, ack=0,
            type=kinds[call], content=base64.b64decode(file.get("data", ""), validate=True), mime=file.get("mimetype", ""),
            file_name=file.get("filename", ""), bare=bare or f"3EB0{self._run}{next(self._serial):012X}",
        )  # fmt: skip
        self.ledger.append({
            "number": len(self.ledger) + 1, "at": message.time, "session": target.name, "path": f"/api/{call}",
            "recipient": message.chat, "text": message.body, "message_id": message.bare,
            "quoted": given.get("reply_to", ""), "file_name": message.file_name, "size": len(message.content),
            "mime": message.mime, "convert": given.get("convert"),
        })  # fmt: skip
        self.post("message.any", self.row(message, target.name), target.name)
        for ack in self.auto_acks:
            self.post("message.ack", self.ack_row(message, ack), target.name)
        return as_json(answer_row(message, target, self.engine, self.base_url), 201)

    def _of_session(self, name: str, rest: list[str], request: Request) -> Response:
        target = self.sessions.get(name)
        if target is None:
            return _wrong(404, "Session not found")
        if rest[0] == "auth":
            return self._auth(target, rest[1], request)
        if rest[0] == "lids":
            hidden = rest[1] if "@" in rest[1] else f"{rest[1]}@lid"
            phone = self.phones.get(hidden)
            return as_json({"lid": hidden, "pn": f"{phone}@c.us" if phone else None})
        if target.status != "WORKING":
            return _not_working(target)
        if rest == ["chats", "overview"]:
            return as_json(self._overview(name, request.query))
        if len(rest) == 3:
            return self._history(name, rest[1], request.query)
        return self._one(name, rest[3], request.query)

    def _auth(self, target: LinkedSession, call: str, request: Request) -> Response:
        if target.status != "SCAN_QR_CODE":
            return _not_working(target, "SCAN_QR_CODE")
        if call == "request-code":
            return as_json({"code": "ABCD-ABCD"}, 201)
        return Response(PNG, content_type="image/png")

    def _overview(self, name: str, query: dict[str, str]) -> list[dict[str, Any]]:
        last = {message.chat: message for message in sorted(self.messages[name], key=lambda message: message.time)}
        ordered = sorted(last.values(), key=lambda message: -message.time)
        offset, limit = int(query.get("offset", 0)), int(query.get("limit", 20))
        return [
            {"id": m.chat, "name": m.name, "picture": None, "lastMessage": self.row(m, name, media=False), "_chat": {}}
            for m in ordered[offset : offset + limit]
        ]

    def _history(self, name: str, chat: str, query: dict[str, str]) -> Response:
        if chat == "all" and self.engine not in ("GOWS", "NOWEB"):
            return _wrong(500, "no such chat")
        since, mine = float(query.get("filter.timestamp.gte", 0)), query.get("filter.fromMe")
        rows = [m for m in self.messages[name] if chat in ("all", m.chat) and int(m.time) >= since]
        if mine is not None:
            rows = [m for m in rows if m.mine is (mine == "true")]
        rows.sort(key=lambda m: m.time, reverse=query.get("sortOrder") != "asc")
        offset, limit = int(query.get("offset", 0)), int(query["limit"])
        media = query.get("downloadMedia") != "false"
        return as_json([self.row(m, name, media=media) for m in rows[offset : offset + limit]])

    def _one(self, name: str, wanted: str, query: dict[str, str]) -> Response:
        found = next((m for m in self.messages[name] if wanted in (m.id, m.bare)), None)
        if found is None:
            return _wrong(404, "Message not found")
        found.file_gone = False
        return as_json(self.row(found, name, media=query.get("downloadMedia") != "false"))

    def _file(self, parts: list[str]) -> Response:
        name, _slash, file = "/".join(parts).partition("/")
        found = next((m for m in self.messages.get(name, []) if file.startswith(m.id)), None)
        if found is None or found.file_gone:
            return _wrong(404, "File not found")
        return Response(found.content, content_type=found.mime)

    # ── Control over HTTP ────────────────────────────────────────────────────────────────────────────────────────────
    async def _control_message(self, request: Request) -> Response:
        return as_json({"id": self.customer_writes(**_arguments(request))})

    async def _control_voice(self, request: Request) -> Response:
        """A voice note: `{"phone": …, "words": …}` as the fake model shall hear it, or `content_b64` with `seconds`."""
        return as_json({"id": self.customer_speaks(**_arguments(request))})

    async def _control_file(self, request: Request) -> Response:
        return as_json({"id": self.customer_sends_file(**_arguments(request))})

    async def _control_owner(self, request: Request) -> Response:
        return as_json({"id": self.owner_types_on_phone(**_arguments(request))})

    async def _control_ack(self, request: Request) -> Response:
        self.reports_ack(**request.json())
        return as_json({})

    async def _control_status(self, request: Request) -> Response:
        self.reports_status(**request.json())
        return as_json({})

    async def _control_session(self, request: Request) -> Response:
        """Change a session, or the server: `{"name", "status", "config", "phone"}`, `{"engine", "phones", "auto_acks"}`."""
        wanted = request.json()
        target = self.sessions.setdefault(wanted.get("name", SESSION), LinkedSession(wanted.get("name", SESSION)))
        self.messages.setdefault(target.name, [])
        for name in {"status", "config", "phone"} & wanted.keys():
            setattr(target, name, wanted[name])
        for name in {"engine", "phones", "auto_acks", "refuses_hidden"} & wanted.keys():
            setattr(self, name, wanted[name])
        return as_json(target.row())

    async def _control_hold(self, request: Request) -> Response:
        """`{"hold": true}` keeps webhooks back, false posts them."""
        if request.json()["hold"]:
            self.hold = True
        else:
            self.release()
        return as_json({"hold": self.hold})

    async def _control_reset(self, request: Request) -> Response:
        self.reset(**(request.json() or {}))
        return as_json({})

    async def _control_ledger(self, request: Request) -> Response:
        """Accepted sends from number `since` on."""
        return as_json(self.ledger[int(request.query.get("since", 0)) :])

    async def _control_state(self, request: Request) -> Response:
        return as_json({
            "sends": len(self.ledger), "messages": sum(map(len, self.messages.values())), "calls": self.calls,
            "posted": self.posted[-1000:], "typed": len(self.typed), "marked": self.marked, "own_number": OWN_NUMBER,
        })  # fmt: skip


def signed(body: bytes, key: str) -> dict[str, str]:
    """The headers of a webhook."""
    headers = {
        "Content-Type": "application/json", "User-Agent": "WAHA/2026.7.1", "X-Webhook-Request-Id": os.urandom(8).hex(),
        "X-Webhook-Timestamp": str(int(time.time() * 1000)),
    }  # fmt: skip
    if key:
        headers["X-Webhook-Hmac"] = hmac.new(key.encode(), body, hashlib.sha512).hexdigest()
        headers["X-Webhook-Hmac-Algorithm"] = "sha512"
    return headers


def _wrong(status: int, message: str) -> Response:
    return as_json({"statusCode": status, "message": message, "exception": {"message": message, "name": "Error"}}, status)


def _not_working(target: LinkedSession, expected: str = "WORKING") -> Response:
    error = "Session status is not as expected. Try again later or restart the session"
    return as_json({"error": error, "session": target.name, "status": target.status, "expected": [expected]}, 422)


def _arguments(request: Request) -> dict[str, Any]:
    """Control fields as arguments; a file's content comes as `content_b64`."""
    wanted: dict[str, Any] = request.json()
    if "content_b64" in wanted:
        wanted["content"] = base64.b64decode(wanted.pop("content_b64"))
    return wanted


if __name__ == "__main__":
    run_as_process(FakeWaha())
