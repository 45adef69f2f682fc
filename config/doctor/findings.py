"""What a check finds: how it stands, with whom, what is wrong, and what to do."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from django.utils.functional import Promise
from django.utils.translation import gettext as _

from foundation.errors import ProviderError, Retry, Unauthorized, Unconfirmed

logger = logging.getLogger(__name__)


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    """It works, and will not for long, or not as well as it could."""
    FAIL = "fail"
    """Something does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line for a person. `what` may quote a provider; secrets and phones are taken out before anybody sees it."""

    level: Level
    subject: str
    what: str
    do: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A named look at one part. With `reads_rows` it is left out while PostgreSQL is away."""

    name: str
    title: str | Promise
    look: Callable[[], Iterable[Finding]]
    reads_rows: bool = False


def ok(subject: str, what: str) -> Finding:
    return Finding(Level.OK, subject, what)


def warn(subject: str, what: str, do: str) -> Finding:
    return Finding(Level.WARN, subject, what, do)


def fail(subject: str, what: str, do: str) -> Finding:
    return Finding(Level.FAIL, subject, what, do)


def broke(subject: str, error: Exception) -> Finding:
    """The check itself has a fault. Its text may quote anything, so only its kind and place are told."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{frame.filename.rpartition('/')[2]}:{frame.lineno}"
    logger.error("check broke", extra={"error": type(error).__name__, "where": place})
    told = _("The check itself broke: %(error)s at %(place)s.") % {"error": type(error).__name__, "place": place}
    return fail(subject, told, _("Tell the developers this line; the other checks were made all the same."))


def remedy(error: ProviderError) -> str:
    """What to do about a provider's failure, by its kind."""
    if isinstance(error, Unauthorized):
        return _("Enter the credentials anew in the admin, or pay the account: the provider refuses these.")
    if isinstance(error, Retry | Unconfirmed):
        return _(
            "See whether its address opens from this machine (network, DNS, firewall), whether its server runs, and try again "
            "in some minutes."
        )
    return _("Compare the settings in the admin with those at the provider.")
