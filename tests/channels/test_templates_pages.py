"""The editor of message templates and their API: made, previewed, loaded from the provider, and whose they are."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from channels.adapters.whatsapp_cloud import WhatsAppCloudAdapter
from channels.base import ProviderTemplate
from channels.models import Channel, MessageTemplate
from foundation.errors import Retry
from tests.conversations.rows import a_channel, a_manager, english  # noqa: F401

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("_clean_cache")]
ADD, LIST = "admin:channels_messagetemplate_add", "admin:channels_messagetemplate_changelist"


def page(template: MessageTemplate) -> str:
    return reverse("admin:channels_messagetemplate_change", args=(template.pk,))


def form(**fields: str) -> dict[str, str]:
    given = {"channel": "", "name": "Greeting", "slug": "greeting", "language": "", "category": "", "body": "Hi", "enabled": "on"}
    return {**given, **fields}


def cloud(**fields: Any) -> Channel:
    return a_channel(
        kind="whatsapp_cloud", credentials={"access_token": "t", "app_secret": "s", "verify_token": "v"},
        options={"phone_number_id": "1", "waba_id": "2"}, **fields,
    )  # fmt: skip


def approved(channel: Channel, **fields: Any) -> MessageTemplate:
    given = {"name": "remind", "slug": "remind", "language": "ru", "provider_name": "remind", "body": "Hi {{1}}", **fields}
    return MessageTemplate.objects.create(channel=channel, kind="approved", provider_status="APPROVED", **given)


@pytest.fixture
def anna(client: Client) -> User:
    user = a_manager()
    client.force_login(user)
    return user


# ── The editor ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_template_is_made_and_its_places_are_chosen(admin_client: Client) -> None:
    made = admin_client.post(reverse(ADD), form(body="Hi {{contact_name}}", default_contact_name="friend"))
    assert made.status_code == 302
    template = MessageTemplate.objects.get()
    assert template.variables == [{"name": "contact_name", "source": "contact_name", "default": "friend"}]
    shown = admin_client.get(page(template)).content.decode()
    assert 'name="source_contact_name"' in shown
    assert "Hi Aigul" in shown
    changed = form(body="Hi {{who}}", source_who="manager_name", default_who="")
    assert admin_client.post(page(template), changed).status_code == 302
    template.refresh_from_db()
    assert [(one["name"], one["source"]) for one in template.variables] == [("who", "manager_name")]


@pytest.mark.parametrize("body", ["", "Hi {{weather}}", "x" * 5000])
def test_what_is_wrong_is_told_at_the_text(admin_client: Client, body: str) -> None:
    refused = admin_client.post(reverse(ADD), form(body=body))
    assert refused.status_code == 200
    assert set(refused.context["adminform"].form.errors) == {"body"}
    assert not MessageTemplate.objects.exists()


def test_the_preview_follows_what_is_typed(admin_client: Client) -> None:
    address = reverse("admin:message_template_preview")
    assert admin_client.post(address, {"body": "Hi {{contact_name}}, **bold**"}).json() == {"text": "Hi Aigul, bold"}
    assert "weather" in admin_client.post(address, {"body": "Hi {{weather}}"}).json()["error"]
    filled = {"body": "Minus {{1}}", "source_1": "constant", "default_1": "10 %", "channel": "x"}
    assert admin_client.post(address, filled).json() == {"text": "Minus 10 %"}
    assert admin_client.get(address).status_code == 405


def test_of_an_approved_one_the_text_is_the_providers(admin_client: Client) -> None:
    template = approved(cloud())
    fields = {"name": "Reminder", "enabled": "on", "source_1": "contact_name", "default_1": "friend", "body": "Mine {{1}}"}
    assert admin_client.post(page(template), fields).status_code == 302
    template.refresh_from_db()
    assert (template.name, template.body) == ("Reminder", "Hi {{1}}")
    assert template.variables == [{"name": "1", "source": "contact_name", "default": "friend"}]


def test_the_providers_templates_are_loaded_by_a_button(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    channel, site = cloud(), a_channel()
    monkeypatch.setattr(
        WhatsAppCloudAdapter, "templates", lambda self: [ProviderTemplate("sale", "ru", "APPROVED", "MARKETING", "Hi", 0)]
    )
    load = reverse("admin:message_template_load", args=(channel.pk,))
    assert load in admin_client.get(reverse(LIST)).content.decode()
    told = admin_client.post(load, follow=True)
    assert "1 new, 0 changed, 0 not listed any more" in " ".join(map(str, told.context["messages"]))
    assert MessageTemplate.objects.get().usable
    assert admin_client.post(reverse("admin:message_template_load", args=(site.pk,))).status_code == 404

    def fail(self: WhatsAppCloudAdapter) -> list[ProviderTemplate]:
        raise Retry("HTTP 503")

    monkeypatch.setattr(WhatsAppCloudAdapter, "templates", fail)
    assert "HTTP 503" in " ".join(map(str, admin_client.post(load, follow=True).context["messages"]))


# ── Whose they are ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_others_templates_do_not_exist(client: Client, anna: User) -> None:
    other = User.objects.create_user("other")
    theirs, mine = cloud(owner=other), cloud(owner=anna)
    hidden, seen = approved(theirs, slug="hidden"), approved(mine, slug="seen")
    everybodys = MessageTemplate.objects.create(name="all", slug="all", body="Hi")
    listed = client.get(reverse("templates")).json()["results"]
    assert {one["slug"] for one in listed} == {"seen", "all"}
    assert set(client.get(reverse(LIST)).context["cl"].result_list) == {seen, everybodys}
    assert client.get(page(hidden)).status_code == 302
    assert client.get(reverse("template", args=("hidden",))).status_code == 404
    assert client.delete(reverse("template", args=("hidden",))).status_code == 404
    assert client.post(reverse("admin:message_template_load", args=(theirs.pk,))).status_code == 404
    asked = {"channel": theirs.slug}
    assert client.post(reverse("template-load"), asked, content_type="application/json").status_code == 404
    made = client.post(reverse("templates"), {"slug": "x", "name": "x", "body": "Hi", **asked}, content_type="application/json")
    assert made.status_code == 400
    assert MessageTemplate.objects.count() == 3


def test_templates_of_every_channel_are_the_administrators(client: Client, anna: User) -> None:
    template = MessageTemplate.objects.create(name="all", slug="all", body="Hi")
    assert client.post(page(template), form(slug="all", body="Changed")).status_code == 403
    address = reverse("template", args=("all",))
    assert client.get(address).status_code == 200
    assert client.patch(address, {"body": "Changed"}, content_type="application/json").status_code == 400
    assert client.delete(address).status_code == 403
    assert client.post(reverse("templates"), {"slug": "x", "name": "x", "body": "Hi"}, content_type="application/json").status_code == 400
    template.refresh_from_db()
    assert template.body == "Hi"


def test_a_guest_only_reads(client: Client, anna: User) -> None:
    anna.user_permissions.set(anna.user_permissions.filter(codename__startswith="view_"))
    template = MessageTemplate.objects.create(name="mine", slug="mine", body="Hi", channel=a_channel(owner=anna))
    assert client.get(reverse("templates")).status_code == 200
    for method in (client.put, client.patch, client.delete):
        assert method(reverse("template", args=("mine",)), {}, content_type="application/json").status_code == 403
    assert client.post(page(template), form()).status_code == 403
    assert client.post(reverse("template-preview"), {"body": "Hi"}, content_type="application/json").status_code == 403


# ── The API ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_whole_life_of_a_template_in_the_api(client: Client, anna: User) -> None:
    channel = a_channel(owner=anna)
    body = {
        "slug": "hello", "name": "Hello", "channel": channel.slug, "body": "Hi {{contact_name}}",
        "variables": [{"name": "contact_name", "default": "friend"}],
    }  # fmt: skip
    made = client.post(reverse("templates"), body, content_type="application/json")
    assert made.status_code == 201
    assert (made.json()["kind"], made.json()["usable"]) == ("own", True)
    assert made.json()["variables"] == [{"name": "contact_name", "source": "contact_name", "default": "friend"}]
    address = reverse("template", args=("hello",))
    wrong = client.patch(address, {"body": "Hi {{weather}}"}, content_type="application/json")
    assert wrong.status_code == 400
    assert "body" in wrong.json()["error"]["fields"]
    assert client.patch(address, {"body": "Hi {{company}}"}, content_type="application/json").json()["body"] == "Hi {{company}}"
    assert client.delete(address).status_code == 204
    assert not MessageTemplate.objects.exists()


def test_an_approved_one_is_not_rewritten(client: Client, anna: User) -> None:
    approved(cloud(owner=anna))
    address = reverse("template", args=("remind",))
    assert client.patch(address, {"body": "Mine"}, content_type="application/json").status_code == 400
    chosen = client.patch(address, {"variables": [{"name": "1", "source": "contact_name"}]}, content_type="application/json")
    assert chosen.json()["variables"] == [{"name": "1", "source": "contact_name", "default": ""}]


def test_the_preview_takes_samples_or_values(client: Client, anna: User) -> None:
    address = reverse("template-preview")
    asked: dict[str, Any] = {"body": "Hi {{contact_name}}"}
    assert client.post(address, asked, content_type="application/json").json() == {"text": "Hi Aigul", "values": ["Aigul"]}
    given = client.post(address, {**asked, "values": {"contact_name": "Dana"}}, content_type="application/json")
    assert given.json()["text"] == "Hi Dana"
    assert client.post(address, {**asked, "values": {}}, content_type="application/json").status_code == 400


def test_the_addresses_of_waha_show_what_may_be_sent_there(client: Client, anna: User) -> None:
    waha = a_channel(kind="waha", owner=anna)
    MessageTemplate.objects.create(name="there", slug="there", body="Hi", channel=waha)
    MessageTemplate.objects.create(name="all", slug="all", body="Hi")
    approved(cloud(owner=anna))
    assert {one["slug"] for one in client.get("/api/v1/waha/templates/").json()["results"]} == {"there", "all"}
    assert client.get("/api/v1/waha/templates/remind/").status_code == 404
    made = {"slug": "new", "name": "New", "channel": waha.slug, "body": "Hi"}
    assert client.post("/api/v1/waha/templates/", made, content_type="application/json").status_code == 201
