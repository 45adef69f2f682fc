"""Files of messages: sealed on disk, fetched again where they are lost, shown only to whom they concern."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from channels import directory
from channels.adapters.wappi import WappiAdapter
from channels.models import Channel
from conversations import media
from conversations.models import Conversation, Message
from foundation.errors import Rejected, Retry
from tests.sandbox.speech import recording

from .rows import a_channel, a_conversation, a_manager, a_message, english  # noqa: F401

pytestmark = pytest.mark.django_db

SOUND = recording("Сколько стоит доставка?")
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20
SVG = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"


class Provider:
    """Stands in for what the channel's provider keeps."""

    def __init__(self) -> None:
        self.content: bytes | Exception = SOUND
        self.asked = 0

    def fetch(self, _adapter: WappiAdapter, ref: str) -> bytes:
        self.asked += 1
        if isinstance(self.content, Exception):
            raise self.content
        return self.content


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings.MEDIA_ROOT = tmp_path / "media"
    monkeypatch.setattr(media, "_refused", False)
    return tmp_path / "media"


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Provider:
    stand_in = Provider()
    monkeypatch.setattr(WappiAdapter, "fetch_media", lambda adapter, ref: stand_in.fetch(adapter, ref))
    directory.forget()
    return stand_in


@pytest.fixture
def channel() -> Channel:
    return a_channel(kind="wappi", credentials={"token": "t"}, options={"profile_id": "p"})


@pytest.fixture
def conversation(channel: Channel) -> Conversation:
    return a_conversation(channel, phone="77017654321", name="Айгерим")


def a_file(
    conversation: Conversation, kind: str = "voice", *, name: str = "", mime: str = "audio/ogg", **fields: Any
) -> Message:
    details = {"media": [{"ref": "3A00", "mime": mime, "name": name, "size": 10, "seconds": 4.0}]}
    return a_message(conversation, "customer", fields.pop("text", ""), kind=kind, details=details, **fields)


def stored(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def address(message: Message, index: int = 0, **changes: int) -> str:
    pk = changes.get("conversation", message.conversation_id)
    return reverse("admin:conversation_file", args=(pk, message.pk, index))


# ── At rest ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_file_is_sealed_and_opens_again(conversation: Conversation, provider: Provider, root: Path) -> None:
    message = a_file(conversation)
    assert media.keep(message, 0, SOUND, "audio/wav")
    [path] = stored(root)
    assert SOUND[:64] not in path.read_bytes() and b"SAY:" not in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    assert str(path.relative_to(root)) == message.details["media"][0]["file"]
    fresh = Message.objects.get(pk=message.pk)
    assert fresh.details["media"][0] | {"file": ""} == {
        "ref": "3A00", "mime": "audio/ogg", "name": "", "size": 10, "seconds": 4.0, "file": "",
    }  # fmt: skip
    assert media.content(fresh, 0) == (SOUND, "audio/wav")
    assert provider.asked == 0


def test_what_is_not_here_is_fetched_once_and_kept(conversation: Conversation, provider: Provider, root: Path) -> None:
    message = a_file(conversation, mime="")
    for _ in range(3):
        assert media.content(message, 0) == (SOUND, "audio/wav")
    assert (provider.asked, len(stored(root))) == (1, 1)
    assert Message.objects.get(pk=message.pk).details["media"][0]["mime"] == "audio/wav"


def test_two_workers_keep_one_file(conversation: Conversation, provider: Provider, root: Path) -> None:
    first, second = a_file(conversation), None
    second = Message.objects.get(pk=first.pk)
    media.content(first, 0)
    media.content(second, 0)
    assert len(stored(root)) == 1
    assert first.details == second.details == Message.objects.get(pk=first.pk).details


@pytest.mark.parametrize("harm", ["lost", "altered", "another's"])
def test_a_copy_that_does_not_open_is_fetched_anew(
    conversation: Conversation, provider: Provider, root: Path, harm: str
) -> None:
    message, other = a_file(conversation), a_file(conversation)
    media.content(message, 0)
    media.keep(other, 0, b"somebody else's", "audio/ogg")
    path = root / message.details["media"][0]["file"]
    if harm == "lost":
        path.unlink()
    elif harm == "altered":
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    else:
        path.write_bytes((root / other.details["media"][0]["file"]).read_bytes())
    assert media.content(message, 0) == (SOUND, "audio/wav")
    assert provider.asked == 2
    assert media.content(message, 0) == (SOUND, "audio/wav")
    assert provider.asked == 2


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "2026/11/\0", "2026/11/../../x", ""])
def test_no_name_leads_out_of_the_folder(conversation: Conversation, provider: Provider, name: str) -> None:
    message = a_file(conversation)
    message.details["media"][0]["file"] = name
    assert media.content(message, 0)[0] == SOUND
    assert provider.asked == 1


