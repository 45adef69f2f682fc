"""Templates of messages: what may stand in their places, checked when they are saved, filled when they are used.

What can fill a place is a *source*, registered by name by whoever knows it: here the company, above names, calls and
later orders. A source reads from the context in which a template is used, such as `{"contact": …, "channel": …}`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.functional import Promise
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from . import rich
from .base import Markup, ProviderTemplate, TemplateUse
from .registry import ADAPTERS, adapter_class, adapter_for

if TYPE_CHECKING:
    from .models import Channel, MessageTemplate

PLACE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
#: The longest value that a place takes, in UTF-16 units.
LONGEST_VALUE = 200
CONSTANT = "constant"
#: `provider_status` of what the provider does not list any more.
GONE = "GONE"
#: Brackets and double stars would be read as marks of ours: a name must not become a link.
_UNMARK = str.maketrans("[]", "()")


@dataclass(frozen=True, slots=True)
class Source:
    """Something that can fill a place. `read` gives the empty word where the context does not tell."""

    name: str
    label: str | Promise
    sample: str | Promise
    read: Callable[[Mapping[str, Any]], str]


_sources: dict[str, Source] = {}


def register(name: str, label: str | Promise, sample: str | Promise, read: Callable[[Mapping[str, Any]], str]) -> None:
    """Let templates use a source of this name (letters, digits and `_`)."""
    _sources[name] = Source(name, label, sample, read)


def sources() -> list[Source]:
    """Everything that can fill a place, in the order in which it became known."""
    return list(_sources.values())


def _company(context: Mapping[str, Any]) -> str:
    channel = context.get("channel")
    return channel.company if channel is not None else ""


register("company", gettext_lazy("company"), gettext_lazy("Example company"), _company)
register(CONSTANT, gettext_lazy("always the same text"), "", lambda _context: "")


# ── Checking ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def places(body: str) -> list[str]:
    """The names of the places in a text, each once, in the order in which they first stand; numbers by their size."""
    found = list(dict.fromkeys(PLACE.findall(body)))
    # A provider takes the values of {{1}}, {{2}}, … in this order, wherever they stand.
    return sorted(found, key=int) if all(place.isdecimal() for place in found) else found


def validate(template: MessageTemplate) -> None:
    """Put a template's variables in order: one for each place of its text. Raises ValidationError by field."""
    template.body = template.body.replace("\r\n", "\n").strip()
    if template.kind == template.Kind.OWN:
        if not template.body:
            raise ValidationError({"body": _("Write the text of the template.")})
    elif template.channel_id is None or not template.provider_name or not template.language:
        raise ValidationError({"channel": _("What a provider has approved needs its channel, name and language.")})
    template.variables = _variables(template)
    _check_length(template)


def _variables(template: MessageTemplate) -> list[dict[str, str]]:
    given = _given(template.variables)
    found = []
    for place in places(template.body):
        variable = given.get(place, {})
        # A number says nothing of what fills it: until somebody chooses, a constant without a text, which is asked for.
        source = variable.get("source") or (CONSTANT if place.isdecimal() else place)
        if source not in _sources:
            known = ", ".join(f"{{{{{name}}}}}" for name in _sources if name != CONSTANT)
            text = _("Nothing is known that could fill {{%(place)s}}. Known are: %(known)s.")
            raise ValidationError({"body": text % {"place": source, "known": known}})
        found.append({"name": place, "source": source, "default": rich.clip(variable.get("default", ""), LONGEST_VALUE)})
    return found


def _given(variables: Any) -> dict[str, dict[str, str]]:
    """The variables by the names of their places. Raises ValidationError where they are of another shape."""
    wrong = {"variables": _("Give a list of objects with name, source and default.")}
    if not isinstance(variables, list):
        raise ValidationError(wrong)
    for one in variables:
        if not isinstance(one, dict) or not one.get("name") or not all(isinstance(value, str) for value in one.values()):
            raise ValidationError(wrong)
    return {one["name"]: one for one in variables}


def _check_length(template: MessageTemplate) -> None:
    kinds = [template.channel.kind] if template.channel else list(ADAPTERS)
    text = sample(template).text
    for able in (adapter_class(kind).capabilities for kind in kinds):
        if rich.units(rich.render(text, able.markup)) > able.max_length:
            told = _("Too long: with sample values it has %(length)d characters, and %(most)d fit a message.")
            raise ValidationError({"body": told % {"length": rich.units(text), "most": able.max_length}})


# ── Filling ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class MissingValue(Exception):
    """A place of a template stays empty; as a string, what a manager is told."""


@dataclass(frozen=True, slots=True)
class Filled:
    """A template with its values: the text, and the values in the order of their places."""

    text: str
    values: Sequence[str]


