"""A Wappi server in memory that speaks the real protocol for everything the adapter calls.

Drive it from Python (`FakeWappi` in a thread) or over HTTP under `/_sandbox/` (`python -m tests.sandbox.wappi --port N`).
Every send it accepts is in `ledger` before the answer leaves, so a lost answer never hides what a customer received.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import random
import time
from collections import Counter, defaultdict
from collections.abc import Coroutine
from concurrent.futures import Future
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import httpx2

from .server import Request, Response, Router, as_json, run_as_process
from .speech import recording
from .wappi_rows import PROFILE, TOKEN, Message, Profile, chat_id, polled_row, times, webhook_row

SENT_AS = {"/img/": "image", "/audio/": "ptt"}

class FakeWappi(Router):
    """One token with one or more profiles. Methods may be called from any thread."""

    def __init__(self, token: str = TOKEN, profiles: list[Profile] | None = None) -> None:
        super().__init__()
        self.token = token
        self.profiles = {profile.id: profile for profile in profiles or [Profile()]}
        self.reset()
        self._routes()

    def reset(self) -> None:
        """Forget all messages, sends, calls and faults; profiles stay."""
        self.chats: defaultdict[str, dict[str, list[Message]]] = defaultdict(dict)
        self.messages: dict[str, Message] = {}
        self.contacts: dict[str, dict[str, str]] = {}
        self.ledger: list[dict[str, Any]] = []
        self.posted: list[dict[str, Any]] = []
        self.calls: Counter[str] = Counter()
        self.typed: list[str] = []
        self.marked: list[str] = []
        self.refused_chats: set[str] = set()
        self.crossed: dict[str, str] = {}
        """Chat → the chat whose rows are mixed into its answer."""
        self.marked_all = 0
        self.dropped: list[str] = []
        """Ids of messages whose webhook was dropped."""
        self._luck = random.Random(20261120)
        self.faults.clear()
        self._serial = itertools.count(1)
        self._run = os.urandom(3).hex().upper()
        self._pending: set[asyncio.Task[None]] = set()

    # ── What people do ───────────────────────────────────────────────────────────────────────────────────────────────
    def customer_writes(
        self, phone: str, text: str = "", *, deliver: str = "webhook", profile: str = PROFILE, **more: Any
    ) -> str:
        """A message from a customer; it is in the history, and posted unless `deliver` is "poll". Returns its id.

        `phone` may be a whole chat id (`…@lid`, `…@g.us`). `more` are the fields of `Message`.
        """
        message = self._store(profile, chat_id(phone), text, **more)
        if deliver == "webhook":
            self.post([self.webhook_row(profile, message, "incoming_message")], profile)
        return message.id

    def customer_speaks(self, phone: str, words: str = "", *, content: bytes = b"", seconds: int = 2, **more: Any) -> str:
        """A voice message from a customer: these bytes, or a recording in which the fake model hears `words`."""
        content, mime = (content, "audio/ogg; codecs=opus") if content else (recording(words, seconds=seconds), "audio/wav")
        return self.customer_writes(phone, **({"type": "ptt", "content": content, "mime": mime, "seconds": seconds} | more))

    def owner_types_on_phone(
        self, phone: str, text: str, *, deliver: str = "webhook", profile: str = PROFILE, **more: Any
    ) -> str:
        """A message that the owner of the number typed on the phone."""
        message = self._store(profile, chat_id(phone), text, mine=True, **more)
        if deliver == "webhook":
            self.post([self.webhook_row(profile, message, "outgoing_message_phone")], profile)
        return message.id

    def reports_delivery(self, message_id: str, status: str, *, array: bool = False, profile: str = PROFILE) -> None:
        """A delivery webhook, in the documented object form or the array form seen in production."""
        row = self.delivery_row(profile, message_id, status)
        self.post([{**row, "wh_type": "messages_status"}] if array else row, profile)

    def reports_connection(self, status: str, reason: str = "", *, profile: str = PROFILE) -> None:
        row = {"wh_type": "authorization_status", "profile_id": profile, "status": status, "reason": reason}
        self.post([{**row, "phone": self.profiles[profile].phone, **times(time.time())}], profile)

    def post(self, messages: Any, profile: str = PROFILE) -> Future[None] | None:
        """Post a webhook in the background; None where no address is set or the type is not subscribed."""
        target = self.profiles[profile]
        row = messages[0] if isinstance(messages, list) else messages
        wanted = {"messages_status": "delivery_status"}.get(row["wh_type"], row["wh_type"])
        if not target.webhook_url or wanted not in target.webhook_types:
            return None
        if wanted == "incoming_message" and self._luck.random() < target.drop_share:
            self.dropped.append(row["id"])
            return None
        return self._deliver(target.webhook_url, {"messages": messages})

    def _deliver(self, url: str, body: dict[str, Any]) -> Future[None] | None:
        if self.loop is None:
            return None
        return asyncio.run_coroutine_threadsafe(self._post(url, body), self.loop)

    # ── Inside ───────────────────────────────────────────────────────────────────────────────────────────────────────
    def _store(self, profile: str, chat: str, body: str, **more: Any) -> Message:
        identifier = more.pop("id", "") or f"3EB0{self._run}{next(self._serial):010X}"
        at = more.pop("time", None) or time.time()
        message = Message(id=identifier, chat=chat, type=more.pop("type", "chat"), body=body, time=at, **more)
        self.chats[profile].setdefault(chat, []).append(message)
        self.messages[identifier] = message
        return message

    async def started(self) -> None:
        self._poster = httpx2.AsyncClient(
            timeout=httpx2.Timeout(15, pool=60), limits=httpx2.Limits(max_connections=64, max_keepalive_connections=64)
        )

    async def stopping(self) -> None:
        await asyncio.gather(*self._pending, return_exceptions=True)
        await self._poster.aclose()

    async def _post(self, url: str, body: dict[str, Any], tries: int = 3) -> None:
        """Post until a 2xx, as gateways do; what came of it is kept in `posted`."""
        started = time.monotonic()
        for attempt in range(1, tries + 1):
            try:
                outcome: int | str = (await self._poster.post(url, json=body, headers={"User-Agent": "WappiWH"})).status_code
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

    # ── Rows ─────────────────────────────────────────────────────────────────────────────────────────────────────────
    def webhook_row(self, profile: str, message: Message, wh_type: str) -> dict[str, Any]:
        return webhook_row(self.profiles[profile], message, wh_type, self.base_url)

    def delivery_row(self, profile: str, message_id: str, status: str) -> dict[str, Any]:
        message = self.messages.get(message_id)
        chat = message.chat if message else ""
        if message:
            message.status = status
        return {
            "id": message_id, "profile_id": profile, "wh_type": "delivery_status", **times(time.time()),
            "from": f"{self.profiles[profile].phone}@c.us", "to": chat, "chat_id": chat, "status": status,
        }  # fmt: skip

    # ── The API ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def _routes(self) -> None:
        for method, path, handler in (
            ("GET POST", "/api/sync/chats/get", self._chats_get),
            ("GET", "/api/sync/messages/get", self._messages_get),
            ("GET", "/api/sync/message/media/download", self._media_download),
            ("POST", "/api/sync/message/mark/read", self._mark_read),
            ("POST", "/api/sync/chat/typing/start", self._typing_start),
            ("GET", "/api/sync/get/status", self._get_status),
            ("POST", "/api/webhook/url/set", self._url_set),
            ("POST", "/api/webhook/types/set", self._types_set),
        ):
            self.route(method, path)(self._guarded(handler))
        for name in ("send", "reply", "img/send", "document/send", "video/send", "audio/send"):
            self.route("POST", f"/api/sync/message/{name}")(self._guarded(self._message_send))
        self.route("GET", "/files/*")(self._file)
        for method, path, control in (
            ("POST", "/_sandbox/message", self._control_message),
            ("POST", "/_sandbox/voice", self._control_voice),
            ("POST", "/_sandbox/owner", self._control_owner),
            ("POST", "/_sandbox/receipt", self._control_receipt),
            ("POST", "/_sandbox/connection", self._control_connection),
            ("POST", "/_sandbox/webhook", self._control_webhook),
            ("POST", "/_sandbox/profile", self._control_profile),
            ("POST", "/_sandbox/reset", self._control_reset),
            ("GET", "/_sandbox/ledger", self._control_ledger),
            ("GET", "/_sandbox/state", self._control_state),
        ):
            self.route(method, path)(control)

    def _guarded(self, handler: Any) -> Any:
        async def guarded(request: Request) -> Response:
            self.calls[request.path] += 1
            if request.headers.get("authorization") != self.token:
                return as_json({"status": "error", "detail": "Unauthorized"}, 401)
            profile = self.profiles.get(request.query.get("profile_id", ""))
            if profile is None:
                return as_json({"status": "error", "detail": "profile not found"}, 400)
            response: Response = await handler(request, profile)
            return response

        return guarded

    async def _chats_get(self, request: Request, profile: Profile) -> Response:
        listed = {chat: _listed(messages) for chat, messages in self.chats[profile.id].items()}
        chats = sorted(((chat, rows) for chat, rows in listed.items() if rows), key=lambda item: -item[1][-1].time)
        offset, limit = int(request.query.get("offset", 0)), int(request.query.get("limit", 10))
        page = [self._dialog(chat, messages[-1]) for chat, messages in chats[offset : offset + limit]]
        return _done(dialogs=page, total_count=len(chats))

    def _dialog(self, chat: str, last: Message) -> dict[str, Any]:
        contact = {"Found": True, "FirstName": "", "FullName": "", "PushName": last.name, "BusinessName": ""}
        at = datetime.fromtimestamp(last.time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {
            "id": chat, "contact": {**contact, **self.contacts.get(chat, {})}, "isGroup": chat.endswith("@g.us"),
            "last_message_id": last.id, "last_timestamp": at, "last_time": int(last.time), "name": last.name,
        }  # fmt: skip

    async def _messages_get(self, request: Request, profile: Profile) -> Response:
        if request.query.get("mark_all") == "true":
            self.marked_all += 1
        chat = chat_id(request.query.get("chat_id", ""))
        if chat in self.refused_chats or not chat:
            return as_json({"status": "error", "detail": "getMessages error"}, 400)
        rows = _listed(self.chats[profile.id].get(chat, []))[::-1]
        rows = self.chats[profile.id].get(self.crossed.get(chat, ""), []) + rows
        offset, limit = int(request.query.get("offset", 0)), int(request.query.get("limit", 50))
        page = [polled_row(profile, message, self.base_url) for message in rows[offset : offset + limit]]
        return _done(messages=page or None, total_count=len(rows), uuid=profile.id)

    async def _message_send(self, request: Request, profile: Profile) -> Response:
        body = request.json()
        quoted = self.messages.get(body.get("message_id", ""))
        recipient = quoted.chat if quoted else str(body.get("recipient", ""))
        if not recipient or ("body" not in body and "b64_file" not in body):
            return as_json({"status": "error", "detail": f"wrong recipient {recipient}"}, 400)
        message = self._store(
            profile.id, chat_id(recipient), body.get("body", ""), mine=True, by_api=True, status="pending",
            type=next((kind for part, kind in SENT_AS.items() if part in request.path), "document" if "b64_file" in body else "chat"),
            caption=body.get("caption", ""), file_name=body.get("file_name", ""), quoted=body.get("message_id", ""),
            content=base64.b64decode(body.get("b64_file", ""), validate=True),
        )  # fmt: skip
        self.ledger.append({
            "number": len(self.ledger) + 1, "at": message.time, "profile_id": profile.id, "path": request.path,
            "recipient": recipient, "text": message.body or message.caption, "message_id": message.id,
            "quoted": message.quoted, "file_name": message.file_name, "size": len(message.content),
        })  # fmt: skip
        if profile.webhook_url:
            self._spawn(self._after_send(profile, message))
        return _done(message_id=message.id, task_id=f"task-{message.id}")

    async def _after_send(self, profile: Profile, message: Message) -> None:
        if "outgoing_message_api" in profile.webhook_types:
            await self._post(profile.webhook_url, {"messages": [self.webhook_row(profile.id, message, "outgoing_message_api")]})
        if "delivery_status" in profile.webhook_types:
            for status in profile.auto_receipts:
                await self._post(profile.webhook_url, {"messages": self.delivery_row(profile.id, message.id, status)})

    async def _media_download(self, request: Request, profile: Profile) -> Response:
        message = self.messages.get(request.query.get("message_id", ""))
        if message is None or not message.content:
            return as_json({"status": "error", "detail": "media not found"}, 404)
        found = {"media_type": message.type, "mime_type": message.mime, "file_name": message.file_name}
        if profile.media_as_link:
            return _done(**found, file_link=profile.media_link or f"{self.base_url}/files/{message.id}")
        return _done(**found, file_b64=base64.b64encode(message.content).decode())

    async def _file(self, request: Request) -> Response:
        message = self.messages.get(request.path.rpartition("/")[2])
        if message is None or "authorization" in request.headers:
            return Response(b"<Error/>", 403, content_type="application/xml")
        return Response(message.content, content_type=message.mime or "application/octet-stream")

    async def _mark_read(self, request: Request, profile: Profile) -> Response:
        self.marked.append(request.json()["message_id"])
        return _done()

    async def _typing_start(self, request: Request, profile: Profile) -> Response:
        self.typed.append(request.json()["recipient"])
        return _done()

    async def _get_status(self, request: Request, profile: Profile) -> Response:
        return as_json({
            "app_status": profile.app_status, "authorized": profile.authorized, "name": profile.name,
            "payment_expired_at": profile.payment_expired_at, "phone": profile.phone, "profile_id": profile.id,
            "uuid": profile.id, "webhook_types": profile.webhook_types, "webhook_url": profile.webhook_url,
        })  # fmt: skip

    async def _url_set(self, request: Request, profile: Profile) -> Response:
        profile.webhook_url = request.query["url"]
        return _done()

    async def _types_set(self, request: Request, profile: Profile) -> Response:
        types = request.json()
        if not isinstance(types, list):
            return as_json({"status": "error", "detail": "a list is expected"}, 400)
        profile.webhook_types = types
        return _done()

    # ── Control over HTTP ────────────────────────────────────────────────────────────────────────────────────────────
    async def _control_message(self, request: Request) -> Response:
        return as_json({"id": self.customer_writes(**_arguments(request))})

    async def _control_voice(self, request: Request) -> Response:
        """A voice note: `{"phone": …, "words": …}` as the fake model shall hear it, or `content_b64` with `seconds`."""
        return as_json({"id": self.customer_speaks(**_arguments(request))})

    async def _control_owner(self, request: Request) -> Response:
        return as_json({"id": self.owner_types_on_phone(**_arguments(request))})

    async def _control_receipt(self, request: Request) -> Response:
        self.reports_delivery(**request.json())
        return as_json({})

    async def _control_connection(self, request: Request) -> Response:
        self.reports_connection(**request.json())
        return as_json({})

    async def _control_webhook(self, request: Request) -> Response:
        """Post any body at all to the configured address: `{"profile": …, "body": …}`."""
        wanted = request.json()
        self._spawn(self._post(self.profiles[wanted.get("profile", PROFILE)].webhook_url, wanted["body"], tries=1))
        return as_json({})

    async def _control_profile(self, request: Request) -> Response:
        """Change fields of a profile, or add one."""
        wanted = request.json()
        profile = self.profiles.setdefault(wanted.get("id", PROFILE), Profile(id=wanted.get("id", PROFILE)))
        for name in {item.name for item in fields(Profile)} & wanted.keys():
            setattr(profile, name, wanted[name])
        return as_json({item.name: getattr(profile, item.name) for item in fields(Profile)})

    async def _control_reset(self, request: Request) -> Response:
        self.reset()
        return as_json({})

    async def _control_ledger(self, request: Request) -> Response:
        """Accepted sends from number `since` on."""
        return as_json(self.ledger[int(request.query.get("since", 0)) :])

    async def _control_state(self, request: Request) -> Response:
        return as_json({
            "sends": len(self.ledger), "messages": len(self.messages), "calls": self.calls, "posted": self.posted[-1000:],
            "typed": len(self.typed), "marked": len(self.marked), "marked_all": self.marked_all,
        })  # fmt: skip


def _listed(messages: list[Message]) -> list[Message]:
    """What the history shows by now, oldest first."""
    now = time.time()
    return sorted((message for message in messages if message.listed_at <= now), key=lambda message: message.time)


def _arguments(request: Request) -> dict[str, Any]:
    """Control fields as arguments; a file's content comes as `content_b64`."""
    wanted: dict[str, Any] = request.json()
    if "content_b64" in wanted:
        wanted["content"] = base64.b64decode(wanted.pop("content_b64"))
    return wanted


def _done(**more: Any) -> Response:
    return as_json({"status": "done", **times(time.time()), **more})


if __name__ == "__main__":
    run_as_process(FakeWappi())
