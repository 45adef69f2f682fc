"""What one of Meta's message objects says, in our words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _

from channels.base import Kind, Media
from foundation.errors import Unreadable
from foundation.phones import canonical

FILES = {
    "audio": Kind.VOICE,
    "voice": Kind.VOICE,
    "image": Kind.IMAGE,
    "video": Kind.VIDEO,
    "document": Kind.DOCUMENT,
    "sticker": Kind.STICKER,
}
MAX_SOURCE = 60


@dataclass(frozen=True, slots=True)
class Content:
    kind: Kind
    text: str = ""
    media: Sequence[Media] = ()
    action: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


def content(item: Mapping[str, Any]) -> Content | None:
    """None where there is nothing in it. Raises Unreadable."""
    kind = text_of(item.get("type"))
    if not kind:
        raise Unreadable("a message without a type")
    if kind in FILES:
        return _file(kind, table_of(item.get(kind)))
    if kind == "contacts":
        return _contacts(list_of(item.get(kind)))
    handler = CONTENT.get(kind)
    if handler is not None:
        return handler(table_of(item.get(kind)))
    # `unsupported` (polls, messages to be seen once) and whatever comes next: the customer is asked to write it.
    return Content(Kind.OTHER, details={"type": kind[:40]})


def details(item: Mapping[str, Any], said: Content) -> dict[str, Any]:
    """What else a message carries: where the customer came from and what they ask about."""
    found = dict(said.details)
    referral = table_of(item.get("referral"))
    if referral:
        source = text_of(referral.get("source_id"))
        found["source"] = f"whatsapp-{text_of(referral.get('source_type')) or 'ad'}:{source}".rstrip(":")[:MAX_SOURCE]
        about = {"title": _title(referral), "url": text_of(referral.get("source_url")), "id": source}
        found["about"] = {name: value for name, value in about.items() if value}
    context = table_of(item.get("context"))
    product = text_of(table_of(context.get("referred_product")).get("product_retailer_id"))
    if product:
        found["about"] = {"id": product}
    if context.get("forwarded") is True or context.get("frequently_forwarded") is True:
        found["forwarded"] = True
    return found


def _title(referral: Mapping[str, Any]) -> str:
    """An ad has a headline, which is often the same for all, and a text."""
    lines = [text_of(referral.get(name)).strip() for name in ("headline", "body")]
    return ": ".join(filter(None, lines))[:200]


def _text(table: Mapping[str, Any]) -> Content | None:
    if not isinstance(table.get("body"), str):
        raise Unreadable("a text message without a text")
    return Content(Kind.TEXT, table["body"]) if table["body"].strip() else None


def _file(kind: str, table: Mapping[str, Any]) -> Content:
    if not text_of(table.get("id")):
        raise Unreadable("a file without an id")
    mime = text_of(table.get("mime_type")).partition(";")[0].strip().lower()
    meant = FILES[kind]
    if meant is Kind.DOCUMENT:
        # A photo, video or recording that was sent as a file arrives as a document.
        meant = {"video": Kind.VIDEO, "image": Kind.IMAGE, "audio": Kind.VOICE}.get(mime.partition("/")[0], meant)
    media = Media(ref=text_of(table.get("id")), mime=mime, name=text_of(table.get("filename")))
    return Content(meant, text_of(table.get("caption")), (media,))


def _interactive(table: Mapping[str, Any]) -> Content:
    kind = text_of(table.get("type"))
    reply = table_of(table.get(kind))
    if kind not in ("button_reply", "list_reply"):
        return Content(Kind.OTHER, text_of(reply.get("body")), details={"type": kind[:40]})
    if not text_of(reply.get("id")):
        raise Unreadable("a tap without an id")
    return Content(Kind.BUTTON, text_of(reply.get("title")), action=text_of(reply.get("id")))


def _button(table: Mapping[str, Any]) -> Content:
    """A quick reply below a template; where no id was sent along, Meta gives the words on it as one."""
    text, payload = text_of(table.get("text")), text_of(table.get("payload"))
    if not text and not payload:
        raise Unreadable("a tap without an id")
    return Content(Kind.BUTTON, text or payload, action=payload or text)


def _location(table: Mapping[str, Any]) -> Content:
    try:
        point = {name: float(table[name]) for name in ("latitude", "longitude")}
    except (KeyError, TypeError, ValueError):
        raise Unreadable("a location without coordinates") from None
    words = [text_of(table.get(name)).strip() for name in ("name", "address")]
    return Content(Kind.LOCATION, ", ".join(filter(None, words)), details=point)


def _contacts(cards: Sequence[Mapping[str, Any]]) -> Content:
    """The first card; of others the names are in the text."""
    if not cards:
        raise Unreadable("an empty contact card")
    names = [text_of(table_of(card.get("name")).get("formatted_name")).strip() for card in cards]
    phones = list_of(cards[0].get("phones"))
    phone = text_of(phones[0].get("wa_id")) or text_of(phones[0].get("phone")) if phones else ""
    if not names[0] and not phone:
        raise Unreadable("an empty contact card")
    known = canonical(f"+{phone}" if phone.isdecimal() else phone) or phone
    return Content(Kind.CONTACT, ", ".join(filter(None, names[1:])), details={"name": names[0], "phone": known})


def _order(table: Mapping[str, Any]) -> Content:
    """A basket from the catalogue, one line an item."""
    lines = []
    for item in list_of(table.get("product_items")):
        price = f"{item.get('item_price', '')} {text_of(item.get('currency'))}".strip()
        lines.append(f"{text_of(item.get('product_retailer_id'))} × {item.get('quantity', 1)}{f' — {price}' if price else ''}")
    head = text_of(table.get("text")).strip() or _("Order from the catalogue:")
    return Content(Kind.OTHER, "\n".join([head, *lines]), details={"type": "order"})


CONTENT: dict[str, Callable[[Mapping[str, Any]], Content | None]] = {
    "text": _text,
    "interactive": _interactive,
    "button": _button,
    "location": _location,
    "order": _order,
}


def text_of(value: Any) -> str:
    """A text, or the empty word for anything else. Half a surrogate pair, which nothing can encode, becomes a `?`."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def table_of(value: Any) -> dict[str, Any]:
    """An object, or an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def list_of(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; nothing for anything else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
