"""Chat completions of OpenAI, and of OpenRouter and vLLM, which speak the same protocol."""

from __future__ import annotations

import base64
from typing import Any

import openai
from openai import OpenAI

from foundation import sound
from foundation.errors import ProviderError

from .. import exchange, failures, schemas, wire
from ..base import Audio, Provider, Raw, Request
from ..models import LanguageModel

Kind = LanguageModel.Kind
BASE_URLS = {Kind.OPENAI: "https://api.openai.com/v1", Kind.OPENROUTER: "https://openrouter.ai/api/v1"}
SOUNDS = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}
UNPAID = "insufficient_quota"


def _make(api_key: str, base_url: str) -> OpenAI:
    return OpenAI(api_key=api_key, base_url=base_url, max_retries=0, http_client=wire.http_client())


_clients = wire.Clients(_make)


class OpenAICompatible(Provider):
    def complete(self, request: Request[Any], *, timeout: float) -> Raw:
        model = self.model
        base_url = model.base_url or BASE_URLS.get(Kind(model.kind), "")
        if not base_url:
            raise failures.unreachable(model.name)
        if not model.api_key and model.kind != Kind.VLLM:
            raise failures.unauthorized(model.name, "no key")
        client = _clients.get(model.api_key or "none", base_url)
        asked = self._parameters(request)  # as extra_body: walking typed messages costs the SDK four times the call itself
        try:
            with wire.within(timeout):
                answer = client.chat.completions.with_raw_response.create(
                    model=model.model_id, messages=[], extra_body=asked, timeout=timeout
                )
        except openai.APITimeoutError:
            raise failures.timed_out(model.name) from None
        except openai.APIConnectionError:
            raise failures.unreachable(model.name) from None
        except openai.APIStatusError as error:
            raise self._told(error) from None
        try:
            given = answer.http_response.json()
        except ValueError:
            raise failures.malformed(model.name) from None
        return self._usable(given)

    def _parameters(self, request: Request[Any]) -> dict[str, Any]:
        model = self.model
        asked: dict[str, Any] = {
            "messages": self._messages(request),
            model.token_parameter: exchange.longest(request, model),
        }
        effort = model.thinking_value if model.thinking == LanguageModel.Thinking.EFFORT else ""
        if effort:
            asked["reasoning_effort"] = effort
        if effort in ("", "none"):  # with any other effort these are refused
            if (temperature := exchange.temperature(request, model)) is not None:
                asked["temperature"] = temperature
            if (top_p := exchange.top_p(request, model)) is not None:
                asked["top_p"] = top_p
        if model.supports_schema:
            schema, wholly = schemas.strict(request.schema)
            described = {"name": request.schema.__name__[:64], "schema": schema, "strict": wholly}
            asked["response_format"] = {"type": "json_schema", "json_schema": described}
        return asked

    def _messages(self, request: Request[Any]) -> list[dict[str, Any]]:
        instruction = exchange.instruction(request, self.model)
        messages: list[dict[str, Any]] = [{"role": "system", "content": instruction}] if instruction else []
        for turn in exchange.turns(request):
            content: Any = turn.text
            if turn.audio:
                content = [{"type": "text", "text": turn.text}] if turn.text else []
                content += [self._sound(audio) for audio in turn.audio]
            messages.append({"role": turn.role, "content": content})
        return messages

    def _sound(self, audio: Audio) -> dict[str, Any]:
        content, kind = audio.content, SOUNDS.get(audio.mime)
        if kind is None:
            try:
                content, kind = sound.mp3(content), "mp3"
            except sound.NotSound:
                raise failures.no_audio(self.model.name) from None
        data = base64.b64encode(content).decode("ascii")
        return {"type": "input_audio", "input_audio": {"data": data, "format": kind}}

    def _told(self, error: openai.APIStatusError) -> ProviderError:
        name, status = self.model.name, error.status_code
        if status == 429 and error.code == UNPAID:
            return failures.unauthorized(name, UNPAID)
        if status == 403 and self.model.kind == Kind.OPENROUTER:  # its word for moderation
            return failures.blocked(name)
        return failures.refused(name, status, after=failures.retry_after(error.response.headers))

    def _usable(self, answer: Any) -> Raw:
        """The text of an answer with status 200, which can still be an error: OpenRouter reports late ones so."""
        name = self.model.name
        if not isinstance(answer, dict):
            raise failures.malformed(name)
        usage = answer.get("usage") or {}
        thinking = int((usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0)
        output = max(0, int(usage.get("completion_tokens") or 0) - thinking)
        spent = Raw("", int(usage.get("prompt_tokens") or 0), output, thinking)
        choices = answer.get("choices")
        if not choices:
            error = answer.get("error")
            code = str(error.get("code") or "") if isinstance(error, dict) else ""
            raise failures.refused(name, int(code) if code.isdigit() else 502)
        message, finish = choices[0].get("message") or {}, choices[0].get("finish_reason")
        if finish == "length":
            raise failures.cut(name, spent)
        if finish == "content_filter" or message.get("refusal"):
            raise failures.blocked(name, spent)
        if finish == "error":
            raise failures.refused(name, 502)
        if not message.get("content"):
            raise failures.malformed(name, spent)
        return Raw(message["content"], spent.input_tokens, spent.output_tokens, spent.thinking_tokens)
