"""Make `waha.json`: of WAHA's own OpenAPI file, the operations and webhooks that are used here, without their words, and
an example of each webhook, put together from the examples of its properties.

The generator of that file writes `"type": "object"` for values whose own examples are strings; that is set right here.

    python -m tests.contracts.make_waha openapi.json

The file is `static/swagger/openapi.json` of github.com/devlikeapro/waha-docs.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

SOURCE = "github.com/devlikeapro/waha-docs, static/swagger/openapi.json, commit 1a6f1c4 of 2026-07-24"
OPERATIONS = (
    "POST /api/sessions", "GET /api/sessions/{session}", "PUT /api/sessions/{session}",
    "POST /api/sessions/{session}/start", "POST /api/sessions/{session}/stop", "POST /api/sessions/{session}/restart",
    "POST /api/sessions/{session}/logout", "GET /api/{session}/auth/qr", "POST /api/{session}/auth/request-code",
    "GET /api/server/version", "GET /api/{session}/lids/{lid}", "GET /api/{session}/chats/{chatId}/messages",
    "GET /api/{session}/chats/{chatId}/messages/{messageId}", "GET /api/{session}/chats/overview", "POST /api/sendText",
    "POST /api/sendImage", "POST /api/sendFile", "POST /api/sendVoice", "POST /api/sendSeen", "POST /api/startTyping",
)  # fmt: skip
WEBHOOKS = (
    "message", "message.any", "message.ack", "message.ack.group", "message.reaction", "message.edited", "message.revoked",
    "session.status", "call.received",
)  # fmt: skip
#: What says nothing of the shape of a value.
WORDS = frozenset({"description", "summary", "example", "examples", "default", "tags", "security", "operationId", "deprecated"})


def reduced(whole: dict[str, Any]) -> dict[str, Any]:
    operations = {name: _operation(whole, *name.split(" ")) for name in OPERATIONS}
    webhooks = {name: _bare(_body(whole["webhooks"][name]["post"])) for name in WEBHOOKS}
    schemas = whole["components"]["schemas"]
    examples = {name: _example(_body(whole["webhooks"][name]["post"]), schemas) for name in WEBHOOKS}
    kept: dict[str, Any] = {}
    waiting = _references([operations, webhooks])
    while waiting:
        name = waiting.pop()
        if name not in kept:
            kept[name] = _bare(whole["components"]["schemas"][name])
            waiting |= _references(kept[name])
    return {
        "source": SOURCE, "version": whole["info"]["version"], "operations": operations, "webhooks": webhooks,
        "examples": examples, "components": {"schemas": dict(sorted(kept.items()))},
    }  # fmt: skip


def _operation(whole: dict[str, Any], method: str, path: str) -> dict[str, Any]:
    found = whole["paths"][path][method.lower()]
    parameters = [
        {"name": given["name"], "required": given.get("required", False), "schema": _bare(given.get("schema", {}))}
        for given in found.get("parameters", [])
        if given["in"] == "query"
    ]
    answers = {status: _bare(_body(answer)) for status, answer in found["responses"].items()}
    return {"query": parameters, "body": _bare(_body(found.get("requestBody", {}))) or None, "answers": answers}


def _body(holder: dict[str, Any]) -> dict[str, Any]:
    content = holder.get("requestBody", holder).get("content", {})
    return content.get("application/json", {}).get("schema", {}) if content else {}


def _bare(value: Any, within_properties: bool = False) -> Any:
    if isinstance(value, dict):
        # A property may be called "description": only keywords are words.
        found = {
            name: _bare(item, name == "properties") for name, item in value.items() if within_properties or name not in WORDS
        }
        if found.get("type") == "object" and not within_properties and _means_string(value):
            found["type"] = "string"
        if found.get("type") == "array" and all(isinstance(item, str) for item in value.get("example") or [{}]):
            found["items"] = {"type": "string"}
        if isinstance(found.get("required"), bool) and not within_properties:
            # Not JSON Schema: the generator writes it where it means the object around.
            del found["required"]
        return found
    return [_bare(item) for item in value] if isinstance(value, list) else value


def _means_string(schema: dict[str, Any]) -> bool:
    return any(isinstance(value, str) for value in (schema.get("default"), schema.get("example"), *schema.get("enum", [])))


def _example(schema: dict[str, Any], schemas: dict[str, Any]) -> Any:
    for given in ("example", "default"):
        if given in schema and schema[given] is not None:
            return schema[given]
    if "$ref" in schema:
        return _example(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "allOf" in schema:
        return _example(schema["allOf"][0], schemas)
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("type") == "array":
        return [_example(schema.get("items", {}), schemas)]
    if schema.get("type") == "object" or "properties" in schema:
        return {name: _example(item, schemas) for name, item in schema.get("properties", {}).items()}
    return {"string": "text", "number": 1, "boolean": False}.get(str(schema.get("type")))


def _references(value: Any) -> set[str]:
    return set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(value)))


if __name__ == "__main__":
    made = reduced(json.loads(Path(sys.argv[1]).read_bytes()))
    Path(__file__).with_name("waha.json").write_text(json.dumps(made, ensure_ascii=False, indent=1) + "\n")
