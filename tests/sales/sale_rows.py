"""Follow-ups and calls as rows, for tests of what people and programs see of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from channels.models import Channel
from conversations.models import Conversation
from sales.models import Assistant, Bot, FollowUp, ScheduledCall, Touch

HOURS = (24, 72, 168, 336, 720)


def a_bot(channel: Channel, owner: User | None = None, **fields: Any) -> Assistant:
    """An assistant that answers on the channel."""
    assistant = Assistant.objects.create(name="Aida", slug=f"aida-{channel.pk}", owner=owner, **fields)
    Bot.objects.create(channel=channel, assistant=assistant)
    return assistant


def a_follow_up(
    conversation: Conversation, touches: Mapping[int, Mapping[str, Any]] | None = None, *, anchor: datetime | None = None,
    **fields: Any,
) -> FollowUp:  # fmt: skip
    """An active cadence of five planned touches; `touches` gives what is different in some, by number."""
    start = anchor or timezone.now() - timedelta(hours=2)
    given = {"cause": "silence", "cycle": conversation.cycle, **fields}
    follow_up = FollowUp.objects.create(conversation=conversation, anchor_at=start, **given)
    for number, hours in enumerate(HOURS, start=1):
        due = start + timedelta(hours=hours)
        row = {"due_at": due, "planned_at": due, **(touches or {}).get(number, {})}
        Touch.objects.create(follow_up=follow_up, number=number, **row)
    return follow_up


def a_scheduled_call(
    conversation: Conversation, assistant: Assistant, manager: User, start: datetime, **fields: Any
) -> ScheduledCall:
    """Half an hour."""
    given = {"phone": "77010000001", "conversation": conversation, "ends_at": start + timedelta(minutes=30), **fields}
    return ScheduledCall.objects.create(
        contact=conversation.contact, assistant=assistant, manager=manager, starts_at=start, **given
    )
