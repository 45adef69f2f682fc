"""The chats of managers: how one is connected by a code, and which of them are told of a channel."""

from __future__ import annotations

import logging
import secrets
from datetime import timedelta

from django.db.models import Q
from django.db.models.signals import post_delete, post_save
from django.utils import timezone

from channels.base import Enrolment
from channels.owners import visible_channels
from foundation import steps
from foundation.cache import Remembered
from foundation.crypto import matches

from .models import ManagerChat, ManagerNotice

logger = logging.getLogger(__name__)

CODE_VALID = timedelta(days=1)
CODE_LENGTH = 10
#: Without letters and digits that look alike.
ALPHABET = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
#: What a manager writes in the chat, before the code.
COMMAND = "/managers"


def new_code(chat: ManagerChat) -> str:
    """A code by which somebody connects this chat, once and within a day; the chat so far stays connected until then."""
    code = "".join(secrets.choice(ALPHABET) for _letter in range(CODE_LENGTH))
    chat.code, chat.code_until = code, timezone.now() + CODE_VALID
    chat.save(update_fields=["code", "code_until"])
    return code


def enrol(channel_id: int, event: Enrolment) -> bool:
    """Connect the chat whose code was shown on this channel, and tell it so. False: there is no such code.

    The caller's transaction holds it all.
    """
    waiting = ManagerChat.objects.select_for_update().filter(channel=channel_id, code_until__gt=timezone.now())
    chat = next((chat for chat in waiting if matches(event.code.strip().upper(), chat.code or "")), None)
    if chat is None:
        return False
    chat.address, chat.title, chat.connected_at = event.address, event.title[:200], timezone.now()
    chat.code, chat.code_until, chat.error = None, None, ""
    chat.save(update_fields=["address", "title", "connected_at", "code", "code_until", "error"])
    notice = ManagerNotice.objects.create(chat=chat, kind=ManagerNotice.Kind.CONNECTED)
    steps.start("tell", notice.pk)
    logger.info("managers' chat connected", extra={"manager_chat": chat.pk, "channel_id": channel_id})
    return True


def _addresses(channel_id: int) -> frozenset[str]:
    connected = ManagerChat.objects.filter(channel=channel_id, connected_at__isnull=False)
    return frozenset(chat.address for chat in connected.only("address") if chat.address)


#: The connected chats of a channel, looked up every few seconds at most: every message of such a channel asks.
addresses = Remembered(2.0, _addresses)


def is_managers(channel_id: int, source_id: str) -> bool:
    """Whether whoever writes is a chat of managers on this channel: no customer, whatever is said there."""
    return source_id in addresses(channel_id)


def told_of(channel_id: int, wanted: Q) -> list[ManagerChat]:
    """The connected chats among those wanted that are told of this channel, and whose owner may see it."""
    found = ManagerChat.objects.filter(
        wanted, Q(sources=None) | Q(sources=channel_id), enabled=True, connected_at__isnull=False
    ).select_related("owner")
    return [chat for chat in found if _may_know(chat, channel_id)]


def _may_know(chat: ManagerChat, channel_id: int) -> bool:
    if chat.owner is None:
        return True
    return chat.owner.is_active and visible_channels(chat.owner).filter(pk=channel_id).exists()


def _forget(**_: object) -> None:
    addresses.forget()


post_save.connect(_forget, sender=ManagerChat)
post_delete.connect(_forget, sender=ManagerChat)
