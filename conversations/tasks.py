"""The steps of the road that belong to conversations. Each takes one id and is safe to run twice."""

from __future__ import annotations

from celery import shared_task
from django.conf import settings

from channels import inbox

from . import draining, evidence, manager_notices, moderation, outbox, outbox_sweep, takeover, transcription, turns
from . import receive as receiving


@shared_task(name="conversations.receive")
def receive(event_id: int) -> None:
    """Turn a raw event into a message of its conversation."""
    receiving.receive(event_id)


@shared_task(name="conversations.transcribe")
def transcribe(turn_id: int) -> None:
    """Write down the voice messages of a turn."""
    transcription.transcribe(turn_id)


@shared_task(name="conversations.classify")
def classify(turn_id: int) -> None:
    """Decide whether the contact of a turn is a client."""
    moderation.classify(turn_id)


@shared_task(name="conversations.deliver")
def deliver(conversation_id: int) -> None:
    """Send what a conversation's outbox holds, in order."""
    outbox.deliver(conversation_id)


@shared_task(name="conversations.drain")
def drain(channel_id: int) -> None:
    """Send what waits for a channel that was paused, first one message, then the rest at the provider's rate."""
    draining.drain(channel_id)


@shared_task(name="conversations.confirm")
def confirm(message_id: int) -> None:
    """Look an unconfirmed message up in the provider's history."""
    evidence.confirm(message_id)


@shared_task(name="conversations.tell_managers")
def tell_managers(notice_id: int) -> None:
    """Send one notice to a chat of managers."""
    manager_notices.tell(notice_id)


@shared_task(name="conversations.sweep")
def sweep() -> None:
    """Bring back what the broker or a dead worker lost, and resume conversations whose pause is over."""
    inbox.sweep()
    turns.sweep()
    outbox_sweep.sweep()
    draining.wake()
    manager_notices.sweep()
    takeover.resume_due()


@shared_task(name="conversations.purge")
def purge() -> None:
    """Forget old notices to managers."""
    manager_notices.purge(settings.RAW_EVENT_DAYS)
