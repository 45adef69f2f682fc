"""The life of a follow-up: up to five touches towards a customer who fell silent, and whatever ends it.

Planned by `plan`, made by `fire`, ended in the very commit of its cause. All of it happens under the conversation's row
lock (then turn, then messages, then the rows here), so that any number of schedulers, replies and takeovers agree on who
was first. A touch that was made is composed by `touches` and leaves through the outbox, fenced by cycle and hours.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from channels import directory, pacing
from conversations import turns
from conversations.attention import Refused
from conversations.models import Turn
from foundation.db import execute, row, rows

from . import proactive
from .assistants import configuration
from .follow_up_ends import Reason, end, note_answer, opt_out, situation_of, why_not
from .follow_up_plan import distance, one_of_many, plan
from .models import FollowUp, Touch, TouchTemplate
from .sending_hours import SendingHours

logger = logging.getLogger(__name__)

#: When a touch is tried again that found another message on its way, or could not be made.
BUSY_FOR = timedelta(minutes=5)
#: When a touch is tried again whose channel is stopped or disabled.
STOPPED_FOR = timedelta(hours=1)
#: A touch that a person sends may leave at any hour, for so long.
BY_HAND_FOR = timedelta(hours=1)
#: When a touch is composed again whose words no source confirmed.
UNPROVEN_FOR = timedelta(days=1)
#: When a touch is looked at again that waits for a template (a template that is chosen wakes it), and how long it waits.
TEMPLATE_FOR = timedelta(hours=6)
TEMPLATE_AT_MOST = timedelta(days=7)
#: `Touch.reason` of such a touch: moved once, then skipped.
UNPROVEN = Touch.Reason.UNPROVEN

__all__ = [
    "Refused", "end", "fire", "note_answer", "opt_out", "plan", "send_now", "situation_of", "skip", "stop", "why_not",
]  # fmt: skip

# ── Making touches ───────────────────────────────────────────────────────────────────────────────────────────────────

_DUE = """
WITH due AS MATERIALIZED (
    SELECT follow_up_id, planned_at FROM sales_touch WHERE state = 'planned' AND planned_at <= now()
    ORDER BY planned_at LIMIT %(limit)s)
SELECT f.id, f.conversation_id FROM due JOIN sales_followup f ON f.id = due.follow_up_id
GROUP BY f.id ORDER BY min(due.planned_at)
"""
_LOCK = """
WITH k AS MATERIALIZED (SELECT id FROM conversations_conversation WHERE id = %(id)s FOR UPDATE SKIP LOCKED) SELECT id FROM k
"""


def fire(limit: int = 200) -> int:
    """Make the touches whose time has come. Returns how many.

    Any number of schedulers may run at once: whoever locks the conversation decides, the others leave it.
    """
    _recover(limit)
    proactive.settle()
    return sum(_fire_safely(due.id, due.conversation_id) for due in rows(_DUE, {"limit": limit}))


def _fire_safely(follow_up_id: int, conversation_id: int) -> bool:
    """Make the touch of one follow-up; one that fails is set back, so that it does not keep the others waiting."""
    try:
        with transaction.atomic():
            return row(_LOCK, {"id": conversation_id}) is not None and _fire(follow_up_id)
    except Exception:
        logger.exception("touch not made", extra={"follow_up": follow_up_id})
        execute(
            """
            UPDATE sales_touch SET planned_at = now() + %(wait)s
            WHERE follow_up_id = %(id)s AND state = 'planned' AND planned_at <= now()
            """,
            {"id": follow_up_id, "wait": BUSY_FOR},
        )
        return False


def _fire(follow_up_id: int) -> bool:
    """Make the newest due touch of a follow-up, move it, or end the follow-up. The caller holds the conversation's lock."""
    situation = situation_of(follow_up_id)
    if situation is None or situation.state != FollowUp.State.ACTIVE:
        return False
    if (why := why_not(situation)) is not None:
        end(situation.conversation_id, why, follow_up_id=follow_up_id)
        return False
    due = list(Touch.objects.filter(follow_up=follow_up_id, state="planned", planned_at__lte=situation.now).order_by("number"))
    if not due:
        return False
    touch = due.pop()
    skip_all(due, Touch.Reason.OUTAGE)
    hours = sending_hours(situation)
    if not situation.running:
        return _move(touch, situation.now + STOPPED_FOR)
    if not hours.is_open(situation.now):
        return _move(touch, hours.opening(situation.now, follow_up_id), Touch.Reason.HOURS)
    try:
        proactive_way(situation, touch)
    except proactive.WaitsForTemplate as error:
        return _wait_for_template(situation, touch, hours, str(error))
    before = transaction.savepoint()
    if (over := _over_budget(situation)) is not None:
        return _move(touch, hours.opening(over.until, follow_up_id), Touch.Reason.PACE)
    if not _make(situation, touch, hours):
        # What was counted for it was not sent.
        transaction.savepoint_rollback(before)
        return _move(touch, situation.now + BUSY_FOR, Touch.Reason.BUSY)
    return True


