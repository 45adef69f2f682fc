"""Finished conversations for a demonstration, so that the admin of a new installation has something to show.

They are made once. Their messages carry `{"demo": true}`, their people have no phones, and nothing of them is ever sent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from django.utils import timezone

from channels.models import Channel
from conversations.models import Contact, ContactIdentity, Conversation, Message, Takeover, Turn, source_index
from foundation.crypto import name_hashes

from .document import Line, Sample
from .reading import ProvisionError
from .report import Report

PREFIX = "demo:"
MARK = {"demo": True}


@dataclass(slots=True)
class Spoken:
    """One utterance with its number and time."""

    seq: int
    line: Line
    at: datetime


@dataclass(slots=True)
class Exchange:
    """What the customer wrote in a row, and what was answered before they wrote again."""

    asked: list[Spoken] = field(default_factory=list)
    answered: list[Spoken] = field(default_factory=list)


def put_sample(report: Report, shape: Sample) -> None:
    """Make the conversation unless it is there. Raises ProvisionError for an unknown channel."""
    channel = Channel.objects.filter(slug=shape.channel).first()
    if channel is None:
        raise ProvisionError(f"sample conversation {shape.id}: there is no channel “{shape.channel}”.")
    source_id = f"{PREFIX}{shape.id}"
    if ContactIdentity.objects.filter(channel=channel, source_index=source_index(source_id)).exists():
        report.add("sample conversation", shape.id, "unchanged")
        return
    said = _spoken(shape, channel)
    contact = _contact(shape, said)
    identity = ContactIdentity.objects.create(
        contact=contact, channel=channel, source_id=source_id, source_index=source_index(source_id), created_at=said[0].at
    )
    conversation = _conversation(identity, said)
    for exchange in _exchanges(said):
        _put_exchange(conversation, contact, exchange)
    _handovers(conversation, said)
    report.add("sample conversation", shape.id, "created", remark=f"{len(said)} messages")


def _spoken(shape: Sample, channel: Channel) -> list[Spoken]:
    day = timezone.now().astimezone(channel.zone) - timedelta(days=shape.days_ago)
    hour, minute = (int(part) for part in shape.at.split(":"))
    at = day.replace(hour=hour, minute=minute, second=0, microsecond=0)
    said = []
    for seq, line in enumerate(shape.messages, start=1):
        at += timedelta(seconds=line.after if seq > 1 else 0)
        said.append(Spoken(seq, line, at))
    return said


def _contact(shape: Sample, said: list[Spoken]) -> Contact:
    decided = shape.is_client is not None
    return Contact.objects.create(
        name=shape.name,
        business_name=shape.business_name,
        name_hashes=name_hashes(shape.name, shape.business_name),
        is_client=shape.is_client,
        confidence=0.9 if decided else None,
        reasoning=shape.reasoning,
        classified_at=said[0].at if decided or shape.reasoning else None,
        last_message_at=_last(said, "customer"),
        created_at=said[0].at,
    )


def _last(said: list[Spoken], *authors: str) -> datetime | None:
    return max((one.at for one in said if one.line.author in authors), default=None)


def _conversation(identity: ContactIdentity, said: list[Spoken]) -> Conversation:
    led_by_manager = [one for one in said if one.line.author != "customer"][-1:]
    manager = bool(led_by_manager) and led_by_manager[0].line.author == "manager"
    return Conversation.objects.create(
        identity=identity,
        contact=identity.contact,
        channel=identity.channel,
        mode=Conversation.Mode.MANAGER if manager else Conversation.Mode.BOT,
        epoch=int(manager),
        cycle=sum(one.line.author == "customer" for one in said),
        last_seq=said[-1].seq,
        taken_at=led_by_manager[0].at if manager else None,
        last_inbound_at=_last(said, "customer"),
        last_outbound_at=_last(said, "bot", "manager"),
        created_at=said[0].at,
    )


def _exchanges(said: list[Spoken]) -> list[Exchange]:
    exchanges: list[Exchange] = []
    for one in said:
        customer = one.line.author == "customer"
        if not exchanges or (customer and exchanges[-1].answered):
            exchanges.append(Exchange())
        (exchanges[-1].asked if customer else exchanges[-1].answered).append(one)
    return exchanges


def _put_exchange(conversation: Conversation, contact: Contact, exchange: Exchange) -> None:
    """The messages of an exchange, and the turn that says what became of the customer's."""
    turn = _turn(conversation, contact, exchange) if exchange.asked else None
    for one in (*exchange.asked, *exchange.answered):
        inbound = one.line.author == "customer"
        Message.objects.create(
            conversation=conversation,
            channel_id=conversation.channel_id,
            turn=turn if inbound or one.line.author == "bot" else None,
            seq=one.seq,
            direction=Message.Direction.IN if inbound else Message.Direction.OUT,
            author=one.line.author,
            text=one.line.text,
            details=MARK,
            state=Message.State.RECEIVED if inbound else Message.State.READ,
            state_changed_at=one.at,
            sent_at=one.at,
            created_at=one.at,
        )


def _turn(conversation: Conversation, contact: Contact, exchange: Exchange) -> Turn:
    first, last = exchange.asked[0], exchange.asked[-1]
    reply = next((one for one in exchange.answered if one.line.author == "bot"), None)
    marks = [("received" if number == 0 else "joined", one.at) for number, one in enumerate(exchange.asked)]
    ended: dict[str, Any]
    if reply is not None:
        marks += [("answer", last.at), ("deliver", reply.at), ("done", reply.at)]
        ended = {"stage": Turn.Stage.DONE, "finished_at": reply.at}
    else:
        ended = {"stage": Turn.Stage.IGNORED, "reason": _silence(contact, exchange), "finished_at": last.at}
    return Turn.objects.create(
        conversation=conversation,
        from_seq=first.seq,
        upto_seq=last.seq,
        opened_at=first.at,
        due_at=last.at,
        timeline=[{"what": what, "at": at.isoformat()} for what, at in marks],
        **ended,
    )


def _silence(contact: Contact, exchange: Exchange) -> str:
    """Why the assistant said nothing."""
    if exchange.answered:
        return Turn.Reason.MANAGER
    if contact.is_client is None:
        return Turn.Reason.UNSURE
    return Turn.Reason.MANAGER if contact.is_client else Turn.Reason.NOT_CLIENT


def _handovers(conversation: Conversation, said: list[Spoken]) -> None:
    """Where a manager began to speak after the assistant."""
    ours = [one for one in said if one.line.author != "customer"]
    for before, after in pairwise(ours):
        if before.line.author == "bot" and after.line.author == "manager":
            Takeover.objects.create(
                conversation=conversation,
                mode=Conversation.Mode.MANAGER,
                cause=Takeover.Cause.REPLY,
                after_seq=after.seq - 1,
                at=after.at,
            )
