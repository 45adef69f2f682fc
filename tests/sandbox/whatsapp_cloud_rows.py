"""What Meta writes and accepts: webhook bodies, and the limits of outgoing messages."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NUMBER = "106540352242922"
ACCOUNT = "102290129340398"
TOKEN = "sandbox-cloud-token"
APP_SECRET = "sandbox-app-secret"
VERIFY_TOKEN = "sandbox-verify-token"
OWN_NUMBER = "77270001122"


@dataclass
class Number:
    """The state of the business's number and account."""

    id: str = NUMBER
    account: str = ACCOUNT
    phone: str = OWN_NUMBER
    name: str = "Shop"
    status: str = "CONNECTED"
    quality: str = "GREEN"
    webhook_url: str = ""
    """Where webhooks are posted, as the override of the number."""
    subscribed: bool = True
    verify_callbacks: bool = True
    """Ask a new callback address for the verify token, as Meta does."""
    auto_receipts: list[str] = field(default_factory=list)
    """Statuses posted for every message that was accepted."""
    user_ids: bool = True
    """Webhooks name business-scoped user ids, as they do since 2026."""
    media_link: str = ""
    """The link given for every file; empty: the file's own."""


@dataclass
class Sent:
    """An accepted message."""

    id: str
    phone: str
    body: dict[str, Any]

    @property
    def text(self) -> str:
        kind = self.body["type"]
        if kind == "text":
            return str(self.body["text"]["body"])
        if kind == "interactive":
            return str(self.body["interactive"]["body"]["text"])
        return str((self.body.get(kind) or {}).get("caption", ""))


def user_id(phone: str) -> str:
    """A business-scoped id, the same for one phone each time."""
    return f"KZ.{int.from_bytes(hashlib.sha256(phone.encode()).digest()[:8]):020d}"


def wamid(phone: str, serial: str) -> str:
    """As Meta makes them: whoever decodes one reads the customer's phone in it."""
    return "wamid." + base64.b64encode(b"\x1d" + phone.encode() + b"\x15\x02\x00\x12\x18" + serial.encode()).decode()


def signature(body: bytes, secret: str = APP_SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def encoded(value: Any) -> bytes:
    """As Meta encodes: everything but ASCII escaped, and slashes too."""
    return json.dumps(value, separators=(",", ":")).replace("/", "\\/").encode()


def envelope(number: Number, value: Mapping[str, Any], change: str = "messages") -> dict[str, Any]:
    """A whole webhook body around one change."""
    about = {"display_phone_number": number.phone, "phone_number_id": number.id}
    full = {"messaging_product": "whatsapp", "metadata": about, **value}
    return {
        "object": "whatsapp_business_account",
        "entry": [{"id": number.account, "changes": [{"field": change, "value": full}]}],
    }


def contact(number: Number, phone: str, name: str, hidden: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"profile": {"name": name}}
    if not hidden:
        row["wa_id"] = phone
    return row | ({"user_id": user_id(phone)} if number.user_ids or hidden else {})


def status(sent: Sent, number: Number, word: str, at: int, code: int = 0) -> dict[str, Any]:
    row: dict[str, Any] = {"id": sent.id, "status": word, "timestamp": str(at), "recipient_id": sent.phone}
    if number.user_ids:
        row["recipient_user_id"] = user_id(sent.phone)
    if "biz_opaque_callback_data" in sent.body:
        row["biz_opaque_callback_data"] = sent.body["biz_opaque_callback_data"]
    if word == "failed":
        row["errors"] = [{"code": code, "title": "refused", "message": "refused", "error_data": {"details": "refused"}}]
    elif word in ("sent", "delivered"):
        pricing = {"billable": False, "pricing_model": "PMP", "type": "free_customer_service", "category": "service"}
        row["pricing"] = pricing
    return row


# ── What Meta refuses ────────────────────────────────────────────────────────────────────────────────────────────────
MEDIA = ("image", "video", "audio", "document", "sticker")
CAPTION = 1024


def wrong(body: Mapping[str, Any]) -> tuple[int, str] | None:
    """The error code and message for a body that breaks one of the documented limits."""
    if body.get("messaging_product") != "whatsapp" or not (body.get("to") or body.get("recipient")):
        return 131008, "Required parameter is missing"
    kind = body.get("type")
    if kind == "text":
        text = body["text"].get("body", "")
        return None if 0 < len(text) <= 4096 else (100, "Param text['body'] must be at most 4096 characters long.")
    if kind in MEDIA:
        media = body[kind]
        if ("id" in media) == ("link" in media) or len(media.get("caption", "")) > CAPTION:
            return 131009, "Parameter value is not valid"
        return (131009, "Parameter value is not valid") if kind == "audio" and "caption" in media else None
    if kind == "interactive":
        return None if _interactive_fits(body["interactive"]) else (131009, "Parameter value is not valid")
    return None if kind == "template" else (131051, "Unsupported message type")


def _interactive_fits(interactive: Mapping[str, Any]) -> bool:
    action, text = interactive["action"], interactive["body"]["text"]
    if interactive["type"] == "button":
        replies = [button["reply"] for button in action["buttons"]]
        fits = 1 <= len(replies) <= 3 and all(1 <= len(reply["title"]) <= 20 and len(reply["id"]) <= 256 for reply in replies)
        return fits and _distinct(replies) and 1 <= len(text) <= 1024
    rows = [row for section in action["sections"] for row in section["rows"]]
    fits = 1 <= len(rows) <= 10 and all(
        1 <= len(row["title"]) <= 24 and len(row["id"]) <= 200 and len(row.get("description", "")) <= 72 for row in rows
    )
    return fits and _distinct(rows) and 1 <= len(text) <= 4096 and 1 <= len(action["button"]) <= 20


def _distinct(rows: list[dict[str, str]]) -> bool:
    return all(len({row[name] for row in rows}) == len(rows) for name in ("id", "title"))
