"""The enabled funnels of an assistant as plain values, remembered for seconds: what `walking` walks on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from django.db.models.signals import post_delete, post_save

from channels import directory
from foundation.cache import Remembered
from foundation.words import fold, read, transliterated

from . import conditions
from .conditions import Condition
from .models import Funnel, FunnelChoice, FunnelStep, SegmentRule, in_language

#: Before the id of what is tapped; `f:faq:price:12` is choice 12, met at faq:price, and `f:faq:price:0` the step itself.
ACTION = "f:"
#: Instead of the id of a choice: choose one more, and done with choosing.
MORE, DONE = "more", "done"


@dataclass(frozen=True, slots=True)
class ChoiceSpot:
    id: int
    titles: Mapping[str, str]
    descriptions: Mapping[str, str]
    target: int | None
    sets: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Rule:
    conditions: Sequence[Condition]
    segment: str
    target: int | None


@dataclass(frozen=True, slots=True)
class Spot:
    """A step with what is offered at it."""

    id: int
    key: str
    kind: str
    texts: Mapping[str, str]
    url: str = ""
    stores: str = ""
    multiple: bool = False
    next: int | None = None
    back: int | None = None
    choices: Sequence[ChoiceSpot] = ()
    rules: Sequence[Rule] = ()

    @property
    def collects(self) -> frozenset[str]:
        """The answers that its choices give."""
        return frozenset(key for choice in self.choices for key in choice.sets)


@dataclass(frozen=True, slots=True)
class Map:
    """One funnel."""

    id: int
    name: str
    greetings: frozenset[tuple[str, ...]]
    entry: int | None
    spots: Mapping[int, Spot]

    def by_key(self, key: str) -> Spot | None:
        return next((spot for spot in self.spots.values() if spot.key == key), None)


@dataclass(frozen=True)
class Chart:
    """All enabled funnels of an assistant, the oldest first."""

    maps: Sequence[Map] = ()

    def __bool__(self) -> bool:
        return bool(self.maps)

    def spot(self, step_id: int | None) -> Spot | None:
        return next((m.spots[step_id] for m in self.maps if step_id in m.spots), None) if step_id is not None else None

    def map_of(self, step_id: int) -> Map | None:
        return next((m for m in self.maps if step_id in m.spots), None)

    def choice(self, choice_id: int) -> tuple[Spot, ChoiceSpot] | None:
        """The choice with the step at which it stands."""
        for one in self.maps:
            for spot in one.spots.values():
                for choice in spot.choices:
                    if choice.id == choice_id:
                        return spot, choice
        return None

    def by_key(self, key: str, near: int | None = None) -> Spot | None:
        """The step of this key, in the funnel of the step `near` before all others."""
        home = self.map_of(near) if near is not None else None
        maps = [home, *self.maps] if home is not None else self.maps
        return next((spot for one in maps if (spot := one.by_key(key)) is not None), None)

    def greeted(self, text: str, name: str = "") -> Map | None:
        """The funnel that a text opens, which says nothing but its greetings (and the assistant's name)."""
        said = words(text)
        if not said or len(said) > 8:
            return None
        return next((one for one in self.maps if one.entry is not None and _only(said, one.greetings, words(name))), None)

    def texts(self) -> Iterator[str]:
        """Everything that the funnels say: the company's own words."""
        for one in self.maps:
            for spot in one.spots.values():
                yield from (*spot.texts.values(), spot.url)
                for choice in spot.choices:
                    yield from (*choice.titles.values(), *choice.descriptions.values())


def words(text: str) -> tuple[str, ...]:
    """The folded words of a text, without signs."""
    return tuple(word for word in read(text).words if word[0].isalnum())


def _only(said: tuple[str, ...], greetings: frozenset[tuple[str, ...]], name: tuple[str, ...]) -> bool:
    """Whether the words are greetings throughout, one at least; the name may stand among them."""
    place, greeted = 0, False
    while place < len(said):
        found = next((g for g in greetings if _same(said[place : place + len(g)], g)), None)
        if found is None and name and said[place : place + len(name)] == name:
            place += len(name)
            continue
        if found is None:
            return False
        greeted, place = True, place + len(found)
    return greeted


def _same(said: tuple[str, ...], greeting: tuple[str, ...]) -> bool:
    return said == greeting or tuple(transliterated(word) for word in said) == greeting


# ── From the rows ────────────────────────────────────────────────────────────────────────────────────────────────────


def read_funnels(assistant_id: int) -> Chart:
    """The chart of an assistant's enabled funnels, as the rows have it now."""
    funnels = Funnel.objects.filter(assistant_id=assistant_id, enabled=True).order_by("id")
    return Chart(tuple(as_map(funnel) for funnel in funnels))


def as_map(funnel: Funnel) -> Map:
    """One funnel with its steps in their order, enabled or not."""
    choices: dict[int, list[ChoiceSpot]] = {}
    for row in FunnelChoice.objects.filter(step__funnel=funnel).order_by("position", "id"):
        spot = ChoiceSpot(row.pk, row.titles, row.descriptions, row.target_id, row.sets)
        choices.setdefault(row.step_id, []).append(spot)
    rules: dict[int, list[Rule]] = {}
    for rule in SegmentRule.objects.filter(step__funnel=funnel).order_by("position", "id"):
        rules.setdefault(rule.step_id, []).append(Rule(conditions.parse(rule.conditions), rule.segment, rule.target_id))
    spots = {
        step.pk: Spot(
            step.pk, step.key, step.kind, step.texts, step.url, step.stores, step.multiple, step.next_id, step.back_id,
            tuple(choices.get(step.pk, ())), tuple(rules.get(step.pk, ())),
        )
        for step in FunnelStep.objects.filter(funnel=funnel).order_by("position", "id")
    }  # fmt: skip
    greetings = frozenset(found for text in funnel.greetings if (found := tuple(fold(w) for w in words(text))))
    return Map(funnel.pk, funnel.name, greetings, funnel.entry_id, spots)


#: The funnels of an assistant, looked up again after two seconds.
chart_of = Remembered(directory.SECONDS, read_funnels)


def _forget(**_signal: object) -> None:
    chart_of.forget()


for _model in (Funnel, FunnelStep, FunnelChoice, SegmentRule):
    for _signal in (post_save, post_delete):
        _signal.connect(_forget, sender=_model)

__all__ = ["ACTION", "DONE", "MORE", "Chart", "ChoiceSpot", "Map", "Rule", "Spot", "as_map", "chart_of", "in_language"]
