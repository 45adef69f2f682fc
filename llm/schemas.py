"""JSON schemas of the answers we ask for, in the forms that providers take. Computed once per answer class."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import BaseModel

Form = TypeVar("Form")

#: What every provider understands; limits and defaults are checked by pydantic when the answer is read.
STRICT_KEYWORDS = frozenset(
    {"$defs", "$ref", "additionalProperties", "anyOf", "description", "enum", "items", "properties", "required", "type"}
)


def _once(make: Callable[[type[BaseModel]], Form]) -> Callable[[type[BaseModel]], Form]:
    return lru_cache(maxsize=64)(make)


@_once
def plain(schema: type[BaseModel]) -> dict[str, Any]:
    """Plain JSON Schema without titles and defaults. Shared: do not change it."""
    return _without(schema.model_json_schema())  # type: ignore[no-any-return]


@_once
def strict(schema: type[BaseModel]) -> tuple[dict[str, Any], bool]:
    """The schema in the strict dialect (every property required, nothing else allowed), and whether it is fully so.

    An object with free keys cannot be said strictly.
    """
    loose: list[str] = []
    return _strict(plain(schema), loose), not loose


@_once
def as_text(schema: type[BaseModel]) -> str:
    """The schema for an instruction, where the model takes none in the request."""
    return json.dumps(plain(schema), ensure_ascii=False)


def _without(node: Any) -> Any:
    if isinstance(node, list):
        return [_without(item) for item in node]
    if not isinstance(node, dict):
        return node
    cleaned = {}
    for key, value in node.items():
        if key in ("properties", "$defs"):
            cleaned[key] = {name: _without(inner) for name, inner in value.items()}
        elif key not in ("title", "default", "discriminator"):
            cleaned[key] = _without(value)
    return cleaned


def _strict(node: Any, loose: list[str]) -> Any:
    if not isinstance(node, dict):
        return node
    node = dict(node)
    if "oneOf" in node:
        node["anyOf"] = node.pop("oneOf")
    if "const" in node:
        node["enum"] = [node.pop("const")]
    if "$ref" in node:
        return {"$ref": node["$ref"]}
    kept = {key: value for key, value in node.items() if key in STRICT_KEYWORDS}
    for key in ("properties", "$defs"):
        if key in kept:
            kept[key] = {name: _strict(inner, loose) for name, inner in kept[key].items()}
    if "items" in kept:
        kept["items"] = _strict(kept["items"], loose)
    if "anyOf" in kept:
        kept["anyOf"] = [_strict(option, loose) for option in kept["anyOf"]]
    if kept.get("type") == "object":
        if "properties" not in kept:
            loose.append("object")
            return kept
        kept |= {"required": list(kept["properties"]), "additionalProperties": False}
    return kept
