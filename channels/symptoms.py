"""What is wrong with a channel whose provider says that it is connected: one sentence for a manager, or nothing.

The sentences hold no numbers that change from minute to minute: a new sentence is a new state.
"""

from __future__ import annotations

from datetime import timedelta
from statistics import median

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from foundation.cache import Remembered
from foundation.db import now, row, rows

from . import breaker
from .models import Channel
from .polling import TROUBLE_AFTER

#: A channel without any event for so many hours is silent,
QUIET_HOURS = 3
#: if in the same hours of the last days there were usually at least so many,
USUAL = 5
DAYS = 14
#: also on this day of the week: shops that close on Sundays are not silent on Sundays.
SAME_WEEKDAY = (7, 14)
#: So many messages within an hour that only the provider's history told of, and a third of all: the webhook is broken.
MISSED = 3
MISSED_SHARE = 3


def of(channel_id: int) -> str:
    """The most urgent symptom of a channel, or the empty word."""
    channel = Channel.objects.select_related("breaker").get(pk=channel_id)
    return _sending(channel) or _polling(channel) or _missed(channel) or _silent(channel)


def _sending(channel: Channel) -> str:
    paused = breaker.of(channel)
    if paused is None or paused.recovered_at is not None or paused.opened_at is None:
        return ""
    since = date_format(timezone.localtime(paused.opened_at), "SHORT_DATETIME_FORMAT")
    return _("Nothing can be sent since %(time)s: %(reason)s") % {"time": since, "reason": paused.reason}


def _polling(channel: Channel) -> str:
    return _("The provider's messages cannot be read.") if channel.poll_failures >= TROUBLE_AFTER else ""


def _missed(channel: Channel) -> str:
    """Customers write, the provider has it, and neither webhook nor poll brings it."""
    found = row(
        """
        SELECT count(*) FILTER (WHERE source = 'history') AS missed, count(*) AS n FROM channels_inboundevent
        WHERE channel_id = %(channel)s AND received_at > now() - interval '1 hour' AND payload IS NOT NULL AND lane <> ''
        """,
        {"channel": channel.pk},
    )
    if found is None or found.missed < MISSED or found.missed * MISSED_SHARE < found.n:
        return ""
    return _(
        "The channel is connected, but messages reach us only by reading the provider's history: the webhook does not arrive. "
        "Subscribe it again."
    )


def _silent(channel: Channel) -> str:
    """Nothing at all at a time at which there usually is. A channel that never had traffic is only quiet."""
    last = channel.last_event_at
    if last is None or last > now() - timedelta(hours=QUIET_HOURS) or not _usually(channel.pk):
        return ""
    since = date_format(timezone.localtime(last), "SHORT_DATETIME_FORMAT")
    return _(
        "The channel is connected, but silent since %(time)s, though customers usually write at this time. Send it a message "
        "to see whether it arrives."
    ) % {"time": since}


def _count_usual(channel_id: int) -> bool:
    found = rows(
        """
        SELECT day, (
            SELECT count(*) FROM channels_inboundevent e
            WHERE e.channel_id = %(channel)s AND e.payload IS NOT NULL AND e.lane <> ''
              AND e.received_at <= now() - day * interval '24 hours'
              AND e.received_at > now() - day * interval '24 hours' - make_interval(hours => %(hours)s)) AS n
        FROM generate_series(1, %(days)s) AS day ORDER BY day
        """,
        {"channel": channel_id, "days": DAYS, "hours": QUIET_HOURS},
    )
    counts = {day.day: day.n for day in found}
    return median(counts.values()) >= USUAL and all(counts[day] > 0 for day in SAME_WEEKDAY)


#: A silent channel is looked at every minute; what is usual at this time is counted now and then.
_usually = Remembered(600.0, _count_usual)
