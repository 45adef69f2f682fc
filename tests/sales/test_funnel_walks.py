"""Any funnel within limits: taps on a tapping channel and numbers typed on a plain one go the same way, and every walk ends."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from channels.base import Capabilities, Choice
from conversations import drafts
from conversations.drafts import Draft
from sales.funnels import conditions, walking
from sales.funnels.chart import Chart, ChoiceSpot, Map, Rule, Spot
from sales.funnels.walking import Standing, Walk, World

TAPS = Capabilities(max_length=4000, choices=4)
PLAIN = Capabilities(max_length=4000)
KINDS = ["menu", "answer", "question", "segment", "handoff", "model", "price", "link"]


@st.composite
def funnels(draw: st.DrawFn) -> Chart:
    """Up to ten steps of any kind that lead anywhere, also in circles and nowhere."""
    size = draw(st.integers(1, 10))
    somewhere = st.one_of(st.none(), st.integers(1, size))
    spots = {}
    for number in range(1, size + 1):
        choices = tuple(
            ChoiceSpot(
                number * 100 + n, {"ru": f"Выбор {number} {n}"}, {}, draw(somewhere),
                draw(st.dictionaries(st.sampled_from(["gpu", "who"]), st.sampled_from(["one", "two"]), max_size=1)),
            )
            for n in range(draw(st.integers(0, 12)))
        )  # fmt: skip
        rules = tuple(
            Rule(conditions.parse(draw(st.sampled_from(["", "gpu = one", "who missing", "size >= 3"]))), "basic", draw(somewhere))
            for _ in range(draw(st.integers(0, 3)))
        )
        spots[number] = Spot(
            number, f"sales:s{number}", draw(st.sampled_from(KINDS)), draw(st.sampled_from([{}, {"ru": f"Шаг {number}"}])),
            "", "size", draw(st.booleans()), draw(somewhere), draw(somewhere), choices, rules,
        )  # fmt: skip
    return Chart((Map(1, "Any", frozenset({("привет",)}), 1, spots),))


def offered(draft: Draft | None, capabilities: Capabilities) -> list[Choice]:
    parts = drafts.parts(draft, capabilities) if draft else []
    return drafts.choices_of(parts[-1].details) if parts else []


def go(world: World, walk: Walk, move: int, *, typing: bool) -> Walk | None:
    """Take the choice number `move` of what was offered, or answer the question, as this channel does it."""
    capabilities = PLAIN if typing else TAPS
    choices = offered(walk.draft, capabilities)
    if choices:
        choice = choices[move % len(choices)]
        details = drafts.parts(walk.draft, capabilities)[-1].details if walk.draft else None
        said = str(choices.index(choice) + 1) if typing else choice.title
        action = drafts.answered(said, "" if typing else choice.id, details)
        assert action == choice.id
        return walking.act(world, walk.standing, action)
    return walking.reply(world, walk.standing, f"{move} штук")


@given(chart=funnels(), moves=st.lists(st.integers(0, 11), max_size=12))
def test_taps_and_typed_numbers_go_the_same_way(chart: Chart, moves: list[int]) -> None:
    tapping, plain = World(chart), World(chart, taps=False)
    start = chart.spot(1)
    assert start is not None
    one = walking.enter(tapping, Standing(), start)
    other = walking.enter(plain, Standing(), start)
    for move in moves:
        # Beside a free answer nothing is numbered on a plain channel: there the way back is typed in words.
        waits = [c.title for c in offered(one.draft, TAPS)] != [c.title for c in offered(other.draft, PLAIN)]
        if waits:
            one = replace(one, draft=replace(one.draft, choices=()) if one.draft else None)
        following = go(tapping, one, move, typing=False), go(plain, other, move, typing=True)
        assert (following[0] is None) == (following[1] is None)
        if following[0] is None or following[1] is None:
            return
        one, other = following
        assert (one.standing, one.reached, one.handoff) == (other.standing, other.reached, other.handoff)
        assert len(one.reached) <= walking.LONGEST_CHAIN
        assert one.draft is None or one.draft, "what is said is never empty"


@given(chart=funnels(), what=st.sampled_from(["0", "more", "done", "999999", "100", "x", ""]), step=st.integers(1, 11))
def test_whatever_is_tapped_whenever_leads_somewhere(chart: Chart, what: str, step: int) -> None:
    walk = walking.act(World(chart), Standing(step=1), f"f:sales:s{step}:{what}")
    assert walk is not None and (walk.standing.step is None or chart.spot(walk.standing.step) is not None)


@given(chart=funnels())
def test_ids_fit_every_provider(chart: Chart) -> None:
    for spot in chart.maps[0].spots.values():
        long = replace(spot, key=f"sales:{'x' * 30}")
        walk = walking.enter(World(Chart((Map(1, "", frozenset(), 1, {spot.id: long}),))), Standing(), long)
        assert all(len(choice.id.encode()) <= 64 for choice in offered(walk.draft, TAPS))


@pytest.mark.parametrize(
    ("text", "values", "shown"),
    [
        ("Здравствуйте, {name}!", {}, "Здравствуйте!"),
        ("Здравствуйте, {name}!", {"name": "Айгуль"}, "Здравствуйте, Айгуль!"),
        ("Выбрано: {channels}.", {"channels": ["a", "b"]}, "Выбрано: a, b."),
        ("{name}", {"name": "[тут](https://evil.example) **я**"}, "тут(https://evil.example) я"),
        ("{name} {Имя} {}", {"name": "{company}", "company": "X"}, "{company} {Имя} {}"),
    ],
)
def test_placeholders(text: str, values: dict[str, object], shown: str) -> None:
    assert walking.filled(text, values) == shown


@pytest.mark.parametrize(
    ("text", "answers", "holds"),
    [
        ("", {}, True),
        ("gpu = none", {"gpu": "None"}, True),
        ("gpu = none", {}, False),
        ("gpu != none", {}, True),
        ("gpu in weak, strong", {"gpu": "strong"}, True),
        ("gpu not in weak, strong", {"gpu": "strong"}, False),
        ("channels = avito", {"channels": ["whatsapp", "avito"]}, True),
        ("users >= 10", {"users": "нас около 12 человек"}, True),
        ("users >= 1000", {"users": "1 200"}, True),
        ("users < 10", {"users": "много"}, False),
        ("users < 10", {}, False),
        ("budget given\nusers missing", {"budget": "100"}, True),
        ("budget given", {"budget": "  "}, False),
    ],
)
def test_conditions(text: str, answers: dict[str, object], holds: bool) -> None:
    assert all(condition.holds(answers) for condition in conditions.parse(text)) is holds


@pytest.mark.parametrize("text", ["gpu", "gpu of none", "= none", "users >= many", "gpu in", "1gpu = x"])
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        conditions.parse(text)
