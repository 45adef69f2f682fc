"""A Bot API server in memory that speaks the real protocol for everything the adapter calls.

Drive it from Python (`FakeTelegram` in a thread) or over HTTP under `/_sandbox/` (`python -m tests.sandbox.telegram --port N`).
Every send it accepts is in `ledger` before the answer leaves, so a lost answer never hides what a customer received.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import httpx2

from .server import Request, Response, Router, as_json, run_as_process
from .telegram_people import People
from .telegram_rows import (
    CAPTION,
    DATA,
    TEXT,
    TOKEN,
    BadMarkup,
    Bot,
    Upload,
    arguments,
    buttons,
    chat_row,
    shown,
    units,
)

#: Pauses between the attempts of one delivery, in seconds.
RETRIES = (0.2, 1.0, 2.0)
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"
DEFAULT_UPDATES = ("message", "edited_message", "callback_query", "my_chat_member", "pre_checkout_query")
MEDIA = {"sendPhoto": "photo", "sendDocument": "document", "sendVoice": "voice"}


class Refused(Exception):
    def __init__(self, status: int, description: str, **parameters: Any) -> None:
        super().__init__(description)
        self.status, self.description, self.parameters = status, description, parameters


class FakeTelegram(People, Router):
    """One or more bots. Methods may be called from any thread."""

    def __init__(self, bots: list[Bot] | None = None) -> None:
        super().__init__()
        self.bots = {bot.token: bot for bot in bots or [Bot()]}
        self.reset()
        self._routes()

    def reset(self) -> None:
        """Forget all messages, sends, calls and faults; bots and their webhooks stay."""
        self.known: set[int] = set()
        """Chats whose person has started the bot."""
        self.blocked: set[int] = set()
        self.messages: dict[tuple[int, int], dict[str, Any]] = {}
        self.files: dict[str, tuple[str, bytes]] = {}
        self.ledger: list[dict[str, Any]] = []
        self.posted: list[dict[str, Any]] = []
        self.calls: Counter[str] = Counter()
        self.requests: list[tuple[str, dict[str, Any]]] = []
        """Every call with its fields, a file as its name."""
        self.typed: list[int] = []
        self.taps: dict[str, bool] = {}
        """Taps and whether each was answered."""
        self.migrated: dict[int, int] = {}
        self.hold = False
        """While set, updates wait: none is posted or handed out."""
        self.faults.clear()
        self._serial = itertools.count(17)
        self._update = itertools.count(int(time.time()) % 10**8 * 10)
        self._lanes: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._sent_at: defaultdict[int, list[float]] = defaultdict(list)
        for bot in self.bots.values():
            bot.pending.clear()

    def update(self, what: dict[str, Any], token: str = TOKEN) -> int | None:
        """Put an update into the bot's queue, and post it where a webhook is set. None: it was not asked for."""
        bot = self.bots[token]
        if next(iter(what)) not in (bot.allowed_updates or DEFAULT_UPDATES):
            return None
        number = next(self._update)
        bot.pending[number] = {"update_id": number, **what}
        self._deliver(bot, number)
        return number

    def release(self) -> None:
        """End the hold: everything that waited is posted."""
        self.hold = False
        for bot in self.bots.values():
            for number in list(bot.pending):
                self._deliver(bot, number)

    # ── Delivery ─────────────────────────────────────────────────────────────────────────────────────────────────────
    def _deliver(self, bot: Bot, number: int) -> None:
        if bot.webhook_url and not self.hold and self.loop is not None:
            asyncio.run_coroutine_threadsafe(self._post(bot, number), self.loop)

    async def _post(self, bot: Bot, number: int) -> None:
        """Post until a 2xx; an update of a chat waits for those before it. What came of it is kept in `posted`."""
        update = bot.pending.get(number)
        if update is None:
            return
        headers = {SECRET_HEADER: bot.secret_token} if bot.secret_token else {}
        async with self._lanes[_lane(update)]:
            started = time.monotonic()
            for attempt, pause in enumerate((0.0, *RETRIES), 1):
                await asyncio.sleep(pause)
                if number not in bot.pending or not bot.webhook_url:
                    return
                try:
                    outcome: int | str = (await self._poster.post(bot.webhook_url, json=update, headers=headers)).status_code
                except httpx2.HTTPError as error:
                    outcome = type(error).__name__
                ms = (time.monotonic() - started) * 1000
                self.posted.append({"at": time.time(), "outcome": outcome, "attempt": attempt, "ms": ms})
                if isinstance(outcome, int) and outcome < 300:
                    bot.pending.pop(number, None)
                    return
                bot.last_error_date = int(time.time())
                bot.last_error_message = f"Wrong response from the webhook: {outcome}"

    async def started(self) -> None:
        limits = httpx2.Limits(max_connections=64, max_keepalive_connections=64)
        self._poster = httpx2.AsyncClient(timeout=httpx2.Timeout(60, pool=60), limits=limits)

    async def stopping(self) -> None:
        await self._poster.aclose()

    # ── The API ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def _routes(self) -> None:
        self.route("GET POST", "/bot*")(self._bot)
        self.route("GET", "/file/bot*")(self._file)
        for path, control in (
            ("message", self.customer_writes),
            ("voice", self.customer_speaks),
            ("file", self.customer_sends_file),
            ("contact", self.customer_shares_contact),
            ("location", self.customer_shares_location),
            ("tap", self.customer_taps),
            ("edit", self.customer_edits),
            ("block", self.customer_blocks),
            ("update", self.update),
            ("reset", self.reset),
        ):
            self.route("POST", f"/_sandbox/{path}")(_control(control))
        self.route("POST", "/_sandbox/hold")(self._control_hold)
        self.route("POST", "/_sandbox/bot")(self._control_bot)
        self.route("GET", "/_sandbox/ledger")(self._control_ledger)
        self.route("GET", "/_sandbox/state")(self._control_state)

    async def _bot(self, request: Request) -> Response:
        token, _slash, method = request.path.removeprefix("/bot").partition("/")
        self.calls[method] += 1
        bot = self.bots.get(token)
        handler = getattr(self, f"_do_{method}", None)
        given, files = arguments(request)
        self.requests.append((method, {**given, **{name: file.name for name, file in files.items()}}))
        try:
            if bot is None:
                raise Refused(*((401, "Unauthorized") if token.partition(":")[0].isdigit() else (404, "Not Found")))
            if method in ("sendMessage", *MEDIA):
                result: Any = self._send(bot, method, given, files)
            elif handler is None:
                raise Refused(404, "Not Found: method not found")
            else:
                result = await handler(bot, given)
        except Refused as refused:
            answer = {"ok": False, "error_code": refused.status, "description": refused.description}
            response = as_json(answer | ({"parameters": refused.parameters} if refused.parameters else {}), refused.status)
            if "retry_after" in refused.parameters:
                response.headers = {"Retry-After": str(refused.parameters["retry_after"])}
            return response
        return as_json({"ok": True, "result": result})

    async def _file(self, request: Request) -> Response:
        token, _slash, path = request.path.removeprefix("/file/bot").partition("/")
        found = next((content for known, content in self.files.values() if known == path), None)
        if token not in self.bots or found is None:
            return as_json({"ok": False, "error_code": 404, "description": "Not Found"}, 404)
        return Response(found, content_type="application/octet-stream")

    async def _do_getMe(self, bot: Bot, given: dict[str, Any]) -> Any:
        more = {"can_join_groups": True, "can_read_all_group_messages": False, "supports_inline_queries": False}
        return {**bot.user(), **more}

    async def _do_setWebhook(self, bot: Bot, given: dict[str, Any]) -> Any:
        url, secret = str(given.get("url", "")), str(given.get("secret_token", ""))
        if url and not url.startswith(("https://", "http://127.0.0.1")):
            raise Refused(400, "Bad Request: bad webhook: An HTTPS URL must be provided for webhook")
        if len(secret) > 256 or not all(letter.isascii() and (letter.isalnum() or letter in "_-") for letter in secret):
            raise Refused(400, "Bad Request: secret token contains unallowed characters")
        bot.webhook_url, bot.secret_token = url, secret
        bot.allowed_updates = list(given.get("allowed_updates") or [])
        for number in list(bot.pending):
            self._deliver(bot, number)
        return True

    async def _do_deleteWebhook(self, bot: Bot, given: dict[str, Any]) -> Any:
        bot.webhook_url = bot.secret_token = ""
        if given.get("drop_pending_updates"):
            bot.pending.clear()
        return True

    async def _do_getWebhookInfo(self, bot: Bot, given: dict[str, Any]) -> Any:
        info: dict[str, Any] = {
            "url": bot.webhook_url, "has_custom_certificate": False, "pending_update_count": len(bot.pending), "max_connections": 40,
        }  # fmt: skip
        if bot.last_error_date:
            info |= {"last_error_date": bot.last_error_date, "last_error_message": bot.last_error_message}
        return info | ({"allowed_updates": bot.allowed_updates} if bot.allowed_updates else {})

    async def _do_getUpdates(self, bot: Bot, given: dict[str, Any]) -> Any:
        if bot.webhook_url:
            raise Refused(
                409,
                "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first",
            )
        if "allowed_updates" in given:
            bot.allowed_updates = list(given["allowed_updates"])
        for number in [number for number in bot.pending if number < int(given.get("offset") or 0)]:
            del bot.pending[number]
        until = time.monotonic() + min(float(given.get("timeout", 0)), 50)
        while (self.hold or not bot.pending) and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # updates come from any thread, which no event of the loop allows
        return [] if self.hold else list(bot.pending.values())[: int(given.get("limit", 100))]

    async def _do_sendChatAction(self, bot: Bot, given: dict[str, Any]) -> Any:
        self.typed.append(self._open_chat(bot, given))
        return True

    async def _do_answerCallbackQuery(self, bot: Bot, given: dict[str, Any]) -> Any:
        identifier = str(given.get("callback_query_id", ""))
        if self.taps.get(identifier) is not False:
            raise Refused(400, "Bad Request: query is too old and response timeout expired or query ID is invalid")
        self.taps[identifier] = True
        return True

    async def _do_getFile(self, bot: Bot, given: dict[str, Any]) -> Any:
        identifier = str(given.get("file_id", ""))
        if identifier not in self.files:
            raise Refused(400, "Bad Request: wrong file_id or the file is temporarily unavailable")
        path, content = self.files[identifier]
        if len(content) > 20 * 1024 * 1024:
            raise Refused(400, "Bad Request: file is too big")
        return {"file_id": identifier, "file_unique_id": f"u{identifier}", "file_size": len(content), "file_path": path}

    # ── Sending ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def _send(self, bot: Bot, method: str, given: dict[str, Any], files: dict[str, Upload]) -> Any:
        chat = self._open_chat(bot, given)
        self._keep_pace(bot, chat)
        words, most = ("text", TEXT) if method == "sendMessage" else ("caption", CAPTION)
        raw = str(given.get(words, ""))
        try:
            text = shown(raw, str(given.get("parse_mode", "")))
        except BadMarkup as error:
            raise Refused(400, f"Bad Request: can't parse entities: {error}") from None
        if units(text) > most:
            raise Refused(400, f"Bad Request: message {'is' if words == 'text' else 'caption is'} too long")
        if words == "text" and not text.strip():
            raise Refused(400, "Bad Request: message text is empty")
        row: dict[str, Any] = {
            "message_id": next(self._serial), "date": int(time.time()), "from": bot.user(), "chat": chat_row(chat),
            **({words: text} if text else {}),
        }  # fmt: skip
        row |= self._attached(bot, method, chat, given, files)
        quoted = self._quoted(chat, given)
        if "inline_keyboard" in _checked(given.get("reply_markup")):
            row["reply_markup"] = given["reply_markup"]
        self.messages[chat, row["message_id"]] = row
        upload = files.get(MEDIA.get(method, ""), Upload("", "", b""))
        self.ledger.append({
            "number": len(self.ledger) + 1, "at": time.time(), "bot": bot.id, "method": method, "chat_id": chat, "text": text,
            "raw": raw, "parse_mode": given.get("parse_mode", ""), "message_id": row["message_id"], "reply_to": quoted,
            "buttons": [[button["text"], button["callback_data"]] for button in buttons(row)],
            "keyboard": (given.get("reply_markup") or {}).get("keyboard", []),
            "file_name": upload.name, "mime": upload.mime, "size": len(upload.content),
        })  # fmt: skip
        return row

    def _open_chat(self, bot: Bot, given: dict[str, Any]) -> int:
        try:
            chat = int(given.get("chat_id", 0))
        except (TypeError, ValueError):
            raise Refused(400, "Bad Request: chat not found") from None
        if chat in self.migrated:
            raise Refused(
                400, "Bad Request: group chat was upgraded to a supergroup chat", migrate_to_chat_id=self.migrated[chat]
            )
        if chat in self.blocked:
            raise Refused(403, "Forbidden: bot was blocked by the user")
        if chat not in self.known and not bot.knows_everybody:
            raise Refused(400, "Bad Request: chat not found")
        return chat

    def _keep_pace(self, bot: Bot, chat: int) -> None:
        if not bot.per_chat:
            return
        now = time.time()
        recent = [at for at in self._sent_at[chat] if at > now - 3 / bot.per_chat]
        if len(recent) >= 3:
            raise Refused(429, "Too Many Requests: retry after 1", retry_after=1)
        self._sent_at[chat] = [*recent, now]

    def _attached(self, bot: Bot, method: str, chat: int, given: dict[str, Any], files: dict[str, Upload]) -> dict[str, Any]:
        if method == "sendMessage":
            return {}
        upload = files.get(MEDIA[method])
        if upload is None or not upload.content:
            raise Refused(400, f"Bad Request: there is no {MEDIA[method]} in the request")
        if method == "sendVoice" and str(chat) in bot.deaf:
            raise Refused(400, "Bad Request: VOICE_MESSAGES_FORBIDDEN")
        if method == "sendPhoto" and upload.content.startswith(b"odd"):
            raise Refused(400, "Bad Request: PHOTO_INVALID_DIMENSIONS")
        row = self._file_row(MEDIA[method], upload.content, upload.name, upload.mime)
        return {"photo": [{**row, "width": 1280, "height": 853}]} if method == "sendPhoto" else {MEDIA[method]: row}

    def _quoted(self, chat: int, given: dict[str, Any]) -> int | None:
        wanted = given.get("reply_parameters") or {}
        number = wanted.get("message_id")
        if number is not None and (chat, number) not in self.messages:
            if not wanted.get("allow_sending_without_reply"):
                raise Refused(400, "Bad Request: message to be replied not found")
            return None
        return number

    # ── Control over HTTP ────────────────────────────────────────────────────────────────────────────────────────────
    async def _control_hold(self, request: Request) -> Response:
        """`{"on": true}` keeps updates back, `{"on": false}` lets them go."""
        if request.json()["on"]:
            self.hold = True
        else:
            self.release()
        return as_json({"hold": self.hold})

    async def _control_bot(self, request: Request) -> Response:
        """Change fields of a bot, or add one: `{"token": …, …}`."""
        wanted = request.json()
        bot = self.bots.setdefault(wanted.get("token", TOKEN), Bot(token=wanted.get("token", TOKEN)))
        for name in {item.name for item in fields(Bot)} & wanted.keys() - {"pending"}:
            setattr(bot, name, wanted[name])
        return as_json({item.name: getattr(bot, item.name) for item in fields(Bot)})

    async def _control_ledger(self, request: Request) -> Response:
        """Accepted sends from number `since` on."""
        return as_json(self.ledger[int(request.query.get("since", 0)) :])

    async def _control_state(self, request: Request) -> Response:
        return as_json({
            "sends": len(self.ledger), "messages": len(self.messages), "calls": self.calls, "posted": self.posted[-1000:],
            "typed": len(self.typed), "taps": self.taps, "pending": sum(len(bot.pending) for bot in self.bots.values()),
        })  # fmt: skip


def _control(action: Callable[..., Any]) -> Callable[[Request], Any]:
    """A method under its path: control fields are its arguments, a file's content comes as `content_b64`."""

    async def control(request: Request) -> Response:
        wanted: dict[str, Any] = request.json() or {}
        if "content_b64" in wanted:
            wanted["content"] = base64.b64decode(wanted.pop("content_b64"))
        return as_json({"id": action(**wanted)})

    return control


def _lane(update: dict[str, Any]) -> str:
    [what] = [value for name, value in update.items() if name != "update_id"]
    return str((what.get("chat") or what.get("from") or {}).get("id", ""))


def _checked(markup: Any) -> dict[str, Any]:
    """A reply markup that Telegram takes."""
    found: dict[str, Any] = markup if isinstance(markup, dict) else {}
    for button in buttons({"reply_markup": found}):
        if not button.get("text"):
            raise Refused(400, "Bad Request: inline keyboard button text is empty")
        if not 1 <= len(str(button.get("callback_data", "")).encode()) <= DATA:
            raise Refused(400, "Bad Request: BUTTON_DATA_INVALID")
    return found


if __name__ == "__main__":
    run_as_process(FakeTelegram())
