"""Recordings converted: what goes in, what comes out, and what strangers may send instead."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Sequence
from typing import Any

import av
import pytest

from foundation import sound
from tests.sandbox.voices import wav


def recorded(form: str, codec: str, rate: int, *, seconds: float = 1.0) -> bytes:
    """A recording as browsers and phones make them."""
    out = io.BytesIO()
    with av.open(out, "w", format=form) as container:
        stream: Any = container.add_stream(codec, rate=rate, layout="mono")
        with av.open(io.BytesIO(wav(seconds, rate)), "r") as hum:
            for frame in hum.decode(audio=0):
                frame.pts = None
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return out.getvalue()


def heard(content: bytes) -> tuple[str, str, int, float]:
    """Codec, layout, rate and seconds of a recording."""
    with av.open(io.BytesIO(content), "r") as container:
        stream: Any = container.streams.audio[0]
        samples = sum(frame.samples for frame in container.decode(stream))
        return stream.codec_context.name, stream.layout.name, stream.rate, samples / stream.rate


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 24000, 44100, 48000])
def test_a_voice_note_is_what_messengers_want(rate: int) -> None:
    content, seconds = sound.voice_note([wav(1.5, rate)])
    assert (content[:4], content[28:36]) == (b"OggS", b"OpusHead")
    codec, layout, at, length = heard(content)
    assert (codec, layout, at) == ("opus", "mono", 48000)
    assert seconds == pytest.approx(1.5, abs=0.05) and length == pytest.approx(1.5, abs=0.1)


def test_pieces_become_one_with_a_breath_between() -> None:
    _content, seconds = sound.voice_note([wav(1.0, 22050), wav(0.5, 16000), recorded("mp3", "libmp3lame", 24000, seconds=0.5)])
    assert seconds == pytest.approx(2.5, abs=0.15)


def test_a_minute_and_a_half_fits_a_voice_note_of_whatsapp() -> None:
    content, seconds = sound.voice_note([wav(90.0, 24000)])
    assert seconds == pytest.approx(90, abs=0.1) and len(content) <= 512 * 1024


def test_a_header_written_before_its_length_was_known() -> None:
    made = bytearray(wav(1.0))
    made[4:8] = made[40:44] = bytes(4)
    assert sound.voice_note([bytes(made)])[1] == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(
    ("form", "codec", "rate"),
    [("webm", "libopus", 48000), ("mp4", "aac", 44100), ("amr", "libopencore_amrnb", 8000), ("adts", "aac", 44100), ("flac", "flac", 44100)],
)
def test_what_browsers_and_phones_record_can_be_read(form: str, codec: str, rate: int) -> None:
    recording = recorded(form, codec, rate)
    assert heard(sound.ogg(recording))[0] == "opus"
    codec_of_mp3, layout, at, length = heard(sound.mp3(recording))
    assert (layout, at) == ("mono", 24000) and codec_of_mp3.startswith("mp3") and length == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize(
    ("recordings", "says"),
    [
        ([b""], "no kind"),
        ([b"<html>It works!</html>"], "no kind"),
        ([b"#EXTM3U\n#EXTINF:1\nhttp://127.0.0.1/secret\n"], "no kind"),
        ([b"ffconcat version 1.0\nfile /etc/passwd\n"], "no kind"),
        ([b"RIFF\0\0\0\0WAVE" + b"x" * 500], "cannot be read"),
        ([wav(1.0)[:44]], "no sound"),
        ([wav(1.0), b"nothing"], "no kind"),
        ([wav(1.0, loud=0)], "silence"),
    ],
)
def test_what_is_no_speech_is_refused(recordings: Sequence[bytes], says: str) -> None:
    with pytest.raises(sound.NotSound, match=says):
        sound.voice_note(recordings)


def test_silence_may_be_listened_to() -> None:
    assert sound.ogg(wav(1.0, loud=0)).startswith(b"OggS")


def test_a_conversion_ends_in_time() -> None:
    with pytest.raises(sound.NotSound, match="in time"):
        sound.ogg(wav(1.0), timeout=0.001)


def test_a_decoder_that_crashes_costs_one_recording(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    asked: dict[str, Any] = {}

    def crash(command: list[str], **options: Any) -> Any:
        asked.update(options, command=command)
        return subprocess.CompletedProcess(command, -11, b"", b"")

    monkeypatch.setenv("SECRET_KEY", "never-handed-on")
    monkeypatch.setattr(subprocess, "run", crash)
    with pytest.raises(sound.NotSound, match="cannot be read"):
        sound.ogg(b"OggS")
    assert "SECRET_KEY" not in asked["env"] and b"OggS" not in " ".join(asked["command"]).encode()
    assert "sound process broke" in caplog.text
