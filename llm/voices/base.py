"""The contract between the house and a speech engine."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from django.utils.translation import gettext as _

from foundation import http
from foundation.errors import ProviderError, Rejected, Retry, Unauthorized

if TYPE_CHECKING:
    from ..models import Voice

#: Of one piece of speech; half a minute as WAV takes 3 MB.
MAX_BYTES = 10 * 1024 * 1024
MAGIC = (b"RIFF", b"OggS", b"ID3", b"fLaC", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2")


class Engine(ABC):
    """Speaks one engine's protocol for one `Voice` row. Pure I/O: no table, no retries, and no text in logs or errors."""

    path: ClassVar[str]
    longest: ClassVar[int]
    """Characters of one request; longer texts are cut between sentences."""
    languages: ClassVar[Mapping[str, str]] = {}
    """Our languages and the engine's words for them; empty: the voice decides, and the engine is not asked."""

    def __init__(self, voice: Voice) -> None:
        self.voice = voice

    @abstractmethod
    def say(self, text: str, language: str, *, until: float) -> bytes:
        """One piece of speech as the engine makes it, before the monotonic clock shows `until`.

        Raises Retry, Unauthorized, and Rejected for what is no sound.
        """

    @classmethod
    def speaks(cls, language: str) -> bool:
        return not cls.languages or language in cls.languages

    def _ask(
        self, method: str, until: float, *, json: Mapping[str, Any] | None = None, params: Mapping[str, str] | None = None
    ) -> bytes:
        left = until - time.monotonic()
        label = f"{self.voice.engine} speak"
        if left <= 0:
            raise Retry(_("%(voice)s: it took too long") % {"voice": self.voice.name}, code="timeout")
        headers = {"Authorization": f"Bearer {self.voice.api_key}"} if self.voice.api_key else {}
        try:
            answer = http.call(
                method, self.voice.base_url.rstrip("/") + (self.voice.path or self.path), json=json, params=params,
                headers=headers, writes=False, label=label, read_timeout=left, deadline=left, max_bytes=MAX_BYTES,
            )  # fmt: skip
        except ProviderError as error:
            raise self._told(error) from None
        self._raise_for_status(answer.status)
        if not answer.body.startswith(MAGIC):
            raise no_sound(self.voice)
        return answer.body

    def _told(self, error: ProviderError) -> ProviderError:
        name = {"voice": self.voice.name}
        if error.code in ("timeout", "deadline"):
            return Retry(_("%(voice)s: it took too long") % name, code="timeout")
        if error.code == "connect":
            return Retry(_("%(voice)s: the engine is not reachable") % name, code=error.code)
        if error.code == "too_large":
            return no_sound(self.voice)
        return Retry(_("%(voice)s: the connection to the engine broke") % name, code=error.code)

    def _raise_for_status(self, status: int) -> None:
        told = {"voice": self.voice.name, "status": str(status)}
        if 200 <= status < 300:
            return
        if status in (401, 402, 403):
            raise Unauthorized(_("%(voice)s: the engine refuses the key (%(status)s)") % told, code=str(status))
        if status == 429 or status >= 500:
            raise Retry(_("%(voice)s: the engine is in trouble (%(status)s)") % told, code=str(status))
        raise Rejected(_("%(voice)s: the engine does not take this (%(status)s)") % told, code=str(status))


def no_sound(voice: Voice) -> Rejected:
    """The error for an answer in which nobody speaks."""
    return Rejected(_("%(voice)s: the engine answered something else than speech") % {"voice": voice.name}, code="no_sound")


def typed(settings: Mapping[str, str]) -> dict[str, Any]:
    """The settings of a preset as JSON has them: numbers as numbers."""
    return {name: _number(value) for name, value in settings.items()}


def _number(value: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value
