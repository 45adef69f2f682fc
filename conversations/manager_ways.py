"""The ways in which managers are reached: one sender for each `ManagerChat.Way`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.utils import timezone
from django.utils.translation import gettext as _

from channels import breaker, directory, rich
from channels.base import OutboundMessage
from channels.models import Channel
from foundation.errors import Rejected, Retry

from .models import ManagerChat

#: Sends a text with our marks to a chat; `key` is the notice's own, the same on every attempt. Raises ProviderError.
Sender = Callable[[ManagerChat, str, str], None]


def send(chat: ManagerChat, key: str, text: str) -> None:
    """Reach the chat in its way. Raises ProviderError."""
    WAYS[ManagerChat.Way(chat.way)](chat, key, text)


def _by_channel(chat: ManagerChat, key: str, text: str) -> None:
    """Through a bot that is also a channel of ours. While its sending is paused, nobody is asked."""
    channel = Channel.objects.select_related("breaker").get(pk=chat.channel_id)
    if not channel.enabled:
        raise Retry(_("The bot's channel is disabled."), code="disabled")
    if not chat.address:
        raise Rejected(_("The chat is not connected."), code="recipient")
    if breaker.is_paused(channel):
        until = channel.breaker.retry_at
        raise Retry(_("The bot's channel does not send at present."), code="paused", after=_seconds_to(until))
    adapter = directory.entry(channel.pk).adapter
    piece = rich.split(text, adapter.capabilities.max_length, adapter.capabilities.markup)[0]
    adapter.send(OutboundMessage(key=key, to=chat.address, text=piece))


def _seconds_to(moment: datetime | None) -> float | None:
    return max(1.0, (moment - timezone.now()).total_seconds()) if moment else None


WAYS: dict[ManagerChat.Way, Sender] = {ManagerChat.Way.CHANNEL: _by_channel}
