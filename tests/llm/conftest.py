from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from llm import breaker, prompts, roster
from llm.base import Audio, ChatMessage, Request
from llm.models import LanguageModel
from tests.sandbox.llm import FakeLLM
from tests.sandbox.server import run_in_thread

KEY = "sk-secret"
ASKED = "Сколько стоит доставка по Алматы?"


class Step(BaseModel):
    kind: Literal["none", "book", "handoff"]
    why: str | None = None


class Reply(BaseModel):
    reply: str = Field(min_length=1)
    confidence: float = Field(default=0, ge=0, le=1)
    sources: list[int] = []
    step: Step = Step(kind="none")
    language: str = ""


@pytest.fixture(scope="session")
def fake_server() -> Iterator[tuple[FakeLLM, str]]:
    app = FakeLLM()
    url, stop = run_in_thread(app)  # type: ignore[arg-type]
    yield app, url
    stop()


@pytest.fixture
def fake(fake_server: tuple[FakeLLM, str]) -> FakeLLM:
    app, _url = fake_server
    app.reset()
    return app


@pytest.fixture
def base_url(fake_server: tuple[FakeLLM, str]) -> str:
    return fake_server[1]


@pytest.fixture(autouse=True)
def _fresh(settings: Any) -> Iterator[None]:
    """Caches of this test alone: the process's, and a part of Redis."""
    cache = settings.CACHES["default"]
    settings.CACHES = {"default": {**cache, "KEY_PREFIX": f"test-llm-{os.getpid()}-{os.urandom(4).hex()}"}}
    breaker._cache_away_until = 0.0
    roster.forget()
    prompts.forget()
    yield
    roster.forget()
    prompts.forget()


@pytest.fixture
def row(base_url: str) -> Callable[..., LanguageModel]:
    """An unsaved model row that speaks to the fake."""

    def make(kind: str = "gemini", **fields: Any) -> LanguageModel:
        tail = {"openai": "/v1", "vllm": "/v1", "openrouter": "/api/v1"}.get(kind, "")
        given = {"name": kind, "model_id": f"{kind}-model", "api_key": KEY, "base_url": base_url + tail, "supports_audio": True}
        return LanguageModel(kind=kind, **(given | fields))

    return make


def asking(text: str = ASKED, **fields: Any) -> Request[Reply]:
    messages = [
        ChatMessage(
            "system", "Ты продавец.\n<knowledge>\n[3] Доставка по Алматы стоит 1 500 тенге.\n\n[4] Гарантия год.\n</knowledge>"
        ),
        ChatMessage("user", "Здравствуйте"),
        ChatMessage("assistant", "Добрый день!"),
        ChatMessage("user", text),
    ]
    return Request(**({"purpose": "answer", "messages": messages, "schema": Reply} | fields))


def spoken(mime: str = "audio/ogg") -> Request[Reply]:
    return asking(messages=[ChatMessage("user", "Расшифруй", Audio(b"OggS" + b"\0" * 50, mime))])
