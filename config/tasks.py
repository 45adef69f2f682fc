"""What the installation does for itself."""

from __future__ import annotations

import logging

from celery import shared_task

from . import backup as backups

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
