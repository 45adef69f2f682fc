"""An Avito server in memory that speaks the real protocol for everything the adapter calls.

Drive it from Python (`FakeAvito` in a thread) or over HTTP under `/_sandbox/` (`python -m tests.sandbox.avito --port N`).
Every send it accepts is in `ledger` before the answer leaves, so a lost answer never hides what a customer received.
"""

from __future__ import annotations

import asyncio
import base64
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote

import httpx2

from .avito_items import Items
from .avito_people import People, serial
from .avito_rows import ACCOUNT, TEXT, Account, Chat, Message, chat_row, envelope, message_row
from .server import Request, Response, Router, as_json, run_as_process

PICTURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM")


class Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class FakeAvito(People, Items, Router):
    """One or more accounts. Methods may be called from any thread."""

    def __init__(self, accounts: list[Account] | None = None) -> None:
        super().__init__()
        self.accounts = {account.client_id: account for account in accounts or [Account()]}
        self.reset()
        self._routes()

    def reset(self) -> None:
        """Forget all chats, sends, calls and faults; accounts stay, with their tokens and webhooks."""
        self.chats: dict[str, Chat] = {}
        self.files: dict[str, bytes] = {}
        self.voices: dict[str, str] = {}
        self.images: dict[str, dict[str, str]] = {}
        self.ledger: list[dict[str, Any]] = []
        self.read: list[str] = []
        self.calls: Counter[str] = Counter()
        self.requests: list[dict[str, Any]] = []
        self.posted: list[dict[str, Any]] = []
        self.held: list[tuple[str, dict[str, Any]]] = []
        self.hold = False
        """While set, webhooks wait."""
        self.bare = True
        """Whether the history is a bare list, as documented, or within an object, as seen."""
        self.newest_first = True
        self.token_at_slash = False
        """`/token` redirects to `/token/`."""
        self.faults.clear()
        self._serial = serial()

    # ── Webhooks ─────────────────────────────────────────────────────────────────────────────────────────────────────
    def announce(self, message: Message, chat: Chat) -> None:
        account = next(account for account in self.accounts.values() if account.user_id == chat.account)
        published = datetime.fromtimestamp(message.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = envelope(message, chat, next(self._serial), published)
        for url in account.subscriptions:
            if self.hold:
                self.held.append((url, body))
            elif random.random() >= account.drop_share:
                self._post(url, body)

    def release(self) -> None:
        """End the hold: everything that waited is posted."""
        self.hold = False
        for url, body in self.held:
            self._post(url, body)
        self.held.clear()

    def _post(self, url: str, body: dict[str, Any]) -> None:
        if self.loop is not None:
            asyncio.run_coroutine_threadsafe(self._deliver(url, body), self.loop)

    async def _deliver(self, url: str, body: dict[str, Any]) -> None:
        started = time.monotonic()
        try:
            outcome: Any = (
                await self._poster.post(url, json=body, headers={"x-avito-messenger-signature": "0" * 64})
            ).status_code
        except httpx2.HTTPError as error:
            outcome = type(error).__name__
        self.posted.append({"at": time.time(), "outcome": outcome, "ms": (time.monotonic() - started) * 1000})

    async def started(self) -> None:
        self._poster = httpx2.AsyncClient(timeout=2.0)

    async def stopping(self) -> None:
        await self._poster.aclose()

    # ── The API ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def _routes(self) -> None:
        self.route("POST", "/token")(self._token)
        self.route("POST", "/token/")(self._token)
        for method in ("GET", "POST", "PUT"):
            for prefix in ("/core/*", "/messenger/*", "/stats/*"):
                self.route(method, prefix)(self._api)
        self.route("GET", "/files/*")(self._file)
        for path, control in (
            ("message", self.customer_writes), ("owner", self.owner_writes), ("voice", self.customer_speaks),
            ("image", self.customer_sends_image), ("location", self.customer_shares_location), ("reset", self.reset),
        ):  # fmt: skip
            self.route("POST", f"/_sandbox/{path}")(_control(control))
        self.route("POST", "/_sandbox/hold")(self._control_hold)
        self.route("POST", "/_sandbox/account")(self._control_account)
        self.route("GET", "/_sandbox/ledger")(self._control_ledger)
        self.route("GET", "/_sandbox/state")(self._control_state)

    async def _token(self, request: Request) -> Response:
        self.calls["token"] += 1
        if self.token_at_slash and request.path == "/token":
            return Response(status=308, headers={"location": "/token/"})
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        self.requests.append({"method": "POST", "path": "/token", "query": {}, "body": form})
        account = self.accounts.get(form.get("client_id", ""))
        if (
            form.get("grant_type") != "client_credentials"
            or account is None
            or account.client_secret != form.get("client_secret")
        ):
            # Seen with status 200.
            return as_json({"error": "invalid_client", "error_description": "Client authentication failed"})
        token = f"token-{next(self._serial)}"
        account.tokens[token] = True
        return as_json({"access_token": token, "expires_in": account.token_life, "token_type": "Bearer"})

    def expire_tokens(self) -> None:
        """No token handed out so far is good any more."""
        for account in self.accounts.values():
            account.tokens = dict.fromkeys(account.tokens, False)

    async def _api(self, request: Request) -> Response:
        upload = request.path.endswith("/uploadImages")
        body = None if upload or not request.body else request.json()
        self.requests.append({
            "method": request.method, "path": request.path, "query": request.query, "body": body,
            "content_type": request.headers.get("content-type", ""),
        })  # fmt: skip
        try:
            account = self._authorized(request)
            return as_json(self._answer(account, request, body))
        except Refused as refused:
            return as_json({"error": {"code": refused.status, "message": refused.message}}, refused.status)

    def _authorized(self, request: Request) -> Account:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        account = next((account for account in self.accounts.values() if account.tokens.get(token)), None)
        if account is None:
            raise Refused(401, "Unauthorized")
        if "messenger" in request.path and not account.tariff:
            raise Refused(402, "Payment required")
        if "messenger" in request.path and not account.rights:
            raise Refused(403, "Forbidden")
        named = re.search(r"/accounts/(\d+)/", request.path)
        if named and int(named[1]) != account.user_id:
            raise Refused(403, "Forbidden")
        return account

    def _answer(self, account: Account, request: Request, body: Any) -> Any:
        path = re.sub(r"/accounts/\d+/", "/accounts/{user}/", request.path)
        for pattern, name in OPERATIONS:
            found = re.fullmatch(pattern, f"{request.method} {path}")
            if found:
                self.calls[name] += 1
                return getattr(self, f"_do_{name}")(account, request, body, *map(unquote, found.groups()))
        raise Refused(404, "Not found")

    async def _file(self, request: Request) -> Response:
        content = self.files.get(request.path.removeprefix("/files/"))
        if "authorization" in request.headers:
            return Response(status=400)
        return Response(content, content_type="application/octet-stream") if content is not None else Response(status=404)

    def _do_self(self, account: Account, request: Request, body: Any) -> Any:
        return {
            "id": account.user_id, "name": account.name, "email": "shop@example.com", "phone": account.phone,
            "phones": [account.phone], "profile_url": "https://avito.ru/user/7d04c/profile",
        }  # fmt: skip

    # ── The messenger ────────────────────────────────────────────────────────────────────────────────────────────────
    def _do_subscribe(self, account: Account, request: Request, body: Any) -> Any:
        account.subscriptions[body["url"]] = "3"
        return {"ok": True}

    def _do_unsubscribe(self, account: Account, request: Request, body: Any) -> Any:
        account.subscriptions.pop(body["url"], None)
        return {"ok": True}

    def _do_subscriptions(self, account: Account, request: Request, body: Any) -> Any:
        return {"subscriptions": [{"url": url, "version": version} for url, version in account.subscriptions.items()]}

    def _do_chats(self, account: Account, request: Request, body: Any) -> Any:
        types = request.query.get("chat_types", "u2i").split(",")
        ours = [chat for chat in self.chats.values() if chat.account == account.user_id and chat.type in types]
        ordered = sorted(ours, key=lambda chat: chat.updated, reverse=True)
        return {"chats": [chat_row(chat, self._last(chat)) for chat in _page(request, ordered)]}

    def _do_chat(self, account: Account, request: Request, body: Any, chat_id: str) -> Any:
        chat = self._open(account, chat_id)
        return chat_row(chat, self._last(chat))

    def _do_messages(self, account: Account, request: Request, body: Any, chat_id: str) -> Any:
        chat = self._open(account, chat_id)
        known = {message.id: message for message in chat.messages}
        shown = [message for message in chat.messages if message.listed_at <= time.time()]
        ordered = sorted(shown, key=lambda message: message.created)
        rows = [message_row(message, chat, known.get(message.quote)) for message in ordered]
        page = _page(request, rows[::-1] if self.newest_first else rows)
        return page if self.bare else {"messages": page}

    def _do_send(self, account: Account, request: Request, body: Any, chat_id: str) -> Any:
        text = body["message"]["text"]
        if body.get("type") != "text" or not text.strip() or len(text) > TEXT:
            raise Refused(400, "Validation error")
        row = self._sent(account, chat_id, "text", {"text": text}, text=text)
        return {name: row[name] for name in ("id", "created", "direction", "type", "content")}

    def _do_send_image(self, account: Account, request: Request, body: Any, chat_id: str) -> Any:
        sizes = self.images.get(body["image_id"])
        if sizes is None:
            raise Refused(400, "Validation error")
        row = self._sent(account, chat_id, "image", {"image": {"sizes": sizes}}, image=body["image_id"])
        return {name: row[name] for name in ("id", "author_id", "created", "direction", "type", "content")}

    def _do_read(self, account: Account, request: Request, body: Any, chat_id: str) -> Any:
        self._open(account, chat_id).read = True
        self.read.append(chat_id)
        return {"ok": True}

    def _do_upload(self, account: Account, request: Request, body: Any) -> Any:
        field = re.search(rb'name="uploadfile\[\]".*?\r\n\r\n(.*)\r\n--', request.body, re.DOTALL)
        if field is None or not field[1].startswith(PICTURES):
            raise Refused(400, "Validation error")
        identifier = f"{next(self._serial)}.picture"
        self.images[identifier] = self.sizes(field[1])
        return {identifier: self.images[identifier]}

    def _do_voices(self, account: Account, request: Request, body: Any) -> Any:
        name = self.voices.get(request.query["voice_ids"])
        return {"voices_urls": {request.query["voice_ids"]: f"{self.base_url}/files/{name}"} if name else {}}

    def _do_blacklist(self, account: Account, request: Request, body: Any) -> Any:
        account.blacklist += body["users"]
        return {}

    def _open(self, account: Account, chat_id: str) -> Chat:
        chat = self.chats.get(chat_id)
        if chat is None:
            raise Refused(404, "Not found")
        if chat.account != account.user_id or chat.closed:
            raise Refused(403, "Forbidden")
        return chat

    def _last(self, chat: Chat) -> Message | None:
        return max(reversed(chat.messages), key=lambda message: message.created, default=None)

    def _sent(self, account: Account, chat_id: str, type: str, content: dict[str, Any], **what: Any) -> dict[str, Any]:
        chat = self._open(account, chat_id)
        message = Message(f"{next(self._serial):032x}", account.user_id, type, content, int(time.time()))
        self.ledger.append({"number": len(self.ledger) + 1, "at": time.time(), "chat": chat_id, "id": message.id, **what})
        self.add(message, chat)
        return message_row(message, chat)

    # ── Control over HTTP ────────────────────────────────────────────────────────────────────────────────────────────
    async def _control_hold(self, request: Request) -> Response:
        """`{"on": true}` keeps webhooks back, `{"on": false}` lets them go."""
        if request.json()["on"]:
            self.hold = True
        else:
            self.release()
        return as_json({"hold": self.hold})

    async def _control_account(self, request: Request) -> Response:
        """Change fields of an account: `{"user_id": …, …}`."""
        wanted = request.json()
        account = next(one for one in self.accounts.values() if one.user_id == wanted.get("user_id", ACCOUNT))
        for name in wanted.keys() & {"tariff", "rights", "token_life", "drop_share"}:
            setattr(account, name, wanted[name])
        return as_json({name: value for name, value in asdict(account).items() if name != "client_secret"})

    async def _control_ledger(self, request: Request) -> Response:
        """Accepted sends from number `since` on."""
        return as_json(self.ledger[int(request.query.get("since", 0)) :])

    async def _control_state(self, request: Request) -> Response:
        return as_json({
            "sends": len(self.ledger), "messages": sum(len(chat.messages) for chat in self.chats.values()), "calls": self.calls,
            "posted": self.posted[-1000:], "read": len(self.read),
        })  # fmt: skip


#: Method and path → the method `_do_<name>` that answers, with what stands in the path.
OPERATIONS = (
    (r"GET /core/v1/accounts/self", "self"),
    (r"POST /messenger/v3/webhook", "subscribe"),
    (r"POST /messenger/v1/webhook/unsubscribe", "unsubscribe"),
    (r"POST /messenger/v1/subscriptions", "subscriptions"),
    (r"GET /messenger/v2/accounts/\{user\}/chats", "chats"),
    (r"GET /messenger/v2/accounts/\{user\}/chats/([^/]+)", "chat"),
    (r"GET /messenger/v3/accounts/\{user\}/chats/([^/]+)/messages/", "messages"),
    (r"POST /messenger/v1/accounts/\{user\}/chats/([^/]+)/messages", "send"),
    (r"POST /messenger/v1/accounts/\{user\}/chats/([^/]+)/messages/image", "send_image"),
    (r"POST /messenger/v1/accounts/\{user\}/chats/([^/]+)/read", "read"),
    (r"POST /messenger/v1/accounts/\{user\}/uploadImages", "upload"),
    (r"GET /messenger/v1/accounts/\{user\}/getVoiceFiles", "voices"),
    (r"POST /messenger/v2/accounts/\{user\}/blacklist", "blacklist"),
    (r"GET /core/v1/items", "items"),
    (r"GET /core/v1/accounts/\{user\}/items/(\d+)/", "item"),
    (r"POST /core/v1/items/(\d+)/update_price", "price"),
    (r"POST /stats/v1/accounts/\{user\}/items", "statistics"),
)


def _page(request: Request, rows: list[Any]) -> list[Any]:
    limit, offset = int(request.query.get("limit", 100)), int(request.query.get("offset", 0))
    if not 1 <= limit <= 100 or not 0 <= offset <= 1000:
        raise Refused(400, "Validation error")
    return rows[offset : offset + limit]


def _control(action: Callable[..., Any]) -> Callable[[Request], Any]:
    """A method under its path: control fields are its arguments, a file's content comes as `content_b64`."""

    async def control(request: Request) -> Response:
        wanted: dict[str, Any] = request.json() or {}
        if "content_b64" in wanted:
            wanted["content"] = base64.b64decode(wanted.pop("content_b64"))
        return as_json({"id": action(**wanted)})

    return control


if __name__ == "__main__":
    run_as_process(FakeAvito())
