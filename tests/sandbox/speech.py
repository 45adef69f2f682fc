"""Recordings that play in any browser and carry what the fake language model will hear in them."""

from __future__ import annotations

import math
import struct

MARK = b"SAY:"
RATE = 8000


def recording(words: str = "", *, seconds: float = 2.0) -> bytes:
    """A WAV of a quiet hum with the words in a chunk of their own; without words nobody hears any."""
    hum = bytes(128 + round(12 * math.sin(n * 2 * math.pi * 180 / RATE)) for n in range(int(RATE * seconds)))
    said = MARK + words.encode()
    form = struct.pack("<HHIIHH", 1, 1, RATE, RATE, 1, 8)
    body = b"WAVE" + b"".join(_chunk(name, content) for name, content in ((b"fmt ", form), (b"data", hum), (b"note", said)))
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def heard(sound: bytes) -> str | None:
    """The words in a recording: empty for silence, None where the recording says nothing of it."""
    start = sound.find(MARK)
    if start < 0:
        return None
    return sound[start + len(MARK) :].split(b"\0", 1)[0].decode("utf-8", "ignore").strip()
