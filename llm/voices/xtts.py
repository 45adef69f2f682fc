"""XTTS-v2 behind `xtts-api-server`: a voice cloned from a recording that lies in the server's folder of speakers.

Started in streaming mode the server plays to its own loudspeaker and answers a second of silence, which is refused.
"""

from __future__ import annotations

from .base import Engine, typed


class Xtts(Engine):
    path = "/tts_to_audio/"
    #: Beyond 182 Russian characters the model swallows words.
    longest = 180
    languages = {"ru": "ru", "en": "en"}

    def say(self, text: str, language: str, *, until: float) -> bytes:
        asked = {
            "text": text, "speaker_wav": self.voice.voice, "language": self.languages[language], **typed(self.voice.settings),
        }  # fmt: skip
        return self._ask("POST", until, json=asked)
