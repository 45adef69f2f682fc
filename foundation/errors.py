"""The four words in which every provider failure is told, whatever the provider calls it.

Channels, language models, payments and CRMs raise these and nothing else across their boundary, so that a step can
decide what to do without knowing the provider. The text may be shown to a manager: it never carries credentials,
phones or message texts.
"""

from __future__ import annotations


class ProviderError(Exception):
    """A provider call did not give what we asked for. `code` is the provider's own code or HTTP status."""

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class Retry(ProviderError):
    """It was certainly not done (429, 503, refused connection): ask again, not before `after` seconds."""

    def __init__(self, message: str, *, code: str = "", after: float | None = None) -> None:
        super().__init__(message, code=code)
        self.after = after


class RecipientBusy(Retry):
    """The same because of one recipient, who has had too much for now: the provider is well, and others may be written to."""


class Unconfirmed(ProviderError):
    """The request left and the answer was lost: it may have been done. Never repeated blindly."""


class Rejected(ProviderError):
    """Asking again cannot help: blocked, gone, malformed, outside the reply window."""


class Unauthorized(Rejected):
    """The credentials are refused or the account is unpaid: the channel or model needs attention."""


class Forged(Exception):
    """An incoming webhook whose signature, secret or origin is missing or wrong."""


class Unreadable(Exception):
    """A genuine provider event that we cannot understand. It is kept with this error, never dropped."""
