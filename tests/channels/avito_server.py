"""What the tests of the Avito channel share: an adapter for the fake account, and nothing remembered between two tests."""

from __future__ import annotations

from typing import Any

import redis
from django.conf import settings

from channels.adapters import avito_client
from channels.adapters.avito import AvitoAdapter
from channels.base import Access, OutboundMessage
from foundation import tokens
from tests.sandbox.avito import FakeAvito
from tests.sandbox.avito_rows import ACCOUNT, CLIENT_ID, CLIENT_SECRET

CHAT = "u2i-abc~1"
SLUG = "shop"
SECRET = "path-secret"


def access_of(base_url: str, **changes: Any) -> Access:
    given: dict[str, Any] = {
        "slug": SLUG, "base_url": base_url, "credentials": {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET},
        "options": {"user_id": str(ACCOUNT)}, "webhook_secret": SECRET,
    }  # fmt: skip
    return Access(**{**given, **changes})


def adapter_of(base_url: str, **changes: Any) -> AvitoAdapter:
    return AvitoAdapter(access_of(base_url, **changes))


def text_to(to: str = CHAT, text: str = "Добрый день", **more: Any) -> OutboundMessage:
    return OutboundMessage(key="key-1", to=to, text=text, **more)


def forget(fake: FakeAvito) -> None:
    """As after a start of everything: no token, no account, no sent part is known."""
    kept = redis.Redis.from_url(settings.REDIS_URL)
    # Not the whole of it: other tests may run beside these.
    for key in kept.scan_iter(match="*avito:*", count=1000):
        kept.delete(key)
    for remembered in (tokens._own, tokens._resting_until, avito_client._renewed_at, avito_client._accounts):
        remembered.clear()
    for account in fake.accounts.values():
        account.__init__(account.client_id)  # type: ignore[misc]
    fake.reset()
