"""Assistants and the bots they make of channels."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from channels.models import Channel, known_zone
from knowledge.models import KnowledgeBase
from llm.models import LanguageModel


def default_hours() -> dict[str, list[str]]:
    """Working hours by weekday, Monday first: `{"mon": ["10:00", "18:00"], …}`; a missing day is a day off."""
    return {day: ["10:00", "18:00"] for day in WEEKDAYS[:5]}


def default_languages() -> list[str]:
    return ["ru", "kk", "en"]


WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def valid_hours(value: object) -> None:
    """Raise ValidationError unless `value` has the shape that `default_hours` describes."""
    if not isinstance(value, dict) or not set(value) <= set(WEEKDAYS):
        raise ValidationError(_("Working hours look like {\"mon\": [\"10:00\", \"18:00\"]}; days are mon … sun."))
    for day, hours in value.items():
        ok = isinstance(hours, list) and len(hours) == 2 and all(isinstance(h, str) and _clock(h) for h in hours)
        if not ok or hours[0] >= hours[1]:
            raise ValidationError(_("%(day)s: give opening and closing time as [\"10:00\", \"18:00\"]."), params={"day": day})


def _clock(text: str) -> bool:
    hours, _colon, minutes = text.partition(":")
    return len(text) == 5 and hours.isdigit() and minutes.isdigit() and int(hours) < 24 and int(minutes) < 60


class Assistant(models.Model):
    """A persona with its models, knowledge, hours and limits. One assistant may serve several channels."""

    name = models.CharField(_("name"), max_length=100, help_text=_("As it introduces itself to customers."))
    slug = models.SlugField(_("identifier"), max_length=60, unique=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, verbose_name=_("owner"), related_name="assistants"
    )
    persona = models.TextField(
        _("persona and own rules"), blank=True, help_text=_("Added to the instruction: tone, taboos, what to offer first.")
    )
    knowledge_base = models.ForeignKey(
        KnowledgeBase, models.PROTECT, null=True, blank=True, verbose_name=_("knowledge base"), related_name="assistants"
    )
    language_models = models.ManyToManyField(
        LanguageModel, through="AssistantModel", verbose_name=_("language models"), related_name="assistants"
    )
    temperature = models.FloatField(
        _("temperature"), null=True, blank=True, validators=[MinValueValidator(0), MaxValueValidator(2)]
    )
    top_p = models.FloatField("top_p", null=True, blank=True, validators=[MinValueValidator(0), MaxValueValidator(1)])
    max_tokens = models.PositiveIntegerField(
        _("longest reply, tokens"), null=True, blank=True, validators=[MinValueValidator(64), MaxValueValidator(32_000)]
    )
    languages = models.JSONField(_("languages"), default=default_languages)
    time_zone = models.CharField(_("time zone"), max_length=64, default="Asia/Almaty", validators=[known_zone])
    hours = models.JSONField(_("working hours"), default=default_hours, validators=[valid_hours])
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        verbose_name = _("assistant")
        verbose_name_plural = _("assistants")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class AssistantModel(models.Model):
    """One place in an assistant's ordered list of models; without any, the global order holds."""

    assistant = models.ForeignKey(Assistant, models.CASCADE, verbose_name=_("assistant"), related_name="model_places")
    model = models.ForeignKey(LanguageModel, models.CASCADE, verbose_name=_("model"), related_name="+")
    position = models.PositiveSmallIntegerField(pgettext_lazy("position", "order"), default=0)

    class Meta:
        verbose_name = _("model of the assistant")
        verbose_name_plural = _("models of the assistant")
        ordering = ["position", "id"]
        constraints = [models.UniqueConstraint(fields=["assistant", "model"], name="model_once_per_assistant")]

    def __str__(self) -> str:
        return str(self.model)


class Bot(models.Model):
    """A channel and the assistant that answers on it."""

    channel = models.OneToOneField(Channel, models.CASCADE, verbose_name=_("channel"), related_name="bot")
    assistant = models.ForeignKey(Assistant, models.PROTECT, verbose_name=_("assistant"), related_name="bots")

    class Meta:
        verbose_name = _("bot")
        verbose_name_plural = _("bots")

    def __str__(self) -> str:
        return f"{self.assistant} @ {self.channel}"
