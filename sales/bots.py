"""Bots as programs make and change them: a channel, the assistant that answers on it, and its number rules, as one thing."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from channels import control, directory
from channels.models import Channel, NumberRule
from channels.registry import adapter_class
from foundation.crypto import blind_index
from foundation.db import execute
from foundation.slugs import free_slug
from llm.models import LanguageModel

from .models import Assistant, AssistantModel, Bot
from .owners import may_change

WHATSAPP = (Channel.Kind.WHATSAPP_CLOUD, Channel.Kind.WAHA, Channel.Kind.WAPPI)
#: What a bot's settings call the assistant's fields.
ASSISTANT_FIELDS = {
    "system_prompt": "persona", "temperature": "temperature", "top_p": "top_p", "max_tokens": "max_tokens", "voice": "voice",
    "voice_when": "voice_when",
}  # fmt: skip
CHANNEL_FIELDS = (
    "name", "company", "about", "base_url", "enabled", "auto_start", "moderation", "time_zone", "rate_limit_count",
    "rate_limit_hours", "owner",
)  # fmt: skip
NUMBERS = {"allowed_phones": NumberRule.Rule.ALLOWED, "blocked_phones": NumberRule.Rule.BLOCKED}
#: Two bots of one name that are made at the same time get two slugs (a PostgreSQL advisory lock).
_SLUGS = 7_283_748
CLOUD = "cloud:"
DOTS = "••••"


@transaction.atomic
def create(kind: str, values: Mapping[str, Any], *, owner: Any) -> Channel:
    """A channel with an assistant of its own, stopped. Raises ValidationError by the names of the settings.

    Where the provider needs more than was given, the bot is made disabled: it is completed and enabled later.
    """
    execute("SELECT pg_advisory_xact_lock(%(lock)s)", {"lock": _SLUGS})
    slug = free_slug(values["name"], _taken)
    channel = Channel(slug=slug, kind=kind, owner=owner, running=False, auto_start=False)
    given = {"company": values["name"], **values}
    if kind == Channel.Kind.WAHA:
        given = {"session": slug, "hmac_key": secrets.token_urlsafe(32), **given}
    _put_channel(channel, {"enabled": not _missing_of(kind, given), **given})
    assistant = Assistant(slug=slug, name=channel.company, owner=channel.owner, time_zone=channel.time_zone)
    assistant.save()
    Bot.objects.create(channel=channel, assistant=assistant)
    _put_rest(channel, assistant, given)
    return channel


@transaction.atomic
def change(channel: Channel, values: Mapping[str, Any], *, user: Any) -> Channel:
    """Change what is given and keep the rest. Raises ValidationError by the names of the settings."""
    channel = Channel.objects.select_for_update().get(pk=channel.pk)
    bot = Bot.objects.select_related("assistant").filter(channel=channel).first()
    touched = [name for name in ("llm_backend", *ASSISTANT_FIELDS) if name in values]
    if bot is not None and touched and not may_change(bot.assistant, user):
        raise ValidationError({name: [_("The assistant also answers for others; its owner changes it.")] for name in touched})
    _put_channel(channel, values)
    if bot is None and touched:
        bot = Bot(channel=channel, assistant=Assistant.objects.create(
            slug=free_slug(channel.name, _taken), name=channel.company, owner=channel.owner, time_zone=channel.time_zone,
        ))  # fmt: skip
        bot.save()
    _put_rest(channel, bot.assistant if bot else None, values)
    return channel


@transaction.atomic
def remove(channel: Channel, *, user: Any) -> bool:
    """Delete a bot without history, with the assistant that served nobody else, or archive it. True: it was deleted."""
    bot = Bot.objects.select_related("assistant").filter(channel=channel).first()
    own = bot is not None and may_change(bot.assistant, user)
    deleted = control.remove(channel, user=user)
    if deleted and bot is not None and _of_no_use(bot.assistant) and own:
        bot.assistant.delete()
    return deleted


def _of_no_use(assistant: Assistant) -> bool:
    return not assistant.bots.exists() and not assistant.calls.exists()


def _taken(slug: str) -> bool:
    return Channel.objects.filter(slug=slug).exists() or Assistant.objects.filter(slug=slug).exists()


# ── The channel ──────────────────────────────────────────────────────────────────────────────────────────────────────


def missing(channel: Channel) -> list[str]:
    """What the provider still needs to be told, by name."""
    return _missing_of(channel.kind, {**(channel.options or {}), **(channel.credentials or {})})


def _missing_of(kind: str, given: Mapping[str, Any]) -> list[str]:
    adapter = adapter_class(kind)
    return [name for name in (*adapter.credential_names, *adapter.option_names) if not given.get(name)]


def _put_channel(channel: Channel, values: Mapping[str, Any]) -> None:
    adapter = adapter_class(channel.kind)
    foreign = sorted(name for name in _every_name() if values.get(name) and name not in _names(adapter))
    if foreign:
        raise ValidationError({name: [_("This kind of channel has no such setting.")] for name in foreign})
    new = channel._state.adding
    for name in CHANNEL_FIELDS:
        if name in values:
            setattr(channel, name, values[name])
    channel.credentials = {**(channel.credentials or {}), **_given(adapter.credential_names, values)}
    options = {**(channel.options or {}), **_given(adapter.option_names, values), **values.get("options", {})}
    channel.options = {name: value for name, value in options.items() if value is not None}
    if channel.enabled and (new or values.keys() & {"enabled", "options", *_names(adapter)}) and (lacking := missing(channel)):
        raise ValidationError({name: [_("Needed to connect.")] for name in lacking})
    if new:
        channel.full_clean(exclude=["credentials", "options"], validate_unique=True) if channel.enabled else _clean(channel)
        channel.save()
    else:
        _clean(channel)
        channel.save(update_fields=[*CHANNEL_FIELDS, "credentials", "options", "updated_at"])
    if "team" in values:
        channel.team.set(values["team"])


def _clean(channel: Channel) -> None:
    """Check the single fields: a bot that is disabled may lack what its provider needs."""
    channel.clean_fields(exclude=["credentials", "options"])


def _names(adapter: Any) -> tuple[str, ...]:
    return (*adapter.credential_names, *adapter.option_names)


def _every_name() -> set[str]:
    return {name for kind in Channel.Kind for name in _names(adapter_class(kind))}


def _given(names: Iterable[str], values: Mapping[str, Any]) -> dict[str, str]:
    """An empty secret leaves the one that is stored, as in the admin."""
    return {name: str(values[name]).strip() for name in names if str(values.get(name) or "").strip()}


def masked(channel: Channel) -> dict[str, str]:
    """The channel's secrets as they may be shown: their last four letters, and nothing where one is not set."""
    stored = channel.credentials or {}
    return {name: mask(str(stored.get(name) or "")) for name in adapter_class(channel.kind).credential_names}


