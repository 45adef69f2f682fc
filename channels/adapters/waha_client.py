"""WAHA's HTTP API for one session: calls, error mapping, the session's life, histories and files.

WAHA runs on a server of our own, so its address may be private. Whatever address a message names, a file is only ever
fetched from the origin the channel was given.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from django.utils.translation import gettext as _

from channels.base import Access, SessionState
from foundation import http
from foundation.errors import Rejected, Retry, Unauthorized, Unconfirmed

from .waha_ids import MessageId, message_id

MESSAGES_PAGE = 100
CHATS_PAGE = 50
MAX_PAGES = 50
MAX_FILE_BYTES = 20 * 1024 * 1024
FILE_TIMEOUT = 60.0
#: Seconds until a session that is starting may be ready.
STARTING_SECONDS = 5.0
#: Engines that read all chats at once; the others are asked chat by chat.
READS_ALL = frozenset({"GOWS", "NOWEB"})
PNG = b"\x89PNG\r\n\x1a\n"

STATES = {
    "STOPPED": SessionState.STOPPED,
    "STARTING": SessionState.STARTING,
    "SCAN_QR_CODE": SessionState.LINKING,
    "PASSKEY_REQUIRED": SessionState.LINKING,
    "PASSKEY_CONFIRMATION_REQUIRED": SessionState.LINKING,
    "WORKING": SessionState.WORKING,
    "FAILED": SessionState.FAILED,
}

#: What WAHA's error 500 says of a message that never left (seen with libsignal), and of one that WhatsApp refused.
NOT_SENT = re.compile(r"no sessions|async-lock timed out", re.IGNORECASE)
COLD_CONTACT = re.compile(r"no lid found|\b463\b", re.IGNORECASE)


class WahaClient:
    """Speaks for one session. Raises the words of `foundation.errors`."""

    def __init__(self, access: Access) -> None:
        self.slug = access.slug
        self.base = access.base_url.strip().rstrip("/")
        self.session = str(access.options.get("session") or "").strip()
        self._key = str(access.credentials.get("api_key") or "")

    def call(
        self,
        method: str,
        path: str,
        *,
        label: str = "",
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        writes: bool = False,
        accept: str = "application/json",
        read_timeout: float = http.READ_TIMEOUT,
        deadline: float = http.DEADLINE,
        max_bytes: int = http.MAX_BYTES,
    ) -> http.Answer:
        """Call `<base><path>` and return its answer of status 2xx. `{session}` in the path is put in here."""
        if not self.base.startswith(("http://", "https://")):
            raise Unauthorized(_("The address of the WAHA server is missing."), code="address")
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", self.session) or not re.fullmatch(r"[!-~]+", self._key):
            raise Unauthorized(_("The WAHA session or API key is missing or malformed."), code="credentials")
        label = f"waha {label or path.removeprefix('/api/')}"
        answer = http.call(
            method,
            self.base + path.replace("{session}", self.session),
            params=params,
            json=body,
            headers={"X-Api-Key": self._key, "Accept": accept},
            writes=writes,
            label=label,
            read_timeout=read_timeout,
            deadline=deadline,
            max_bytes=max_bytes,
        )
        _raise_for(answer, label, writes=writes)
        return answer

    def table(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """The JSON object of an answer; an answer without a body is an empty one."""
        answer = self.call(method, path, **options)
        found = _json(answer.body) if answer.body.strip() else {}
        if isinstance(found, dict):
            return found
        raise (Unconfirmed if options.get("writes") else Retry)("waha: an unreadable answer", code="unreadable")

    def rows(self, path: str, **options: Any) -> list[dict[str, Any]]:
        """The objects of an answer that is a list."""
        found = _json(self.call("GET", path, **options).body)
        if not isinstance(found, list):
            raise Retry("waha: an unreadable answer", code="unreadable")
        return [row for row in found if isinstance(row, dict)]

    # ── The session ──────────────────────────────────────────────────────────────────────────────────────────────────
    def info(self) -> dict[str, Any] | None:
        """The session's name, status, number and configuration, or None where WAHA knows no such session."""
        try:
            return self.table("GET", "/api/sessions/{session}", params={"expand": "apps"})
        except Rejected as error:
            if error.code == "404":
                return None
            raise

    def create(self, config: Mapping[str, Any], *, start: bool) -> None:
        self.table("POST", "/api/sessions", body={"name": self.session, "start": start, "config": dict(config)})

    def update(self, config: Mapping[str, Any], apps: Any = None) -> None:
        """Replace the configuration as a whole; WAHA restarts a running session with it."""
        body: dict[str, Any] = {"config": dict(config)}
        if apps:
            body["apps"] = apps
        self.table("PUT", "/api/sessions/{session}", body=body)

    def command(self, word: str) -> None:
        """`start`, `stop`, `restart` or `logout`."""
        self.call("POST", f"/api/sessions/{{session}}/{word}", label=f"sessions/{word}", deadline=40.0, read_timeout=30.0)

    def qr(self) -> bytes:
        """The QR code as PNG. Raises Rejected (`no_qr`) where the session waits for none."""
        try:
            answer = self.call("GET", "/api/{session}/auth/qr", label="auth/qr", params={"format": "image"}, accept="image/png")
        except Rejected as error:
            if error.code not in ("404", "422") and error.code not in STATES:
                raise
            raise Rejected(_("The session waits for no QR code now."), code="no_qr") from None
        found = _json(answer.body)
        content = _decoded(found.get("data")) if isinstance(found, dict) else answer.body
        if not content.startswith(PNG):
            raise Retry("waha auth/qr: no picture in the answer", code="unreadable")
        return content

    def pairing_code(self, phone: str) -> str:
        try:
            answer = self.table(
                "POST", "/api/{session}/auth/request-code", label="auth/request-code", body={"phoneNumber": phone}
            )
        except Rejected as error:
            if error.code != "422" and error.code not in STATES:
                raise
            raise Rejected(_("The session waits for no code now: start it first."), code="no_code") from None
        code = answer.get("code")
        if not isinstance(code, str) or not code:
            raise Rejected(_("WhatsApp gave no code; scan the QR code instead."), code="no_code")
        return code

    def engine(self) -> str:
        """`WEBJS`, `WPP`, `NOWEB` or `GOWS`: what of the API works depends on it."""
        return str(self.table("GET", "/api/server/version", label="server/version").get("engine") or "").upper()

    def phone_of(self, lid: str) -> str:
        """The chat id with the phone behind a hidden id (`…@lid`), or the empty word where WAHA does not know it."""
        digits = quote(lid.partition("@")[0], safe="")
        try:
            found = self.table("GET", f"/api/{{session}}/lids/{digits}", label="lids")
        except Rejected as error:
            if error.code in ("400", "404", "501"):
                return ""
            raise
        phone = found.get("pn")
        return phone if isinstance(phone, str) else ""

    # ── History ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def messages(
        self, chat: str, since: float, *, offset: int = 0, ascending: bool = False, mine: bool | None = None
    ) -> list[dict[str, Any]]:
        """One page of a chat's messages (of all chats, for `all`) from `since` on, files not fetched."""
        params: dict[str, Any] = {
            "limit": MESSAGES_PAGE, "offset": offset, "downloadMedia": "false", "merge": "true", "sortBy": "timestamp",
            "sortOrder": "asc" if ascending else "desc", "filter.timestamp.gte": int(since),
        }  # fmt: skip
        if mine is not None:
            params["filter.fromMe"] = "true" if mine else "false"
        return self.rows(f"/api/{{session}}/chats/{quote(chat, safe='')}/messages", label="chats/messages", params=params)

    def active_chats(self, since: float) -> Iterator[str]:
        """Chats in which something was said since then (unix seconds), the most recent first."""
        for number in range(MAX_PAGES):
            params = {"limit": CHATS_PAGE, "offset": number * CHATS_PAGE, "merge": "true"}
            page = self.rows("/api/{session}/chats/overview", label="chats/overview", params=params)
            for chat in page:
                last = chat.get("lastMessage")
                at = last.get("timestamp") if isinstance(last, dict) else None
                if isinstance(at, int | float) and at < since:
                    return
                if isinstance(chat.get("id"), str):
                    yield chat["id"]
            if len(page) < CHATS_PAGE:
                return

    # ── Files ────────────────────────────────────────────────────────────────────────────────────────────────────────
    def download(self, whole_id: str, path: str) -> bytes:
        """A message's file: from where the webhook said, and where that is gone (WAHA keeps files for minutes) anew."""
        if path:
            try:
                return self._file(path)
            except Rejected as error:
                if error.code not in ("404", "410"):
                    raise
        found = message_id(whole_id)
        again = self._again(found, whole_id)
        if not again:
            raise Rejected(_("WhatsApp no longer has this file."), code="no_file")
        return self._file(again)

    def _again(self, found: MessageId, whole_id: str) -> str:
        """Let WAHA fetch the file from WhatsApp once more; its path, or the empty word."""
        chat = quote(found.chat or "all", safe="")
        row = self.table(
            "GET",
            f"/api/{{session}}/chats/{chat}/messages/{quote(whole_id, safe='')}",
            label="chats/message",
            params={"downloadMedia": "true", "merge": "true"},
            read_timeout=FILE_TIMEOUT,
            deadline=FILE_TIMEOUT,
        )
        media = row.get("media")
        return file_path(media.get("url")) if isinstance(media, dict) else ""

    def _file(self, path: str) -> bytes:
        answer = self.call(
            "GET", path, label="files", accept="*/*", read_timeout=FILE_TIMEOUT, deadline=FILE_TIMEOUT,
            max_bytes=MAX_FILE_BYTES,
        )  # fmt: skip
        if answer.status != 200:
            raise Rejected(f"waha files: HTTP {answer.status}", code=str(answer.status))
        return answer.body


