"""Wappi's messages in both of its dialects: the webhook's snake_case and the polled history's camelCase."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

PROFILE = "71ad40e9-b023"
TOKEN = "sandbox-wappi-token"
OWN_NUMBER = "77019990000"
DEFAULT_TYPES = ["incoming_message", "delivery_status", "authorization_status"]
MOSCOW = timezone(timedelta(hours=3))


@dataclass
class Profile:
    id: str = PROFILE
    phone: str = OWN_NUMBER
    name: str = "Shop"
    authorized: bool = True
    app_status: str = "open"
    payment_expired_at: str = "2099-12-13T00:00:00Z"
    webhook_url: str = ""
    webhook_types: list[str] = field(default_factory=lambda: list(DEFAULT_TYPES))
    auto_receipts: list[str] = field(default_factory=list)
    """Delivery statuses reported by webhook for every message sent through the API."""
    media_as_link: bool = False
    """`message/media/download` answers with a link instead of base64."""
    media_link: str = ""
    """The link it then gives for every file; empty: the file's own."""
    drop_share: float = 0.0
    """The share of webhooks of customers' messages that are never posted."""


@dataclass
class Message:
    id: str
    chat: str
    type: str
    body: str
    time: float
    mine: bool = False
    by_api: bool = False
    name: str = ""
    caption: str = ""
    mime: str = ""
    file_name: str = ""
    content: bytes = b""
    seconds: int = 0
    quoted: str = ""
    edited: bool = False
    status: str = "delivered"
    listed_at: float = 0.0
    """From when, in unix seconds, the history shows it: gateways list some messages late."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Fields that are put into both dialects as they are."""


def webhook_row(profile: Profile, message: Message, wh_type: str, base_url: str) -> dict[str, Any]:
    own = f"{profile.phone}@c.us"
    author, to = (own, message.chat) if message.mine else (message.chat, own)
    row: dict[str, Any] = {
        "wh_type": wh_type, "profile_id": profile.id, "id": message.id, "body": message.body, "type": message.type,
        "from": author, "to": to, "senderName": profile.name if message.mine else message.name,
        "chatId": message.chat, **times(message.time), "caption": message.caption or None,
        "from_where": "api" if message.by_api else "phone", "contact_name": message.name, "is_forwarded": False,
        "isReply": bool(message.quoted), "is_edited": message.edited, "stanza_id": message.quoted,
        "is_me": message.mine, "chat_type": "group" if message.chat.endswith("@g.us") else "dialog",
        "is_deleted": False, "is_bot": False, "platform": "whatsapp", **message.extra,
    }  # fmt: skip
    if message.content:
        row |= {
            "body": base64.b64encode(message.content).decode(), "mimetype": message.mime, "file_name": message.file_name,
            "file_link": _link(message, base_url), "length_seconds": message.seconds,
            "media_info": {"size": len(message.content), "duration": message.seconds},
        }  # fmt: skip
    return row


def polled_row(profile: Profile, message: Message, base_url: str) -> dict[str, Any]:
    own = f"{profile.phone}@c.us"
    author, to = (own, message.chat) if message.mine else (message.chat, own)
    row: dict[str, Any] = {
        "id": message.id, "type": message.type, "from": author, "to": to, "fromMe": message.mine,
        "senderName": profile.name if message.mine else message.name, "time": int(message.time),
        "body": message.body, "stanzaId": message.quoted, "chatId": message.chat, "isReply": bool(message.quoted),
        "caption": message.caption, "delivery_status": message.status, "s3Info": {}, "isEdited": message.edited,
        "isFromAPI": message.by_api, "from_where": "api" if message.by_api else "phone", "isDeleted": False,
        **message.extra,
    }  # fmt: skip
    if message.content:
        row |= {
            "body": {"mimetype": message.mime, "fileName": message.file_name, "url": "https://mmg.whatsapp.net/encrypted"},
            "mimetype": message.mime, "s3Info": {"url": _link(message, base_url), "expire": int(message.time) + 172_800},
            "media_info": {"duration": message.seconds, "size": len(message.content)},
        }  # fmt: skip
    return row


def chat_id(phone: str) -> str:
    """`77011234567` or a whole chat id, as a chat id."""
    return phone if "@" in phone or not phone else f"{phone}@c.us"


def times(at: float) -> dict[str, Any]:
    return {"timestamp": datetime.fromtimestamp(at, MOSCOW).isoformat(timespec="seconds"), "time": int(at)}


def _link(message: Message, base_url: str) -> str:
    return f"{base_url}/files/{message.id}?X-Amz-Expires=172800"
