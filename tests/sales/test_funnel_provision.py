"""Funnels from a company's file: idempotent, with a difference, and without breaking the buttons of old messages."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import translation

from sales.funnels import checking
from sales.models import Funnel, FunnelChoice, FunnelEvent, FunnelStep, SegmentRule

pytestmark = pytest.mark.django_db

DEMO = Path(__file__).resolve().parents[2] / "demo" / "funnel.yaml"
SMALL = """
assistants: [{slug: aida, name: Aida}]
funnels:
  - slug: main
    assistant: aida
    name: Main
    enabled: true
    entry: nav:menu
    steps:
      - {key: "nav:menu", kind: menu, text: Меню, choices: [{title: Цены, to: "faq:price"}, {title: Опрос, to: "sales:sort"}]}
      - {key: "faq:price", text: {ru: Даром, en: Free}, back: "nav:menu"}
      - {key: "sales:sort", kind: segment, rules: [{if: [gpu = none], segment: diy, to: "faq:price"}], next: "nav:menu"}
"""


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    """The words for managers are read as they are written."""
    with translation.override("en"):
        yield


def provision(tmp_path: Path, text: str, **options: Any) -> str:
    file = tmp_path / "company.yaml"
    file.write_text(text, encoding="utf-8")
    out = StringIO()
    call_command("provision", str(file), stdout=out, **options)
    return out.getvalue()


def test_the_demo_is_whole_and_a_second_run_changes_nothing() -> None:
    out = StringIO()
    call_command("provision", str(DEMO), stdout=out)
    funnel = Funnel.objects.get()
    assert funnel.entry is not None and funnel.entry.key == "nav:menu"
    assert FunnelStep.objects.filter(key__startswith="faq:").exclude(key__startswith="faq:cat_").count() == 11
    assert [str(finding) for finding in checking.findings(funnel)] == []
    before = list(FunnelChoice.objects.order_by("pk").values_list("pk", flat=True))
    again = StringIO()
    call_command("provision", str(DEMO), stdout=again)
    assert "created" not in again.getvalue() and "changed\n" not in again.getvalue().replace("unchanged", "")
    assert list(FunnelChoice.objects.order_by("pk").values_list("pk", flat=True)) == before


def test_a_dry_run_says_the_same_and_writes_nothing(tmp_path: Path) -> None:
    dry = provision(tmp_path, SMALL, dry_run=True)
    assert not Funnel.objects.exists()
    assert provision(tmp_path, SMALL) == dry.replace("Dry run: nothing was written.\n", "")
    assert "step main nav:menu: created" in dry and "choices: Цены → faq:price, Опрос → sales:sort" in dry


def test_a_choice_keeps_its_id_when_its_title_or_place_changes(tmp_path: Path) -> None:
    provision(tmp_path, SMALL)
    ids = {str(choice): choice.pk for choice in FunnelChoice.objects.all()}
    swapped = SMALL.replace(
        '{title: Цены, to: "faq:price"}, {title: Опрос, to: "sales:sort"}',
        '{title: Новое}, {title: Опрос, to: "sales:sort"}, {title: Прайс, to: "faq:price"}',
    )
    out = provision(tmp_path, swapped)
    assert "choices: Цены → faq:price, Опрос → sales:sort → Новое, Опрос" in out
    now = {str(choice): choice.pk for choice in FunnelChoice.objects.all()}
    assert (now["Прайс"], now["Опрос"]) == (ids["Цены"], ids["Опрос"])
    assert [str(choice) for choice in FunnelStep.objects.get(key="nav:menu").choices.all()] == ["Новое", "Опрос", "Прайс"]


def test_only_what_is_said_is_changed_or_taken_away(tmp_path: Path) -> None:
    provision(tmp_path, SMALL)
    Funnel.objects.update(greetings=["Здорово"])
    short = "funnels: [{slug: main, assistant: aida, steps: [{key: 'faq:price', state: absent}]}]"
    assert "step main faq:price: deleted" in provision(tmp_path, short)
    assert Funnel.objects.get().greetings == ["Здорово"] and FunnelStep.objects.count() == 2
    assert SegmentRule.objects.get().target is None
    assert "funnel main: deleted" in provision(tmp_path, "funnels: [{slug: main, assistant: aida, state: absent}]")
    assert not FunnelStep.objects.exists() and not FunnelEvent.objects.exists()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('to: "faq:price"}, {title', 'to: "faq:prise"}, {title', "there is no step “faq:prise”"),
        ("assistant: aida\n", "assistant: nobody\n", "there is no assistant “nobody”"),
        ("gpu = none", "gpu of none", "is no condition"),
        ("kind: menu", "kind: menue", "must be one of"),
        ('key: "faq:price"', 'key: "Faq price"', "there is no step"),
        ("segment: diy", "segmnt: diy", "no such setting"),
    ],
)
def test_what_leads_nowhere_is_refused(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in SMALL
    with pytest.raises(CommandError, match=told):
        provision(tmp_path, SMALL.replace(old, new))
    assert not Funnel.objects.exists()