def file_path(url: Any) -> str:
    """The path `/api/files/…` of a file's address, or the empty word for every other address.

    The host is left out on purpose: WAHA writes the one it believes to have (`localhost:3000` unless told otherwise), and
    a file is fetched from the channel's own server or not at all.
    """
    try:
        path = urlsplit(url).path if isinstance(url, str) else ""
    except ValueError:
        return ""
    found = path.find("/api/files/")
    path = path[found:] if found >= 0 else ""
    plain = unquote(unquote(path))
    unsafe = re.search(r"[\\\s\x00-\x1f{}]", plain) or any(part in (".", "..") for part in plain.split("/"))
    return "" if unsafe else path


def _raise_for(answer: http.Answer, label: str, *, writes: bool) -> None:
    """Turn a status into our words. The body of an error repeats our request: nothing of it goes into an exception."""
    if answer.status < 300:
        return
    if answer.status == 422:
        _raise_for_session(answer, label)
    if answer.status == 501:
        raise Rejected(_("The engine of this WAHA server cannot do that."), code="501")
    if answer.status == 500 and writes:
        said = _failure(answer)
        if COLD_CONTACT.search(said):
            raise Rejected(_("WhatsApp does not let this number write first to a stranger."), code="463")
        if NOT_SENT.search(said):
            raise Retry(f"{label}: HTTP 500, not sent", code="500", after=STARTING_SECONDS)
    http.raise_for_status(answer, label, writes=writes)


