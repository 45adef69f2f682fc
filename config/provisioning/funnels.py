"""Funnels from a company's file: steps by their keys, choices and rules as the file lists them.

A choice that leads where one led before, with the same answers, stays the same row: buttons in old messages keep working.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ValidationError

from sales.funnels.models import LANGUAGES, in_language
from sales.models import Assistant, Funnel, FunnelChoice, FunnelStep, SegmentRule

from .document import ChoiceShape, FunnelShape, RuleShape, StepShape
from .reading import ProvisionError
from .report import Change, Report, shown
from .rows import put, remove


def put_funnel(report: Report, shape: FunnelShape) -> None:
    """Bring a funnel with its steps in line with the file. Raises ProvisionError for names that lead nowhere."""
    assistant = Assistant.objects.filter(slug=shape.assistant).first()
    if assistant is None:
        raise ProvisionError(f"funnel {shape.slug}: there is no assistant “{shape.assistant}”.")
    row = Funnel.objects.filter(assistant=assistant, slug=shape.slug).first()
    if shape.state == "absent":
        remove(report, "funnel", row, shape.slug)
        return
    new = row is None
    # Its first step can be named only once there is one: what is new is made first, and told as one thing.
    row = row or Funnel.objects.create(assistant=assistant, slug=shape.slug, name=shape.name or shape.slug)
    fresh = _bare_steps(row, shape)
    steps = {step.key: step for step in row.steps.all()}
    values = shape.given("name", "enabled", "greetings")
    if shape.entry:
        values["entry"] = _step(steps, shape.entry, f"funnel {shape.slug}")
    _put(report, "funnel", row, shape.slug, values, new=new)
    for step in shape.steps:
        if step.state == "present":
            _put_step(report, shape.slug, steps, step, new=step.key in fresh)
    for step in shape.steps:
        if step.state == "absent":
            remove(report, "step", steps.get(step.key), f"{shape.slug} {step.key}")


def _bare_steps(funnel: Funnel, shape: FunnelShape) -> set[str]:
    """Make the steps that are not there yet, and return their keys."""
    present = set(funnel.steps.values_list("key", flat=True))
    fresh = [step for step in shape.steps if step.key not in present and step.state == "present"]
    if len({step.key for step in fresh}) != len(fresh):
        raise ProvisionError(f"funnel {shape.slug}: a step is given twice.")
    FunnelStep.objects.bulk_create(FunnelStep(funnel=funnel, key=step.key, kind=step.kind) for step in fresh)
    return {step.key for step in fresh}


def _step(steps: dict[str, FunnelStep], key: str, what: str) -> FunnelStep | None:
    if not key:
        return None
    if key not in steps:
        raise ProvisionError(f"{what}: there is no step “{key}”.")
    return steps[key]


def _put(
    report: Report, kind: str, row: Any, name: str, values: dict[str, Any], *, new: bool, extra: Sequence[Change] = ()
) -> None:
    """As `put`, for a row that may have been made a moment ago."""
    told = Report()
    put(told, kind, row, name, values, extra=list(extra))
    entry = told.entries[0]
    report.add(kind, name, "created" if new else entry.action, entry.changes, entry.remark)


def _put_step(report: Report, funnel: str, steps: dict[str, FunnelStep], shape: StepShape, *, new: bool) -> None:
    what = f"{funnel} {shape.key}"
    step = steps[shape.key]
    position = list(steps).index(shape.key)
    values = shape.given("kind", "url", "stores", "multiple") | ({"position": position} if new else {})
    if "text" in shape.model_fields_set:
        values["texts"] = dict(shape.text)
    for name in ("next", "back"):
        if name in shape.model_fields_set:
            values[name] = _step(steps, getattr(shape, name), f"step {what}")
    extra = []
    if "choices" in shape.model_fields_set:
        extra += _put_choices(step, [_choice(steps, one, what) for one in shape.choices])
    if "rules" in shape.model_fields_set:
        extra += _put_rules(step, [_rule(steps, one, what) for one in shape.rules])
    _put(report, "step", step, what, values, new=new, extra=extra)


# ── Choices ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _choice(steps: dict[str, FunnelStep], shape: ChoiceShape, what: str) -> dict[str, Any]:
    target = _step(steps, shape.to, f"step {what}")
    return {"titles": dict(shape.title), "descriptions": dict(shape.description), "target": target, "sets": dict(shape.sets)}


def _put_choices(step: FunnelStep, wanted: list[dict[str, Any]]) -> list[Change]:
    present = list(step.choices.select_related("target"))
    before = [_in_words(choice) for choice in present]
    left = list(present)
    kept: list[FunnelChoice] = []
    found = [_taken(left, [choice for choice in left if _leads_alike(choice, values)]) for values in wanted]
    for position, (choice, values) in enumerate(zip(found, wanted, strict=True)):
        title = in_language(values["titles"], LANGUAGES[0])
        choice = choice or _taken(left, [other for other in left if str(other) == title]) or FunnelChoice(step=step)
        for name, value in {**values, "position": position}.items():
            setattr(choice, name, value)
        _check(choice, f"choice “{title}” of {step.key}")
        kept.append(choice)
    after = [_in_words(choice) for choice in kept]
    if before == after:
        return []
    for choice in kept:
        choice.save()
    FunnelChoice.objects.filter(pk__in=[choice.pk for choice in left]).delete()
    return [Change("choices", shown(_titles(before)), shown(_titles(after)))]


def _taken(left: list[FunnelChoice], fitting: list[FunnelChoice]) -> FunnelChoice | None:
    """The first of the fitting choices, taken out of those that are left."""
    if fitting:
        left.remove(fitting[0])
    return fitting[0] if fitting else None


def _leads_alike(choice: FunnelChoice, values: dict[str, Any]) -> bool:
    return bool(choice.target == values["target"] and choice.sets == values["sets"])


def _in_words(choice: FunnelChoice) -> dict[str, Any]:
    return {
        "title": str(choice), "titles": choice.titles, "descriptions": choice.descriptions,
        "target": choice.target and choice.target.key, "sets": choice.sets,
    }  # fmt: skip


def _titles(choices: list[dict[str, Any]]) -> str:
    return ", ".join(f"{one['title']} → {one['target']}" if one["target"] else one["title"] for one in choices)


# ── Rules ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _rule(steps: dict[str, FunnelStep], shape: RuleShape, what: str) -> tuple[str, str, FunnelStep | None]:
    return shape.conditions, shape.segment, _step(steps, shape.to, f"step {what}")


def _put_rules(step: FunnelStep, wanted: list[tuple[str, str, FunnelStep | None]]) -> list[Change]:
    present = [(rule.conditions, rule.segment, rule.target) for rule in step.rules.select_related("target")]
    if present == wanted:
        return []
    rows = [
        SegmentRule(step=step, position=position, conditions=conditions, segment=segment, target=target)
        for position, (conditions, segment, target) in enumerate(wanted)
    ]
    for row in rows:
        _check(row, f"rule {row.segment} of {step.key}")
    step.rules.all().delete()
    SegmentRule.objects.bulk_create(rows)
    return [Change("rules", *(shown(", ".join(segment for _if, segment, _to in rules)) for rules in (present, wanted)))]


def _check(row: Any, what: str) -> None:
    """As the admin checks it."""
    try:
        row.clean_fields()
        row.clean()
    except ValidationError as error:
        told = "; ".join(f"{field}: {' '.join(texts)}" for field, texts in error.message_dict.items())
        raise ProvisionError(f"{what}: {told}") from None
