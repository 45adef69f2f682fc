"""A manager's correction of the gate: whether a contact is a client, and what follows from it at once."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from . import contacts, moderation
from .models import Contact, Conversation


def decide(contact_id: int, verdict: bool | None, *, user: Any) -> int:
    """Set or clear the manager's verdict. Raises Contact.DoesNotExist.

    For a client, what the gate met with silence is answered now; returns in how many conversations.
    """
    return _set(contact_id, verdict, user, look_again=bool(verdict))


def reclassify(contact_id: int) -> int:
    """Let the moderator judge a contact anew, now where it wrote to silence. Raises Contact.DoesNotExist.

    Returns in how many conversations that was begun.
    """
    return _set(contact_id, None, None, look_again=True)


def _set(contact_id: int, verdict: bool | None, user: Any, *, look_again: bool) -> int:
    with transaction.atomic():
        # Conversations first, as the moderator locks them: the other way round the two could wait for each other.
        led = list(
            Conversation.objects.select_for_update()
            .filter(contact=contact_id, mode=Conversation.Mode.BOT)
            .order_by("pk")
            .values_list("pk", flat=True)
        )
        contact = Contact.objects.select_for_update(no_key=True).get(pk=contact_id)
        contacts.set_verdict(contact, verdict, user=user)
        return sum(moderation.answer_silenced(pk) for pk in led) if look_again else 0
