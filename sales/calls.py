"""Calls: booked by the agent, moved, reassigned and marked by managers, reminded of by the clock.

A call is one row, and the database refuses two overlapping ones of a manager. Locks are taken in the order conversation,
managers, call. Customers are told in the same transaction through the outbox of their conversation.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction
from django.db.models import Count, Q
from django.db.models.functions import Now
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from psycopg.errors import ExclusionViolation

from foundation import phones
from foundation.db import execute, now, row

from . import call_telling, call_texts
from .assistants import Configuration
from .call_slots import HORIZON_DAYS, Diary, Refusal, check, free, length, nearest, refusal
from .call_telling import remind_due, tell_due
from .models import Assistant, ScheduledCall, TouchTemplate

__all__ = [
    "HORIZON_DAYS", "CallError", "Changed", "Gone", "NoManager", "NoPhone", "Past", "Refusal", "Taken", "TooFar", "book",
    "cancel", "check", "complete", "free", "miss", "move", "nearest", "reassign", "refusal", "remind_due", "tell_due",
]  # fmt: skip

logger = logging.getLogger(__name__)

Status = ScheduledCall.Status
Purpose = TouchTemplate.Purpose

#: Managers may move a call beyond the horizon of the customers, but not further than this.
FURTHEST = timedelta(days=366)


class CallError(Exception):
    """A call could not be booked or changed; as a string, what people are told in the active language."""

    words: str | Promise = ""

    def __str__(self) -> str:
        return str(self.words)


class Taken(CallError):
    """Every manager has another call at that time, or the one who was asked for."""

    words = _("The time is taken: it overlaps another call.")


class NoPhone(CallError):
    """There is no number that could be called."""

    words = _("There is no phone number to call.")


class Past(CallError):
    """The time is not in the future."""

    words = _("This time has passed already.")


class TooFar(CallError):
    """The time is further ahead than anybody plans: a wrong year rather than a wish."""

    words = _("This time is more than a year ahead.")


class NoManager(CallError):
    """Nobody of that id may log in."""

    words = _("This person cannot take calls.")


class Gone(CallError):
    """The call has taken place, was missed or cancelled, or never was."""

    words = _("The call is not scheduled any more.")


class Changed(CallError):
    """Somebody else changed the call at the same moment."""

    words = _("The call has just been changed by somebody else. Look at it again.")


# ── Booking ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def book(
    configured: Configuration, *, contact_id: int, conversation_id: int | None, start: datetime, phone: str | None,
    customer_zone: str = "", turn_id: int | None = None, now: datetime,
) -> ScheduledCall:  # fmt: skip
    """Book a call at `start`, which `check` has allowed, with the free manager who has the fewest calls that day.

    A call with this contact that is scheduled already is moved, if it can be without another manager. To be called within a
    transaction that holds the conversation's lock; the words for the customer are the caller's. Raises Taken and NoPhone.
    """
    number = phones.canonical(phone or "")
    if number is None:
        raise NoPhone
    _lock_managers(configured.managers)
    call = _scheduled(contact_id, configured.assistant)
    usual = call.manager_id
    if usual is not None and call.ends_at <= now:
        call.notes = "\n".join(filter(None, [call.notes, _unmarked(call)]))
    call.conversation_id, call.turn_id = conversation_id, turn_id
    call.phone, call.customer_zone, call.time_zone = number, customer_zone, configured.assistant.time_zone
    call.starts_at, call.ends_at = start, start + length(configured)
    call.reminded_at, call.untold = _reminded(call, configured.assistant, now), ""
    for manager_id in _in_turn(configured, call, usual):
        call.manager_id = manager_id
        try:
            _save(call)
        except Taken:
            continue
        call_telling.ring(call)
        logger.info("call booked", extra={"call": call.pk, "manager": manager_id, "turn": turn_id, "moved": usual is not None})
        return call
    raise Taken


def _scheduled(contact_id: int, assistant: Assistant) -> ScheduledCall:
    """The contact's scheduled call, locked, or a new one."""
    known = ScheduledCall.objects.select_for_update().filter(contact=contact_id, assistant=assistant, status=Status.SCHEDULED)
    return known.first() or ScheduledCall(contact_id=contact_id, assistant=assistant)


def _unmarked(call: ScheduledCall) -> str:
    """A note for managers: the row of a call that nobody marked is used for the next one."""
    return gettext("Agreed anew: the call before was to be %(when)s, and nobody noted whether it took place.") % {
        "when": call_texts.of_call(call)
    }


def _in_turn(configured: Configuration, call: ScheduledCall, usual: int | None) -> list[int]:
    """The managers who are free for a call: who has it already, then by the number of calls that day, then by id."""
    able = Diary(configured, call.starts_at, call.ends_at, call.contact_id).free_managers(call.starts_at, call.ends_at)
    local = call.starts_at.astimezone(configured.working_time.zone)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    of_the_day = ScheduledCall.objects.filter(
        manager__in=able, starts_at__gte=midnight, starts_at__lt=midnight + timedelta(days=1)
    ).exclude(Q(status=Status.CANCELLED) | Q(pk=call.pk))
    counts = dict(of_the_day.order_by().values_list("manager").annotate(Count("pk")))
    return sorted(able, key=lambda manager: (manager != usual, counts.get(manager, 0), manager))


