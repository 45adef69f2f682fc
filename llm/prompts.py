"""The instructions for the models: which places they have, their versions, and filling them in.

A text is Markdown with places such as `{company}`; a literal brace is doubled. Places that hold other people's words
stand between tags of the same name (`<history>{history}</history>`), and no value can write such a tag itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import Max
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from foundation.cache import Remembered

from .models import Prompt

if TYPE_CHECKING:
    from django.contrib.auth.models import User

#: After so many seconds a change made in another process takes effect.
SECONDS = 2.0
TOKEN = re.compile(r"\{\{|\}\}|\{([a-z_]+)\}|[{}]")


@dataclass(frozen=True, slots=True)
class Places:
    """The places of one purpose's prompt. A value is given for each; those not `required` may be left out of the text."""

    required: frozenset[str]
    optional: frozenset[str]

    @property
    def known(self) -> frozenset[str]:
        return self.required | self.optional


PURPOSES: Mapping[str, Places] = {
    Prompt.Purpose.MODERATE: Places(frozenset({"contact", "history"}), frozenset({"company", "about"})),
    Prompt.Purpose.ANSWER: Places(
        frozenset({"company", "knowledge", "now"}), frozenset({"about", "persona", "hours", "language", "facts"})
    ),
    Prompt.Purpose.FOLLOW_UP: Places(
        frozenset({"company", "history", "strategy"}),
        frozenset({"about", "persona", "knowledge", "now", "language", "facts", "touch", "touches", "silence", "cause"}),
    ),
    Prompt.Purpose.TRANSCRIBE: Places(frozenset({"company"}), frozenset({"about"})),
}
MEANINGS = {
    "company": gettext_lazy("the company's name as customers know it"),
    "about": gettext_lazy("what the company does"),
    "contact": gettext_lazy("the names of the person writing"),
    "history": gettext_lazy("the last messages of the exchange"),
    "persona": gettext_lazy("the assistant's persona and own rules"),
    "knowledge": gettext_lazy("the passages found in the knowledge base, numbered"),
    "now": gettext_lazy("the present date and time where the company is"),
    "hours": gettext_lazy("working hours"),
    "language": gettext_lazy("the customer's language"),
    "facts": gettext_lazy("what is known of the customer, free times, prices and the brief"),
    "strategy": gettext_lazy("what this touch is to achieve"),
    "touch": gettext_lazy("the number of the touch"),
    "touches": gettext_lazy("how many touches there are"),
    "silence": gettext_lazy("the time since our last message"),
    "cause": gettext_lazy("why we write: silence or a vague answer"),
}
FENCES = re.compile(rf"<(?=\s*/?\s*(?:{'|'.join(MEANINGS)})\b)", re.IGNORECASE)

#: A text cut at its places: literal, name, literal, name, …, literal.
Pieces = tuple[str, ...]


def shipped(purpose: str) -> str:
    """The text that comes with the product."""
    return _shipped(str(Prompt.Purpose(purpose)))


@cache
def _shipped(purpose: str) -> str:
    return (Path(__file__).parent / "defaults" / f"{purpose}.md").read_text(encoding="utf-8")


def check(purpose: str, text: str) -> None:
    """Raise ValidationError, naming every fault, unless `text` can be used for the purpose."""
    places = PURPOSES.get(purpose)
    if places is None:
        raise ValidationError(_("There are no prompts for “%(purpose)s”.") % {"purpose": purpose})
    if not text.strip():
        raise ValidationError(_("The text is empty."))
    pieces = cut(text)
    used = set(pieces[1::2])
    faults = [
        _("Unknown place {%(name)s}. Known: %(known)s.") % {"name": name, "known": _listed(places.known)}
        for name in sorted(used - places.known)
    ]
    faults += [_("The place {%(name)s} is missing.") % {"name": name} for name in sorted(places.required - used)]
    if faults:
        raise ValidationError(faults)


def _listed(names: frozenset[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in sorted(names))


def cut(text: str) -> Pieces:
    """Cut a text at its places. Raises ValidationError for a brace that is neither a place nor doubled."""
    pieces, literal, end = [], "", 0
    for found in TOKEN.finditer(text):
        literal += text[end : found.start()]
        end = found.end()
        token = found.group()
        if found.group(1):
            pieces += [literal, found.group(1)]
            literal = ""
        elif token in ("{{", "}}"):
            literal += token[0]
        else:
            line = text.count("\n", 0, found.start()) + 1
            raise ValidationError(
                _("Line %(line)d: a single “%(brace)s”. Write a place as {name} and double a brace that is meant literally.")
                % {"line": line, "brace": token}
            )
    return (*pieces, literal + text[end:])


def _load() -> dict[str, Pieces]:
    texts = {purpose: _shipped(purpose) for purpose in Prompt.Purpose.values}
    texts |= dict(Prompt.objects.filter(active=True).values_list("purpose", "text"))
    return {purpose: cut(text) for purpose, text in texts.items()}


_active: Remembered[str, Any] = Remembered(SECONDS, lambda _key: _load())


def forget(**_signal: Any) -> None:
    """Read the active prompts again at the next call. Connected to their save and delete signals."""
    _active.forget()


def render(purpose: str, **values: object) -> str:
    """The active prompt, or the shipped one where there is none, with its places filled in.

    Values are inserted as they are, braces and all; only tags that fence the prompt's own places lose their bracket.
    Raises ValueError for a value that has no place in this purpose, or a required place without a value; other places
    without a value become empty.
    """
    places = PURPOSES[purpose]
    given = set(values)
    if given - places.known or places.required - given:
        raise ValueError(f"{purpose}: unknown {sorted(given - places.known)}, missing {sorted(places.required - given)}")
    pieces = _active("all")[purpose]
    return "".join(_fenced(values.get(piece)) if position % 2 else piece for position, piece in enumerate(pieces))


def _fenced(value: object) -> str:
    return "" if value is None else FENCES.sub("‹", str(value))


@transaction.atomic
def new_version(purpose: str, text: str, author: User | None, note: str = "") -> Prompt:
    """Store the text as the next version and make it the active one. Raises ValidationError."""
    check(purpose, text)
    _lock(purpose)
    versions = Prompt.objects.filter(purpose=purpose)
    latest = versions.aggregate(latest=Max("version"))["latest"] or 0
    versions.filter(active=True).update(active=False)
    return Prompt.objects.create(purpose=purpose, text=text, version=latest + 1, active=True, note=note[:200], author=author)


@transaction.atomic
def activate(prompt: Prompt) -> None:
    """Make this version the active one of its purpose. Raises ValidationError if it no longer fits."""
    check(prompt.purpose, prompt.text)
    _lock(prompt.purpose)
    Prompt.objects.filter(purpose=prompt.purpose, active=True).exclude(pk=prompt.pk).update(active=False)
    prompt.active = True
    prompt.save(update_fields=["active"])


def _lock(purpose: str) -> None:
    """One change of a purpose's versions at a time, until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [f"llm.prompt.{purpose}"])
