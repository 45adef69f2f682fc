"""Message templates: what may stand in them, how they are filled, and what is taken over from a provider."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError

from channels import message_templates
from channels.adapters.whatsapp_cloud import WhatsAppCloudAdapter
from channels.base import ProviderTemplate, TemplateUse
from channels.message_templates import MissingValue, fill, fill_for, load, sample
from channels.models import Channel, MessageTemplate
from channels.registry import adapter_class
from foundation.errors import Retry
from tests.conversations.rows import a_channel, english  # noqa: F401

pytestmark = pytest.mark.django_db


def own(body: str, **fields: Any) -> MessageTemplate:
    return MessageTemplate.objects.create(**{"name": "Greeting", "slug": "greeting", "body": body, **fields})


def cloud() -> Channel:
    return a_channel(
        kind="whatsapp_cloud", credentials={"access_token": "t", "app_secret": "s", "verify_token": "v"},
        options={"phone_number_id": "1", "waba_id": "2"},
    )  # fmt: skip


# ── What may stand in them ───────────────────────────────────────────────────────────────────────────────────────────


def test_places_are_filled_by_the_source_of_their_name() -> None:
    template = own("Hello {{ contact_name }}, {{company}} here. {{contact_name}}?")
    assert [(one["name"], one["source"]) for one in template.variables] == [
        ("contact_name", "contact_name"), ("company", "company"),
    ]  # fmt: skip
    filled = fill(template, {"contact_name": "Dana", "company": "Shop"})
    assert (filled.text, filled.values) == ("Hello Dana, Shop here. Dana?", ["Dana", "Shop"])


def test_numbers_are_filled_by_their_size() -> None:
    template = own("{{2}} {{1}} {{10}} {{2}}", variables=[{"name": n, "source": "constant", "default": f"v{n}"} for n in ("1", "2", "10")])
    filled = fill(template, {})
    assert (filled.text, filled.values) == ("v2 v1 v10 v2", ["v1", "v2", "v10"])


def test_every_source_has_a_sample() -> None:
    names = [source.name for source in message_templates.sources()]
    assert {"company", "contact_name", "manager_name", "assistant_name", "call_time", "constant"} <= set(names)
    body = " ".join(f"{{{{{name}}}}}" for name in names if name != "constant")
    assert "{{" not in sample(own(body)).text


@pytest.mark.parametrize(
    ("body", "fields", "field", "words"),
    [
        ("", {}, "body", "Write the text"),
        ("  \n ", {}, "body", "Write the text"),
        ("Hello {{nobody}}", {}, "body", "{{nobody}}"),
        ("x" * 5000, {}, "body", "Too long"),
        ("Hello {{company}}", {"variables": {"company": "x"}}, "variables", "list"),
        ("Hello {{company}}", {"variables": [{"source": "company"}]}, "variables", "list"),
        ("Hello {{company}}", {"variables": [{"name": "company", "source": "weather"}]}, "body", "{{weather}}"),
        ("Hello", {"kind": "approved"}, "channel", "needs its channel"),
    ],
)
def test_what_is_wrong_is_told_when_it_is_saved(body: str, fields: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        own(body, **fields)
    assert words in " ".join(refused.value.message_dict[field])
    assert not MessageTemplate.objects.exists()


def test_the_channel_says_how_long_is_too_long() -> None:
    channel = a_channel()
    most = adapter_class("widget").capabilities.max_length
    own("x" * most, channel=channel)
    with pytest.raises(ValidationError):
        own("x" * (most + 1), channel=channel, slug="longer")


def test_a_new_source_can_be_used_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_templates, "_sources", dict(message_templates._sources))
    message_templates.register("order_number", "the order", "K-17", lambda context: context.get("order", ""))
    template = own("Your order {{order_number}} is ready.")
    assert fill_for(template, {"order": "K-18"}).text == "Your order K-18 is ready."
    assert sample(template).text == "Your order K-17 is ready."


# ── Filling ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_missing_value_takes_the_default_or_is_told() -> None:
    template = own("Hello {{contact_name}}!", variables=[{"name": "contact_name", "default": "dear customer"}])
    assert fill(template, {}).text == "Hello dear customer!"
    assert fill(template, {"contact_name": "  \n"}).text == "Hello dear customer!"
    with pytest.raises(MissingValue, match="contact_name"):
        fill(own("Hello {{contact_name}}!", slug="other"), {})


def test_a_constant_is_always_its_text() -> None:
    template = own("Minus {{1}}!", variables=[{"name": "1", "source": "constant", "default": "10 %"}])
    assert fill(template, {"constant": "90 %"}).text in ("Minus 10 %!", "Minus 90 %!")
    assert fill_for(template, {}).text == "Minus 10 %!"
    with pytest.raises(MissingValue):
        fill_for(own("Minus {{1}}!", slug="other"), {})


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("[click](https://evil.example)", "(click)(https://evil.example)"),
        ("**x**", "*x*"),
        ("a\nb\tc", "a b c"),
        ("x" * 500, "x" * 199 + "…"),
        ("{{company}}", "{{company}}"),
    ],
)
def test_a_name_is_only_a_name(name: str, written: str) -> None:
    assert fill(own("{{contact_name}}"), {"contact_name": name, "company": "Shop"}).text == written


# ── From the provider ────────────────────────────────────────────────────────────────────────────────────────────────


def listed(monkeypatch: pytest.MonkeyPatch, *found: ProviderTemplate) -> None:
    monkeypatch.setattr(WhatsAppCloudAdapter, "templates", lambda self: list(found))


REMIND = ProviderTemplate("remind", "ru", "APPROVED", "UTILITY", "Здравствуйте, {{1}}! Это {{2}}.", 2)


def test_the_providers_templates_are_taken_over_and_keep_what_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    channel = cloud()
    pending = ProviderTemplate("sale", "ru", "PENDING", "MARKETING", "Скидка", 0)
    listed(monkeypatch, REMIND, pending)
    assert load(channel) == message_templates.Loaded(2, 0, 0)
    row = MessageTemplate.objects.get(provider_name="remind")
    assert (row.kind, row.usable, row.placeholders, row.category) == ("approved", True, 2, "utility")
    assert not MessageTemplate.objects.get(provider_name="sale").usable
    row.variables = [
        {"name": "1", "source": "contact_name", "default": "клиент"}, {"name": "2", "source": "company", "default": ""},
    ]  # fmt: skip
    row.save()
    filled = fill_for(row, {"channel": channel})
    assert (filled.text, filled.values) == ("Здравствуйте, клиент! Это Demo.", ["клиент", "Demo"])
    assert message_templates.use(row, filled) == TemplateUse("remind", "ru", ("клиент", "Demo"))
    assert load(channel) == message_templates.Loaded(0, 0, 0)

    listed(monkeypatch, ProviderTemplate("remind", "ru", "PAUSED", "UTILITY", "Добрый день, {{1}}!", 1))
    assert load(channel) == message_templates.Loaded(0, 1, 1)
    row.refresh_from_db()
    assert [one["source"] for one in row.variables] == ["contact_name"]
    assert not row.usable
    assert MessageTemplate.objects.get(provider_name="sale").provider_status == "GONE"
    assert load(channel) == message_templates.Loaded(0, 0, 0)


def test_a_template_with_an_obstacle_is_kept_and_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    listed(
        monkeypatch, ProviderTemplate("named", "en", "APPROVED", "UTILITY", "Hi {{first}}", 1, "Its placeholders have names."),
        ProviderTemplate("code", "en", "APPROVED", "AUTHENTICATION", "", 0),
    )  # fmt: skip
    load(cloud())
    assert [row.usable for row in MessageTemplate.objects.all()] == [False, False]
    assert MessageTemplate.objects.get(provider_name="code").obstacle


def test_a_provider_that_does_not_answer_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    channel = cloud()
    listed(monkeypatch, REMIND)
    load(channel)

    def fail(self: WhatsAppCloudAdapter) -> list[ProviderTemplate]:
        raise Retry("HTTP 503")

    monkeypatch.setattr(WhatsAppCloudAdapter, "templates", fail)
    with pytest.raises(Retry):
        load(channel)
    assert MessageTemplate.objects.get().provider_status == "APPROVED"
