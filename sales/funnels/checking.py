"""What is wrong with a funnel, or may be: said when it is saved, so that no customer finds it first."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.urls import reverse
from django.utils.translation import gettext as _

from channels import rich

from .chart import Map, Spot, as_map
from .models import ANSWER_KEY, Funnel, FunnelStep
from .walking import LANGUAGE

Kind = FunnelStep.Kind

#: The strictest provider: WhatsApp's buttons and rows. Longer titles are shortened there.
TITLE, BUTTON, DESCRIPTION = 24, 20, 72
#: As many choices are buttons where a provider has them; more become a list.
BUTTONS = 3
#: Placeholders beside the answers.
KNOWN = frozenset({"name", "company", "assistant", "url"})

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to look at. `step` is empty where it is about the whole funnel; an error breaks the way, others do not."""

    text: str
    step: int | None = None
    key: str = ""
    is_error: bool = False

    def __str__(self) -> str:
        return f"{self.key}: {self.text}" if self.key else self.text

    @property
    def address(self) -> str:
        """The page where it is put right."""
        return reverse("admin:sales_funnelstep_change", args=(self.step,)) if self.step else ""


def findings(funnel: Funnel) -> list[Finding]:
    """Everything to be said of a funnel, what breaks it first. Circles are fine: people go round in menus."""
    found = [*_of_the_whole(funnel, chart := as_map(funnel))]
    languages = [name for name in funnel.assistant.languages if name in ("ru", "kk", "en")]
    answers = {spot.stores for spot in chart.spots.values()} | {key for spot in chart.spots.values() for key in spot.collects}
    for spot in chart.spots.values():
        for is_error, text in _of_a_step(spot, chart, languages, answers):
            found.append(Finding(text, spot.id, spot.key, is_error))
    return sorted(found, key=lambda finding: not finding.is_error)


def _of_the_whole(funnel: Funnel, chart: Map) -> Iterator[Finding]:
    if funnel.entry_id is None:
        yield Finding(_("The first step is missing: greetings open nothing."), is_error=True)
    if not funnel.greetings:
        yield Finding(_("No words open it: only taps and links lead into it."))
    for spot in chart.spots.values():
        if spot.id not in reachable(chart):
            yield Finding(_("No way leads here."), spot.id, spot.key)


def leads_to(spot: Spot) -> list[int]:
    """The steps that come after a step, the way back left out."""
    targets = [choice.target for choice in spot.choices] + [rule.target for rule in spot.rules] + [spot.next]
    return list(dict.fromkeys(target for target in targets if target is not None))


def reachable(chart: Map) -> set[int]:
    """The steps that a customer can come to from the first one."""
    seen: set[int] = set()
    waiting = [chart.entry] if chart.entry in chart.spots else []
    while waiting:
        step = waiting.pop()
        if step is not None and step in chart.spots and step not in seen:
            seen.add(step)
            waiting += leads_to(chart.spots[step])
    return seen


def _of_a_step(spot: Spot, chart: Map, languages: Sequence[str], answers: set[str]) -> Iterator[tuple[bool, str]]:
    if spot.kind == Kind.MENU and not spot.choices and spot.back is None:
        yield True, _("A menu without choices.")
    if spot.kind == Kind.QUESTION and spot.next is None:
        yield True, _("Nothing comes after the answer: choose the next step.")
    if spot.kind == Kind.SEGMENT and not spot.rules and spot.next is None:
        yield True, _("It has neither rules nor a next step.")
    if spot.kind == Kind.SEGMENT and spot.next is None and spot.rules and all(rule.conditions for rule in spot.rules):
        yield False, _("Where no rule holds, nothing follows: choose the next step, or add a rule without conditions.")
    if spot.kind == Kind.SEGMENT and any(rule.target is None for rule in spot.rules) and spot.next is None:
        yield True, _("A rule leads nowhere.")
    for choice in spot.choices:
        if choice.target is None and not choice.sets and spot.next is None:
            title = next(iter(choice.titles.values()), "")
            yield True, _("The choice “%(title)s” leads nowhere.") % {"title": title}
    if spot.multiple and spot.next is None:
        yield True, _("Nothing comes after several choices: choose the next step.")
    yield from ((False, text) for text in _of_the_words(spot, languages, answers))


def _of_the_words(spot: Spot, languages: Sequence[str], answers: set[str]) -> Iterator[str]:
    needed = spot.kind in FunnelStep.SPEAKING or any(text.strip() for text in spot.texts.values())
    missing = [name for name in languages if needed and not spot.texts.get(name, "").strip()]
    chooses_language = bool(spot.choices) and all(LANGUAGE in choice.sets for choice in spot.choices)
    if missing and not chooses_language:
        yield _("The text is missing in: %(languages)s.") % {"languages": ", ".join(missing)}
    for name in sorted({name for text in spot.texts.values() for name in _PLACEHOLDER.findall(text)}):
        if not re.fullmatch(ANSWER_KEY, name) or name not in answers | KNOWN:
            yield _("Nobody answers {%(name)s}: nothing is shown there.") % {"name": name}
    shown = len(spot.choices) + (spot.back is not None)
    limit = BUTTON if shown <= BUTTONS else TITLE
    for choice in spot.choices:
        title = next(iter(choice.titles.values()), "")
        gone = [name for name in languages if not choice.titles.get(name, "").strip()]
        # A name such as “WhatsApp” is the same everywhere and is written once.
        is_name = len(choice.titles) == 1 and title.isascii()
        if gone and not is_name and not chooses_language:
            told = {"title": title, "languages": ", ".join(gone)}
            yield _("The choice “%(title)s” is missing in: %(languages)s.") % told
        for texts, most in ((choice.titles, limit), (choice.descriptions, DESCRIPTION)):
            for one in texts.values():
                if rich.units(one) > most:
                    told = {"title": one, "limit": str(most)}
                    yield _("“%(title)s” is longer than %(limit)s signs: WhatsApp shows its beginning.") % told
    for language in languages:
        titles = [choice.titles.get(language, "").casefold() for choice in spot.choices if choice.titles.get(language)]
        if len(set(titles)) < len(titles):
            yield _("Two choices have the same title.")
            return
