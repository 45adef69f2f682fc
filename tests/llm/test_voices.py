"""Speech engines over their real HTTP: what they are asked, what becomes of their answers, and of their absence."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse

from foundation.errors import ProviderError, Rejected, Retry, Unauthorized
from llm import breaker, voices
from llm.models import Voice
from tests.sandbox.fixtures import served
from tests.sandbox.server import Fault
from tests.sandbox.voices import FakeVoices

pytestmark = pytest.mark.django_db

TEXT = "Доставка стоит 1 500 ₸."
SECRET = "Тайные слова"
Make = Callable[..., Voice]


server = served(FakeVoices)


@pytest.fixture
def engines(server: FakeVoices) -> FakeVoices:
    server.reset()
    voices.forget()
    return server


@pytest.fixture
def make(engines: FakeVoices) -> Make:
    def made(**fields: Any) -> Voice:
        given = {
            "name": "Irina", "slug": "irina", "engine": "piper", "base_url": engines.base_url, "voice": "ru_RU-irina-medium",
            "timeout": 5,
        }  # fmt: skip
        return Voice.objects.create(**(given | fields))

    return made


def test_piper_is_asked_in_its_own_words(make: Make, engines: FakeVoices) -> None:
    content = voices.speak(make(preset="length_scale=1.1, speaker_id=2", api_key="sk-voice").pk, TEXT, "ru")
    assert content[:4] == b"OggS" and content[28:36] == b"OpusHead"
    [call] = engines.calls
    assert (call.engine, call.text, call.voice) == ("piper", "Доставка стоит 1500 тенге.", "ru_RU-irina-medium")
    assert (call.asked["length_scale"], call.asked["speaker_id"]) == (1.1, 2)
    assert call.headers["authorization"] == "Bearer sk-voice"


def test_an_old_piper_listens_at_the_root(make: Make, engines: FakeVoices) -> None:
    assert voices.speak(make(path="/").pk, TEXT).startswith(b"OggS")
    assert "authorization" not in engines.calls[0].headers


def test_xtts_is_asked_in_its_own_words(make: Make, engines: FakeVoices) -> None:
    voices.speak(make(engine="xtts", voice="anna", preset="natural").pk, TEXT, "ru")
    [call] = engines.calls
    assert call.asked == {"text": "Доставка стоит 1500 тенге.", "speaker_wav": "anna", "language": "ru", "preset": "natural"}


def test_openvoice_is_asked_in_its_own_words(make: Make, engines: FakeVoices) -> None:
    voices.speak(make(engine="openvoice", voice="marina", language="en", preset="speed=0.9, accent=en-br").pk, "It costs 5 ₸", "en")
    [call] = engines.calls
    assert call.asked == {"text": "It costs 5 tenge.", "voice": "marina", "accent": "en-br", "speed": "0.9"}


def test_a_long_text_is_said_in_pieces(make: Make, engines: FakeVoices) -> None:
    voices.speak(make(engine="xtts", voice="anna").pk, "Первое предложение здесь. " * 20, "ru")
    assert len(engines.calls) > 2 and all(len(call.text) <= 180 for call in engines.calls)
    assert "".join(call.text for call in engines.calls).count("Первое предложение здесь.") == 20


def test_a_streamed_answer_has_no_length_in_its_header(make: Make, engines: FakeVoices) -> None:
    engines.mode = "streamed"
    assert voices.speak(make(engine="xtts", voice="anna").pk, TEXT, "ru").startswith(b"OggS")


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        (Fault(status=500, body='{"detail": "Error: CUDA out of memory"}'), Retry, "500"),
        (Fault(status=503), Retry, "503"),
        (Fault(status=429), Retry, "429"),
        (Fault(status=401), Unauthorized, "401"),
        (Fault(status=404), Rejected, "404"),
        (Fault(status=302, headers={"location": "http://169.254.169.254/"}), Rejected, "302"),
        (Fault(drop=True), Retry, "connection"),
        (Fault(delay=2.0), Retry, "timeout"),
        (Fault(drip=0.05), Retry, "timeout"),
    ],
)
def test_an_engine_in_trouble(make: Make, engines: FakeVoices, fault: Fault, error: type[ProviderError], code: str) -> None:
    voice = make(timeout=1)
    engines.faults.append(fault)
    started = time.monotonic()
    with pytest.raises(error) as caught:
        voices.speak(voice.pk, SECRET, "ru")
    assert type(caught.value) is error and caught.value.code == code
    assert time.monotonic() - started < 4
    voice.refresh_from_db()
    assert voice.last_error == str(caught.value) and voice.last_error_at and SECRET not in voice.last_error
    voices.speak(voice.pk, TEXT, "ru")
    voice.refresh_from_db()
    assert not voice.last_error and voice.last_error_at is None


@pytest.mark.parametrize("mode", ["silence", "garbage", "broken", "empty"])
def test_an_answer_that_is_no_speech(make: Make, engines: FakeVoices, mode: str) -> None:
    engines.mode = mode
    with pytest.raises(Rejected) as caught:
        voices.speak(make().pk, TEXT, "ru")
    assert caught.value.code == "no_sound"


def test_an_engine_that_is_gone(make: Make) -> None:
    with pytest.raises(Retry) as caught:
        voices.speak(make(base_url="http://127.0.0.1:9").pk, TEXT, "ru")
    assert caught.value.code == "connect"


def test_an_engine_that_keeps_failing_is_left_alone(make: Make, engines: FakeVoices) -> None:
    voice = make()
    engines.faults.append(Fault(count=100, status=500))
    codes = []
    for _attempt in range(breaker.OPENS_AFTER + 2):
        with pytest.raises(Retry) as caught:
            voices.speak(voice.pk, TEXT, "ru")
        codes.append(caught.value.code)
    assert codes == ["500"] * breaker.OPENS_AFTER + ["breaker"] * 2


@pytest.mark.parametrize(
    ("fields", "text", "language", "code"),
    [
        ({"enabled": False}, TEXT, "ru", "no_voice"),
        ({}, "Бағасы 5 теңге", "kk", "language"),
        ({"engine": "xtts", "voice": "anna", "language": ""}, "Бағасы 5 теңге", "", "language"),
        ({}, "😀 https://shop.example/", "ru", "empty"),
        ({}, "слово " * 300, "ru", "too_long"),
    ],
)
def test_what_will_not_be_spoken(
    make: Make, engines: FakeVoices, fields: dict[str, Any], text: str, language: str, code: str
) -> None:
    voice = make(**fields)
    assert not voices.suits(voice.pk, text, language)
    with pytest.raises(Rejected) as caught:
        voices.speak(voice.pk, text, language)
    assert caught.value.code == code
    voice.refresh_from_db()
    assert engines.calls == [] and voice.last_error == ""


def test_no_words_in_the_log(make: Make, engines: FakeVoices, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("urllib3").setLevel(logging.INFO)
    voice = make(api_key="sk-voice-secret")
    engines.faults.append(Fault(status=500, body=SECRET))
    with pytest.raises(Retry):
        voices.speak(voice.pk, SECRET, "ru")
    voices.speak(voice.pk, SECRET, "ru")
    told = " ".join(str(record.__dict__) for record in caplog.records)
    assert SECRET not in told and "sk-voice-secret" not in told and "irina" in told


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"path": "synthesize"}, "path"),
        ({"preset": "length_scale=1.1, oops"}, "preset"),
        ({"engine": "xtts", "voice": ""}, "voice"),
        ({"engine": "xtts", "voice": "anna", "language": "kk"}, "language"),
        ({"engine": "openvoice", "voice": "anna", "language": "ru"}, "language"),
    ],
)
def test_rows_that_cannot_work_are_refused(make: Make, fields: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValidationError) as caught:
        make(**fields).full_clean()
    assert list(caught.value.message_dict) == [wrong]


# ── The managers' page ───────────────────────────────────────────────────────────────────────────────────────────────
def test_the_check_can_be_heard(admin_client: Client, make: Make, engines: FakeVoices) -> None:
    url = reverse("admin:llm_voice_check_voice", args=[make(enabled=False).pk])
    assert "1500" not in str(engines.calls) and admin_client.get(url).status_code == 200
    assert engines.calls == []
    page = admin_client.post(url, {"text": TEXT}).content.decode()
    assert '<audio controls autoplay src="data:audio/ogg;base64,T2dnU' in page
    engines.faults.append(Fault(status=500))
    page = admin_client.post(url, {"text": TEXT}).content.decode()
    assert "<audio" not in page and "500" in page
    assert admin_client.post(url, {"text": "x" * 2000}).status_code == 200
    assert len(engines.calls) == 1


def test_who_may_only_look_cannot_keep_an_engine_busy(client: Client, make: Make, engines: FakeVoices) -> None:
    from django.contrib.auth.models import Permission, User

    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_voice"))
    client.force_login(viewer)
    url = reverse("admin:llm_voice_check_voice", args=[make().pk])
    assert client.post(url, {"text": TEXT}).status_code in (302, 403)
    assert engines.calls == []


def test_the_key_is_written_and_never_read(admin_client: Client, make: Make) -> None:
    voice = make(api_key="sk-very-long-voice-secret")
    url = reverse("admin:llm_voice_change", args=[voice.pk])
    assert "sk-very-long-voice-secret" not in admin_client.get(url).content.decode()
    names = ("name", "slug", "engine", "base_url", "path", "voice", "preset", "language")
    form = {name: getattr(voice, name) for name in names} | {"api_key": "", "timeout": 9, "enabled": "on"}
    assert admin_client.post(url, form).status_code == 302
    voice.refresh_from_db()
    assert (voice.timeout, voice.api_key) == (9, "sk-very-long-voice-secret")
    admin_client.post(url, form | {"remove_key": "on"})
    voice.refresh_from_db()
    assert voice.api_key == ""
