"""Fakes of the speech engines over their own HTTP: Piper, XTTS (`xtts-api-server`) and OpenVoice.

    python -m tests.sandbox.voices --port 9200

They hum instead of speaking, a tenth of a second for each letter up to two seconds, and keep what they were asked in
`calls`. Faults are those of `server.Fault`; `mode` makes every answer of another kind: silence, garbage, a cut WAV.
"""

from __future__ import annotations

import io
import math
import struct
import wave
from dataclasses import dataclass, field
from typing import Any

from .server import Request, Response, Router, as_json, run_as_process

XTTS_LANGUAGES = frozenset(("en", "es", "fr", "de", "it", "pt", "pl", "tr", "ru", "nl", "cs", "ar", "zh-cn", "hu", "ko", "ja", "hi"))
VOICES = {"ru_RU-irina-medium": 22050, "kk_KZ-raya-x_low": 16000, "anna": 24000}
LOUD = 9000


@dataclass
class Spoken:
    """One line of the ledger."""

    engine: str
    text: str
    voice: str
    asked: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


class FakeVoices(Router):
    """An ASGI app with all three engines; they differ by their paths."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Spoken] = []
        self.mode = ""
        self.key = ""
        self.route("POST", "/synthesize")(self._piper)
        self.route("POST", "/")(self._piper)
        self.route("GET", "/voices")(self._voices)
        self.route("POST", "/tts_to_audio/")(self._xtts)
        self.route("GET", "/synthesize_speech/")(self._openvoice)
        self.route("POST", "/_sandbox/mode")(self._set_mode)
        self.route("GET", "/_sandbox/calls")(self._calls)

    def reset(self) -> None:
        self.calls.clear()
        self.faults.clear()
        self.mode = self.key = ""

    async def _piper(self, request: Request) -> Response:
        """Flask says nothing of the type of the bytes it answers with."""
        asked = request.json()
        if not asked.get("text", "").strip():
            return Response(b"<!doctype html><title>500 Internal Server Error</title>", 500, content_type="text/html")
        voice = asked.get("voice") or "ru_RU-irina-medium"
        if voice not in VOICES:
            return Response(b"<!doctype html><title>500 Internal Server Error</title>", 500, content_type="text/html")
        return self._say("piper", request, asked["text"], voice, asked, content_type="text/html; charset=utf-8")

    async def _voices(self, request: Request) -> Response:
        return as_json({name: {"audio": {"sample_rate": rate}} for name, rate in VOICES.items()})

    async def _xtts(self, request: Request) -> Response:
        asked = request.json()
        if asked.get("language") not in XTTS_LANGUAGES:
            return as_json({"detail": "Language code sent is either unsupported or misspelled."}, 400)
        if asked.get("speaker_wav") not in VOICES:
            return as_json({"detail": "Error: Speaker file not found"}, 500)
        return self._say("xtts", request, asked["text"], asked["speaker_wav"], asked, content_type="audio/wav")

    async def _openvoice(self, request: Request) -> Response:
        asked = request.query
        if not {"text", "voice"} <= set(asked):
            return as_json({"detail": [{"loc": ["query", "text"], "msg": "Field required", "type": "missing"}]}, 422)
        return self._say("openvoice", request, asked["text"], asked["voice"], dict(asked), content_type="audio/wav")

    def _say(
        self, engine: str, request: Request, text: str, voice: str, asked: dict[str, Any], *, content_type: str
    ) -> Response:
        if self.key and request.headers.get("authorization") != f"Bearer {self.key}":
            return as_json({"detail": "Unauthorized"}, 401)
        self.calls.append(Spoken(engine, text, voice, asked, request.headers))
        rate = VOICES.get(voice, 22050)
        seconds = min(2.0, len(text) / 10)
        match self.mode:
            case "silence":  # XTTS in streaming mode plays by itself
                return Response(wav(1.0, rate, loud=0), content_type=content_type)
            case "garbage":
                return Response(b"<html>It works!</html>", content_type="text/html")
            case "broken":
                return Response(b"RIFF\x24\x00\x00\x00WAVE" + bytes(range(256)) * 4, content_type=content_type)
            case "empty":
                return Response(b"", content_type=content_type)
            case "streamed":  # the length in the header is not known when it is written
                made = bytearray(wav(seconds, rate))
                made[4:8] = made[40:44] = bytes(4)
                return Response(bytes(made), content_type=content_type)
        return Response(wav(seconds, rate), content_type=content_type)

    async def _set_mode(self, request: Request) -> Response:
        self.mode = request.json()["mode"]
        return as_json({"mode": self.mode})

    async def _calls(self, request: Request) -> Response:
        return as_json([{"engine": call.engine, "letters": len(call.text), "voice": call.voice} for call in self.calls])


def wav(seconds: float, rate: int = 22050, *, loud: int = LOUD) -> bytes:
    """A hum of 440 Hz, 16 bits, mono."""
    samples = (round(loud * math.sin(2 * math.pi * 440 * n / rate)) for n in range(int(rate * seconds)))
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))
    return out.getvalue()


if __name__ == "__main__":
    run_as_process(FakeVoices())
