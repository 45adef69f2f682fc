"""Walking a funnel: from where a customer stands and what they tapped or typed to where they stand then.

Pure: it reads no row and writes none. Where nothing of a funnel was meant, the walk goes nowhere and a model answers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.utils import translation
from django.utils.translation import gettext as _

from channels.base import Choice
from conversations.drafts import Draft

from .chart import ACTION, DONE, MORE, Chart, ChoiceSpot, Spot
from .models import LANGUAGES, FunnelStep, in_language

Kind = FunnelStep.Kind

#: Steps that follow each other at once, without a word of the customer; more than these go in a circle.
LONGEST_CHAIN = 12
LONGEST_ANSWER = 1000
#: Characters of one answer in a prompt.
LONGEST_FACT = 200
#: Answers that a choice may give beside those of the company's own: in which language to go on.
LANGUAGE = "language"

_PLACEHOLDER = re.compile(r"(?P<before>,? ?)\{(?P<name>[a-z][a-z0-9_]*)\}")
_MARKS = re.compile(r"\*\*|[\[\]]")


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a conversation stands."""

    step: int | None = None
    answers: Mapping[str, Any] = field(default_factory=dict)
    segment: str = ""
    language: str = "ru"


@dataclass(frozen=True, slots=True)
class Reached:
    """A step that was reached, and by which choice."""

    step: int
    choice: int | None = None


@dataclass(frozen=True, slots=True)
class Walk:
    """Where a conversation stands after what the customer said, and what to say to that.

    Without a draft a model answers. `intent` is one of `Turn.Intent`, empty where the walk does not tell.
    """

    standing: Standing
    reached: tuple[Reached, ...] = ()
    draft: Draft | None = None
    handoff: bool = False
    intent: str = ""
    asks_price: bool = False
    moved: bool = False
    """Whether there is anything to keep."""


@dataclass(frozen=True, slots=True)
class World:
    """What a walk needs beside the steps: who talks (for `{name}`, `{company}`, `{assistant}`), and whether one can tap."""

    chart: Chart
    values: Mapping[str, str] = field(default_factory=dict)
    taps: bool = True


# ── What the customer does ───────────────────────────────────────────────────────────────────────────────────────────


def act(world: World, standing: Standing, action: str) -> Walk | None:
    """Follow what was tapped, whenever it was offered; None where no funnel here knows it.

    Besides our own ids a bare key of a step opens it, and so does `faq:back_…` the section `faq:cat_…`.
    """
    chart = world.chart
    if not action.startswith(ACTION):
        spot = chart.by_key(action, standing.step) or chart.by_key(action.replace(":back_", ":cat_", 1), standing.step)
        return enter(world, standing, spot) if spot is not None else None
    key, _colon, what = action.removeprefix(ACTION).rpartition(":")
    if what.isdecimal() and (found := chart.choice(int(what))) is not None:
        return take(world, standing, *found)
    spot = chart.by_key(key, standing.step)
    if spot is None:
        # The step is gone: the beginning is better than silence.
        home = chart.map_of(standing.step) if standing.step is not None else None
        start = chart.spot((home or chart.maps[0]).entry) if chart else None
        return enter(world, standing, start) if start is not None else None
    if what == DONE:
        return leave(world, standing, spot)
    if what == MORE:
        return Walk(replace(standing, step=spot.id), (), _offer(world, standing, spot, [_text(world, standing, spot)]))
    return enter(world, standing, spot)


def take(world: World, standing: Standing, spot: Spot, choice: ChoiceSpot) -> Walk:
    """Take a choice of a step: keep what it answers, and go where it leads."""
    if spot.multiple and choice.target is None:
        return _pick(world, standing, spot, choice)
    standing = _answered(standing, choice.sets)
    target = world.chart.spot(choice.target) or world.chart.spot(spot.next) or spot
    return enter(world, standing, target, choice.id)


def reply(world: World, standing: Standing, text: str) -> Walk | None:
    """Keep a free text as the answer to the question that waits for it; None where none waits."""
    spot = world.chart.spot(standing.step)
    if spot is None or spot.kind != Kind.QUESTION or not text.strip():
        return None
    answer = " ".join(text.split())[:LONGEST_ANSWER]
    return leave(world, _answered(standing, {spot.stores: answer}), spot)


