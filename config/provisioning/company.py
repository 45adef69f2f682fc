"""Everything in a company's file becomes rows, in one transaction or not at all."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import Model as Row

from channels.models import Channel, NumberRule
from channels.registry import adapter_class
from conversations.models import Conversation
from foundation.crypto import blind_index
from foundation.phones import masked
from knowledge.models import KnowledgeBase
from llm import prompts
from llm.models import LanguageModel, Prompt, Voice
from sales.models import Assistant, AssistantModel, Bot

from . import documents, funnels, manager_chats, samples, templates
from .document import AssistantShape, ChannelShape, Company, Document, Model, Number, PromptShape, VoiceShape
from .reading import ProvisionError
from .report import Change, Report, shown
from .rows import put, remove

#: Holds off a second run at the same time (a PostgreSQL advisory lock).
LOCK = 7_283_747
#: Kinds of models that answer nothing without a key.
NEED_KEY = frozenset(
    {
        LanguageModel.Kind.GEMINI, LanguageModel.Kind.GEMINI_LEGACY, LanguageModel.Kind.OPENAI, LanguageModel.Kind.OPENROUTER,
        LanguageModel.Kind.ANTHROPIC,
    }
)  # fmt: skip


def apply(document: Document, directory: Path, *, dry_run: bool = False) -> Report:
    """Bring the database in line with the document; files are found from `directory`. Raises ProvisionError.

    A dry run does everything and takes it back, so it finds what the real one would.
    """
    report = Report()
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        for model in document.models:
            _model(report, model)
        for voice in document.voices:
            _voice(report, voice)
        for base in document.knowledge:
            documents.put_base(report, base, directory)
        for prompt in document.prompts:
            _prompt(report, prompt, directory)
        for assistant in document.assistants:
            _assistant(report, assistant)
        for funnel in document.funnels:
            funnels.put_funnel(report, funnel)
        for channel in document.channels:
            _channel(report, channel, document.company)
        for template in document.templates:
            templates.put_template(report, template)
        for assistant in document.assistants:
            templates.put_purposes(report, assistant)
        for chat in document.manager_chats:
            manager_chats.put_chat(report, chat)
        _numbers(report, document.excluded_numbers, NumberRule.Rule.EXCLUDED, None)
        for base in document.knowledge:
            documents.remove_base(report, base)
        for sample in document.sample_conversations:
            samples.put_sample(report, sample)
        if dry_run:
            transaction.set_rollback(True)
    return report


def _found(model: type[Any], what: str, for_whom: str, **key: Any) -> Any:
    row = model.objects.filter(**key).first()
    if row is None:
        raise ProvisionError(f"{for_whom}: there is no {what} “{next(iter(key.values()))}”.")
    return row


def _owner(username: str, for_whom: str) -> Row | None:
    return _found(get_user_model(), "user", for_whom, username=username) if username else None


# ── Language models ──────────────────────────────────────────────────────────────────────────────────────────────────


def _model(report: Report, shape: Model) -> None:
    row = LanguageModel.objects.filter(name=shape.name).first()
    if shape.state == "absent":
        remove(report, "model", row, shape.name)
        return
    row = row or LanguageModel(name=shape.name)
    values = shape.given(
        "model_id", "base_url", "enabled", "position", "timeout", "max_output_tokens", "temperature", "supports_temperature",
        "supports_schema", "supports_audio", "token_parameter", "thinking", "thinking_value",
    )  # fmt: skip
    values |= {name: Decimal(str(price)) for name, price in shape.given("input_price", "output_price").items()}
    if shape.kind:
        values["kind"] = shape.kind
    elif row._state.adding:
        raise ProvisionError(f"model {shape.name}: kind is missing.")
    if shape.api_key:
        values["api_key"] = shape.api_key
    remark = ""
    if values.get("enabled", row.enabled) and values.get("kind", row.kind) in NEED_KEY and not (shape.api_key or row.api_key):
        values["enabled"] = False
        remark = "disabled: it has no key"
    put(report, "model", row, shape.name, values, remark=remark)


# ── Voices ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _voice(report: Report, shape: VoiceShape) -> None:
    row = Voice.objects.filter(slug=shape.slug).first()
    if shape.state == "absent":
        remove(report, "voice", row, shape.slug)
        return
    if row is None and not shape.engine:
        raise ProvisionError(f"voice {shape.slug}: engine is missing.")
    row = row or Voice(slug=shape.slug, name=shape.name or shape.slug)
    values = shape.given("name", "base_url", "path", "voice", "preset", "language", "timeout", "enabled")
    # An empty key leaves the stored one.
    values |= {name: getattr(shape, name) for name in ("engine", "api_key") if getattr(shape, name)}
    put(report, "voice", row, shape.slug, values)


# ── Prompts ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _prompt(report: Report, shape: PromptShape, directory: Path) -> None:
    text = shape.text
    if shape.file:
        try:
            text = (directory / shape.file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ProvisionError(f"prompt {shape.purpose}: {shape.file} cannot be read: {type(error).__name__}.") from None
    active = Prompt.objects.filter(purpose=shape.purpose, active=True).first()
    if active is not None and active.text == text:
        report.add("prompt", shape.purpose, "unchanged")
        return
    try:
        made = prompts.new_version(shape.purpose, text, None, shape.note)
    except ValidationError as error:
        raise ProvisionError(f"prompt {shape.purpose}: {' '.join(error.messages)}") from None
    old = f"version {active.version}" if active else "the shipped text"
    report.add("prompt", shape.purpose, "changed", [Change("text", old, f"version {made.version}")])


# ── Assistants ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _assistant(report: Report, shape: AssistantShape) -> None:
    what = f"assistant {shape.slug}"
    row = Assistant.objects.filter(slug=shape.slug).first()
    if shape.state == "absent":
        remove(report, "assistant", row, shape.slug)
        return
    row = row or Assistant(slug=shape.slug, name=shape.name or shape.slug)
    values = shape.given(
        "name", "persona", "temperature", "top_p", "max_tokens", "languages", "time_zone", "hours", "country", "call_minutes",
        "call_reminder_minutes", "follow_ups", "voice_when",
    )  # fmt: skip
    if "voice" in shape.model_fields_set:
        values["voice"] = _found(Voice, "voice", what, slug=shape.voice) if shape.voice else None
    if shape.knowledge_base:
        values["knowledge_base"] = _found(KnowledgeBase, "knowledge base", what, slug=shape.knowledge_base)
    if shape.owner:
        values["owner"] = _owner(shape.owner, what)
    models = [_found(LanguageModel, "model", what, name=name) for name in shape.models]
    before = _model_names(row)
    wanted = [model.name for model in models]
    differ = "models" in shape.model_fields_set and before != wanted
    extra = [Change("models", shown(", ".join(before)), shown(", ".join(wanted)))] if differ else []
    managers = [_found(get_user_model(), "user", what, username=name) for name in shape.call_managers]
    present, named = _manager_names(row), sorted(shape.call_managers)
    others = "call_managers" in shape.model_fields_set and present != named
    if others:
        extra.append(Change("call_managers", shown(", ".join(present)), shown(", ".join(named))))
    put(report, "assistant", row, shape.slug, values, extra=extra)
    if others:
        row.call_managers.set(managers)
    if differ:
        AssistantModel.objects.filter(assistant=row).exclude(model__in=models).delete()
        for position, model in enumerate(models):
            AssistantModel.objects.update_or_create(assistant=row, model=model, defaults={"position": position})


def _manager_names(assistant: Assistant) -> list[str]:
    if assistant._state.adding:
        return []
    return sorted(assistant.call_managers.values_list("username", flat=True))


def _model_names(assistant: Assistant) -> list[str]:
    if assistant._state.adding:
        return []
    return list(assistant.model_places.order_by("position", "id").values_list("model__name", flat=True))


# ── Channels ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _channel(report: Report, shape: ChannelShape, company: Company | None) -> None:
    what = f"channel {shape.slug}"
    row = Channel.objects.filter(slug=shape.slug).first()
    if shape.state == "absent":
        if row is not None and Conversation.objects.filter(channel=row).exists():
            raise ProvisionError(f"{what} holds conversations, which would be lost with it: give `enabled: false` instead.")
        remove(report, "channel", row, shape.slug)
        return
    row = row or _new_channel(shape)
    if shape.kind and row.kind != shape.kind:
        raise ProvisionError(f"{what} is of the kind {row.kind}; give a channel of another kind another slug.")
    values = shape.given(
        "name", "enabled", "running", "auto_start", "base_url", "time_zone", "hold", "max_hold", "moderation",
        "answer_age_hours", "rate_limit_count", "rate_limit_hours", "pause_hours", "own_number",
    )  # fmt: skip
    if "running" in values:
        values.setdefault("auto_start", values["running"])
    values |= _company(shape, company)
    if shape.owner:
        values["owner"] = _owner(shape.owner, what)
    # An empty secret leaves the stored one, so that a file without secrets may be loaded again.
    values["credentials"] = {**(row.credentials or {}), **{name: text for name, text in shape.credentials.items() if text}}
    values["options"] = _options(row, shape)
    remark = _incomplete(row, values)
    if remark:
        values["enabled"] = False
    bot, extra = _bot(row, shape.assistant, what)
    team = [_found(get_user_model(), "user", what, username=name) for name in shape.team]
    present, named = _team_names(row), sorted(shape.team)
    joins = "team" in shape.model_fields_set and present != named
    if joins:
        extra = [*extra, Change("team", shown(", ".join(present)), shown(", ".join(named)))]
    put(report, "channel", row, shape.slug, values, remark=remark, extra=extra, whole=values.get("enabled", row.enabled))
    if joins:
        row.team.set(team)
    if bot is not None:
        Bot.objects.update_or_create(channel=row, defaults={"assistant": bot})
    _numbers(report, shape.allowed_numbers, NumberRule.Rule.ALLOWED, row)
    _numbers(report, shape.blocked_numbers, NumberRule.Rule.BLOCKED, row)
    _numbers(report, shape.excluded_numbers, NumberRule.Rule.EXCLUDED, row)


def _team_names(channel: Channel) -> list[str]:
    return [] if channel._state.adding else sorted(channel.team.values_list("username", flat=True))


def _new_channel(shape: ChannelShape) -> Channel:
    if not shape.kind:
        raise ProvisionError(f"channel {shape.slug}: kind is missing.")
    return Channel(slug=shape.slug, kind=shape.kind, name=shape.name or shape.slug)


def _company(shape: ChannelShape, company: Company | None) -> dict[str, str]:
    """What the channel says of the company: its own words, or those at the head of the file."""
    values = {}
    if shape.company or company is not None:
        values["company"] = shape.company or (company.name if company else "")
    if "about" in shape.model_fields_set:
        values["about"] = shape.about
    elif company is not None and "about" in company.model_fields_set:
        values["about"] = company.about
    return values


def _incomplete(row: Channel, values: dict[str, Any]) -> str:
    """Why a channel that should be enabled cannot be: credentials that the file takes from an environment without them."""
    if not values.get("enabled", row.enabled):
        return ""
    adapter = adapter_class(row.kind)
    missing = [name for name in adapter.credential_names if not values["credentials"].get(name)]
    # An option that the file does not name at all is a mistake of the file, and told as one.
    missing += [name for name in adapter.option_names if values["options"].get(name) == ""]
    return f"disabled: without {', '.join(missing)}" if missing else ""


def _options(row: Channel, shape: ChannelShape) -> dict[str, Any]:
    """What the channel cannot do without is, like a secret, not taken away by an environment that lacks it."""
    stored, needed = row.options or {}, adapter_class(row.kind).option_names
    kept = {name: stored[name] for name in needed if shape.options.get(name) == "" and stored.get(name)}
    return {**stored, **shape.options, **kept}


def _bot(channel: Channel, slug: str, what: str) -> tuple[Assistant | None, list[Change]]:
    """The assistant to attach, where the file names another than answers now."""
    if not slug:
        return None, []
    assistant: Assistant = _found(Assistant, "assistant", what, slug=slug)
    present = Bot.objects.select_related("assistant").filter(channel__slug=channel.slug).first()
    if present is not None and present.assistant_id == assistant.pk:
        return None, []
    return assistant, [Change("assistant", shown(present.assistant.slug if present else None), slug)]


def _numbers(report: Report, numbers: list[Number], rule: str, channel: Channel | None) -> None:
    kind = f"{rule} number"
    for number in numbers:
        name = f"{masked(number.phone)}{f' on {channel.slug}' if channel else ''}"
        index = blind_index(number.phone, "phone")
        row = NumberRule.objects.filter(channel=channel, rule=rule, phone_index=index).first()
        if number.state == "absent":
            remove(report, kind, row, name)
            continue
        row = row or NumberRule(channel=channel, rule=rule, phone=number.phone, phone_index=index)
        put(report, kind, row, name, number.given("note"))
