"""Who may see which channel, and everything that was said on it. One rule for every page and every address."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db.models import Model, Q, QuerySet

from .models import Channel

Row = TypeVar("Row", bound=Model)


def visible_channels(user: Any) -> QuerySet[Channel]:
    """The channels a person works with: superusers see all, others their own and those that nobody owns."""
    if user.is_superuser:
        return Channel.objects.all()
    return Channel.objects.filter(Q(owner=user) | Q(owner=None))


def visible(queryset: QuerySet[Row], user: Any, path: str = "channel") -> QuerySet[Row]:
    """Only the rows whose channel, found at `path`, this person may see."""
    if user.is_superuser:
        return queryset
    return queryset.filter(**{f"{path}__in": visible_channels(user).values("pk")})


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
