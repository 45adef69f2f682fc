"""Wappi's HTTP API for one profile: calls, error mapping, chats, histories and files.

Wappi was seen to answer parallel reads of one profile with another chat's data. Reads are therefore made one at a time,
by all processes together, and rows of another chat than the one asked for are dropped here, never handed on.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from django.utils.translation import gettext as _

from channels import links
from channels.base import Access
from foundation import http, turnstile
from foundation.errors import Rejected, Retry, Unauthorized, Unconfirmed

from .wappi_rows import chat_key, unix

logger = logging.getLogger(__name__)

BASE_URL = "https://wappi.pro"
#: Where Wappi keeps copies of files, besides its own host.
STORAGE_DOMAINS = ("wappi.pro", "storage.yandexcloud.net")
CHATS_PAGE = 100
MESSAGES_PAGE = 50
MAX_PAGES = 100
MAX_FILE_BYTES = 20 * 1024 * 1024
FILE_TIMEOUT = 60.0
#: Seconds a read waits for another read of the same profile.
TURN_TIMEOUT = 60.0
#: Seconds that a call may take beyond its deadline, which begins to count with the answer.
CONNECTING = 10.0
FAILURES = frozenset({"error", "failed", "fail"})


@dataclass(frozen=True, slots=True)
class Dialog:
    """A chat as the chat list shows it; `activity` is unix seconds, 0 where nothing was ever said."""

    id: str
    activity: float
    last_id: str
    contact: Mapping[str, Any]


@dataclass(slots=True)
class History:
    """Rows of one chat, newest first. `crossed` tells that rows of another chat came along and were dropped."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    crossed: bool = False


class WappiClient:
    """Speaks to one profile. Raises the words of `foundation.errors`."""

    def __init__(self, access: Access) -> None:
        self.slug = access.slug
        self.base = (access.base_url or BASE_URL).rstrip("/")
        self.profile = str(access.options.get("profile_id") or "")
        self._token = str(access.credentials.get("token") or "")
        self.media_hosts = _hosts(access.options.get("media_hosts"))
        """Hosts beside Wappi's own (`files.example.kz`, with a port where it is not 443) to which links of files may lead."""

    def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        writes: bool = False,
        read_timeout: float = http.READ_TIMEOUT,
        deadline: float = http.DEADLINE,
        max_bytes: int = http.MAX_BYTES,
    ) -> dict[str, Any]:
        """Call `/api/<path>` and return the answer's object, whatever it is short of a failure."""
        if not self.profile or not re.fullmatch(r"[!-~]+", self._token):
            raise Unauthorized(_("The Wappi token or profile is missing or malformed."), code="credentials")
        label = f"wappi {path.removeprefix('sync/')}"
        answer = http.call(
            method,
            f"{self.base}/api/{path}",
            params={"profile_id": self.profile, **(params or {})},
            json=body,
            headers={"Authorization": self._token},
            writes=writes,
            label=label,
            read_timeout=read_timeout,
            deadline=deadline,
            max_bytes=max_bytes,
        )
        table = _object(answer)
        detail = scrubbed(table, body)
        http.raise_for_status(answer, label, writes=writes, detail=detail)
        if table is None:
            raise (Unconfirmed if writes else Retry)(f"{label}: an unreadable answer", code="unreadable")
        if str(table.get("status")).lower() in FAILURES:
            raise Rejected(f"{label}: {detail or 'failed'}", code=str(table["status"])[:20])
        return table

    @contextmanager
    def turn(self, seconds: float = http.DEADLINE) -> Iterator[None]:
        """Wait until nobody else reads this profile, for a read that takes so many seconds at most. Raises Retry."""
        whose = hashlib.sha256(f"{self.base} {self.profile}".encode()).hexdigest()[:24]
        try:
            with turnstile.turn(f"wappi:{whose}", wait=TURN_TIMEOUT, hold=seconds + CONNECTING):
                yield
        except turnstile.Busy:
            raise Retry("wappi: another read takes too long", code="busy") from None

    def dialogs(self, floor: float) -> list[Dialog]:
        """Chats with activity at or after `floor` (unix seconds), as the provider orders them: newest first."""
        found: dict[str, Dialog] = {}
        seen = 0
        for _page in range(MAX_PAGES):
            table = self._read("POST", "sync/chats/get", {"limit": CHATS_PAGE, "offset": seen})
            page = [_dialog(item) for item in _list(table, "dialogs")]
            seen += len(page)
            recent = {chat.id: chat for chat in page if chat and chat.activity >= floor}
            news = recent.keys() - found.keys()
            found.update(recent)
            if not news or _complete(table, seen, len(page), CHATS_PAGE):
                break
        return list(found.values())

    def history(self, chat_id: str, floor: float) -> History:
        """What was said in a chat at or after `floor`. Never marks anything as read."""
        found = History()
        ids: set[str] = set()
        seen = 0
        for _page in range(MAX_PAGES):
            params = {"chat_id": chat_id, "limit": MESSAGES_PAGE, "offset": seen, "order": "desc"}
            table = self._read("GET", "sync/messages/get", params)
            page = _list(table, "messages")
            seen += len(page)
            own = [row for row in page if _chat_of(row) == chat_key(chat_id)]
            found.crossed = found.crossed or len(own) < len(page)
            news = [row for row in own if str(row.get("id")) not in ids]
            ids.update(str(row.get("id")) for row in news)
            times = [unix(row.get("time"), row.get("timestamp")) for row in news]
            found.rows += [row for row, at in zip(news, times, strict=True) if at is None or at >= floor]
            older = any(at is not None and at < floor for at in times)
            if not news or older or _complete(table, seen, len(page), MESSAGES_PAGE):
                break
        if found.crossed:
            logger.warning("rows of another chat were dropped", extra={"channel": self.slug})
        return found

    def download(self, message_id: str) -> bytes:
        """The file of a message, from the answer itself or from the link in it."""
        with self.turn(FILE_TIMEOUT):
            table = self.call(
                "GET",
                "sync/message/media/download",
                params={"message_id": message_id},
                read_timeout=FILE_TIMEOUT,
                deadline=FILE_TIMEOUT,
                max_bytes=MAX_FILE_BYTES * 4 // 3 + 64 * 1024,
            )
        encoded, link = table.get("file_b64"), table.get("file_link")
        if isinstance(encoded, str) and encoded:
            try:
                content = base64.b64decode(encoded.rpartition("base64,")[2], validate=True)
            except (binascii.Error, ValueError):
                raise Rejected("wappi message/media/download: not base64", code="unreadable") from None
        elif isinstance(link, str) and link:
            content = self._follow(link)
        else:
            raise Rejected("wappi message/media/download: no file in the answer", code="no_file")
        if len(content) > MAX_FILE_BYTES:
            raise Rejected("wappi message/media/download: the file is too large", code="too_large")
        return content

    def _follow(self, link: str) -> bytes:
        """Fetch a signed link, without our token, from the provider's own storage only."""
        if not self._trusted(link):
            raise Rejected("wappi file: the link leads to a foreign host", code="foreign_link")
        return links.fetch(
            link, label="wappi file", seconds=FILE_TIMEOUT, max_bytes=MAX_FILE_BYTES, public_only=not self._private
        )

    def _trusted(self, link: str) -> bool:
        return links.leads_to(link, self.base, hosts=self.media_hosts, domains=STORAGE_DOMAINS)

    @cached_property
    def _private(self) -> bool:
        return links.in_private_network(self.base)

    def _read(self, method: str, path: str, params: Mapping[str, Any]) -> dict[str, Any]:
        with self.turn():
            return self.call(method, path, params=params)


