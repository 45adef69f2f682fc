"""The auditor: what became of every message, from the fake providers' records; our own tables only classify the remainder.

Pure functions on what was collected, so that a test can show that it finds what it is there to find.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

TOKEN = re.compile(r"#m\d+")
#: A send that was on its way already when a takeover was committed may begin to arrive this much later, in seconds.
TAKEOVER_MARGIN = 0.1
OFFLINE, TAKEN, ATTENTION, IGNORED, PENDING, LOST = (
    "answered without a model", "taken over", "needs attention", "ignored", "pending", "lost",
)  # fmt: skip
#: What may become of a message that has no answer, beside being lost.
ENDS = (OFFLINE, TAKEN, ATTENTION, IGNORED)


@dataclass(frozen=True, slots=True)
class Sent:
    """One send that the provider accepted. Times are Unix seconds; `begun` is when its request came in."""

    number: int
    phone: str
    text: str
    begun: float
    id: str
    by_bot: bool = True

    @property
    def tokens(self) -> list[str]:
        return TOKEN.findall(self.text)


@dataclass(frozen=True, slots=True)
class Asked:
    """One message of a customer: first shown to the product at `begun`, acknowledged by it at `known` (if ever)."""

    token: str
    phone: str
    id: str
    begun: float
    known: float | None


@dataclass(frozen=True, slots=True)
class End:
    """What the product says of a message that no accepted send answers: one of the words above, and why."""

    word: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a verdict rests on."""

    sent: Sequence[Sent]
    asked: Sequence[Asked]
    ends: Mapping[str, End] = field(default_factory=dict)
    """By token, for those never answered."""
    takeovers: Mapping[str, float] = field(default_factory=dict)
    """By phone: when a takeover of the conversation was committed."""
    degraded: Mapping[str, int] = field(default_factory=dict)
    """By phone: how many replies without a token the product owns up to (composed without a model)."""


@dataclass
class Verdict:
    """Counts, and for what must not be the particulars."""

    messages: int = 0
    answered: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    disordered: list[str] = field(default_factory=list)
    after_takeover: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.disordered or self.after_takeover)


def judge(evidence: Evidence) -> Verdict:
    """Count what became of every message."""
    echoed = Counter(token for sent in evidence.sent if sent.by_bot for token in sent.tokens)
    verdict = Verdict(messages=len(evidence.asked))
    for asked in evidence.asked:
        if echoed[asked.token]:
            verdict.answered += 1
            continue
        end = evidence.ends.get(asked.token, End(LOST, "never seen by the product"))
        if end.word in ENDS:
            verdict.ends[end.word] += 1
            verdict.reasons[f"{end.word}: {end.why}" if end.why else end.word] += 1
        else:
            verdict.lost.append(f"{asked.token} ({end.word}{f', {end.why}' if end.why else ''})")
    verdict.doubled = _doubled(evidence, echoed)
    verdict.disordered = _disordered(evidence)
    verdict.after_takeover = _after_takeover(evidence)
    return verdict


def unanswered(sent: Iterable[Sent], asked: Iterable[Asked]) -> list[Asked]:
    """The messages whose token no accepted send repeats."""
    echoed = {token for one in sent if one.by_bot for token in one.tokens}
    return [one for one in asked if one.token not in echoed]


def _doubled(evidence: Evidence, echoed: Mapping[str, int]) -> list[str]:
    """Tokens in more than one accepted send, and replies without any token beyond those that the product knows of."""
    found = [f"{token} in {count} sends" for token, count in echoed.items() if count > 1]
    bare = Counter(sent.phone for sent in evidence.sent if sent.by_bot and not sent.tokens)
    found += [
        f"{count - evidence.degraded.get(phone, 0)} replies without a token in a conversation"
        for phone, count in bare.items()
        if count > evidence.degraded.get(phone, 0)
    ]
    return found


def _disordered(evidence: Evidence) -> list[str]:
    """Pairs of sends of which the later one answers only what the product knew before it was shown what the earlier answers.

    The order of messages is that in which they reached the product: a gateway may deliver them out of order.
    """
    asked = {one.token: one for one in evidence.asked}
    conversations: defaultdict[str, list[Sent]] = defaultdict(list)
    for sent in sorted(evidence.sent, key=lambda one: one.number):
        if sent.by_bot and any(token in asked for token in sent.tokens):
            conversations[sent.phone].append(sent)
    found = []
    for sends in conversations.values():
        for place, earlier in enumerate(sends):
            newest = max(asked[token].begun for token in earlier.tokens if token in asked)
            for later in sends[place + 1 :]:
                known = [asked[token].known for token in later.tokens if token in asked]
                if all(at is not None and at < newest for at in known):
                    found.append(f"{later.text!r} after {earlier.text!r}")
    return found


def _after_takeover(evidence: Evidence) -> list[str]:
    return [
        f"send {sent.number} began {sent.begun - evidence.takeovers[sent.phone]:.2f} s after the takeover"
        for sent in evidence.sent
        if sent.by_bot and sent.phone in evidence.takeovers
        and sent.begun > evidence.takeovers[sent.phone] + TAKEOVER_MARGIN
    ]  # fmt: skip


# ── Showing that it can fail ─────────────────────────────────────────────────────────────────────────────────────────


#: Ways to tamper with a record, and the figure by which that must be found.
TAMPERS = {"doubled": "doubled", "lost": "lost", "order": "disordered", "takeover": "after_takeover"}


def tampered(evidence: Evidence, how: str) -> Evidence:
    """The same evidence with one thing wrong: `doubled`, `lost`, `order` or `takeover`. Raises ValueError."""
    sends = sorted((sent for sent in evidence.sent if sent.by_bot and sent.tokens), key=lambda one: one.number)
    if not sends:
        raise ValueError("nothing was answered: there is nothing to tamper with")
    last = sends[-1]
    match how:
        case "doubled":
            return replace(evidence, sent=[*evidence.sent, replace(last, number=last.number + 1_000_000)])
        case "lost":
            return replace(evidence, sent=[sent for sent in evidence.sent if sent != last])
        case "order":
            return replace(evidence, sent=_swapped(evidence))
        case "takeover":
            return replace(evidence, takeovers={**evidence.takeovers, last.phone: last.begun - 1.0})
    raise ValueError(f"no such way to tamper: {how}")


def _swapped(evidence: Evidence) -> list[Sent]:
    """Two replies of one conversation, the second of which answers what came after the first, change places."""
    asked = {one.token: one for one in evidence.asked}
    before: dict[str, Sent] = {}
    for sent in sorted(evidence.sent, key=lambda one: one.number):
        if not sent.by_bot or not all(token in asked for token in sent.tokens) or not sent.tokens:
            continue
        earlier = before.get(sent.phone)
        if earlier is not None:
            known = [asked[token].known for token in earlier.tokens]
            if all(at is not None and at < max(asked[token].begun for token in sent.tokens) for at in known):
                places = {earlier.number: sent.number, sent.number: earlier.number}
                return [replace(one, number=places.get(one.number, one.number)) for one in evidence.sent]
        before[sent.phone] = sent
    raise ValueError("no conversation had two replies one after the other")
