"""Each enabled voice says a word, and assistants have voices that speak."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.translation import gettext as _

from foundation.errors import ProviderError
from llm import voices
from llm.models import Voice
from sales.models import Assistant

from .findings import Finding, fail, ok, remedy, warn
from .side_by_side import each

WORDS = {"ru": "Здравствуйте!", "kk": "Сәлеметсіз бе!", "en": "Good afternoon!"}


def look() -> Iterator[Finding]:
    used = set(Assistant.objects.exclude(voice=None).values_list("voice_id", flat=True))
    for _voice, found in each(list(Voice.objects.filter(enabled=True)), lambda voice: [_asked(voice, voice.pk in used)]):
        yield from found
    for assistant in Assistant.objects.filter(voice__enabled=False).select_related("voice"):
        told = _("Its voice “%(voice)s” is switched off: replies are only written.") % {"voice": assistant.voice}
        yield warn(assistant.name, told, _("Enable the voice in the admin under Voices, or give the assistant none."))


def _asked(voice: Voice, used: bool) -> Finding:
    language = voice.language or "ru"
    try:
        content = voices.say(voice, WORDS[language], language)
    except ProviderError as error:
        # Replies are written in any case, so a voice that nobody uses is no failure.
        return (fail if used else warn)(voice.name, str(error), remedy(error))
    return ok(
        voice.name, _("%(engine)s speaks (%(size)d bytes)") % {"engine": voice.get_engine_display(), "size": len(content)}
    )
