"""Wappi's rows made into raw events, and raw events understood. Nothing here talks to the network.

Only what an event cannot do without raises Unreadable.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _

from channels.base import (
    DeliveryReceipt,
    Echo,
    Event,
    InboundMessage,
    Kind,
    Media,
    RawEvent,
    Receipt,
    Sender,
    SessionChange,
    Skipped,
)
from channels.payloads import dumped, loaded
from foundation.crypto import blind_index
from foundation.errors import Unreadable
from foundation.phones import canonical

from .wappi_rows import (
    PolledRow,
    Row,
    WebhookRow,
    chat_key,
    is_customer,
    is_group,
    is_hidden,
    moment,
    number_of,
    table_of,
    text_of,
    unix,
)

FILES = {
    "ptt": Kind.VOICE,
    "voice": Kind.VOICE,
    "audio": Kind.VOICE,
    "image": Kind.IMAGE,
    "video": Kind.VIDEO,
    "gif": Kind.VIDEO,
    "document": Kind.DOCUMENT,
    "sticker": Kind.STICKER,
}
SERVICE = frozenset({"e2e_notification", "notification_template", "call_log", "revoked"})
DELIVERY = frozenset({"delivery_status", "messages_status"})
SESSION = frozenset({"authorization_status", "application_status"})
MESSAGES = frozenset({"incoming_message", "outgoing_message_phone", "outgoing_message_api"})
CALL = "incoming_call"
RECEIPTS = {
    "pending": Receipt.SENT,
    "sent": Receipt.SENT,
    "delivered": Receipt.DELIVERED,
    "read": Receipt.READ,
    "undelivered": Receipt.FAILED,
    "error": Receipt.FAILED,
    "temporary ban": Receipt.FAILED,
}


# ── Raw events ───────────────────────────────────────────────────────────────────────────────────────────────────────
def raw_event(item: dict[str, Any], row_type: type[Row], contact: Mapping[str, Any] | None = None) -> RawEvent:
    """Store one element with the mark of its dialect. `contact` is what the chat list says of the person."""
    row = row_type.model_validate(item)
    envelope: dict[str, Any] = {"shape": row_type.shape, "item": _slim(item, row)}
    if contact:
        envelope["contact"] = contact
    said = not isinstance(row, WebhookRow) or row.wh_type in MESSAGES
    return RawEvent(_event_id(row, item), dumped(envelope), lane=chat_key(row.peer) if said else "")


def _slim(item: dict[str, Any], row: Row) -> dict[str, Any]:
    """Without the base64 of a file that can be fetched by its link, and without thumbnails."""
    if row.type in FILES and row.link and isinstance(row.body, str):
        return {key: value for key, value in item.items() if key != "body"}
    if "JPEGThumbnail" in row.content:
        return {**item, "body": {key: value for key, value in row.content.items() if key != "JPEGThumbnail"}}
    return item



def _event_id(row: Row, item: dict[str, Any]) -> str:
    """The id by which duplicates are known; the webhook and the polled copy of a message have the same."""
    if isinstance(row, WebhookRow) and row.wh_type not in MESSAGES:
        found = _report_id(row)
    elif not row.id:
        found = ""
    elif row.edited:
        said = row.caption if row.type in FILES else text_of(row.body)
        found = f"edit:{_opaque(row.original)}:{hashlib.sha256(said.encode()).hexdigest()[:32]}"
    else:
        found = f"message:{_opaque(row.id)}"
    return found or f"sha256:{hashlib.sha256(dumped(item)).hexdigest()}"


def _report_id(row: WebhookRow) -> str:
    at = unix(row.time, row.timestamp)
    status = re.sub(r"[^a-z0-9]+", "-", row.status.lower())[:40]
    if row.wh_type in DELIVERY and row.id:
        return f"status:{_opaque(row.id)}:{status}"
    if row.wh_type in SESSION and at:
        return f"session:{row.wh_type}:{at:.0f}:{status}"
    if row.wh_type == CALL and (row.id or (row.number and at)):
        return f"call:{_opaque(f'{row.id}-{row.type}' if row.id else f'{row.number}@{at}@{row.type}')}"
    return ""


def _opaque(identifier: str) -> str:
    """The id itself, or a keyed hash of one that may carry a phone (`…@c.us`, bare digits) or is oddly long."""
    if re.fullmatch(r"[A-Za-z0-9_-]{4,128}", identifier) and not re.match(r"(true|false)_|\d+($|[_-])", identifier):
        return identifier
    return blind_index(identifier, "wappi_event")


# ── Events ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def understand(payload: bytes) -> list[Event]:
    """The events in one stored element. Raises Unreadable."""
    envelope = loaded(payload)
    item = envelope.get("item")
    if not isinstance(item, dict):
        raise Unreadable("no item")
    if envelope.get("shape") == PolledRow.shape:
        return [_message(PolledRow.model_validate(item), table_of(envelope.get("contact")))]
    row = WebhookRow.model_validate(item)
    if row.wh_type in MESSAGES:
        outgoing = row.mine or row.wh_type != "incoming_message"
        return [_message(row.model_copy(update={"mine": outgoing}), {})]
    if row.wh_type in DELIVERY:
        return _receipt(row)
    if row.wh_type in SESSION:
        return [_session(row)]
    if row.wh_type == CALL:
        return [Skipped(_("phone call"))]
    raise Unreadable("unknown kind of event")



def _receipt(row: WebhookRow) -> list[Event]:
    status = RECEIPTS.get(row.status.lower())
    if not row.id or status is None:
        raise Unreadable("a delivery report without a message or with an unknown status")
    at = moment(row.time, row.timestamp)
    if row.status.lower() == "temporary ban":
        reason = _("WhatsApp has banned this number for a time.")
        return [DeliveryReceipt(row.id, status, at, reason), SessionChange(online=False, reason=reason)]
    return [DeliveryReceipt(row.id, status, at, _("WhatsApp did not deliver it.") if status is Receipt.FAILED else "")]


def _session(row: WebhookRow) -> SessionChange:
    status = row.status.lower()
    if status not in ("online", "offline"):
        raise Unreadable("a connection report with an unknown status")
    if status == "online":
        return SessionChange(online=True)
    reason = re.sub(r"[^a-z ]", "", row.reason.lower()).strip()[:60]
    return SessionChange(online=False, reason=reason or _("The number was disconnected from Wappi."))


def _message(row: Row, contact: Mapping[str, Any]) -> Event:
    if not row.peer or not row.type:
        raise Unreadable("a message without a chat or a type")
    reason = _skip_reason(row)
    if reason:
        return Skipped(reason)
    if not row.id:
        raise Unreadable("a message without an id")
    sent_at = moment(row.time, row.timestamp)
    said = _content(row)
    if said is None:
        return Skipped(_("empty message"))
    if row.mine:
        recipient = _person(row.peer, contact)
        identifier = row.original if row.edited else row.id
        return Echo(identifier, recipient, sent_at, said.text, said.kind, by_person=row.by_person)
    return InboundMessage(
        external_id=row.id,
        sender=_person(row.peer, contact, row),
        sent_at=sent_at,
        kind=said.kind,
        text=said.text,
        media=said.media,
        reply_to="" if row.edited and not row.is_reply else row.quoted,
        action=said.action,
        edited=row.original if row.edited else "",
        details=said.details,
    )


def _skip_reason(row: Row) -> str:
    if is_group(row.peer) or row.chat_type == "group":
        return _("group chat")
    if not is_customer(row.peer):
        return _("status post, newsletter or WhatsApp itself")
    if row.author and chat_key(row.author) == chat_key(row.to or (row.peer if row.mine else "")):
        return _("a note of the number to itself")
    if row.type == "reaction":
        return _("reaction")
    if row.deleted:
        return _("deleted message")
    return _("service message") if row.type in SERVICE else ""


def _person(chat: str, contact: Mapping[str, Any], row: Row | None = None) -> Sender:
    """Who is behind a chat. `row` is given for incoming messages only: in others the names are our own."""
    hidden = is_hidden(chat)
    source_id = chat.strip() if hidden else chat_key(chat)
    name = text_of(contact.get("PushName")) or (row.sender_name or row.contact_name if row else "")
    return Sender(
        source_id=source_id,
        phone=None if hidden else canonical(f"+{source_id}"),
        name=name or text_of(contact.get("FirstName")),
        full_name=text_of(contact.get("FullName")) or (row.contact_name if row else ""),
        business_name=text_of(contact.get("BusinessName")),
    )


# ── What a message says ──────────────────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, slots=True)
class _Content:
    kind: Kind
    text: str = ""
    media: Sequence[Media] = ()
    action: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


def _content(row: Row) -> _Content | None:
    """None where there is nothing in it. Raises Unreadable."""
    if row.type in FILES:
        return _file(row)
    handler = CONTENT.get(row.type)
    if handler is not None:
        return handler(row)
    # An unknown type may carry a file's base64 in its body, which is no text.
    text = row.caption or ("" if row.mimetype or row.link else text_of(row.body))
    return _Content(Kind.OTHER, text, details={"type": row.type})


def _chat(row: Row) -> _Content | None:
    if not isinstance(row.body, str):
        raise Unreadable("a text message without a text")
    text = text_of(row.body)
    return _Content(Kind.TEXT, text) if text.strip() else None


def _file(row: Row) -> _Content:
    mime = (row.mimetype or text_of(row.content.get("mimetype"))).partition(";")[0].strip().lower()
    kind = FILES[row.type]
    if kind is Kind.DOCUMENT:
        # A photo, video or recording that was sent as a file arrives as a document.
        kind = {"video": Kind.VIDEO, "image": Kind.IMAGE, "audio": Kind.VOICE}.get(mime.partition("/")[0], kind)
    size = number_of(row.media_info.get("size")) or number_of(row.content.get("fileLength"))
    media = Media(
        ref=row.id,
        mime=mime,
        name=row.file_name or text_of(row.content.get("fileName")) or row.title or text_of(row.content.get("title")),
        size=int(size) if size else None,
        seconds=row.length_seconds or number_of(row.media_info.get("duration")),
        url=row.link,
    )
    return _Content(kind, row.caption or text_of(row.content.get("caption")), (media,))


def _location(row: Row) -> _Content:
    place = {**row.content, **row.location}
    latitude, longitude = (place.get(key, place.get(f"degrees{key.title()}")) for key in ("latitude", "longitude"))
    text = text_of(place.get("description")) or text_of(place.get("name")) or row.caption
    try:
        point = {"latitude": float(latitude), "longitude": float(longitude)}  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise Unreadable("a location without coordinates") from None
    return _Content(Kind.LOCATION, text, details=point)


def _contact(row: Row) -> _Content:
    card = {**row.content, **row.contact}
    name, phone = text_of(card.get("display_name")), text_of(card.get("phone"))
    for line in text_of(row.body).splitlines():
        key, _colon, value = line.partition(":")
        if key.upper() == "FN":
            name = name or value.strip()
        elif key.upper().partition(";")[0].endswith("TEL"):
            phone = phone or value.strip()
    if not name and not phone:
        raise Unreadable("an empty contact card")
    return _Content(Kind.CONTACT, details={"name": name, "phone": canonical(phone) or phone})


def _button(row: Row) -> _Content:
    return _Content(Kind.BUTTON, text_of(row.body), action=row.button or row.list_row or text_of(row.body))


def _vote(row: Row) -> _Content | None:
    return _Content(Kind.BUTTON, ", ".join(row.votes)) if row.votes else None


def _poll(row: Row) -> _Content:
    return _Content(Kind.OTHER, "\n".join([text_of(row.body) or row.caption, *row.poll_options]), details={"type": "poll"})


CONTENT = {
    "chat": _chat,
    "text": _chat,
    "location": _location,
    "vcard": _contact,
    "buttons_response": _button,
    "list_response": _button,
    "poll": _poll,
    "poll_vote": _vote,
}
