"""From a raw event to a message in its conversation and a turn that will answer it.

Each event is one short transaction; whatever it decides is visible: the event is processed or ignored with a reason,
the message belongs to a turn that is open or says why not.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import Error, IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from channels import directory, inbox, log
from channels.base import (
    Adapter,
    DeliveryReceipt,
    Echo,
    Enrolment,
    Event,
    InboundMessage,
    Kind,
    News,
    Reachability,
    Sender,
    SessionChange,
    Skipped,
)
from channels.directory import Entry
from channels.models import Channel, InboundEvent
from foundation import faults, live, steps
from foundation.cache import Remembered
from foundation.crypto import CannotOpen
from foundation.db import execute, row
from foundation.errors import ProviderError, Unreadable

from . import contacts, evidence, manager_chats, reach, signals, takeover, turns
from .models import Contact, Conversation, Message, Turn

logger = logging.getLogger(__name__)

#: A provider's clock may run ahead of ours by this much; beyond it a message counts as sent now.
CLOCK_TOLERANCE = timedelta(minutes=2)
#: Seconds before an event whose counterpart is not there yet is looked at again, and how often it is looked at.
NOT_YET_SECONDS, LOOKS = 3.0, 3

#: Whoever is met with silence for one of these is no new lead.
NO_LEADS = frozenset({
    str(Turn.Reason.BLOCKED), str(Turn.Reason.NOT_ALLOWED), str(Turn.Reason.OLD), str(Turn.Reason.NOT_CLIENT),
})  # fmt: skip


class NotYet(Exception):
    """The event speaks of a message or a person that is not known yet; a moment later it may be."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """Why an event has no effect. `forget`: not even its payload is kept."""

    reason: str
    forget: bool = False


class LostLease(Exception):
    """Somebody else processes the event by now: whatever this transaction did is undone."""


def receive(event_id: int) -> int:
    """Process an event and what waits behind it in its lane. Safe to run twice. Returns how many events ended."""
    done = 0
    claimed = inbox.claim(event_id)
    while claimed is not None:
        if not _process_claimed(claimed):
            break
        done += 1
        claimed = inbox.next_in_lane(claimed)
    return done


def _process_claimed(claimed: Any) -> bool:
    """Process one claimed event; False where it was given back for later."""
    faults.poison("understand", claimed.id)
    try:
        events = _read(claimed)
        with transaction.atomic():
            ignored = _process(claimed, events)
            state = InboundEvent.State.PROCESSED if ignored is None else InboundEvent.State.IGNORED
            reason, wipe = (ignored.reason, ignored.forget) if ignored else ("", False)
            if not inbox.finish(claimed.id, claimed.lease_token, state, reason, wipe=wipe):
                raise LostLease
    except LostLease:
        return False
    except IntegrityError as error:
        if "message_once_per_channel" not in str(error):
            raise
        return inbox.finish(claimed.id, claimed.lease_token, InboundEvent.State.IGNORED, _("message known already"))
    except NotYet as error:
        if claimed.attempts < LOOKS:
            inbox.postpone(claimed, str(error), seconds=NOT_YET_SECONDS)
            return False
        return inbox.finish(claimed.id, claimed.lease_token, InboundEvent.State.IGNORED, str(error))
    except Unreadable as error:
        logger.warning("event unreadable", extra={"event": claimed.id, "channel_id": claimed.channel_id})
        return inbox.finish(claimed.id, claimed.lease_token, InboundEvent.State.FAILED, str(error))
    except (Error, CannotOpen, ArithmeticError, LookupError, TypeError, ValueError) as error:
        # A poison event must not take its lane with it: it is tried again, then waits for a person.
        logger.exception("event failed", extra={"event": claimed.id, "channel_id": claimed.channel_id})
        inbox.postpone(claimed, type(error).__name__, seconds=NOT_YET_SECONDS * claimed.attempts)
        return False
    return True


def _read(claimed: Any) -> list[Event]:
    """What an event says, and who is behind it. A provider may be asked for that, so no transaction is open.

    Raises Unreadable, and NotYet while the provider cannot be asked; the last look goes without the answer.
    """
    entry = directory.entry(claimed.channel_id)
    patient = claimed.attempts < LOOKS
    return [_identified(entry, event, patient=patient) for event in entry.adapter.parse(claimed.payload)]


def _identified(entry: Entry, event: Event, *, patient: bool) -> Event:
    """The event with the phone behind a hidden identity: the rules for numbers go by it."""
    match event:
        case InboundMessage():
            return replace(event, sender=_resolved(entry, event.sender, patient=patient))
        case Echo() if event.by_person:
            return replace(event, recipient=_resolved(entry, event.recipient, patient=patient))
        case _:
            return event


def _resolved(entry: Entry, sender: Sender, *, patient: bool) -> Sender:
    if sender.phone or type(entry.adapter).resolve is Adapter.resolve:
        return sender
    known = contacts.phone_of(entry.channel.pk, sender.source_id)
    if known:
        return replace(sender, phone=known)
    try:
        return entry.adapter.resolve(sender)
    except ProviderError as error:
        if patient:
            raise NotYet(_("who is behind a hidden identity is not known yet")) from None
        logger.info("hidden identity not resolved", extra={"channel_id": entry.channel.pk, "code": error.code})
        return sender


def _process(claimed: Any, events: list[Event]) -> Ignored | None:
    """Carry out what an event says; where nothing of it had an effect, say why."""
    entry = directory.entry(claimed.channel_id)
    ignored = [outcome for event in events if (outcome := _carry_out(entry, event)) is not None]
    _pulse(claimed.channel_id)
    if len(ignored) < len(events):
        return None
    reason = "; ".join(outcome.reason for outcome in ignored) or _("nothing in it")
    return Ignored(reason, forget=any(outcome.forget for outcome in ignored))


def _mark_alive(channel_id: int) -> None:
    execute("UPDATE channels_channel SET last_event_at = now() WHERE id = %(id)s", {"id": channel_id})


#: When a channel last brought something, written at most once in so many seconds by each process.
_pulse: Remembered[int, None] = Remembered(30.0, _mark_alive)


def _carry_out(entry: Entry, event: Event) -> Ignored | None:
    """Do what one normalised event asks."""
    match event:
        case InboundMessage():
            return _message(entry, event)
        case Echo():
            return _echo(entry, event)
        case DeliveryReceipt():
            if not evidence.receipt(entry.channel.pk, event):
                raise NotYet(_("a receipt for a message that is not ours"))
            return None
        case SessionChange():
            health = Channel.Health.OK if event.online else Channel.Health.TROUBLE
            log.set_health(entry.channel.pk, health, event.reason)
            return None
        case Reachability():
            known = reach.note(entry.channel.pk, event)
            return None if known else Ignored(_("nobody who has written here"))
        case News():
            steps.start("poll", entry.channel.pk)
            return None
        case Enrolment():
            known = manager_chats.enrol(entry.channel.pk, event)
            return None if known else Ignored(_("no managers' chat waits for this code"))
        case Skipped():
            return Ignored(event.reason)


def _message(entry: Entry, event: InboundMessage) -> Ignored | None:
    channel = entry.channel
    rule = directory.rule_for(channel.pk, event.sender.phone)
    if rule == "excluded":
        return Ignored(_("excluded number"), forget=True)
    if channel.own_number and event.sender.source_id == channel.own_number:
        return Ignored(_("our own number"))
    if entry.adapter.capabilities.alerts and manager_chats.is_managers(channel.pk, event.sender.source_id):
        return Ignored(_("a chat of managers"))
    conversation = contacts.lock_conversation(channel, event.sender)
    if event.edited and _edit(channel, conversation, event):
        return None
    contact = contacts.learn(Contact.objects.get(pk=conversation.contact_id), event.sender)
    seq = conversation.last_seq + 1
    reason = _why_not(channel, conversation, contact, event, rule)
    unheard = event.kind is Kind.VOICE and bool(event.media) and entry.adapter.capabilities.voice
    turns.void_proactive(conversation.id, Turn.Reason.REPLIED)
    turn_id = _turn(channel, conversation, contact, seq, reason, unheard=unheard)
    _insert(channel, conversation, contact.pk, event, seq, turn_id, unheard=unheard)
    tagged = _remember_origin(conversation.id, event)
    if (tagged or seq == 1) and reason not in NO_LEADS:
        signals.customer_appeared.send(sender=Conversation, conversation_id=conversation.id)
    signals.customer_wrote.send(sender=Conversation, conversation_id=conversation.id)
    transaction.on_commit(lambda: live.ring(f"conversation:{conversation.id}", what="message"))
    return None


def _why_not(channel: Channel, conversation: Any, contact: Contact, event: InboundMessage, rule: str) -> str:
    """The reason why this message gets no answer, or the empty word."""
    if rule:
        return str(Turn.Reason(rule))
    if conversation.blocked_at is not None:
        return str(Turn.Reason.BLOCKED)
    if not channel.running:
        return str(Turn.Reason.STOPPED)
    if conversation.mode == Conversation.Mode.MANAGER:
        return str(Turn.Reason.MANAGER)
    if event.sent_at < timezone.now() - timedelta(hours=channel.answer_age_hours):
        return str(Turn.Reason.OLD)
    if contact.is_client is False and contact.verdict_final:
        return str(Turn.Reason.NOT_CLIENT)
    if not event.text.strip() and event.kind is Kind.TEXT:
        return str(Turn.Reason.EMPTY)
    if channel.rate_limit_count is not None and _messages_in_period(channel, conversation) >= channel.rate_limit_count:
        turns.call_manager(conversation.id, str(Turn.Reason.RATE_LIMIT.label))
        return str(Turn.Reason.RATE_LIMIT)
    if _loops(conversation):
        turns.call_manager(conversation.id, str(Turn.Reason.LOOP.label))
        return str(Turn.Reason.LOOP)
    return ""


def _messages_in_period(channel: Channel, conversation: Any) -> int:
    """How many messages of this customer got an answer within the channel's limit period."""
    counted = row(
        """
        SELECT count(*) AS n FROM conversations_message m JOIN conversations_turn t ON t.id = m.turn_id
        WHERE m.conversation_id = %(conversation)s AND m.direction = 'in' AND t.stage <> 'ignored'
          AND m.created_at > now() - make_interval(secs => %(seconds)s)
        """,
        {"conversation": conversation.id, "seconds": channel.rate_limit_hours * 3600},
    )
    return int(counted.n) if counted else 0


