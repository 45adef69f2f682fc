"""A manager's own words: the person leads from that moment, and the message takes the road of every other."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from channels import directory
from foundation.db import row

from . import outbox, takeover
from .models import Conversation, Message, Takeover
from .texts import parts


def reply(conversation_id: int, text: str, user: Any) -> None:
    """Take the conversation over and queue the message behind what is already on its way, in one transaction.

    Raises ValidationError with words for the manager, and Conversation.DoesNotExist.
    """
    text = text.strip()
    with transaction.atomic():
        if not takeover.take_over(conversation_id, user=user, cause=Takeover.Cause.REPLY):
            raise Conversation.DoesNotExist(f"conversation {conversation_id}")
        # Read again: the takeover has raised the epoch, and a message composed in an older one would never leave.
        fresh = row(
            "SELECT id, channel_id, epoch, last_seq FROM conversations_conversation WHERE id = %(id)s FOR UPDATE",
            {"id": conversation_id},
        )
        assert fresh is not None
        limit = _checked(text, fresh.channel_id)
        outbox.queue(fresh, fresh.channel_id, parts(text, limit), author=Message.Author.MANAGER, user=user)


def _checked(text: str, channel_id: int) -> int:
    """How long one message of the channel may be. Raises ValidationError where this one cannot be sent at all."""
    entry = directory.entry(channel_id)
    if not text:
        raise ValidationError(_("Write a message first."))
    if not entry.channel.enabled:
        raise ValidationError(_("The channel is disabled: nothing can be sent on it."))
    return entry.adapter.capabilities.max_length
