"""The reply window: how long after a customer's last message a channel takes any words of ours. Known before composing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.utils.translation import gettext as _

from channels import directory
from foundation.db import now, row

#: A provider counts by its own clock, and a message takes its time to leave.
MARGIN = timedelta(minutes=2)


def closes_at(conversation_id: int, channel_id: int) -> datetime | None:
    """Until when anything may be written in a conversation; None where its channel knows no window.

    Where the customer never wrote, the window has never been open: the beginning of all times.
    """
    lasts = directory.entry(channel_id).adapter.capabilities.reply_window
    if lasts is None:
        return None
    # By the time at which it was written, which may be long before it reached us.
    heard = row(
        """
        SELECT sent_at FROM conversations_message
        WHERE conversation_id = %(id)s AND direction = 'in' ORDER BY seq DESC LIMIT 1
        """,
        {"id": conversation_id},
    )
    return heard.sent_at + lasts - MARGIN if heard is not None else datetime.fromtimestamp(0, UTC)


def is_open(conversation_id: int, channel_id: int) -> bool:
    """Whether anything may be written now."""
    closes = closes_at(conversation_id, channel_id)
    return closes is None or now() < closes


def closed_words(channel_id: int) -> str:
    """What people are told where the window is closed: before sending, and when a provider says so."""
    lasts = directory.entry(channel_id).adapter.capabilities.reply_window
    if lasts is None:
        return _("The channel does not let us write to this customer now: only a template may be sent.")
    hours = round(lasts.total_seconds() / 3600)
    return _("More than %(hours)d hours since the customer's last message: only a template may be sent.") % {"hours": hours}
