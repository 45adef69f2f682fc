"""A message's file as the browser gets it: played or shown where that is harmless, offered for download otherwise."""

from __future__ import annotations

import logging
import re
from pathlib import PurePosixPath

from django.http import Http404, HttpRequest, HttpResponse
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _

from foundation.errors import ProviderError, Rejected

from .. import media
from ..models import Message

logger = logging.getLogger(__name__)

#: What a browser may show by itself. SVG is no picture but a program, and is not among them.
PICTURES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
ENDINGS = {
    "audio/ogg": "ogg", "audio/mp3": "mp3", "audio/wav": "wav", "audio/flac": "flac", "audio/mp4": "m4a", "audio/webm": "webm",
    "audio/aac": "aac", "audio/amr": "amr", "image/png": "png", "image/jpeg": "jpg", "image/gif": "gif", "image/webp": "webp",
    "application/pdf": "pdf", "video/mp4": "mp4", "video/webm": "webm",
}  # fmt: skip
_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")
#: Control and formatting characters, which may turn a file name round, and separators.
_NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\\/:*?\"<>|]")


def file_response(request: HttpRequest, message: Message, index: int) -> HttpResponse:
    """The file number `index` of a message, or a text that says why it cannot be had. Raises Http404.

    Whoever calls it has checked that the person may see the conversation.
    """
    if index >= len(media.files(message)):
        raise Http404
    try:
        content, mime = media.content(message, index)
    except Rejected as error:
        logger.info("file not to be had", extra={"message_id": message.pk, "code": error.code})
        return _told(_("The file is not kept by the provider any more (%(code)s).") % {"code": error.code or "—"}, 410)
    except ProviderError as error:
        logger.info("file not to be had now", extra={"message_id": message.pk, "code": error.code})
        return _told(_("The provider cannot be reached now. Try again in a moment."), 503)
    return _guarded(_answer(request, content, mime, _name(message, index, mime)))


def _answer(request: HttpRequest, content: bytes, mime: str, name: str) -> HttpResponse:
    # A picture is one by its own bytes; a sound that is none plays nothing.
    shown = media.sniffed(content) in PICTURES or mime.startswith("audio/")
    response = _part(request, content)
    response["Content-Type"] = mime if shown else media.UNKNOWN
    response["Content-Disposition"] = content_disposition_header(not shown, name) or "attachment"
    response["Accept-Ranges"] = "bytes"
    return response


def _part(request: HttpRequest, content: bytes) -> HttpResponse:
    """The bytes that a player asks for; some play nothing from a server that cannot give parts."""
    asked = _RANGE.fullmatch(request.headers.get("Range", ""))
    if asked is None or not any(asked.groups()):
        return HttpResponse(content)
    size = len(content)
    first, last = asked[1], asked[2]
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last), size - 1) if first and last else size - 1
    if start > end:
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"})
    return HttpResponse(content[start : end + 1], status=206, headers={"Content-Range": f"bytes {start}-{end}/{size}"})


def _guarded(response: HttpResponse) -> HttpResponse:
    """Whatever a customer has sent can do nothing in the manager's session."""
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response["Cross-Origin-Resource-Policy"] = "same-origin"
    return response


def _told(words: str, status: int) -> HttpResponse:
    return _guarded(HttpResponse(words, status=status, content_type="text/plain; charset=utf-8"))


def _name(message: Message, index: int, mime: str) -> str:
    """The customer's name for the file without anything that could mislead, or one of ours."""
    given = _NOT_IN_NAMES.sub("", str(media.files(message)[index].get("name") or "")).strip(" .")[:120]
    name = given or f"{message.kind}-{message.conversation_id}-{message.seq}"
    if not PurePosixPath(name).suffix and mime in ENDINGS:
        name = f"{name}.{ENDINGS[mime]}"
    return name
