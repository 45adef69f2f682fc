"""Is a contact a client? The offline model's judgement, by what clients, strangers and mere greetings are like.

A client that is met with silence costs more than a stranger that waits for a manager: “not a client” is said only where it
is likely and a client is not; what remains is open, and shows up on the managers' list.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from . import likeness

#: A yes below this confidence is not a clear one.
CLEAR_CONFIDENCE = 0.6
#: A no this confident (advertising, a wrong number, private talk) is believed from the first message on.
SURE_NO = 0.85
#: “Not a client” needs at least the first likelihood, and a client's likelihood of at most the second.
FOREIGN, CLIENT_STILL = 0.5, 0.3


def judge_offline(facts: Mapping[str, Any]) -> dict[str, Any]:
    """A verdict from a contact's names and messages; fits `moderation.Verdict`. The confidence is at least what the gate asks
    of a verdict that shall count at once.
    """
    names = {key: str(facts.get(key) or "") for key in ("name", "full_name", "business_name")}
    messages = [str(text) for text in facts.get("messages") or ()]
    likely = likeness.probabilities(names, messages)
    kind = max(likely, key=likely.__getitem__)
    if kind == "foreign" and (likely["foreign"] < FOREIGN or likely["client"] > CLIENT_STILL):
        kind = "open"
    said = ", ".join(f"«{word}»" for word in likeness.telling(names, messages, kind))
    if kind == "open":
        return {"is_client": None, "confidence": min(0.5, likely["open"]), "reasoning": _("Not enough is known yet.")}
    is_client = kind == "client"
    foreign = _("It reads like advertising, a wrong number or private talk.")
    why = _("It reads like a customer's message.") if is_client else foreign
    confidence = max(CLEAR_CONFIDENCE if is_client else SURE_NO, likely[kind])
    return {"is_client": is_client, "confidence": round(confidence, 2), "reasoning": f"{why} {said}".strip()}
