"""Is each channel really connected? Asked of the provider, since a dead connection is as silent as a quiet day."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from foundation import steps
from foundation.errors import ProviderError, Unauthorized

from . import directory, log, symptoms
from .models import Channel

logger = logging.getLogger(__name__)

#: A connection that says it is reconnecting is left alone for this long before a manager is told.
PATIENCE = timedelta(minutes=15)


def check_all() -> None:
    """Enqueue a check of every enabled channel, each a task of its own: a slow one delays no other."""
    for channel_id in Channel.objects.filter(enabled=True).values_list("pk", flat=True):
        steps.start("check", channel_id)


def check(channel_id: int) -> bool:
    """Ask the provider about one channel, look for symptoms of our own, and record its health. Returns whether it works."""
    entry = directory.entry(channel_id)
    try:
        health = entry.adapter.check()
    except Unauthorized as error:
        log.set_health(channel_id, Channel.Health.NEEDS_ATTENTION, str(error))
        return False
    except ProviderError as error:
        _not_well(channel_id, str(error))
        return False
    if health.own_number and health.own_number != entry.channel.own_number:
        Channel.objects.filter(pk=channel_id).update(own_number=health.own_number)
    wrong = symptoms.of(channel_id) if health.ok else health.detail or _("not connected")
    if wrong:
        _not_well(channel_id, wrong)
    else:
        log.set_health(channel_id, Channel.Health.OK, health.detail)
    return not wrong


def _not_well(channel_id: int, detail: str) -> None:
    """Trouble first, since most of it heals by itself; a manager is called when it lasts."""
    channel = Channel.objects.only("health", "health_changed_at").get(pk=channel_id)
    lasting = channel.health == Channel.Health.NEEDS_ATTENTION or (
        channel.health == Channel.Health.TROUBLE
        and channel.health_changed_at is not None
        and channel.health_changed_at < timezone.now() - PATIENCE
    )
    log.set_health(channel_id, Channel.Health.NEEDS_ATTENTION if lasting else Channel.Health.TROUBLE, detail)
