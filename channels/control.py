"""What managers do to a channel: start, stop, subscribe its webhook, renew its secret. Each leaves a line in its log."""

from __future__ import annotations

import logging
from typing import Any

from django.conf import settings
from django.urls import reverse

from . import breaker, directory, log
from .models import Channel, ChannelLog, new_secret
from .registry import adapter_for

logger = logging.getLogger(__name__)


def start(channel_id: int, *, user: Any) -> bool:
    """Let the assistant answer on the channel. False: it did already."""
    return _run(channel_id, True, "started", user)


def stop(channel_id: int, *, user: Any) -> bool:
    """Store what arrives and answer nothing. False: it was stopped already."""
    return _run(channel_id, False, "stopped", user)


def _run(channel_id: int, running: bool, event: str, user: Any) -> bool:
    changed = Channel.objects.filter(pk=channel_id).exclude(running=running).update(running=running)
    if changed:
        _note(channel_id, event, user)
    return bool(changed)


def try_now(channel_id: int, *, user: Any) -> bool:
    """Do not wait for the end of a pause of sending. False: sending is not paused."""
    paused = breaker.try_now(channel_id)
    if paused:
        _note(channel_id, "sending tried by hand", user)
    return paused


def webhook_url(channel: Channel) -> str:
    """Where the channel's provider posts. It holds the secret: only for people who may change the channel."""
    path = reverse("webhook", args=(channel.kind, channel.slug, channel.webhook_secret))
    return f"{settings.PUBLIC_URL}{path}"


def subscribe(channel: Channel, *, user: Any) -> None:
    """Tell the provider where to post. Raises ProviderError."""
    adapter_for(channel).subscribe(webhook_url(channel))
    _note(channel.pk, "webhook subscribed", user)


def renew_secret(channel: Channel, *, user: Any) -> None:
    """Make a new webhook address; the old one is refused from now on, so the provider has to be told."""
    channel.webhook_secret = new_secret()
    channel.save(update_fields=["webhook_secret", "updated_at"])
    _note(channel.pk, "new webhook secret", user, ChannelLog.Level.WARNING)


def _note(channel_id: int, event: str, user: Any, level: str = ChannelLog.Level.INFO) -> None:
    directory.forget()
    log.note(channel_id, event, detail=user.get_username() if user is not None else "", level=level)
    logger.info("channel controlled", extra={"channel_id": channel_id, "event": event})
