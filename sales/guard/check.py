"""The truth guard: whether what a reply states stands in the facts it was given.

A language model may phrase, but not invent. Money amounts, percentages, dates, clock times, links, e-mails, phone
numbers and promises of discounts, gifts or free things are read out of the reply by code and looked up in the facts
(knowledge passages, the quote, free slots, working hours). Other spelling, and another language, are no difference;
another currency is. Counts, sizes, product codes and durations are not checked.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from functools import lru_cache
from itertools import chain

from . import contact_points, promises
from .amounts import Amount, amounts, plain
from .claim import Claim
from .clock_times import Clock, clocks
from .currencies import mentioned
from .named_days import Day, days
from .numerals import merged
from .promises import Promise
from .tokens import Token, clauses, clean, fold, lex

__all__ = ["Claim", "claims", "untraceable"]

#: What a price without a currency may be in, where no fact names one.
HOME_CURRENCIES = frozenset({"KZT", "RUB"})
#: Texts of facts whose reading is kept.
KEPT = 4096
#: Days named in a row that share a clock time.
LONGEST_GROUP = 8


@dataclass(frozen=True, slots=True)
class _Reading:
    """Everything checkable in one text, in reading order."""

    clean: str
    tokens: tuple[Token, ...]
    contacts: tuple[Claim, ...]
    amounts: tuple[Amount, ...]
    days: tuple[Day, ...]
    clocks: tuple[Clock, ...]
    days_of: tuple[tuple[Day, ...], ...]
    """For each clock time, the day or days it belongs to."""
    promises: tuple[Promise, ...]

    def text(self, first: int, last: int) -> str:
        return self.clean[self.tokens[first].start : self.tokens[last].end]


def claims(text: str, *, today: date) -> list[Claim]:
    """What `text` states that can be checked. `today` is the day in the company's time zone. Never raises."""
    return [claim for claim, _item, _days in _claims(_read(text, today, known=False))]


def untraceable(reply: str, facts: Sequence[str], *, today: date) -> list[Claim]:
    """The claims of `reply` that no text of `facts` contains; empty means that it may be sent.

    `today` is the day in the company's time zone, for `завтра` and for the weekdays of dates without a year.
    """
    found = _claims(_read(_own_words(reply, facts), today, known=False))
    if not found:
        return []
    known = _Known([_facts(text, today) for text in facts], today)
    return [claim for claim, item, own in found if not known.holds(claim, item, own)]


#: A sentence of fewer characters is no quotation: “Да, бесплатно.” answers another question in every fact.
_QUOTED = 20
_BORDERS = re.compile(r"((?<=[.!?…])\s+|\n+)")


def _own_words(reply: str, facts: Sequence[str]) -> str:
    """The reply without the sentences that stand in a fact word for word: a quotation claims nothing of its own."""
    known = [" ".join(fact.split()).casefold() for fact in facts]

    def quoted(sentence: str) -> bool:
        plain_one = " ".join(sentence.split()).casefold()
        return len(plain_one) >= _QUOTED and any(plain_one in fact for fact in known)

    return "".join("" if quoted(piece) else piece for piece in _BORDERS.split(reply))


def _days_of(tokens: list[Token], found: Sequence[Clock], named: Sequence[Day]) -> Iterator[tuple[Day, ...]]:
    """The days of each clock time: those named last before it in its sentence, else the first named after it."""
    sentences = clauses(tokens)
    starts = [sentence.start for sentence in sentences]
    firsts = [day.first for day in named]
    for clock in found:
        sentence = sentences[bisect_right(starts, clock.first) - 1]
        at = bisect_right(firsts, clock.first)
        group: list[Day] = []
        while at > 0 and named[at - 1].first >= sentence.start and len(group) < LONGEST_GROUP:
            day = named[at - 1]
            if group and group[0].first - day.last > 2:
                break
            group.insert(0, day)
            at -= 1
        if not group and at < len(named) and named[at].first < sentence.stop:
            group = [named[at]]
        yield tuple(day for day in group if day.day or day.weekdays)


_Item = Amount | Day | Clock | Promise | None
_Read = tuple[Claim, _Item, tuple[Day, ...]]


def _read(text: str, today: date, *, known: bool) -> _Reading:
    plain_text = clean(text)
    contacts, rest = contact_points.find(plain_text, fold(plain_text))
    tokens = merged(lex(rest, plain_text))
    used = [False] * len(tokens)
    found_days = days(tokens, used, today)
    found_amounts = amounts(tokens, used, known=known)
    found_clocks = clocks(tokens, used)
    return _Reading(
        clean=plain_text,
        tokens=tuple(tokens),
        contacts=tuple(contacts),
        amounts=tuple(found_amounts),
        days=tuple(found_days),
        clocks=tuple(found_clocks),
        days_of=tuple(_days_of(tokens, found_clocks, found_days)),
        promises=tuple(promises.promises(tokens)),
    )


