"""Files that came with messages, kept sealed on our own disk under `MEDIA_ROOT/<yyyy>/<mm>/<random name>`.

A provider keeps its copy for days or weeks; ours is made when a file is first needed. It is a convenience: where the
disk is full the work goes on without it, and where the file is lost or cannot be opened it is fetched again.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from channels import directory
from foundation.crypto import CannotOpen, open_sealed, seal
from foundation.errors import Rejected

from .models import Message

logger = logging.getLogger(__name__)

_NAME = re.compile(r"\d{4}/\d{2}/[0-9a-f]{32}")
UNKNOWN = "application/octet-stream"
_MAGIC = (
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mp3"),
    (b"fLaC", "audio/flac"),
    (b"#!AMR", "audio/amr"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
)

#: Whether this process has said that the disk takes nothing; it says so once, until a file is kept again.
_refused = False


def sniffed(content: bytes, declared: str = "") -> str:
    """The bare MIME type by the first bytes of a file, since what providers declare is often wrong; the declared one, or
    `application/octet-stream`, where they tell nothing.
    """
    declared = declared.partition(";")[0].strip().lower()
    kind, sound = content[:4] + content[8:12], not declared.startswith("video/")
    if kind == b"RIFFWAVE":
        return "audio/wav"
    if kind == b"RIFFWEBP":
        return "image/webp"
    if kind in (b"FORMAIFF", b"FORMAIFC"):
        return "audio/aiff"
    if content[4:8] == b"ftyp":
        return "audio/mp4" if sound else "video/mp4"
    if content[:4] == b"\x1aE\xdf\xa3":
        return "audio/webm" if sound else "video/webm"
    if content[:1] == b"\xff" and content[1:2] and content[1] & 0xE6 in (0xE2, 0xE4, 0xE6):
        return "audio/mp3"
    if content[:1] == b"\xff" and content[1:2] and content[1] & 0xF6 == 0xF0:
        return "audio/aac"
    return next((mime for magic, mime in _MAGIC if content.startswith(magic)), declared or UNKNOWN)


def keep(message: Message, index: int, content: bytes, mime: str) -> bool:
    """Seal a message's file number `index` on disk and remember its name, and its type where none was declared, in
    `details`. False where the disk does not take it: that is logged once, and nobody has to care.
    """
    global _refused
    try:
        name = _write(content)
    except OSError as error:
        if not _refused:
            logger.error("media not kept", extra={"message_id": message.pk, "error": error.strerror or type(error).__name__})
        _refused = True
        return False
    _refused = False
    if not _remember(message, index, name, mime):
        _path(name).unlink(missing_ok=True)
    return True


def content(message: Message, index: int) -> tuple[bytes, str]:
    """The bytes and the MIME type of a message's file number `index`: our copy, else the provider's, which is then kept.

    Raises IndexError for a number the message does not have, and what `Adapter.fetch_media` raises: Retry, Rejected.
    """
    media = files(message)[index]
    kept = _read(media.get("file", ""))
    if kept is not None:
        return kept, sniffed(kept, media.get("mime", ""))
    try:
        fetched = directory.entry(message.channel_id).adapter.fetch_media(str(media["ref"]))
    except (NotImplementedError, KeyError):
        raise Rejected(_("The channel keeps no copy of this file."), code="no_file") from None
    if not fetched:
        raise Rejected(_("The file is empty."), code="empty")
    mime = sniffed(fetched, media.get("mime", ""))
    keep(message, index, fetched, mime)
    return fetched, mime


def files(message: Message) -> list[dict[str, Any]]:
    """What a message's `details` say of its files."""
    found: list[dict[str, Any]] = (message.details or {}).get("media", [])
    return found


def _remember(message: Message, index: int, name: str, mime: str) -> bool:
    """Note the name in the row; False where it has one that is there, or the message is gone."""
    with transaction.atomic():
        row = Message.objects.select_for_update(no_key=True).only("details").filter(pk=message.pk).first()
        if row is None or len(files(row)) <= index:
            return False
        media = files(row)[index]
        known = media.get("file", "")
        if not known or _read(known) is None:
            media |= {"file": name, "mime": media.get("mime") or mime}
            row.save(update_fields=["details"])
    message.details = row.details
    return bool(media["file"] == name)


def _path(name: str) -> Path:
    return Path(settings.MEDIA_ROOT) / name


def _context(name: str) -> str:
    """A file under another one's name does not open."""
    return f"media/{name}"


def _read(name: str) -> bytes | None:
    """Our copy, or None where there is none (any more) that opens."""
    if not _NAME.fullmatch(name):
        return None
    try:
        return open_sealed(_path(name).read_bytes(), _context(name))
    except FileNotFoundError:
        return None
    except (OSError, CannotOpen) as error:
        logger.warning("media not readable", extra={"file": name, "error": type(error).__name__})
        return None


def _write(content: bytes) -> str:
    """Store the sealed bytes under a new random name; whole or not at all. Raises OSError."""
    name = f"{timezone.now():%Y/%m}/{secrets.token_hex(16)}"
    path = _path(name)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_suffix(".part")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(seal(content, _context(name)))
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
        _sync(path.parent)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return name


def _sync(directory_: Path) -> None:
    """Make a rename durable."""
    descriptor = os.open(directory_, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
