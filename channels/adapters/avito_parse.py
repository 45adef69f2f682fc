"""Avito's chats and messages made into raw events, and raw events understood. Nothing here talks to the network.

A webhook is unsigned, so of what it says nothing is believed: it only rings. The messages themselves are read from the
account's history, where each stands with its chat.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from django.utils.translation import gettext as _

from channels.base import Echo, Event, InboundMessage, Kind, Media, News, RawEvent, Sender, Skipped
from channels.payloads import dumped, loaded
from foundation.errors import Unreadable

from .avito_client import created

#: Where every customer of this channel comes from.
SOURCE = "avito-lead"
RING = "ring"
ROUBLES = re.compile(r"(\d[\d\s]*(?:[.,]\d{1,2})?)\s*(?:₽|руб\.?|р\.)", re.IGNORECASE)
#: Types of which Avito's API shows no content.
UNSHOWN = {"file": Kind.DOCUMENT, "video": Kind.VIDEO}


# ── Raw events ───────────────────────────────────────────────────────────────────────────────────────────────────────
def rings(body: bytes, account: int | None) -> list[RawEvent]:
    """What a webhook's body makes known: that there is news, or nothing. Raises Unreadable, and Stranger for the event of
    another account than ours."""
    envelope = loaded(body)
    if not envelope:
        # Avito's own way to try an address.
        return []
    payload = envelope.get("payload")
    value = payload.get("value") if isinstance(payload, dict) else None
    if not isinstance(payload, dict) or not isinstance(value, dict):
        raise Unreadable("no payload with a value")
    if account is not None and value.get("user_id") != account:
        raise Stranger("the webhook is of another account")
    identifier = value.get("id")
    if payload.get("type") != "message" or not isinstance(identifier, str) or not identifier:
        return [RawEvent(_hashed(RING, body), dumped({RING: _word(payload.get("type"))}))]
    return [RawEvent(_event_id(RING, identifier), dumped({RING: "message"}))]


class Stranger(Exception):
    """The event belongs to another account."""


def raw_event(chat: Mapping[str, Any], message: Mapping[str, Any], account: int) -> RawEvent:
    """One message of the history, stored with what its chat is about."""
    kept = {"account": account, "chat": _slim(chat, account), "message": _without_previews(message)}
    return RawEvent(_event_id("message", str(message["id"])), dumped(kept), lane=str(chat["id"]))


def _slim(chat: Mapping[str, Any], account: int) -> dict[str, Any]:
    """Without pictures, profiles, ourselves and the last message."""
    context = table_of(chat.get("context"))
    value = table_of(context.get("value"))
    return {
        "id": chat["id"],
        "context": {
            "type": context.get("type"),
            "value": {name: value.get(name) for name in ("id", "title", "price_string", "url", "status_id")},
        },
        "users": [{"id": user.get("id"), "name": user.get("name")} for user in others(chat, account)],
    }


def _without_previews(message: Mapping[str, Any]) -> dict[str, Any]:
    content = table_of(message.get("content"))
    link = table_of(content.get("link"))
    if not link.get("preview"):
        return dict(message)
    return {**message, "content": {**content, "link": {**link, "preview": None}}}


def others(chat: Mapping[str, Any], account: int) -> list[dict[str, Any]]:
    """The people of a chat except us."""
    users = chat.get("users")
    return [user for user in users if isinstance(user, dict) and user.get("id") != account] if isinstance(users, list) else []


def _event_id(kind: str, identifier: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_.~:-]{1,128}", identifier):
        return f"{kind}:{identifier}"
    return _hashed(kind, identifier.encode("utf-8", "surrogatepass"))


def _hashed(kind: str, content: bytes) -> str:
    return f"{kind}:sha256:{hashlib.sha256(content).hexdigest()}"


def _word(value: Any) -> str:
    return value if isinstance(value, str) and re.fullmatch(r"\w{1,40}", value) else "unknown"



# ── Events ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def understand(payload: bytes) -> list[Event]:
    """The event in what `rings` or `raw_event` made. Raises Unreadable."""
    kept = loaded(payload)
    if RING in kept:
        return [News()]
    chat, message, account = kept.get("chat"), kept.get("message"), kept.get("account")
    if not isinstance(chat, dict) or not isinstance(message, dict) or not isinstance(account, int):
        raise Unreadable("no message with its chat")
    return [_message(chat, message, account)]



def is_ours(message: Mapping[str, Any], account: int) -> bool:
    """Whether it left our side, by either of the two signs: answering ourselves is the worse mistake."""
    return message.get("direction") == "out" or message.get("author_id") == account


def text_of_message(message: Mapping[str, Any]) -> str:
    """The words of a message; empty for one without."""
    return text_of(table_of(message.get("content")).get("text"))


def _message(chat: Mapping[str, Any], message: Mapping[str, Any], account: int) -> Event:
    identifier, sort, chat_id = text_of(message.get("id")), text_of(message.get("type")), text_of(chat.get("id"))
    if not identifier or not sort or not chat_id:
        raise Unreadable("a message without an id, a type or a chat")
    reason = _skip_reason(chat_id, sort)
    if reason:
        return Skipped(reason)
    sent_at = moment(message)
    said = _content(sort, table_of(message.get("content")))
    if said is None:
        return Skipped(_("empty message"))
    person = _person(chat, account)
    if is_ours(message, account):
        # Avito does not tell what a program sent from what a person typed: by_person holds unless the core knows the id.
        return Echo(identifier, person, sent_at, said.text, said.kind)
    return InboundMessage(
        external_id=identifier,
        sender=person,
        sent_at=sent_at,
        kind=said.kind,
        text=said.text,
        media=said.media,
        reply_to=text_of(table_of(message.get("quote")).get("id")),
        details={"source": SOURCE, **_about(chat), **said.details},
    )


def _skip_reason(chat_id: str, sort: str) -> str:
    if chat_id.startswith("a2u"):
        return _("a message of Avito itself")
    if sort == "system":
        return _("service message")
    if sort == "deleted":
        return _("deleted message")
    return _("phone call") if sort in ("call", "appCall") else ""


def _person(chat: Mapping[str, Any], account: int) -> Sender:
    """The other side. A buyer has one chat for each listing, and is answered in the chat they wrote in: it is their id."""
    name = next((text_of(user.get("name")).strip() for user in others(chat, account) if user.get("name")), "")
    return Sender(source_id=text_of(chat.get("id")), name=name)


def about_of(value: Mapping[str, Any]) -> dict[str, str]:
    """What a listing is, from the words of its chat: title, price, currency, url and id, as far as they are known.

    The price is a number in digits with its currency, or, where it is none (“from 1 000 ₽”), Avito's own words.
    """
    shown = " ".join(text_of(value.get("price_string")).split())
    roubles = ROUBLES.fullmatch(shown)
    price = re.sub(r"\s", "", roubles[1]).replace(",", ".") if roubles else shown
    identifier = value.get("id")
    found = {
        "title": text_of(value.get("title")).strip(),
        "price": price,
        "currency": "RUB" if roubles else "",
        "url": text_of(value.get("url")),
        "id": str(identifier) if isinstance(identifier, int | str) and not isinstance(identifier, bool) else "",
    }
    return {name: word for name, word in found.items() if word}


def _about(chat: Mapping[str, Any]) -> dict[str, Any]:
    context = table_of(chat.get("context"))
    about = about_of(table_of(context.get("value"))) if context.get("type") == "item" else {}
    return {"about": about} if about else {}


# ── What a message says ──────────────────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, slots=True)
class _Content:
    kind: Kind
    text: str = ""
    media: Sequence[Media] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


def _content(sort: str, content: Mapping[str, Any]) -> _Content | None:
    """None where there is nothing in it. Raises Unreadable."""
    if sort in UNSHOWN:
        return _Content(UNSHOWN[sort], details={"type": sort})
    handler = CONTENT.get(sort)
    if handler is not None:
        return handler(content)
    return _Content(Kind.OTHER, text_of(content.get("text")), details={"type": _word(sort)})


def _text(content: Mapping[str, Any]) -> _Content | None:
    if not isinstance(content.get("text"), str):
        raise Unreadable("a text message without a text")
    text = text_of(content["text"])
    return _Content(Kind.TEXT, text) if text.strip() else None


def _image(content: Mapping[str, Any]) -> _Content:
    link = _largest(table_of(table_of(content.get("image")).get("sizes")))
    if not link:
        raise Unreadable("an image without an address")
    return _Content(Kind.IMAGE, media=(Media(ref=f"image:{link}", mime="image/jpeg"),))


def _largest(sizes: Mapping[str, Any]) -> str:
    """The address of the largest of pictures named by their width and height (`1280x960`)."""
    found = ""
    most = -1
    for size, link in sizes.items():
        sides = re.fullmatch(r"(\d{1,5})x(\d{1,5})", size)
        area = int(sides[1]) * int(sides[2]) if sides else 0
        if isinstance(link, str) and link and area > most:
            found, most = link, area
    return found


def _voice(content: Mapping[str, Any]) -> _Content:
    identifier = text_of(table_of(content.get("voice")).get("voice_id"))
    if not identifier:
        raise Unreadable("a voice message without an id")
    return _Content(Kind.VOICE, media=(Media(ref=f"voice:{identifier}", mime="audio/mp4"),))


def _link(content: Mapping[str, Any]) -> _Content | None:
    link = table_of(content.get("link"))
    text = text_of(link.get("text")) or text_of(link.get("url"))
    return _Content(Kind.TEXT, text) if text.strip() else None


def _item(content: Mapping[str, Any]) -> _Content | None:
    """A listing shown in the chat: its words, and the same as a table."""
    item = table_of(content.get("item"))
    shown = about_of({**item, "url": item.get("item_url")})
    price = " ".join(text_of(item.get("price_string")).split())
    lines = [", ".join(filter(None, (shown.get("title"), price))), shown.get("url", "")]
    text = "\n".join(filter(None, lines))
    return _Content(Kind.TEXT, text, details={"item": shown}) if text else None


def _location(content: Mapping[str, Any]) -> _Content:
    place = table_of(content.get("location"))
    try:
        point = {"latitude": float(place["lat"]), "longitude": float(place["lon"])}
    except (KeyError, TypeError, ValueError):
        raise Unreadable("a location without coordinates") from None
    if not all(map(isfinite, point.values())):
        raise Unreadable("a location without coordinates")
    return _Content(Kind.LOCATION, text_of(place.get("text")) or text_of(place.get("title")), details=point)


CONTENT: dict[str, Callable[[Mapping[str, Any]], _Content | None]] = {
    "text": _text,
    "image": _image,
    "voice": _voice,
    "link": _link,
    "item": _item,
    "location": _location,
}


# ── Values ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def table_of(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def text_of(value: Any) -> str:
    """A string without lone surrogates, which PostgreSQL and JSON would refuse, and without NUL."""
    if not isinstance(value, str):
        return ""
    return value.encode("utf-8", "replace").decode("utf-8").replace("\0", "")


def moment(message: Mapping[str, Any]) -> datetime:
    """When a message was written. Raises Unreadable."""
    at = created(message)
    if not at:
        raise Unreadable("a message without a time")
    try:
        return datetime.fromtimestamp(at, UTC)
    except (ValueError, OverflowError, OSError):
        raise Unreadable("a message without a time") from None
