"""What was understood of a message and decided beside the words, in the managers' words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

from ..models import Turn

#: What the turn's columns hold.
COLUMNS = {"intent": _("Intent"), "emotion": _("Mood"), "commitment": _("Says to our proposal")}
#: What the rest of the structured answer holds.
NAMES = {
    "spin_stage": _("SPIN stage"),
    "city": _("City"),
    "actions": _("Asked for"),
    "call_at": _("Time of the call"),
    "unproven": _("Not sent: no source confirms"),
}
LEARNT = {"situation": _("Situation"), "problem": _("Problem"), "implication": _("Implication"), "need": _("Need")}
WORDS = {
    "handoff": _("a manager"), "book_call": _("a call"), "cancel_call": _("to call the call off"),
    "situation": _("situation"), "problem": _("problem"), "implication": _("implication"), "need_payoff": _("need-payoff"),
}  # fmt: skip
LANGUAGES = {"ru": _("Russian"), "kk": _("Kazakh"), "en": _("English")}


def in_words(turn: Turn) -> list[tuple[str, str]]:
    """Name and value of everything known, without what is empty."""
    outcome: Mapping[str, Any] = turn.outcome or {}
    told = [(str(label), _column(turn, name)) for name, label in COLUMNS.items()]
    told.append((str(_("Language")), str(LANGUAGES.get(turn.language, turn.language))))
    told += [(str(label), _listed(outcome.get(name))) for name, label in NAMES.items()]
    learnt = outcome.get("learnt") or {}
    told += [(str(label), str(learnt.get(name) or "")) for name, label in LEARNT.items()]
    return [(label, value) for label, value in told if value]


def _column(turn: Turn, name: str) -> str:
    """A choice in words; “nothing” and “other” say nothing."""
    return "" if getattr(turn, name) in ("", "none", "other") else str(getattr(turn, f"get_{name}_display")())


def _listed(value: Any) -> str:
    values = value if isinstance(value, list) else [value]
    return ", ".join(str(WORDS.get(str(one), one)) for one in values if one and one != "none")
