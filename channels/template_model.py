"""The rows of message templates. What may stand in them and how they are filled: `message_templates`."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class MessageTemplate(models.Model):
    """Words that are sent again and again, with places for names and the like: our own, or approved by the provider.

    `{{name}}` in the body is filled from the source of that name, or from the one that `variables` names for it.
    """

    class Kind(models.TextChoices):
        OWN = "own", _("own")
        APPROVED = "approved", _("approved by the provider")

    class Category(models.TextChoices):
        MARKETING = "marketing", _("marketing")
        UTILITY = "utility", _("service")
        AUTHENTICATION = "authentication", _("authentication")

    channel = models.ForeignKey(
        "channels.Channel", models.CASCADE, null=True, blank=True, related_name="message_templates", verbose_name=_("channel"),
        help_text=_("Empty: every channel."),
    )  # fmt: skip
    name = models.CharField(pgettext_lazy("of a thing", "name"), max_length=100)
    slug = models.SlugField(_("identifier"), max_length=100, unique=True)
    kind = models.CharField(_("kind"), max_length=10, choices=Kind, default=Kind.OWN)
    language = models.CharField(
        _("language"), max_length=15, blank=True, help_text=_("As the provider writes it: ru, kk, en_US. Empty: any.")
    )
    category = models.CharField(_("category"), max_length=15, choices=Category, blank=True)
    body = models.TextField(_("text"), blank=True)
    variables = models.JSONField(_("variables"), default=list, blank=True)
    """`[{"name": place in the body, "source": what fills it, "default": text where that is not known}, …]`, in order."""
    provider_name = models.CharField(_("the provider's name"), max_length=512, blank=True)
    provider_status = models.CharField(_("the provider's state"), max_length=20, blank=True, editable=False)
    placeholders = models.PositiveSmallIntegerField(_("values"), default=0, editable=False)
    """How many values the provider wants."""
    obstacle = models.CharField(_("why it cannot be sent"), max_length=200, blank=True, editable=False)
    enabled = models.BooleanField(_("enabled"), default=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        verbose_name = _("message template")
        verbose_name_plural = _("message templates")
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["channel", "provider_name", "language"], condition=Q(kind="approved"), name="one_row_per_approved",
                violation_error_message=_("This template of the provider is here already."),
            )
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.name} ({self.language})" if self.language else self.name

    def save(self, *args: object, **kwargs: object) -> None:
        self.clean()
        super().save(*args, **kwargs)  # type: ignore[arg-type]

    def clean(self) -> None:
        from . import message_templates

        message_templates.validate(self)

    @property
    def usable(self) -> bool:
        """Whether it may be sent at all."""
        return self.enabled and (self.kind == self.Kind.OWN or (self.provider_status == "APPROVED" and not self.obstacle))

    def speaks(self, language: str) -> bool:
        """Whether it is written in this language, such as `ru`; `ru_RU` is as well."""
        return bool(language) and self.language.replace("-", "_").partition("_")[0] == language
