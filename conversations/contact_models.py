"""Who writes: contacts, the identities by which channels know them, and what was merged."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from channels.models import Channel, known_zone
from foundation.crypto import blind_index, name_hashes
from foundation.fields import EncryptedCharField, EncryptedJSONField, EncryptedTextField
from foundation.phones import shown


class Contact(models.Model):
    """A person we talk to. The phone may be missing or learned later; each channel knows them by an identity."""

    phone = EncryptedCharField(verbose_name=_("phone"), null=True, blank=True)
    phone_index = models.CharField(max_length=64, null=True, unique=True, editable=False)
    name = EncryptedCharField(verbose_name=_("name"), blank=True, default="")
    full_name = EncryptedCharField(verbose_name=_("full name"), blank=True, default="")
    business_name = EncryptedCharField(verbose_name=_("business name"), blank=True, default="")
    name_hashes = ArrayField(models.CharField(max_length=64), default=list, editable=False)
    is_client = models.BooleanField(_("client"), null=True, blank=True, help_text=_("Empty: not decided yet."))
    confidence = models.FloatField(_("confidence"), null=True, editable=False)
    reasoning = EncryptedTextField(verbose_name=_("reasoning"), blank=True, default="", editable=False)
    classified_at = models.DateTimeField(_("classified"), null=True, editable=False)
    verdict_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, editable=False, related_name="+", verbose_name=_("decided by")
    )
    verdict_final = models.BooleanField(
        _("a manager's verdict"), default=False, editable=False, help_text=_("The moderator does not change it.")
    )
    language = models.CharField(_("language"), max_length=5, blank=True, default="")
    time_zone = models.CharField(
        _("time zone"), max_length=64, blank=True, default="", db_default="", validators=[known_zone],
        help_text=_("Where the contact is, once known; empty: where the company is."),
    )  # fmt: skip
    opted_out_at = models.DateTimeField(_("opted out"), null=True, blank=True)
    last_message_at = models.DateTimeField(_("last message"), null=True, editable=False)
    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        verbose_name = _("contact")
        verbose_name_plural = _("contacts")
        indexes = [
            models.Index("is_client", F("last_message_at").desc(nulls_last=True), name="contact_by_verdict"),
            models.Index(
                F("last_message_at").desc(nulls_last=True), name="contact_verdict_final", condition=Q(verdict_final=True)
            ),
            models.Index(F("last_message_at").desc(nulls_last=True), name="contact_recent"),
            GinIndex(fields=["name_hashes"], name="contact_names"),
            models.Index(fields=["-classified_at"], name="contact_classified"),
        ]

    def __str__(self) -> str:
        return self.shown_name

    @property
    def shown_name(self) -> str:
        """How people see the contact: business, full name, name or phone, whichever is known."""
        name = self.full_name or self.name
        if self.business_name and self.business_name != name:
            name = f"{name} · {self.business_name}" if name else self.business_name
        return name or (shown(self.phone) if self.phone else str(_("Visitor %(number)s") % {"number": self.pk}))

    def set_names(self, name: str, full_name: str, business_name: str) -> bool:
        """Take over what a channel says of the names; True where anything changed. Empty values change nothing."""
        given = {"name": name, "full_name": full_name, "business_name": business_name}
        changed = {field: value for field, value in given.items() if value and value != getattr(self, field)}
        for field, value in changed.items():
            setattr(self, field, value[:200])
        if changed:
            self.name_hashes = name_hashes(self.name, self.full_name, self.business_name)
        return bool(changed)


class ContactMerge(models.Model):
    """Two contacts that turned out to be one person, with what it takes to tell them apart again.

    The gone contact's row stays, empty, so that undoing gives everything its old number back.
    """

    class Cause(models.TextChoices):
        MANAGER = "manager", _("manager")
        PHONE = "phone", _("the same phone, attested by the channel")

    kept = models.ForeignKey(Contact, models.CASCADE, related_name="merges", verbose_name=_("contact"))
    gone = models.ForeignKey(Contact, models.CASCADE, related_name="merged", verbose_name=_("merged into it"))
    cause = models.CharField(_("decided by"), max_length=10, choices=Cause)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("manager")
    )
    moved = models.JSONField(editable=False)
    """What belonged to the gone one: `{"app.model.field": [ids], …}`."""
    before = EncryptedJSONField(editable=False)
    """What the merge changed of the two: `{"kept": {field: [before, after]}, "gone": {…}}`."""
    at = models.DateTimeField(_("time"), db_default=Now())
    undone_at = models.DateTimeField(_("undone"), null=True, editable=False)
    undone_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("undone by")
    )

    class Meta:
        verbose_name = _("merge of contacts")
        verbose_name_plural = _("merges of contacts")
        ordering = ["-at"]
        constraints = [
            models.UniqueConstraint(fields=["gone"], condition=Q(undone_at__isnull=True), name="contact_merged_once")
        ]

    def __str__(self) -> str:
        return f"{self.kept_id} ← {self.gone_id}"


class ContactIdentity(models.Model):
    """A person's id on one channel."""

    contact = models.ForeignKey(Contact, models.CASCADE, related_name="identities", verbose_name=_("contact"))
    channel = models.ForeignKey(Channel, models.CASCADE, related_name="identities", verbose_name=_("channel"))
    source_id = EncryptedCharField(verbose_name=_("id on the channel"))
    source_index = models.CharField(max_length=64, editable=False)
    created_at = models.DateTimeField(_("created"), db_default=Now())

    class Meta:
        verbose_name = _("contact identity")
        verbose_name_plural = _("contact identities")
        constraints = [models.UniqueConstraint(fields=["channel", "source_index"], name="identity_once_per_channel")]

    def __str__(self) -> str:
        return f"{self.channel} · {self.contact_id}"


def source_index(source_id: str) -> str:
    """The blind index of an id on a channel."""
    return blind_index(source_id, "source")
