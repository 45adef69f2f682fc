"""Phones as people write them."""

from __future__ import annotations

import pytest

from foundation.phones import canonical, masked, shown


@pytest.mark.parametrize(
    "written",
    ["+7 701 123-45-67", "8 701 123 45 67", "8(701)1234567", "77011234567", "7011234567", "+77011234567", " 7-701-123-4567 "],
)
def test_one_number_in_all_its_spellings(written: str) -> None:
    assert canonical(written) == "77011234567"


@pytest.mark.parametrize(("written", "digits"), [("+996 555 123456", "996555123456"), ("+49 30 901820", "4930901820")])
def test_foreign_numbers(written: str, digits: str) -> None:
    assert canonical(written) == digits


@pytest.mark.parametrize("written", ["", "12", "178412345678901@lid", "call me", "+7" * 20, "visitor-1"])
def test_what_is_no_number(written: str) -> None:
    assert canonical(written) is None


def test_for_eyes_and_for_logs() -> None:
    assert shown("77011234567") == "+7 701 123 4567"
    assert masked("77011234567") == "7701…67"
