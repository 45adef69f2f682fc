"""Is a contact a client? The stated criteria without a language model, for the offline model.

What clients say counts for the contact, what advertisers, strangers and friends say against it. Advertisers speak of
prices and orders too, so beside their words only what nobody but a customer says is heard; and where both remain, the
verdict is open: a client that is met with silence costs more than an advertiser that waits for a manager.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from foundation.words import LINK, Phrases, Reading, read

from . import strangers, topics

#: So many messages let familiar talk without a word of business be believed.
ENOUGH_MESSAGES = 3
#: A question of fewer words is no question of substance ("это кто?", "вы тут?").
ENOUGH_TO_ASK = 3


@dataclass(frozen=True, slots=True)
class Evidence:
    """How much of what speaks for and against a client stands in the messages."""

    sure: int  # topics only customers bring up
    likely: int  # topics of business that others bring up as well
    spam: int
    wrong_number: int
    private: int
    familiar: int
    company: bool
    kin: bool
    messages: int

    @property
    def client(self) -> int:
        return 2 * self.sure + self.likely

    @property
    def foreign(self) -> bool:
        return bool(self.spam or self.wrong_number or self.private)


def weigh(facts: Mapping[str, Any]) -> Evidence:
    """Collect the evidence from a contact's names and messages."""
    readings = [read(str(text)) for text in facts.get("messages") or ()]
    names = read(" . ".join(str(facts.get(key) or "") for key in ("name", "full_name", "business_name")))
    spam = [_found(strangers.SPAM.values(), reading) for reading in readings]
    clean = [reading for reading, advertised in zip(readings, spam, strict=True) if not advertised]
    # An advertiser that sends a link speaks of "your order" as well.
    advertising = [r for r, advertised in zip(readings, spam, strict=True) if advertised and LINK not in r.words]
    return Evidence(
        sure=sum(_found(topics.CLIENT_FOR_SURE.values(), reading) for reading in clean)
        + sum(_found(topics.CLIENT_EVEN_SO, reading) for reading in advertising)
        + sum(topics.NEED_STATED in reading.statements() for reading in advertising),
        likely=sum(_found(_likely_topics(reading), reading) or _asks_something(reading) for reading in clean),
        spam=sum(spam),
        wrong_number=sum(strangers.WRONG_NUMBER in reading for reading in readings),
        private=sum(strangers.PRIVATE in reading for reading in readings),
        familiar=sum(strangers.FAMILIAR in reading for reading in readings),
        company=bool(facts.get("business_name")) or strangers.COMPANY in names,
        kin=strangers.KIN_NAMED in names,
        messages=len(readings),
    )


def _found(tables: Iterable[Phrases], reading: Reading) -> int:
    return sum(table in reading for table in tables)


def _likely_topics(reading: Reading) -> list[Phrases]:
    small_talk = topics.SMALL_TALK_TO_YOU in reading or strangers.PRIVATE in reading
    return [table for name, table in topics.CLIENT_LIKELY.items() if not (small_talk and name == "asked formally")]


def _asks_something(reading: Reading) -> bool:
    """Whether a message asks anything in earnest: strangers who write to a company mostly ask about its business."""
    personal = (topics.SMALL_TALK_TO_YOU, strangers.PRIVATE, strangers.WRONG_NUMBER, strangers.FAMILIAR)
    if any(table in reading for table in personal):
        return False
    return any(clause.asks and len(clause.words) >= ENOUGH_TO_ASK for clause in reading.clauses)


def judge_offline(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The verdict on a contact as the moderator's schema has it. `facts`: the names and the customer's messages."""
    is_client, confidence, reasoning = _verdict(weigh(facts))
    return {"is_client": is_client, "confidence": confidence, "reasoning": reasoning}


def _verdict(seen: Evidence) -> tuple[bool | None, float, str]:
    open_question = (None, 0.4, _("Not enough is known yet."))
    conflict = (None, 0.5, _("Signs of business and of something else contradict each other."))
    if seen.spam and seen.spam >= 3 * seen.sure:
        return False, 0.95 if seen.spam > 1 else 0.9, _("It looks like advertising or a notice.")
    if seen.spam:
        return _client(seen) if seen.sure > seen.spam else conflict
    if seen.client:
        return _client(seen) if _outweighs(seen) else conflict
    if seen.foreign:
        return conflict if seen.company else _stranger(seen)
    if seen.messages >= ENOUGH_MESSAGES and (seen.familiar > 1 or (seen.familiar and seen.kin)) and not seen.company:
        return False, 0.7, _("It is familiar talk without a word of business.")
    return open_question


def _outweighs(seen: Evidence) -> bool:
    """Whether what speaks for a client stands against signs of private talk or a wrong number."""
    return not seen.foreign or bool((seen.sure or seen.likely > 1) and not seen.wrong_number)


def _client(seen: Evidence) -> tuple[bool, float, str]:
    if seen.foreign:
        return True, 0.65, _("It speaks of buying, though not only of that.")
    sure = seen.client > 2 or seen.company
    return True, 0.95 if sure else 0.85 if seen.sure else 0.65, _("It speaks of buying.")


def _stranger(seen: Evidence) -> tuple[bool, float, str]:
    if seen.wrong_number:
        return False, 0.9, _("The writer took a wrong number.")
    clear = seen.private > 1 or seen.familiar or seen.kin
    return False, 0.9 if clear else 0.85, _("It is private talk.")