def _loops(conversation: Any) -> bool:
    """Whether the bot has answered here so often within an hour that the other side must be a bot as well."""
    started = conversation.window_started_at
    fresh = started is not None and started > timezone.now() - timedelta(hours=1)
    return fresh and conversation.window_turns >= settings.BOT_LOOP_TURNS


def _turn(channel: Channel, conversation: Any, contact: Contact, seq: int, reason: str, *, unheard: bool) -> int | None:
    """The turn that message number `seq` belongs to; None while it has to wait for the next one."""
    if reason:
        return turns.ignore_message(conversation.id, seq, reason)
    stage = turns.first_stage(unheard=unheard, moderated=channel.moderation and contact.is_client is not True)
    turn = turns.open_or_join(conversation.id, seq, stage, hold=channel.hold, max_hold=channel.max_hold)
    return turn.id if turn is not None else None


#: The message, and in the same statement its number in the conversation; what was planned before it came is void.
_INSERT = """
WITH message AS (
    INSERT INTO conversations_message
        (conversation_id, channel_id, turn_id, seq, direction, author, kind, text, details, external_id, state, sent_at, epoch,
        unheard)
    VALUES (%(conversation)s, %(channel)s, %(turn)s, %(seq)s, 'in', 'customer', %(kind)s, %(text)s, %(details)s, %(external)s,
        'received', %(sent_at)s, %(epoch)s, %(unheard)s)),
contact AS (UPDATE conversations_contact SET last_message_at = now() WHERE id = %(contact)s)
UPDATE conversations_conversation
SET last_seq = last_seq + 1, cycle = cycle + 1, last_inbound_at = now(), unreachable_since = NULL,
    mode = CASE WHEN mode = 'closed' AND blocked_at IS NULL THEN 'bot' ELSE mode END
WHERE id = %(conversation)s
"""
_text = Message._meta.get_field("text")
_details = Message._meta.get_field("details")