def proactive_way(situation: Any, touch: Touch) -> proactive.Way:
    """How a touch may be sent now. Raises proactive.WaitsForTemplate."""
    configured = configuration(situation.channel_id)
    assert configured is not None
    purpose = TouchTemplate.Purpose.touch(touch.number)
    return proactive.way(configured, situation.conversation_id, situation.channel_id, purpose, situation.now)


def _wait_for_template(situation: Any, touch: Touch, hours: SendingHours, words: str) -> bool:
    """Nobody may be written to in our own words now: without asking a model the touch waits until somebody chooses a template.

    It gives way to the next one, and is skipped after a week. Always False: nothing was made.
    """
    proactive.tell(proactive.TOUCHES, situation.channel_id, words)
    if situation.now > touch.due_at + TEMPLATE_AT_MOST:
        skip_all([touch], Touch.Reason.TEMPLATE)
        complete(situation.id)
        return False
    again = situation.now + TEMPLATE_FOR
    later = Touch.objects.filter(follow_up=situation.id, state="planned", number__gt=touch.number)
    following = later.order_by("number").first()
    if following is not None:
        again = min(again, max(following.planned_at, situation.now + BUSY_FOR))
    return _move(touch, hours.opening(again, situation.id), Touch.Reason.TEMPLATE)


def _over_budget(situation: Any, *, forced: bool = False) -> pacing.Over | None:
    """Count a touch against what its number may send, or say until when it has to wait."""
    channel = directory.entry(situation.channel_id).channel
    return pacing.take(channel, at=situation.now, customer_zone=situation.time_zone, key=situation.id, forced=forced)


def sending_hours(situation: Any) -> SendingHours:
    """When the customer of a follow-up may be written to; its channel has an assistant (see `why_not`)."""
    configured = configuration(situation.channel_id)
    assert configured is not None
    return SendingHours(configured.assistant, situation.time_zone)


def skip_all(touches: Sequence[Touch], reason: str) -> None:
    """Skip touches. The caller holds the conversation's lock."""
    for touch in touches:
        Touch.objects.filter(pk=touch.pk).update(state=Touch.State.SKIPPED, reason=reason)
        logger.info("touch skipped", extra={"touch": touch.pk, "follow_up": touch.follow_up_id, "reason": str(reason)})


def _move(touch: Touch, to: datetime, reason: str = "") -> bool:
    """Move a planned touch. A reason that says more stays. Always False: nothing was made."""
    kept = touch.reason if not reason or touch.reason == UNPROVEN else reason
    Touch.objects.filter(pk=touch.pk).update(planned_at=to, reason=kept)
    logger.info("touch moved", extra={"touch": touch.pk, "follow_up": touch.follow_up_id, "reason": str(kept)})
    return False


