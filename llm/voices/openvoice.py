"""OpenVoice behind the HTTP server that its users agree on (`GET /synthesize_speech/`).

The protocol carries the text in the address, where the engine's own access log may keep it. OpenVoice has base speakers
for a few languages only, which its users name by an accent (`accent=en-br` as a preset); no Russian or Kazakh among them.
"""

from __future__ import annotations

from .base import Engine


class OpenVoice(Engine):
    path = "/synthesize_speech/"
    longest = 300
    languages = {"en": "en-newest"}

    def say(self, text: str, language: str, *, until: float) -> bytes:
        asked = {"text": text, "voice": self.voice.voice, "accent": self.languages[language], **self.voice.settings}
        return self._ask("GET", until, params=asked)
