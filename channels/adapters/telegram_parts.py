"""One outgoing message as the calls of Telegram's Bot API that make it up."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.utils.translation import gettext as _

from channels import rich
from channels.base import Choice, Markup, OutboundFile, OutboundMessage
from foundation.errors import Rejected

CAPTION = 1024
TEXT = 4096
PHOTO_BYTES = 10 * 1024 * 1024
PHOTOS = ("image/jpeg", "image/png")
#: Telegram names no limit for the words on a button; what is longer is cut off on a phone.
TITLE = 64
#: Buttons with short words share a row.
ROW_BUTTONS, ROW_UNITS = 3, 30
MESSAGE_ID = re.compile(r"(\d{1,19}):(-?\d{1,19}):(\d{1,19})")


@dataclass(frozen=True, slots=True)
class Part:
    """One call. `words` is the name of the field that holds `text`, which carries our own marks."""

    method: str
    body: dict[str, Any]
    words: str = ""
    text: str = ""
    upload: tuple[str, OutboundFile] | None = None
    courtesy: bool = False
    """The customer has the words already: without this part the message is whole enough."""

    def request(self, markup: Markup = Markup.HTML) -> dict[str, Any]:
        if not self.words or not self.text:
            return self.body
        said = {self.words: rich.render(self.text, markup)}
        return {**self.body, **said, **({"parse_mode": "HTML"} if markup is Markup.HTML else {})}

    def as_document(self) -> Part:
        """The same picture as a file."""
        file = self.upload[1] if self.upload else None
        return replace(self, method="sendDocument", upload=("document", file) if file else None)


def chat_of(source_id: str) -> int:
    """Raises Rejected for what is no chat of Telegram."""
    if not re.fullmatch(r"-?\d{1,19}", source_id.strip()):
        raise Rejected(_("This is no Telegram chat."), code="recipient")
    return int(source_id)


def parts_of(message: OutboundMessage, bot: str) -> list[Part]:
    """The calls by which this bot (its id) sends a message, in their order.

    A short text is the caption of the first file. Buttons hang on the text, which then comes after the files, where the
    customer looks last. The spoken words follow the written ones.
    """
    chat = chat_of(message.to)
    text = _described(message.text, message.choices)
    controls = bool(message.choices) or message.asks_phone
    captioned = _fits_caption(message, text, controls)
    said = [] if captioned or not text.strip() else _words(message, bot, chat, text)
    files = [
        _file(chat, file, text if captioned and number == 0 else file.caption) for number, file in enumerate(message.files)
    ]
    spoken = [_voice(chat, message.voice, courtesy=bool(said or files))] if message.voice else []
    return [*files, *said, *spoken] if controls else [*said, *files, *spoken]


def _fits_caption(message: OutboundMessage, text: str, controls: bool) -> bool:
    if not message.files or message.files[0].caption or message.reply_to or controls:
        return False
    return rich.units(rich.render(text, Markup.HTML)) <= CAPTION


def _described(text: str, choices: Sequence[Choice]) -> str:
    """Buttons have no room for a description: it is written under the text, where all of them fit."""
    lines = [f"**{choice.title}** — {choice.description}" for choice in choices if choice.description]
    longer = "\n".join([text, "", *lines])
    return longer if lines and rich.units(longer) <= TEXT else text


def _words(message: OutboundMessage, bot: str, chat: int, text: str) -> list[Part]:
    body: dict[str, Any] = {"chat_id": chat}
    # To show a preview Telegram opens the link, and some links are good for being opened once.
    body["link_preview_options"] = {"is_disabled": True}
    quoted = MESSAGE_ID.fullmatch(message.reply_to)
    if quoted and (quoted[1], int(quoted[2])) == (bot, chat):
        body["reply_parameters"] = {"message_id": int(quoted[3]), "allow_sending_without_reply": True}
    first = Part("sendMessage", body, "text", text)
    if not message.choices:
        return [replace(first, body={**body, "reply_markup": _phone_keyboard()})] if message.asks_phone else [first]
    parts = [replace(first, body={**body, "reply_markup": {"inline_keyboard": keyboard(message.choices)}})]
    if message.asks_phone:
        # One message carries buttons of one sort only.
        asking = {"chat_id": chat, "reply_markup": _phone_keyboard()}
        parts.append(Part("sendMessage", asking, "text", _("You can share your phone number with the button below.")))
    return parts


def _phone_keyboard() -> dict[str, Any]:
    button = {"text": _("Share my phone number"), "request_contact": True}
    return {"keyboard": [[button]], "resize_keyboard": True, "one_time_keyboard": True}


def keyboard(choices: Sequence[Choice]) -> list[list[dict[str, str]]]:
    """Rows of buttons; those with short words share a row."""
    rows: list[list[dict[str, str]]] = []
    room = 0
    for choice in rich.with_titles(choices, TITLE):
        size = rich.units(choice.title)
        if not rows or len(rows[-1]) == ROW_BUTTONS or size > room:
            rows.append([])
            room = ROW_UNITS
        rows[-1].append({"text": choice.title, "callback_data": choice.id})
        room -= size
    return rows


def _file(chat: int, file: OutboundFile, caption: str) -> Part:
    photo = file.mime in PHOTOS and len(file.content) <= PHOTO_BYTES
    method, field = ("sendPhoto", "photo") if photo else ("sendDocument", "document")
    return Part(method, {"chat_id": chat}, "caption", caption, (field, file))


def _voice(chat: int, voice: OutboundFile, *, courtesy: bool) -> Part:
    return Part("sendVoice", {"chat_id": chat}, "caption", voice.caption, ("voice", voice), courtesy)
