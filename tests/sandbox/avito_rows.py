"""The fake Avito's accounts, chats and messages, as Avito's answers and webhooks write them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

CLIENT_ID = "sandbox-client"
CLIENT_SECRET = "sandbox-secret-of-avito"
ACCOUNT = 141906442
PHONE = "77010000001"
BUYER = 94235311
ITEM = 1768287444
TEXT = 1000


@dataclass
class Account:
    client_id: str = CLIENT_ID
    client_secret: str = CLIENT_SECRET
    user_id: int = ACCOUNT
    phone: str = PHONE
    name: str = "Shop"
    tariff: bool = True
    """Whether the messenger is in the account's tariff; without it every call of it is answered 402."""
    rights: bool = True
    """Whether the keys have the messenger's right; without it every call of it is answered 403."""
    token_life: int = 86_400
    tokens: dict[str, bool] = field(default_factory=dict)
    """Every token handed out, and whether it is still good."""
    subscriptions: dict[str, str] = field(default_factory=dict)
    """Address → version of each webhook."""
    blacklist: list[dict[str, Any]] = field(default_factory=list)
    items: dict[int, dict[str, Any]] = field(default_factory=dict)
    drop_share: float = 0.0
    """The share of webhooks that are never posted."""


@dataclass
class Message:
    id: str
    author: int
    type: str
    content: dict[str, Any]
    created: int
    quote: str = ""
    listed_at: float = 0.0
    """From when, in unix seconds, the history shows it."""


@dataclass
class Chat:
    id: str
    account: int
    buyer: int
    name: str
    created: int
    item: dict[str, Any] | None
    updated: int = 0
    messages: list[Message] = field(default_factory=list)
    closed: bool = False
    """The account is no part of the chat any more: 403."""
    read: bool = False

    @property
    def type(self) -> str:
        return self.id.partition("-")[0]


def listing(item_id: int = ITEM, title: str = "Mazda 3 2008", price: str = "300 000 ₽") -> dict[str, Any]:
    """What a chat about a listing shows of it."""
    return {
        "id": item_id, "title": title, "price_string": price, "status_id": 10, "user_id": ACCOUNT,
        "url": f"https://avito.ru/moskva/avtomobili/mazda_3_2008_{item_id}",
        "images": {"count": 4, "main": {"140x105": "https://img.example/140x105/1.jpg"}},
    }  # fmt: skip


def message_row(message: Message, chat: Chat, quoted: Message | None = None) -> dict[str, Any]:
    """A message as the history shows it."""
    ours = message.author == chat.account
    row: dict[str, Any] = {
        "id": message.id, "author_id": message.author, "created": message.created, "direction": "out" if ours else "in",
        "type": message.type, "content": message.content, "is_read": chat.read, "read": None,
    }  # fmt: skip
    if quoted is not None:
        row["quote"] = {
            "id": quoted.id, "author_id": quoted.author, "created": quoted.created, "type": quoted.type,
            "content": quoted.content,
        }  # fmt: skip
    return row


def chat_row(chat: Chat, last: Message | None) -> dict[str, Any]:
    """A chat as the list of chats shows it."""
    profile = {
        "user_id": chat.buyer, "item_id": (chat.item or {}).get("id", 0), "url": "https://avito.ru/user/db65/profile",
        "avatar": {"default": "https://img.example/256.png", "images": {"128x128": "https://img.example/128.png"}},
    }  # fmt: skip
    row: dict[str, Any] = {
        "id": chat.id, "created": chat.created, "updated": chat.updated,
        "users": [
            {"id": chat.account, "name": "Shop"},
            {"id": chat.buyer, "name": chat.name, "public_user_profile": profile},
        ],
    }  # fmt: skip
    if chat.item is not None:
        row["context"] = {"type": "item", "value": chat.item}
    if last is not None:
        names = ("id", "author_id", "created", "direction", "type", "content")
        shown = message_row(last, chat)
        row["last_message"] = {name: shown[name] for name in names}
    return row


def envelope(message: Message, chat: Chat, number: int, published: str) -> dict[str, Any]:
    """A message as a webhook brings it."""
    value = {
        "id": message.id, "chat_id": chat.id, "user_id": chat.account, "author_id": message.author,
        "created": message.created, "published_at": published, "type": message.type, "chat_type": chat.type,
        "item_id": chat.item["id"] if chat.item else None, "read": None, "content": message.content,
    }  # fmt: skip
    return {
        "id": f"delivery-{number}", "version": "v3.0.0", "timestamp": message.created,
        "payload": {"type": "message", "value": value},
    }  # fmt: skip