def _insert(
    channel: Channel, conversation: Any, contact_id: int, event: InboundMessage, seq: int, turn_id: int | None, *,
    unheard: bool,
) -> None:  # fmt: skip
    details = message_details(event)
    execute(
        _INSERT,
        {
            "conversation": conversation.id,
            "contact": contact_id,
            "channel": channel.pk,
            "turn": turn_id,
            "seq": seq,
            "kind": str(event.kind),
            "text": _text.seal(event.text),
            "details": _details.seal(details) if details else None,
            "external": event.external_id,
            "sent_at": min(event.sent_at, timezone.now() + CLOCK_TOLERANCE),
            "epoch": conversation.epoch,
            "unheard": unheard,
        },
    )


def _remember_origin(conversation_id: int, event: InboundMessage) -> bool:
    """Where the customer comes from, the first time it is told, and what the chat is about, as last told.

    Returns whether the source is new.
    """
    source, about = str(event.details.get("source") or ""), event.details.get("about")
    tagged = bool(source) and Conversation.objects.filter(pk=conversation_id, source="").update(source=source[:60]) > 0
    if about:
        Conversation.objects.filter(pk=conversation_id).update(about=about)
    return tagged


def message_details(event: InboundMessage) -> dict[str, Any]:
    """What a message carries beside its text, in the shape of `Message.details`."""
    media = [
        {"ref": m.ref, "mime": m.mime, "name": m.name, "size": m.size, "seconds": m.seconds}
        for m in event.media[: settings.MAX_ATTACHMENTS]
    ]
    parts = {"media": media, "reply_to": event.reply_to, "action": event.action, **event.details}
    return {name: value for name, value in parts.items() if value}


