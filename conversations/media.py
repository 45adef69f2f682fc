"""Files that came with messages, kept sealed on our own disk under `MEDIA_ROOT/<yyyy>/<mm>/<random name>`.

A provider keeps its copy for days or weeks; ours is made when a file is first needed. It is a convenience: where the
disk is full the work goes on without it, and where the file is lost or cannot be opened it is fetched again.
"""

from __future__ import annotations

import logging
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from channels import directory
from foundation import sealed_files
from foundation.crypto import CannotOpen
from foundation.errors import Rejected

from .models import Message

logger = logging.getLogger(__name__)

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
        name = sealed_files.write(content)
    except OSError as error:
        if not _refused:
            logger.error("media not kept", extra={"message_id": message.pk, "error": error.strerror or type(error).__name__})
        _refused = True
        return False
    _refused = False
    if not _remember(message, index, name, mime):
        sealed_files.remove(name)
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


def _read(name: str) -> bytes | None:
    """Our copy, or None where there is none (any more) that opens."""
    try:
        return sealed_files.read(name)
    except (OSError, CannotOpen) as error:
        logger.warning("media not readable", extra={"file": name, "error": type(error).__name__})
        return None
