"""WAHA's events and rows of its history made into raw events, and raw events understood. Nothing here uses the network.

WAHA unifies its engines only in part: what it leaves to `_data` (names, the length of a recording, the phone behind a
hidden id) is read where an engine has it and done without where it has not. Only what an event cannot do without raises
Unreadable.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
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
from foundation.errors import Unreadable
from foundation.phones import canonical

from . import waha_data as data
from .waha_client import file_path, in_words
from .waha_ids import chat_id, is_hidden, is_person, message_id, phone_of, source_id

MESSAGES = frozenset({"message", "message.any"})
ACKS = frozenset({"message.ack", "message.ack.group"})
HISTORY = "history"
"""The event name under which a row of the history is stored."""

RECEIPTS = {-1: Receipt.FAILED, 1: Receipt.SENT, 2: Receipt.DELIVERED, 3: Receipt.READ, 4: Receipt.READ}
ACK_NAMES = {"ERROR": -1, "PENDING": 0, "SERVER": 1, "DEVICE": 2, "READ": 3, "PLAYED": 4}
#: Program-made message ids begin so (seen on all engines); the phones' own do not. Only for rows that tell no source.
PROGRAM_ID = "3EB0"
#: Longer strings of an engine's own data are thumbnails and keys, not words.
LONGEST_INNER = 1000


# ── Raw events ───────────────────────────────────────────────────────────────────────────────────────────────────────
def raw_event(envelope: Mapping[str, Any]) -> RawEvent:
    """One webhook body as an event that is known again, whatever delivery, engine or history brings it."""
    payload = data.table(envelope.get("payload"))
    kept = {name: envelope.get(name) for name in ("event", "session", "timestamp", "engine", "me") if envelope.get(name)}
    body = dumped({**kept, "payload": _slim(payload)})
    event = str(envelope.get("event") or "")
    lane = _chat(payload, own_ids(envelope)) if event in MESSAGES or event == "message.edited" else ""
    return RawEvent(_event_id(event, envelope, payload) or f"sha256:{hashlib.sha256(body).hexdigest()}", body, lane=lane)


def history_event(row: Mapping[str, Any], session: str) -> RawEvent:
    """One row of the history; it has the id that its webhook had."""
    return raw_event({"event": "message.any", "session": session, "engine": HISTORY, "payload": dict(row)})


def _slim(value: Any, inner: bool = False) -> Any:
    """Without the thumbnails and keys that engines put into their own data."""
    if isinstance(value, dict):
        return {
            name: _slim(item, inner or name == "_data")
            for name, item in value.items()
            if not (inner and isinstance(item, str) and len(item) > LONGEST_INNER) and "thumbnail" not in name.lower()
        }
    if isinstance(value, list):
        return [_slim(item, inner) for item in value[:50]] if inner else [_slim(item, inner) for item in value]
    return value



def _event_id(event: str, envelope: Mapping[str, Any], payload: Mapping[str, Any]) -> str:
    bare = _known(message_id(payload.get("id")).bare)
    if event in MESSAGES and bare:
        return f"message:{bare}"
    if event in ACKS and bare:
        return f"ack:{bare}:{_ack(payload)}"
    if event == "message.edited" and _edited(payload):
        digest = hashlib.sha256(data.text(payload.get("body")).encode()).hexdigest()[:32]
        return f"edit:{_known(_edited(payload))}:{digest}"
    if event == "message.revoked" and message_id(payload.get("revokedMessageId")).bare:
        return f"revoked:{_known(message_id(payload['revokedMessageId']).bare)}"
    own = str(envelope.get("id") or "")
    return f"event:{own}" if re.fullmatch(r"evt_[0-9a-z]{10,60}", own) else ""


def _known(bare: str) -> str:
    """The id, or a hash of one that is oddly long or might be a phone."""
    if not bare or (re.fullmatch(r"[A-Za-z0-9.-]{4,128}", bare) and not bare.isdigit()):
        return bare
    return hashlib.sha256(bare.encode()).hexdigest()[:40]


# ── Events ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def understand(payload: bytes) -> list[Event]:
    """What one stored event says. Raises Unreadable."""
    envelope = loaded(payload)
    event, body = envelope.get("event"), data.table(envelope.get("payload"))
    if event in MESSAGES:
        return [_message(envelope, body)]
    if event in ACKS:
        return [_receipt(envelope, body)]
    if event == "message.edited":
        return [_edit(envelope, body)]
    if event == "session.status":
        return [_session(body)]
    if event in REASONS:
        return [Skipped(REASONS[event]())]
    if isinstance(event, str) and event:
        return [Skipped(_("not a message"))]
    raise Unreadable("no kind of event")


REASONS = {
    "message.reaction": lambda: _("reaction"),
    "message.revoked": lambda: _("deleted message"),
    "message.waiting": lambda: _("WhatsApp is still fetching this message"),
    "call.received": lambda: _("phone call"),
    "call.accepted": lambda: _("phone call"),
    "call.rejected": lambda: _("phone call"),
}



def own_ids(envelope: Mapping[str, Any]) -> frozenset[str]:
    """The ids of the linked number itself."""
    me = data.table(envelope.get("me"))
    return frozenset(filter(None, (chat_id(me.get("id")), chat_id(me.get("lid")))))


def _chat(payload: Mapping[str, Any], own: frozenset[str]) -> str:
    """The chat a message belongs to. Engines differ in `from` and `to` of our own messages; the id always holds it."""
    whole = message_id(payload.get("id"))
    if payload.get("fromMe") is not True:
        return chat_id(payload.get("from")) or chat_id(whole.chat)
    to = chat_id(payload.get("to"))
    return to if to and to not in own else chat_id(whole.chat) or to


def _session(payload: Mapping[str, Any]) -> Event:
    status = str(payload.get("status") or "")
    if not status:
        raise Unreadable("a session report without a status")
    if status == "STARTING":
        return Skipped(in_words(status))
    return SessionChange(online=status == "WORKING", reason=in_words(status))


def _ack(payload: Mapping[str, Any]) -> int | None:
    ack = payload.get("ack")
    if isinstance(ack, int) and not isinstance(ack, bool):
        return ack
    return ACK_NAMES.get(str(payload.get("ackName") or "").upper())


def _receipt(envelope: Mapping[str, Any], payload: Mapping[str, Any]) -> Event:
    found, ack = message_id(payload.get("id")), _ack(payload)
    if not found.bare or ack is None:
        raise Unreadable("a delivery report without a message or a state")
    chat = chat_id(found.chat) or _chat(payload, own_ids(envelope))
    if chat and not is_person(chat):
        return Skipped(_("group chat"))
    if payload.get("fromMe") is False:
        return Skipped(_("a message of the customer was read on the phone"))
    if ack not in RECEIPTS:
        return Skipped(_("WhatsApp has not taken the message yet"))
    reason = _("WhatsApp did not deliver it.") if ack == -1 else ""
    return DeliveryReceipt(found.bare, RECEIPTS[ack], moment(envelope.get("timestamp")), reason)


def _edited(payload: Mapping[str, Any]) -> str:
    return message_id(payload.get("editedMessageId")).bare


def _edit(envelope: Mapping[str, Any], payload: Mapping[str, Any]) -> Event:
    edited = _edited(payload)
    if not edited:
        raise Unreadable("an edit that does not say of which message")
    found = _message(envelope, payload)
    if isinstance(found, InboundMessage):
        # It quotes nothing: engines put the edited message itself there.
        return InboundMessage(
            found.external_id, found.sender, found.sent_at, found.kind, found.text, found.media, edited=edited
        )
    if isinstance(found, Echo):
        return Echo(edited, found.recipient, found.sent_at, found.text, found.kind, found.by_person)
    return found


def _message(envelope: Mapping[str, Any], payload: Mapping[str, Any]) -> Event:
    own = own_ids(envelope)
    chat = _chat(payload, own)
    if not chat:
        raise Unreadable("a message without a chat")
    reason = _skip_reason(chat, own)
    if reason:
        return Skipped(reason)
    identifier = message_id(payload.get("id"))
    if not identifier.bare:
        raise Unreadable("a message without an id")
    sent_at = moment(payload.get("timestamp"))
    said = _content(payload)
    if said is None:
        return Skipped(_("empty or service message"))
    mine = payload.get("fromMe") is True
    person = _person(chat, data.table(payload.get("_data")), mine)
    if mine:
        source = payload.get("source")
        by_person = source == "app" if source in ("app", "api") else not identifier.bare.startswith(PROGRAM_ID)
        return Echo(identifier.bare, person, sent_at, said.text, said.kind, by_person=by_person)
    return InboundMessage(
        external_id=identifier.bare,
        sender=person,
        sent_at=sent_at,
        kind=said.kind,
        text=said.text,
        media=said.media,
        reply_to=message_id(data.table(payload.get("replyTo")).get("id")).bare,
        action=said.action,
        details=said.details,
    )


def _skip_reason(chat: str, own: frozenset[str]) -> str:
    if chat.endswith("@g.us"):
        return _("group chat")
    if not is_person(chat):
        return _("status post, newsletter or broadcast")
    return _("a note of the number to itself") if chat in own else ""


def _person(chat: str, inner: Mapping[str, Any], mine: bool) -> Sender:
    """Who is behind a chat. Names in our own messages are our own."""
    phone = phone_of(data.phone_chat(inner, mine)) if is_hidden(chat) else phone_of(chat)
    name, business = ("", "") if mine else data.names(inner)
    return Sender(source_id=source_id(chat), phone=phone, name=name, business_name=business)


def moment(value: Any) -> datetime:
    """Unix seconds, with a fraction perhaps, or milliseconds, as a time. Raises Unreadable."""
    try:
        seconds = float(value) if not isinstance(value, bool) else 0.0
        at = datetime.fromtimestamp(seconds / 1000 if seconds > 10**11 else seconds, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        raise Unreadable("no time") from None
    if seconds <= 0:
        raise Unreadable("no time")
    return at


# ── What a message says ──────────────────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, slots=True)
class _Content:
    kind: Kind
    text: str = ""
    media: Sequence[Media] = ()
    action: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


def _content(payload: Mapping[str, Any]) -> _Content | None:
    """None where there is nothing in it."""
    inner, text = data.table(payload.get("_data")), data.text(payload.get("body"))
    if payload.get("hasMedia") is True or data.table(payload.get("media")):
        return _file(payload, inner, text)
    place = data.table(payload.get("location"))
    if place:
        return _location(place, text)
    cards = payload.get("vCards")
    if isinstance(cards, list) and cards:
        return _contact(data.text(cards[0]))
    action = data.chosen_row(inner)
    if action:
        return _Content(Kind.BUTTON, text, action=action)
    if text.strip():
        return _Content(Kind.TEXT, text)
    kind = data.engine_type(inner)
    return None if kind in data.SERVICE else _Content(Kind.OTHER, details={"type": kind})


def _file(payload: Mapping[str, Any], inner: Mapping[str, Any], text: str) -> _Content:
    media, about = data.table(payload.get("media")), data.content(inner)
    mime = (data.text(media.get("mimetype")) or data.text(about.get("mimetype"))).partition(";")[0].strip().lower()
    size = data.number(about.get("fileLength")) or data.number(about.get("size"))
    whole = payload.get("id")
    whole = data.text(whole.get("_serialized")) if isinstance(whole, dict) else data.text(whole)
    return _Content(
        _kind_of_file(mime, data.engine_type(inner)),
        text,
        (
            Media(
                ref=f"{whole} {file_path(media.get('url'))}".strip(),
                mime=mime,
                name=data.text(media.get("filename")) or data.text(about.get("fileName")),
                size=int(size) if size else None,
                seconds=data.number(about.get("seconds")) or data.number(about.get("duration")),
            ),
        ),
    )


def _kind_of_file(mime: str, engine_type: str) -> Kind:
    if engine_type == "sticker":
        return Kind.STICKER
    # A photo, video or recording that was sent as a file is one too.
    by_mime = {"audio": Kind.VOICE, "image": Kind.IMAGE, "video": Kind.VIDEO}.get(mime.partition("/")[0])
    by_type = {"ptt": Kind.VOICE, "audio": Kind.VOICE, "image": Kind.IMAGE, "video": Kind.VIDEO}.get(engine_type)
    return by_mime or by_type or Kind.DOCUMENT


def _location(place: Mapping[str, Any], text: str) -> _Content:
    try:
        point = {"latitude": float(place["latitude"]), "longitude": float(place["longitude"])}
    except (KeyError, TypeError, ValueError):
        raise Unreadable("a location without coordinates") from None
    words = [data.text(place.get(name)) for name in ("name", "description", "address")]
    return _Content(Kind.LOCATION, next(filter(None, words), text), details=point)


def _contact(card: str) -> _Content:
    name = phone = ""
    for line in card.splitlines():
        key, _colon, value = line.partition(":")
        key = key.upper().partition(";")[0].rpartition(".")[2]
        if key == "FN":
            name = name or value.strip()
        elif key == "TEL":
            phone = phone or value.strip()
    if not name and not phone:
        raise Unreadable("an empty contact card")
    return _Content(Kind.CONTACT, details={"name": name, "phone": canonical(phone) or phone})
