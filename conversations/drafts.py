"""What is to be said, before a channel is chosen for it, and how it becomes messages that the channel can carry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from channels import rich
from channels.base import Capabilities, Choice, Markup, TemplateUse


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of ours, sealed under the media folder at `path` (see `foundation.sealed_files`)."""

    path: str
    name: str
    mime: str


@dataclass(frozen=True, slots=True)
class Draft:
    """One thing to say: a text with our marks, and what goes with it. The choices may be any number."""

    text: str = ""
    choices: Sequence[Choice] = ()
    menu: str = ""
    page: int = 1
    """Which page of the choices is shown."""
    files: Sequence[StoredFile] = ()
    template: TemplateUse | None = None
    asks_phone: bool = False
    voice_id: int | None = None
    """The `llm.Voice` that speaks the text in a message of its own, after the written one."""

    def __bool__(self) -> bool:
        return bool(self.text.strip() or self.files or self.template)


@dataclass(frozen=True, slots=True)
class Part:
    """One message as it goes into the outbox: `kind` and `details` as `conversations.Message` has them."""

    text: str
    details: dict[str, Any] | None = None
    kind: str = "text"


def parts(draft: Draft, capabilities: Capabilities) -> list[Part]:
    """Cut a draft into messages that a channel carries; none where it says nothing.

    What can be tapped stands under the last text. Where a channel has nothing to tap, the choices are written out; they
    are kept with the message either way, so that what the customer types is understood (`answered`).
    """
    if draft.template is not None:
        return [Part(draft.text, _details(draft))]
    text = draft.text
    if draft.choices and not capabilities.choices:
        text = rich.numbered(text, draft.choices)
    texts = rich.split(text, capabilities.max_length, capabilities.markup)
    cut = [Part(piece) for piece in texts[:-1]]
    last = texts[-1] if texts else ""
    if last or draft.files:
        kind = "document" if draft.files else "text"
        cut.append(Part(last, _details(draft), kind))
    if draft.voice_id is not None and capabilities.speaks and draft.text.strip():
        cut.append(Part(rich.render(draft.text, Markup.PLAIN), {"voice_id": draft.voice_id}, "voice"))
    return cut


def _details(draft: Draft) -> dict[str, Any] | None:
    found: dict[str, Any] = {}
    if draft.choices:
        found["choices"] = [{"id": c.id, "title": c.title, "description": c.description} for c in draft.choices]
        found["menu"] = draft.menu
        found["page"] = draft.page
    if draft.files:
        found["files"] = [{"path": file.path, "name": file.name, "mime": file.mime} for file in draft.files]
    if draft.template:
        found["template"] = {
            "name": draft.template.name, "language": draft.template.language, "values": list(draft.template.values),
        }  # fmt: skip
    if draft.asks_phone:
        found["asks_phone"] = True
    return found or None


def choices_of(details: dict[str, Any] | None) -> list[Choice]:
    """The choices that an outgoing message offered, all pages of them."""
    return [Choice(one["id"], one["title"], one.get("description", "")) for one in (details or {}).get("choices", ())]


def shown_choices(details: dict[str, Any] | None, capabilities: Capabilities) -> list[Choice]:
    """The choices that the message itself carries: the page of them that fits the channel."""
    offered = choices_of(details)
    if not offered or not capabilities.choices:
        return []
    return rich.page(offered, int((details or {}).get("page", 1)), capabilities.choices)


def template_of(details: dict[str, Any] | None) -> TemplateUse | None:
    """The provider's template that an outgoing message uses."""
    found = (details or {}).get("template")
    return TemplateUse(found["name"], found["language"], tuple(found["values"])) if found else None


def answered(text: str, action: str, offer: dict[str, Any] | None) -> str:
    """The action that a customer chose: what was tapped, or what was typed for one of the choices `offer` (the details of
    our last message) made; the empty word where it is neither."""
    if action:
        return action
    choice = rich.chosen(text, choices_of(offer))
    return choice.id if choice else ""


def next_page(action: str, text: str, offer: dict[str, Any] | None) -> Draft | None:
    """The page of the choices that «more» asks for, or None where the action asks for none."""
    number = rich.page_asked(action)
    offered = choices_of(offer)
    if number is None or not offered:
        return None
    return replace(Draft(text, offered, str((offer or {}).get("menu", ""))), page=number)