def fill(template: MessageTemplate, values: Mapping[str, str]) -> Filled:
    """The words of a template with these values (by source). Raises MissingValue where one has neither value nor default."""
    chosen: dict[str, str] = {}
    for variable in template.variables:
        value = _clean(values.get(variable["source"], "")) or _clean(variable["default"])
        if not value:
            label = _sources[variable["source"]].label if variable["source"] in _sources else variable["source"]
            told = _("“%(template)s”: nothing is known for {{%(place)s}} (%(source)s), and it has no text of its own for that.")
            raise MissingValue(told % {"template": template.name, "place": variable["name"], "source": label})
        chosen[variable["name"]] = value
    return Filled(PLACE.sub(lambda place: chosen[place[1]], template.body), list(chosen.values()))


def fill_for(template: MessageTemplate, context: Mapping[str, Any]) -> Filled:
    """The words of a template in a context. Raises MissingValue."""
    wanted = {variable["source"] for variable in template.variables} & set(_sources)
    return fill(template, {name: _sources[name].read(context) for name in wanted})


def sample(template: MessageTemplate) -> Filled:
    """The words of a template with sample values."""
    values = {source.name: str(source.sample) for source in sources()}
    shown = [{**one, "default": one["default"] or "…"} for one in template.variables]
    chosen = {one["name"]: _clean(values.get(one["source"], "")) or one["default"] for one in shown}
    return Filled(PLACE.sub(lambda place: chosen[place[1]], template.body), list(chosen.values()))


def use(template: MessageTemplate, filled: Filled) -> TemplateUse | None:
    """What the provider is told of an approved template; None for one of our own, which is sent as any text."""
    if template.kind != template.Kind.APPROVED:
        return None
    return TemplateUse(template.provider_name, template.language, tuple(filled.values))


def _clean(value: str) -> str:
    return rich.clip(value.translate(_UNMARK).replace("**", "*"), LONGEST_VALUE)


# ── From the provider ────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Loaded:
    """How many templates were new, changed, and not listed any more."""

    new: int
    changed: int
    gone: int


def load(channel: Channel) -> Loaded:
    """Take over what the provider lists for a channel. What managers chose for its places stays.

    Raises the words of `foundation.errors`.
    """
    from .models import MessageTemplate

    listed = list(adapter_for(channel).templates())
    with transaction.atomic():
        rows = MessageTemplate.objects.select_for_update().filter(channel=channel, kind=MessageTemplate.Kind.APPROVED)
        known = {(row.provider_name, row.language): row for row in rows}
        new = changed = 0
        for template in listed:
            row = known.pop((template.name, template.language), None)
            if row is None:
                _take_over(_new_row(channel, template), template)
                new += 1
            elif _take_over(row, template):
                changed += 1
        gone = [row for row in known.values() if row.provider_status != GONE]
        for row in gone:
            row.provider_status = GONE
            row.save()
    return Loaded(new, changed, len(gone))


def _new_row(channel: Channel, template: ProviderTemplate) -> MessageTemplate:
    from .models import MessageTemplate

    stem = slugify(f"{channel.slug}-{template.name}-{template.language}")[:92] or channel.slug
    slug, number = stem, 1
    while MessageTemplate.objects.filter(slug=slug).exists():
        number += 1
        slug = f"{stem}-{number}"
    return MessageTemplate(
        channel=channel, kind=MessageTemplate.Kind.APPROVED, slug=slug, name=template.name[:100],
        provider_name=template.name, language=template.language,
    )  # fmt: skip


def _take_over(row: MessageTemplate, template: ProviderTemplate) -> bool:
    """Write what the provider says into a row; False where nothing differed."""
    category = template.category.lower()
    given = {
        "body": template.body.replace("\r\n", "\n").strip(),
        "placeholders": template.placeholders,
        "provider_status": template.status[:20],
        "category": category if category in row.Category.values else "",
        "obstacle": (template.obstacle or ("" if template.body.strip() else _("It has no text.")))[:200],
    }
    differs = row._state.adding or any(getattr(row, name) != value for name, value in given.items())
    for name, value in given.items():
        setattr(row, name, value)
    if differs:
        row.variables = _numbered(row)
        row.save()
    return differs


def _numbered(row: MessageTemplate) -> list[dict[str, str]]:
    """Placeholders with names of the provider's own are constants until somebody chooses: no source has such a name."""
    given = _given(row.variables)
    return [
        given.get(place) or {"name": place, "source": place if place in _sources else CONSTANT, "default": ""}
        for place in places(row.body)
    ]


def shown(text: str) -> str:
    """A filled text as a chat without marks shows it."""
    return rich.render(text, Markup.PLAIN)
