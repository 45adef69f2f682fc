"""What we send fits Meta's own specification of the API, and what the specification shows is understood."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from channels.adapters import whatsapp_cloud
from channels.adapters.whatsapp_cloud import WhatsAppCloudAdapter
from channels.adapters.whatsapp_cloud_errors import raise_error
from channels.adapters.whatsapp_cloud_send import template_of
from channels.base import Access, Choice, InboundMessage, OutboundFile, OutboundMessage, Skipped, TemplateUse
from foundation import http
from foundation.errors import Rejected, Unauthorized
from tests.sandbox.fixtures import served
from tests.sandbox.whatsapp_cloud import FakeCloud
from tests.sandbox.whatsapp_cloud_rows import ACCOUNT, APP_SECRET, NUMBER, TOKEN, VERIFY_TOKEN, Number

CONTRACT = json.loads((Path(__file__).parent.parent / "contracts" / "whatsapp_cloud.json").read_text())
EXAMPLES = CONTRACT["examples"]
PAYLOADS = Path(__file__).parent.parent / "payloads" / "whatsapp_cloud"
#: Documented by Meta after the version of the specification.
NEWER = frozenset({"biz_opaque_callback_data"})
#: The specification's own examples of these break its schemas: they have words where it asks for numbers.
BROKEN = {"Group Create Message", "Group Settings Update", "Group Remove Participants"}
#: Kinds of webhooks and messages that came after the specification, or are not in it.
NOT_IN_IT = (
    "echo", "history", "contacts_of_the_phone", "account", "template_status", "quality", "errors", "edit", "revoke",
    "chat_opened", "status_played", "status_deleted", "text_hidden_phone", "reaction_removed", "text_forwarded", "status_failed",
)  # fmt: skip
PHONE = "77010000001"
PDF = OutboundFile("price.pdf", "application/pdf", b"%PDF")
PHOTO = OutboundFile("room.jpg", "image/jpeg", b"\xff\xd8")
VOICE = OutboundFile("voice.ogg", "audio/ogg", b"OggS")
CHOICES = [Choice("a", "Да", "о" * 90), Choice("b", "Длинное название варианта ответа")]
REMINDER = TemplateUse("visit_reminder", "ru", ["Айгуль", "15:00"])
REPLIES = [Choice("ok", "Приду")]
MESSAGES = {
    "text": {"text": "Добрый день", "reply_to": "wamid.X"},
    "buttons": {"text": "Когда?", "choices": [Choice("a", "Завтра"), Choice("b", "В среду")]},
    "list": {"text": "Что?", "choices": CHOICES, "menu": "Услуги"},
    "document": {"text": "Прайс", "files": [PDF]},
    "image": {"files": [PHOTO]},
    "video": {"files": [OutboundFile("a.mp4", "video/mp4", b"mp4")]},
    "voice": {"text": "Слушайте", "voice": VOICE},
    "template": {"text": "Ждём", "template": REMINDER, "choices": REPLIES},
    "plain template": {"text": "Ждём", "template": TemplateUse("hello", "ru")},
}


@cache
def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": CONTRACT["$defs"]})


def faults(name: str, value: Any) -> list[str]:
    """Where a value is not as the specification says."""
    return [f"{error.json_path}: {error.message[:300]}" for error in validator(name).iter_errors(value)]


server = served(FakeCloud)


@pytest.fixture
def fake(server: FakeCloud) -> FakeCloud:
    server.reset()
    server.number = Number(verify_callbacks=False)
    whatsapp_cloud._subscribed.clear()
    return server


@pytest.fixture
def adapter(fake: FakeCloud) -> WhatsAppCloudAdapter:
    credentials = {"access_token": TOKEN, "app_secret": APP_SECRET, "verify_token": VERIFY_TOKEN}
    return WhatsAppCloudAdapter(
        Access("shop", fake.base_url, credentials, {"phone_number_id": NUMBER, "waba_id": ACCOUNT}, "secret")
    )


# ── What we send ─────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("name", MESSAGES)
def test_messages(fake: FakeCloud, adapter: WhatsAppCloudAdapter, name: str) -> None:
    fake.approve("visit_reminder", "ru", "{{1}}, ждём вас в {{2}}", buttons=["Приду"])
    fake.approve("hello", "ru", "Здравствуйте")
    adapter.send(OutboundMessage(key="41", to=PHONE, **MESSAGES[name]))
    bodies = [body for _method, path, body in fake.requests if path.endswith("/messages")]
    assert bodies
    for body in bodies:
        assert faults("Message", {key: value for key, value in body.items() if key not in NEWER}) == []


def test_the_contract_would_notice(fake: FakeCloud) -> None:
    body = {"messaging_product": "whatsapp", "recipient_type": "individual", "to": PHONE, "type": "text", "text": {"body": "a"}}
    assert faults("Message", body) == []
    for wrong in ({**body, "txt": 1}, {**body, "text": {"body": 1}}, {**body, "type": "words"}, {**body, "text": {"bod": "a"}}):
        assert not validator("Message").is_valid(wrong)


def test_read_marks_and_typing(fake: FakeCloud, adapter: WhatsAppCloudAdapter) -> None:
    adapter.mark_read(PHONE, "wamid.A")
    adapter.typing(PHONE, "wamid.A")
    bodies = [body for _method, _path, body in fake.requests]
    assert [body["message_id"] for body in bodies] == ["wamid.A", "wamid.A"] and "typing_indicator" in bodies[1]
    for body in bodies:
        assert faults("MarkMessageRequestPayload", body) == []


def test_subscribing(fake: FakeCloud, adapter: WhatsAppCloudAdapter) -> None:
    adapter.subscribe("https://bot.example.kz/webhooks/whatsapp_cloud/shop/secret/")
    adapter.unsubscribe()
    [(_m, _p, app), (_m, _p, number), (_m, _p, back)] = fake.requests
    assert faults("SubscriptionRequest", app) == []
    for body in (number, back):
        assert list(body) == ["webhook_configuration"]
        assert faults("WebhookConfiguration", body["webhook_configuration"]) == []


# ── What comes ───────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("name", EXAMPLES["webhooks"])
def test_every_webhook_of_the_specification_is_understood(name: str) -> None:
    body = EXAMPLES["webhooks"][name]
    if name not in BROKEN:
        assert faults("WebhookPayload", body) == []
    number = body["entry"][0]["changes"][0]["value"]["metadata"]["phone_number_id"]
    adapter = WhatsAppCloudAdapter(Access("wa", "", {}, {"phone_number_id": number, "waba_id": "1"}, "secret"))
    [raw] = adapter.split(json.dumps(body).encode())
    [event] = adapter.parse(raw.payload)
    skipped = name in BROKEN | {"Reaction Message", "System Message"}
    assert isinstance(event, Skipped if skipped else InboundMessage)


@pytest.mark.parametrize(
    "path", [path for path in sorted(PAYLOADS.glob("*.json")) if not path.stem.startswith(NOT_IN_IT)], ids=lambda path: path.stem
)
def test_our_examples_are_what_meta_sends(path: Path) -> None:
    assert faults("WebhookPayload", json.loads(path.read_text())) == []


@pytest.mark.parametrize("name", EXAMPLES["sent"])
def test_every_answer_to_a_send_has_its_id_where_we_read_it(name: str) -> None:
    answer = EXAMPLES["sent"][name]
    assert answer.get("success") or answer["messages"][0]["id"]


def test_templates_of_the_specification_are_listed() -> None:
    for answer in EXAMPLES["templates"].values():
        found = [template_of(row) for row in answer["data"]]
        assert all(template.name and template.language and template.body for template in found)
    assert any(template.placeholders == 2 for template in found)


@pytest.mark.parametrize("name", EXAMPLES["errors"])
def test_errors_of_the_specification(name: str) -> None:
    body, status = EXAMPLES["errors"][name], int(name.partition(" ")[0])
    assert faults("GraphAPIError", body) == []
    answer = http.Answer(status, {}, json.dumps(body).encode())
    with pytest.raises(Unauthorized if status in (401, 403) else Exception) as caught:
        raise_error(answer, body, "whatsapp number", writes=False)
    if status in (400, 404):
        assert type(caught.value) is Rejected


def test_the_fake_answers_as_the_specification_says(fake: FakeCloud, adapter: WhatsAppCloudAdapter) -> None:
    import asyncio

    from tests.sandbox.server import Request

    def ask(method: str, path: str, body: Any = None, **query: str) -> Any:
        request = Request(method, f"/v23.0/{path}", query, {"authorization": f"Bearer {TOKEN}"}, json.dumps(body).encode())
        return json.loads(asyncio.run(fake._graph(request)).body)

    assert faults("PhoneNumberInfo", ask("GET", NUMBER, fields="display_phone_number,verified_name,quality_rating")) == []
    assert faults("SubscribedAppsResponse", ask("GET", f"{ACCOUNT}/subscribed_apps")) == []
    assert faults("SubscriptionResponse", ask("POST", f"{ACCOUNT}/subscribed_apps")) == []
    text = {"messaging_product": "whatsapp", "to": PHONE, "type": "text", "text": {"body": "a"}}
    assert faults("MessageResponsePayload", ask("POST", f"{NUMBER}/messages", text)) == []
    assert Draft202012Validator(CONTRACT["media_url"]).is_valid(ask("GET", fake.keep(b"x", "image/jpeg")))
    fake.approve("visit_reminder", "ru", "Ждём в {{1}}")
    assert Draft202012Validator(CONTRACT["templates"]).is_valid(ask("GET", f"{ACCOUNT}/message_templates"))
    assert faults("GraphAPIError", ask("GET", "12345")) == []


def test_the_fake_posts_as_the_specification_says(fake: FakeCloud) -> None:
    fake.number.user_ids, fake.holding = False, True
    fake.customer_writes(PHONE, "Здравствуйте")
    fake.customer_sends_file(PHONE, "image", b"x", "image/jpeg", caption="a")
    fake.customer_speaks(PHONE, content=b"OggS")
    assert len(fake.held) == 3
    for body in fake.held:
        assert faults("WebhookPayload", json.loads(body)) == []
