"""Who may see which assistant, and the calls that it has agreed. One rule for every page."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet

from channels.owners import visible_channels

from .models import Assistant, Bot, ScheduledCall


def own_or_shared(rows: QuerySet[Assistant], user: Any) -> QuerySet[Assistant]:
    """The assistants a person may see: all, or their own and those that answer on a channel they work with."""
    if user.is_superuser:
        return rows
    answering = Bot.objects.filter(channel__in=visible_channels(user).order_by().values("pk")).values("assistant_id")
    return rows.filter(Q(owner=user.pk) | Q(pk__in=answering))


def own(rows: QuerySet[Assistant], user: Any) -> QuerySet[Assistant]:
    """The assistants whose funnels a person may change: all for an administrator, else those they own."""
    return rows if user.is_superuser else rows.filter(owner=user.pk)


def may_change(assistant: Assistant, user: Any) -> bool:
    """Whether an assistant is theirs alone to change: their own, or one that answers on no channel of others."""
    if user.is_superuser or assistant.owner_id == user.pk:
        return True
    answers_on = set(Bot.objects.filter(assistant=assistant).values_list("channel_id", flat=True))
    return bool(answers_on) and answers_on <= set(visible_channels(user).values_list("pk", flat=True))


def visible_calls(rows: QuerySet[ScheduledCall], user: Any) -> QuerySet[ScheduledCall]:
    """The calls a person may see: all, or those agreed on the channels they work with, and those that they make.

    A call without a conversation is seen by the owner of its assistant.
    """
    if user.is_superuser:
        return rows
    channels = list(visible_channels(user).order_by("pk").values_list("pk", flat=True))
    theirs = Q(conversation__channel__in=channels) | Q(conversation=None, assistant__owner=user.pk)
    return rows.filter(theirs | Q(manager=user.pk))
