"""Every provider with its real SDK against the fake, over HTTP."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from foundation.errors import ProviderError, Rejected, Retry, Unauthorized
from llm.base import ChatMessage
from llm.models import LanguageModel
from llm.reading import read
from llm.registry import PROVIDERS, provider_for
from tests.sandbox.llm import FakeLLM

from .conftest import ASKED, KEY, Reply, asking, spoken

NETWORK = [kind for kind in PROVIDERS if kind != "offline"]
Row = Callable[..., LanguageModel]

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.mark.parametrize("kind", NETWORK)
def test_answers_from_the_knowledge(kind: str, fake: FakeLLM, row: Row) -> None:
    raw = provider_for(row(kind)).complete(asking(), timeout=10)
    answer = read(raw.text, Reply)
    assert answer.reply == "Доставка по Алматы стоит 1 500 тенге."
    assert answer.sources == [3]
    assert raw.input_tokens > 0
    assert raw.output_tokens > 0
    [call] = fake.calls
    assert call.model == f"{kind}-model"


@pytest.mark.parametrize("kind", NETWORK)
def test_a_model_without_schemas_is_told_the_schema(kind: str, fake: FakeLLM, row: Row) -> None:
    raw = provider_for(row(kind, supports_schema=False)).complete(asking(), timeout=10)
    assert read(raw.text, Reply).sources == [3]


@pytest.mark.parametrize("kind", NETWORK)
@pytest.mark.parametrize(
    ("fault", "word", "code"),
    [
        ("rate_limited", Retry, "429"),
        ("error", Retry, "500"),
        ("unavailable", Retry, "503"),
        ("timeout", Retry, "timeout"),
        ("hang_up", Retry, ""),
        ("unauthorized", Unauthorized, ""),
        ("gone", Rejected, "404"),
        ("bad_request", Rejected, "400"),
        ("blocked", Rejected, "blocked"),
        ("blocked_prompt", Rejected, "blocked"),
        ("cut", Rejected, "cut"),
    ],
)
def test_failures_speak_our_words(kind: str, fault: str, word: type[ProviderError], code: str, fake: FakeLLM, row: Row) -> None:
    fake.fail(fault)
    timeout = 0.4 if fault == "timeout" else 10
    with pytest.raises(ProviderError) as caught:
        provider_for(row(kind)).complete(asking(), timeout=timeout)
    assert type(caught.value) is word or (word is Rejected and isinstance(caught.value, Rejected))
    if code:
        assert caught.value.code == code
    assert KEY not in str(caught.value)
    assert ASKED not in str(caught.value)
    assert caught.value.__cause__ is None
    assert len(fake.calls) == 1, "SDKs must not repeat calls"


@pytest.mark.parametrize("kind", NETWORK)
def test_the_wait_a_provider_asks_for(kind: str, fake: FakeLLM, row: Row) -> None:
    fake.fail("rate_limited", after=7)
    with pytest.raises(Retry) as caught:
        provider_for(row(kind)).complete(asking(), timeout=10)
    assert caught.value.after == 7


@pytest.mark.parametrize("kind", NETWORK)
def test_a_dripping_server_does_not_outlast_the_deadline(kind: str, fake: FakeLLM, row: Row) -> None:
    fake.fail("drip", seconds=30)
    started = time.monotonic()
    with pytest.raises(Retry) as caught:
        provider_for(row(kind)).complete(asking(), timeout=1)
    assert caught.value.code == "timeout"
    assert time.monotonic() - started < 2.5


@pytest.mark.parametrize("kind", NETWORK)
def test_an_unreachable_server(kind: str, row: Row) -> None:
    with pytest.raises(Retry) as caught:
        provider_for(row(kind, base_url="http://127.0.0.1:9/v1")).complete(asking(), timeout=3)
    assert caught.value.code == "connect"


@pytest.mark.parametrize("kind", [kind for kind in NETWORK if kind != "vllm"])
def test_no_key_is_told_without_a_call(kind: str, fake: FakeLLM, row: Row) -> None:
    with pytest.raises(Unauthorized):
        provider_for(row(kind, api_key="")).complete(asking(), timeout=3)
    assert not fake.calls


def test_the_gemini_request(fake: FakeLLM, row: Row) -> None:
    model = row(thinking="budget", thinking_value="128", temperature=0.3)
    raw = provider_for(model).complete(asking(temperature=0.2, top_p=0.9, max_output_tokens=3000), timeout=10)
    [call] = fake.calls
    config = call.body["generationConfig"]
    assert call.path == "/v1beta/models/gemini-model:generateContent"
    assert call.headers["x-goog-api-key"] == KEY
    assert call.body["systemInstruction"]["parts"][0]["text"].startswith("Ты продавец.")
    assert [content["role"] for content in call.body["contents"]] == ["user", "model", "user"]
    assert (config["temperature"], config["topP"], config["maxOutputTokens"]) == (0.2, 0.9, 3000)
    assert config["thinkingConfig"] == {"thinkingBudget": 128}
    assert config["responseMimeType"] == "application/json"
    assert config["responseJsonSchema"]["required"] == ["reply"]
    assert raw.thinking_tokens == 7


def test_gemini_thinks_by_level(fake: FakeLLM, row: Row) -> None:
    provider_for(row(thinking="level", thinking_value="low", supports_temperature=False)).complete(
        asking(temperature=0.2, top_p=0.5), timeout=10
    )
    config = fake.calls[0].body["generationConfig"]
    assert config["thinkingConfig"] == {"thinkingLevel": "LOW"}
    assert not {"temperature", "topP"} & set(config)


@pytest.mark.parametrize("kind", ["gemini", "gemini-legacy"])
def test_gemini_hears_a_voice_message(kind: str, fake: FakeLLM, row: Row) -> None:
    provider_for(row(kind)).complete(spoken(), timeout=10)
    part = fake.calls[0].body["contents"][0]["parts"][1]
    sound = part.get("inlineData") or part["inline_data"]
    assert sound["mimeType" if "mimeType" in sound else "mime_type"] == "audio/ogg"
    assert sound["data"].startswith("T2dnU")


def test_openai_takes_only_sounds_it_knows(fake: FakeLLM, row: Row) -> None:
    provider_for(row("openai")).complete(spoken("audio/mpeg"), timeout=10)
    assert fake.calls[0].body["messages"][0]["content"][1]["input_audio"]["format"] == "mp3"
    for kind in ("openai", "anthropic"):
        with pytest.raises(Rejected) as caught:
            provider_for(row(kind)).complete(spoken("audio/ogg"), timeout=10)
        assert caught.value.code == "no_audio"


def test_the_old_sdk_keeps_the_keys_of_two_rows_apart(fake: FakeLLM, row: Row) -> None:
    for key in ("key-one", "key-two", "key-one"):
        provider_for(row("gemini-legacy", api_key=key)).complete(asking(), timeout=10)
    assert [call.headers["x-goog-api-key"] for call in fake.calls] == ["key-one", "key-two", "key-one"]


def test_the_openai_request(fake: FakeLLM, row: Row) -> None:
    model = row("openai", token_parameter="max_completion_tokens", thinking="effort", thinking_value="low")
    provider_for(model).complete(asking(temperature=0.2), timeout=10)
    body = fake.calls[0].body
    assert body["max_completion_tokens"] == 2048
    assert body["reasoning_effort"] == "low"
    assert "temperature" not in body, "refused together with an effort"
    described = body["response_format"]["json_schema"]
    assert described["strict"] is True
    assert described["schema"]["additionalProperties"] is False
    assert described["schema"]["required"] == ["reply", "confidence", "sources", "step", "language"]
    assert "minLength" not in str(described)
    provider_for(row("openai", thinking="effort", thinking_value="none")).complete(asking(temperature=0.2), timeout=10)
    assert fake.calls[1].body["temperature"] == 0.2


def test_openai_without_credit_is_not_asked_again(fake: FakeLLM, row: Row) -> None:
    fake.fail("quota")
    with pytest.raises(Unauthorized):
        provider_for(row("openai")).complete(asking(), timeout=10)


def test_openrouter_reports_late_errors_with_status_200(fake: FakeLLM, row: Row) -> None:
    fake.fail("late_error")
    with pytest.raises(Retry) as caught:
        provider_for(row("openrouter")).complete(asking(), timeout=10)
    assert caught.value.code == "502"


def test_the_anthropic_request(fake: FakeLLM, row: Row) -> None:
    provider_for(row("anthropic", thinking="budget", thinking_value="4000")).complete(asking(temperature=0.2), timeout=10)
    body = fake.calls[0].body
    assert body["system"].startswith("Ты продавец.")
    assert body["output_config"]["format"]["type"] == "json_schema"
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 4000}
    assert body["max_tokens"] > 4000
    assert body["temperature"] == 0.2
    assert KEY in fake.calls[0].headers.get("authorization", "") + fake.calls[0].headers.get("x-api-key", "")


@pytest.mark.parametrize("kind", NETWORK)
def test_an_exchange_always_begins_and_ends_with_the_user(kind: str, fake: FakeLLM, row: Row) -> None:
    only_system = asking(messages=[ChatMessage("system", "Суди.")])
    provider_for(row(kind)).complete(only_system, timeout=10)
    ours_last = [ChatMessage("assistant", "Остались вопросы?"), ChatMessage("assistant", "Мы на связи.")]
    provider_for(row(kind)).complete(asking(messages=ours_last), timeout=10)
    for call in fake.calls:
        said = call.body.get("contents") or [message for message in call.body["messages"] if message["role"] != "system"]
        assert said[0]["role"] == said[-1]["role"] == "user"


def test_sdks_are_not_imported_before_they_are_needed() -> None:
    code = (
        "import django; django.setup(); import sys, llm.completion, llm.prompts, llm.trial, llm.admin\n"
        "heavy = [name for name in ('openai', 'anthropic', 'google.genai', 'google.generativeai', 'httpx2', 'grpc') if name in sys.modules]\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=os.environ)
    assert done.returncode == 0, done.stderr[-2000:]
