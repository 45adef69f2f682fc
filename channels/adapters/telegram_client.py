"""Telegram's Bot API for one bot: calls, uploads, files and error mapping.

The token is a part of every address: no address ever leaves this module, and the HTTP library's own logger is kept from
writing one.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from django.utils.translation import gettext as _
from urllib3.filepost import encode_multipart_formdata

from channels.base import BLOCKED, Access, OutboundFile
from foundation import http
from foundation.errors import ProviderError, Rejected, Retry, Unauthorized, Unconfirmed

BASE_URL = "https://api.telegram.org"
#: What the Bot API hands out by `getFile`.
MAX_FILE_BYTES = 20 * 1024 * 1024
FILE_TIMEOUT = 60.0

_TOKEN = re.compile(r"(\d{1,19}):[A-Za-z0-9_-]{1,200}")
_TOKEN_IN_PATH = re.compile(r"/bot\d+(?::|%3A)[A-Za-z0-9_-]+", re.IGNORECASE)
_SAFE_PATH = re.compile(r"[\w-][\w .-]*(?:/[\w-][\w .-]*)*")
#: What a description says, in the order it is looked for → our code.
_REFUSALS = (
    ("chat not found", BLOCKED),
    ("user not found", BLOCKED),
    ("can't parse entities", "markup"),
    ("message is too long", "too_long"),
    ("caption is too long", "too_long"),
    ("text is empty", "empty"),
    ("file is too big", "too_large"),
    ("query is too old", "query_over"),
    ("query id is invalid", "query_over"),
    ("photo_invalid_dimensions", "photo"),
    ("image_process_failed", "photo"),
    ("photo_save_file_invalid", "photo"),
    ("voice_messages_forbidden", "voice_forbidden"),
)


class _WithoutTokens(logging.Filter):
    """urllib3 names addresses in its debug lines, and in a warning about odd headers."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = _TOKEN_IN_PATH.sub("/bot<hidden>", record.getMessage()), ()
        return True


logging.getLogger("urllib3.connectionpool").addFilter(_WithoutTokens())


class TelegramClient:
    """Speaks for one bot. Raises the words of `foundation.errors`."""

    def __init__(self, access: Access) -> None:
        self.base = (access.base_url or BASE_URL).rstrip("/")
        self._token = str(access.credentials.get("token") or "").strip()
        found = _TOKEN.fullmatch(self._token)
        self.bot_id = found[1] if found else ""
        """The bot's own id, the part of the token that is no secret; empty for a malformed token."""

    def call(
        self,
        method: str,
        body: Mapping[str, Any] | None = None,
        *,
        upload: tuple[str, OutboundFile] | None = None,
        writes: bool = False,
        read_timeout: float = http.READ_TIMEOUT,
        deadline: float = http.DEADLINE,
    ) -> Any:
        """Call a method and return its `result`. `upload` is the field and the file of a multipart request.

        A group that became a supergroup answers with its new id, and is then asked once more under that.
        """
        body = dict(body or {})
        answer, table = self._request(method, body, upload, writes, read_timeout, deadline)
        moved = _parameters(table).get("migrate_to_chat_id")
        if isinstance(moved, int) and "chat_id" in body:
            body["chat_id"] = moved
            answer, table = self._request(method, body, upload, writes, read_timeout, deadline)
        label = f"telegram {method}"
        if table is not None and table.get("ok") is True:
            return table.get("result")
        if answer.status < 300 and table is None:
            raise (Unconfirmed if writes else Retry)(f"{label}: an unreadable answer", code="unreadable")
        raise _refusal(answer, table or {}, label, writes)

    def download(self, file_id: str) -> bytes:
        """The bytes of a file that a customer sent."""
        label = "telegram file"
        found = self.call("getFile", {"file_id": file_id})
        found = found if isinstance(found, dict) else {}
        size, path = found.get("file_size"), found.get("file_path")
        if isinstance(size, int) and size > MAX_FILE_BYTES:
            raise Rejected(f"{label}: the file is too large", code="too_large")
        if isinstance(path, str) and path.startswith("/"):
            raise Rejected(_("The Bot API server keeps its files to itself: start it without --local."), code="local_file")
        if not isinstance(path, str) or not _SAFE_PATH.fullmatch(path):
            raise Rejected(f"{label}: no path in the answer", code="no_file")
        answer = http.call(
            "GET",
            f"{self.base}/file/bot{self._token}/{quote(path)}",
            writes=False,
            label=label,
            read_timeout=FILE_TIMEOUT,
            deadline=FILE_TIMEOUT,
            max_bytes=MAX_FILE_BYTES,
        )
        if 300 <= answer.status < 500 and answer.status not in (401, 429):
            raise Rejected(f"{label}: HTTP {answer.status}", code=str(answer.status))
        http.raise_for_status(answer, label, writes=False)
        return answer.body

    def _request(
        self,
        method: str,
        body: dict[str, Any],
        upload: tuple[str, OutboundFile] | None,
        writes: bool,
        read_timeout: float,
        deadline: float,
    ) -> tuple[http.Answer, dict[str, Any] | None]:
        if not self.bot_id:
            raise Unauthorized(_("The Telegram bot token is missing or malformed."), code="credentials")
        data, headers = _multipart(body, *upload) if upload else (None, {})
        answer = http.call(
            "POST",
            f"{self.base}/bot{self._token}/{method}",
            json=None if upload else body,
            data=data,
            headers=headers,
            writes=writes,
            label=f"telegram {method}",
            read_timeout=read_timeout,
            deadline=deadline,
        )
        return answer, _object(answer)


