from collections.abc import Mapping
from typing import Any

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ConversationsConfig(AppConfig):
    name = "conversations"
    verbose_name = _("Conversations")

    def ready(self) -> None:
        from llm.providers import offline

        # What fills the places of templates is known by name as soon as one is saved; managers are told by signals.
        from . import manager_notices, template_replies  # noqa: F401

        offline.register("moderate", _judge_offline)


def _judge_offline(facts: Mapping[str, Any]) -> dict[str, Any]:
    from .criteria import judge_offline

    return judge_offline(facts)
