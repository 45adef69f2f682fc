"""The managers' pages, over the test client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse

from llm import prompts
from llm.admin import masked
from llm.models import LanguageModel, Prompt, Usage, Voice
from tests.sandbox.llm import FakeLLM

from .conftest import KEY

pytestmark = pytest.mark.django_db
GOOD = "Судите. {contact} {history}"
LONG_KEY = "sk-very-long-secret-1234"


@pytest.fixture
def saved(row: Callable[..., LanguageModel]) -> LanguageModel:
    model = row(api_key=LONG_KEY)
    model.save()
    return model


def form_of(model: LanguageModel, **changes: Any) -> dict[str, Any]:
    names = (
        "name", "kind", "model_id", "base_url", "position", "timeout", "max_output_tokens", "token_parameter", "thinking",
        "thinking_value", "input_price", "output_price",
    )  # fmt: skip
    return {name: getattr(model, name) for name in names} | {"api_key": "", "enabled": "on"} | changes


def act(client: Client, model: str, action: str, *rows: Any) -> Any:
    data = {"action": action, ACTION_CHECKBOX_NAME: [row.pk for row in rows]}
    return client.post(reverse(f"admin:llm_{model}_changelist"), data, follow=True)


def told(response: Any) -> str:
    return " ".join(str(message) for message in response.context["messages"])


@pytest.mark.parametrize("address", ["http://vllm:8000/v1", "http://gpu_1:8000", "http://10.0.0.5:8000", "https://api.example.com/v1"])
def test_a_server_of_ones_own_may_have_any_name_of_its_network(
    admin_client: Client, saved: LanguageModel, address: str
) -> None:
    url = reverse("admin:llm_languagemodel_change", args=[saved.pk])
    assert admin_client.post(url, form_of(saved, base_url=address)).status_code == 302
    saved.refresh_from_db()
    assert saved.base_url == address


@pytest.mark.parametrize(
    "address", ["vllm:8000", "ftp://vllm", "http://", "http://vllm:port", "http://a b", "http://vllm?x=1", "http://key@vllm", "javascript:x"]
)
def test_what_is_no_address_of_a_server_is_refused(admin_client: Client, saved: LanguageModel, address: str) -> None:
    url = reverse("admin:llm_languagemodel_change", args=[saved.pk])
    answer = admin_client.post(url, form_of(saved, base_url=address))
    assert answer.status_code == 200 and "base_url" in answer.context["adminform"].form.errors
    with pytest.raises(ValidationError) as raised:
        Voice(name="V", slug="v", engine="piper", base_url=address).full_clean()
    assert "base_url" in raised.value.error_dict


def test_the_engine_of_a_voice_may_have_any_name_of_its_network() -> None:
    Voice(name="V", slug="v", engine="piper", base_url="http://piper:5000").full_clean()
    assert Voice._meta.get_field("base_url").max_length == 200


def test_the_key_is_never_shown_and_kept_when_empty(admin_client: Client, saved: LanguageModel) -> None:
    url = reverse("admin:llm_languagemodel_change", args=[saved.pk])
    page = admin_client.get(url).content.decode()
    assert LONG_KEY not in page
    assert masked(LONG_KEY) in page
    assert admin_client.post(url, form_of(saved, timeout=12)).status_code == 302
    saved.refresh_from_db()
    assert (saved.timeout, saved.api_key) == (12, LONG_KEY)
    admin_client.post(url, form_of(saved, api_key="sk-another"))
    saved.refresh_from_db()
    assert saved.api_key == "sk-another"
    admin_client.post(url, form_of(saved, remove_key="on"))
    saved.refresh_from_db()
    assert saved.api_key == ""


def test_masking() -> None:
    assert masked("") == ""
    assert masked("short-key")[-4:] not in "short-key"
    assert masked(LONG_KEY).endswith("1234")


def test_a_model_is_added(admin_client: Client, row: Callable[..., LanguageModel]) -> None:
    response = admin_client.post(reverse("admin:llm_languagemodel_add"), form_of(row(), api_key=KEY))
    assert response.status_code == 302
    assert LanguageModel.objects.get().api_key == KEY


def test_a_model_is_checked_with_a_real_call(admin_client: Client, saved: LanguageModel, fake: FakeLLM) -> None:
    fake.script = lambda prompted: {"ready": True}
    assert "gemini" in told(act(admin_client, "languagemodel", "check_models", saved))
    assert Usage.objects.get().outcome == "ok"
    fake.fail("unauthorized")
    response = act(admin_client, "languagemodel", "check_models", saved)
    assert [message.level_tag for message in response.context["messages"]] == ["error"]
    assert "sk-" not in told(response)


def test_the_journal_is_read_only(admin_client: Client) -> None:
    line = Usage.objects.create(model_name="gemini", purpose="answer", outcome="ok")
    assert admin_client.get(reverse("admin:llm_usage_changelist")).status_code == 200
    assert admin_client.get(reverse("admin:llm_usage_add")).status_code == 403
    url = reverse("admin:llm_usage_change", args=[line.pk])
    assert admin_client.get(url).status_code == 200
    assert admin_client.post(url, {"purpose": "x"}).status_code == 403
    assert admin_client.post(reverse("admin:llm_usage_delete", args=[line.pk])).status_code == 403


@pytest.mark.parametrize("lines", [3, 30])
def test_the_journal_takes_the_same_queries_whatever_its_length(
    lines: int, admin_client: Client, django_assert_max_num_queries: Any
) -> None:
    Usage.objects.bulk_create(Usage(model_name="gemini", purpose="answer", outcome="ok") for _ in range(lines))
    with django_assert_max_num_queries(14):
        admin_client.get(reverse("admin:llm_usage_changelist"))


def test_a_new_prompt_starts_from_the_shipped_text(admin_client: Client) -> None:
    page = admin_client.get(reverse("admin:llm_prompt_add") + "?purpose=moderate")
    form = page.context["adminform"].form
    assert form.initial["text"] == prompts.shipped("moderate")
    assert "{history}" in page.content.decode()


def test_saving_a_change_makes_a_version(admin_client: Client, admin_user: Any) -> None:
    add = admin_client.post(reverse("admin:llm_prompt_add"), {"purpose": "moderate", "text": GOOD, "note": "start"})
    assert add.status_code == 302
    first = Prompt.objects.get()
    assert (first.version, first.active, first.author) == (1, True, admin_user)
    url = reverse("admin:llm_prompt_change", args=[first.pk])
    assert admin_client.get(url).status_code == 200
    assert admin_client.post(url, {"text": GOOD + "!", "note": "louder"}).status_code == 302
    second = Prompt.objects.get(version=2)
    first.refresh_from_db()
    assert (first.text, first.active, second.text, second.active, second.note) == (GOOD, False, GOOD + "!", True, "louder")
    url = reverse("admin:llm_prompt_change", args=[second.pk])
    admin_client.post(url, {"text": GOOD + "!", "note": "only the note"})
    assert Prompt.objects.count() == 2
    assert Prompt.objects.get(version=2).note == "only the note"


@pytest.mark.parametrize("text", ["{history}", GOOD + "{price}", GOOD + "{", "  "])
def test_a_broken_prompt_is_refused(text: str, admin_client: Client) -> None:
    response = admin_client.post(reverse("admin:llm_prompt_add"), {"purpose": "moderate", "text": text, "note": ""})
    assert response.status_code == 200
    assert response.context["adminform"].form.errors["text"]
    assert not Prompt.objects.exists()


def test_an_older_version_is_activated(admin_client: Client) -> None:
    first = prompts.new_version("moderate", GOOD, None)
    prompts.new_version("moderate", GOOD + "!", None)
    act(admin_client, "prompt", "activate", first)
    assert Prompt.objects.get(active=True) == first
    both = list(Prompt.objects.all())
    response = act(admin_client, "prompt", "activate", *both)
    assert [message.level_tag for message in response.context["messages"]] == ["error"]


def test_people_without_the_right_see_nothing(client: Client, django_user_model: Any, saved: LanguageModel) -> None:
    client.force_login(django_user_model.objects.create_user("plain", password="x", is_staff=True))
    for name in ("languagemodel", "usage", "prompt"):
        assert client.get(reverse(f"admin:llm_{name}_changelist")).status_code == 403
