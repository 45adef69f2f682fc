"""Gemini over google-genai, the maintained SDK.

The request body is built here in the API's own words and handed to the SDK as `extra_body`, and the answer is read from
its raw response: the SDK's typed models cost ten times the processor time of the call itself, and do not know every
finish reason that the API may send. Its retries, automatic function calls and automatic continuation stay off.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import httpx2
from google import genai
from google.genai import errors, types

from foundation.errors import ProviderError

from .. import exchange, failures, schemas, wire
from ..base import Provider, Raw, Request
from ..models import LanguageModel

API_VERSION = "v1beta"
BASE_URL = "https://generativelanguage.googleapis.com"
ROLES = {"user": "user", "assistant": "model"}
NO_FUNCTIONS = types.AutomaticFunctionCallingConfig(disable=True)
#: The SDK wants contents of its own; those of `extra_body` take their place.
PLACEHOLDER = types.Content(role="user", parts=[types.Part(text="")])


def _make(api_key: str, base_url: str) -> genai.Client:
    options = types.HttpOptions(base_url=base_url, api_version=API_VERSION, httpx_client=wire.http_client())
    return genai.Client(api_key=api_key, vertexai=False, http_options=options)


_clients = wire.Clients(_make)


class Gemini(Provider):
    def complete(self, request: Request[Any], *, timeout: float) -> Raw:
        name = self.model.name
        if not self.model.api_key:
            raise failures.unauthorized(name, "no key")
        client = _clients.get(self.model.api_key, self.model.base_url or BASE_URL)
        config = types.GenerateContentConfig(
            automatic_function_calling=NO_FUNCTIONS,
            automatic_continuation=False,
            should_return_http_response=True,
            http_options=types.HttpOptions(timeout=max(1, int(timeout * 1000)), extra_body=body(request, self.model)),
        )
        try:
            with wire.within(timeout):
                answer = client.models.generate_content(model=self.model.model_id, contents=PLACEHOLDER, config=config)
        except errors.APIError as error:
            raise told(name, error.code or 0, error.details) from None
        except httpx2.TimeoutException:
            raise failures.timed_out(name) from None
        except httpx2.TransportError:
            raise failures.unreachable(name) from None
        response = answer.sdk_http_response
        try:
            return usable(name, json.loads((response and response.body) or "{}"))
        except ValueError:
            raise failures.malformed(name) from None


def body(request: Request[Any], model: LanguageModel) -> dict[str, Any]:
    """The body of generateContent."""
    contents = [{"role": ROLES[turn.role], "parts": _parts(turn)} for turn in exchange.turns(request)]
    made: dict[str, Any] = {"contents": contents, "generationConfig": _generation(request, model)}
    if instruction := exchange.instruction(request, model):
        made["systemInstruction"] = {"parts": [{"text": instruction}]}
    return made


def _parts(turn: exchange.Turn) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = [{"text": turn.text}] if turn.text else []
    for audio in turn.audio:
        parts.append({"inlineData": {"mimeType": audio.mime, "data": base64.b64encode(audio.content).decode("ascii")}})
    return parts


def _generation(request: Request[Any], model: LanguageModel) -> dict[str, Any]:
    config: dict[str, Any] = {"maxOutputTokens": exchange.longest(request, model), "candidateCount": 1}
    if (temperature := exchange.temperature(request, model)) is not None:
        config["temperature"] = temperature
    if (top_p := exchange.top_p(request, model)) is not None:
        config["topP"] = top_p
    if model.supports_schema:
        config |= {"responseMimeType": "application/json", "responseJsonSchema": schemas.plain(request.schema)}
    if model.thinking == LanguageModel.Thinking.BUDGET:
        config["thinkingConfig"] = {"thinkingBudget": int(model.thinking_value)}
    elif model.thinking == LanguageModel.Thinking.LEVEL and model.thinking_value:
        config["thinkingConfig"] = {"thinkingLevel": model.thinking_value.upper()}
    return config


def usable(name: str, answer: Mapping[str, Any]) -> Raw:
    """The text of an answer with status 200, which can still be none. Raises Unusable."""
    usage = answer.get("usageMetadata") or {}
    candidates = answer.get("candidates") or [{}]
    finish = candidates[0].get("finishReason") or ""
    parts = (candidates[0].get("content") or {}).get("parts") or ()
    raw = Raw(
        text="".join(part.get("text", "") for part in parts if not part.get("thought")),
        input_tokens=int(usage.get("promptTokenCount") or 0),
        output_tokens=int(usage.get("candidatesTokenCount") or 0),
        thinking_tokens=int(usage.get("thoughtsTokenCount") or 0),
    )
    if finish == "MAX_TOKENS":
        raise failures.cut(name, raw)
    if not answer.get("candidates") or finish not in ("STOP", "", "FINISH_REASON_UNSPECIFIED"):
        raise failures.blocked(name, raw)
    if not raw.text:
        raise failures.malformed(name, raw)
    return raw


def told(name: str, status: int, details: Any) -> ProviderError:
    """Google's error in our words; a refused key and an unpaid project arrive as 400."""
    error = details.get("error", details) if isinstance(details, dict) else {}
    reasons = error.get("details") if isinstance(error, dict) else None
    listed = [item for item in reasons if isinstance(item, dict)] if isinstance(reasons, list) else []
    if status == 400 and (
        error.get("status") == "FAILED_PRECONDITION" or any(item.get("reason") == "API_KEY_INVALID" for item in listed)
    ):
        return failures.unauthorized(name, "400")
    return failures.refused(name, status, after=_retry_delay(listed))


def _retry_delay(details: list[dict[str, Any]]) -> float | None:
    for item in details:
        delay = str(item.get("retryDelay") or "").removesuffix("s")
        if delay.replace(".", "", 1).isdigit():
            return float(delay)
    return None
