"""Gemini over google-generativeai, whose support ended in November 2025. Kept working for those who must use it.

Its traps: `configure` is global to the process (guarded by a lock, and the client is taken out at once); over gRPC it
hangs in forked workers (REST is used); it retries for ten minutes by default (retries are off); reading `.text` of an
answer without parts raises; it cannot control thinking; REST errors are not the classes its manual names.
"""

from __future__ import annotations

import threading
import time
import warnings
from typing import Any, cast

import requests
from google.api_core import exceptions
from requests.adapters import HTTPAdapter

from .. import exchange, failures, schemas
from ..base import Provider, Raw, Request
from ..models import LanguageModel
from .gemini import told

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)
    import google.generativeai as sdk
    from google.generativeai.client import get_default_generative_client

genai: Any = sdk  # it exports nothing by name
BASE_URL = "https://generativelanguage.googleapis.com"
STOP, MAX_TOKENS, UNSPECIFIED = 1, 2, 0
MAX_BYTES = 8 * 1024 * 1024
MAX_CLIENTS = 64
SCHEMA_KEYWORDS = ("type", "format", "description", "nullable", "enum", "properties", "required", "items")

_configuring = threading.Lock()
_clients: dict[tuple[str, str], Any] = {}
_local = threading.local()


class _InTime(HTTPAdapter):
    """Reads the answer piece by piece, so that a dripping server cannot outlast the deadline."""

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        options["stream"] = True
        response = super().send(request, *args, **options)
        chunks, size = [], 0
        while chunk := response.raw.read1(64 * 1024, decode_content=True):
            size += len(chunk)
            if size > MAX_BYTES or time.monotonic() > _local.until:
                response.close()
                raise requests.exceptions.ReadTimeout("the answer came too slowly", request=request)
            chunks.append(chunk)
        response._content = b"".join(chunks)
        response._content_consumed = True
        return response


def _client(api_key: str, base_url: str) -> Any:
    """The SDK's client for one key, taken out of its global state before another key is configured."""
    with _configuring:
        held = _clients.get((api_key, base_url))
        if held is None:
            genai.configure(api_key=api_key, transport="rest", client_options={"api_endpoint": base_url})
            held = cast(Any, get_default_generative_client())
            for prefix in ("http://", "https://"):
                held.transport._session.mount(prefix, _InTime(pool_maxsize=64, max_retries=0))
            held.transport._session.trust_env = False
            if len(_clients) >= MAX_CLIENTS:
                _clients.clear()
            _clients[(api_key, base_url)] = held
        return held


class GeminiLegacy(Provider):
    def complete(self, request: Request[Any], *, timeout: float) -> Raw:
        name = self.model.name
        if not self.model.api_key:
            raise failures.unauthorized(name, "no key")
        model = genai.GenerativeModel(
            self.model.model_id,
            system_instruction=exchange.instruction(request, self.model) or None,
            generation_config=_generation(request, self.model),
        )
        model._client = _client(self.model.api_key, self.model.base_url or BASE_URL)
        _local.until = time.monotonic() + timeout
        try:
            answer = model.generate_content(_contents(request), request_options={"timeout": timeout, "retry": None})
        except exceptions.GoogleAPICallError as error:
            raise told(name, int(error.code or 0), {"details": _details(error)}) from None
        except exceptions.GoogleAPIError:
            raise failures.timed_out(name) from None
        except requests.exceptions.Timeout:
            raise failures.timed_out(name) from None
        except requests.exceptions.RequestException:
            raise failures.unreachable(name) from None
        except genai.types.BlockedPromptException:
            raise failures.blocked(name) from None
        return _usable(name, answer)


def _contents(request: Request[Any]) -> list[dict[str, Any]]:
    return [
        {
            "role": "model" if turn.role == "assistant" else "user",
            "parts": ([{"text": turn.text}] if turn.text else [])
            + [{"mime_type": audio.mime, "data": audio.content} for audio in turn.audio],
        }
        for turn in exchange.turns(request)
    ]


def _generation(request: Request[Any], model: LanguageModel) -> dict[str, Any]:
    config: dict[str, Any] = {"max_output_tokens": exchange.longest(request, model), "candidate_count": 1}
    if (temperature := exchange.temperature(request, model)) is not None:
        config["temperature"] = temperature
    if (top_p := exchange.top_p(request, model)) is not None:
        config["top_p"] = top_p
    if model.supports_schema:
        plain = schemas.plain(request.schema)
        config |= {"response_mime_type": "application/json", "response_schema": _old(plain, plain.get("$defs", {}))}
    return config


def _old(node: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    """The schema in the old dialect: no references, no unions, null as a flag, types in capitals."""
    if "$ref" in node:
        return _old(defs[node["$ref"].rpartition("/")[2]], defs)
    if options := node.get("anyOf") or node.get("oneOf"):
        real = [option for option in options if option.get("type") != "null"]
        return _old(real[0], defs) | ({"nullable": True} if len(real) < len(options) else {})
    if "const" in node:
        node = {**node, "enum": [node["const"]]}
    old = {key: value for key, value in node.items() if key in SCHEMA_KEYWORDS and key != "format"}
    if "enum" in old:
        old |= {"enum": [str(choice) for choice in old["enum"]], "type": "string", "format": "enum"}
    old["type"] = str(old.get("type", "string")).upper()
    if "items" in old:
        old["items"] = _old(old["items"], defs)
    if "properties" in old:
        old["properties"] = {name: _old(inner, defs) for name, inner in old["properties"].items()}
    return old


def _usable(name: str, answer: Any) -> Raw:
    usage = answer.usage_metadata
    spent = Raw("", usage.prompt_token_count, usage.candidates_token_count) if usage else Raw("")
    if not answer.candidates:
        raise failures.blocked(name, spent)
    candidate = answer.candidates[0]
    finish = int(candidate.finish_reason)
    if finish == MAX_TOKENS:
        raise failures.cut(name, spent)
    if finish not in (STOP, UNSPECIFIED):
        raise failures.blocked(name, spent)
    text = "".join(part.text for part in candidate.content.parts if not getattr(part, "thought", False))
    if not text:
        raise failures.malformed(name, spent)
    return Raw(text, spent.input_tokens, spent.output_tokens)


def _details(error: exceptions.GoogleAPICallError) -> list[dict[str, Any]]:
    """The error's details: over REST they are the API's own objects, on which the SDK's `.reason` breaks."""
    return [detail for detail in error.details or () if isinstance(detail, dict)]
