"""Claude over the Anthropic SDK's messages."""

from __future__ import annotations

from typing import Any

import anthropic

from foundation.errors import ProviderError

from .. import exchange, failures, schemas, wire
from ..base import Provider, Raw, Request
from ..models import LanguageModel

BASE_URL = "https://api.anthropic.com"
Thinking = LanguageModel.Thinking
#: Room for the answer after the thinking, which counts against the same limit.
ROOM = 1024


def _make(api_key: str, base_url: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key=api_key, base_url=base_url, max_retries=0, http_client=wire.http_client())


_clients = wire.Clients(_make)


class Anthropic(Provider):
    def complete(self, request: Request[Any], *, timeout: float) -> Raw:
        model = self.model
        if not model.api_key:
            raise failures.unauthorized(model.name, "no key")
        if exchange.has_audio(request):
            raise failures.no_audio(model.name)
        client = _clients.get(model.api_key, model.base_url or BASE_URL)
        try:
            with wire.within(timeout):
                answer = client.messages.with_raw_response.create(timeout=timeout, **self._parameters(request))
        except anthropic.APITimeoutError:
            raise failures.timed_out(model.name) from None
        except anthropic.APIConnectionError:
            raise failures.unreachable(model.name) from None
        except anthropic.APIStatusError as error:
            raise self._told(error) from None
        try:
            given = answer.http_response.json()
        except ValueError:
            raise failures.malformed(model.name) from None
        return self._usable(given)

    def _parameters(self, request: Request[Any]) -> dict[str, Any]:
        model = self.model
        asked: dict[str, Any] = {
            "model": model.model_id,
            "max_tokens": exchange.longest(request, model),
            "messages": [
                {"role": turn.role, "content": turn.text or exchange.NOTHING_SAID} for turn in exchange.turns(request)
            ],
        }
        if instruction := exchange.instruction(request, model):
            asked["system"] = instruction
        output: dict[str, Any] = {}
        if model.supports_schema:
            schema, wholly = schemas.strict(request.schema)
            if wholly:
                output["format"] = {"type": "json_schema", "schema": schema}
        budget = int(model.thinking_value) if model.thinking == Thinking.BUDGET and model.thinking_value else 0
        if budget > 0:
            asked["thinking"] = {"type": "enabled", "budget_tokens": budget}
            asked["max_tokens"] = max(asked["max_tokens"], budget + ROOM)
        elif model.thinking == Thinking.EFFORT and model.thinking_value:
            output["effort"] = model.thinking_value
        if output:
            asked["output_config"] = output
        sampling = {"temperature": exchange.temperature(request, model), "top_p": exchange.top_p(request, model)}
        if extra := {key: value for key, value in sampling.items() if value is not None}:
            asked["extra_body"] = extra  # no longer arguments of the SDK
        return asked

    def _told(self, error: anthropic.APIStatusError) -> ProviderError:
        return failures.refused(self.model.name, error.status_code, after=failures.retry_after(error.response.headers))

    def _usable(self, answer: Any) -> Raw:
        name = self.model.name
        if not isinstance(answer, dict):
            raise failures.malformed(name)
        usage = answer.get("usage") or {}
        cached = sum(int(usage.get(key) or 0) for key in ("cache_creation_input_tokens", "cache_read_input_tokens"))
        spent = Raw("", int(usage.get("input_tokens") or 0) + cached, int(usage.get("output_tokens") or 0))
        stop = answer.get("stop_reason")
        if stop in ("max_tokens", "model_context_window_exceeded"):
            raise failures.cut(name, spent)
        if stop == "refusal":
            raise failures.blocked(name, spent)
        text = next((block.get("text", "") for block in answer.get("content") or () if block.get("type") == "text"), "")
        if not text:
            raise failures.malformed(name, spent)
        return Raw(text, spent.input_tokens, spent.output_tokens)