def _raise_for_session(answer: http.Answer, label: str) -> None:
    """422 tells that the session is not working: nothing was done. Only a start goes by without the owner."""
    table = _json(answer.body)
    status = str(table.get("status") or "") if isinstance(table, dict) else ""
    if status == "STARTING":
        raise Retry(f"{label}: the session is starting", code="STARTING", after=STARTING_SECONDS)
    if status in STATES and status != "WORKING":
        raise Unauthorized(in_words(status), code=status)
    raise Rejected(f"{label}: HTTP 422", code="422")


def in_words(status: str) -> str:
    """A session's status for a manager; the empty word where it works."""
    words = {
        "WORKING": "",
        "STARTING": _("The WAHA session is starting."),
        "SCAN_QR_CODE": _("The phone is not linked: scan the QR code or enter the pairing code."),
        "PASSKEY_REQUIRED": _("WhatsApp asks for a passkey, which only a browser can give: open WAHA's dashboard."),
        "PASSKEY_CONFIRMATION_REQUIRED": _("WhatsApp asks to confirm the passkey on the phone: open WAHA's dashboard."),
        "STOPPED": _("The WAHA session is stopped."),
        "FAILED": _("The WAHA session has failed: restart it, and link the phone again where that does not help."),
    }
    return words.get(status, _("The WAHA session is in an unknown state."))


def _failure(answer: http.Answer) -> str:
    """What an error 500 says of itself: the exception's message, else the body's own."""
    table = _json(answer.body)
    if not isinstance(table, dict):
        return ""
    exception = table.get("exception")
    said = exception.get("message") if isinstance(exception, dict) else table.get("message")
    return said[:500] if isinstance(said, str) else ""


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _decoded(data: Any) -> bytes:
    try:
        return base64.b64decode(data, validate=True) if isinstance(data, str) else b""
    except (binascii.Error, ValueError):
        return b""
