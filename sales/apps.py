from collections.abc import Mapping
from typing import Any

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SalesConfig(AppConfig):
    name = "sales"
    verbose_name = _("Sales")

    def ready(self) -> None:
        from llm.providers import offline

        # They hear what is changed in the admin and what happens in conversations.
        from . import assistants, follow_up_ends, proactive  # noqa: F401

        offline.register("answer", _answer_offline)


def _answer_offline(facts: Mapping[str, Any]) -> dict[str, Any]:
    # The tables of phrases take 20 MB, which only the process that answers should hold.
    from .offline_agent import answer_offline

    return answer_offline(facts)
