"""The card beside a chat that says how the sale stands: qualification, answers to the funnel, call and follow-up."""

from __future__ import annotations

from typing import Any

from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from conversations.admin.panels import PANELS, Decision, Panel
from conversations.models import Conversation
from foundation.db import row

from .. import cadence, follow_ups
from ..funnels.walking import LANGUAGE
from ..models import FollowUp, FunnelProgress, Qualification, ScheduledCall
from ..owners import visible_calls
from .follow_ups import CHANGE, decide, line, with_touches

#: The SPIN stages in their order.
STEPS: list[Qualification.Stage] = [stage for stage in Qualification.Stage if stage != Qualification.Stage.NONE]
#: What is learnt of a contact, by the field that keeps it.
SIDES = {
    "situation": gettext_lazy("Situation"),
    "problem": gettext_lazy("Problem"),
    "implication": gettext_lazy("Implication"),
    "need": gettext_lazy("Need"),
}
CALL_TONES = {
    ScheduledCall.Status.SCHEDULED: "info", ScheduledCall.Status.COMPLETED: "ok", ScheduledCall.Status.CANCELLED: "muted",
    ScheduledCall.Status.MISSED: "bad",
}  # fmt: skip

_VERSION = """
SELECT
    (SELECT q.updated_at FROM sales_qualification q WHERE q.contact_id = %(contact)s) AS learnt,
    (SELECT p.updated_at FROM sales_funnelprogress p WHERE p.conversation_id = %(conversation)s) AS answered,
    (SELECT array_agg((s.id, s.updated_at, s.ends_at <= now()) ORDER BY s.id)::text FROM sales_scheduledcall s
     WHERE s.contact_id = %(contact)s) AS calls,
    (SELECT array_agg((f.id, f.state, f.stop_reason, x.id, x.state, x.reason, x.planned_at, t.stage, t.reason)
                      ORDER BY x.number)::text
     FROM sales_followup f LEFT JOIN sales_touch x ON x.follow_up_id = f.id LEFT JOIN conversations_turn t ON t.id = x.turn_id
     WHERE f.id = (SELECT id FROM sales_followup WHERE conversation_id = %(conversation)s ORDER BY cycle DESC LIMIT 1)
    ) AS follow_up
"""


def _version(conversation: Conversation) -> object:
    return row(_VERSION, {"contact": conversation.contact_id, "conversation": conversation.pk})


def _html(conversation: Conversation, user: Any) -> SafeString | str:
    told: dict[str, Any] = {}
    if may_view(user, "qualification"):
        told |= qualification(Qualification.objects.filter(contact=conversation.contact_id).first())
        told |= answers(FunnelProgress.objects.filter(conversation=conversation).first())
    if may_view(user, "scheduledcall"):
        told |= _call(conversation, user)
    if may_view(user, "followup"):
        told |= _follow_up(conversation, user)
    return render_to_string("admin/sales/side_panel.html", {**told, "c": conversation}) if told else ""


def may_view(user: Any, model: str) -> bool:
    """Whether the admin would show rows of this model of ours."""
    return any(user.has_perm(f"sales.{right}_{model}") for right in ("view", "change"))


def qualification(known: Qualification | None) -> dict[str, Any]:
    """For the template of a qualification: the stages in order with those that are reached, and what was learnt."""
    reached = STEPS.index(Qualification.Stage(known.stage)) if known and known.stage != Qualification.Stage.NONE else -1
    return {
        "steps": [{"label": stage.label, "reached": n <= reached, "here": n == reached} for n, stage in enumerate(STEPS)],
        "learnt": [(label, text) for side, label in SIDES.items() if (text := getattr(known, side, ""))],
    }


def answers(progress: FunnelProgress | None) -> dict[str, Any]:
    """For the template: the segment, and what was answered in the funnel by the names that its steps give the answers."""
    if progress is None:
        return {}
    told = [
        (key, ", ".join(map(str, value)) if isinstance(value, list) else str(value))
        for key, value in progress.known.items()
        if key != LANGUAGE
    ]
    return {"segment": progress.segment, "answers": told}


def _call(conversation: Conversation, user: Any) -> dict[str, Any]:
    """The next call with this contact, else the last one."""
    calls = visible_calls(ScheduledCall.objects.filter(contact=conversation.contact_id), user).select_related("manager")
    scheduled = calls.filter(status=ScheduledCall.Status.SCHEDULED).order_by("-starts_at").first()
    call = scheduled or calls.filter(starts_at__lte=timezone.now()).order_by("-starts_at").first()
    if call is None:
        return {"call": None, "knows_calls": True}
    return {
        "knows_calls": True,
        "call": call,
        "call_at": call.starts_at.astimezone(conversation.channel.zone),
        "call_tone": CALL_TONES[ScheduledCall.Status(call.status)],
        "call_waits": call.status == ScheduledCall.Status.SCHEDULED and call.is_over,
        "call_manager": call.manager.get_full_name() or call.manager.get_username(),
    }


def _follow_up(conversation: Conversation, user: Any) -> dict[str, Any]:
    """The last follow-up of the conversation."""
    rows = with_touches(FollowUp.objects.filter(conversation=conversation))
    follow_up = rows.order_by("-cycle").first()
    if follow_up is None:
        return {"follow_up": None, "knows_follow_ups": True}
    active = follow_up.state == FollowUp.State.ACTIVE
    return {
        "knows_follow_ups": True,
        "follow_up": follow_up,
        "dots": (dots := line(follow_up)),
        "next": next((dot for dot in dots if dot.is_next), None),
        "state_tone": cadence.STATES[FollowUp.State(follow_up.state)][0],
        "why": follow_up.get_stop_reason_display() if follow_up.state == FollowUp.State.STOPPED else "",
        "may_decide": active and user.has_perm(CHANGE),
    }


def _decision(what: str) -> Decision:
    """`stop` gets the id of a follow-up, the others that of a touch."""

    def decided(conversation: Conversation, user: Any, row_id: int) -> str:
        if not user.has_perm(CHANGE):
            raise follow_ups.Refused(_("You may not decide about follow-ups."))
        named = {"pk": row_id} if what == "stop" else {"touches": row_id}
        follow_up = FollowUp.objects.filter(conversation=conversation, **named).first()
        if follow_up is None:
            raise follow_ups.Refused(_("The follow-up has ended already."))
        return decide(follow_up, what, row_id, user)

    return decided


PANEL = Panel(
    html=_html, version=_version,
    decisions={
        "stop_follow_up": _decision("stop"), "skip_touch": _decision("skip"), "send_touch": _decision("send_now"),
    },
)  # fmt: skip
PANELS.append(PANEL)
