"""How many conversations came to each step, and how many of them went on from there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from foundation.db import rows

DAYS = 30


@dataclass(frozen=True, slots=True)
class Count:
    """Conversations that reached a step within the period, and those of them that reached another one after it."""

    reached: int = 0
    went_on: int = 0

    @property
    def percent(self) -> int:
        return round(100 * self.went_on / self.reached) if self.reached else 0


_STEPS = """
SELECT e.step_id, count(DISTINCT e.conversation_id) AS reached,
    count(DISTINCT e.conversation_id) FILTER (WHERE e.went_on) AS went_on
FROM (
    SELECT v.step_id, v.conversation_id,
        coalesce(lead(v.step_id) OVER (PARTITION BY v.conversation_id ORDER BY v.id) <> v.step_id, false) AS went_on
    FROM sales_funnelevent v JOIN sales_funnelstep s ON s.id = v.step_id
    WHERE s.funnel_id = %(funnel)s AND v.at > now() - make_interval(days => %(days)s)) e
GROUP BY e.step_id
"""
_CHOICES = """
SELECT v.choice_id, count(DISTINCT v.conversation_id) AS taken
FROM sales_funnelevent v JOIN sales_funnelstep s ON s.id = v.step_id
WHERE s.funnel_id = %(funnel)s AND v.choice_id IS NOT NULL AND v.at > now() - make_interval(days => %(days)s)
GROUP BY v.choice_id
"""


def of_steps(funnel_id: int, days: int = DAYS) -> Mapping[int, Count]:
    """The counts of a funnel's steps by their ids; a step that nobody reached is not there."""
    return {row.step_id: Count(row.reached, row.went_on) for row in rows(_STEPS, {"funnel": funnel_id, "days": days})}


def of_choices(funnel_id: int, days: int = DAYS) -> Mapping[int, int]:
    """How many conversations took each choice, by its id."""
    return {row.choice_id: row.taken for row in rows(_CHOICES, {"funnel": funnel_id, "days": days})}