def mask(secret: str) -> str:
    """A short secret would be guessed from its last letters."""
    return f"{DOTS}{secret[-4:]}" if len(secret) >= 12 else DOTS if secret else ""


# ── The assistant and the numbers ────────────────────────────────────────────────────────────────────────────────────


def _put_rest(channel: Channel, assistant: Assistant | None, values: Mapping[str, Any]) -> None:
    if assistant is not None:
        _put_assistant(assistant, values)
    for name, rule in NUMBERS.items():
        if name in values:
            _put_numbers(channel, rule, values[name])
    directory.forget()


def _put_assistant(assistant: Assistant, values: Mapping[str, Any]) -> None:
    changed = {field: values[name] for name, field in ASSISTANT_FIELDS.items() if name in values}
    for field, value in changed.items():
        setattr(assistant, field, value)
    if changed:
        assistant.full_clean()
        assistant.save(update_fields=[*changed, "updated_at"])
    if "llm_backend" in values:
        AssistantModel.objects.filter(assistant=assistant).delete()
        for position, model in enumerate(values["llm_backend"]):
            AssistantModel.objects.create(assistant=assistant, model=model, position=position)


def _put_numbers(channel: Channel, rule: str, phones: Iterable[str]) -> None:
    """Exactly these phones (digits) have this rule on the channel; notes of those that stay are kept."""
    wanted = {blind_index(phone, "phone"): phone for phone in phones}
    rules = NumberRule.objects.filter(channel=channel, rule=rule)
    rules.exclude(phone_index__in=wanted).delete()
    for index in wanted.keys() - set(rules.values_list("phone_index", flat=True)):
        NumberRule.objects.create(channel=channel, rule=rule, phone=wanted[index])


# ── Language models by their short names ─────────────────────────────────────────────────────────────────────────────


def _first(kinds: tuple[str, ...]) -> LanguageModel | None:
    return LanguageModel.objects.filter(kind__in=kinds, enabled=True).order_by("position", "id").first()


_SHORT: dict[str, tuple[str, ...]] = {
    "gemini": (LanguageModel.Kind.GEMINI, LanguageModel.Kind.GEMINI_LEGACY), "vllm": (LanguageModel.Kind.VLLM,),
}  # fmt: skip


def backend(name: str) -> LanguageModel:
    """`gemini` or `vllm`: the first enabled model of that kind; `cloud:` with the number or name of a model: that one.

    Raises ValidationError where there is none.
    """
    if len(name) > 80:
        raise ValidationError(_("Give gemini, vllm, or cloud: with the number or name of a language model."))
    if name in _SHORT:
        model = _first(_SHORT[name])
    elif name.startswith(CLOUD):
        key = name.removeprefix(CLOUD)
        by_number = key.isascii() and key.isdigit() and len(key) < 10
        model = LanguageModel.objects.filter(**({"pk": int(key)} if by_number else {"name": key})).first()
    else:
        raise ValidationError(_("Give gemini, vllm, or cloud: with the number or name of a language model."))
    if model is None:
        raise ValidationError(_("There is no language model “%(name)s”.") % {"name": name})
    return model


def backends(assistant: Assistant) -> list[str]:
    """The assistant's models, in the order in which they are tried, by the same names."""
    short = {model.pk: name for name, kinds in _SHORT.items() if (model := _first(kinds)) is not None}
    places = assistant.model_places.order_by("position", "id").values_list("model_id", flat=True)
    return [short.get(pk, f"{CLOUD}{pk}") for pk in places]
