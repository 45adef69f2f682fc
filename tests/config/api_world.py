"""Two owners, their channels and contacts, and clients that speak for people of every kind."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.contrib.auth.models import Permission, User
from django.utils import timezone
from rest_framework.test import APIClient
from rest_framework_simplejwt.tokens import AccessToken

from channels.models import Channel, InboundEvent
from conversations.models import Contact, ContactIdentity, Conversation, Message, Turn, source_index
from foundation.crypto import blind_index, name_hashes

PASSWORD = "long-enough-password"
EVERYTHING = (
    "contact", "conversation", "message", "channel", "usage", "qualification", "followup", "scheduledcall", "turn",
    "inboundevent", "messagetemplate",
)  # fmt: skip


def make_user(name: str, *, rights: tuple[str, ...] = (), staff: bool = True, superuser: bool = False) -> User:
    """`rights` are codenames such as `view_contact`."""
    user = User.objects.create_user(name, password=PASSWORD, is_staff=staff, is_superuser=superuser)
    user.user_permissions.set(Permission.objects.filter(codename__in=rights))
    return user


def client_of(user: User | None) -> APIClient:
    client = APIClient()
    if user is not None:
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {AccessToken.for_user(user)}")
    return client


@dataclass
class World:
    """`mine` belongs to `manager`, `theirs` to `other`."""

    manager: User = field(init=False)
    guest: User = field(init=False)
    other: User = field(init=False)
    root: User = field(init=False)
    mine: Channel = field(init=False)
    theirs: Channel = field(init=False)

    def __post_init__(self) -> None:
        rights = tuple(f"{action}_{model}" for model in EVERYTHING for action in ("view", "change"))
        self.manager, self.other = make_user("manager", rights=rights), make_user("other", rights=rights)
        self.guest = make_user("guest", rights=tuple(f"view_{model}" for model in EVERYTHING))
        self.root = make_user("root", superuser=True)
        self.mine, self.theirs = self.channel("mine", self.manager), self.channel("theirs", self.other)

    def channel(self, slug: str, owner: User | None = None, **values: Any) -> Channel:
        values = {
            "name": slug.title(), "kind": "wappi", "company": "Demo", "credentials": {"token": "wappi-secret"},
            "options": {"profile_id": "1"}, **values,
        }  # fmt: skip
        return Channel.objects.create(slug=slug, owner=owner, **values)

    def conversation(self, channel: Channel, phone: str | None = None, name: str = "", **contact: Any) -> Conversation:
        person = Contact.objects.create(
            phone=phone, phone_index=blind_index(phone, "phone") if phone else None, name=name, name_hashes=name_hashes(name),
            **contact,
        )  # fmt: skip
        return self.identity(person, channel, phone or f"visitor-{person.pk}")

    def identity(self, person: Contact, channel: Channel, source_id: str) -> Conversation:
        identity = ContactIdentity.objects.create(
            contact=person, channel=channel, source_id=source_id, source_index=source_index(source_id)
        )
        return Conversation.objects.create(identity=identity, contact=person, channel=channel)

    def message(
        self, conversation: Conversation, text: str, *, at: datetime | None = None, out: bool = False, **values: Any
    ) -> Message:
        conversation.last_seq += 1
        conversation.save(update_fields=["last_seq"])
        at = at or timezone.now()
        values = {
            "author": "bot" if out else "customer", "state": "sent" if out else "received", "sent_at": at, "created_at": at,
            "state_changed_at": at, **values,
        }  # fmt: skip
        return Message.objects.create(
            conversation=conversation, channel_id=conversation.channel_id, seq=conversation.last_seq, text=text,
            direction="out" if out else "in", **values,
        )  # fmt: skip

    def event(self, channel: Channel, *, state: str = "failed", **values: Any) -> InboundEvent:
        number = InboundEvent.objects.filter(channel=channel).count()
        given = {"external_id": f"message:e{number}", "source": "webhook", "payload": b"{}", "reason": "broken", **values}
        return InboundEvent.objects.create(channel=channel, state=state, **given)

    def turn(self, conversation: Conversation, at: datetime, *, stage: str = "done", reason: str = "", seq: int = 1) -> Turn:
        return Turn.objects.create(
            conversation=conversation, stage=stage, reason=reason, from_seq=seq, upto_seq=seq, opened_at=at, due_at=at,
        )  # fmt: skip
