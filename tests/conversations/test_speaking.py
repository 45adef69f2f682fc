"""Replies read aloud: the written one first, then the voice; and where no voice can be had, nobody notices."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from channels import directory
from channels.models import ChannelLog
from conversations import history, outbox_sweep, speaking, takeover
from conversations.models import Message, Turn
from foundation import sealed_files
from llm import voices
from llm.models import Voice
from sales.models import Assistant
from tests.foundation.test_sound import recorded
from tests.sandbox.fixtures import served
from tests.sandbox.server import Fault
from tests.sandbox.voices import FakeVoices

from .voice import Shop, script

pytestmark = pytest.mark.django_db(transaction=True)

ASKS = "Спасибо Вам за совет!"


server = served(FakeVoices)


@pytest.fixture
def engine(server: FakeVoices, shop: Shop) -> FakeVoices:
    """The shop's assistant has a voice, which reads every reply aloud."""
    server.reset()
    voice = Voice.objects.create(
        name="Irina", slug="irina", engine="piper", base_url=server.base_url, voice="ru_RU-irina-medium", timeout=2
    )
    Assistant.objects.update(voice=voice, voice_when="always")
    return server


def sent(shop: Shop) -> list[str]:
    """What the customer received, by the provider's record."""
    return [entry["path"].rpartition("/message/")[2] for entry in shop.provider.ledger]


def ours() -> list[Message]:
    return list(Message.objects.filter(direction="out").order_by("seq"))


def undisturbed(shop: Shop) -> bool:
    """The turn is done and nobody was called."""
    return shop.turn().stage == Turn.Stage.DONE and not shop.conversation().needs_attention


def test_the_voice_follows_the_written_reply(shop: Shop, engine: FakeVoices) -> None:
    shop.writes(ASKS)
    shop.run()
    assert sent(shop) == ["send", "audio/send"]
    written, spoken = ours()
    assert (written.kind, spoken.kind, spoken.state) == ("text", "voice", "sent")
    assert undisturbed(shop)
    note = shop.provider.messages[str(spoken.external_id)].content
    assert note[:4] == b"OggS" and note[28:36] == b"OpusHead"
    [call] = engine.calls
    assert call.voice == "ru_RU-irina-medium" and call.text


def test_the_managers_can_listen(shop: Shop, engine: FakeVoices, admin_client: Client) -> None:
    shop.writes(ASKS)
    shop.run()
    spoken = ours()[1]
    answer = admin_client.get(reverse("admin:conversation_file", args=(spoken.conversation_id, spoken.pk, 0)))
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content  # type: ignore[attr-defined]
    assert answer.status_code == 200 and content[:4] == b"OggS"


@pytest.mark.parametrize(("speaks", "paths"), [(True, ["send", "audio/send"]), (False, ["send"])])
def test_a_voice_only_for_those_who_spoke(shop: Shop, engine: FakeVoices, speaks: bool, paths: list[str]) -> None:
    Assistant.objects.update(voice_when="spoken")
    shop.speaks(ASKS) if speaks else shop.writes(ASKS)
    shop.run()
    assert sent(shop) == paths and undisturbed(shop)


def test_no_voice_where_there_is_none(shop: Shop, engine: FakeVoices) -> None:
    Voice.objects.update(enabled=False)
    voices.forget()
    shop.writes(ASKS)
    shop.run()
    assert sent(shop) == ["send"] and undisturbed(shop)


def test_a_reply_in_another_language_is_only_written(shop: Shop, engine: FakeVoices) -> None:
    Voice.objects.update(language="kk")
    voices.forget()
    shop.writes(ASKS)
    shop.run()
    assert sent(shop) == ["send"] and engine.calls == []


def test_a_channel_without_voice_gets_none(shop: Shop, engine: FakeVoices, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from channels.adapters.wappi import WappiAdapter

    monkeypatch.setattr(WappiAdapter, "capabilities", replace(WappiAdapter.capabilities, speaks=False))
    directory.forget()
    shop.writes(ASKS)
    shop.run()
    assert sent(shop) == ["send"] and undisturbed(shop)


def test_models_are_told_the_words_once(shop: Shop, engine: FakeVoices) -> None:
    shop.writes(ASKS)
    shop.run()
    assert [line.author for line in history.recent(shop.conversation().pk)] == ["customer", "bot"]


# ── The engine fails ─────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("fault", "mode"),
    [
        (Fault(count=99, status=500), ""),
        (Fault(count=99, status=401), ""),
        (Fault(count=99, drop=True), ""),
        (Fault(count=99, delay=3.0), ""),
        (Fault(count=99, drip=0.1), ""),
        (None, "silence"),
        (None, "garbage"),
        (None, "broken"),
    ],
)
def test_an_engine_in_trouble_disturbs_nobody(shop: Shop, engine: FakeVoices, fault: Fault | None, mode: str) -> None:
    Voice.objects.update(timeout=1)
    voices.forget()
    engine.mode = mode
    engine.faults += [fault] if fault else []
    for _ in range(2):
        shop.writes(ASKS)
        shop.run()
    assert sent(shop) == ["send", "send"]
    assert not shop.conversation().needs_attention
    assert {turn.stage for turn in Turn.objects.all()} == {Turn.Stage.DONE}
    withdrawn = Message.objects.filter(kind="voice", direction="out")
    assert {(message.state, bool(message.error)) for message in withdrawn} == {("suppressed", True)}
    [told] = ChannelLog.objects.filter(event=speaking.EVENT)
    assert "Irina" in told.detail and told.level == "warning"
    assert Voice.objects.get().last_error


