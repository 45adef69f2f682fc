"""What a text states that can be checked against what is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["money", "percent", "date", "time", "link", "email", "phone", "gift"]


@dataclass(frozen=True, slots=True)
class Claim:
    """One checkable thing that a text states.

    `value` is the normalised form: `10000 KZT` (`10000` where no currency is named), `20`, `2026-11-25` or `--11-25`,
    `fri`, `14:00`, `example.kz/path`, `77011234567`, `free:delivery`. `text` is the passage as written.
    """

    kind: Kind
    value: str
    text: str
