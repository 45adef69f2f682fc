"""Voice messages written down, before anything else looks at their turn.

A transcript is a fact: it is stored as soon as it is there, once, whoever leads the conversation by then. Only the
turn's next stage, and giving up on a recording, depend on the claim.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from pydantic import BaseModel, Field

from channels import directory, log
from channels.models import Channel
from foundation import live, sound
from foundation.db import execute, row
from foundation.errors import ProviderError, Rejected, Unauthorized
from llm import failures, roster
from llm.base import Audio, ChatMessage, Completion, Request
from llm.completion import NoModel, complete
from llm.prompts import render

from . import media, outbox, turns
from .drafts import Draft
from .models import Contact, Message, Turn

logger = logging.getLogger(__name__)

PURPOSE = "transcribe"
#: Enough for ten minutes of quick Kazakh or Russian speech.
LONGEST_TRANSCRIPT_TOKENS = 8192
#: Seconds before a recording is tried again: long enough for models that are away for a minute.
PAUSES = (5.0, 30.0, 60.0)
#: Codes with which a model refuses this recording, and would refuse it again.
FINAL = failures.ABOUT_THE_EXCHANGE - {failures.MALFORMED}
#: What models that listen take as it is; browsers and some messengers record WebM, MP4 and AMR.
TAKEN = frozenset({"audio/ogg", "audio/wav", "audio/mp3", "audio/mpeg", "audio/aac", "audio/flac", "audio/aiff"})
#: Places that the model could not make out, and the like.
_REMARK = re.compile(r"\[[^\]]*\]|\W")

_text = Message._meta.get_field("text")


class Transcript(BaseModel):
    """What a model has heard."""

    heard: bool = Field(description="whether there is speech in the recording")
    transcript: str = Field(description="the words; empty where there is no speech")
    language: str = Field(default="", description="ru, kk or en")

    @property
    def words(self) -> str:
        """The transcript, or the empty word where it holds nothing but remarks."""
        return self.transcript.strip() if self.heard and _REMARK.sub("", self.transcript) else ""


class Unheard(Exception):
    """The words of a recording will not be known; the text says why, to a manager."""


def transcribe(turn_id: int) -> None:
    """Write down the voice messages of a turn and hand it on. Safe to run twice."""
    claimed = turns.claim(turn_id, Turn.Stage.TRANSCRIBE)
    if claimed is None:
        return
    with turns.working(claimed):
        given_up: dict[int, str] = {}
        more = True
        while more:
            for message in _unheard(claimed.id, given_up):
                if not _write_down(claimed, message, given_up):
                    return
            more = _conclude(claimed, given_up)


def _unheard(turn_id: int, given_up: dict[int, str]) -> list[Message]:
    waiting = Message.objects.filter(turn_id=turn_id, direction=Message.Direction.IN, unheard=True)
    return list(waiting.exclude(pk__in=given_up).order_by("seq"))


def _write_down(claimed: Any, message: Message, given_up: dict[int, str]) -> bool:
    """Store what is said in a message, or note why it cannot be had. False: not now, the turn is given back."""
    try:
        completion = _hear(claimed, message)
    except Unheard as error:
        given_up[message.pk] = str(error)
    except ProviderError as error:
        if claimed.attempts <= settings.MAX_RETRIES:
            pause = PAUSES[min(claimed.attempts, len(PAUSES)) - 1]
            turns.release(claimed, str(error), after=max(pause, getattr(error, "after", None) or 0))
            return False
        given_up[message.pk] = _why(error)
    else:
        _keep(message, completion)
        if not completion.answer.words:
            given_up[message.pk] = _("No words can be made out in the recording.")
    return True


def _hear(claimed: Any, message: Message) -> Completion[Transcript]:
    """Fetch the recording and ask the models. Raises Unheard, or a ProviderError that may pass."""
    channel = directory.entry(claimed.channel_id).channel
    sound = _recording(channel.pk, message)
    prompt = render(PURPOSE, company=channel.company, about=channel.about)
    request = Request(
        purpose=PURPOSE,
        messages=[ChatMessage("system", prompt), ChatMessage("user", "", audio=sound)],
        schema=Transcript,
        temperature=0.0,
        max_output_tokens=LONGEST_TRANSCRIPT_TOKENS,
    )
    try:
        return complete(request, reference=f"turn:{claimed.id}")
    except NoModel as error:
        able = [model for model in roster.enabled() if model.supports_audio]
        if not able:
            raise Unheard(_("No language model that can listen is set up.")) from None
        # The last failure is the offline model's. A model whose breaker is open leaves none, and may hear it later.
        told = error.failures[:-1]
        if len(told) >= len(able) and all(map(_is_final, told)):
            raise Unheard(_("No language model takes this recording.")) from None
        raise


def _is_final(failure: ProviderError) -> bool:
    """Whether a model would say so of this recording again. Gemini refuses a key, which a person can mend, with 400."""
    return failure.code in FINAL and not isinstance(failure, Unauthorized)


def _recording(channel_id: int, message: Message) -> Audio:
    """The sound of a message, within the limits. Raises Unheard, Retry, Unauthorized."""
    found = media.files(message)[:1]
    if not found:
        raise Unheard(_("There is no recording in the message."))
    longest, largest = settings.MAX_VOICE_SECONDS, settings.MAX_VOICE_MB * 1024 * 1024
    if (found[0].get("seconds") or 0) > longest:
        minutes = max(1, round(longest / 60))
        told = ngettext("The recording is longer than %(n)d minute.", "The recording is longer than %(n)d minutes.", minutes)
        raise Unheard(told % {"n": minutes})
    if (found[0].get("size") or 0) > largest:
        raise Unheard(_too_large())
    try:
        content, mime = media.content(message, 0)
    except Unauthorized as error:
        log.set_health(channel_id, Channel.Health.NEEDS_ATTENTION, str(error))
        raise
    except Rejected as error:
        raise Unheard(_too_large() if error.code == "too_large" else _why(error)) from None
    if len(content) > largest:
        raise Unheard(_too_large())
    return _takable(Audio(content, mime))


def _takable(audio: Audio) -> Audio:
    """The sound in a form that models take. What cannot be converted is offered as it is: some may know it."""
    if audio.mime in TAKEN:
        return audio
    try:
        return Audio(sound.ogg(audio.content), sound.VOICE_NOTE)
    except sound.NotSound as error:
        logger.info("recording not converted", extra={"mime": audio.mime, "error": str(error)})
        return audio


def _too_large() -> str:
    return _("The recording is larger than %(limit)g MB.") % {"limit": settings.MAX_VOICE_MB}


def _why(error: ProviderError) -> str:
    """A failure in a manager's words."""
    if isinstance(error, NoModel):
        return _("No language model could listen to it.")
    return _("The recording could not be downloaded (%(code)s).") % {"code": error.code or "—"}


