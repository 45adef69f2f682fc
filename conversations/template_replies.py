"""The templates that a manager may send in a conversation, and what fills them there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels import directory, message_templates
from channels.models import MessageTemplate

from .drafts import Draft
from .models import Contact, Conversation


def _contact_name(context: Mapping[str, Any]) -> str:
    contact: Contact | None = context.get("contact")
    return (contact.full_name or contact.name) if contact is not None else ""


def _manager_name(context: Mapping[str, Any]) -> str:
    user = context.get("user")
    return (user.get_full_name() or user.get_username()) if user is not None else ""


message_templates.register("contact_name", gettext_lazy("the customer's name"), gettext_lazy("Aigul"), _contact_name)
message_templates.register("manager_name", gettext_lazy("the manager's name"), gettext_lazy("Marat"), _manager_name)


def sendable(channel_id: int) -> QuerySet[MessageTemplate]:
    """The templates that may be sent on a channel: our own, and where it takes them those approved for it."""
    rows = MessageTemplate.objects.filter(Q(channel=channel_id) | Q(channel=None), enabled=True)
    approved = Q(kind=MessageTemplate.Kind.APPROVED, provider_status="APPROVED", obstacle="")
    if not directory.entry(channel_id).adapter.capabilities.templates:
        approved = Q(pk__in=[])
    return rows.filter(Q(kind=MessageTemplate.Kind.OWN) | approved)


def context_of(conversation: Conversation, user: Any = None) -> dict[str, Any]:
    """What the sources read from."""
    return {"conversation": conversation, "contact": conversation.contact, "channel": conversation.channel, "user": user}


@dataclass(frozen=True, slots=True)
class Offer:
    """A template as the chat offers it: its text is filled, or `error` says why it cannot be."""

    template: MessageTemplate
    text: str
    error: str = ""

    def as_json(self) -> dict[str, Any]:
        approved = self.template.kind == MessageTemplate.Kind.APPROVED
        return {
            "id": self.template.pk, "name": str(self.template), "text": self.text, "error": self.error, "approved": approved,
        }


def offers(conversation: Conversation, user: Any) -> list[Offer]:
    """Every template that may be sent in a conversation, the customer's language first."""
    context, found = context_of(conversation, user), []
    for template in sendable(conversation.channel_id):
        try:
            found.append(Offer(template, message_templates.fill_for(template, context).text))
        except message_templates.MissingValue as error:
            found.append(Offer(template, "", str(error)))
    language = conversation.contact.language
    return sorted(found, key=lambda offer: (not offer.template.speaks(language), offer.template.name))


def draft(conversation: Conversation, template_id: int, user: Any) -> Draft:
    """What a template says in a conversation. Raises ValidationError with words for the manager."""
    template = sendable(conversation.channel_id).filter(pk=template_id).first()
    if template is None:
        raise ValidationError(_("This template cannot be sent here."))
    try:
        filled = message_templates.fill_for(template, context_of(conversation, user))
    except message_templates.MissingValue as error:
        raise ValidationError(str(error)) from None
    return Draft(filled.text, template=message_templates.use(template, filled))