def _make(situation: Any, touch: Touch, hours: SendingHours, *, reason: str | None = None) -> bool:
    """Open the turn of a touch, and keep the next touch at a distance; False where another turn is open."""
    turn = turns.open_proactive(situation.conversation_id, Turn.Trigger.FOLLOW_UP)
    if turn is None:
        return False
    made = {"state": Touch.State.FIRED, "turn_id": turn.id, "fired_at": situation.now}
    kept = "" if touch.reason == Touch.Reason.TEMPLATE else touch.reason
    Touch.objects.filter(pk=touch.pk).update(**made, reason=kept if reason is None else reason)
    following = Touch.objects.filter(follow_up=situation.id, state=Touch.State.PLANNED).order_by("number").first()
    if following is not None:
        earliest = situation.now + distance(touch.due_at, following.due_at)
        if following.planned_at < earliest:
            _move(following, hours.opening(earliest, situation.id), Touch.Reason.HOURS)
    complete(situation.id)
    logger.info("touch made", extra={"touch": touch.pk, "follow_up": situation.id, "turn": turn.id, "number": touch.number})
    return True


def complete(follow_up_id: int) -> None:
    """End a follow-up that has no touch left to make."""
    execute(
        """
        UPDATE sales_followup f SET state = 'completed', stop_reason = 'completed_5_touches', stopped_at = now()
        WHERE f.id = %(id)s AND f.state = 'active'
          AND NOT EXISTS (SELECT FROM sales_touch x WHERE x.follow_up_id = f.id AND x.state = 'planned')
        """,
        {"id": follow_up_id},
    )


# ── Touches that were made and did not leave ─────────────────────────────────────────────────────────────────────────

_MADE = """
SELECT x.id, x.follow_up_id, f.conversation_id FROM conversations_turn t
JOIN sales_touch x ON x.turn_id = t.id AND x.state = 'fired' JOIN sales_followup f ON f.id = x.follow_up_id
"""
#: Turns stay late for ever, so only those of the last weeks are looked at.
_LATE = f"""
{_MADE} WHERE t.stage = 'superseded' AND t.reason = 'late' AND t.finished_at > now() - interval '30 days' LIMIT %(limit)s
"""
_LOST = f"""
{_MADE}
WHERE t.stage = 'failed' AND t.trigger = 'follow_up' AND t.reason <> 'unconfirmed' AND f.state <> 'stopped' LIMIT %(limit)s
"""


def _recover(limit: int) -> None:
    """Plan again what its hours outran, and end what cannot be delivered: a manager has it on the list."""
    for late in rows(_LATE, {"limit": limit}):
        with one_of_many("late touch not planned again", late.conversation_id):
            if row(_LOCK, {"id": late.conversation_id}) is not None:
                plan_again(late.id)
    for lost in rows(_LOST, {"limit": limit}):
        with one_of_many("follow-up not ended", lost.conversation_id):
            if row(_LOCK, {"id": lost.conversation_id}) is not None:
                end(lost.conversation_id, Reason.UNDELIVERABLE, follow_up_id=lost.follow_up_id, whole=True)


def plan_again(touch_id: int, *, wait: timedelta = timedelta(0), reason: str = Touch.Reason.HOURS) -> None:
    """A touch that was made and did not leave becomes planned again, `wait` from now, in sending hours.

    Where its follow-up has ended, or has to, it is cancelled. The caller holds the conversation's lock, and has ended the
    touch's turn.
    """
    touch = Touch.objects.get(pk=touch_id)
    situation = situation_of(touch.follow_up_id)
    if touch.state != Touch.State.FIRED or situation is None:
        return
    why = why_not(situation)
    if why is not None:
        end(situation.conversation_id, why, follow_up_id=situation.id, whole=True)
    if why is not None or situation.state == FollowUp.State.STOPPED:
        Touch.objects.filter(pk=touch_id).update(state=Touch.State.CANCELLED)
        return
    execute(
        "UPDATE sales_followup SET state = 'active', stop_reason = '', stopped_at = NULL WHERE id = %(id)s",
        {"id": situation.id},
    )
    Touch.objects.filter(pk=touch_id).update(state=Touch.State.PLANNED, turn=None, fired_at=None)
    _move(touch, sending_hours(situation).opening(situation.now + wait, situation.id), reason)


