"""What the rooms above add beside a chat: each gives a panel, and what its buttons decide."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils.safestring import SafeString

from ..models import Conversation

#: Carries out a button's wish about the row of this id and says what was done. Raises attention.Refused, with words.
Decision = Callable[[Conversation, Any, int], str]


@dataclass(frozen=True, slots=True)
class Panel:
    """One card beside the chat."""

    html: Callable[[Conversation, Any], SafeString | str]
    """What this user sees of it; empty: nothing."""
    version: Callable[[Conversation], object]
    """Changes whenever the card would look different, and is asked for every few seconds: one cheap query."""
    decisions: Mapping[str, Decision] = field(default_factory=dict)
    """By the `data-do` of the card's buttons. Whoever asks may change the conversation; other rights are checked here."""


#: In the order in which they are shown.
PANELS: list[Panel] = []


def decision(name: str) -> Decision | None:
    """What a panel's button of this name does."""
    return next((panel.decisions[name] for panel in PANELS if name in panel.decisions), None)
