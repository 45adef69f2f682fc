"""Makes `whatsapp_cloud.json`: the part of Meta's WhatsApp API that this channel uses, as JSON schemas with its examples.

    python -m tests.contracts.make_whatsapp_cloud <business-messaging-api_v23.0.yaml>

The source is `business-messaging-api_v23.0.yaml` of github.com/facebook/openapi, commit ecba623 of 2025-11-21.
Faults of that file are mended. It is one file made of several, in which the webhooks' schemas that had the names of
others were renamed (`TextMessage_2`), but not the references to them. And it closes each half of an `allOf` to the
properties of the other half, so that nothing at all would be valid: here the whole is closed. Where its own examples break
a schema, the schema gives way (`LOOSER`).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

SOURCE = "github.com/facebook/openapi, business-messaging-api_v23.0.yaml, commit ecba623 (2025-11-21)"
TARGET = Path(__file__).with_name("whatsapp_cloud.json")
PREFIX = "#/components/schemas/"
ROOTS = (
    "Message", "MarkMessageRequestPayload", "MessageResponsePayload", "SubscriptionRequest", "SubscriptionResponse",
    "SubscribedAppsResponse", "WebhookConfiguration", "PhoneNumberInfo", "GraphAPIError",
)  # fmt: skip
WEBHOOK = "WebhookPayload"
#: What only tells people something.
WORDS = frozenset({"description", "example", "examples", "discriminator", "title", "deprecated", "externalDocs"})
#: Schema → what of it is put aside: a policy that no example names, a pattern that forbids the index 0, and a quotation that
#: is always one of a product.
LOOSER: dict[str, dict[str, Any]] = {
    "LanguageObject": {"required": ["code"]},
    "TemplateComponent": {"properties": {"index": {"type": "string"}}},
    "ContextObject": {"required": ["from", "id"]},
}
NUMBER = "/{Version}/{Phone-Number-ID}"
ACCOUNT = "/{Version}/{WABA-ID}"


def main(source: str) -> None:
    spec = yaml.load(Path(source).read_text("utf-8"), Loader=yaml.CSafeLoader)
    schemas, paths = spec["components"]["schemas"], spec["paths"]
    found: dict[str, Any] = {}
    for root in ROOTS:
        _collect(root, schemas, found, {})
    _collect(WEBHOOK, schemas, found, _own_names(schemas))
    reduced = {
        "source": SOURCE,
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$defs": dict(sorted(found.items())),
        "media": _answer(paths[f"{NUMBER}/media"]["post"]),
        "media_url": _answer(paths["/{Version}/{Media-ID}"]["get"]),
        "templates": _answer(paths[f"{ACCOUNT}/message_templates"]["get"]),
        "examples": {
            "webhooks": _examples(paths["/whatsapp/webhooks"]["post"]["requestBody"]["content"]),
            "sent": _examples(paths[f"{NUMBER}/messages"]["post"]["responses"]["200"]["content"]),
            "number": _examples(paths[NUMBER]["get"]["responses"]["200"]["content"]),
            "templates": _examples(paths[f"{ACCOUNT}/message_templates"]["get"]["responses"]["200"]["content"]),
            "errors": {
                f"{status} {name}": example
                for status, answer in paths[NUMBER]["get"]["responses"].items()
                if status != "200"
                for name, example in _examples(answer["content"]).items()
            },
        },
    }
    TARGET.write_text(json.dumps(reduced, ensure_ascii=False, indent=1) + "\n", "utf-8")


def _own_names(schemas: dict[str, Any]) -> dict[str, str]:
    """What the webhooks mean by the name of a schema that was renamed: the last made of its numbered forms."""
    own = {}
    for name in schemas:
        plain, _line, number = name.rpartition("_")
        if plain and number.isdecimal():
            own[plain] = max(own.get(plain, name), name, key=lambda one: int(one.rpartition("_")[2]))
    return own


def _collect(name: str, schemas: dict[str, Any], found: dict[str, Any], names: dict[str, str]) -> None:
    """Add a schema and all that it refers to."""
    if name not in found:
        found[name] = {}
        schema = dict(schemas[name])
        for key, value in LOOSER.get(name, {}).items():
            schema[key] = schema[key] | value if isinstance(value, dict) else value
        found[name] = _mended(schema, schemas, found, names)


def _mended(value: Any, schemas: dict[str, Any], found: dict[str, Any], names: dict[str, str]) -> Any:
    if isinstance(value, list):
        return [_mended(item, schemas, found, names) for item in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        meant = value["$ref"].removeprefix(PREFIX)
        meant = names.get(meant, meant)
        _collect(meant, schemas, found, names)
        return {"$ref": f"#/$defs/{meant}"}
    kept = {
        # Of `properties` the keys are names and not words of the schema language.
        key: {name: _mended(one, schemas, found, names) for name, one in item.items()}
        if key == "properties"
        else _mended(item, schemas, found, names)
        for key, item in value.items()
        if key not in WORDS
    }
    if any(part.get("additionalProperties") is False for part in kept.get("allOf", ())):
        for part in kept["allOf"]:
            part.pop("additionalProperties", None)
        kept["unevaluatedProperties"] = False
    return kept


def _answer(operation: dict[str, Any]) -> Any:
    return _mended(operation["responses"]["200"]["content"]["application/json"]["schema"], {}, {}, {})


def _examples(content: dict[str, Any]) -> dict[str, Any]:
    return {name: example["value"] for name, example in content["application/json"].get("examples", {}).items()}


if __name__ == "__main__":
    main(sys.argv[1])
