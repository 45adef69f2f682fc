"""A bot's settings as programs read and write them. Secrets go in and never come out."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError as ModelValidationError
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from channels import breaker, control, pacing
from channels.models import Channel, NumberRule
from channels.registry import adapter_class
from foundation.addresses import server_address
from foundation.phones import canonical
from llm.models import Voice

from .. import bots
from ..models import Bot

#: What a page of spec-like settings may hold; longer words are a mistake.
LONGEST_PROMPT = 20_000
MOST_NUMBERS = 1_000


class ModelParams(serializers.Serializer[Any]):
    """How the language model writes; null: the model's own."""

    temperature = serializers.FloatField(min_value=0, max_value=2, allow_null=True, required=False)
    max_tokens = serializers.IntegerField(min_value=64, max_value=32_000, allow_null=True, required=False)
    top_p = serializers.FloatField(min_value=0, max_value=1, allow_null=True, required=False)

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and (unknown := set(data) - set(self.fields)):
            raise serializers.ValidationError({str(name): _("There is no such setting.") for name in sorted(unknown)})
        return super().to_internal_value(data)


@extend_schema_field(serializers.CharField())
class PhoneField(serializers.CharField):
    """A phone in any usual form."""

    def to_internal_value(self, data: Any) -> str:
        phone = canonical(str(super().to_internal_value(data)))
        if phone is None:
            raise serializers.ValidationError(_("Not a phone number. Example: +7 701 123 45 67."))
        return phone


@extend_schema_field(serializers.CharField())
class BackendField(serializers.CharField):
    """`gemini`, `vllm` or `cloud:` with the number or name of a language model."""

    def to_internal_value(self, data: Any) -> Any:
        try:
            return bots.backend(super().to_internal_value(data))
        except ModelValidationError as error:
            raise serializers.ValidationError(error.messages) from None


class BackendsField(serializers.ListField):
    """One backend, or several in the order in which they are tried."""

    child = BackendField()

    def to_internal_value(self, data: Any) -> list[Any]:
        found: list[Any] = super().to_internal_value([data] if isinstance(data, str) else data)
        if len({model.pk for model in found}) < len(found):
            raise serializers.ValidationError(_("The same model is named twice."))
        return found


def _people() -> Any:
    return get_user_model()._default_manager.filter(is_active=True, is_staff=True)


def _secret(words: str) -> serializers.CharField:
    return serializers.CharField(
        required=False, write_only=True, allow_blank=True, max_length=1000, help_text=f"{words} Never shown; empty keeps it."
    )


def _option(words: str) -> serializers.CharField:
    return serializers.CharField(required=False, allow_blank=True, max_length=200, help_text=words)


