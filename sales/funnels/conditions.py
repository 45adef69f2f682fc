"""Conditions on answers, one a line, as people write them: `gpu = none`, `users >= 10`, `channels in telegram, whatsapp`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

_LINE = re.compile(
    r"(?P<answer>[a-z][a-z0-9_]*)\s*"
    r"(?:(?P<sign>!=|>=|<=|=|>|<|\bin\b|\bnot in\b)\s*(?P<value>\S.*)|(?P<state>\bgiven|\bmissing))",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"-?\d+(?:[   ]\d{3})*(?:[.,]\d+)?")
_COMPARED: dict[str, Callable[[float, float], bool]] = {
    ">": lambda one, other: one > other, "<": lambda one, other: one < other,
    ">=": lambda one, other: one >= other, "<=": lambda one, other: one <= other,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Condition:
    """What one answer must be. `values` are folded texts; of several that were chosen one is enough."""

    answer: str
    sign: str
    values: tuple[str, ...] = ()

    def holds(self, answers: Mapping[str, Any]) -> bool:
        """Whether the answers fulfil it. An answer that was not given fulfils only `missing`, `!=` and `not in`."""
        given = _given(answers.get(self.answer))
        if self.sign == "given":
            return bool(given)
        if self.sign == "missing":
            return not given
        if self.sign in _COMPARED:
            compared, wanted = _COMPARED[self.sign], number(self.values[0])
            numbers = [found for text in given if (found := number(text)) is not None]
            return wanted is not None and any(compared(found, wanted) for found in numbers)
        among = any(text.casefold() in self.values for text in given)
        return among if self.sign in ("=", "in") else not among


def _given(value: Any) -> Sequence[str]:
    found = value if isinstance(value, list) else [value]
    return [str(one).strip() for one in found if one is not None and str(one).strip()]


def number(text: str) -> float | None:
    """The first number of a text, so that "about 30 people" is 30; None where there is none."""
    found = _NUMBER.search(text)
    return float(re.sub(r"\s", "", found[0]).replace(",", ".")) if found else None


def parse(text: str) -> tuple[Condition, ...]:
    """The conditions of a text, one a line; an empty text has none and always holds. Raises ValidationError."""
    return tuple(_parsed(line.strip()) for line in text.splitlines() if line.strip())


def _parsed(line: str) -> Condition:
    found = _LINE.fullmatch(line)
    if found is None:
        raise ValidationError(
            _("“%(line)s” is no condition. Examples: gpu = none; users >= 10; channels in telegram, avito; budget given."),
            params={"line": line[:80]},
        )
    if found["state"]:
        return Condition(found["answer"].lower(), found["state"].lower())
    sign = " ".join(found["sign"].lower().split())
    values = found["value"].split(",") if sign.endswith("in") else [found["value"]]
    if sign in _COMPARED and number(values[0]) is None:
        raise ValidationError(_("“%(line)s” compares with no number."), params={"line": line[:80]})
    return Condition(found["answer"].lower(), sign, tuple(value.strip().casefold() for value in values if value.strip()))
