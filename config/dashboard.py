"""The first page of the admin: what happened today, what waits, and whether everything is connected."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Count, Min, QuerySet, Sum
from django.http import HttpRequest, JsonResponse
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.translation import gettext as _

from channels.models import InboundEvent
from channels.owners import visible, visible_channels
from conversations.admin import timeline
from conversations.admin.attention_page import waiting
from conversations.models import Message, Turn
from foundation.db import row
from foundation.queues import queue_sizes
from sales.models import FollowUp, ScheduledCall, Touch
from sales.owners import visible_calls

PERMISSION = "conversations.view_conversation"
REFRESH_SECONDS = 5
OPEN_MESSAGES = (Message.State.QUEUED, Message.State.SENDING, Message.State.UNCONFIRMED)


def context(request: HttpRequest, given: dict[str, Any]) -> dict[str, Any]:
    """What unfold's index page gets beside its own."""
    if not request.user.has_perm(PERMISSION):
        return given
    return {**given, "title": _("Today"), "board": figures(request.user), "refresh_seconds": REFRESH_SECONDS}


def today(request: HttpRequest) -> JsonResponse:
    """`/admin/today.json`: the same figures, rendered, for the page that renews itself."""
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
    return JsonResponse({"html": render_to_string("admin/board.html", {"board": figures(request.user)})})


def figures(user: Any) -> dict[str, Any]:
    """Everything on the board, for the channels that this person may see."""
    midnight = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    turns = visible(Turn.objects.filter(opened_at__gte=midnight), user, "conversation__channel").order_by()
    counted = waiting(user.pk)
    return {
        "received": _messages(user).filter(direction=Message.Direction.IN, created_at__gte=midnight).count(),
        "answered": turns.filter(stage=Turn.Stage.DONE).count(),
        "ignored": _ignored(turns),
        "conversations": counted.conversations,
        "others": counted.others,
        "cost": turns.aggregate(sum=Sum("cost"))["sum"] or 0,
        **_times(user, midnight),
        **_sales(user, midnight),
        "channels": list(visible_channels(user).filter(enabled=True).order_by("name")),
        "waiting": _oldest(user),
        "queues": queue_sizes(),
    }


def _sales(user: Any, midnight: datetime) -> dict[str, int]:
    """Follow-ups under way, touches that are due before the day ends, calls of today: what this person may see of it."""
    tomorrow, told = midnight + timedelta(days=1), dict[str, int]()
    if user.has_perm("sales.view_followup"):
        active = visible(FollowUp.objects.filter(state=FollowUp.State.ACTIVE), user, "conversation__channel").order_by()
        due = Touch.objects.filter(state=Touch.State.PLANNED, planned_at__lt=tomorrow, follow_up__in=active.values("pk"))
        told |= {"follow_ups": active.count(), "touches": due.count()}
    if user.has_perm("sales.view_scheduledcall"):
        today = visible_calls(ScheduledCall.objects.filter(starts_at__gte=midnight, starts_at__lt=tomorrow), user)
        told["calls"] = today.exclude(status=ScheduledCall.Status.CANCELLED).count()
    return told


def _messages(user: Any) -> QuerySet[Message]:
    return visible(Message.objects.order_by(), user)


def _ignored(turns: QuerySet[Turn]) -> list[dict[str, Any]]:
    """How many turns were met with silence, by reason, most frequent first."""
    groups = turns.filter(stage=Turn.Stage.IGNORED).values("reason").annotate(n=Count("pk")).order_by("-n")
    labels = dict(Turn.Reason.choices)
    return [{"reason": group["reason"], "label": labels.get(group["reason"], "—"), "n": group["n"]} for group in groups]


def _times(user: Any, since: datetime) -> dict[str, str]:
    """Median and 95th percentile of the seconds from the first message of a turn to the end of its delivery."""
    found = row(
        """
        SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) AS median,
            percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds) AS p95
        FROM (
            SELECT extract(epoch FROM t.finished_at - t.opened_at) AS seconds
            FROM conversations_turn t JOIN conversations_conversation c ON c.id = t.conversation_id
            WHERE t.opened_at >= %(since)s AND t.stage = 'done' AND c.channel_id = ANY(%(channels)s)) AS done
        """,
        {"since": since, "channels": list(visible_channels(user).values_list("pk", flat=True))},
    )
    return {
        name: timeline.in_words(float(value)) if value is not None else "—"
        for name, value in (("median", found and found.median), ("p95", found and found.p95))
    }


def _oldest(user: Any) -> list[dict[str, Any]]:
    """For each state that waits for the machinery: how many rows, and since when the oldest."""
    events = visible(InboundEvent.objects.filter(state=InboundEvent.State.NEW), user).aggregate(
        n=Count("pk"), at=Min("received_at")
    )
    found = [(_("Events to be processed"), events["n"], events["at"])]
    turns = visible(Turn.objects.filter(stage__in=Turn.OPEN), user, "conversation__channel").order_by()
    stages = dict(Turn.Stage.choices)
    for stage, n, at in turns.values_list("stage").annotate(n=Count("pk"), at=Min("opened_at")):
        found.append((_("Turns: %(stage)s") % {"stage": stages[stage]}, n, at))
    for state in OPEN_MESSAGES:  # one by one, since each state has an index of its own
        waits = _messages(user).filter(state=state).aggregate(n=Count("pk"), at=Min("state_changed_at"))
        found.append((_("Messages: %(state)s") % {"state": state.label}, waits["n"], waits["at"]))
    return [{"label": label, "n": n, "at": at} for label, n, at in found if n]
