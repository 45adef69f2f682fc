"""Converts recordings: a program that `foundation.sound` runs for each, reading from its input and writing to its output.

In: one line of JSON (`wanted`: ogg or mp3, `silence`: whether silence will do, `sizes`), then the recordings. Out: one
line of JSON (`seconds`, or `error`), then the sound. It knows nothing of the rest of the project.
"""

from __future__ import annotations

import io
import json
import resource
import sys
from collections.abc import Iterator
from typing import Any

#: Which of FFmpeg's readers is given which bytes. It is never left to guess: some of its formats are lists of other
#: files and addresses to open.
READERS = (
    (b"OggS", "ogg"),
    (b"ID3", "mp3"),
    (b"fLaC", "flac"),
    (b"#!AMR", "amr"),
    (b"\x1aE\xdf\xa3", "matroska"),
    (b"caff", "caf"),
)
RATES = {"ogg": 48_000, "mp3": 24_000}
CODECS = {
    "ogg": ("libopus", 32_000, {"application": "voip", "frame_duration": "20", "vbr": "constrained"}),
    "mp3": ("libmp3lame", 48_000, {}),
}
BREATH_SECONDS = 0.25
LONGEST_SECONDS = 3600
#: Of 32,767: what is quieter all the time is no speech.
SILENT_BELOW = 64
MEMORY_BYTES = 2 * 1024**3
CPU_SECONDS = 60


class Unusable(Exception):
    pass


def main() -> int:
    order = json.loads(sys.stdin.buffer.readline())
    recordings = [sys.stdin.buffer.read(size) for size in order["sizes"]]
    import av

    _limit()
    try:
        content, seconds = convert(av, recordings, order["wanted"], silence=order["silence"])
    except Unusable as error:
        return _answer({"error": str(error)}, b"", 3)
    except (av.FFmpegError, ValueError, MemoryError, EOFError) as error:
        return _answer({"error": f"the recording cannot be read ({type(error).__name__})"}, b"", 3)
    return _answer({"seconds": round(seconds, 2)}, content, 0)


def _answer(head: dict[str, Any], content: bytes, code: int) -> int:
    sys.stdout.buffer.write(json.dumps(head).encode() + b"\n" + content)
    sys.stdout.buffer.flush()
    return code


def _limit() -> None:
    """From here on: bounded memory and processor time, and no file is written."""
    for what, most in ((resource.RLIMIT_AS, MEMORY_BYTES), (resource.RLIMIT_CPU, CPU_SECONDS), (resource.RLIMIT_FSIZE, 0)):
        _soft, hard = resource.getrlimit(what)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))


def convert(av: Any, recordings: list[bytes], wanted: str, *, silence: bool) -> tuple[bytes, float]:
    """The recordings one after the other in the wanted form, and how many seconds that is. Raises Unusable."""
    rate = RATES[wanted]
    name, bits, options = CODECS[wanted]
    out = io.BytesIO()
    samples, loudest = 0, 0
    with av.open(out, "w", format=wanted) as container:
        stream = container.add_stream(name, rate=rate, layout="mono", options=options)
        stream.bit_rate = bits
        for number, recording in enumerate(recordings):
            pieces = _samples(av, recording, rate)
            if number:
                container.mux(stream.encode(_frame(av, bytes(2 * int(rate * BREATH_SECONDS)), rate, samples)))
                samples += int(rate * BREATH_SECONDS)
            before = samples
            for piece in pieces:
                container.mux(stream.encode(_frame(av, piece, rate, samples)))
                samples += len(piece) // 2
                loudest = max(loudest, 0 if silence else _loudest(piece))
                if samples > LONGEST_SECONDS * rate:
                    raise Unusable("the recording is too long")
            if samples == before:
                raise Unusable("there is no sound in the recording")
        if not silence and loudest < SILENT_BELOW:
            raise Unusable("there is nothing but silence in the recording")
        container.mux(stream.encode(None))
    return out.getvalue(), samples / rate


def _samples(av: Any, recording: bytes, rate: int) -> Iterator[bytes]:
    """A recording as 16-bit mono samples of this rate."""
    with av.open(io.BytesIO(recording), "r", format=reader(recording)) as container:
        if not container.streams.audio:
            raise Unusable("there is no sound in the recording")
        resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
        for frame in container.decode(container.streams.audio[0]):
            frame.pts = None
            for made in resampler.resample(frame):
                yield bytes(made.planes[0])[: made.samples * 2]
        for made in resampler.resample(None):
            yield bytes(made.planes[0])[: made.samples * 2]


def _frame(av: Any, samples: bytes, rate: int, at: int) -> Any:
    frame = av.AudioFrame(format="s16", layout="mono", samples=len(samples) // 2)
    frame.planes[0].update(samples + bytes(frame.planes[0].buffer_size - len(samples)))
    frame.sample_rate = rate
    frame.pts = at
    return frame


def _loudest(samples: bytes) -> int:
    values = memoryview(samples).cast("h")
    return max(max(values), -min(values)) if len(values) else 0


def reader(content: bytes) -> str:
    """The name of FFmpeg's reader for these bytes. Raises Unusable for what is no sound by its first bytes."""
    if content[:4] == b"RIFF" and content[8:12] == b"WAVE":
        return "wav"
    if content[:4] == b"FORM" and content[8:12] in (b"AIFF", b"AIFC"):
        return "aiff"
    if content[4:8] == b"ftyp":
        return "mov"
    if content[:1] == b"\xff" and content[1:2]:
        if content[1] & 0xE6 in (0xE2, 0xE4, 0xE6):
            return "mp3"
        if content[1] & 0xF6 == 0xF0:
            return "aac"
    found = next((name for magic, name in READERS if content.startswith(magic)), None)
    if found is None:
        raise Unusable("the recording is of no kind that is known")
    return found


if __name__ == "__main__":
    sys.exit(main())