def typed(world: World, standing: Standing, text: str) -> str:
    """The action of what stands at the current step, whose title was typed word for word; the empty word otherwise.

    So what is not on the last message any more, or cannot be numbered beside a free answer, may still be named.
    """
    spot = world.chart.spot(standing.step)
    said = " ".join(text.split()).strip(".!").casefold()
    if spot is None or not said:
        return ""
    offered = [*_choices(standing, spot, all_of_them=True), *_back(world, standing, spot)]
    return next((choice.id for choice in offered if choice.title.casefold() == said), "")


def leave(world: World, standing: Standing, spot: Spot) -> Walk:
    """Go on from a step that is done with."""
    following = world.chart.spot(spot.next)
    if following is None:
        text = in_words(standing.language, "thanks")
        return Walk(replace(standing, step=None), (), Draft(text, [*_back(world, standing, spot)]))
    return enter(world, standing, following)


# ── Where it leads ───────────────────────────────────────────────────────────────────────────────────────────────────


def enter(world: World, standing: Standing, spot: Spot, choice: int | None = None) -> Walk:
    """Come to a step, and through it where nothing is to be chosen or answered there."""
    texts: list[str] = []
    reached: list[Reached] = []
    seen: set[int] = set()
    while True:
        standing = replace(standing, step=spot.id)
        if spot.multiple:
            standing = replace(standing, answers={k: v for k, v in standing.answers.items() if k not in spot.collects})
        reached.append(Reached(spot.id, choice if not reached else None))
        seen.add(spot.id)
        following, standing = _following(world, standing, spot)
        texts.append(_text(world, standing, spot))
        if following is None or following.id in seen or len(seen) >= LONGEST_CHAIN:
            return _arrived(world, standing, spot, texts, tuple(reached))
        spot = following


def _following(world: World, standing: Standing, spot: Spot) -> tuple[Spot | None, Standing]:
    """The step that comes at once after this one, and the standing with the segment that sorting found."""
    if spot.kind == Kind.SEGMENT:
        for rule in spot.rules:
            if all(condition.holds(standing.answers) for condition in rule.conditions):
                return world.chart.spot(rule.target) or world.chart.spot(spot.next), replace(standing, segment=rule.segment)
        return world.chart.spot(spot.next), standing
    goes_on = spot.kind in (Kind.ANSWER, Kind.LINK) and not spot.choices
    return (world.chart.spot(spot.next) if goes_on else None), standing


def _arrived(world: World, standing: Standing, spot: Spot, texts: list[str], reached: tuple[Reached, ...]) -> Walk:
    asks_price = spot.kind == Kind.PRICE
    intent = "price" if asks_price else "handoff" if spot.kind == Kind.HANDOFF else ""
    intent = intent or ("question" if spot.key.startswith("faq:") else "")
    if spot.kind == Kind.HANDOFF and not texts[-1]:
        texts[-1] = in_words(standing.language, "handoff")
    if spot.kind in (Kind.MODEL, Kind.PRICE) and not any(texts):
        return Walk(standing, reached, None, intent=intent, asks_price=asks_price)
    draft = _offer(world, standing, spot, texts)
    return Walk(standing, reached, draft or None, spot.kind == Kind.HANDOFF, intent, asks_price)


def _offer(world: World, standing: Standing, spot: Spot, texts: Sequence[str]) -> Draft:
    choices = _choices(standing, spot)
    # Where choices are numbered, a number would not be the free answer that it is meant to be.
    numbered_question = spot.kind == Kind.QUESTION and not world.taps and not choices
    choices += [] if numbered_question else _back(world, standing, spot)
    text = "\n\n".join(filter(None, texts))
    if choices and not text:
        text = in_words(standing.language, "choose")
    return Draft(text, choices, in_words(standing.language, "menu") if choices else "")


