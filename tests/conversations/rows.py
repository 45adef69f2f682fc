"""Rows of conversations for tests of the managers' pages."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.postgres.functions import TransactionNow
from django.utils import timezone, translation

from channels.models import Channel
from conversations.models import Contact, ContactIdentity, Conversation, Message, Turn, source_index
from foundation.crypto import blind_index, name_hashes

_number = count(1)


@pytest.fixture(autouse=True)
def english(settings: Any) -> Iterator[None]:
    """Imported by tests that read the pages' words, which are written in English and translated elsewhere."""
    settings.LANGUAGE_CODE = "en"
    with translation.override("en"):
        yield


def a_channel(**fields: Any) -> Channel:
    number = next(_number)
    given = {"name": f"Channel {number}", "slug": f"channel-{number}", "kind": "widget", "company": "Demo", **fields}
    return Channel.objects.create(**given)


def a_manager(**fields: Any) -> User:
    """Staff with every right in our own apps, but no superuser."""
    user = User.objects.create_user(f"manager-{next(_number)}", is_staff=True, **fields)
    ours = ("channels", "conversations", "sales", "knowledge", "llm")
    user.user_permissions.set(Permission.objects.filter(content_type__app_label__in=ours))
    return user


def a_conversation(
    channel: Channel, *, phone: str | None = None, name: str = "", full_name: str = "", **fields: Any
) -> Conversation:
    contact = Contact.objects.create(
        phone=phone,
        phone_index=blind_index(phone, "phone") if phone else None,
        name=name,
        full_name=full_name,
        name_hashes=name_hashes(name, full_name),
        **{key: fields.pop(key) for key in ("is_client", "verdict_final", "confidence") if key in fields},
    )
    source = phone or f"visitor-{next(_number)}"
    identity = ContactIdentity.objects.create(
        contact=contact, channel=channel, source_id=source, source_index=source_index(source)
    )
    return Conversation.objects.create(identity=identity, contact=contact, channel=channel, **fields)


def a_turn(conversation: Conversation, stage: str, *, at: Any = None, **fields: Any) -> Turn:
    opened = at or timezone.now()
    closed = None if stage in Turn.OPEN else opened + timedelta(seconds=2)
    seq = conversation.last_seq + 1
    # Claims compare with the transaction's time; a test that is one transaction is older than its own statements.
    given = {"from_seq": seq, "upto_seq": seq, "opened_at": opened, "finished_at": closed, "due_at": TransactionNow(), **fields}
    turn = Turn.objects.create(conversation=conversation, stage=stage, **given)
    turn.refresh_from_db(fields=["due_at"])
    return turn


def a_message(conversation: Conversation, author: str, text: str, *, at: Any = None, **fields: Any) -> Message:
    """The next message; the conversation remembers when either side spoke last."""
    inbound, moment = author == "customer", at or timezone.now()
    conversation.last_seq += 1
    given = {
        "direction": "in" if inbound else "out", "state": "received" if inbound else "sent", "sent_at": moment,
        "created_at": moment, "external_id": f"x{next(_number)}", **fields,
    }  # fmt: skip
    message = Message.objects.create(
        conversation=conversation, channel=conversation.channel, seq=conversation.last_seq, author=author, text=text, **given
    )
    if inbound:
        conversation.last_inbound_at = moment
        Contact.objects.filter(pk=conversation.contact_id).update(last_message_at=moment)
    else:
        conversation.last_outbound_at = moment
    conversation.save(update_fields=["last_seq", "last_inbound_at", "last_outbound_at"])
    return message
