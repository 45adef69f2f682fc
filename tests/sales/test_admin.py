"""The pages of assistants and bots."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from llm.models import LanguageModel
from sales.models import WEEKDAYS, Assistant, AssistantModel, Bot
from tests.conversations.rows import a_channel, a_manager, english  # noqa: F401

pytestmark = pytest.mark.django_db
LIST = "admin:sales_assistant_changelist"


def page(assistant: Assistant) -> str:
    return reverse("admin:sales_assistant_change", args=(assistant.pk,))


def form(**fields: Any) -> dict[str, Any]:
    data: dict[str, Any] = {
        "name": "Aida", "slug": "aida", "owner": "", "persona": "", "knowledge_base": "", "temperature": "", "top_p": "",
        "max_tokens": "", "languages": ["ru", "kk"], "time_zone": "Asia/Almaty", "country": "KZ", "call_minutes": "30",
        "call_reminder_minutes": "60", "follow_ups": "on", "voice_when": "spoken", "bots-TOTAL_FORMS": "0",
        "bots-INITIAL_FORMS": "0", "model_places-TOTAL_FORMS": "0", "model_places-INITIAL_FORMS": "0",
        "touch_templates-TOTAL_FORMS": "0", "touch_templates-INITIAL_FORMS": "0",
    }  # fmt: skip
    for day in WEEKDAYS:
        data |= {f"hours_{day}_opens": "", f"hours_{day}_closes": ""}
    return {**data, **fields}


def test_hours_are_seven_simple_rows(admin_client: Client) -> None:
    address = reverse("admin:sales_assistant_add")
    shown = admin_client.get(address).content.decode()
    assert shown.count('type="time"') == 14
    assert shown.count('value="10:00"') == 5
    data = form(hours_mon_opens="09:00", hours_mon_closes="17:30", hours_sun_opens="11:00", hours_sun_closes="15:00")
    assert admin_client.post(address, data).status_code == 302
    assistant = Assistant.objects.get()
    assert assistant.hours == {"mon": ["09:00", "17:30"], "sun": ["11:00", "15:00"]}
    assert assistant.languages == ["ru", "kk"]


@pytest.mark.parametrize(
    ("opens", "closes"), [("09:00", ""), ("", "18:00"), ("18:00", "09:00"), ("x", "y"), ("25:00", "26:00")]
)
def test_wrong_hours_are_refused_and_stay_in_the_form(admin_client: Client, opens: str, closes: str) -> None:
    response = admin_client.post(reverse("admin:sales_assistant_add"), form(hours_tue_opens=opens, hours_tue_closes=closes))
    assert response.status_code == 200
    assert "hours" in response.context["adminform"].form.errors
    assert f'name="hours_tue_opens" value="{opens}"' in response.content.decode()


def test_no_hours_at_all_are_days_off(admin_client: Client) -> None:
    assert admin_client.post(reverse("admin:sales_assistant_add"), form()).status_code == 302
    assert Assistant.objects.get().hours == {}


def test_models_are_kept_in_order(admin_client: Client) -> None:
    assistant = Assistant.objects.create(name="Aida", slug="aida")
    first, second = (LanguageModel.objects.create(name=name, kind="offline") for name in ("one", "two"))
    places = {"model_places-TOTAL_FORMS": "2"}
    for number, (model, position) in enumerate([(first, 1), (second, 0)]):
        places |= {f"model_places-{number}-model": str(model.pk), f"model_places-{number}-position": str(position)}
    assert admin_client.post(page(assistant), form(**places)).status_code == 302
    assert [place.model for place in AssistantModel.objects.all()] == [second, first]


def test_a_bot_is_attached_on_the_page_of_its_assistant(admin_client: Client) -> None:
    assistant, channel = Assistant.objects.create(name="Aida", slug="aida"), a_channel()
    assert "Attach a website chat" in admin_client.get(page(assistant)).content.decode()
    data = form(**{"bots-TOTAL_FORMS": "1", "bots-0-channel": str(channel.pk)})
    assert admin_client.post(page(assistant), data).status_code == 302
    assert Bot.objects.get().channel == channel
    assert f'href="{reverse("home")}"' in admin_client.get(page(assistant)).content.decode()
    assert channel.name in admin_client.get(reverse(LIST)).content.decode()
    assert admin_client.get(reverse("admin:sales_bot_changelist")).status_code == 200


def test_managers_see_their_own_and_shared_assistants(client: Client) -> None:
    manager, colleague = a_manager(), a_manager()
    own = Assistant.objects.create(name="Own", slug="own", owner=manager)
    shared = Assistant.objects.create(name="Shared", slug="shared")
    Assistant.objects.create(name="Nobody's", slug="nobodys")
    Bot.objects.create(channel=a_channel(owner=manager), assistant=shared)
    foreign = Assistant.objects.create(name="Foreign", slug="foreign", owner=colleague)
    secret = a_channel(owner=colleague, name="Secret channel")
    bot = Bot.objects.create(channel=secret, assistant=shared)
    client.force_login(manager)
    assert {row.pk for row in client.get(reverse(LIST)).context["cl"].result_list} == {own.pk, shared.pk}
    assert client.get(page(foreign)).status_code == 302
    shown = client.get(page(own)).content.decode() + client.get(reverse("admin:sales_bot_add")).content.decode()
    assert "Secret channel" not in shown
    assert "Foreign" not in shown
    assert client.get(reverse("admin:sales_bot_change", args=(bot.pk,))).status_code == 302
    data = form(name="Own", slug="own", **{"bots-TOTAL_FORMS": "1", "bots-0-channel": str(secret.pk)})
    assert client.post(page(own), data).status_code == 200


def test_who_takes_calls_and_how_long_they_are(admin_client: Client) -> None:
    assistant = Assistant.objects.create(name="Aida", slug="aida")
    one, other = a_manager(first_name="Dana", last_name="Seitova"), a_manager()
    gone = a_manager(is_active=False, first_name="Gone")
    shown = admin_client.get(page(assistant)).content.decode()
    assert "Dana Seitova" in shown
    assert "Gone" not in shown
    assistant.call_managers.set([gone])
    assert "Gone" in admin_client.get(page(assistant)).content.decode()
    data = form(call_managers=[one.pk, other.pk], call_minutes="45", call_reminder_minutes="0", country="", follow_ups="")
    assert admin_client.post(page(assistant), data).status_code == 302
    assistant.refresh_from_db()
    assert set(assistant.call_managers.all()) == {one, other}
    assert (assistant.call_minutes, assistant.call_reminder_minutes, assistant.country) == (45, 0, "")
    assert assistant.follow_ups is False
    for wrong in ({"call_minutes": "4"}, {"call_reminder_minutes": "1441"}):
        assert admin_client.post(page(assistant), form(**wrong)).status_code == 200
