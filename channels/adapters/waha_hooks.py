"""The configuration of a WAHA session, as far as it is ours: its webhook, what it leaves out, what its engine keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

#: `message.any` and not `message`: of these two one engine was seen to post the first only, and both are twice too many.
EVENTS = ("message.any", "message.ack", "message.reaction", "message.edited", "message.revoked", "session.status")
#: Twelve attempts over about two hours; what is lost even then is read from the history.
RETRIES = {"policy": "exponential", "delaySeconds": 2, "attempts": 12}
IGNORED = {"status": True, "groups": True, "channels": True, "broadcast": True}


def hooks_ours(url: str, base: str, key: str) -> dict[str, Any]:
    """The webhook of a channel: where to post, what, and signed with which key."""
    if base:
        url = base.rstrip("/") + urlsplit(url).path
    return {"url": url, "events": list(EVENTS), "hmac": {"key": key}, "retries": dict(RETRIES)}


def _is_ours(hook: Any, slug: str) -> bool:
    """Of this channel, whatever its secret was."""
    return isinstance(hook, Mapping) and f"/webhooks/waha/{slug}/" in str(hook.get("url") or "")


def with_hook(config: Mapping[str, Any], slug: str, hook: Mapping[str, Any] | None) -> dict[str, Any]:
    """The configuration with our webhook in it, everything of others kept. Groups and status posts are left out.

    The engine NOWEB only keeps a history, and knows names, where its store is turned on.
    """
    wanted = {**config}
    wanted["metadata"] = {**_table(config.get("metadata")), "channel": slug}
    wanted["ignore"] = {**_table(config.get("ignore")), **IGNORED}
    noweb = _table(config.get("noweb"))
    store = {"fullSync": False, **_table(noweb.get("store")), "enabled": True}
    # A device that is always online keeps the owner's phone from ringing.
    wanted["noweb"] = {"markOnline": False, **noweb, "store": store}
    others = [other for other in _list(config.get("webhooks")) if not _is_ours(other, slug)]
    wanted["webhooks"] = [*others, dict(hook)] if hook else others
    return wanted


def without_hook(config: Mapping[str, Any], slug: str) -> dict[str, Any]:
    return {**config, "webhooks": [other for other in _list(config.get("webhooks")) if not _is_ours(other, slug)]}


def hooked(info: Mapping[str, Any], slug: str) -> bool:
    """Whether the session posts to this channel. What the server posts for all its sessions is not to be seen here."""
    return any(_is_ours(hook, slug) for hook in _list(_table(info.get("config")).get("webhooks")))


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
