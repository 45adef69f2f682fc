"""The translations people read, and the time zones by which calls and working hours are told."""

from __future__ import annotations

import gettext
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.utils.translation import gettext as _

from channels.models import Channel
from sales.models import Assistant

from .findings import Finding, fail, ok

#: What the code itself is written in.
WRITTEN = "en"
#: Kazakhstan's only zone since March 2024: older data put Almaty an hour ahead.
PROOF = ("Asia/Almaty", datetime(2024, 7, 1), timedelta(hours=5))


def catalogues() -> Iterator[Finding]:
    missing = [code for code, _name in settings.LANGUAGES if code != WRITTEN and not _translated(code)]
    if missing:
        yield fail(
            _("catalogues"),
            _("There are no translations into: %(languages)s.") % {"languages": ", ".join(missing)},
            _("Put locale/ of this version back, or make it anew with script/messages."),
        )
    else:
        yield ok(_("catalogues"), ", ".join(code for code, _name in settings.LANGUAGES))


def _translated(language: str) -> bool:
    for folder in settings.LOCALE_PATHS:
        path = Path(folder) / language / "LC_MESSAGES" / "django.mo"
        try:
            with path.open("rb") as file:
                if gettext.GNUTranslations(file).gettext("Channels") != "Channels":
                    return True
        except (OSError, UnicodeDecodeError):
            continue
    return False


def time_zones() -> Iterator[Finding]:
    subject = _("time zones")
    known = available_timezones()
    name, moment, offset = PROOF
    do = _("Install the package of requirements.txt (pip install -U tzdata) and start the processes anew.")
    used = set(
        chain(Channel.objects.values_list("time_zone", flat=True), Assistant.objects.values_list("time_zone", flat=True))
    )
    unknown = sorted({*used, settings.TIME_ZONE} - known)
    if name not in known:
        yield fail(subject, _("There is no time zone data."), do)
    elif unknown:
        told = _("Not in the time zone data: %(names)s.") % {"names": ", ".join(unknown)}
        yield fail(subject, told, _("Choose another zone on the pages of channels and assistants, or in TIMEZONE."))
    elif ZoneInfo(name).utcoffset(moment) != offset:
        yield fail(subject, _("The time zone data is from before 2024: calls in Kazakhstan would be an hour off."), do)
    else:
        yield ok(subject, settings.TIME_ZONE)
