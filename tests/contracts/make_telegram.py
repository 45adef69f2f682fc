"""Makes `telegram.json`: the part of Telegram's Bot API that this channel uses, as JSON schemas.

    python -m tests.contracts.make_telegram <telegram-bot-api-10.1.json>

The source is `api.json` of github.com/PaulSonOfLars/telegram-bot-api-spec (MIT), commit 160fd995: Bot API 10.1 of 11 June 2026.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

SOURCE = "github.com/PaulSonOfLars/telegram-bot-api-spec, api.json, commit 160fd995 (MIT)"
TARGET = Path(__file__).with_name("telegram.json")
METHODS = (
    "getMe", "getUpdates", "setWebhook", "deleteWebhook", "getWebhookInfo", "sendMessage", "sendPhoto", "sendDocument",
    "sendVoice", "sendChatAction", "answerCallbackQuery", "getFile",
)  # fmt: skip
#: Types described in full; every other one may be anything.
TYPES = (
    "Update", "Message", "Chat", "User", "MessageEntity", "PhotoSize", "Voice", "Audio", "Document", "Video", "VideoNote",
    "Animation", "Sticker", "Contact", "Location", "Venue", "Dice", "CallbackQuery", "ChatMemberUpdated", "WebhookInfo", "File",
    "InlineKeyboardMarkup", "InlineKeyboardButton", "ReplyKeyboardMarkup", "KeyboardButton", "LinkPreviewOptions",
    "ReplyParameters",
)  # fmt: skip
SIMPLE = {"Integer": "integer", "String": "string", "Boolean": "boolean", "Float": "number", "Float number": "number"}
#: Answers that one of the methods gives and that the adapter reads.
RESULTS = {"getMe": "User", "getWebhookInfo": "WebhookInfo", "getFile": "File", "sendMessage": "Message"}


def schema(name: str) -> dict[str, Any]:
    """The schema of one named type."""
    if name.startswith("Array of "):
        return {"type": "array", "items": schema(name.removeprefix("Array of "))}
    if name in SIMPLE:
        return {"type": SIMPLE[name]}
    if name == "InputFile":
        return {"type": "object", "required": ["file"]}
    return {"$ref": f"#/$defs/{name}"} if name in TYPES else {}


def table(fields: list[dict[str, Any]]) -> dict[str, Any]:
    """The schema of an object with these fields, and no others."""
    properties = {
        item["name"]: schema(item["types"][0]) if len(item["types"]) == 1 else {"anyOf": [schema(t) for t in item["types"]]}
        for item in fields
    }
    required = [item["name"] for item in fields if item["required"]]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def reduced(source: dict[str, Any]) -> dict[str, Any]:
    message = source["types"]["Message"]["fields"]
    return {
        "source": SOURCE,
        "version": f"{source['version']}, {source['release_date']}",
        "methods": {name: table(source["methods"][name].get("fields") or []) for name in METHODS},
        "results": {name: schema(result) for name, result in RESULTS.items()},
        "service": sorted(f["name"] for f in message if "service message" in f["description"].lower()),
        "$defs": {name: table(source["types"][name]["fields"]) for name in TYPES},
    }


if __name__ == "__main__":
    found = reduced(json.loads(Path(sys.argv[1]).read_text()))
    TARGET.write_text(json.dumps(found, ensure_ascii=False, indent=1, sort_keys=True) + "\n")
