"""The message templates of a company's file, and what assistants send them for."""

from __future__ import annotations

from channels.message_templates import CONSTANT, places
from channels.models import Channel, MessageTemplate
from sales.models import Assistant, TouchTemplate

from .document import AssistantShape, TemplateShape
from .reading import ProvisionError
from .report import Report
from .rows import put, remove


def put_template(report: Report, shape: TemplateShape) -> None:
    """Bring one template in line. Its kind is settled with its row: approved where the file names the provider's template."""
    row = MessageTemplate.objects.filter(slug=shape.slug).first()
    if shape.state == "absent":
        remove(report, "template", row, shape.slug)
        return
    row = row or MessageTemplate(
        slug=shape.slug, name=shape.name or shape.slug,
        kind=MessageTemplate.Kind.APPROVED if shape.provider_name else MessageTemplate.Kind.OWN,
    )  # fmt: skip
    values = shape.given("name", "language", "category", "body", "provider_name", "enabled")
    if shape.channel:
        values["channel"] = Channel.objects.filter(slug=shape.channel).first()
        if values["channel"] is None:
            raise ProvisionError(f"template {shape.slug}: there is no channel “{shape.channel}”.")
    if "body" in values:
        values["body"] = values["body"].replace("\r\n", "\n").strip()
    if "variables" in shape.model_fields_set or "body" in values:
        values["variables"] = _variables(row, shape, values.get("body", row.body))
    put(report, "template", row, shape.slug, values)


def _variables(row: MessageTemplate, shape: TemplateShape, body: str) -> list[dict[str, str]]:
    """As the row keeps them, so that a file that is loaded again changes nothing."""
    known = {one["name"]: one for one in row.variables} if "variables" not in shape.model_fields_set else {}
    found = []
    for place in places(body):
        given, kept = shape.variables.get(place), known.get(place, {})
        source = (given.source if given else kept.get("source")) or (CONSTANT if place.isdecimal() else place)
        found.append({"name": place, "source": source, "default": given.default if given else kept.get("default", "")})
    return found


def put_purposes(report: Report, shape: AssistantShape) -> None:
    """What an assistant sends outside the reply window: the purposes that the file names are brought in line."""
    if shape.state == "absent":
        return
    assistant = Assistant.objects.get(slug=shape.slug)
    for purpose, slugs in shape.touch_templates.items():
        rows = TouchTemplate.objects.filter(assistant=assistant, purpose=purpose)
        present, wanted = set(rows.values_list("template__slug", flat=True)), set(slugs)
        for slug in sorted(present - wanted):
            rows.filter(template__slug=slug).delete()
            report.add("template of an assistant", f"{shape.slug} {purpose} {slug}", "deleted")
        for slug in sorted(wanted - present):
            template = MessageTemplate.objects.filter(slug=slug).first()
            if template is None or template.kind != MessageTemplate.Kind.APPROVED:
                raise ProvisionError(f"assistant {shape.slug}: there is no approved template “{slug}”.")
            TouchTemplate.objects.create(assistant=assistant, purpose=purpose, template=template)
            report.add("template of an assistant", f"{shape.slug} {purpose} {slug}", "created")
