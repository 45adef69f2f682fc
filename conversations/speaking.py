"""Replies that are read aloud: a message of the kind voice, made of its words just before it leaves.

The written reply went before it in a message of its own, so a voice that cannot be had is left out without a fuss: no
retry, no manager, one line in the channel's log.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from django.utils.translation import gettext as _

from channels import log
from channels.base import OutboundFile, OutboundMessage
from channels.models import ChannelLog
from foundation import sealed_files
from foundation.crypto import CannotOpen
from foundation.db import execute, now
from foundation.errors import ProviderError
from foundation.sound import VOICE_NOTE
from llm import voices

from .models import ContactIdentity, Message, Turn

logger = logging.getLogger(__name__)

#: In the channel's log, where an engine that is away fills no page: told again after this time.
EVENT = "voice not sent"
TOLD_AGAIN_AFTER = timedelta(hours=1)
NAME = "voice.ogg"

_text = Message._meta.get_field("text")
_details = Message._meta.get_field("details")
_source_id = ContactIdentity._meta.get_field("source_id")


_KEEP = """
UPDATE conversations_message m SET details = %(details)s FROM conversations_conversation c
WHERE m.id = %(id)s AND m.lease_token = %(token)s AND m.state = 'sending' AND c.id = m.conversation_id
  AND (m.author <> 'bot' OR (c.mode = 'bot' AND c.epoch = m.epoch)) AND (m.cycle IS NULL OR m.cycle = c.cycle)
"""


class Unspoken(Exception):
    """The words could not be spoken; the text says why, to a manager."""


def is_ours(claimed: Any) -> bool:
    """Whether a claimed message speaks the words of another one, which can do without it."""
    return _voice_id(claimed) is not None


def never_spoken(claimed: Any) -> bool:
    """Whether a message whose worker died was still to be spoken, so that it certainly did not leave."""
    return is_ours(claimed) and "media" not in _details.open(claimed.details)


def spoken(claimed: Any) -> OutboundMessage | None:
    """What the adapter is given for a message that is to be spoken; None for any other. Raises Unspoken."""
    voice_id = _voice_id(claimed)
    if voice_id is None:
        return None
    recording = _kept(claimed)
    if recording is None:
        try:
            recording = voices.speak(voice_id, _text.open(claimed.text), _language(claimed))
        except ProviderError as error:
            raise Unspoken(str(error)) from None
        _keep(claimed, recording)
    voice = OutboundFile(NAME, VOICE_NOTE, recording)
    return OutboundMessage(key=str(claimed.id), to=_source_id.open(claimed.source_id), voice=voice)


def note(claimed: Any, error: Exception) -> None:
    """One line in the channel's log, unless the same was told within the hour."""
    logger.info("voice withdrawn", extra={"message_id": claimed.id, "error": type(error).__name__})
    told = ChannelLog.objects.filter(
        channel_id=claimed.channel_id, event=EVENT, detail=str(error)[:300], at__gt=now() - TOLD_AGAIN_AFTER
    )
    if not told.exists():
        log.note(claimed.channel_id, EVENT, str(error), ChannelLog.Level.WARNING)


def _voice_id(claimed: Any) -> int | None:
    if claimed.kind != Message.Kind.VOICE or claimed.details is None:
        return None
    found: int | None = _details.open(claimed.details).get("voice_id")
    return found


def _language(claimed: Any) -> str:
    """The language of the reply, as its turn knows it."""
    known = Turn.objects.filter(pk=claimed.turn_id).values_list("language", flat=True).first() or ""
    return known if known in ("ru", "kk", "en") else ""


def _kept(claimed: Any) -> bytes | None:
    """The recording of an earlier attempt."""
    media = _details.open(claimed.details).get("media") or [{"file": ""}]
    try:
        return sealed_files.read(media[0].get("file", ""))
    except (OSError, CannotOpen) as error:
        logger.warning("media not readable", extra={"message_id": claimed.id, "error": type(error).__name__})
        return None


def _keep(claimed: Any, recording: bytes) -> None:
    """Note that the words are spoken, and seal them on disk for the next attempt and for the managers' page.

    To speak takes seconds, in which a person may have taken over: then it must not leave any more. Raises Unspoken.
    """
    name = _sealed(claimed.id, recording)
    media = [{"file": name, "mime": VOICE_NOTE, "size": len(recording)}] if name else []
    kept = execute(
        _KEEP,
        {
            "id": claimed.id, "token": claimed.lease_token,
            "details": _details.seal({**_details.open(claimed.details), "media": media}),
        },
    )  # fmt: skip
    if not kept:
        sealed_files.remove(name)
        raise Unspoken(_("It was withdrawn while it was being spoken."))


def _sealed(message_id: int, recording: bytes) -> str:
    """The name under which the recording lies on our disk; empty where the disk takes nothing."""
    try:
        return sealed_files.write(recording)
    except OSError as error:
        logger.warning("media not kept", extra={"message_id": message_id, "error": error.strerror or type(error).__name__})
        return ""
