"""Funnels as rows: steps with their texts and choices, rules for segments, and how far each conversation has come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from foundation.fields import EncryptedJSONField

from . import conditions

LANGUAGES = ("ru", "kk", "en")
#: The name of an answer or a placeholder, such as `gpu`.
ANSWER_KEY = r"[a-z][a-z0-9_]{0,39}"
valid_key = RegexValidator(rf"\A{ANSWER_KEY}\Z", _("Small Latin letters, digits and underscores, beginning with a letter."))
valid_step_key = RegexValidator(
    r"\A[a-z][a-z0-9]*:[a-z0-9_]{1,30}\Z", _("A group and a name, such as faq:price or nav:menu.")
)


def default_greetings() -> list[str]:
    """The words that open the menu when a customer writes nothing else."""
    return ["Привет", "Здравствуйте", "Добрый день", "Сәлем", "Hello", "Hi", "Start", "Меню", "Начать"]


def valid_words(value: object) -> None:
    """Raise ValidationError unless `value` is a list of short texts."""
    if not isinstance(value, list) or not all(isinstance(word, str) and 0 < len(word.strip()) <= 60 for word in value):
        raise ValidationError(_("Give a list of words or short phrases."))


def valid_texts(value: object) -> None:
    """Raise ValidationError unless `value` holds texts by language: `{"ru": …, "kk": …, "en": …}`; some may be missing."""
    if not isinstance(value, dict) or not set(value) <= set(LANGUAGES) or not all(isinstance(t, str) for t in value.values()):
        raise ValidationError(_("Give texts by language: ru, kk, en."))


def valid_answers(value: object) -> None:
    """Raise ValidationError unless `value` says which answers a choice gives: `{"gpu": "none"}`."""
    if not isinstance(value, dict):
        raise ValidationError(_("Give answers as name = value."))
    for key, answer in value.items():
        valid_key(key)
        if not isinstance(answer, str) or not answer.strip():
            raise ValidationError(_("%(name)s: a value is missing."), params={"name": key})


def valid_conditions(value: str) -> None:
    """Raise ValidationError unless every line is a condition (see `conditions.parse`)."""
    conditions.parse(value)


def in_language(texts: Mapping[str, str], language: str) -> str:
    """The text in this language, else in the first that there is."""
    return next((texts[name] for name in (language, *LANGUAGES) if texts.get(name, "").strip()), "")


class Funnel(models.Model):
    """A tree of menus, answers and questions of one assistant, begun by a greeting or by a tap on one of its choices."""

    assistant = models.ForeignKey("sales.Assistant", models.CASCADE, verbose_name=_("assistant"), related_name="funnels")
    slug = models.SlugField(_("identifier"), max_length=60)
    name = models.CharField(_("name"), max_length=100)
    enabled = models.BooleanField(_("enabled"), default=False, db_default=False)
    greetings = models.JSONField(
        _("words that open it"), default=default_greetings, blank=True, validators=[valid_words],
        help_text=_("Only where the customer writes nothing else."),
    )  # fmt: skip
    entry = models.ForeignKey(
        "sales.FunnelStep", models.SET_NULL, null=True, blank=True, verbose_name=_("first step"), related_name="+"
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        app_label = "sales"
        verbose_name = _("funnel")
        verbose_name_plural = _("funnels")
        ordering = ["assistant", "id"]
        constraints = [models.UniqueConstraint(fields=["assistant", "slug"], name="funnel_once_per_assistant")]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.entry is not None and self.entry.funnel_id != self.pk:
            raise ValidationError({"entry": _("This step belongs to another funnel.")})


class FunnelStep(models.Model):
    """One thing that the funnel says or asks. What is tapped there leads on by its key, so keys outlive their menus."""

    class Kind(models.TextChoices):
        MENU = "menu", _("menu")
        ANSWER = "answer", _("answer")
        QUESTION = "question", _("question with a free answer")
        SEGMENT = "segment", _("sorting by the answers")
        HANDOFF = "handoff", _("handing over to a manager")
        MODEL = "model", _("handing over to the assistant")
        PRICE = "price", _("calculation of the price")
        LINK = "link", pgettext_lazy("to a page", "link")

    #: What is said there: the others only lead on.
    SPEAKING = frozenset({Kind.MENU, Kind.ANSWER, Kind.QUESTION, Kind.LINK})

    funnel = models.ForeignKey(Funnel, models.CASCADE, verbose_name=_("funnel"), related_name="steps")
    key = models.CharField(
        _("key"), max_length=40, validators=[valid_step_key],
        help_text=_("A group and a name, such as faq:price, sales:basic or nav:menu."),
    )  # fmt: skip
    kind = models.CharField(_("kind"), max_length=10, choices=Kind, default=Kind.ANSWER)
    texts = models.JSONField(
        _("text"), default=dict, blank=True, validators=[valid_texts],
        help_text=_("**bold**, _italic_, [words](https://…); {name}, {company}, {assistant} and answers such as {gpu}."),
    )  # fmt: skip
    url = models.URLField(_("address of the page"), blank=True, max_length=500)
    stores = models.CharField(
        _("name of the answer"), max_length=40, blank=True, validators=[valid_key],
        help_text=_("Under which the customer's free answer is kept, such as company_size."),
    )  # fmt: skip
    multiple = models.BooleanField(
        _("several choices"), default=False, db_default=False, help_text=_("One after the other, until the customer is done.")
    )
    next = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, verbose_name=_("next step"), related_name="+",
        help_text=_("After a free answer, after the last of several choices, or at once where nothing is to be chosen."),
    )  # fmt: skip
    back = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, verbose_name=_("back to"), related_name="+")
    position = models.PositiveSmallIntegerField(pgettext_lazy("position", "order"), default=0)

    class Meta:
        app_label = "sales"
        verbose_name = _("step of the funnel")
        verbose_name_plural = _("steps of the funnel")
        ordering = ["position", "id"]
        constraints = [models.UniqueConstraint(fields=["funnel", "key"], name="step_once_per_funnel")]

    def __str__(self) -> str:
        return self.key

    def clean(self) -> None:
        for name in ("next", "back"):
            other = getattr(self, name)
            if other is not None and other.funnel_id != self.funnel_id:
                raise ValidationError({name: _("This step belongs to another funnel.")})
        if self.kind in self.SPEAKING and not any(text.strip() for text in self.texts.values()):
            raise ValidationError({"texts": _("Give the text in at least one language.")})
        if self.kind == self.Kind.QUESTION and not self.stores:
            raise ValidationError({"stores": _("Say under which name the answer is kept.")})
        if self.kind == self.Kind.LINK and not self.url:
            raise ValidationError({"url": _("Give the address of the page.")})


class FunnelChoice(models.Model):
    """What may be tapped at a step. Its id stands behind the button, so a changed title or order breaks no old message."""

    step = models.ForeignKey(FunnelStep, models.CASCADE, verbose_name=_("step"), related_name="choices")
    position = models.PositiveSmallIntegerField(pgettext_lazy("position", "order"), default=0)
    titles = models.JSONField(_("title"), default=dict, validators=[valid_texts])
    descriptions = models.JSONField(_("description"), default=dict, blank=True, validators=[valid_texts])
    target = models.ForeignKey(
        FunnelStep, models.SET_NULL, null=True, blank=True, verbose_name=_("leads to"), related_name="+"
    )
    sets = models.JSONField(_("answers it gives"), default=dict, blank=True, validators=[valid_answers])

    class Meta:
        app_label = "sales"
        verbose_name = _("choice")
        verbose_name_plural = _("choices")
        ordering = ["position", "id"]

    def __str__(self) -> str:
        return in_language(self.titles, LANGUAGES[0]) or str(self.pk)

    def clean(self) -> None:
        if not any(title.strip() for title in self.titles.values()):
            raise ValidationError({"titles": _("Give the title in at least one language.")})
        # The step may be new itself while its choices are checked: then there is nothing to compare with.
        if self.target is not None and self.step_id and self.target.funnel_id != self.step.funnel_id:
            raise ValidationError({"target": _("This step belongs to another funnel.")})


class SegmentRule(models.Model):
    """One line of a sorting step: the first whose conditions all hold says the segment and the way."""

    step = models.ForeignKey(FunnelStep, models.CASCADE, verbose_name=_("step"), related_name="rules")
    position = models.PositiveSmallIntegerField(pgettext_lazy("position", "order"), default=0)
    conditions = models.TextField(
        _("conditions"), blank=True, default="", validators=[valid_conditions],
        help_text=_("One a line, all must hold: gpu = none; gpu in weak, strong; users >= 10; budget given. None: always."),
    )  # fmt: skip
    segment = models.CharField(_("segment"), max_length=40)
    target = models.ForeignKey(
        FunnelStep, models.SET_NULL, null=True, blank=True, verbose_name=_("leads to"), related_name="+"
    )

    class Meta:
        app_label = "sales"
        verbose_name = _("rule of a segment")
        verbose_name_plural = _("rules of segments, the first that holds counts")
        ordering = ["position", "id"]

    def __str__(self) -> str:
        return self.segment

    def clean(self) -> None:
        if self.target is not None and self.step_id and self.target.funnel_id != self.step.funnel_id:
            raise ValidationError({"target": _("This step belongs to another funnel.")})


class FunnelProgress(models.Model):
    """How far one conversation has come in the funnels of its assistant, and what was answered on the way."""

    conversation = models.OneToOneField(
        "conversations.Conversation", models.CASCADE, verbose_name=_("conversation"), related_name="funnel_progress"
    )
    step = models.ForeignKey(FunnelStep, models.SET_NULL, null=True, verbose_name=_("step"), related_name="+")
    answers = EncryptedJSONField(verbose_name=_("answers"), default=dict)
    segment = models.CharField(_("segment"), max_length=40, blank=True, default="")
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        app_label = "sales"
        verbose_name = _("progress in a funnel")
        verbose_name_plural = _("progress in funnels")
        indexes = [models.Index(fields=["segment"], name="progress_by_segment")]

    def __str__(self) -> str:
        return str(_("Conversation %(number)s") % {"number": self.conversation_id})

    @property
    def known(self) -> Mapping[str, Any]:
        """The answers, also where the row is new."""
        return self.answers or {}


class FunnelEvent(models.Model):
    """A step that was reached, and the choice that led there: the source of the numbers. Nothing that was said is here."""

    conversation = models.ForeignKey(
        "conversations.Conversation", models.CASCADE, verbose_name=_("conversation"), related_name="funnel_events"
    )
    step = models.ForeignKey(FunnelStep, models.CASCADE, verbose_name=_("step"), related_name="events")
    choice = models.ForeignKey(FunnelChoice, models.SET_NULL, null=True, verbose_name=_("choice"), related_name="events")
    at = models.DateTimeField(_("time"), db_default=Now())

    class Meta:
        app_label = "sales"
        verbose_name = _("step reached")
        verbose_name_plural = _("steps reached")
        indexes = [models.Index(fields=["step", "at"], name="funnel_event_by_step")]

    def __str__(self) -> str:
        return str(self.pk)
