"""What the model understood of a message, in the managers' words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

NAMES = {
    "intent": _("Intent"),
    "emotion": _("Mood"),
    "commitment": _("Says to our proposal"),
    "spin_stage": _("SPIN stage"),
    "language": _("Language"),
    "actions": _("Asked for"),
}
WORDS = {
    "greeting": _("greeting"), "question": _("question"), "price": _("price"), "order": _("order"),
    "objection": _("objection"), "complaint": _("complaint"), "call": _("call"), "handoff": _("a manager"),
    "opt_out": _("no more messages"), "thanks": _("thanks"), "other": _("other"),
    "calm": _("calm"), "interested": _("interested"), "doubting": _("doubting"), "annoyed": _("annoyed"), "happy": _("happy"),
    "yes": _("yes"), "no": _("no"), "vague": _("vague"),
    "situation": _("situation"), "problem": _("problem"), "implication": _("implication"), "need_payoff": _("need-payoff"),
    "ru": _("Russian"), "kk": _("Kazakh"), "en": _("English"),
}  # fmt: skip


def in_words(outcome: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Name and value of everything known, without what is empty."""
    told = []
    for name, label in NAMES.items():
        value = (outcome or {}).get(name)
        values = value if isinstance(value, list) else [value]
        words = [str(WORDS.get(str(one), one)) for one in values if one and one != "none"]
        if words:
            told.append((str(label), ", ".join(words)))
    return told
