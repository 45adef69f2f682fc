"""The Graph API itself: numbers, messages, files, templates, and signed webhooks that are posted until they are answered."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import time
from collections import Counter
from collections.abc import Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import httpx2

from .server import Request, Response, Router, as_json
from .whatsapp_cloud_rows import APP_SECRET, TOKEN, Number, Sent, encoded, envelope, signature, status, wamid, wrong


@dataclass(slots=True)
class File:
    content: bytes
    mime: str
    uploaded: bool = False


class Graph(Router):
    """One app with one number: what it knows, what it accepts, and how it posts."""

    def __init__(self, token: str = TOKEN, app_secret: str = APP_SECRET) -> None:
        super().__init__()
        self.token, self.app_secret = token, app_secret
        self.number = Number()
        self.reset()
        self.route("GET POST DELETE", "/v*")(self._graph)
        self.route("GET", "/files/*")(self._file)

    def reset(self) -> None:
        """Forget all messages, sends, files, templates and faults; the number stays as it is."""
        self.ledger: list[dict[str, Any]] = []
        self.sent: dict[str, Sent] = {}
        self.requests: list[tuple[str, str, Any]] = []
        """Method, path and body of each call of the API, as it came."""
        self.files: dict[str, File] = {}
        self.people: dict[str, str] = {}
        """Business-scoped ids of those who wrote, and their phones."""
        self.templates: dict[tuple[str, str], dict[str, Any]] = {}
        self.refused: dict[str, int] = {}
        """Phone → the error code with which sends to it are refused."""
        self.closed: set[str] = set()
        """Phones outside their 24-hour window: they take templates only."""
        self.read: list[str] = []
        self.typed: list[str] = []
        self.posted: list[dict[str, Any]] = []
        self.held: list[bytes] = []
        self.holding = False
        """Webhooks wait in `held` until `release`."""
        self.calls: Counter[str] = Counter()
        self.faults.clear()
        self._serial = itertools.count(1)
        self._run = os.urandom(4).hex().upper()
        self._pending: set[asyncio.Task[None]] = set()

    # ── Webhooks ─────────────────────────────────────────────────────────────────────────────────────────────────────
    def post(self, value: dict[str, Any], change: str = "messages") -> Future[None] | None:
        """Post one change of our number in the background."""
        return self.post_body(encoded(envelope(self.number, value, change)))

    def post_body(self, body: bytes, sign: str | None = None) -> Future[None] | None:
        """Post any bytes, signed unless `sign` says how; None where nothing is posted (yet)."""
        if self.holding:
            self.held.append(body)
            return None
        if not self.number.webhook_url or not self.number.subscribed or self.loop is None:
            return None
        return asyncio.run_coroutine_threadsafe(self._post(body, sign), self.loop)

    def release(self) -> int:
        """Post what was held back. Returns how many bodies."""
        self.holding, bodies, self.held = False, self.held, []
        for body in bodies:
            self.post_body(body)
        return len(bodies)

    async def started(self) -> None:
        self._poster = httpx2.AsyncClient(
            timeout=httpx2.Timeout(15, pool=60), limits=httpx2.Limits(max_connections=64, max_keepalive_connections=64)
        )

    async def stopping(self) -> None:
        await asyncio.gather(*self._pending, return_exceptions=True)
        await self._poster.aclose()

    async def _post(self, body: bytes, sign: str | None = None, tries: int = 3) -> None:
        headers = {"Content-Type": "application/json", "User-Agent": "facebookexternalua"}
        headers["X-Hub-Signature-256"] = signature(body, self.app_secret) if sign is None else sign
        started = time.monotonic()
        for attempt in range(1, tries + 1):
            try:
                answer = await self._poster.post(self.number.webhook_url, content=body, headers=headers)
                outcome: int | str = answer.status_code
            except httpx2.HTTPError as error:
                outcome = type(error).__name__
            row = {"at": time.time(), "outcome": outcome, "attempt": attempt, "ms": (time.monotonic() - started) * 1000}
            self.posted.append(row)
            if isinstance(outcome, int) and outcome < 300:
                return
            await asyncio.sleep(attempt)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    # ── The API ──────────────────────────────────────────────────────────────────────────────────────────────────────
    async def _graph(self, request: Request) -> Response:
        found = re.fullmatch(r"/(v\d+\.\d)/(\d+)(?:/(\w+))?", request.path)
        media = "multipart" in request.headers.get("content-type", "")
        self.requests.append((request.method, request.path, None if media else request.json()))
        if found is None:
            return _error(2500, "Unknown path components", 400)
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return _error(190, "Invalid OAuth access token", 401)
        owner, edge = found[2], found[3] or ""
        whose = "number" if owner == self.number.id else "account" if owner == self.number.account else "media"
        self.calls[f"{request.method} {whose} {edge}".strip()] += 1
        handler = {
            ("POST", "number", "messages"): self._messages, ("POST", "number", "media"): self._upload,
            ("GET", "number", ""): self._get_number, ("POST", "number", ""): self._set_number,
            ("GET", "account", "subscribed_apps"): self._subscriptions,
            ("POST", "account", "subscribed_apps"): self._subscribe,
            ("GET", "account", "message_templates"): self._list_templates,
        }.get((request.method, whose, edge))  # fmt: skip
        if handler is not None:
            return await handler(request)
        if request.method == "GET" and owner in self.files and not edge:
            return self._media(owner)
        return _error(100, "Unsupported request. Object does not exist", 400, error_subcode=33)

    async def _messages(self, request: Request) -> Response:
        body = request.json()
        if body.get("status") == "read":
            (self.typed if "typing_indicator" in body else self.read).append(body["message_id"])
            return as_json({"success": True})
        phone = self._phone_of(body.get("to") or body.get("recipient") or "")
        refusal = wrong(body) or self._refusal(phone, body)
        if refusal is not None:
            return _error(refusal[0], refusal[1], 404 if refusal[0] == 132001 else 400)
        sent = Sent(wamid(phone, f"{self._run}{next(self._serial):08X}"), phone, body)
        self.sent[sent.id] = sent
        file = self.files.get((body.get(body["type"]) or {}).get("id", ""), File(b"", ""))
        self.ledger.append({
            "number": len(self.ledger) + 1, "at": time.time(), "path": request.path, "recipient": phone, "type": body["type"],
            "text": sent.text, "message_id": sent.id, "quoted": (body.get("context") or {}).get("message_id", ""),
            "file_name": (body.get("document") or {}).get("filename", ""), "size": len(file.content), "body": body,
        })  # fmt: skip
        if self.number.auto_receipts:
            self._spawn(self._after_send(sent))
        people = [{"input": body.get("to") or body.get("recipient"), "wa_id": phone}]
        return as_json({"messaging_product": "whatsapp", "contacts": people, "messages": [{"id": sent.id}]})

    def _phone_of(self, address: str) -> str:
        """Of a hidden identity too: whose it is was seen when they wrote."""
        return self.people.get(address, address.removeprefix("+"))

    def _refusal(self, phone: str, body: dict[str, Any]) -> tuple[int, str] | None:
        if phone in self.refused:
            return self.refused[phone], "refused"
        if body["type"] == "template":
            return self._template_refusal(body["template"])
        if phone in self.closed:
            return 131047, "Re-engagement message"
        identifier = (body.get(body["type"]) or {}).get("id")
        return (131053, "Media upload error") if identifier is not None and identifier not in self.files else None

    def _template_refusal(self, used: dict[str, Any]) -> tuple[int, str] | None:
        found = self.templates.get((used["name"], used["language"]["code"]))
        if found is None:
            return 132001, "Template name does not exist in the translation"
        if found["status"] in ("PAUSED", "DISABLED"):
            return (132015 if found["status"] == "PAUSED" else 132016), "Template is paused or disabled"
        text = next((part.get("text", "") for part in found["components"] if part["type"] == "BODY"), "")
        given: list[Any] = next((part["parameters"] for part in used.get("components", []) if part["type"] == "body"), [])
        wanted = len(set(re.findall(r"\{\{(\w+)\}\}", text)))
        return None if len(given) == wanted else (132000, "Number of parameters does not match the expected number of params")

    async def _after_send(self, sent: Sent) -> None:
        for word in self.number.auto_receipts:
            row = status(sent, self.number, word, int(time.time()))
            body = encoded(envelope(self.number, {"statuses": [row]}))
            if self.holding:
                self.held.append(body)
            elif self.number.webhook_url:
                await self._post(body)

    async def _upload(self, request: Request) -> Response:
        boundary = request.headers["content-type"].partition("boundary=")[2].encode()
        parts: dict[str, tuple[bytes, bytes]] = {}
        for part in request.body.split(b"--" + boundary)[1:-1]:
            head, _gap, content = part.partition(b"\r\n\r\n")
            name = re.search(rb'name="(\w+)"', head)
            parts[name[1].decode() if name else ""] = (head, content[:-2])
        if parts.get("messaging_product", (b"", b""))[1] != b"whatsapp" or "file" not in parts:
            return _error(100, "Invalid parameter", 400)
        head, content = parts["file"]
        mime = head.lower().partition(b"content-type:")[2].strip().decode()
        if mime == "application/octet-stream" or parts["type"][1].decode() != mime:
            return _error(131053, "Media upload error", 400)
        return as_json({"id": self.keep(content, mime, uploaded=True)})

    def _media(self, identifier: str) -> Response:
        file = self.files[identifier]
        return as_json({
            "messaging_product": "whatsapp", "url": self.number.media_link or f"{self.base_url}/files/{identifier}",
            "mime_type": file.mime, "sha256": "AA==", "file_size": str(len(file.content)), "id": identifier,
        })  # fmt: skip

    async def _file(self, request: Request) -> Response:
        file = self.files.get(request.path.rpartition("/")[2])
        if file is None or request.headers.get("authorization") != f"Bearer {self.token}":
            return Response(b"", 404 if file is None else 401, content_type="text/plain")
        return Response(file.content, content_type=file.mime)

    async def _get_number(self, request: Request) -> Response:
        number = self.number
        known = {
            "status": number.status, "display_phone_number": f"+{number.phone}", "verified_name": number.name,
            "quality_rating": number.quality,
        }  # fmt: skip
        asked = [name for name in request.query.get("fields", "").split(",") if name]
        return as_json({"id": number.id, **{name: known[name] for name in asked}})

    async def _set_number(self, request: Request) -> Response:
        wanted = request.json()["webhook_configuration"]
        url = wanted["override_callback_uri"]
        if url and self.number.verify_callbacks:
            query = {"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": wanted["verify_token"]}
            try:
                answer = await self._poster.get(url, params=query)
            except httpx2.HTTPError:
                return _error(2200, "Callback verification failed: connection", 400)
            if answer.status_code != 200 or answer.text != "1158201444":
                return _error(2200, "Callback verification failed", 400)
        self.number.webhook_url = url
        return as_json({"success": True})

    async def _subscriptions(self, request: Request) -> Response:
        app = {"whatsapp_business_api_data": {"id": "1234567890123456", "name": "Shop", "link": "https://example.com/"}}
        return as_json({"data": [app] if self.number.subscribed else []})

    async def _subscribe(self, request: Request) -> Response:
        self.number.subscribed = True
        return as_json({"success": True})

    async def _list_templates(self, request: Request) -> Response:
        rows, size = list(self.templates.values()), min(int(request.query.get("limit", 25)), 25)
        start = int(request.query.get("after", 0))
        page = rows[start : start + size]
        cursors = {"before": str(start), "after": str(start + len(page))}
        return as_json({"data": page, "paging": {"cursors": cursors} if page else {}})

    def keep(self, content: bytes, mime: str, *, uploaded: bool = False) -> str:
        """Keep a file; returns its id."""
        identifier = str(1_003_383_421_000_000 + next(self._serial))
        self.files[identifier] = File(content, mime, uploaded)
        return identifier


def _error(code: int, message: str, http_status: int, **more: Any) -> Response:
    error = {"message": f"(#{code}) {message}", "type": "OAuthException", "code": code, "fbtrace_id": "AxYz0123456789abcdef"}
    return as_json({"error": {**error, **more}}, http_status)
