"""All checks in the order in which they help: what others stand on comes first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import Error, connection
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels.models import Channel
from foundation.crypto import CannotOpen
from llm.models import LanguageModel, Voice

from . import backups, broker, clock, database, database_connections, disk, keys, language_models, languages, public_address
from . import channels as channel_checks
from . import voices as voice_checks
from .findings import Check, Finding, Level, broke, fail

CHECKS: tuple[Check, ...] = (
    Check("database", gettext_lazy("Database"), database.look),
    Check("connections", gettext_lazy("Database connections"), database_connections.look, reads_rows=True),
    Check("broker", gettext_lazy("Broker and workers"), broker.look),
    Check("disk", gettext_lazy("Disk"), disk.look),
    Check("clock", gettext_lazy("Clocks"), clock.look, reads_rows=True),
    Check("keys", gettext_lazy("Encryption keys"), keys.look, reads_rows=True),
    Check("catalogues", gettext_lazy("Translations"), languages.catalogues),
    Check("time_zones", gettext_lazy("Time zones"), languages.time_zones, reads_rows=True),
    Check("backup", gettext_lazy("Backup"), backups.look, reads_rows=True),
    Check("public_address", gettext_lazy("Public address"), public_address.look, reads_rows=True),
    Check("channels", gettext_lazy("Channels"), channel_checks.look, reads_rows=True),
    Check("models", gettext_lazy("Language models"), language_models.look, reads_rows=True),
    Check("voices", gettext_lazy("Voices"), voice_checks.look, reads_rows=True),
)

HIDDEN = "•••"
#: Shorter ones would hide ordinary words.
SHORTEST_SECRET = 6
#: Ten digits and more in a row, or with the signs between them that phones are written with.
_PHONE = re.compile(
    r"\+\d(?:[ ()-]{0,2}\d){9,14}|(?<![\w.])\d{10,15}(?![\w.])|(?<!\d)[78][ (-]{1,2}\d{3}(?:[ )-]{0,2}\d){7}(?!\d)"
)
_LOGIN = re.compile(r"://[^/@\s]+@")


@dataclass(frozen=True, slots=True)
class Examined:
    """One check with what it found, fit to be shown."""

    check: Check
    findings: Sequence[Finding]

    @property
    def failed(self) -> bool:
        return any(finding.level == Level.FAIL for finding in self.findings)


def run(only: Iterable[str] = ()) -> Iterator[Examined]:
    """Make the checks (or `only` those), one after another, in the language of the moment."""
    chosen = set(only)
    there = _database_there()
    secrets = list(_secrets(there))
    for check in CHECKS:
        if not chosen or check.name in chosen:
            found = _found(check) if there or not check.reads_rows else [_not_looked_at(check)]
            yield Examined(check, [shown(finding, secrets) for finding in found])


def _found(check: Check) -> list[Finding]:
    found: list[Finding] = []
    try:
        # One by one, so that what was found before a fault stays.
        for finding in check.look():
            found.append(finding)
    except Error as error:
        told = _("The rows cannot be read (%(error)s).") % {"error": type(error).__name__}
        found.append(fail(str(check.title), told, _("See what is said of the database; often migrations are missing.")))
    except CannotOpen:
        told = _("Rows that it needs do not open with the configured keys.")
        found.append(fail(str(check.title), told, _("See what is said of the encryption keys.")))
    except Exception as error:  # noqa: BLE001  a fault of one check must not hide what the others find
        found.append(broke(str(check.title), error))
    return found


def _not_looked_at(check: Check) -> Finding:
    return fail(str(check.title), _("Not looked at: the database is away."), _("Repair the database first."))


def _database_there() -> bool:
    try:
        connection.ensure_connection()
    except Error:
        return False
    return True


def _secrets(rows_too: bool) -> Iterator[str]:
    """Everything secret we know of, to be found again in what others tell."""
    yield from (settings.SECRET_KEY, settings.JWT_SECRET_KEY, str(settings.DATABASES["default"].get("PASSWORD") or ""))
    if not rows_too:
        return
    try:
        for channel in Channel.objects.only("credentials", "webhook_secret"):
            yield from (channel.webhook_secret, *map(str, (channel.credentials or {}).values()))
        for model in (LanguageModel, Voice):
            yield from model.objects.values_list("api_key", flat=True)
    except (Error, CannotOpen):
        # Without the tables, or without the key, no secret of theirs can be told either.
        return


def shown(finding: Finding, secrets: Iterable[str]) -> Finding:
    """The finding without secrets and phones, whoever wrote them into an error's text or a channel's name."""

    def clean(text: str) -> str:
        for secret in secrets:
            if len(secret) >= SHORTEST_SECRET:
                text = text.replace(secret, HIDDEN)
        return _PHONE.sub(HIDDEN, _LOGIN.sub(f"://{HIDDEN}@", text))

    return Finding(finding.level, clean(finding.subject), clean(finding.what), clean(finding.do))
