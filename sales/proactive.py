"""Writing to a customer who did not ask: in our own words within the reply window, by an approved template outside of it.

It is asked before anything is composed, so that no model is paid for words that no channel takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models.signals import post_save
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from pydantic import BaseModel

from channels import message_templates
from channels.models import MessageTemplate
from conversations import notices, template_replies, window
from conversations.drafts import Draft
from conversations.models import Conversation, Notice
from foundation.db import execute, rows
from llm.base import Completion

from . import call_texts
from .assistants import Configuration
from .models import Bot, TouchTemplate


class _Nothing(BaseModel):
    """What a model said that was not asked."""


#: Keys of the notices about a channel: what waits for a template there.
TOUCHES, REMINDERS, CALLS = "template", "reminder", "call"
#: What stands in the journal for words that no model wrote.
NO_MODEL = Completion(_Nothing(), "", 0, 0, 0, 0.0, 0, False)


def _assistant_name(context: Mapping[str, Any]) -> str:
    assistant = context.get("assistant")
    return assistant.name if assistant is not None else ""


def _call_time(context: Mapping[str, Any]) -> str:
    call = context.get("call")
    return call_texts.of_call(call) if call is not None else ""


def _call_manager(context: Mapping[str, Any]) -> str:
    call = context.get("call")
    return call_texts.manager_name(call) if call is not None else ""


message_templates.register("assistant_name", gettext_lazy("the assistant's name"), gettext_lazy("Aida"), _assistant_name)
message_templates.register("call_manager", gettext_lazy("who makes the agreed call"), gettext_lazy("Marat"), _call_manager)
message_templates.register(
    "call_time", gettext_lazy("the time of the agreed call"), gettext_lazy("Tuesday, 24 November, 15:00"), _call_time
)


class WaitsForTemplate(Exception):
    """Outside the reply window, and no template can be sent; as a string, what a manager has to do."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a customer may be written to now."""

    draft: Draft | None
    """What the chosen template says; None where our own words may be sent."""
    language: str = ""
    until: datetime | None = None
    """When our own words may not be sent any more; None: always."""


def way(
    configured: Configuration, conversation_id: int, channel_id: int, purpose: str, now: datetime,
    context: Mapping[str, Any] | None = None,
) -> Way:  # fmt: skip
    """How a message for this purpose (of `TouchTemplate.Purpose`) may be sent at `now`, the database's time.

    `context` adds to what the template's places are filled from. Raises WaitsForTemplate.
    """
    closes = window.closes_at(conversation_id, channel_id)
    if closes is None or now < closes:
        return Way(None, until=closes)
    conversation = Conversation.objects.select_related("contact", "channel").get(pk=conversation_id)
    template = _template(configured, conversation, purpose)
    whole = {**template_replies.context_of(conversation), "assistant": configured.assistant, **(context or {})}
    try:
        with translation.override(template.language.replace("-", "_").partition("_")[0]):
            filled = message_templates.fill_for(template, whole)
    except message_templates.MissingValue as error:
        raise WaitsForTemplate(str(error)) from None
    return Way(Draft(filled.text, template=message_templates.use(template, filled)), template.language[:5])


def _template(configured: Configuration, conversation: Conversation, purpose: str) -> MessageTemplate:
    """The template chosen for the purpose, the customer's language first. Raises WaitsForTemplate."""
    chosen = TouchTemplate.objects.filter(assistant=configured.assistant, purpose=purpose).values("template")
    able = template_replies.sendable(conversation.channel_id).filter(pk__in=chosen, kind=MessageTemplate.Kind.APPROVED)
    language = conversation.contact.language
    found = sorted(able, key=lambda one: (not one.speaks(language), one.pk))
    if not found:
        what = TouchTemplate.Purpose(purpose).label
        told = _("%(channel)s: “%(what)s” waits for an approved template. Choose one on the assistant's page.")
        raise WaitsForTemplate(told % {"channel": conversation.channel.name, "what": what})
    return found[0]


# ── What waits ───────────────────────────────────────────────────────────────────────────────────────────────────────


def tell(what: str, channel_id: int, words: str) -> None:
    """Show on the attention page, once for each channel, that something waits for a template there."""
    notices.put(f"{what}-{channel_id}", words, page="admin:sales_assistant_changelist")


_SETTLED = """
SELECT n.key FROM conversations_notice n
WHERE n.key LIKE 'template-%%' AND NOT EXISTS (
    SELECT FROM sales_touch x JOIN sales_followup f ON f.id = x.follow_up_id
    JOIN conversations_conversation c ON c.id = f.conversation_id
    WHERE x.state = 'planned' AND x.reason = 'template' AND n.key = 'template-' || c.channel_id)
"""


def settle() -> None:
    """Withdraw the notices of channels on which no touch waits any more."""
    for settled in rows(_SETTLED, {}):
        notices.withdraw(settled.key)


_CALLS_SETTLED = """
SELECT n.key FROM conversations_notice n
WHERE n.key LIKE 'call-%%' AND NOT EXISTS (
    SELECT FROM sales_scheduledcall s JOIN conversations_conversation c ON c.id = s.conversation_id
    WHERE s.untold <> '' AND s.starts_at > now() AND n.key = 'call-' || c.channel_id)
"""


def settle_calls() -> None:
    """Withdraw the notices of channels on which no change of a call waits to be told any more."""
    for settled in rows(_CALLS_SETTLED, {}):
        notices.withdraw(settled.key)


_WAKE = """
UPDATE sales_touch x SET planned_at = now()
FROM sales_followup f JOIN conversations_conversation c ON c.id = f.conversation_id
WHERE x.follow_up_id = f.id AND x.state = 'planned' AND x.reason = 'template' AND c.channel_id = ANY(%(channels)s)
"""


def wake(assistants: list[int]) -> None:
    """Templates were chosen or approved: what waited for one is looked at again at once."""
    channels = list(Bot.objects.filter(assistant__in=assistants).values_list("channel", flat=True))
    execute(_WAKE, {"channels": channels})
    Notice.objects.filter(key__in=[f"{what}-{pk}" for what in (TOUCHES, REMINDERS, CALLS) for pk in channels]).delete()


def _on_chosen(instance: TouchTemplate, **_signal: Any) -> None:
    wake([instance.assistant_id])


def _on_template(instance: MessageTemplate, **_signal: Any) -> None:
    using = list(TouchTemplate.objects.filter(template=instance).values_list("assistant", flat=True).distinct())
    if using and instance.usable:
        wake(using)


post_save.connect(_on_chosen, sender=TouchTemplate, dispatch_uid="sales.proactive.chosen")
post_save.connect(_on_template, sender=MessageTemplate, dispatch_uid="sales.proactive.template")
