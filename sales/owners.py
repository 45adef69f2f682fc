"""Who may see which assistant, and the calls that it has agreed. One rule for every page."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet

from .models import Assistant, ScheduledCall


def own_or_shared(rows: QuerySet[Assistant], user: Any) -> QuerySet[Assistant]:
    """The assistants a person may see, by the rule of the channels: all, or their own and those nobody owns."""
    return rows if user.is_superuser else rows.filter(Q(owner=user) | Q(owner=None))


def visible_calls(rows: QuerySet[ScheduledCall], user: Any) -> QuerySet[ScheduledCall]:
    """The calls a person may see: all, or those of their own and shared assistants, and those that they make."""
    if user.is_superuser:
        return rows
    assistants = own_or_shared(Assistant.objects.all(), user).order_by().values("pk")
    return rows.filter(Q(assistant__in=assistants) | Q(manager=user))
