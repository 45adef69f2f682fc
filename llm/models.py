"""Language models as rows, what they cost, and the versioned prompts they are given."""

from __future__ import annotations

import re

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from foundation.addresses import server_address
from foundation.fields import EncryptedCharField


class LanguageModel(models.Model):
    """One model at one provider. A retired model is a change of one row; a fake server is a base URL."""

    class Kind(models.TextChoices):
        GEMINI = "gemini", _("Gemini")
        GEMINI_LEGACY = "gemini-legacy", _("Gemini (old SDK)")
        OPENAI = "openai", _("OpenAI")
        OPENROUTER = "openrouter", _("OpenRouter")
        VLLM = "vllm", _("vLLM")
        ANTHROPIC = "anthropic", _("Anthropic")
        OFFLINE = "offline", _("Offline (no network)")

    class Thinking(models.TextChoices):
        NONE = "none", _("not adjustable")
        BUDGET = "budget", _("token budget")
        LEVEL = "level", _("level")
        EFFORT = "effort", _("effort")

    class TokenParameter(models.TextChoices):
        MAX_TOKENS = "max_tokens", "max_tokens"
        MAX_COMPLETION_TOKENS = "max_completion_tokens", "max_completion_tokens"

    name = models.SlugField(pgettext_lazy("of a thing", "name"), max_length=60, unique=True)
    kind = models.CharField(_("kind"), max_length=20, choices=Kind)
    model_id = models.CharField(_("model id"), max_length=120, blank=True, help_text=_("As the provider calls it."))
    base_url = models.CharField(
        _("provider address"), max_length=200, blank=True, validators=[server_address],
        help_text=_("Empty: the provider's own."),
    )  # fmt: skip
    api_key = EncryptedCharField(verbose_name=_("API key"), blank=True, default="")
    enabled = models.BooleanField(_("enabled"), default=True)
    position = models.PositiveSmallIntegerField(
        pgettext_lazy("position", "order"),
        default=100,
        help_text=_("Models are tried in this order; the offline model is always last.")
    )
    timeout = models.FloatField(_("timeout, seconds"), default=30, validators=[MinValueValidator(1), MaxValueValidator(90)])
    max_output_tokens = models.PositiveIntegerField(_("longest answer, tokens"), default=2048)
    temperature = models.FloatField(
        _("temperature"), null=True, blank=True, validators=[MinValueValidator(0), MaxValueValidator(2)],
        help_text=_("Empty: the model's own."),
    )  # fmt: skip
    supports_temperature = models.BooleanField(_("takes a temperature"), default=True)
    supports_schema = models.BooleanField(_("takes a JSON schema"), default=True)
    supports_audio = models.BooleanField(_("takes audio"), default=False)
    token_parameter = models.CharField(
        _("token parameter"), max_length=30, choices=TokenParameter, default=TokenParameter.MAX_TOKENS
    )
    thinking = models.CharField(_("thinking"), max_length=10, choices=Thinking, default=Thinking.NONE)
    thinking_value = models.CharField(
        _("thinking value"), max_length=20, blank=True, help_text=_("Budget in tokens (0: off), or a level such as low.")
    )
    input_price = models.DecimalField(_("price per million input tokens, $"), max_digits=10, decimal_places=4, default=0)
    output_price = models.DecimalField(_("price per million output tokens, $"), max_digits=10, decimal_places=4, default=0)
    last_error = models.CharField(_("last error"), max_length=300, blank=True, editable=False)
    last_error_at = models.DateTimeField(_("last error at"), null=True, editable=False)

    class Meta:
        verbose_name = _("language model")
        verbose_name_plural = _("language models")
        ordering = ["position", "id"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.kind != self.Kind.OFFLINE and not self.model_id:
            raise ValidationError({"model_id": _("Name the model as its provider does.")})
        if self.kind == self.Kind.VLLM and not self.base_url:
            raise ValidationError({"base_url": _("A server of your own needs its address.")})
        if self.thinking == self.Thinking.BUDGET and not self.thinking_value.lstrip("-").isdigit():
            raise ValidationError({"thinking_value": _("The budget is a whole number of tokens.")})


class Usage(models.Model):
    """One call of a model: what for, tokens, cost, time and outcome. Never texts."""

    class Outcome(models.TextChoices):
        OK = "ok", _("answered")
        TIMEOUT = "timeout", _("timeout")
        UNAVAILABLE = "unavailable", _("unavailable")
        RATE_LIMITED = "rate_limited", _("too many requests")
        UNAUTHORIZED = "unauthorized", _("key refused")
        BLOCKED = "blocked", _("blocked by the filter")
        CUT = "cut", _("cut short")
        MALFORMED = "malformed", _("unusable answer")
        REJECTED = "rejected", _("rejected")

    model = models.ForeignKey(LanguageModel, models.SET_NULL, null=True, verbose_name=_("model"), related_name="usage")
    model_name = models.CharField(_("model name"), max_length=60)
    purpose = models.CharField(_("purpose"), max_length=30)
    reference = models.CharField(_("for"), max_length=60, blank=True)
    outcome = models.CharField(_("outcome"), max_length=30, choices=Outcome)
    input_tokens = models.PositiveIntegerField(_("input tokens"), default=0)
    output_tokens = models.PositiveIntegerField(_("output tokens"), default=0)
    thinking_tokens = models.PositiveIntegerField(_("thinking tokens"), default=0)
    cost = models.DecimalField(_("cost, $"), max_digits=12, decimal_places=6, default=0)
    latency_ms = models.PositiveIntegerField(_("time, ms"), default=0)
    at = models.DateTimeField(_("time"), auto_now_add=True)

    class Meta:
        verbose_name = _("model call")
        verbose_name_plural = _("model calls")
        indexes = [models.Index(fields=["-at"], name="usage_recent")]

    def __str__(self) -> str:
        return f"{self.purpose} {self.model_name}"


class Prompt(models.Model):
    """One version of an instruction for the models. Saving a change makes a new version; one version is active."""

    class Purpose(models.TextChoices):
        MODERATE = "moderate", _("moderator")
        ANSWER = "answer", _("sales agent")
        FOLLOW_UP = "follow_up", _("follow-up touch")
        TRANSCRIBE = "transcribe", _("transcription")

    purpose = models.CharField(_("purpose"), max_length=20, choices=Purpose)
    version = models.PositiveIntegerField(_("version"), editable=False)
    text = models.TextField(_("text"))
    active = models.BooleanField(_("active"), default=True)
    note = models.CharField(_("what changed"), max_length=200, blank=True)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, editable=False, verbose_name=_("author")
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("prompt")
        verbose_name_plural = _("prompts")
        ordering = ["purpose", "-version"]
        constraints = [
            models.UniqueConstraint(fields=["purpose", "version"], name="prompt_version_once"),
            models.UniqueConstraint(fields=["purpose"], condition=Q(active=True), name="one_active_prompt"),
        ]

    def __str__(self) -> str:
        return f"{self.get_purpose_display()} v{self.version}"

    def clean(self) -> None:
        from .prompts import check

        try:
            check(self.purpose, self.text)
        except ValidationError as error:
            raise ValidationError({"text": error.messages}) from None


#: One piece of `Voice.preset`: a setting of the engine, such as `length_scale=1.1`.
SETTING = re.compile(r"[a-z][a-z0-9_]{0,39}=[^,=]{1,60}")


class Voice(models.Model):
    """One voice of one speech engine, which stands on a server of the company's own."""

    class Engine(models.TextChoices):
        PIPER = "piper", "Piper"
        XTTS = "xtts", "XTTS"
        OPENVOICE = "openvoice", "OpenVoice"

    class Language(models.TextChoices):
        RUSSIAN = "ru", _("Russian")
        KAZAKH = "kk", _("Kazakh")
        ENGLISH = "en", _("English")
        ANY = "", _("every language of its engine")

    name = models.CharField(pgettext_lazy("of a thing", "name"), max_length=100)
    slug = models.SlugField(_("identifier"), max_length=60, unique=True)
    engine = models.CharField(_("engine"), max_length=20, choices=Engine)
    base_url = models.CharField(
        _("address of the engine"), max_length=200, validators=[server_address], help_text=_("For example http://127.0.0.1:5000")
    )
    path = models.CharField(
        _("path"), max_length=100, blank=True, help_text=_("Empty: the engine's own. Old servers of Piper want “/”.")
    )
    voice = models.CharField(
        _("voice"), max_length=120, blank=True, help_text=_("As the engine calls it, for example ru_RU-irina-medium.")
    )
    preset = models.CharField(
        _("preset"), max_length=200, blank=True,
        help_text=_("The name of a preset of the engine, or its settings: length_scale=1.1, noise_scale=0.6"),
    )  # fmt: skip
    language = models.CharField(
        _("language"), max_length=5, choices=Language, blank=True, default=Language.RUSSIAN,
        help_text=_("Replies in other languages are only written."),
    )  # fmt: skip
    api_key = EncryptedCharField(verbose_name=_("API key"), blank=True, default="")
    timeout = models.FloatField(
        _("timeout, seconds"), default=20, validators=[MinValueValidator(1), MaxValueValidator(60)],
        help_text=_("For a whole reply. The customer has read it by then; a voice that takes longer is left out."),
    )  # fmt: skip
    enabled = models.BooleanField(_("enabled"), default=True)
    last_error = models.CharField(_("last error"), max_length=300, blank=True, editable=False)
    last_error_at = models.DateTimeField(_("last error at"), null=True, editable=False)

    class Meta:
        verbose_name = _("voice")
        verbose_name_plural = _("voices")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def settings(self) -> dict[str, str]:
        """What the preset adds to each request; a bare word goes as `preset`."""
        found: dict[str, str] = {}
        for part in filter(None, map(str.strip, self.preset.split(","))):
            name, equals, value = part.partition("=")
            found[name if equals else "preset"] = value if equals else part
        return found

    def clean(self) -> None:
        if self.path and not self.path.startswith("/"):
            raise ValidationError({"path": _("A path begins with “/”.")})
        parts = [part.strip() for part in self.preset.split(",") if part.strip()]
        if any("=" in part for part in parts) and not all(SETTING.fullmatch(part) for part in parts):
            raise ValidationError({"preset": _("Settings look like length_scale=1.1, noise_scale=0.6")})
        if self.engine != self.Engine.PIPER and not self.voice:
            raise ValidationError({"voice": _("Name the voice as the engine does.")})
        from .voices import engine_for

        if self.language and not engine_for(self).speaks(self.language):
            raise ValidationError({"language": _("The engine does not speak this language.")})