def scrubbed(table: Mapping[str, Any] | None, request: Any = None) -> str:
    """What an answer says of its failure, without numbers, addresses, quotations, names and what we ourselves sent."""
    for key in ("detail", "message", "description", "error"):
        text = (table or {}).get(key)
        if isinstance(text, str) and text.strip():
            break
    else:
        return ""
    for sent in request.values() if isinstance(request, dict) else ():
        if isinstance(sent, str) and sent:
            text = text.replace(sent, "…")
    text = re.sub(r"\"[^\"]*\"|'[^']*'|«[^»]*»|`[^`]*`|\S*[@/]\S*|\+?\d[\d\s()-]{3,}", "…", text)
    words = text.split()
    # A capitalised word inside a sentence may be somebody's name.
    return " ".join(words[:1] + ["…" if word[0].isupper() and word[1:].islower() else word for word in words[1:]])[:120]


def _hosts(value: Any) -> frozenset[str]:
    """Host names from a channel's option: a list, or words with commas or spaces between them."""
    words = value if isinstance(value, list) else re.split(r"[\s,;]+", value) if isinstance(value, str) else []
    return frozenset(word.strip().lower().removesuffix(":443") for word in words if isinstance(word, str) and word.strip())


def _object(answer: http.Answer) -> dict[str, Any] | None:
    try:
        table = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    return table if isinstance(table, dict) else None


def _list(table: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """The objects of a list in an answer; an empty one comes as null or not at all."""
    rows = table.get(key)
    if rows is None:
        return []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise Retry(f"wappi: {key} of an unknown shape", code="unreadable")
    return rows


def _complete(table: Mapping[str, Any], seen: int, got: int, asked: int) -> bool:
    """Whether this was the last page; a server may cap the page below what was asked and tell the total."""
    total = table.get("total_count")
    return seen >= total if isinstance(total, int) and total > 0 else got < asked


def _chat_of(row: Mapping[str, Any]) -> str:
    chat = row.get("chatId") or (row.get("to") if row.get("fromMe") is True else row.get("from"))
    return chat_key(str(chat or ""))


def _dialog(item: Mapping[str, Any]) -> Dialog | None:
    if not isinstance(item.get("id"), str) or not item["id"]:
        logger.warning("a chat without an id was left out")
        return None
    contact = item.get("contact")
    return Dialog(
        id=item["id"],
        activity=unix(item.get("last_time"), item.get("last_timestamp")) or 0.0,
        last_id=str(item.get("last_message_id") or ""),
        contact=contact if isinstance(contact, dict) else {},
    )
