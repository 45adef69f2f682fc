"""`templates:` and an assistant's `touch_templates:` in a company's file."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from channels.models import MessageTemplate
from sales.models import TouchTemplate

pytestmark = pytest.mark.django_db
FILE = """
assistants:
  - {slug: aida, name: Aida, touch_templates: {touch_1: remind, call_reminder: [remind]}}
channels:
  - slug: wa
    name: WhatsApp
    kind: whatsapp_cloud
    company: Shop
    credentials: {access_token: a, app_secret: b, verify_token: c}
    options: {phone_number_id: "1", waba_id: "2"}
    assistant: aida
templates:
  - {slug: hello, name: Hello, body: "Hi {{contact_name}}", variables: {contact_name: {default: friend}}}
  - slug: remind
    channel: wa
    language: ru
    provider_name: remind
    body: "Hi {{1}}, {{2}}"
    variables: {1: contact_name, 2: {source: constant, default: bye}}
"""


def provision(path: Path, text: str, **options: Any) -> str:
    file, out = path / "company.yaml", StringIO()
    file.write_text(text, encoding="utf-8")
    call_command("provision", str(file), stdout=out, **options)
    return out.getvalue()


def test_templates_and_their_purposes_are_made_once(tmp_path: Path) -> None:
    assert "template hello: created" in provision(tmp_path, FILE)
    hello, remind = MessageTemplate.objects.order_by("slug")
    assert (hello.kind, hello.variables[0]["default"]) == ("own", "friend")
    assert (remind.kind, remind.usable) == ("approved", False)
    assert [(one["source"], one["default"]) for one in remind.variables] == [("contact_name", ""), ("constant", "bye")]
    assert set(TouchTemplate.objects.values_list("purpose", "template__slug")) == {
        ("touch_1", "remind"), ("call_reminder", "remind"),
    }  # fmt: skip
    again = provision(tmp_path, FILE)
    assert "4 unchanged" in again


def test_a_purpose_that_is_emptied_and_a_template_that_goes(tmp_path: Path) -> None:
    provision(tmp_path, FILE)
    provision(tmp_path, "assistants: [{slug: aida, touch_templates: {touch_1: []}}]\ntemplates: [{slug: hello, state: absent}]")
    assert list(TouchTemplate.objects.values_list("purpose", flat=True)) == ["call_reminder"]
    assert list(MessageTemplate.objects.values_list("slug", flat=True)) == ["remind"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('templates: [{slug: x, body: "{{weather}}"}]', "weather"),
        ("templates: [{slug: x, body: Hi, channel: nowhere}]", "nowhere"),
        ("assistants: [{slug: a, name: A, touch_templates: {touch_1: x}}]\ntemplates: [{slug: x, body: Hi}]", "no approved template"),
        ("assistants: [{slug: a, name: A, touch_templates: {touch_9: x}}]", "touch_9"),
    ],
)
def test_what_leads_nowhere_is_told(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(CommandError, match=told):
        provision(tmp_path, text)
    assert not MessageTemplate.objects.exists()
