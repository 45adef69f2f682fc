"""What the installation does for itself."""

from __future__ import annotations

import logging

from celery import shared_task

from . import audit as audits
from . import backup as backups
from . import pulse as pulses

logger = logging.getLogger(__name__)


@shared_task(name="config.backup")
def backup() -> None:
    """Copy the database once a day."""
    if not backups.due():
        return
    try:
        backups.make()
    except backups.CannotBackUp as error:
        logger.error("no backup was made", extra={"why": str(error)})


@shared_task(name="config.audit")
def audit() -> None:
    """Ask the rows whether an invariant is broken, and tell people."""
    audits.report()


@shared_task(name="config.pulse")
def pulse() -> None:
    """Show that a worker reads the queue through which this comes; beat sends one into each."""
    pulses.note_queue()