def _claims(reading: _Reading) -> list[_Read]:
    """The claims of a reply with what they were read from, and the days of clock times."""
    found: list[_Read] = [(claim, None, ()) for claim in reading.contacts]
    for amount in reading.amounts:
        if amount.value or amount.unit in ("", "%"):
            found.append((_of_amount(reading, amount), amount, ()))
    for day in _stated(reading):
        found.append((Claim("date", day.value, reading.text(day.first, day.last)), day, ()))
    for clock, own in zip(reading.clocks, reading.days_of, strict=True):
        found.append((Claim("time", clock.value, reading.text(clock.first, clock.last)), clock, own))
    for made in reading.promises:
        found.append((Claim("gift", made.value, reading.text(made.first, made.last)), made, ()))
    return found


def _of_amount(reading: _Reading, amount: Amount) -> Claim:
    text = reading.text(amount.first, amount.last)
    if amount.unit == "%":
        return Claim("percent", plain(amount.value), text)
    return Claim("money", f"{plain(amount.value)} {amount.unit}".rstrip(), text)


# ── Days that are stated ─────────────────────────────────────────────────────────────────────────────────────────────

_SLOT_STARTS = (
    "слот", "окошк", "свободн", "записал", "запишу", "записываю", "заброниров", "назначил", "назначен", "ждем", "жду",
    "slot", "booked", "available", "scheduled", "жаздым", "жазып", "броньда", "күтем",
)  # fmt: skip


def _stated(reading: _Reading) -> list[Day]:
    """Calendar dates always are; `завтра` and weekdays only with a clock time or the promise of a slot."""
    timed = set(chain.from_iterable(reading.days_of))
    offered = _offering(reading.tokens)
    return [
        day
        for day in reading.days
        if day in timed
        or (not day.relative and not day.weekdays)
        or any(sentence.start <= day.first < sentence.stop for sentence in offered)
    ]


def _offering(tokens: Sequence[Token]) -> list[range]:
    """The sentences that promise a slot: `записал Вас на пятницу`."""
    offers = []
    for sentence in clauses(list(tokens)):
        said = [tokens[at].text for at in sentence]
        if any(word.startswith(_SLOT_STARTS) for word in said) and _NO_OFFER.isdisjoint(said):
            offers.append(sentence)
    return offers


_NO_OFFER = frozenset(("?", "не", "нет", "жоқ", "no", "not"))


# ── What the facts hold ──────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Facts:
    """What one text of facts contains, ready to be looked up."""

    money: frozenset[tuple[Decimal, str]]
    bare: frozenset[Decimal]
    prices: frozenset[Decimal]
    """All amounts, of whatever unit: what a number without one is compared with."""
    numbers: frozenset[Decimal]
    percents: frozenset[Decimal]
    shares: frozenset[Decimal]
    currencies: frozenset[str]
    contacts: frozenset[tuple[str, str]]
    days: tuple[Day, ...]
    times: tuple[tuple[frozenset[str], tuple[Day, ...]], ...]
    promises: tuple[Promise, ...]


_INTEREST_FREE = ("беспроцент", "переплат", "interest-free", "пайызсыз", "үстемесіз")


@lru_cache(maxsize=KEPT)
def _facts(text: str, today: date) -> _Facts:
    reading = _read(text, today, known=True)
    percents = {amount.value for amount in reading.amounts if amount.unit == "%"}
    shares = {amount.value for amount in reading.amounts if amount.unit == "%" and amount.about == "other"}
    if any(token.text.startswith(_INTEREST_FREE) for token in reading.tokens):
        percents.add(Decimal(0))
    return _Facts(
        money=frozenset((a.value, a.unit) for a in reading.amounts if a.unit not in ("", "%")),
        bare=frozenset(a.value for a in reading.amounts if not a.unit),
        prices=frozenset(a.value for a in reading.amounts),
        numbers=frozenset(token.value for token in reading.tokens if token.value is not None),
        percents=frozenset(percents),
        shares=frozenset(shares - {a.value for a in reading.amounts if a.unit == "%" and a.about != "other"}),
        currencies=mentioned(reading.tokens),
        contacts=frozenset((claim.kind, claim.value) for claim in reading.contacts),
        days=reading.days,
        times=tuple((clock.readings, held) for clock, held in zip(reading.clocks, reading.days_of, strict=True)),
        promises=reading.promises,
    )


