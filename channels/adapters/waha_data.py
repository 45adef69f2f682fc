"""What WAHA's engines say in `_data`, the message in their own words. Everything may be missing or of another shape.

WEBJS and WPP write a flat object with a `type`; NOWEB writes `{"key", "pushName", "message": {"<kind>Message": {…}}}`; GOWS
the same with capitals: `{"Info": {…}, "Message": {…}}`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

#: Kinds of messages without anything a customer says: keys, settings, calls, deletions.
SERVICE = frozenset(
    {
        "", "call_log", "ciphertext", "debug", "deviceSent", "e2e_notification", "encReaction", "gp2", "group_notification",
        "keepInChat", "notification", "notification_template", "pinInChat", "pin_in_chat", "placeholder", "pollUpdate",
        "protocol", "reaction", "revoked", "senderKeyDistribution", "broadcast_notification",
    }
)  # fmt: skip
#: Keys beside the one that tells a message's kind.
_BESIDE = frozenset({"messageContextInfo", "senderKeyDistributionMessage"})
_WRAPPERS = frozenset(
    {"ephemeralMessage", "viewOnceMessage", "viewOnceMessageV2", "documentWithCaptionMessage", "editedMessage"}
)
_SHORT = {"conversation": "chat", "extendedText": "chat", "ptv": "video", "contact": "vcard"}


def text(value: Any) -> str:
    """A text that can be stored: a lone surrogate or a NUL is legal JSON."""
    return value.replace("\0", "").encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def number(value: Any) -> float | None:
    """A positive number, also from its text or from the two halves of a long one; None where it is none."""
    if isinstance(value, dict):
        value = value.get("low")
    try:
        found = float(value) if not isinstance(value, bool) else 0.0
    except (TypeError, ValueError):
        return None
    return found if 0 < found < 10**12 else None


def _kind(inner: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name of a message's kind (`audioMessage`) and what it holds, unwrapped."""
    message = table(inner.get("message") or inner.get("Message"))
    for _depth in range(4):
        name = next((key for key, value in message.items() if key not in _BESIDE and value not in (None, {}, [])), "")
        if name not in _WRAPPERS:
            return name, table(message.get(name))
        message = table(table(message.get(name)).get("message"))
    return "", {}


def engine_type(inner: Mapping[str, Any]) -> str:
    """`chat`, `ptt`, `audio`, `image`, `sticker`, …; a word of the engine's own for others; empty where it says nothing."""
    if isinstance(inner.get("type"), str):
        return str(inner["type"])
    name, held = _kind(inner)
    if name == "audioMessage" and (held.get("ptt") is True or held.get("PTT") is True):
        return "ptt"
    short = name.removesuffix("Message")
    return _SHORT.get(short, short)


def content(inner: Mapping[str, Any]) -> Mapping[str, Any]:
    """The engine's facts about a file: `mimetype`, `seconds` or `duration`, `fileLength` or `size`, `fileName`."""
    return inner if isinstance(inner.get("type"), str) else _kind(inner)[1]


def names(inner: Mapping[str, Any]) -> tuple[str, str]:
    """The name a person gave themselves, and that of a verified business."""
    info = table(inner.get("Info"))
    found = text(inner.get("pushName")) or text(inner.get("notifyName")) or text(info.get("PushName"))
    return found, text(inner.get("verifiedBizName")) or text(inner.get("verifiedName"))


def phone_chat(inner: Mapping[str, Any], mine: bool) -> str:
    """The chat id with the phone that an engine gives beside a hidden one, or the empty word."""
    info, key = table(inner.get("Info")), table(inner.get("key"))
    told = (key.get("remoteJidAlt"), info.get("RecipientAlt" if mine else "SenderAlt"))
    return next((word for word in told if isinstance(word, str) and word.endswith(("@s.whatsapp.net", "@c.us"))), "")


def chosen_row(inner: Mapping[str, Any]) -> str:
    """The id of the list row or button that was tapped; engines spell it in their own ways."""
    reply = {"listresponsemessage", "singleselectreply", "buttonsresponsemessage", "templatebuttonreplymessage"}
    for path, name, value in _walk(inner):
        if name in ("selectedrowid", "selectedbuttonid", "selectedid") and reply & set(path) and isinstance(value, str):
            return text(value)[:256]
    return ""


def _walk(value: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str, Any]]:
    for key, item in value.items():
        yield path, key.lower(), item
        # What a message quotes was said before.
        if isinstance(item, dict) and len(path) < 6 and key.lower() != "contextinfo":
            yield from _walk(item, (*path, key.lower()))
