"""What the WAHA tests share: one fake server a module, and adapters that speak to it."""

from __future__ import annotations

from typing import Any

from channels.adapters.waha import WahaAdapter
from channels.base import Access, OutboundMessage
from tests.sandbox.waha_rows import API_KEY, HMAC_KEY, SESSION

PHONE = "77011234567"
OTHER = "77025556677"
LID = "178412345678901@lid"


def adapter_of(base_url: str, **changes: Any) -> WahaAdapter:
    access = {
        "slug": "shop", "base_url": base_url, "credentials": {"api_key": API_KEY, "hmac_key": HMAC_KEY},
        "options": {"session": SESSION}, "webhook_secret": "path-secret",
    }  # fmt: skip
    return WahaAdapter(Access(**{**access, **changes}))


def text_to(to: str, text: str = "Good afternoon", **more: Any) -> OutboundMessage:
    return OutboundMessage(key="key-1", to=to, text=text, **more)
