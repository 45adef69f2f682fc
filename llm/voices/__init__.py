"""Replies read aloud by a speech engine: `speak` makes the voice note of a messenger of a text.

A reply that cannot be spoken has been written anyway. So nothing is tried twice, and an engine that fails five times in
a row is left alone for half a minute (`llm.breaker`).
"""

from __future__ import annotations

import logging
import time
from functools import cache

from django.utils import timezone
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from foundation import sound
from foundation.cache import Remembered
from foundation.errors import ProviderError, Rejected, Retry

from .. import breaker, roster
from ..models import Voice
from . import wording
from .base import Engine, no_sound

__all__ = ["LONGEST", "engine_for", "forget", "speak", "suits"]

logger = logging.getLogger(__name__)

ENGINES = {
    Voice.Engine.PIPER: "llm.voices.piper.Piper",
    Voice.Engine.XTTS: "llm.voices.xtts.Xtts",
    Voice.Engine.OPENVOICE: "llm.voices.openvoice.OpenVoice",
}
#: Characters of a reply that is read aloud: a minute and a half. What is longer is read faster than it is heard.
LONGEST = 1200
#: WhatsApp shows a voice note as one up to this size.
MAX_BYTES = 512 * 1024
#: Seconds that are kept for making the voice note of what the engine said.
CONVERTING = 15.0

_voice: Remembered[int, Voice | None] = Remembered(roster.SECONDS, lambda key: Voice.objects.filter(pk=key).first())


@cache
def _engine_class(kind: str) -> type[Engine]:
    engine: type[Engine] = import_string(ENGINES[Voice.Engine(kind)])
    return engine


def engine_for(voice: Voice) -> Engine:
    """The engine that speaks with a voice. Raises ValueError for an unknown kind."""
    return _engine_class(voice.engine)(voice)


def forget(**_signal: object) -> None:
    """Read the rows again at the next call. Connected to their save and delete signals."""
    _voice.forget()


def suits(voice_id: int, text: str, language: str = "") -> bool:
    """Whether a reply (plain text) is worth speaking with this voice: enabled, its language, not too long, with words."""
    voice = _voice(voice_id)
    if voice is None or not voice.enabled:
        return False
    language = language or wording.language_of(text)
    return _fits(voice, language) and 0 < len(wording.readable(text, language)) <= LONGEST


def speak(voice_id: int, text: str, language: str = "") -> bytes:
    """The text spoken, as OGG/Opus, mono, 48 kHz, of at most 512 KB.

    `language` is that of the text (`ru`, `kk`, `en`); where it is empty it is guessed. Raises Retry for an engine that
    cannot now, and Rejected for what will not be spoken.
    """
    voice = _voice(voice_id)
    if voice is None or not voice.enabled:
        raise Rejected(_("The voice is gone or switched off."), code="no_voice")
    admission = breaker.enter(f"voice:{voice_id}")
    if admission is None:
        told = _("%(voice)s: the engine failed several times, it is left alone for a moment") % {"voice": voice}
        raise Retry(told, code="breaker")
    try:
        content = say(voice, text, language)
    except Rejected as error:
        admission.succeeded() if error.code in wording.ABOUT_THE_TEXT else admission.failed()
        _note(voice, error)
        raise
    except ProviderError as error:
        admission.failed()
        _note(voice, error)
        raise
    admission.succeeded()
    if voice.last_error:
        Voice.objects.filter(pk=voice_id).update(last_error="", last_error_at=None)
        forget()
    return content


def say(voice: Voice, text: str, language: str = "") -> bytes:
    """As `speak`, with a row that need not be enabled, and without the memory of its failures."""
    language = language or wording.language_of(text)
    if not _fits(voice, language):
        raise Rejected(_("%(voice)s does not speak this language.") % {"voice": voice}, code="language")
    readable = wording.readable(text, language)
    if not readable:
        raise Rejected(_("There is nothing to read aloud."), code="empty")
    if len(readable) > LONGEST:
        raise Rejected(_("The text is too long to be read aloud."), code="too_long")
    engine, until = engine_for(voice), time.monotonic() + voice.timeout
    spoken = [engine.say(piece, language, until=until) for piece in wording.pieces(readable, engine.longest)]
    try:
        content, seconds = sound.voice_note(spoken, timeout=CONVERTING)
    except sound.NotSound:
        raise no_sound(voice) from None
    if len(content) > MAX_BYTES:
        raise Rejected(_("The recording is larger than a voice message may be."), code="too_large")
    logger.info("text spoken", extra={"voice": voice.slug, "seconds": seconds, "pieces": len(spoken), "bytes": len(content)})
    return content


def _fits(voice: Voice, language: str) -> bool:
    return voice.language in ("", language) and engine_for(voice).speaks(language)


def _note(voice: Voice, error: ProviderError) -> None:
    """Keep the last error in the row, for its page; what concerns the one text is none of the voice's."""
    if error.code not in wording.ABOUT_THE_TEXT:
        logger.info("text not spoken", extra={"voice": voice.slug, "code": error.code})
        Voice.objects.filter(pk=voice.pk).update(last_error=str(error)[:300], last_error_at=timezone.now())
        forget()