def test_a_full_disk_is_said_once_and_stops_nothing(
    conversation: Conversation,
    provider: Provider,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched, caplog.at_level(logging.ERROR):
        patched.setattr(os, "fsync", full)
        for _ in range(3):
            assert media.content(a_file(conversation), 0)[0] == SOUND
    assert [record.message for record in caplog.records] == ["media not kept"]
    assert stored(root) == []
    message = a_file(conversation)
    assert media.keep(message, 0, SOUND, "audio/wav")
    assert len(stored(root)) == 1


def test_an_unwritable_folder_stops_nothing(
    conversation: Conversation, provider: Provider, settings: Any, tmp_path: Path
) -> None:
    (tmp_path / "in the way").write_text("")
    settings.MEDIA_ROOT = tmp_path / "in the way" / "media"
    assert media.content(a_file(conversation), 0)[0] == SOUND


@pytest.mark.parametrize(
    ("content", "declared", "mime"),
    [
        (b"OggS\0\0", "audio/ogg; codecs=opus", "audio/ogg"),
        (b"OggS\0\0", "", "audio/ogg"),
        (SOUND, "audio/ogg", "audio/wav"),
        (b"ID3\x03", "", "audio/mp3"),
        (b"\xff\xfb\x90", "", "audio/mp3"),
        (b"\xff\xf1\x50", "", "audio/aac"),
        (b"\xff\xd8\xff\xe0", "", "image/jpeg"),
        (b"\0\0\0\x20ftypM4A ", "audio/mp4", "audio/mp4"),
        (b"\0\0\0\x20ftypisom", "video/mp4", "video/mp4"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp", "image/webp"),
        (PNG, "image/svg+xml", "image/png"),
        (SVG, "image/svg+xml", "image/svg+xml"),
        (b"\xff", "", "application/octet-stream"),
        (b"", "", "application/octet-stream"),
    ],
)
def test_the_kind_is_read_from_the_bytes(content: bytes, declared: str, mime: str) -> None:
    assert media.sniffed(content, declared) == mime


# ── For managers ─────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_voice_message_plays(admin_client: Client, conversation: Conversation, provider: Provider) -> None:
    message = a_file(conversation, text="Сколько стоит?", transcribed=True)
    html = admin_client.get(reverse("admin:conversation_feed", args=(conversation.pk,))).json()["items"][0]["html"]
    assert f'<audio class="sd-bubble__player" controls preload="none" src="{address(message)}">' in html
    assert "transcribed" in html and "0:04" in html
    assert html.index("<audio") < html.index("Сколько стоит?")
    answer = admin_client.get(address(message))
    assert (answer.status_code, answer.content, answer["Content-Type"]) == (200, SOUND, "audio/wav")
    assert answer["Content-Disposition"] == f'inline; filename="voice-{conversation.pk}-1.wav"'
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert "no-store" in answer["Cache-Control"] and "private" in answer["Cache-Control"]


@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [
        ("bytes=0-", 206, SOUND),
        ("bytes=0-9", 206, SOUND[:10]),
        ("bytes=5-999999999", 206, SOUND[5:]),
        ("bytes=-4", 206, SOUND[-4:]),
        ("bytes=999999999-", 416, b""),
        ("bytes=9-5", 416, b""),
        ("bytes=-", 200, SOUND),
        ("bytes=0-1,5-6", 200, SOUND),
        ("lines=1-2", 200, SOUND),
    ],
)
def test_players_may_ask_for_a_part(
    admin_client: Client, conversation: Conversation, provider: Provider, asked: str, status: int, part: bytes
) -> None:
    answer = admin_client.get(address(a_file(conversation)), headers={"Range": asked})
    assert (answer.status_code, answer.content) == (status, part)
    if status == 206:
        start = SOUND.index(part)
        assert answer["Content-Range"] == f"bytes {start}-{start + len(part) - 1}/{len(SOUND)}"


@pytest.mark.parametrize(
    ("content", "mime", "shown"),
    [
        (PNG, "image/png", True),
        (SVG, "image/svg+xml", False),
        (b"<script>alert(1)</script>", "text/html", False),
        (b"%PDF-1.7", "application/pdf", False),
        (b"<script>alert(1)</script>", "image/png", False),
    ],
)
def test_only_sounds_and_pictures_open_in_the_browser(
    admin_client: Client, conversation: Conversation, provider: Provider, content: bytes, mime: str, shown: bool
) -> None:
    provider.content = content
    answer = admin_client.get(address(a_file(conversation, "document", mime=mime, name="offer")))
    assert answer["Content-Disposition"].startswith("inline" if shown else "attachment")
    assert answer["Content-Type"] == (mime if shown else "application/octet-stream")
    assert answer["Content-Security-Policy"] == "sandbox; default-src 'none'"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("КП.pdf", "%D0%9A%D0%9F.pdf"),
        ("../../../etc/passwd", "etcpasswd.pdf"),
        ("a\r\nSet-Cookie: x=1.pdf", "aSet-Cookie%20x%3D1.pdf"),
        ("\u202egpj.exe.pdf", "gpj.exe.pdf"),
        ("", "document-"),
    ],
)
def test_file_names_mislead_nobody(
    admin_client: Client, conversation: Conversation, provider: Provider, given: str, name: str
) -> None:
    provider.content = b"%PDF-1.7"
    answer = admin_client.get(address(a_file(conversation, "document", mime="application/pdf", name=given)))
    told = answer["Content-Disposition"].replace('"', "").replace(" x=1", "%20x%3D1")
    assert name in told and "\n" not in told and "Set-Cookie" not in answer


