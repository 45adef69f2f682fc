"""Customers whom a manager blocks: what they write is stored and not answered, and their provider may shut them out.

The block is a column of the conversation, under the lock that orders everything in it, and holds for people without a
phone too; numbers are blocked by `channels.models.NumberRule`.
"""

from __future__ import annotations

import logging
from typing import Any

from django.db import transaction

from channels import directory
from foundation import live
from foundation.db import execute, row

from . import takeover
from .models import ContactIdentity

logger = logging.getLogger(__name__)


def block(conversation_id: int, *, user: Any) -> bool:
    """Close the conversation for good and put the customer on the provider's blacklist, where it has one.

    False: they were blocked already. Raises ProviderError where the provider did not do it; ours holds all the same.
    """
    with transaction.atomic():
        blocked = row(
            """
            UPDATE conversations_conversation SET blocked_at = now(), blocked_by_id = %(user)s
            WHERE id = %(id)s AND blocked_at IS NULL RETURNING channel_id, identity_id
            """,
            {"id": conversation_id, "user": user.pk},
        )
        if blocked is None:
            return False
        takeover.close(conversation_id, user=user)
    _told(conversation_id, "blocked", user)
    if provider_blocks(blocked.channel_id):
        source_id = ContactIdentity.objects.get(pk=blocked.identity_id).source_id
        directory.entry(blocked.channel_id).adapter.block(source_id)
    return True


def unblock(conversation_id: int, *, user: Any) -> bool:
    """Let the customer's next message be answered again. False: they were not blocked. Providers are not told."""
    freed = execute(
        """
        UPDATE conversations_conversation SET blocked_at = NULL, blocked_by_id = NULL
        WHERE id = %(id)s AND blocked_at IS NOT NULL
        """,
        {"id": conversation_id},
    )
    if freed:
        _told(conversation_id, "unblocked", user)
    return bool(freed)


def provider_blocks(channel_id: int) -> bool:
    """Whether the channel's provider keeps a blacklist."""
    return directory.entry(channel_id).adapter.capabilities.blocks


def _told(conversation_id: int, what: str, user: Any) -> None:
    logger.info("customer %s", what, extra={"conversation": conversation_id, "user": user.pk})
    transaction.on_commit(lambda: live.ring(f"conversation:{conversation_id}", what="mode"))
