"""`manage.py prepare`: bring the database and the static files to where this version of the code needs them."""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connection

from channels import control
from config import roles

ADMIN = "admin"
#: Holds off a second copy that starts at the same time (a PostgreSQL advisory lock).
LOCK = 7_283_746


class Command(BaseCommand):
    """Safe to run at every start, and by several copies at once."""

    help = "Migrates, collects static files that changed, and on an empty database loads the demo and makes the administrator."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--demo", metavar="FILE", help="company to provision when the database is new")
        parser.add_argument("--json", action="store_true", help="the last line of output is JSON for script/server")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            connection.ensure_connection()
        except OperationalError as error:
            place = f"{connection.settings_dict['HOST'] or 'the socket'}:{connection.settings_dict['PORT'] or 5432}"
            raise CommandError(f"PostgreSQL at {place} refuses us; check DATABASE_URL. It says: {error}") from error
        with connection.cursor() as cursor:
            # A migration of a large table takes longer than a request may.
            cursor.execute("SET statement_timeout = 0; SET lock_timeout = 0")
            cursor.execute("SELECT pg_advisory_lock(%s)", [LOCK])
            cursor.execute("SET lock_timeout = '60s'")
        call_command("migrate", interactive=False, verbosity=0)
        roles.put_groups()
        control.boot()
        collect_static()
        password = first_start(options["demo"])
        if options["json"]:
            self.stdout.write(json.dumps({"admin_password": password} if password else {}))
        elif password:
            self.stdout.write(f"The administrator's login, shown only this once: {ADMIN} / {password}")


def first_start(demo: str | None) -> str | None:
    """Load the demo company and make the administrator of a database without users.

    The administrator comes last, so that an interrupted first start is one again. Returns the new password, which is
    stored nowhere but as Django's hash, or None on any later start.
    """
    users = get_user_model().objects
    if users.filter(is_superuser=True).exists():
        return None
    if demo and Path(demo).exists() and not apps.get_model("channels", "Channel").objects.exists():
        call_command("provision", demo, verbosity=0, stdout=io.StringIO())
    password = secrets.token_urlsafe(12)
    users.create_superuser(username=ADMIN, email="", password=password)
    return password


def collect_static() -> None:
    """`collectstatic`, unless the same files were collected before: it takes seconds, and starts should not."""
    stamp = settings.STATIC_ROOT.parent / "static.sha256"
    state = _fingerprint()
    done = stamp.exists() and (settings.STATIC_ROOT / "staticfiles.json").exists() and stamp.read_text() == state
    if not done:
        call_command("collectstatic", interactive=False, verbosity=0, clear=True)
        stamp.write_text(state)


def _fingerprint() -> str:
    digest = hashlib.sha256(str(settings.STATIC_ROOT).encode())
    for finder in get_finders():
        for path, storage in finder.list([]):
            found = os.stat(storage.path(path))
            digest.update(f"{path}|{found.st_size}|{found.st_mtime_ns}\n".encode())
    return digest.hexdigest()
