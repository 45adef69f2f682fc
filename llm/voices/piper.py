"""Piper's own HTTP server (`python -m piper.http_server`): one voice a language, fast without a graphics card."""

from __future__ import annotations

from .base import Engine, typed


class Piper(Engine):
    path = "/synthesize"
    longest = 500

    def say(self, text: str, language: str, *, until: float) -> bytes:
        asked = {"text": text, **typed(self.voice.settings)}
        if self.voice.voice:
            asked["voice"] = self.voice.voice
        return self._ask("POST", until, json=asked)
