"""What the conversation teaches of a contact by the SPIN method: kept with the contact, never forgotten by a later reply."""

from __future__ import annotations

from .models import Qualification
from .reply import Reply

#: One side of a case is kept up to so many characters; the oldest words go first.
LONGEST = 600
_ORDER = [str(stage) for stage in Qualification.Stage.values]
_SIDES = ("situation", "problem", "implication", "need")


def learn(contact_id: int, reply: Reply) -> None:
    """Add what a reply learnt. The stage is the furthest that was reached. The caller holds the conversation's lock."""
    told = {side: text.strip() for side in _SIDES if (text := getattr(reply.learnt, side)).strip()}
    if not told and reply.spin_stage == "none":
        return
    known, _created = Qualification.objects.select_for_update().get_or_create(contact_id=contact_id)
    for side, text in told.items():
        setattr(known, side, _added(getattr(known, side), text))
    known.stage = max(known.stage, reply.spin_stage, key=_ORDER.index)
    known.save()


def _added(known: str, text: str) -> str:
    """The words known with the new ones, without repeating what is there."""
    if text.casefold() in known.casefold():
        return known
    whole = f"{known}; {text}" if known else text
    return whole if len(whole) <= LONGEST else whole[-LONGEST:].partition("; ")[2] or text[:LONGEST]
