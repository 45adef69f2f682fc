"""A fake of the language model providers: Gemini, OpenAI (and OpenRouter, vLLM) and Anthropic, over HTTP.

    python -m tests.sandbox.llm --port 9100 --latency-ms 800

Any key is accepted. Without a script it answers by the rules of `llm_answers`. Faults are queued in Python
(`fake.fail("rate_limited", times=2)`) or over HTTP:

    POST /_sandbox/faults    {"fault": "timeout", "times": 3, "model": "gemini-main", "after": 7}
    POST /_sandbox/settings  {"latency_ms": 800}
    GET  /_sandbox/calls     the ledger: time, duration, protocol, model, status, fault
    POST /_sandbox/reset     forgets faults and ledger
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from .llm_answers import Prompted, default
from .server import Router

GEMINI = re.compile(r"^/v1(?:beta)?/models/([^/:]+):generateContent$")
OPENAI = ("/v1/chat/completions", "/api/v1/chat/completions")
ANTHROPIC = "/v1/messages"
#: The old Gemini SDK sends enum numbers for types.
TYPES = {1: "string", 2: "number", 3: "integer", 4: "boolean", 5: "array", 6: "object"}
FAULTS = (
    "rate_limited", "quota", "error", "unavailable", "timeout", "drip", "malformed", "fenced", "wrong_schema", "blocked",
    "blocked_prompt", "cut", "unauthorized", "gone", "bad_request", "late_error", "hang_up",
)  # fmt: skip
STATUS = {
    "rate_limited": 429, "quota": 429, "error": 500, "unavailable": 503, "unauthorized": 401, "gone": 404, "bad_request": 400,
}  # fmt: skip
GEMINI_STATUS = {429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE", 404: "NOT_FOUND", 400: "INVALID_ARGUMENT"}
OPENAI_CODE = {"rate_limited": "rate_limit_exceeded", "quota": "insufficient_quota", "unauthorized": "invalid_api_key"}
ANTHROPIC_TYPE = {
    429: "rate_limit_error", 500: "api_error", 503: "overloaded_error", 401: "authentication_error", 404: "not_found_error",
    400: "invalid_request_error",
}  # fmt: skip

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass(slots=True)
class Call:
    """One line of the ledger. Times are seconds of the Unix clock."""

    at: float
    protocol: str
    model: str
    path: str
    fault: str = ""
    status: int = 0
    seconds: float = 0.0
    body: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Fault:
    kind: str
    times: int = 1
    model: str = ""
    after: float | None = None
    seconds: float = 60.0


class FakeLLM(Router):
    """An ASGI app. `script` gets the whole request and gives the answer (anything JSON, or a string sent as it is)."""

    def __init__(
        self, *, latency: float = 0.0, script: Callable[[Prompted], Any] | None = None, keep_bodies: bool = True
    ) -> None:
        super().__init__()
        self.latency = latency
        self.script = script
        self.keep_bodies = keep_bodies
        self.calls: deque[Call] = deque(maxlen=100_000)
        self.queued: list[Fault] = []

    def fail(self, kind: str, *, times: int = 1, model: str = "", after: float | None = None, seconds: float = 60.0) -> None:
        """Let the next `times` calls (of this model, if one is named) fail in this way."""
        if kind not in FAULTS:
            raise ValueError(f"no such fault: {kind}; there are {', '.join(FAULTS)}")
        self.queued.append(Fault(kind, times, model, after, seconds))

    def reset(self) -> None:
        self.calls.clear()
        self.queued.clear()
        self.script = None
        self.latency = 0.0

    async def _http(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        body = await _read(receive)
        path: str = scope["path"]
        if path.startswith("/_sandbox/"):
            await self._control(path.removeprefix("/_sandbox/"), body, send)
        elif path.endswith("/models"):
            await _respond(send, 200, {"object": "list", "data": [{"id": "fake", "object": "model"}]})
        else:
            await self._complete(scope, path, json.loads(body or b"{}"), receive, send)

    async def _control(self, action: str, body: bytes, send: Send) -> None:
        given = json.loads(body) if body else {}
        if action == "faults" and given:
            self.fail(given.pop("fault"), **given)
        elif action == "settings":
            self.latency = float(given["latency_ms"]) / 1000
        elif action == "reset":
            self.reset()
        elif action == "calls":
            lines = [
                {name: value for name, value in asdict(call).items() if name not in ("body", "headers")} for call in self.calls
            ]
            await _respond(send, 200, lines)
            return
        await _respond(send, 200, {"faults": [asdict(fault) for fault in self.queued], "latency_ms": self.latency * 1000})

    async def _complete(self, scope: dict[str, Any], path: str, body: dict[str, Any], receive: Receive, send: Send) -> None:
        if match := GEMINI.match(path):
            prompted = from_gemini(body, match.group(1))
        elif path in OPENAI:
            prompted = from_openai(body)
        elif path == ANTHROPIC:
            prompted = from_anthropic(body)
        else:
            await _respond(send, 404, {"error": {"code": 404, "message": "no such path", "status": "NOT_FOUND"}})
            return
        call = Call(time.time(), prompted.protocol, prompted.model, path)
        if self.keep_bodies:
            call.body = body
            call.headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        self.calls.append(call)
        fault = self._next_fault(prompted.model)
        call.fault = fault.kind if fault else ""
        started = time.perf_counter()
        if self.latency:
            await asyncio.sleep(self.latency)
        try:
            call.status = await self._answer(prompted, fault, receive, send)
        finally:
            call.seconds = round(time.perf_counter() - started, 4)

    def _next_fault(self, model: str) -> Fault | None:
        for fault in self.queued:
            if not fault.model or fault.model == model:
                fault.times -= 1
                if fault.times <= 0:
                    self.queued.remove(fault)
                return fault
        return None

    async def _answer(self, prompted: Prompted, fault: Fault | None, receive: Receive, send: Send) -> int:
        kind = fault.kind if fault else ""
        if fault and kind in STATUS:
            return await _refuse(prompted, fault, send)
        if fault and kind == "timeout":
            await _until_gone(receive, fault.seconds)
            return 0
        if kind == "hang_up":
            raise ConnectionResetError("the fake hangs up")
        text = self._text(prompted, kind)
        payload = RENDER[prompted.protocol](prompted, text, kind)
        if fault and kind == "drip":
            await _drip(send, json.dumps(payload).encode(), fault.seconds)
        else:
            await _respond(send, 200, payload)
        return 200

    def _text(self, prompted: Prompted, kind: str) -> str:
        if kind == "malformed":
            return 'Sure! Here is what you asked for: {"reply": "unfinished'
        if kind == "wrong_schema":
            return '{"unexpected": [1, 2, 3]}'
        answer = (self.script or default)(prompted)
        text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
        return (
            f"<think>Let me see {{...}}</think>\nHere it is:\n```json\n{text}\n```\nAnything else?"
            if kind == "fenced"
            else text
        )


# ── What the protocols ask ───────────────────────────────────────────────────────────────────────────────────────────
def either(mapping: dict[str, Any], camel: str, default_value: Any = None) -> Any:
    """A value under its camelCase or snake_case name."""
    if camel in mapping:
        return mapping[camel]
    return mapping.get(re.sub("([A-Z])", lambda found: "_" + found.group(1).lower(), camel), default_value)


def from_gemini(body: dict[str, Any], model: str) -> Prompted:
    config = either(body, "generationConfig", {})
    schema = either(config, "responseJsonSchema") or _plain_types(either(config, "responseSchema"))
    system = "\n".join(part.get("text", "") for part in (either(body, "systemInstruction") or {}).get("parts", ()))
    messages, sounds = [], []
    for content in body.get("contents", ()):
        parts = content.get("parts", ())
        messages.append((content.get("role", "user"), "\n".join(part.get("text", "") for part in parts if part.get("text"))))
        sounds += [either(part, "inlineData")["data"] for part in parts if either(part, "inlineData")]
    return Prompted("gemini", model, system, messages, schema, *_sound(sounds))


def _sound(encoded: list[str]) -> tuple[int, bytes]:
    """How much sound was sent, and the sound."""
    return sum(map(len, encoded)), b"".join(map(base64.b64decode, encoded))


def _plain_types(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_plain_types(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: _plain_types(value) for key, value in schema.items()}
    if isinstance(kind := schema.get("type"), int | str):
        plain["type"] = TYPES.get(kind, str(kind).lower())  # type: ignore[call-overload]
    return plain


def from_openai(body: dict[str, Any]) -> Prompted:
    schema = ((body.get("response_format") or {}).get("json_schema") or {}).get("schema")
    texts = [(message["role"], _openai_text(message["content"])) for message in body["messages"]]
    system = "\n".join(text for role, text in texts if role in ("system", "developer"))
    sounds = [
        part["input_audio"]["data"]
        for message in body["messages"]
        if isinstance(message["content"], list)
        for part in message["content"]
        if "input_audio" in part
    ]
    said = [pair for pair in texts if pair[0] not in ("system", "developer")]
    return Prompted("openai", body["model"], system, said, schema, *_sound(sounds))


def _openai_text(content: Any) -> str:
    return content if isinstance(content, str) else "\n".join(part.get("text", "") for part in content or ())


def from_anthropic(body: dict[str, Any]) -> Prompted:
    schema = ((body.get("output_config") or {}).get("format") or {}).get("schema")
    texts = [(message["role"], _openai_text(message["content"])) for message in body["messages"]]
    return Prompted("anthropic", body["model"], _openai_text(body.get("system") or ""), texts, schema)


# ── What they answer ─────────────────────────────────────────────────────────────────────────────────────────────────
def to_gemini(prompted: Prompted, text: str, kind: str) -> dict[str, Any]:
    usage = {
        "promptTokenCount": len(prompted.text) // 4,
        "candidatesTokenCount": len(text) // 4,
        "totalTokenCount": len(prompted.text) // 4,
    }
    envelope = {"usageMetadata": usage | {"thoughtsTokenCount": 7}, "modelVersion": prompted.model, "responseId": "fake"}
    if kind == "blocked_prompt":
        return envelope | {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}
    if kind == "cut":
        return envelope | {"candidates": [{"content": {"role": "model"}, "finishReason": "MAX_TOKENS", "index": 0}]}
    if kind == "blocked":
        return envelope | {"candidates": [{"finishReason": "SAFETY", "index": 0}]}
    parts = [{"text": "thinking aloud", "thought": True}, {"text": text[: len(text) // 2]}, {"text": text[len(text) // 2 :]}]
    return envelope | {"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}]}


def to_openai(prompted: Prompted, text: str, kind: str) -> dict[str, Any]:
    if kind == "late_error":
        return {"error": {"code": 502, "message": "upstream broke"}}
    message: dict[str, Any] = {"role": "assistant", "content": None if kind == "cut" else text}
    if kind == "blocked":
        message |= {"content": None, "refusal": "I cannot help with that."}
    finish = {"cut": "length", "blocked_prompt": "content_filter"}.get(kind, "stop")
    usage = {"prompt_tokens": len(prompted.text) // 4, "completion_tokens": len(text) // 4, "total_tokens": 0}
    usage |= {"completion_tokens_details": {"reasoning_tokens": 3}}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {
        "id": "fake",
        "object": "chat.completion",
        "created": 1,
        "model": prompted.model,
        "choices": [choice],
        "usage": usage,
    }


def to_anthropic(prompted: Prompted, text: str, kind: str) -> dict[str, Any]:
    stop = {"cut": "max_tokens", "blocked": "refusal", "blocked_prompt": "refusal"}.get(kind, "end_turn")
    content = (
        [] if stop != "end_turn" else [{"type": "thinking", "thinking": "…", "signature": "s"}, {"type": "text", "text": text}]
    )
    usage = {"input_tokens": len(prompted.text) // 4, "output_tokens": len(text) // 4}
    return {
        "id": "msg_fake", "type": "message", "role": "assistant", "model": prompted.model, "content": content,
        "stop_reason": stop, "stop_sequence": None, "usage": usage,
    }  # fmt: skip


RENDER = {"gemini": to_gemini, "openai": to_openai, "anthropic": to_anthropic}


async def _refuse(prompted: Prompted, fault: Fault, send: Send) -> int:
    """An error status. The messages repeat key and prompt on purpose: nothing of them may surface anywhere."""
    status, told = STATUS[fault.kind], f"refused: key sk-secret, prompt {prompted.last_user}"
    headers = {} if fault.after is None else {"Retry-After": f"{fault.after:g}"}
    if prompted.protocol == "gemini":
        details: list[dict[str, Any]] = []
        if fault.after is not None:
            details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{fault.after:g}s"}]
        if fault.kind == "unauthorized":
            status = 400
            details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]
        error = {"code": status, "message": told, "status": GEMINI_STATUS[status], "details": details}
        await _respond(send, status, {"error": error})
    elif prompted.protocol == "openai":
        error = {"message": told, "type": "error", "param": None, "code": OPENAI_CODE.get(fault.kind)}
        await _respond(send, status, {"error": error}, headers)
    else:
        error = {"type": ANTHROPIC_TYPE[status], "message": told}
        await _respond(send, status, {"type": "error", "error": error, "request_id": "req_fake"}, headers)
    return status


async def _respond(send: Send, status: int, payload: Any, headers: dict[str, str] | None = None) -> None:
    body = json.dumps(payload, ensure_ascii=False).encode()
    lines = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    lines += [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body})


async def _drip(send: Send, body: bytes, seconds: float) -> None:
    """A byte every tenth of a second: no single read times out, the whole takes `seconds` and more."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    for position in range(int(seconds * 10)):
        await send({"type": "http.response.body", "body": body[position : position + 1], "more_body": True})
        await asyncio.sleep(0.1)
    await send({"type": "http.response.body", "body": body[int(seconds * 10) :]})


async def _until_gone(receive: Receive, seconds: float) -> None:
    """Say nothing until the caller gives up."""

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    try:
        await asyncio.wait_for(gone(), seconds)
    except TimeoutError:
        return


async def _read(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        event = await receive()
        body += event.get("body", b"")
        more = event.get("more_body", False)
    return body


def main() -> None:
    import uvicorn

    parser = argparse.ArgumentParser(description="Fake language model providers.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9100)
    parser.add_argument("--latency-ms", type=float, default=0)
    given = parser.parse_args()
    app = FakeLLM(latency=given.latency_ms / 1000, keep_bodies=False)
    uvicorn.run(app, host=given.host, port=given.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