class _Known:
    """All facts of a reply together."""

    def __init__(self, facts: Sequence[_Facts], today: date) -> None:
        self.facts = facts
        self.today = today
        self.currencies = frozenset().union(*(one.currencies for one in facts))
        self.days = list(dict.fromkeys(replace(day, first=0, last=0) for one in facts for day in one.days))
        self.weekdays = frozenset().union(*(day.weekday(today) for day in self.days))
        self.promises = list(dict.fromkeys(replace(made, first=0, last=0) for one in facts for made in one.promises))
        self.times: dict[str, list[tuple[Day, ...]]] = {}
        for one in facts:
            for readings, held in one.times:
                for reading in readings:
                    self.times.setdefault(reading, []).append(held)

    def holds(self, claim: Claim, item: _Item, own: tuple[Day, ...]) -> bool:
        """Whether the facts contain a claim of the reply, read from `item`; `own` are the days of a clock time."""
        match item:
            case Amount():
                return self._percent(item) if item.unit == "%" else self._money(item)
            case Day():
                return self._day(item)
            case Clock():
                return self._time(item, own)
            case Promise():
                return promises.backed(item, self.promises)
            case None:
                return self._contact(claim)

    def _percent(self, amount: Amount) -> bool:
        """A share of something else (a mixture, a prepayment) is no discount."""
        if amount.about == "discount":
            return any(amount.value in one.percents - one.shares for one in self.facts)
        return any(amount.value in one.percents for one in self.facts)

    def _money(self, amount: Amount) -> bool:
        for one in self.facts:
            if amount.unit:
                if (amount.value, amount.unit) in one.money:
                    return True
                if amount.value in one.bare and amount.unit in (one.currencies or self.currencies or HOME_CURRENCIES):
                    return True
            elif amount.value in one.prices or (amount.sure == "loose" and amount.value in one.numbers):
                return True
        return False

    def _day(self, day: Day) -> bool:
        if day.weekdays and not day.day:
            return day.weekdays <= self.weekdays
        return any(self._same_day(day, other) for other in self.days)

    def _same_day(self, day: Day, other: Day) -> bool:
        """Whether a day of the reply may be the day of a fact, as far as both are said."""
        if other.weekdays and not other.day:
            return bool((day.relative or day.weekdays) and day.weekday(self.today) & other.weekdays)
        if day.weekdays and not day.day:
            return bool(day.weekdays & other.weekday(self.today))
        if day.year and other.year and day.year != other.year:
            return False
        if day.month and other.month and day.month != other.month:
            return False
        return day.day == other.day or not day.day

    def _time(self, clock: Clock, own: Sequence[Day]) -> bool:
        """Whether a fact names the time, and not for other days only."""
        places = chain.from_iterable(self.times.get(reading, ()) for reading in clock.readings)
        return any(not held or not own or self._meet(own, held) for held in places)

    def _meet(self, own: Iterable[Day], held: Sequence[Day]) -> bool:
        """Dates are compared with dates where both sides have them, else weekdays."""
        dated = [day for day in own if day.day] or list(own)
        if any(day.day for day in dated):
            held = [day for day in held if day.day] or list(held)
        return any(self._same_day(day, other) or day.weekday(self.today) & other.weekdays for day in dated for other in held)

    def _contact(self, claim: Claim) -> bool:
        held = {value for one in self.facts for kind, value in one.contacts if kind == claim.kind}
        if claim.value in held:
            return True
        if claim.kind == "phone":
            return any(len(claim.value) >= 6 and value.endswith(claim.value) for value in held)
        if claim.kind == "link":
            return self._link(claim.value, held)
        return False

    def _link(self, value: str, held: set[str]) -> bool:
        """The bare host of a known link, a messenger link to a known phone, and an account named by its link are known."""
        if any(other.startswith((f"{value}/", f"{value}?")) for other in held):
            return True
        host, _slash, path = value.partition("/")
        phone = contact_points.number("".join(c for c in path.partition("?")[0] if c.isdigit()))
        if host in ("wa.me", "api.whatsapp.com") and len(phone) > 9:
            return any(("phone", phone) in one.contacts for one in self.facts)
        name = value.lstrip("@") if value.startswith("@") else path if host in ("t.me", "instagram.com") else ""
        return bool(name) and any(other == f"@{name}" or other.endswith(f"/{name}") for other in held)
