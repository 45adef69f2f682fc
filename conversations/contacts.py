"""Who is writing: identities, contacts and conversations, made at the first message and found ever after."""

from __future__ import annotations

import logging
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from channels.base import Sender
from channels.models import Channel
from foundation.crypto import blind_index, name_hashes
from foundation.db import row

from . import merging
from .models import Contact, ContactIdentity, ContactMerge, Conversation, source_index

logger = logging.getLogger(__name__)

_LOCK = """
SELECT c.id, c.contact_id, c.channel_id, c.mode, c.epoch, c.cycle, c.last_seq, c.window_started_at,
    c.window_turns, c.blocked_at
FROM conversations_conversation c
JOIN conversations_contactidentity i ON i.id = c.identity_id
WHERE i.channel_id = %(channel)s AND i.source_index = %(index)s
FOR UPDATE OF c
"""


def lock_conversation(channel: Channel, sender: Sender) -> Any:
    """The conversation with this sender, its row locked until the transaction ends; made where there was none."""
    found = known_conversation(channel.pk, sender.source_id)
    if found is None:
        _create(channel, sender)
        found = known_conversation(channel.pk, sender.source_id)
    return found


def known_conversation(channel_id: int, source_id: str) -> Any | None:
    """The conversation of whoever is known by this id on a channel, its row locked; None where nobody is."""
    return row(_LOCK, {"channel": channel_id, "index": source_index(source_id)})


def _create(channel: Channel, sender: Sender) -> None:
    """Make identity and conversation; whoever comes second at the same moment uses what the first one made."""
    contact = _contact_by_phone(sender.phone) or _new_contact(sender)
    try:
        with transaction.atomic():
            identity = ContactIdentity.objects.create(
                contact=contact, channel=channel, source_id=sender.source_id, source_index=source_index(sender.source_id)
            )
            Conversation.objects.create(identity=identity, contact=contact, channel=channel)
    except IntegrityError:
        if not contact.identities.exists():
            contact.delete()


def _contact_by_phone(phone: str | None) -> Contact | None:
    """The same person on another channel. `phone` is given only where the provider vouches for it."""
    return Contact.objects.filter(phone_index=blind_index(phone, "phone")).first() if phone else None


def _new_contact(sender: Sender) -> Contact:
    contact = Contact(
        phone=sender.phone,
        phone_index=blind_index(sender.phone, "phone") if sender.phone else None,
        name=sender.name[:200],
        full_name=sender.full_name[:200],
        business_name=sender.business_name[:200],
        name_hashes=name_hashes(sender.name, sender.full_name, sender.business_name),
    )
    try:
        with transaction.atomic():
            contact.save(force_insert=True)
    except IntegrityError:
        found = _contact_by_phone(sender.phone)
        if found is None:
            raise
        return found
    return contact


def phone_of(channel_id: int, source_id: str) -> str | None:
    """The phone (digits) of whoever is known on a channel by this id; None where nobody is, or it is not known."""
    known = Contact.objects.filter(identities__channel=channel_id, identities__source_index=source_index(source_id)).first()
    return known.phone if known is not None else None


def learn(contact: Contact, sender: Sender) -> Contact:
    """Keep what a message tells of its sender: new names, and a phone that was not known before.

    Returns the contact: another one where the phone is another contact's, who is the same person then.
    """
    if sender.phone and not contact.phone and (same := _contact_by_phone(sender.phone)) is not None:
        merging.merge(same.pk, contact.pk, cause=ContactMerge.Cause.PHONE)
        contact = Contact.objects.get(pk=same.pk)
    changed = contact.set_names(sender.name, sender.full_name, sender.business_name)
    fields = ["name", "full_name", "business_name", "name_hashes", "updated_at"]
    if sender.phone and not contact.phone:
        contact.phone, contact.phone_index = sender.phone, blind_index(sender.phone, "phone")
        fields += ["phone", "phone_index"]
        changed = True
    if changed:
        contact.save(update_fields=fields)
    return contact


def set_verdict(contact: Contact, verdict: bool | None, *, user: Any) -> None:
    """A manager says whether this is a client; None clears it, and the moderator decides again."""
    contact.is_client = verdict
    contact.verdict_final = verdict is not None
    contact.verdict_by = user if verdict is not None else None
    contact.confidence = 1.0 if verdict is not None else None
    contact.reasoning = ""
    contact.classified_at = timezone.now()
    contact.save(
        update_fields=[
            "is_client", "verdict_final", "verdict_by", "confidence", "reasoning", "classified_at", "updated_at",
        ]
    )  # fmt: skip
