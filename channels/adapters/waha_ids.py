"""How WAHA names chats, people and messages.

A message is `{true|false}_{chat}_{id}[_{participant}]`. The middle changes between the phone (`…@c.us`) and the hidden id
(`…@lid`) of the same person, so a message is known by its bare id alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from foundation.phones import canonical

PERSONAL = frozenset({"c.us", "s.whatsapp.net"})
_WHOLE = re.compile(r"(?P<mine>true|false)_(?P<chat>[^_\s]+@[^_\s]+)_(?P<bare>[^_\s]+)(?:_(?P<participant>\S+))?")


@dataclass(frozen=True, slots=True)
class MessageId:
    """`bare` is what stays the same; `chat` and `mine` are only known from a whole id."""

    bare: str
    chat: str = ""
    mine: bool | None = None


def message_id(value: Any) -> MessageId:
    """Read an id in any of the forms that engines give it: whole, bare, or an object that holds one."""
    if isinstance(value, dict):
        return message_id(value.get("_serialized") or value.get("id"))
    text = value.strip() if isinstance(value, str) else ""
    whole = _WHOLE.fullmatch(text)
    if whole:
        return MessageId(whole["bare"], whole["chat"], whole["mine"] == "true")
    return MessageId(text if re.fullmatch(r"[^\s_@]+", text) else "")


def answered_id(answer: dict[str, Any]) -> str:
    """The bare id of a message we sent, wherever this engine puts it; the empty word where it gives none."""
    key = answer.get("key")
    data = answer.get("_data")
    found = message_id(answer.get("id")).bare or (message_id(key).bare if isinstance(key, dict) else "")
    return found or (message_id(data.get("id")).bare if isinstance(data, dict) else "")


def chat_id(value: Any) -> str:
    """One spelling of a chat: `77011234567@c.us` for a person in any form, `…@lid`, `…@g.us` and the like as they are."""
    if isinstance(value, dict):
        value = value.get("_serialized")
    local, _at, domain = (value.strip() if isinstance(value, str) else "").partition("@")
    domain = domain.lower()
    if domain not in PERSONAL and domain != "lid":
        return f"{local}@{domain}" if local and domain else ""
    digits = re.match(r"\+?(\d{5,20})(?:[.:]\d+)*$", local)
    if not digits:
        return ""
    return f"{digits[1]}@{'lid' if domain == 'lid' else 'c.us'}"


def source_id(chat: str) -> str:
    """How a person's chat is known to us: digits of the phone, or the whole hidden id."""
    return chat.removesuffix("@c.us")


def address(source: str) -> str:
    """The chat to write to for a `source_id`; the empty word where it names no person."""
    source = source.strip()
    return chat_id(source if "@" in source else f"{source}@c.us") if not source.endswith("@g.us") else ""


def is_person(chat: str) -> bool:
    """False for groups, status posts, newsletters, broadcasts and WhatsApp's own account `0@c.us`."""
    return chat.endswith(("@c.us", "@lid"))


def is_hidden(chat: str) -> bool:
    """Whether the id hides the person's phone; its digits are not a phone."""
    return chat.endswith("@lid")


def phone_of(chat: Any) -> str | None:
    """The phone in a chat id of the form that carries one."""
    spelt = chat_id(chat)
    return canonical(f"+{spelt.removesuffix('@c.us')}") if spelt.endswith("@c.us") else None
