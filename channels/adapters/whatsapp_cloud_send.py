"""Our messages made into bodies for `POST /{phone_number_id}/messages`. Nothing here talks to the network."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from channels.base import Choice, Markup, OutboundFile, OutboundMessage, ProviderTemplate, TemplateUse
from channels.rich import clip, render, units, with_titles
from foundation.errors import Rejected

from .whatsapp_cloud_client import bare_mime

MAX_CAPTION = 1024
MAX_BUTTONS = 3
BUTTON_TITLE = 20
#: A button message holds less text than a list.
BUTTONS_BODY = 1024
ROW_TITLE = 24
ROW_DESCRIPTION = 72
MAX_ROWS = 10
MENU_LABEL = 20
MAX_FILE_NAME = 240
#: In what shape a file is shown, and up to how many bytes; beyond it goes as a document.
SHOWN = {
    "image/jpeg": ("image", 5),
    "image/png": ("image", 5),
    "video/mp4": ("video", 16),
    "video/3gpp": ("video", 16),
    "audio/aac": ("audio", 16),
    "audio/amr": ("audio", 16),
    "audio/mpeg": ("audio", 16),
    "audio/mp4": ("audio", 16),
    "audio/ogg": ("audio", 16),
}
MEGABYTE = 1024 * 1024
#: A business-scoped user id: how a person is known whose phone is hidden.
USER_ID = re.compile(r"[A-Z]{2}\.[A-Za-z0-9]{1,128}")
#: Marks what is ours among the correlation ids that come back in status webhooks; other programs write there too.
OURS = "saudager:"


@dataclass(frozen=True, slots=True)
class Part:
    """One call. `file` is uploaded first, and its id put into the body."""

    body: Mapping[str, Any]
    file: OutboundFile | None = None
    spare: bool = False
    """The words have left in another part: that this one fails is no failure of the message."""


def recipient(source_id: str) -> dict[str, str]:
    """How Meta wants to be told of a person. Raises Rejected."""
    source_id = source_id.strip()
    if re.fullmatch(r"\+?\d{5,20}", source_id):
        return {"to": source_id.lstrip("+")}
    if USER_ID.fullmatch(source_id):
        return {"recipient": source_id}
    raise Rejected(_("This is no WhatsApp address."), code="recipient")


def correlation(key: str, part: int) -> str:
    """Our id as it travels with each part of a message; status webhooks bring it back."""
    return f"{OURS}{key}" if part == 0 else f"{OURS}{key}:{part}"


def correlated(value: Any) -> tuple[str, int]:
    """The key of the message and the number of its part; an empty key for what is not ours."""
    found = re.fullmatch(rf"{OURS}([^:]{{1,100}})(?::(\d{{1,3}}))?", value) if isinstance(value, str) else None
    return (found[1], int(found[2] or 0)) if found else ("", 0)


def parts(message: OutboundMessage) -> list[Part]:
    """The calls that make up a message: the text goes as the caption of the first file where it fits."""
    if message.template is not None:
        return [Part(_template(message.template, message.choices))]
    text, files = render(message.text, Markup.WHATSAPP), list(message.files)
    found: list[Part] = []
    if message.choices:
        found = [*(_file(file) for file in files), Part(_choices(text, message.choices, message.menu))]
    elif files and _takes_caption(files[0], text):
        found = [_file(files[0], text), *(_file(file) for file in files[1:])]
    else:
        found = [Part({"type": "text", "text": {"body": text, "preview_url": False}})] if text else []
        found += [_file(file) for file in files]
    if message.voice is not None:
        found.append(_voice(message.voice, spare=bool(text)))
    if found and message.reply_to:
        found[0] = Part({**found[0].body, "context": {"message_id": message.reply_to}}, found[0].file, found[0].spare)
    return found


def _takes_caption(file: OutboundFile, text: str) -> bool:
    return bool(text) and not file.caption and _shape(file) != "audio" and units(text) <= MAX_CAPTION


def _shape(file: OutboundFile) -> str:
    shape, megabytes = SHOWN.get(bare_mime(file.mime), ("document", 100))
    return shape if len(file.content) <= megabytes * MEGABYTE else "document"


def _file(file: OutboundFile, caption: str = "") -> Part:
    shape = _shape(file)
    about: dict[str, Any] = {}
    caption = caption or render(file.caption, Markup.WHATSAPP)
    if caption and shape != "audio":
        about["caption"] = clip(caption, MAX_CAPTION) if units(caption) > MAX_CAPTION else caption
    if shape == "document":
        about["filename"] = file.name.strip()[:MAX_FILE_NAME] or _("Document")
    return Part({"type": shape, shape: about}, file)


def _voice(file: OutboundFile, *, spare: bool) -> Part:
    """Only OGG with Opus is shown as a voice message; anything else goes as a plain audio file."""
    about = {"voice": True} if bare_mime(file.mime) == "audio/ogg" else {}
    return Part({"type": "audio", "audio": about}, file, spare)


# ── Choices ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def _choices(text: str, choices: Sequence[Choice], menu: str) -> dict[str, Any]:
    """Reply buttons where all of it fits them, else a list."""
    if len(choices) > MAX_ROWS:
        raise Rejected(_("WhatsApp shows at most %(most)d choices.") % {"most": MAX_ROWS}, code="choices")
    body = {"text": text or menu or _("Please choose:")}
    action: dict[str, Any]
    if _fits_buttons(body["text"], choices):
        kind, action = "button", {"buttons": [_button(choice) for choice in with_titles(choices, BUTTON_TITLE)]}
    else:
        rows = [_row(choice) for choice in with_titles(choices, ROW_TITLE, ROW_DESCRIPTION)]
        kind, action = "list", {"button": clip(menu or _("Choose"), MENU_LABEL), "sections": [{"rows": rows}]}
    return {"type": "interactive", "interactive": {"type": kind, "body": body, "action": action}}


def _fits_buttons(text: str, choices: Sequence[Choice]) -> bool:
    short = all(units(choice.title.strip()) <= BUTTON_TITLE and not choice.description for choice in choices)
    return short and len(choices) <= MAX_BUTTONS and units(text) <= BUTTONS_BODY


def _button(choice: Choice) -> dict[str, Any]:
    return {"type": "reply", "reply": {"id": choice.id, "title": choice.title}}


def _row(choice: Choice) -> dict[str, str]:
    row = {"id": choice.id, "title": choice.title}
    return row | {"description": choice.description} if choice.description else row


# ── Templates ────────────────────────────────────────────────────────────────────────────────────────────────────────
def _template(template: TemplateUse, choices: Sequence[Choice]) -> dict[str, Any]:
    """`choices` are the template's own quick replies, in their order: their ids come back when one is tapped."""
    values = [_value(value) for value in template.values]
    components: list[dict[str, Any]] = []
    if values:
        components.append({"type": "body", "parameters": [{"type": "text", "text": value} for value in values]})
    for index, choice in enumerate(choices):
        payload = {"type": "payload", "payload": choice.id}
        components.append({"type": "button", "sub_type": "quick_reply", "index": str(index), "parameters": [payload]})
    used: dict[str, Any] = {"name": template.name, "language": {"code": template.language}}
    return {"type": "template", "template": used | ({"components": components} if components else {})}


