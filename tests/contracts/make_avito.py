"""Makes `avito.json`: of Avito's own OpenAPI files, the operations that are used here, without their words.

    python -m tests.contracts.make_avito <folder with avito-auth, -messenger, -items and -user-info .openapi.json>

The files are `docs/avito/api/{Авторизация,Мессенджер,Объявления,Информацияопользователе}.json` of
github.com/p141592/avito_python_api. Mended here: `sendMessageRequestBody` demands a `url` that it does not have, and the
nullable values are written in the way of OpenAPI 3.0. The form of a webhook stands there as an answer 201.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

SOURCE = "github.com/p141592/avito_python_api, docs/avito/api, commit c3d30e9b of 2026-04-30"
TARGET = Path(__file__).with_name("avito.json")
USER = "/messenger/v{}/accounts/{{user_id}}"
FILES: dict[str, tuple[str, ...]] = {
    "auth": ("POST /token",),
    "user-info": ("GET /core/v1/accounts/self",),
    "messenger": (
        "POST /messenger/v3/webhook", "POST /messenger/v1/subscriptions", "POST /messenger/v1/webhook/unsubscribe",
        f"GET {USER.format(2)}/chats", f"GET {USER.format(2)}/chats/{{chat_id}}",
        f"GET {USER.format(3)}/chats/{{chat_id}}/messages/", f"POST {USER.format(1)}/chats/{{chat_id}}/messages",
        f"POST {USER.format(1)}/chats/{{chat_id}}/messages/image", f"POST {USER.format(1)}/chats/{{chat_id}}/read",
        f"POST {USER.format(1)}/uploadImages", f"GET {USER.format(1)}/getVoiceFiles", f"POST {USER.format(2)}/blacklist",
    ),
    "items": (
        "GET /core/v1/items", "GET /core/v1/accounts/{user_id}/items/{item_id}/",
        "POST /core/v1/items/{item_id}/update_price", "POST /stats/v1/accounts/{user_id}/items",
    ),
}  # fmt: skip
#: What says nothing of the shape of a value. `int32` and the like are no format of JSON Schema either.
WORDS = frozenset({"description", "example", "examples", "x-examples", "default", "summary", "deprecated", "title", "format"})


def reduced(files: dict[str, dict[str, Any]]) -> dict[str, Any]:
    operations: dict[str, Any] = {}
    for name, wanted in FILES.items():
        whole = files[name]
        for operation in wanted:
            operations[operation] = _operation(whole, *operation.split(" "))
    messenger = files["messenger"]
    answers = messenger["paths"]["/messenger/v3/webhook"]["post"]["responses"]
    return {
        "source": SOURCE,
        "versions": {name: whole["info"]["version"] for name, whole in files.items()},
        "operations": operations,
        "webhook": _bare(_inlined(_schema(answers["201"]), messenger)),
    }


def _operation(whole: dict[str, Any], method: str, path: str) -> dict[str, Any]:
    # The three operations on `/token` are told apart by an invisible letter at the end.
    shared = whole["paths"][path]
    found = shared[method.lower()]
    given = [_inlined(parameter, whole) for parameter in [*shared.get("parameters", []), *found.get("parameters", [])]]
    query = {
        parameter["name"]: {"required": parameter.get("required", False), "schema": _bare(parameter.get("schema", {}))}
        for parameter in given
        if parameter["in"] == "query"
    }
    body = _bare(_inlined(_schema(found.get("requestBody", {})), whole))
    if body.get("required") == ["url"] and "url" not in body["properties"]:
        del body["required"]
    return {"query": query, "body": body or None, "answer": _bare(_inlined(_schema(found["responses"]["200"]), whole))}


def _schema(holder: dict[str, Any]) -> dict[str, Any]:
    content = holder.get("content", {})
    return next(iter(content.values()), {}).get("schema", {})


def _inlined(value: Any, whole: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        if "$ref" in value:
            target: Any = whole
            for part in value["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            return _inlined(target, whole)
        return {name: _inlined(item, whole) for name, item in value.items()}
    return [_inlined(item, whole) for item in value] if isinstance(value, list) else value


def _bare(value: Any, within_properties: bool = False) -> Any:
    if isinstance(value, list):
        return [_bare(item) for item in value]
    if not isinstance(value, dict):
        return value
    if within_properties:
        # A property may be called "title": only keywords are words.
        return {name: _bare(item) for name, item in value.items()}
    found = {name: _bare(item, name == "properties") for name, item in value.items() if name not in WORDS}
    if found.pop("nullable", False):
        return {"anyOf": [found, {"type": "null"}]}
    if found.get("type") == "array":
        # A list of numbers stands there as one that requires its items.
        found.pop("required", None)
    return found


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    files = {name: json.loads((folder / f"avito-{name}.openapi.json").read_bytes()) for name in FILES}
    TARGET.write_text(json.dumps(reduced(files), ensure_ascii=False, indent=1) + "\n", "utf-8")