class BotSerializer(serializers.Serializer[Channel]):
    """A channel and the assistant that answers on it. Which credentials a kind needs, `missing` tells."""

    slug = serializers.CharField(read_only=True)
    name = serializers.CharField(max_length=100)
    kind = serializers.CharField(
        required=False, max_length=20,
        help_text="wappi, waha, whatsapp_cloud, telegram, avito or widget; settled once the bot is made.",
    )  # fmt: skip
    owner: Any = serializers.SlugRelatedField(
        slug_field="username", queryset=get_user_model()._default_manager.none(), required=False, allow_null=True,
        help_text="Whose bot it is; only administrators give it to others.",
    )  # fmt: skip
    team: Any = serializers.SlugRelatedField(
        slug_field="username", queryset=get_user_model()._default_manager.none(), many=True, required=False,
        help_text="Who else works with it; guests among them only read.",
    )  # fmt: skip
    company = serializers.CharField(max_length=200, required=False, help_text="As customers know it; else the name.")
    about = serializers.CharField(max_length=5000, required=False, allow_blank=True)
    enabled = serializers.BooleanField(required=False)
    running = serializers.BooleanField(read_only=True)
    auto_start = serializers.BooleanField(required=False, help_text="Set by start/, cleared by stop/.")
    moderation = serializers.BooleanField(required=False, help_text="Answer only contacts recognised as clients.")
    base_url = serializers.CharField(
        required=False, allow_blank=True, max_length=200, validators=[server_address],
        help_text="Empty: the provider's own address.",
    )  # fmt: skip
    time_zone = serializers.CharField(max_length=64, required=False)
    options = serializers.DictField(required=False, help_text="Further options of the kind; null takes one away.")
    # What the kinds call their credentials and numbers.
    phone_number_id, waba_id = _option("Phone number id (WhatsApp Cloud)."), _option("Business account id (WhatsApp Cloud).")
    profile_id, session = _option("Profile id (Wappi)."), _option("Session (WAHA); else the slug.")
    access_token, app_secret = _secret("Permanent access token (WhatsApp Cloud)."), _secret("App secret (WhatsApp Cloud).")
    verify_token = _secret("Verify token (WhatsApp Cloud).")
    token, api_key = _secret("API token (Wappi, Telegram)."), _secret("API key (WAHA).")
    hmac_key = _secret("Key of the webhook's signature (WAHA); else one is made.")
    client_id, client_secret = _secret("Client id (Avito)."), _secret("Client secret (Avito).")
    secrets: Any = serializers.DictField(
        child=serializers.CharField(), read_only=True, help_text="What is set, by its last four letters."
    )
    missing = serializers.ListField(child=serializers.CharField(), read_only=True, help_text="What is needed to connect.")
    # The assistant.
    assistant = serializers.CharField(read_only=True, allow_null=True)
    llm_backend = BackendsField(required=False, help_text="gemini, vllm or cloud:…; one or a list. Empty: the general order.")
    system_prompt = serializers.CharField(max_length=LONGEST_PROMPT, required=False, allow_blank=True)
    llm_params = ModelParams(required=False)
    voice: Any = serializers.SlugRelatedField(
        slug_field="slug", queryset=Voice.objects.all(), required=False, allow_null=True,
        help_text="Voice of spoken replies; null: only written ones.",
    )  # fmt: skip
    voice_when = serializers.CharField(required=False, max_length=20, help_text="Which replies are spoken.")
    # Who is answered.
    allowed_phones = serializers.ListField(child=PhoneField(max_length=40), required=False, max_length=MOST_NUMBERS)
    blocked_phones = serializers.ListField(child=PhoneField(max_length=40), required=False, max_length=MOST_NUMBERS)
    rate_limit_count = serializers.IntegerField(min_value=0, max_value=100_000, required=False, allow_null=True)
    rate_limit_hours = serializers.FloatField(min_value=0.01, max_value=10_000, required=False)
    # How it is.
    health = serializers.CharField(read_only=True)
    health_detail = serializers.CharField(read_only=True)
    health_changed_at = serializers.DateTimeField(read_only=True)
    polled_at = serializers.DateTimeField(read_only=True)
    poll_failures = serializers.IntegerField(read_only=True)
    reconciled_at = serializers.DateTimeField(read_only=True)
    last_event_at = serializers.DateTimeField(read_only=True)
    archived_at = serializers.DateTimeField(read_only=True)
    sending = serializers.CharField(read_only=True, help_text="How sending stands while it is paused, in words; else empty.")
    pacing: Any = serializers.ListField(
        child=serializers.DictField(), read_only=True,
        help_text="How the budgets of unasked messages stand, on unofficial gateways: kind, count, most, and in words.",
    )  # fmt: skip
    webhook_url = serializers.CharField(
        read_only=True, help_text="Where the provider posts, without the secret at its end; start/ tells it to the provider."
    )

    def get_fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = super().get_fields()
        for name in ("owner", "team"):
            field = fields[name]
            (field.child_relation if name == "team" else field).queryset = _people()
        return fields

    def validate_owner(self, value: Any) -> Any:
        user = self.context["request"].user
        now = self.instance.owner if isinstance(self.instance, Channel) else user
        if not user.is_superuser and value != now:
            raise serializers.ValidationError(_("Only an administrator gives a bot to somebody else."))
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        kinds = self.context.get("kinds") or tuple(map(str, Channel.Kind))
        given = attrs.get("kind") or (kinds[0] if self.context.get("kinds") else "")
        if self.instance is None and given not in kinds:
            raise serializers.ValidationError({"kind": _("Give one of: %(kinds)s.") % {"kinds": ", ".join(kinds)}})
        params = attrs.pop("llm_params", {})
        return {**attrs, **params, "kind": given}

    def create(self, validated_data: dict[str, Any]) -> Channel:
        kind = validated_data.pop("kind")
        owner = validated_data.pop("owner", self.context["request"].user)
        return bots.create(kind, validated_data, owner=owner)

    def update(self, instance: Channel, validated_data: dict[str, Any]) -> Channel:
        validated_data.pop("kind", None)
        return bots.change(instance, validated_data, user=self.context["request"].user)

    def to_representation(self, instance: Channel) -> dict[str, Any]:
        kinds, paused = adapter_class(instance.kind), breaker.of(instance)
        bot: Bot | None = getattr(instance, "bot", None)
        times = ("health_changed_at", "polled_at", "reconciled_at", "last_event_at", "archived_at")
        plain = (
            "slug", "name", "kind", "company", "about", "enabled", "running", "auto_start", "moderation", "base_url",
            "time_zone", "rate_limit_count", "rate_limit_hours", "health", "health_detail", "poll_failures", *times,
        )  # fmt: skip
        options = instance.options or {}
        shown = {name: getattr(instance, name) for name in plain}
        return {
            **shown,
            "owner": instance.owner.get_username() if instance.owner else None,
            "team": sorted(person.get_username() for person in instance.team.all()),
            **{name: str(options.get(name) or "") for name in kinds.option_names},
            "options": {name: value for name, value in options.items() if name not in kinds.option_names},
            "secrets": bots.masked(instance),
            "missing": bots.missing(instance),
            **_assistant(bot),
            **_numbers(instance),
            "sending": breaker.words(paused) if paused else "",
            "pacing": _pacing(instance),
            "webhook_url": webhook_url(instance),
        }


def _assistant(bot: Bot | None) -> dict[str, Any]:
    assistant = bot.assistant if bot else None
    return {
        "assistant": assistant.slug if assistant else None,
        "llm_backend": bots.backends(assistant) if assistant else [],
        "system_prompt": assistant.persona if assistant else "",
        "llm_params": {name: getattr(assistant, name, None) for name in ("temperature", "max_tokens", "top_p")},
        "voice": assistant.voice.slug if assistant and assistant.voice else None,
        "voice_when": assistant.voice_when if assistant else None,
    }


def _numbers(channel: Channel) -> dict[str, list[str]]:
    phones: dict[str, list[str]] = {rule: [] for rule in NumberRule.Rule.values}
    for rule in channel.number_rules.all():
        phones[rule.rule].append(f"+{rule.phone}")
    return {name: sorted(phones[rule]) for name, rule in bots.NUMBERS.items()}


def _pacing(channel: Channel) -> list[dict[str, Any]]:
    found = pacing.used(channel, timezone.now()) if adapter_class(channel.kind).capabilities.fragile else []
    return [{"kind": str(one.kind), "count": one.count, "most": one.most, "words": one.words} for one in found]


def webhook_url(channel: Channel) -> str:
    """The address of the channel's webhook, without its secret; the admin's page of the channel shows it whole."""
    if channel.kind == Channel.Kind.WIDGET:
        return ""
    return control.webhook_url(channel).replace(channel.webhook_secret, bots.DOTS)
