"""What Telegram's messages are made of, as the Bot API writes them, and how it reads requests and HTML."""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from .server import Request

TOKEN = "700100200:sandbox-telegram-token_AA"
BOT_ID = 700100200
USERNAME = "sandbox_shop_bot"
TEXT, CAPTION, DATA = 4096, 1024, 64
TAGS = frozenset({"b", "strong", "i", "em", "u", "ins", "s", "strike", "del", "a", "code", "pre", "blockquote"})
_TAG = re.compile(r"<(/?)([a-z]+)((?:\s[^<>]*)?)>")


@dataclass
class Bot:
    token: str = TOKEN
    username: str = USERNAME
    webhook_url: str = ""
    secret_token: str = ""
    allowed_updates: list[str] = field(default_factory=list)
    last_error_date: int = 0
    last_error_message: str = ""
    per_chat: float = 0.0
    """Messages a second that one chat may get after a burst of three; 0: no limit."""
    deaf: list[str] = field(default_factory=list)
    """Chats that refuse voice messages."""
    knows_everybody: bool = False
    """Whether chats are open that nobody has started here: those whose updates somebody else posts."""
    pending: dict[int, dict[str, Any]] = field(default_factory=dict)

    @property
    def id(self) -> int:
        return int(self.token.partition(":")[0])

    def user(self) -> dict[str, Any]:
        return {"id": self.id, "is_bot": True, "first_name": "Shop", "username": self.username}


def user_row(user: int, name: str = "Aigul") -> dict[str, Any]:
    return {"id": user, "is_bot": False, "first_name": name, "language_code": "ru"}


def chat_row(user: int, name: str = "Aigul") -> dict[str, Any]:
    return {"id": user, "type": "private", "first_name": name}


def buttons(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The inline buttons of a message, row after row."""
    return [button for line in row.get("reply_markup", {}).get("inline_keyboard", []) for button in line]


class BadMarkup(Exception):
    pass


def shown(text: str, parse_mode: str) -> str:
    """The text as the customer sees it. Raises BadMarkup where Telegram would refuse it."""
    if parse_mode != "HTML":
        return text
    seen, place, opened = [], 0, []
    while (start := text.find("<", place)) >= 0:
        seen.append(html.unescape(text[place:start]))
        tag = _TAG.match(text, start)
        if tag is None or tag[2] not in TAGS:
            raise BadMarkup(f"Unsupported start tag at byte offset {len(text[:start].encode())}")
        if not tag[1]:
            opened.append(tag[2])
        elif not opened or opened.pop() != tag[2]:
            raise BadMarkup(f"Unexpected end tag at byte offset {len(text[:start].encode())}")
        place = tag.end()
    if opened:
        raise BadMarkup("Can't find end tag corresponding to start tag")
    return "".join([*seen, html.unescape(text[place:])])


def units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


@dataclass(slots=True)
class Upload:
    name: str
    mime: str
    content: bytes


def arguments(request: Request) -> tuple[dict[str, Any], dict[str, Upload]]:
    """The fields and files of a request in any of the forms that Telegram takes."""
    fields: dict[str, Any] = dict(request.query)
    kind = request.headers.get("content-type", "")
    if kind.startswith("multipart/form-data"):
        more, files = _multipart(request.body, kind)
        return {name: _loaded(value) for name, value in (fields | more).items()}, files
    if kind.startswith("application/json") and request.body:
        return {**fields, **json.loads(request.body)}, {}
    fields |= dict(parse_qsl(request.body.decode(), keep_blank_values=True))
    return {name: _loaded(value) for name, value in fields.items()}, {}


def _loaded(value: str) -> Any:
    """Nested values, numbers and flags come as JSON strings in a form."""
    if not re.match(r"[\[{]|-?\d+\Z|true\Z|false\Z", value):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _multipart(body: bytes, kind: str) -> tuple[dict[str, str], dict[str, Upload]]:
    boundary = b"--" + kind.partition("boundary=")[2].strip('"').encode()
    fields, files = {}, {}
    for piece in body.split(boundary)[1:-1]:
        head, _blank, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        content = content.removesuffix(b"\r\n")
        lines = head.decode()
        name = re.search(r'\bname="([^"]*)"', lines)
        file = re.search(r'\bfilename="([^"]*)"', lines)
        mime = re.search(r"(?i)content-type:\s*(\S+)", lines)
        if name and file:
            files[name[1]] = Upload(file[1], mime[1] if mime else "", content)
        elif name:
            fields[name[1]] = content.decode()
    return fields, files
