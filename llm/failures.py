"""How a language model's failures are told: one place for the wording, the codes and the error words.

Texts name the model row, the outcome and the HTTP status, and are shown to managers. What a provider's SDK said is
never repeated: it may quote the key or the prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from django.utils.translation import gettext as _

from foundation.errors import ProviderError, Rejected, Retry, Unauthorized

from .base import Raw

TIMEOUT, CONNECT, BLOCKED, CUT, MALFORMED, AUDIO = "timeout", "connect", "blocked", "cut", "malformed", "no_audio"

#: Codes that say something of this one exchange, not of the provider's health.
ABOUT_THE_EXCHANGE = frozenset({BLOCKED, CUT, MALFORMED, AUDIO, "400", "413", "422"})


class Unusable(Rejected):
    """The model was reached and paid for, but what came cannot be used. `spent` holds the tokens it took."""

    def __init__(self, message: str, *, code: str, spent: Raw | None = None) -> None:
        super().__init__(message, code=code)
        self.spent = spent or Raw("")


class NoModel(ProviderError):
    """No model could answer, not even the offline one. `failures` are the errors of those that were tried.

    `temporary` tells whether asking again later may help.
    """

    def __init__(self, purpose: str, failures: list[ProviderError]) -> None:
        super().__init__(_("No language model can do “%(purpose)s”.") % {"purpose": purpose}, code="no_model")
        self.failures = failures
        self.temporary = any(isinstance(failure, Retry) for failure in failures)


def refused(name: str, status: int, *, after: float | None = None) -> ProviderError:
    """The error for an HTTP status that is not 2xx."""
    code = str(status)
    if status in (401, 402, 403):
        return unauthorized(name, code)
    if status == 429:
        return Retry(_("%(model)s: too many requests (429)") % {"model": name}, code=code, after=after)
    if status == 404:
        return Rejected(_("%(model)s: the provider does not know this model (404)") % {"model": name}, code=code)
    if status in (408, 409) or status >= 500:
        return Retry(
            _("%(model)s: the provider is in trouble (%(status)s)") % {"model": name, "status": code}, code=code, after=after
        )
    return Rejected(_("%(model)s: the request was refused (%(status)s)") % {"model": name, "status": code}, code=code)


def unauthorized(name: str, code: str) -> Unauthorized:
    text = _("%(model)s: the key is refused or the account is unpaid (%(code)s)")
    return Unauthorized(text % {"model": name, "code": code}, code=code)


def timed_out(name: str) -> Retry:
    return Retry(_("%(model)s: no answer in time") % {"model": name}, code=TIMEOUT)


def unreachable(name: str) -> Retry:
    return Retry(_("%(model)s: no connection") % {"model": name}, code=CONNECT)


def blocked(name: str, spent: Raw | None = None) -> Unusable:
    return Unusable(_("%(model)s: the provider's filter blocked the answer") % {"model": name}, code=BLOCKED, spent=spent)


def cut(name: str, spent: Raw | None = None) -> Unusable:
    return Unusable(_("%(model)s: the answer was cut short") % {"model": name}, code=CUT, spent=spent)


def malformed(name: str, spent: Raw | None = None) -> Unusable:
    return Unusable(_("%(model)s: the answer is not what was asked for") % {"model": name}, code=MALFORMED, spent=spent)


def no_audio(name: str) -> Rejected:
    return Rejected(_("%(model)s: does not take this sound") % {"model": name}, code=AUDIO)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a Retry-After header in its number or date form; None where there is none."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if value.replace(".", "", 1).isdigit():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
