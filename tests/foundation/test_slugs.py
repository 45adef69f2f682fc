"""Identifiers made of names."""

from __future__ import annotations

import pytest

from foundation.slugs import free_slug, slug_of


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Support Bot", "support-bot"), ("Кофе на Абая", "kofe-na-abaya"), ("Щука & Ёж", "shchuka-ezh"), ("☕☕", "bot"),
        ("Қызмет көрсету", "qyzmet-korsetu"), ("  --  ", "bot"), ("a" * 80, "a" * 60), ("Bot №1", "bot-no1"),
    ],
)  # fmt: skip
def test_names_become_slugs(name: str, slug: str) -> None:
    assert slug_of(name) == slug


def test_a_taken_slug_gets_a_number_within_the_length() -> None:
    taken = {"a" * 60, f"{'a' * 58}-2", "shop"}
    assert free_slug("A" * 70, taken.__contains__) == f"{'a' * 58}-3"
    assert free_slug("Shop", taken.__contains__) == "shop-2"
    assert free_slug("Other", taken.__contains__) == "other"