def _multipart(body: Mapping[str, Any], field: str, file: OutboundFile) -> tuple[bytes, dict[str, str]]:
    """Nested values are JSON strings in a form."""
    fields: list[Any] = [
        (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)) for name, value in body.items()
    ]
    fields.append((field, (file.name or "file", file.content, file.mime or "application/octet-stream")))
    data, content_type = encode_multipart_formdata(fields)
    return data, {"Content-Type": content_type}


def _object(answer: http.Answer) -> dict[str, Any] | None:
    try:
        table = answer.json()
    except (ValueError, RecursionError):
        return None
    return table if isinstance(table, dict) else None


def _parameters(table: Mapping[str, Any] | None) -> Mapping[str, Any]:
    found = (table or {}).get("parameters")
    return found if isinstance(found, dict) else {}


def _refusal(answer: http.Answer, table: Mapping[str, Any], label: str, writes: bool) -> ProviderError:
    """Our word for a refusal. The status of the answer and its `error_code` are the same, except behind odd proxies."""
    status = answer.status if answer.status >= 300 else table.get("error_code")
    status = status if isinstance(status, int) else 400
    words = str(table.get("description") or "").lower()
    text = " ".join(filter(None, (f"{label}: HTTP {status}", said(table))))
    if status in (401, 404):
        # An unknown token and a malformed one; every method we call exists.
        return Unauthorized(_("Telegram refuses the bot's token."), code=str(status))
    if status == 403:
        return Rejected(_("The customer has blocked the bot, or has never started it."), code=BLOCKED)
    if status == 409:
        if "webhook" in words:
            return Retry(text, code="webhook")
        return Retry(_("Another program asks for this bot's messages: its token is in use elsewhere."), code="conflict")
    if status == 429:
        after = _parameters(table).get("retry_after")
        after = float(after) if isinstance(after, int | float) and not isinstance(after, bool) else http.retry_after(answer)
        return Retry(text, code="429", after=after)
    if status >= 500:
        return _lost(answer, label, writes, said(table)) if answer.status >= 500 else Retry(text, code=str(status))
    code = next((code for phrase, code in _REFUSALS if phrase in words), str(status))
    if code == BLOCKED:
        return Rejected(_("Telegram knows no such chat: the customer has never started the bot."), code=code)
    return Rejected(text, code="too_large" if status == 413 else code)


def _lost(answer: http.Answer, label: str, writes: bool, detail: str) -> ProviderError:
    try:
        http.raise_for_status(answer, label, writes=writes, detail=detail)
    except ProviderError as error:
        return error
    raise AssertionError("only called for failures")


def said(table: Mapping[str, Any], key: str = "description") -> str:
    """What Telegram says of a failure, without numbers, addresses, names and quotations."""
    text = table.get(key)
    if not isinstance(text, str):
        return ""
    text = _TOKEN.sub("…", text)
    text = re.sub(r"\"[^\"]*\"|'[^']*'(?!\w)|«[^»]*»|`[^`]*`|\S*[@/]\S*|\+?\d[\d\s()-]{3,}", "…", text)
    return re.sub(r"[^\x20-\x7e…]+", "…", text)[:120].strip()
