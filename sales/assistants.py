"""Assistants as the agent needs them for each reply: with their models, hours and managers, remembered for seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db.models.signals import m2m_changed, post_delete, post_save

from channels import directory
from foundation.cache import Remembered
from llm.models import LanguageModel, Voice

from .models import Assistant, AssistantModel, Bot
from .working_time import WorkingTime


@dataclass(frozen=True, slots=True)
class Configuration:
    """An assistant with its models in order; `models` is None where the general order holds."""

    assistant: Assistant
    models: list[LanguageModel] | None
    working_time: WorkingTime
    managers: Mapping[int, str]
    """Who takes calls: user id to the name that customers are told."""

    @classmethod
    def read(cls, assistant: Assistant) -> Configuration:
        places = AssistantModel.objects.filter(assistant=assistant, model__enabled=True).select_related("model")
        return cls(assistant, [place.model for place in places] or None, working_time(assistant), managers(assistant))


def working_time(assistant: Assistant) -> WorkingTime:
    """When the assistant's people work."""
    return WorkingTime(hours=assistant.hours, zone=ZoneInfo(assistant.time_zone), country=assistant.country)


def managers(assistant: Assistant) -> dict[int, str]:
    """Who takes the assistant's calls, by id, with the name that customers are told.

    Those chosen on the assistant, else its owner, else the first superuser; people who may not log in take none.
    """
    people = assistant.call_managers.filter(is_active=True)
    if not people and assistant.owner is not None and assistant.owner.is_active:
        people = get_user_model().objects.filter(pk=assistant.owner.pk)
    if not people:
        people = get_user_model().objects.filter(is_active=True, is_superuser=True).order_by("pk")[:1]
    return {user.pk: user.get_full_name() or user.get_username() for user in people}


def _configuration(channel_id: int) -> Configuration | None:
    bot = Bot.objects.select_related("assistant__owner").filter(channel_id=channel_id).first()
    return Configuration.read(bot.assistant) if bot else None


#: The assistant of a channel, looked up again after two seconds.
configuration = Remembered(directory.SECONDS, _configuration)


def _forget(**_signal: object) -> None:
    configuration.forget()


for _model in (Assistant, AssistantModel, Bot, LanguageModel, Voice):
    for _signal in (post_save, post_delete):
        _signal.connect(_forget, sender=_model)
m2m_changed.connect(_forget, sender=Assistant.call_managers.through)
post_save.connect(_forget, sender=settings.AUTH_USER_MODEL)