def leaves_until(touch: Touch, hours: SendingHours, now: datetime) -> datetime | None:
    """Until when a touch that was made may leave; None where it is too late already."""
    if touch.reason == Touch.Reason.BY_HAND and touch.fired_at is not None:
        until = touch.fired_at + BY_HAND_FOR
        return until if until > now else None
    return hours.closing(now) if hours.is_open(now) else None


def unproven(touch: Touch) -> bool:
    """No words could be found for a touch that the sources confirm: it is planned again for the next day, once.

    The second time it is skipped, and a manager is called; False then. The caller holds the conversation's lock, and has
    ended the touch's turn.
    """
    if touch.reason != UNPROVEN:
        plan_again(touch.pk, wait=UNPROVEN_FOR, reason=UNPROVEN)
        return True
    skip_all([touch], UNPROVEN)
    complete(touch.follow_up_id)
    return False


# ── What managers decide ─────────────────────────────────────────────────────────────────────────────────────────────


def stop(follow_up_id: int, user: Any) -> None:
    """End a follow-up by hand; a touch that has not begun to leave is withdrawn. Raises Refused."""
    with transaction.atomic():
        conversation_id = _locked(follow_up_id)
        turns.void_proactive(conversation_id, Turn.Reason.MANAGER)
        if not end(conversation_id, Reason.BY_HAND, user=user, follow_up_id=follow_up_id):
            raise Refused(_("The follow-up has ended already."))
        turns.open_next(conversation_id)
    logger.info("follow-up stopped by hand", extra={"follow_up": follow_up_id, "user": user.pk})


def skip(touch_id: int, user: Any) -> None:
    """Leave one planned touch out; the others stay as they are. Raises Refused."""
    with transaction.atomic():
        touch = _planned(touch_id)
        skip_all([touch], Touch.Reason.BY_HAND)
        complete(touch.follow_up_id)
    logger.info("touch skipped by hand", extra={"touch": touch_id, "user": user.pk})


def send_now(touch_id: int, user: Any) -> None:
    """Make the next planned touch of a follow-up at once, at whatever hour, and let it leave for an hour. Raises Refused."""
    with transaction.atomic():
        touch = _planned(touch_id)
        situation = situation_of(touch.follow_up_id)
        why = why_not(situation) if situation is not None else None
        if situation is None or situation.state != FollowUp.State.ACTIVE:
            raise Refused(_("The follow-up has ended already."))
        if why is not None:
            raise Refused(_("The customer must not be written to now: %(why)s.") % {"why": why.label})
        if not situation.running:
            raise Refused(_("The channel is stopped."))
        if Touch.objects.filter(follow_up=situation.id, state="planned", number__lt=touch.number).exists():
            raise Refused(_("An earlier touch is still planned: send or skip that one first."))
        _refuse_outside_window(situation, touch)
        _over_budget(situation, forced=True)
        if not _make(situation, touch, sending_hours(situation), reason=Touch.Reason.BY_HAND):
            raise Refused(_("Another message of the assistant is on its way. Try again in a minute."))
    logger.info("touch sent by hand", extra={"touch": touch_id, "user": user.pk})


def _refuse_outside_window(situation: Any, touch: Touch) -> None:
    try:
        proactive_way(situation, touch)
    except proactive.WaitsForTemplate as error:
        raise Refused(str(error)) from None


def _locked(follow_up_id: int) -> int:
    """Lock the conversation of a follow-up and return its id. Raises Refused where there is none."""
    locked = row(
        """
        SELECT id FROM conversations_conversation
        WHERE id = (SELECT conversation_id FROM sales_followup WHERE id = %(id)s) FOR UPDATE
        """,
        {"id": follow_up_id},
    )
    if locked is None:
        raise Refused(_("The follow-up has ended already."))
    return int(locked.id)


def _planned(touch_id: int) -> Touch:
    """A touch that is still planned, its conversation locked. Raises Refused."""
    known = Touch.objects.filter(pk=touch_id).values_list("follow_up", flat=True).first()
    if known is not None:
        _locked(known)
    touch = Touch.objects.filter(pk=touch_id, state=Touch.State.PLANNED).first()
    if touch is None:
        raise Refused(_("The touch is not planned any more."))
    return touch
