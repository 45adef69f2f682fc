"""Recordings brought into the form that others take: voice notes for messengers, MP3 for models that know little else.

FFmpeg does it (PyAV, `sound_process.py`) in a process of its own for each recording: what strangers send can crash a
decoder or keep it busy, and that must cost one recording, not a worker with all its threads. The process gets an empty
environment, may open no file for writing, and is ended when its time is over.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

logger = logging.getLogger(__name__)

#: Seconds that one recording may take; ten minutes of speech take three.
TIMEOUT = 30.0
#: What a voice note of a messenger is: `OggS … OpusHead`, mono, 48 kHz.
VOICE_NOTE = "audio/ogg"
_PROGRAM = Path(__file__).with_name("sound_process.py")
#: The only part of the environment that finding FFmpeg's libraries may need.
_KEPT = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT")


class NotSound(Exception):
    """The bytes hold no sound that can be read, or more than may be; the text says which, without the content."""


def voice_note(recordings: Sequence[bytes], *, timeout: float = TIMEOUT) -> tuple[bytes, float]:
    """Recordings of any kind, one after the other with a breath between them, as OGG/Opus, mono, 48 kHz, and its seconds.

    Raises NotSound: also for what is nothing but silence, which an engine that plays to its own loudspeaker returns.
    """
    return _converted(recordings, "ogg", timeout, silence=False)


def ogg(recording: bytes, *, timeout: float = TIMEOUT) -> bytes:
    """A recording as OGG/Opus, mono, 48 kHz. Raises NotSound."""
    return _converted([recording], "ogg", timeout)[0]


def mp3(recording: bytes, *, timeout: float = TIMEOUT) -> bytes:
    """A recording as MP3, mono, 24 kHz, 6 KB a second. Raises NotSound."""
    return _converted([recording], "mp3", timeout)[0]


def _converted(recordings: Sequence[bytes], wanted: str, timeout: float, *, silence: bool = True) -> tuple[bytes, float]:
    order = {"wanted": wanted, "silence": silence, "sizes": [len(recording) for recording in recordings]}
    given = b"".join((json.dumps(order).encode(), b"\n", *recordings))
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    try:
        done = subprocess.run(  # noqa: S603  our own program; the recording is its input, never an argument
            [sys.executable, "-I", str(_PROGRAM)],
            input=given, capture_output=True, timeout=timeout, env=environment, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise NotSound("the recording could not be converted in time") from None
    head, _newline, content = done.stdout.partition(b"\n")
    if done.returncode != 0 or not content:
        raise NotSound(_why(done.returncode, head))
    return content, float(json.loads(head)["seconds"])


def _why(code: int, head: bytes) -> str:
    """What the process said of it; one that was killed, or broke, has said nothing."""
    try:
        return str(json.loads(head)["error"])
    except (ValueError, KeyError, TypeError):
        logger.warning("sound process broke", extra={"code": code})
        return "the recording cannot be read"