def test_an_engine_that_is_gone_and_comes_back(shop: Shop, engine: FakeVoices) -> None:
    Voice.objects.update(base_url="http://127.0.0.1:9")
    voices.forget()
    shop.writes(ASKS)
    shop.run()
    Voice.objects.update(base_url=engine.base_url)
    voices.forget()
    shop.writes("Спасибо ещё раз!")
    shop.run()
    assert sent(shop) == ["send", "send", "audio/send"]


def test_a_voice_deleted_meanwhile(shop: Shop, engine: FakeVoices) -> None:
    shop.writes(ASKS)
    shop.until("conversations.deliver")
    Voice.objects.all().delete()
    shop.run()
    assert sent(shop) == ["send"] and undisturbed(shop)


# ── The channel fails ────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_voice_that_the_channel_refuses_is_left_out(shop: Shop, engine: FakeVoices) -> None:
    shop.provider.faults.append(Fault(path="audio/send", status=400, body='{"status": "error", "detail": "bad file"}'))
    shop.writes(ASKS)
    shop.run()
    assert sent(shop) == ["send"] and ours()[1].state == "suppressed" and undisturbed(shop)


def test_a_voice_that_did_not_leave_is_not_spoken_again(shop: Shop, engine: FakeVoices) -> None:
    shop.provider.faults.append(Fault(path="audio/send", status=503, body="{}"))
    shop.writes(ASKS)
    shop.run()
    shop.later()
    assert sent(shop) == ["send", "audio/send"] and undisturbed(shop)
    assert len(engine.calls) == 1


def test_without_our_disk_it_leaves_too(shop: Shop, engine: FakeVoices, settings: Any, tmp_path: Path) -> None:
    (tmp_path / "full").write_text("")
    settings.MEDIA_ROOT = tmp_path / "full" / "media"
    shop.writes(ASKS)
    shop.run()
    assert sent(shop) == ["send", "audio/send"] and undisturbed(shop)


# ── Other hands ──────────────────────────────────────────────────────────────────────────────────────────────────────
def while_speaking(monkeypatch: pytest.MonkeyPatch, action: Any) -> None:
    original = voices.speak

    def speak(*args: Any) -> bytes:
        action()
        return original(*args)

    monkeypatch.setattr(voices, "speak", speak)


def test_a_manager_who_takes_over_meanwhile_is_not_talked_over(
    shop: Shop, engine: FakeVoices, monkeypatch: pytest.MonkeyPatch, admin_user: Any
) -> None:
    while_speaking(monkeypatch, lambda: takeover.take_over(shop.conversation().pk, user=admin_user))
    shop.writes(ASKS)
    shop.run()
    assert sent(shop) == ["send"] and ours()[1].state == "suppressed"
    assert list(sealed_files._names()) == []


def test_a_worker_that_dies_while_speaking_leaves_no_doubt(
    shop: Shop, engine: FakeVoices, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die() -> None:
        raise Killed

    while_speaking(monkeypatch, die)
    shop.writes(ASKS)
    with pytest.raises(Killed):
        shop.run()
    Message.objects.filter(state="sending").update(leased_until=timezone.now() - timedelta(seconds=1))
    outbox_sweep.sweep()
    assert ours()[1].state == "suppressed" and undisturbed(shop)


def test_a_worker_that_dies_while_sending_the_voice_leaves_a_doubt(
    shop: Shop, engine: FakeVoices, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.provider.faults.append(Fault(path="audio/send", drop=True))
    shop.writes(ASKS)
    shop.run()
    assert sent(shop) == ["send", "audio/send"]
    assert ours()[1].state in ("unconfirmed", "sent")


def test_every_task_twice_is_one_voice(shop: Shop, engine: FakeVoices) -> None:
    shop.writes(ASKS)
    while shop.broker.waiting:
        shop.broker.waiting.extend(shop.broker.waiting[:1])
        shop.broker.run_one()
        shop.broker.run_one()
    assert sent(shop) == ["send", "audio/send"] and len(engine.calls) == 1


# ── Recordings that models do not take ───────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("form", "codec", "rate", "mime"),
    [("webm", "libopus", 48000, "audio/webm;codecs=opus"), ("mp4", "aac", 44100, "audio/mp4"), ("amr", "libopencore_amrnb", 8000, "audio/amr")],
)
def test_recordings_of_browsers_and_phones_are_converted(
    shop: Shop, form: str, codec: str, rate: int, mime: str
) -> None:
    heard: list[str] = []

    def hears(prompted: Any) -> Any:
        body = shop.llm.calls[-1].body if shop.llm.calls else {}
        heard.append(str(body))
        return {"heard": True, "transcript": ASKS, "language": "ru"}

    script(shop, hears)
    shop.speaks(content=recorded(form, codec, rate), mime=mime)
    shop.run()
    assert shop.voice().text == ASKS and sent(shop) == ["send"]
    given = str([call.body for call in shop.llm.calls if "inlineData" in str(call.body)])
    assert "'mimeType': 'audio/ogg'" in given and "'data': 'T2dnU" in given


def test_what_cannot_be_converted_is_offered_as_it_is(shop: Shop) -> None:
    script(shop, lambda prompted: {"heard": True, "transcript": ASKS, "language": "ru"})
    shop.speaks(content=b"\x1aE\xdf\xa3" + b"nothing" * 20, mime="audio/webm")
    shop.run()
    assert shop.voice().text == ASKS
    assert "'mimeType': 'audio/webm'" in str([call.body for call in shop.llm.calls])
