"""A whole funnel as the lines of a tree, for whoever edits it."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.utils.translation import gettext as _

from .chart import Spot, as_map, in_language
from .checking import Finding, findings
from .models import Funnel, FunnelStep
from .numbers import Count, of_choices, of_steps


@dataclass(slots=True)
class Line:
    """One step under the choice or rule that leads to it; `again`: it is shown in full elsewhere."""

    depth: int
    by: str
    spot: Spot
    text: str
    again: bool = False
    taken: int | None = None
    count: Count = field(default_factory=Count)
    findings: list[Finding] = field(default_factory=list)

    @property
    def kind(self) -> str:
        return str(FunnelStep.Kind(self.spot.kind).label)


def lines(funnel: Funnel, language: str) -> list[Line]:
    """The tree from the first step, each step once in full, then those to which no way leads."""
    chart, found = as_map(funnel), findings(funnel)
    counts, taken = of_steps(funnel.pk), of_choices(funnel.pk)
    told: list[Line] = []
    seen: set[int] = set()

    def add(step: int | None, by: str, depth: int, choice: int | None = None) -> None:
        spot = chart.spots.get(step) if step is not None else None
        if spot is None:
            return
        again = spot.id in seen
        line = Line(depth, by, spot, in_language(spot.texts, language), again, taken.get(choice, 0) if choice else None)
        told.append(line)
        if again:
            return
        seen.add(spot.id)
        line.count = counts.get(spot.id, Count())
        line.findings = [finding for finding in found if finding.step == spot.id]
        for by, target, way in _ways(spot, language):
            add(target, by, depth + 1, way)

    add(chart.entry, _("greeting"), 0)
    for spot in chart.spots.values():
        if spot.id not in seen:
            add(spot.id, _("no way leads here"), 0)
    return told


def _ways(spot: Spot, language: str) -> list[tuple[str, int | None, int | None]]:
    """What leads on from a step: in which words, where to, and by which choice."""
    ways: list[tuple[str, int | None, int | None]] = [
        (in_language(choice.titles, language), choice.target, choice.id) for choice in spot.choices
    ]
    ways += [(rule.segment, rule.target, None) for rule in spot.rules]
    return [*ways, ("→", spot.next, None)]

