"""Channels, the numbers they must treat specially, their event log, and the inbox of raw provider events."""

from __future__ import annotations

import secrets
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from foundation.addresses import server_address
from foundation.crypto import blind_index
from foundation.fields import EncryptedBinaryField, EncryptedCharField, EncryptedJSONField
from foundation.phones import canonical

from .base import Access
from .template_model import MessageTemplate as MessageTemplate


def new_secret() -> str:
    return secrets.token_urlsafe(32)


def known_zone(name: str) -> None:
    if name not in available_timezones():
        raise ValidationError(_("%(name)s is not a time zone. Example: Asia/Almaty."), params={"name": name})


class Channel(models.Model):
    """One configured way to be reached, with its own credentials, owner and rules."""

    class Kind(models.TextChoices):
        WAPPI = "wappi", _("WhatsApp (Wappi)")
        WAHA = "waha", _("WhatsApp (WAHA)")
        WHATSAPP_CLOUD = "whatsapp_cloud", _("WhatsApp (Cloud API)")
        TELEGRAM = "telegram", "Telegram"
        AVITO = "avito", "Avito"
        WIDGET = "widget", _("Website chat")

    class Health(models.TextChoices):
        UNKNOWN = "unknown", _("not checked yet")
        OK = "ok", _("works")
        TROUBLE = "trouble", _("temporary trouble")
        NEEDS_ATTENTION = "needs_attention", _("needs attention")

    name = models.CharField(pgettext_lazy("of a thing", "name"), max_length=100)
    slug = models.SlugField(_("identifier"), max_length=60, unique=True, help_text=_("Part of the webhook address."))
    kind = models.CharField(_("kind"), max_length=20, choices=Kind)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, verbose_name=_("owner"), related_name="channels"
    )
    team = models.ManyToManyField(
        settings.AUTH_USER_MODEL, blank=True, verbose_name=_("who else works with it"), related_name="+",
        help_text=_("They see the channel and its conversations as the owner does; guests among them only read."),
    )  # fmt: skip
    enabled = models.BooleanField(_("enabled"), default=True, help_text=_("A disabled channel accepts and sends nothing."))
    running = models.BooleanField(
        _("running"), default=True, help_text=_("A stopped channel stores what arrives; the assistant does not answer.")
    )
    auto_start = models.BooleanField(
        _("starts by itself"), default=True, db_default=True,
        help_text=_("Whether it runs after the server was restarted. Set by “Start”, cleared by “Stop”."),
    )  # fmt: skip
    archived_at = models.DateTimeField(_("archived"), null=True, editable=False)
    """Deleted by its owner, but kept with its conversations: disabled, and in no list of channels."""
    company = models.CharField(_("company"), max_length=200, help_text=_("As customers know it."))
    about = models.TextField(
        _("what the company does"), blank=True, help_text=_("Two or three sentences; the moderator judges contacts by them.")
    )
    base_url = models.CharField(
        _("provider address"), max_length=200, blank=True, validators=[server_address],
        help_text=_("Empty: the provider's own. Set it for a self-hosted server."),
    )  # fmt: skip
    credentials = EncryptedJSONField(verbose_name=_("credentials"), default=dict, blank=True)
    options = models.JSONField(_("options"), default=dict, blank=True)
    webhook_secret = EncryptedCharField(verbose_name=_("webhook secret"), default=new_secret, editable=False)
    time_zone = models.CharField(_("time zone"), max_length=64, default="Asia/Almaty", validators=[known_zone])
    hold = models.FloatField(
        _("hold, seconds"),
        default=0.7,
        validators=[MinValueValidator(0), MaxValueValidator(30)],
        help_text=_("Quiet time after a message before the assistant answers, so that several quick messages get one reply."),
    )
    max_hold = models.FloatField(
        _("longest hold, seconds"), default=8, validators=[MinValueValidator(0), MaxValueValidator(60)]
    )
    moderation = models.BooleanField(
        _("moderation"),
        default=True,
        help_text=_("Answer only contacts recognised as clients. Switch off where every writer is a customer."),
    )
    answer_age_hours = models.FloatField(
        _("answer messages not older than, hours"),
        default=24,
        validators=[MinValueValidator(0.1)],
        help_text=_("Older messages that a gateway replays are stored and not answered."),
    )
    rate_limit_count = models.PositiveIntegerField(
        _("message limit"),
        null=True,
        blank=True,
        help_text=_("Messages of one contact that are answered per period; empty: no limit."),
    )
    rate_limit_hours = models.FloatField(_("limit period, hours"), default=5, validators=[MinValueValidator(0.01)])
    pause_hours = models.FloatField(
        _("pause after a manager, hours"),
        default=12,
        validators=[MinValueValidator(0)],
        help_text=_("The assistant resumes by itself this long after the manager's last message; 0: only by hand."),
    )
    own_number = models.CharField(_("own number"), max_length=20, blank=True, help_text=_("The business's own public number."))

    health = models.CharField(_("state"), max_length=20, choices=Health, default=Health.UNKNOWN, editable=False)
    health_detail = models.CharField(_("state in words"), max_length=300, blank=True, editable=False)
    health_changed_at = models.DateTimeField(_("state since"), null=True, editable=False)
    cursor = EncryptedJSONField(verbose_name=_("poll cursor"), default=dict, editable=False)
    poll_token = models.UUIDField(null=True, editable=False)
    poll_leased_until = models.DateTimeField(null=True, editable=False)
    polled_at = models.DateTimeField(_("last poll"), null=True, editable=False)
    poll_failures = models.PositiveIntegerField(_("failed polls in a row"), default=0, editable=False)
    next_poll_at = models.DateTimeField(null=True, editable=False)
    poll_asked_at = models.DateTimeField(null=True, editable=False)
    """When a poll was last asked for: two beats ask once."""
    reconciled_at = models.DateTimeField(_("history read back until"), null=True, editable=False)
    reconcile_state = EncryptedJSONField(null=True, editable=False)
    """Where an unfinished look back goes on: `{"began": …, "since": …, "cursor": …}`; empty between two."""
    next_reconcile_at = models.DateTimeField(null=True, editable=False)
    last_event_at = models.DateTimeField(_("last event"), null=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        verbose_name = _("channel")
        verbose_name_plural = _("channels")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    def access(self) -> Access:
        """What this channel's adapter gets to know."""
        return Access(
            slug=self.slug,
            base_url=self.base_url,
            credentials=self.credentials or {},
            options=self.options or {},
            webhook_secret=self.webhook_secret,
        )

    def clean(self) -> None:
        from . import pacing
        from .registry import adapter_class

        adapter = adapter_class(self.kind)
        missing = [name for name in adapter.option_names if not (self.options or {}).get(name)]
        if missing:
            raise ValidationError({"options": _("Missing: %(names)s.") % {"names": ", ".join(missing)}})
        if adapter.capabilities.fragile:
            pacing.read((self.options or {}).get("pacing"))
        missing = [name for name in adapter.credential_names if not (self.credentials or {}).get(name)]
        if missing:
            raise ValidationError({"credentials": _("Missing: %(names)s.") % {"names": ", ".join(missing)}})


class ChannelBreaker(models.Model):
    """What keeps a channel that cannot send from being asked again and again: at most one row a channel, none while it is well.

    Failures are only counted until `opened_at` is set. From then on nothing of the channel is claimed for sending but by
    the one worker that holds the lease: first a single message, after `retry_at`; since `recovered_at` the backlog, paced.
    """

    channel = models.OneToOneField(
        Channel, models.CASCADE, primary_key=True, related_name="breaker", verbose_name=_("channel")
    )
    failures = models.PositiveIntegerField(_("failures in a row"), default=0, db_default=0)
    reason = models.CharField(_("reason"), max_length=300, blank=True, default="", db_default="")
    opened_at = models.DateTimeField(_("paused since"), null=True)
    retry_at = models.DateTimeField(_("not before"), null=True)
    """Empty while open: a manager wants it tried at once, and what was put off on its own with it."""
    recovered_at = models.DateTimeField(_("recovered"), null=True)
    drained_at = models.DateTimeField(null=True)
    lease_token = models.UUIDField(null=True)
    leased_until = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("pause of sending")
        verbose_name_plural = _("pauses of sending")

    def __str__(self) -> str:
        return f"{self.channel_id}"


class NumberRule(models.Model):
    """A phone number that is treated specially on one channel, or on all of them."""

    class Rule(models.TextChoices):
        EXCLUDED = "excluded", _("excluded: never processed, nothing is kept")
        BLOCKED = "blocked", _("blocked: stored, not answered")
        ALLOWED = "allowed", _("allowed: where any is listed, only these are answered")

    channel = models.ForeignKey(
        Channel, models.CASCADE, null=True, blank=True, related_name="number_rules", verbose_name=_("channel"),
        help_text=_("Empty: every channel."),
    )  # fmt: skip
    rule = models.CharField(_("rule"), max_length=10, choices=Rule)
    phone = EncryptedCharField(verbose_name=_("phone"))
    phone_index = models.CharField(max_length=64, editable=False, db_index=True)
    note = models.CharField(_("note"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("number rule")
        verbose_name_plural = _("number rules")
        constraints = [
            models.UniqueConstraint(
                fields=["channel", "rule", "phone_index"], name="one_rule_per_number", nulls_distinct=False,
                violation_error_message=_("This number already has this rule."),
            )
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.get_rule_display()}"

    def save(self, *args: object, **kwargs: object) -> None:
        self.clean()
        super().save(*args, **kwargs)  # type: ignore[arg-type]

    def clean(self) -> None:
        phone = canonical(self.phone or "")
        if phone is None:
            raise ValidationError({"phone": _("Not a phone number. Example: +7 701 123 45 67.")})
        self.phone = phone
        self.phone_index = blind_index(phone, "phone")


class InboundEvent(models.Model):
    """One thing a provider told us, stored raw and unique before it is understood."""

    class State(models.TextChoices):
        NEW = "new", _("new")
        PROCESSED = "processed", _("processed")
        IGNORED = "ignored", _("ignored")
        FAILED = "failed", _("needs attention")
        DISMISSED = "dismissed", _("dismissed")

    class Source(models.TextChoices):
        WEBHOOK = "webhook", _("webhook")
        POLL = "poll", _("poll")
        HISTORY = "history", _("read back from the history")

    channel = models.ForeignKey(
        Channel, models.CASCADE, related_name="events", verbose_name=_("channel"), db_index=False
    )
    external_id = models.CharField(_("event id"), max_length=255)
    lane = models.CharField(max_length=32, blank=True, default="", db_default="", editable=False)
    source = models.CharField(_("source"), max_length=10, choices=Source)
    payload = EncryptedBinaryField(verbose_name=_("payload"), null=True)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.NEW, db_default=State.NEW)
    reason = models.CharField(_("reason"), max_length=200, blank=True, default="", db_default="")
    received_at = models.DateTimeField(_("received"), db_default=models.functions.Now())
    processed_at = models.DateTimeField(_("processed"), null=True)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0, db_default=0)
    lease_token = models.UUIDField(null=True, editable=False)
    leased_until = models.DateTimeField(null=True, editable=False)
    next_attempt_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = _("inbound event")
        verbose_name_plural = _("inbound events")
        constraints = [models.UniqueConstraint(fields=["channel", "external_id"], name="event_once_per_channel")]
        indexes = [
            models.Index(fields=["received_at"], name="event_new", condition=Q(state="new")),
            models.Index(fields=["channel", "lane", "id"], name="event_lane", condition=Q(state="new")),
            models.Index(fields=["-received_at"], name="event_failed", condition=Q(state="failed")),
            models.Index(fields=["received_at"], name="event_payload", condition=Q(payload__isnull=False)),
            models.Index(fields=["-received_at"], name="event_recent"),
            models.Index(fields=["channel", "received_at"], name="event_of_channel"),
        ]

    def __str__(self) -> str:
        return f"{self.channel_id}:{self.pk}"


class ChannelLog(models.Model):
    """What happened to a channel: started, stopped, credentials refused, reconnected. Never message texts."""

    class Level(models.TextChoices):
        INFO = "info", _("info")
        WARNING = "warning", _("warning")
        ERROR = "error", _("error")

    channel = models.ForeignKey(Channel, models.CASCADE, related_name="log", verbose_name=_("channel"))
    level = models.CharField(_("level"), max_length=10, choices=Level, default=Level.INFO)
    event = models.CharField(_("event"), max_length=60)
    detail = models.CharField(_("detail"), max_length=300, blank=True)
    at = models.DateTimeField(_("time"), auto_now_add=True)

    class Meta:
        verbose_name = _("channel log entry")
        verbose_name_plural = _("channel log")
        ordering = ["-at"]
        indexes = [models.Index(fields=["channel", "-at"], name="channel_log_recent")]

    def __str__(self) -> str:
        return f"{self.at:%d.%m %H:%M} {self.event}"


class ProviderCall(models.Model):
    """Counts and times of provider calls by minute: the statistics of response times and errors."""

    channel = models.ForeignKey(Channel, models.CASCADE, related_name="calls", verbose_name=_("channel"))
    minute = models.DateTimeField(_("minute"))
    call = models.CharField(pgettext_lazy("to a provider", "call"), max_length=40)
    count = models.PositiveIntegerField(_("calls"), default=0)
    errors = models.PositiveIntegerField(_("errors"), default=0)
    total_ms = models.PositiveBigIntegerField(_("time, ms"), default=0)
    max_ms = models.PositiveIntegerField(_("longest, ms"), default=0)

    class Meta:
        verbose_name = _("provider calls")
        verbose_name_plural = _("provider calls")
        constraints = [models.UniqueConstraint(fields=["channel", "minute", "call"], name="calls_once_per_minute")]
        indexes = [models.Index(fields=["-minute"], name="calls_recent")]

    def __str__(self) -> str:
        return f"{self.call} {self.minute:%H:%M}"


class SendBudget(models.Model):
    """How many messages that nobody asked for a number has sent in an hour or a day: see `channels.pacing`."""

    class Kind(models.TextChoices):
        NEW_CONTACT = "new_contact", _("new contacts today")
        PROACTIVE = "proactive", _("unasked messages this hour")
        SAME_TEXT = "same_text", _("the same text today")
        NIGHT = "night", _("unasked messages at night, today")

    channel = models.ForeignKey(Channel, models.CASCADE, related_name="+", verbose_name=_("channel"), db_index=False)
    kind = models.CharField(_("kind"), max_length=12, choices=Kind)
    starts_at = models.DateTimeField(_("from"))
    """When the hour or the day began, by the channel's clock."""
    text = models.CharField(max_length=64, blank=True, default="", db_default="", editable=False)
    """The keyed hash of a text, where one is counted."""
    count = models.PositiveIntegerField(_("messages"), default=0)
    last_at = models.DateTimeField(_("last"))

    class Meta:
        verbose_name = _("budget of unasked messages")
        verbose_name_plural = _("budgets of unasked messages")
        constraints = [models.UniqueConstraint(fields=["channel", "starts_at", "kind", "text"], name="one_budget_per_period")]

    def __str__(self) -> str:
        return f"{self.channel_id} {self.kind} {self.starts_at:%d.%m %H:%M}"
