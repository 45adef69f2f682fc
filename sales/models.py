"""Assistants and the bots they make of channels."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeOperators
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Func, Q, Value
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from channels.models import Channel, MessageTemplate, known_zone
from conversations.models import Contact, Conversation, Turn
from foundation.fields import EncryptedCharField, EncryptedTextField
from knowledge.models import KnowledgeBase
from llm.models import LanguageModel, Voice


def default_hours() -> dict[str, list[str]]:
    """Working hours by weekday, Monday first: `{"mon": ["10:00", "18:00"], …}`; a missing day is a day off."""
    return {day: [settings.WORKING_HOURS_START, settings.WORKING_HOURS_END] for day in WEEKDAYS[:5]}


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

    class Country(models.TextChoices):
        """Whose public holidays and moved days count."""

        KAZAKHSTAN = "KZ", _("Kazakhstan")
        RUSSIA = "RU", _("Russia")
        NONE = "", _("none")

    class VoiceWhen(models.TextChoices):
        ALWAYS = "always", _("every reply")
        SPOKEN = "spoken", _("replies to voice messages")

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
    country = models.CharField(
        _("public holidays of"), max_length=2, choices=Country, blank=True, default=Country.KAZAKHSTAN,
        db_default=Country.KAZAKHSTAN,
    )  # fmt: skip
    call_managers = models.ManyToManyField(
        settings.AUTH_USER_MODEL, blank=True, verbose_name=_("managers who take calls"), related_name="+",
        help_text=_("Calls are shared among them. Nobody chosen: the owner takes them."),
    )  # fmt: skip
    call_minutes = models.PositiveSmallIntegerField(
        _("length of a call, minutes"), default=30, db_default=30, validators=[MinValueValidator(5), MaxValueValidator(240)]
    )
    call_reminder_minutes = models.PositiveSmallIntegerField(
        _("reminder before a call, minutes"), default=60, db_default=60, validators=[MaxValueValidator(1440)],
        help_text=_("0: no reminder."),
    )  # fmt: skip
    follow_ups = models.BooleanField(
        _("follow-ups"), default=True, db_default=True,
        help_text=_("Write again, up to five times, to customers who fell silent."),
    )  # fmt: skip
    voice = models.ForeignKey(
        Voice, models.SET_NULL, null=True, blank=True, verbose_name=_("voice"), related_name="assistants",
        help_text=_("Reads replies aloud: a voice message follows the written one. Nothing chosen: replies are only written."),
    )  # fmt: skip
    voice_when = models.CharField(
        _("what is read aloud"), max_length=10, choices=VoiceWhen, default=VoiceWhen.SPOKEN, db_default=VoiceWhen.SPOKEN
    )
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


class TouchTemplate(models.Model):
    """The approved template that an assistant sends for a purpose where its own words may not be sent any more.

    Several for one purpose are for several languages and channels.
    """

    class Purpose(models.TextChoices):
        TOUCH_1 = "touch_1", _("first touch")
        TOUCH_2 = "touch_2", _("second touch")
        TOUCH_3 = "touch_3", _("third touch")
        TOUCH_4 = "touch_4", _("fourth touch")
        TOUCH_5 = "touch_5", _("fifth touch")
        CALL_REMINDER = "call_reminder", _("reminder of a call")
        CALL_MOVED = "call_moved", _("a manager has moved the call")
        CALL_REASSIGNED = "call_reassigned", _("another manager makes the call")
        CALL_CANCELLED = "call_cancelled", _("a manager has cancelled the call")

        @classmethod
        def touch(cls, number: int) -> str:
            """The purpose of touch number 1 … 5."""
            return str(cls(f"touch_{number}"))

    assistant = models.ForeignKey(
        Assistant, models.CASCADE, verbose_name=_("assistant"), related_name="touch_templates", db_index=False
    )
    purpose = models.CharField(_("for"), max_length=20, choices=Purpose)
    template = models.ForeignKey(MessageTemplate, models.CASCADE, verbose_name=_("template"), related_name="purposes")

    class Meta:
        verbose_name = _("template outside the reply window")
        verbose_name_plural = _("templates outside the reply window")
        ordering = ["assistant", "purpose", "id"]
        constraints = [
            models.UniqueConstraint(fields=["assistant", "purpose", "template"], name="template_once_per_purpose")
        ]

    def __str__(self) -> str:
        return f"{self.get_purpose_display()}: {self.template}"

    def clean(self) -> None:
        if self.template_id and self.template.kind != MessageTemplate.Kind.APPROVED:
            raise ValidationError({"template": _("Outside the reply window only what the provider has approved may be sent.")})


class Qualification(models.Model):
    """How far the conversation with a contact has come by the SPIN method, and what was learnt on the way."""

    class Stage(models.TextChoices):
        NONE = "none", _("not begun")
        SITUATION = "situation", _("situation")
        PROBLEM = "problem", _("problem")
        IMPLICATION = "implication", _("implication")
        NEED_PAYOFF = "need_payoff", _("need-payoff")

    contact = models.OneToOneField(Contact, models.CASCADE, related_name="qualification", verbose_name=_("contact"))
    stage = models.CharField(_("SPIN stage"), max_length=12, choices=Stage, default=Stage.NONE)
    situation = EncryptedTextField(verbose_name=_("situation"), blank=True, default="")
    problem = EncryptedTextField(verbose_name=_("problem"), blank=True, default="")
    implication = EncryptedTextField(verbose_name=_("implication"), blank=True, default="")
    need = EncryptedTextField(verbose_name=_("need"), blank=True, default="")
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        verbose_name = _("qualification")
        verbose_name_plural = _("qualifications")

    def __str__(self) -> str:
        return self.get_stage_display()


class ScheduledCall(models.Model):
    """A phone call that a customer has agreed to, and the manager who makes it. No two of one manager overlap."""

    class Status(models.TextChoices):
        SCHEDULED = "scheduled", _("scheduled")
        COMPLETED = "completed", _("completed")
        CANCELLED = "cancelled", _("cancelled")
        MISSED = "missed", _("missed")

    contact = models.ForeignKey(Contact, models.CASCADE, related_name="calls", verbose_name=_("contact"))
    conversation = models.ForeignKey(
        Conversation, models.CASCADE, related_name="calls", verbose_name=_("conversation"), null=True, blank=True
    )
    assistant = models.ForeignKey(Assistant, models.PROTECT, related_name="calls", verbose_name=_("assistant"))
    manager = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="calls", verbose_name=_("manager")
    )
    turn = models.ForeignKey(
        Turn, models.SET_NULL, null=True, editable=False, related_name="+", verbose_name=_("agreed in turn")
    )
    starts_at = models.DateTimeField(_("starts"))
    ends_at = models.DateTimeField(_("ends"))
    time_zone = models.CharField(_("time zone"), max_length=64, default="Asia/Almaty", validators=[known_zone])
    customer_zone = models.CharField(_("the customer's time zone"), max_length=64, blank=True, validators=[known_zone])
    phone = EncryptedCharField(verbose_name=_("phone"))
    status = models.CharField(_("status"), max_length=10, choices=Status, default=Status.SCHEDULED)
    notes = EncryptedTextField(verbose_name=_("notes"), blank=True, default="")
    reminded_at = models.DateTimeField(_("reminded"), null=True, editable=False)
    untold = models.CharField(
        _("what the customer is still to be told"), max_length=20, choices=TouchTemplate.Purpose, blank=True, default="",
        db_default="", editable=False,
    )  # fmt: skip
    """A change of which the customer may only be told by a template that nobody has chosen yet."""
    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        verbose_name = pgettext_lazy("on the phone", "call")
        verbose_name_plural = pgettext_lazy("on the phone", "calls")
        ordering = ["starts_at"]
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="call_has_a_length"),
            # A range of one id stands for `manager =`: plain integers need an extension to stand in a GiST index.
            ExclusionConstraint(
                name="one_call_at_a_time",
                expressions=[
                    (Func("manager_id", "manager_id", Value("[]"), function="int8range"), RangeOperators.OVERLAPS),
                    (
                        Func("starts_at", "ends_at", Value("[)"), function="tstzrange", output_field=DateTimeRangeField()),
                        RangeOperators.OVERLAPS,
                    ),
                ],
                condition=Q(status="scheduled"),
                violation_error_message=_("The manager has another call at this time."),
            ),
            models.UniqueConstraint(
                fields=["contact", "assistant"], condition=Q(status="scheduled"), name="one_call_per_contact",
                violation_error_message=_("A call with this contact is scheduled already."),
            ),
        ]  # fmt: skip
        indexes = [
            models.Index(fields=["status", "starts_at"], name="call_by_status"),
            models.Index(fields=["starts_at"], name="call_to_remind", condition=Q(status="scheduled", reminded_at=None)),
            models.Index(fields=["starts_at"], name="call_to_tell", condition=~Q(untold="")),
            models.Index(fields=["contact", "-starts_at"], name="call_of_contact"),
            models.Index(fields=["starts_at"], name="call_by_time"),
        ]

    def __str__(self) -> str:
        return str(_("Call %(number)s") % {"number": self.pk})

    @property
    def is_over(self) -> bool:
        """Whether its time has passed; somebody then says whether it took place."""
        return self.ends_at <= timezone.now()


class FollowUp(models.Model):
    """A cadence: up to five touches towards one customer who fell silent, planned for one cycle of the conversation."""

    class State(models.TextChoices):
        ACTIVE = "active", _("under way")
        STOPPED = "stopped", _("stopped")
        COMPLETED = "completed", _("completed")

    class Cause(models.TextChoices):
        SILENCE = "silence", _("no answer to our message")
        VAGUE = "vague", _("a vague answer")

    class StopReason(models.TextChoices):
        CLIENT_RESPONDED = "client_responded", _("the customer replied")
        CLIENT_SAID_YES = "client_said_yes", _("the customer agreed")
        CLIENT_SAID_NO = "client_said_no", _("the customer declined")
        OPTED_OUT = "opted_out", _("the customer does not want to be written to")
        MANAGER = "manager", _("a manager leads the conversation")
        BY_HAND = "by_hand", _("stopped by hand")
        NOT_CLIENT = "not_client", _("not a client")
        SWITCHED_OFF = "switched_off", _("follow-ups are switched off")
        UNREACHABLE = "unreachable", _("the customer shuts the channel out")
        UNDELIVERABLE = "undeliverable", _("the touch could not be delivered")
        COMPLETED = "completed_5_touches", _("all touches were made")

    conversation = models.ForeignKey(Conversation, models.CASCADE, related_name="follow_ups", verbose_name=_("conversation"))
    cycle = models.PositiveIntegerField(editable=False)
    cause = models.CharField(_("started by"), max_length=10, choices=Cause)
    anchor_at = models.DateTimeField(_("our last message"))
    """The time of our last unanswered message: all touches are counted from it."""
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.ACTIVE)
    stop_reason = models.CharField(_("why it ended"), max_length=20, choices=StopReason, blank=True, default="")
    stopped_at = models.DateTimeField(_("ended"), null=True, editable=False)
    stopped_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, editable=False, related_name="+", verbose_name=_("stopped by")
    )
    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("follow-up")
        verbose_name_plural = _("follow-ups")
        ordering = ["-anchor_at"]
        constraints = [models.UniqueConstraint(fields=["conversation", "cycle"], name="one_follow_up_per_cycle")]
        indexes = [
            models.Index(fields=["conversation"], name="follow_up_active", condition=Q(state="active")),
            models.Index(fields=["state", "-anchor_at"], name="follow_up_by_state"),
            models.Index(fields=["-anchor_at"], name="follow_up_recent"),
        ]

    def __str__(self) -> str:
        return str(_("Follow-up %(number)s") % {"number": self.pk})


class Touch(models.Model):
    """One of the five messages of a follow-up."""

    class State(models.TextChoices):
        PLANNED = "planned", _("planned")
        FIRED = "fired", _("made")
        SKIPPED = "skipped", _("skipped")
        CANCELLED = "cancelled", _("cancelled")

    class Reason(models.TextChoices):
        """Why a touch was skipped, or moved from the hour at which it was due."""

        OUTAGE = "outage", _("a later touch was due as well")
        BY_HAND = "by_hand", _("by hand")
        HOURS = "hours", _("moved into sending hours")
        BUSY = "busy", _("moved: another message was on its way")
        UNPROVEN = "unproven", _("its words stated what no source confirms")
        TEMPLATE = "template", _("outside the reply window: it needs an approved template")
        PACE = "pace", _("moved: the number has sent enough unasked messages for now")

    follow_up = models.ForeignKey(FollowUp, models.CASCADE, related_name="touches", verbose_name=_("follow-up"))
    number = models.PositiveSmallIntegerField(_("number"))
    due_at = models.DateTimeField(_("due"))
    """Counted from the anchor by FOLLOW_UP_INTERVALS, whatever the hour."""
    planned_at = models.DateTimeField(_("planned"))
    """When it is to be made: the due time, or the first sending hour after it."""
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.PLANNED)
    reason = models.CharField(_("reason"), max_length=10, choices=Reason, blank=True, default="")
    turn = models.OneToOneField(Turn, models.SET_NULL, null=True, editable=False, related_name="touch", verbose_name=_("turn"))
    fired_at = models.DateTimeField(_("made"), null=True, editable=False)

    class Meta:
        verbose_name = _("touch")
        verbose_name_plural = _("touches")
        ordering = ["follow_up", "number"]
        constraints = [
            models.UniqueConstraint(fields=["follow_up", "number"], name="touch_once"),
            models.CheckConstraint(condition=Q(number__gte=1, number__lte=5), name="five_touches"),
        ]
        indexes = [models.Index(fields=["planned_at"], name="touch_planned", condition=Q(state="planned"))]

    def __str__(self) -> str:
        return f"{self.number}/5"


# Models of a package are found where the app's models are.
from .funnels.models import (  # noqa: E402
    Funnel,
    FunnelChoice,
    FunnelEvent,
    FunnelProgress,
    FunnelStep,
    SegmentRule,
)

__all__ = [
    "WEEKDAYS", "Assistant", "AssistantModel", "Bot", "FollowUp", "Funnel", "FunnelChoice", "FunnelEvent", "FunnelProgress",
    "FunnelStep", "Qualification", "ScheduledCall", "SegmentRule", "Touch", "TouchTemplate", "default_hours",
    "default_languages", "valid_hours",
]  # fmt: skip
