"""Which class speaks for which kind of model. Classes, and with them their SDKs, are imported when first used."""

from __future__ import annotations

from functools import cache

from django.utils.module_loading import import_string

from .base import Provider
from .models import LanguageModel

PROVIDERS = {
    "gemini": "llm.providers.gemini.Gemini",
    "gemini-legacy": "llm.providers.gemini_legacy.GeminiLegacy",
    "openai": "llm.providers.openai_compatible.OpenAICompatible",
    "openrouter": "llm.providers.openai_compatible.OpenAICompatible",
    "vllm": "llm.providers.openai_compatible.OpenAICompatible",
    "anthropic": "llm.providers.anthropic.Anthropic",
    "offline": "llm.providers.offline.Offline",
}


@cache
def provider_class(kind: str) -> type[Provider]:
    """The provider class for a kind of model. Raises KeyError for an unknown kind."""
    provider: type[Provider] = import_string(PROVIDERS[kind])
    return provider


def provider_for(model: LanguageModel) -> Provider:
    """The provider that speaks for a model row."""
    return provider_class(model.kind)(model)