def _value(value: str) -> str:
    """A placeholder takes no line breaks, no tabs and no rows of spaces, and may not be empty."""
    words = " ".join(value.split())
    if not words:
        raise Rejected(_("A placeholder of the template has no value."), code="template")
    return words


_PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")


def template_of(row: Mapping[str, Any]) -> ProviderTemplate:
    """One row of the account's list."""
    listed = row.get("components")
    components = [component for component in listed if isinstance(component, dict)] if isinstance(listed, list) else []
    body = next((_text(component) for component in components if _kind(component) == "BODY"), "")
    names = list(dict.fromkeys(_PLACEHOLDER.findall(body)))
    return ProviderTemplate(
        name=str(row.get("name") or ""),
        language=str(row.get("language") or ""),
        status=str(row.get("status") or "").upper(),
        category=str(row.get("category") or "").upper(),
        body=body,
        placeholders=len(names),
        obstacle=_obstacle(components, named=any(not name.isdecimal() for name in names)),
    )


def _obstacle(components: Sequence[Mapping[str, Any]], *, named: bool) -> str:
    if named:
        return _("Its placeholders have names; only numbered ones can be filled: {{1}}, {{2}}.")
    for component in components:
        if _kind(component) == "HEADER" and str(component.get("format") or "TEXT").upper() != "TEXT":
            return _("Its header is a file.")
        if _kind(component) == "HEADER" and _PLACEHOLDER.search(_text(component)):
            return _("Its header has a placeholder.")
        if _kind(component) in ("CAROUSEL", "LIMITED_TIME_OFFER"):
            return _("It has parts that cannot be filled here.")
        if _kind(component) == "BUTTONS" and any(_needs_value(button) for button in component.get("buttons") or ()):
            return _("One of its buttons needs a value.")
    return ""


def _needs_value(button: Any) -> bool:
    if not isinstance(button, dict):
        return False
    kind = str(button.get("type") or "").upper()
    return kind in ("COPY_CODE", "OTP", "FLOW", "CATALOG", "MPM") or bool(_PLACEHOLDER.search(str(button.get("url") or "")))


def _kind(component: Mapping[str, Any]) -> str:
    return str(component.get("type") or "").upper()


def _text(component: Mapping[str, Any]) -> str:
    text = component.get("text")
    return text if isinstance(text, str) else ""