def test_other_files_have_a_link(admin_client: Client, conversation: Conversation) -> None:
    message = a_file(conversation, "document", mime="application/pdf", name="<b>.pdf")
    html = admin_client.get(reverse("admin:conversation_feed", args=(conversation.pk,))).json()["items"][0]["html"]
    assert f'<a href="{address(message)}" target="_blank" rel="noopener">&lt;b&gt;.pdf</a>' in html
    assert "<audio" not in html


def test_why_nothing_was_heard_is_said_at_the_message(admin_client: Client, conversation: Conversation) -> None:
    a_file(conversation, error="No words can be made out in the recording.")
    html = admin_client.get(reverse("admin:conversation_feed", args=(conversation.pk,))).json()["items"][0]["html"]
    assert "No words can be made out" in html


def test_strangers_get_nothing(client: Client, conversation: Conversation, provider: Provider) -> None:
    message = a_file(conversation)
    other = a_file(a_conversation(conversation.channel))
    assert client.get(address(message)).status_code == 302
    manager = a_manager()
    client.force_login(manager)
    assert client.get(address(message)).status_code == 404
    conversation.channel.team.add(manager)
    assert client.get(address(message)).status_code == 200
    assert client.get(address(message, conversation=other.conversation_id)).status_code == 404
    assert client.get(address(message, 1)).status_code == 404
    assert client.get(address(message).replace(f"/{message.pk}/", "/999999/")).status_code == 404
    assert client.post(address(message)).status_code == 405


def test_files_of_another_owners_channel_are_not_there(client: Client, provider: Provider) -> None:
    message = a_file(a_conversation(a_channel(kind="wappi", options={"profile_id": "p"}, owner=a_manager())))
    client.force_login(a_manager())
    assert client.get(address(message)).status_code == 404
    assert provider.asked == 0


def test_without_the_right_to_see_conversations_there_are_no_files(
    client: Client, conversation: Conversation, provider: Provider
) -> None:
    manager = a_manager()
    manager.user_permissions.clear()
    client.force_login(manager)
    assert client.get(address(a_file(conversation))).status_code == 403


@pytest.mark.parametrize(
    ("failure", "status", "words"),
    [
        (Rejected("gone", code="404"), 410, "not kept by the provider any more (404)"),
        (Retry("busy", code="503"), 503, "cannot be reached now"),
        (b"", 410, "not kept"),
    ],
)
def test_what_the_provider_no_longer_has_is_said_in_words(
    admin_client: Client, conversation: Conversation, provider: Provider, failure: Any, status: int, words: str
) -> None:
    provider.content = failure
    answer = admin_client.get(address(a_file(conversation)))
    assert (answer.status_code, answer["Content-Type"]) == (status, "text/plain; charset=utf-8")
    assert words in answer.content.decode()


def test_a_channel_without_files_says_so(admin_client: Client) -> None:
    answer = admin_client.get(address(a_file(a_conversation(a_channel()))))
    assert answer.status_code == 410