def _keep(message: Message, completion: Completion[Transcript]) -> None:
    """Store what was heard, unless another worker was faster; it was paid for in any case."""
    words = completion.answer.words
    with transaction.atomic():
        outbox.lock(message.conversation_id)
        if message.turn_id is not None:
            turns.note_usage(message.turn_id, completion)
        if not words:
            return
        stored = execute(
            """
            UPDATE conversations_message SET text = %(text)s, transcribed = true, unheard = false, error = ''
            WHERE id = %(id)s AND unheard
            """,
            {"id": message.pk, "text": _text.seal("\n".join(filter(None, (message.text, words))))},
        )
        if stored:
            # An answer that is being computed without these words is computed again, where it still may be.
            execute(
                """
                UPDATE conversations_turn t SET version = version + 1 FROM conversations_message m
                WHERE m.id = %(id)s AND t.id = m.turn_id AND t.stage IN ('classify', 'answer')
                """,
                {"id": message.pk},
            )
    live.ring(f"conversation:{message.conversation_id}", what="message")


def _conclude(claimed: Any, given_up: dict[int, str]) -> bool:
    """Hand the turn on, or settle what becomes of it without words, in one commit. True: a recording joined meanwhile."""
    with transaction.atomic():
        conversation = turns.lock(claimed)
        if conversation is None or not _still_ours(claimed):
            return False
        if _unheard(claimed.id, given_up):
            return True
        for message_id, why in given_up.items():
            _give_up(message_id, why)
        if given_up:
            turns.call_manager(claimed.conversation_id, str(Turn.Reason.UNHEARD.label))
        contact = Contact.objects.get(pk=claimed.contact_id)
        moderated = directory.entry(claimed.channel_id).channel.moderation and contact.is_client is not True
        if not given_up or _has_words(claimed.id):
            turns.move_on(claimed, turns.first_stage(unheard=False, moderated=moderated))
        elif moderated:
            turns.end(claimed.id, Turn.Stage.IGNORED, Turn.Reason.UNHEARD, token=claimed.lease_token)
            turns.open_next(claimed.conversation_id)
        else:
            _ask_to_type(claimed, conversation, contact)
    return False


def _still_ours(claimed: Any) -> bool:
    """Whether the claim holds. The caller holds the conversation's lock, so it cannot be lost before the commit."""
    held = "SELECT id FROM conversations_turn WHERE id = %(turn)s AND lease_token = %(token)s AND stage = 'transcribe'"
    return row(held, {"turn": claimed.id, "token": claimed.lease_token}) is not None


def _give_up(message_id: int, why: str) -> None:
    execute(
        "UPDATE conversations_message SET unheard = false, error = %(why)s WHERE id = %(id)s AND unheard",
        {"id": message_id, "why": why[:300]},
    )
    logger.info("voice message not heard", extra={"message_id": message_id})


def _has_words(turn_id: int) -> bool:
    """Whether the customer said anything in this turn beside recordings nobody understood."""
    said = Message.objects.filter(turn_id=turn_id, direction=Message.Direction.IN).only("kind", "text")
    return any(message.kind != Message.Kind.VOICE or message.text.strip() for message in said)


def _ask_to_type(claimed: Any, conversation: Any, contact: Contact) -> None:
    """Tell the customer that the recording was not understood, as the turn's reply."""
    language = contact.language if contact.language in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE
    with translation.override(language):
        text = _("I could not make out your voice message. Could you write it as text, please?")
    outbox.queue(conversation, claimed.channel_id, Draft(text), author=Message.Author.BOT, turn_id=claimed.id)
    execute(
        f"""
        UPDATE conversations_turn
        SET stage = 'deliver', leased_until = NULL, lease_token = NULL, timeline = timeline || {turns.mark("deliver")}
        WHERE id = %(turn)s AND lease_token = %(token)s
        """,  # noqa: S608
        {"turn": claimed.id, "token": claimed.lease_token},
    )
