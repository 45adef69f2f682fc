"""A manager's own words: the person leads from that moment, and the message takes the road of every other."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from channels import directory, pacing
from foundation.db import now, row

from . import outbox, takeover, template_replies, window
from .drafts import Draft
from .models import Conversation, Message, Takeover


def reply(conversation_id: int, text: str, user: Any, *, template_id: int | None = None) -> None:
    """Take the conversation over and queue the message behind what is already on its way, in one transaction.

    With a template its words are sent, not `text`. Raises ValidationError with words for the manager (code `window` where
    only a template may be sent), and Conversation.DoesNotExist.
    """
    text = text.strip()
    with transaction.atomic():
        if not takeover.take_over(conversation_id, user=user, cause=Takeover.Cause.REPLY):
            raise Conversation.DoesNotExist(f"conversation {conversation_id}")
        # Read again: the takeover has raised the epoch, and a message composed in an older one would never leave.
        fresh = row(
            "SELECT id, channel_id, epoch, last_seq, last_inbound_at FROM conversations_conversation "
            "WHERE id = %(id)s FOR UPDATE",
            {"id": conversation_id},
        )
        assert fresh is not None
        draft = Draft(text) if template_id is None else _from_template(conversation_id, template_id, user)
        _check(draft, fresh)
        _count(fresh)
        outbox.queue(fresh, fresh.channel_id, draft, author=Message.Author.MANAGER, user=user)


def _from_template(conversation_id: int, template_id: int, user: Any) -> Draft:
    conversation = Conversation.objects.select_related("contact", "channel").get(pk=conversation_id)
    return template_replies.draft(conversation, template_id, user)


def _check(draft: Draft, conversation: Any) -> None:
    """Raises ValidationError where this cannot be sent at all."""
    entry = directory.entry(conversation.channel_id)
    if not draft:
        raise ValidationError(_("Write a message first."))
    if not entry.channel.enabled:
        raise ValidationError(_("The channel is disabled: nothing can be sent on it."))
    if draft.template is None and not window.is_open(conversation.id, conversation.channel_id):
        raise ValidationError(window.closed_words(conversation.channel_id), code="window")


def _count(conversation: Any) -> None:
    """A first message to somebody who never wrote counts against the number's budget, but a person is not held up."""
    if conversation.last_inbound_at is None:
        channel = directory.entry(conversation.channel_id).channel
        pacing.take(channel, at=now(), new_contact=conversation.last_seq == 0, forced=True)
