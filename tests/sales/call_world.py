"""A company whose managers take calls, for the tests of calls."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.auth.models import User

from channels.models import Channel
from conversations.models import Conversation
from sales import calls
from sales.assistants import Configuration
from sales.models import Assistant, Bot, ScheduledCall
from tests.conversations.rows import a_channel, a_conversation

ALMATY = ZoneInfo("Asia/Almaty")
#: A Monday, 11:00 in Almaty.
MONDAY = datetime(2026, 11, 23, 6, tzinfo=UTC)


def at(day: int, hour: int, minute: int = 0, *, month: int = 11, year: int = 2026, zone: ZoneInfo = ALMATY) -> datetime:
    """A local time of the company."""
    return datetime(year, month, day, hour, minute, tzinfo=zone)


def an_assistant(managers: int = 1, **fields: Any) -> tuple[Configuration, list[User], Channel]:
    """An assistant with so many managers named "Manager 1" and so on, and the channel it answers on."""
    channel = a_channel()
    number = Assistant.objects.count() + 1
    assistant = Assistant.objects.create(name="Aida", slug=f"aida-{number}", **fields)
    Bot.objects.create(channel=channel, assistant=assistant)
    people = [
        User.objects.create_user(f"m{number}-{n}", first_name="Manager", last_name=str(n)) for n in range(1, managers + 1)
    ]
    assistant.call_managers.set(people)
    return Configuration.read(assistant), people, channel


def booked(
    configured: Configuration, conversation: Conversation, start: datetime, *, now: datetime = MONDAY, **fields: Any
) -> ScheduledCall:
    given = {"phone": conversation.contact.phone or "77010000001", **fields}
    return calls.book(
        configured, contact_id=conversation.contact_id, conversation_id=conversation.pk, start=start, now=now, **given
    )


def a_call(configured: Configuration, channel: Channel, manager: User, start: datetime, **fields: Any) -> ScheduledCall:
    """A row as it stands, without the rules of booking."""
    conversation = fields.pop("conversation", None) or a_conversation(channel)
    end = fields.pop("end", start + timedelta(minutes=30))
    given = {"phone": "77010000001", **fields}
    return ScheduledCall.objects.create(
        contact=conversation.contact, conversation=conversation, assistant=configured.assistant, manager=manager,
        starts_at=start, ends_at=end, **given,
    )  # fmt: skip