def _pick(world: World, standing: Standing, spot: Spot, choice: ChoiceSpot) -> Walk:
    """One of several: kept beside the others, and asked whether there are more. The same again changes nothing."""
    answers = dict(standing.answers)
    for key, value in choice.sets.items():
        kept = answers.get(key)
        before = kept if isinstance(kept, list) else []
        answers[key] = before if value in before else [*before, value]
    standing = replace(standing, step=spot.id, answers=answers)
    named = ", ".join(in_language(one.titles, standing.language) for one in spot.choices if _is_picked(standing, one))
    left = [one for one in spot.choices if not _is_picked(standing, one)]
    more = [Choice(f"{ACTION}{spot.key}:{MORE}", in_words(standing.language, "more"))] if left else []
    done = Choice(f"{ACTION}{spot.key}:{DONE}", in_words(standing.language, "done"))
    with translation.override(standing.language):
        text = _("Chosen: %(titles)s") % {"titles": named}
    draft = Draft(text, [*more, done], in_words(standing.language, "menu"))
    return Walk(standing, (Reached(spot.id, choice.id),), draft)


def _is_picked(standing: Standing, choice: ChoiceSpot) -> bool:
    """Whether one of several choices has been taken."""
    kept = ((standing.answers.get(key), value) for key, value in choice.sets.items())
    return bool(choice.sets) and all(isinstance(values, list) and value in values for values, value in kept)


# ── What is shown ────────────────────────────────────────────────────────────────────────────────────────────────────


def _choices(standing: Standing, spot: Spot, *, all_of_them: bool = False) -> list[Choice]:
    """The choices of a step in the customer's language; of several only those that are left, and the way out."""
    language = standing.language
    shown = [one for one in spot.choices if all_of_them or not (spot.multiple and _is_picked(standing, one))]
    offered = [
        Choice(f"{ACTION}{spot.key}:{one.id}", in_language(one.titles, language), in_language(one.descriptions, language))
        for one in shown
    ]
    if spot.multiple and any(_is_picked(standing, one) for one in spot.choices):
        offered.append(Choice(f"{ACTION}{spot.key}:{DONE}", in_words(language, "done")))
    return offered


def _back(world: World, standing: Standing, spot: Spot) -> list[Choice]:
    back = world.chart.spot(spot.back)
    return [Choice(f"{ACTION}{back.key}:0", in_words(standing.language, "back"))] if back is not None else []


def _text(world: World, standing: Standing, spot: Spot) -> str:
    text = filled(in_language(spot.texts, standing.language), {**standing.answers, **world.values, "url": spot.url})
    return f"{text}\n{spot.url}".strip() if spot.url and spot.url not in text else text


def filled(text: str, values: Mapping[str, Any]) -> str:
    """A text with its placeholders replaced. One without a value goes, with the comma before it: “Hello, {name}!”."""

    def put(found: re.Match[str]) -> str:
        value = values.get(found["name"])
        shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value or "")
        # What a customer told must not become a link or bold print of ours; our own address is no such thing.
        shown = shown if found["name"] == "url" else _MARKS.sub("", shown)
        return f"{found['before']}{shown}" if shown.strip() else ""

    return _PLACEHOLDER.sub(put, text).strip()


def in_words(language: str, what: str) -> str:
    """Our own few words beside the company's."""
    with translation.override(language):
        return {
            "back": _("Back"), "choose": _("Please choose:"), "menu": _("Choose"), "more": _("Choose more"),
            "done": _("Done"), "thanks": _("Thank you! If there is anything else, just write."),
            "handoff": _("I am passing your message on to a manager, who will answer you here."),
        }[what]  # fmt: skip


def _answered(standing: Standing, given: Mapping[str, str]) -> Standing:
    language = given[LANGUAGE] if given.get(LANGUAGE) in LANGUAGES else standing.language
    return replace(standing, answers={**standing.answers, **given}, language=language)


# ── What the model is told ───────────────────────────────────────────────────────────────────────────────────────────


def in_facts(walk: Walk) -> list[str]:
    """How far the customer has come, as lines of the prompt's facts."""
    standing, lines = walk.standing, []
    if standing.segment:
        lines.append(f"Сегмент клиента по опросу: {standing.segment}")
    told = [f"{key} — {_short(value)}" for key, value in standing.answers.items() if key != LANGUAGE]
    if told:
        lines.append(f"Ответы клиента в опросе: {'; '.join(told)}")
    if walk.asks_price:
        lines.append("Клиент ждёт расчёта стоимости: назовите цены из базы знаний, а чего в ней нет, посчитает менеджер.")
    return lines


def _short(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= LONGEST_FACT else f"{text[: LONGEST_FACT - 1]}…"
