"""Who may see which channel, and everything that was said on it. One rule for every page and every address.

Administrators (superusers) see all. Everybody else sees the channels that they own and those whose team they belong to, and
what was said there; a channel without owner and team is the administrators'. What somebody may do to what they see, their
permissions say: a guest has only those to view.
"""

from __future__ import annotations

from typing import Any, TypeVar

from django.db.models import Model, OuterRef, Q, QuerySet

from foundation.big_tables import ExistsByIndex

from .models import Channel, MessageTemplate

Row = TypeVar("Row", bound=Model)


def visible_channels(user: Any) -> QuerySet[Channel]:
    """The channels a person works with: superusers see all, others their own and those of whose team they are."""
    if user.is_superuser:
        return Channel.objects.all()
    teams = Channel.team.through.objects.filter(user=user.pk).values("channel_id")
    return Channel.objects.filter(Q(owner=user.pk) | Q(pk__in=teams))


def visible_templates(user: Any) -> QuerySet[MessageTemplate]:
    """The message templates of the channels a person works with, and those of every channel."""
    if user.is_superuser:
        return MessageTemplate.objects.all()
    return MessageTemplate.objects.filter(Q(channel__in=visible_channels(user).values("pk")) | Q(channel=None))


def visible(queryset: QuerySet[Row], user: Any, path: str = "channel") -> QuerySet[Row]:
    """Only the rows whose channel, found at `path`, this person may see."""
    if user.is_superuser:
        return queryset
    # Numbers, not a subquery: of them the planner knows whether they are many of the rows or few.
    channels = list(visible_channels(user).order_by("pk").values_list("pk", flat=True))
    first, _dot, rest = path.partition("__")
    if not rest:
        return queryset.filter(**{f"{path}__in": channels})
    owners: Any = queryset.model._meta.get_field(first).related_model
    return queryset.filter(ExistsByIndex(owners._base_manager.filter(pk=OuterRef(f"{first}_id"), **{f"{rest}__in": channels})))


class OwnedRows:
    """For model admins: show, offer and change only what belongs to channels that the person may see."""

    #: Where a row of this admin finds its channel.
    channel_path = "channel"

    def get_queryset(self, request: Any) -> QuerySet[Any]:
        return visible(super().get_queryset(request), request.user, self.channel_path)  # type: ignore[misc]

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.remote_field.model is Channel:
            kwargs["queryset"] = visible_channels(request.user)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)  # type: ignore[misc]
