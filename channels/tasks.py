"""The tasks of the edge. Each is safe to run twice."""

from __future__ import annotations

from celery import shared_task
from django.conf import settings

from foundation.db import now

from . import checks, inbox, log, pacing, polling, provider_calls
from . import reconcile as looking_back


@shared_task(name="channels.poll_all")
def poll_all() -> None:
    """Start a poll of every channel that is due."""
    polling.poll_due()


@shared_task(name="channels.poll")
def poll(channel_id: int) -> None:
    """Ask one channel's provider what is new."""
    polling.poll(channel_id)


@shared_task(name="channels.reconcile_all")
def reconcile_all() -> None:
    """Start a look back at the history of every channel that is due."""
    looking_back.reconcile_due()


@shared_task(name="channels.reconcile")
def reconcile(channel_id: int) -> None:
    """Read one channel's history back for what webhooks and polls missed."""
    looking_back.reconcile(channel_id)


@shared_task(name="channels.check_all")
def check_all() -> None:
    """Start a check of every channel's connection."""
    checks.check_all()


@shared_task(name="channels.check")
def check(channel_id: int) -> None:
    """Ask one channel's provider whether it is connected."""
    checks.check(channel_id)


@shared_task(name="channels.purge")
def purge() -> None:
    """Forget old raw payloads and log entries."""
    inbox.purge(settings.RAW_EVENT_DAYS)
    log.purge()
    provider_calls.purge(settings.RAW_EVENT_DAYS)
    pacing.purge(now())