def _reminded(call: ScheduledCall, assistant: Assistant, at: datetime) -> datetime | None:
    """`reminded_at` of a call whose time was set at `at`: who agreed within the reminder's time needs no reminder."""
    return at if call.starts_at - at <= timedelta(minutes=assistant.call_reminder_minutes) else None


def _save(call: ScheduledCall) -> None:
    """Write a call. Raises Taken where the database refuses an overlap; the transaction goes on."""
    try:
        with transaction.atomic():
            call.save()
    except IntegrityError as error:
        if isinstance(error.__cause__, ExclusionViolation):
            raise Taken from error
        raise


def _lock_managers(managers: Iterable[int]) -> None:
    """Let one transaction at a time plan calls of these people: two inserts that wait for each other would be a deadlock."""
    for manager_id in sorted(managers):
        execute("SELECT pg_advisory_xact_lock(hashtextextended('sales.calls', %(manager)s))", {"manager": manager_id})


# ── What managers do ─────────────────────────────────────────────────────────────────────────────────────────────────


def move(call_id: int, start: datetime, *, user: Any) -> ScheduledCall:
    """Move a call to another time, within working hours or not, and tell the customer. Raises CallError."""
    with transaction.atomic():
        if start <= now():
            raise Past
        if start > now() + FURTHEST:
            raise TooFar
        call, conversation = _hold(call_id)
        if call.starts_at == start:
            return call
        call.starts_at, call.ends_at = start, start + (call.ends_at - call.starts_at)
        call.reminded_at = _reminded(call, call.assistant, now())
        _save(call)
        call_telling.tell(call, conversation, Purpose.CALL_MOVED, user)
    logger.info("call moved", extra={"call": call_id, "user": user.pk})
    return call


def reassign(call_id: int, manager_id: int, *, user: Any) -> ScheduledCall:
    """Give a call to another manager, and tell the customer. Raises CallError."""
    manager = get_user_model().objects.filter(pk=manager_id, is_active=True).first()
    if manager is None:
        raise NoManager
    with transaction.atomic():
        call, conversation = _hold(call_id, taker=manager_id)
        if call.manager_id == manager_id:
            return call
        call.manager = manager
        _save(call)
        call_telling.tell(call, conversation, Purpose.CALL_REASSIGNED, user)
    logger.info("call reassigned", extra={"call": call_id, "manager": manager_id, "user": user.pk})
    return call


def cancel(call_id: int, *, user: Any = None, notify: bool = True) -> bool:
    """Call a scheduled call off. False: it was not scheduled any more. The customer is told unless `notify` is False.

    Without `notify` only the call is locked, so that whoever holds the lock of a conversation may use it.
    """
    with transaction.atomic():
        conversation = None
        try:
            if notify:
                call, conversation = _hold(call_id)
            else:
                call = _lock_call(call_id)
        except Gone:
            return False
        call.status = Status.CANCELLED
        call.save(update_fields=["status", "updated_at"])
        call_telling.tell(call, conversation, Purpose.CALL_CANCELLED, user)
    logger.info("call cancelled", extra={"call": call_id, "user": getattr(user, "pk", None)})
    return True


def complete(call_id: int, user: Any) -> bool:
    """Note that a call took place, at its time or before; corrects `miss`. False: cancelled, or noted already."""
    return _mark(call_id, Status.COMPLETED, user, Q(status__in=(Status.SCHEDULED, Status.MISSED)))


def miss(call_id: int, user: Any) -> bool:
    """Note that nobody was reached; corrects `complete`. False: not begun, cancelled, or noted already."""
    return _mark(call_id, Status.MISSED, user, Q(status__in=(Status.SCHEDULED, Status.COMPLETED), starts_at__lte=Now()))


def _mark(call_id: int, status: Status, user: Any, where: Q) -> bool:
    with transaction.atomic():
        if not ScheduledCall.objects.filter(where, pk=call_id).update(status=status, updated_at=Now()):
            return False
        call_telling.ring(ScheduledCall.objects.only("conversation_id").get(pk=call_id))
    logger.info("call marked", extra={"call": call_id, "status": str(status), "user": user.pk})
    return True


def _hold(call_id: int, *, taker: int | None = None) -> tuple[ScheduledCall, Any]:
    """Lock a scheduled call together with its conversation (None without one) and the manager who is to make it.

    Raises Gone, and Changed where it got another conversation or manager before the locks were held.
    """
    seen = ScheduledCall.objects.filter(pk=call_id).values("conversation_id", "manager_id").first()
    if seen is None:
        raise Gone
    conversation = row(
        "SELECT id, channel_id, last_seq, epoch FROM conversations_conversation WHERE id = %(id)s FOR UPDATE",
        {"id": seen["conversation_id"]},
    )
    _lock_managers([taker or seen["manager_id"]])
    call = _lock_call(call_id)
    if (call.conversation_id, call.manager_id) != (seen["conversation_id"], seen["manager_id"]):
        raise Changed
    return call, conversation


def _lock_call(call_id: int) -> ScheduledCall:
    """Raises Gone where it is not scheduled."""
    locked = ScheduledCall.objects.select_for_update(of=("self",)).select_related("contact", "assistant", "manager")
    call = locked.filter(pk=call_id, status=Status.SCHEDULED).first()
    if call is None:
        raise Gone
    return call
