"""`manage.py backup`: copy the database now. `pg_restore` reads the copy (docs/install.md)."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from config import backup


class Command(BaseCommand):
    help = "Copy the database now into BACKUP_PATH, and throw all but the newest BACKUP_KEEP copies away."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            copy = backup.make()
        except backup.CannotBackUp as error:
            raise CommandError(str(error)) from None
        if copy is None:
            raise CommandError("another process is making a copy right now")
        self.stdout.write(str(copy))
