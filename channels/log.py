"""The channel's own event log and its health, as managers see them."""

from __future__ import annotations

from django.db.models import Case, F, When
from django.db.models.functions import Now

from .models import Channel, ChannelLog

#: Log entries kept per channel.
KEEP = 1000


def note(channel_id: int, event: str, detail: str = "", level: str = ChannelLog.Level.INFO) -> None:
    """Write one line of a channel's log. `detail` holds no personal data and no message texts."""
    ChannelLog.objects.create(channel_id=channel_id, event=event[:60], detail=detail[:300], level=level)


def set_health(channel_id: int, health: str, detail: str = "") -> bool:
    """Change a channel's health and log it; True where it, or what is said of it, changed."""
    detail = detail[:300]
    since = Case(When(health=health, then=F("health_changed_at")), default=Now())
    changed = (
        Channel.objects.filter(pk=channel_id)
        .exclude(health=health, health_detail=detail)
        .update(health=health, health_detail=detail, health_changed_at=since)
    )
    if changed:
        level = ChannelLog.Level.INFO if health == Channel.Health.OK else ChannelLog.Level.WARNING
        note(channel_id, f"health: {health}", detail, level)
    return bool(changed)


def purge() -> int:
    """Drop all but the newest entries of each channel."""
    dropped = 0
    for channel_id in Channel.objects.values_list("pk", flat=True):
        border = ChannelLog.objects.filter(channel_id=channel_id).order_by("-at").values_list("at", flat=True)[KEEP : KEEP + 1]
        if border:
            dropped += ChannelLog.objects.filter(channel_id=channel_id, at__lte=border[0]).delete()[0]
    return dropped
