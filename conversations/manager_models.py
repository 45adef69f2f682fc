"""Where managers are told what happens, and what they are told: a list of its own, as nobody's conversation waits for it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from channels.models import Channel
from foundation.fields import EncryptedCharField


class ManagerChat(models.Model):
    """A chat of managers, such as a Telegram group with our bot in it, and what it is told.

    Its address is learnt when somebody writes the code there that the admin shows.
    """

    class Way(models.TextChoices):
        """How it is reached; `manager_ways.WAYS` has the sender of each."""

        CHANNEL = "channel", _("a bot of ours")

    name = models.CharField(pgettext_lazy("of a thing", "name"), max_length=100)
    way = models.CharField(_("way"), max_length=10, choices=Way, default=Way.CHANNEL, editable=False)
    channel = models.ForeignKey(
        Channel, models.CASCADE, related_name="manager_chats", verbose_name=_("bot"), help_text=_("The bot that writes there.")
    )
    sources = models.ManyToManyField(
        Channel, blank=True, related_name="+", verbose_name=_("channels"),
        help_text=_("Of which channels it is told. None chosen: of all that the owner may see."),
    )  # fmt: skip
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, blank=True, related_name="+", verbose_name=_("owner"),
        help_text=_("It is told only of what its owner may see. Empty: of everything."),
    )  # fmt: skip
    enabled = models.BooleanField(_("enabled"), default=True)
    leads = models.BooleanField(
        _("new leads"), default=True, help_text=_("Customers who come from a known source, such as Avito or a link.")
    )
    every_client = models.BooleanField(
        _("every new client"), default=False, help_text=_("Also those of whom no source is known, once they are clients.")
    )
    calls = models.BooleanField(
        _("conversations that need a person"), default=True, help_text=_("Handed over by the assistant, or stuck.")
    )
    address = EncryptedCharField(verbose_name=_("chat"), null=True, editable=False)
    title = EncryptedCharField(verbose_name=_("title of the chat"), default="", editable=False)
    connected_at = models.DateTimeField(_("connected"), null=True, editable=False)
    code = EncryptedCharField(verbose_name=_("code"), null=True, editable=False)
    code_until = models.DateTimeField(null=True, editable=False)
    error = models.CharField(_("error"), max_length=300, blank=True, default="", db_default="", editable=False)
    """Why the last notice did not arrive; empty while all is well."""
    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("managers' chat")
        verbose_name_plural = _("managers' chats")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class ManagerNotice(models.Model):
    """One thing that one chat of managers is told. Its words are put together only when it is sent.

    It is sent at least once: where an answer was lost, or a worker died, it may come twice, as an alert that is missing is
    worse.
    """

    class Kind(models.TextChoices):
        CONNECTED = "connected", _("chat connected")
        LEAD = "lead", _("new lead")
        CALL = "call", _("needs a person")

    class State(models.TextChoices):
        QUEUED = "queued", _("queued")
        SENT = "sent", _("sent")
        FAILED = "failed", _("failed")
        VOID = "void", _("no longer needed")

    chat = models.ForeignKey(ManagerChat, models.CASCADE, related_name="notices", verbose_name=_("managers' chat"))
    kind = models.CharField(_("kind"), max_length=10, choices=Kind)
    conversation = models.ForeignKey(
        "conversations.Conversation", models.CASCADE, null=True, related_name="+", verbose_name=_("conversation")
    )
    number = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    """Tells the calls of one conversation apart: the number of the message at which a person was called."""
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.QUEUED, db_default=State.QUEUED)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0, db_default=0)
    error = models.CharField(_("error"), max_length=300, blank=True, default="", db_default="")
    created_at = models.DateTimeField(_("created"), db_default=Now())
    ended_at = models.DateTimeField(_("ended"), null=True)
    next_attempt_at = models.DateTimeField(db_default=Now(), editable=False)
    lease_token = models.UUIDField(null=True, editable=False)
    leased_until = models.DateTimeField(null=True, editable=False)
    swept_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = _("notice to managers")
        verbose_name_plural = _("notices to managers")
        constraints = [
            models.UniqueConstraint(fields=["chat", "conversation", "kind", "number"], name="managers_told_once"),
        ]
        indexes = [
            models.Index(fields=["next_attempt_at"], name="manager_notice_queued", condition=Q(state="queued")),
            models.Index(fields=["chat", "-id"], name="manager_notice_recent"),
        ]

    def __str__(self) -> str:
        return f"{self.chat_id}/{self.pk}"