def _edit(channel: Channel, conversation: Any, event: InboundMessage) -> bool:
    """Replace the text of the message that was edited; a turn that has not answered yet answers the new text."""
    edited = Message.objects.filter(channel=channel, external_id=event.edited, conversation_id=conversation.id).first()
    if edited is None:
        return False
    edited.text = event.text
    edited.save(update_fields=["text"])
    if edited.turn_id:
        execute(
            """
            UPDATE conversations_turn SET version = version + 1
            WHERE id = %(turn)s AND stage IN ('transcribe', 'classify', 'answer')
            """,
            {"turn": edited.turn_id},
        )
    transaction.on_commit(lambda: live.ring(f"conversation:{conversation.id}", what="edit"))
    return True


def _echo(entry: Entry, event: Echo) -> Ignored | None:
    """A copy of what left our side: our own message, or a person's, who thereby takes the conversation over."""
    channel = entry.channel
    if directory.rule_for(channel.pk, event.recipient.phone) == "excluded":
        return Ignored(_("excluded number"), forget=True)
    if evidence.is_ours(channel.pk, event.external_id):
        return Ignored(_("echo of our own message"))
    conversation = contacts.lock_conversation(channel, event.recipient)
    if evidence.adopt_echo(conversation.id, event, entry.adapter.capabilities.markup):
        return Ignored(_("echo of our own message"))
    if not event.by_person and evidence.is_sending(conversation.id):
        # Some program sent it, most likely this one: the answer to our request, on its way, will tell.
        raise NotYet(_("a copy of a message that is being sent"))
    takeover.by_echo(channel, conversation, event)
    return None
