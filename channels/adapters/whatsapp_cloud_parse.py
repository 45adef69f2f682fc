"""Meta's webhooks cut into raw events, and raw events understood. Nothing here talks to the network.

Only what an event cannot do without raises Unreadable.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.utils.translation import gettext as _

from channels.base import (
    DeliveryReceipt,
    Echo,
    Event,
    InboundMessage,
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

from .whatsapp_cloud_content import content, details, list_of, table_of, text_of
from .whatsapp_cloud_errors import Word, meaning_of, number, said
from .whatsapp_cloud_send import correlated

logger = logging.getLogger(__name__)

MESSAGE, ECHO, STATUS, ERRORS, NOTICE = "message", "echo", "status", "errors", "notice"
#: Fields whose contents are nobody's business here: years of old chats, and the phone's address book.
PRIVATE = frozenset({"history", "smb_app_state_sync"})
#: The lists in a change and what their items are. Copies of what other programs sent come as `message_echoes` too.
LISTS = {"messages": MESSAGE, "message_echoes": ECHO, "statuses": STATUS, "errors": ERRORS}
RECEIPTS = {
    "sent": Receipt.SENT,
    "delivered": Receipt.DELIVERED,
    "read": Receipt.READ,
    "played": Receipt.READ,
    "failed": Receipt.FAILED,
}
#: `account_update` events after which nothing, or not everything, can be sent.
ACCOUNT_DOWN = frozenset({
    "ACCOUNT_DELETED", "ACCOUNT_RESTRICTION", "ACCOUNT_VIOLATION", "DISABLED_UPDATE", "PARTNER_APP_UNINSTALLED",
    "PARTNER_REMOVED",
})  # fmt: skip


# ── Raw events ───────────────────────────────────────────────────────────────────────────────────────────────────────
def raw_events(body: bytes, *, number: str, account: str) -> list[RawEvent]:
    """One event for each message, status and notice of this number and its account, in their order. Raises Unreadable.

    One body may bring many numbers, accounts and kinds; what is another number's is left out.
    """
    table = loaded(body)
    if table.get("object") != "whatsapp_business_account" or not isinstance(table.get("entry"), list):
        raise Unreadable("not a webhook of WhatsApp")
    found: list[RawEvent] = []
    for entry in table["entry"]:
        changes = entry.get("changes") if isinstance(entry, dict) else None
        if not isinstance(changes, list):
            found.append(_riddle(entry))
            continue
        for change in changes:
            if not isinstance(change, dict) or not isinstance(change.get("value"), dict):
                found.append(_riddle(change))
            elif _is_ours(entry, change["value"], number, account):
                found += _events(change, entry.get("time"))
            else:
                field = _word(change.get("field"))
                logger.warning("a webhook of another number or account was left out", extra={"field": field})
    return found


def _riddle(value: Any) -> RawEvent:
    """What nobody understands waits for a manager on its own; the rest of its body is processed."""
    return RawEvent(f"sha256:{_digest(value)}", dumped({"shape": "unknown", "item": value}))


def _is_ours(entry: Mapping[str, Any], value: Mapping[str, Any], number: str, account: str) -> bool:
    whose = table_of(value.get("metadata")).get("phone_number_id")
    return str(whose) == number if whose else str(entry.get("id")) == account


def _events(change: Mapping[str, Any], at: Any) -> list[RawEvent]:
    field, value = _word(change.get("field")), change["value"]
    if field in PRIVATE:
        return [RawEvent(f"sha256:{_digest(change)}", dumped({"shape": NOTICE, "field": field, "value": {}}))]
    found = []
    for name, shape in LISTS.items():
        for item in list_of(value.get(name)):
            found.append(_event(shape, field, item, value, at))
    if found:
        return found
    notice = {"shape": NOTICE, "field": field, "value": value, "time": at}
    return [RawEvent(f"sha256:{_digest(notice)}", dumped(notice))]


def _event(shape: str, field: str, item: dict[str, Any], value: Mapping[str, Any], at: Any) -> RawEvent:
    envelope: dict[str, Any] = {"shape": shape, "field": field, "item": item}
    if shape == ERRORS:
        envelope["time"] = at
    peer = _peer(item, shape)
    contact = _contact(list_of(value.get("contacts")), peer)
    if contact:
        envelope["contact"] = contact
    lane = _source_id(peer, contact) if shape in (MESSAGE, ECHO) and not item.get("group_id") else ""
    return RawEvent(_event_id(shape, item) or f"sha256:{_digest(envelope)}", dumped(envelope), lane=lane)


def _event_id(shape: str, item: Mapping[str, Any]) -> str:
    """The id by which duplicates are known. Meta's ids of messages hold the customer's phone, so they are hashed."""
    identifier = text_of(item.get("id"))
    if not identifier or shape == ERRORS:
        return ""
    opaque = blind_index(identifier, "whatsapp_event")
    if shape == STATUS:
        whom = text_of(item.get("recipient_participant_id"))
        member = f":{blind_index(whom, 'whatsapp_event')}" if whom else ""
        return f"status:{opaque}:{_word(item.get('status'))}{member}"
    return f"message:{opaque}"


def _peer(item: Mapping[str, Any], shape: str) -> tuple[str, str]:
    """Phone and business-scoped id of the customer; either may be missing."""
    if shape == STATUS:
        return text_of(item.get("recipient_id")), text_of(item.get("recipient_user_id"))
    side = "to" if shape == ECHO else "from"
    return text_of(item.get(side)), text_of(item.get(f"{side}_user_id"))


def _contact(contacts: list[dict[str, Any]], peer: tuple[str, str]) -> dict[str, Any]:
    """What the webhook says of the person; where it names only one, of that one."""
    phone, user = peer
    for contact in contacts:
        if (user and contact.get("user_id") == user) or (phone and contact.get("wa_id") == phone):
            return contact
    return contacts[0] if len(contacts) == 1 else {}


def _source_id(peer: tuple[str, str], contact: Mapping[str, Any]) -> str:
    """The business-scoped id where there is one: it stays when the customer hides the phone behind a user name."""
    phone, user = peer
    return user or text_of(contact.get("user_id")) or phone.lstrip("+") or text_of(contact.get("wa_id"))


def _word(value: Any) -> str:
    return re.sub(r"[^a-z0-9_]+", "-", text_of(value).lower())[:60]



def _digest(value: Any) -> str:
    return hashlib.sha256(dumped(value)).hexdigest()



# ── Events ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def understand(payload: bytes) -> list[Event]:
    """The events in one stored element. Raises Unreadable."""
    envelope = loaded(payload)
    shape, item, contact = envelope.get("shape"), table_of(envelope.get("item")), table_of(envelope.get("contact"))
    if shape == MESSAGE:
        return [_message(item, contact)]
    if shape == ECHO:
        return [_echo(item, contact, by_person=envelope.get("field") == "smb_message_echoes")]
    if shape == STATUS:
        return _status(item)
    if shape == ERRORS:
        return [_error(item)]
    if shape == NOTICE:
        return [_notice(text_of(envelope.get("field")), table_of(envelope.get("value")))]
    raise Unreadable("unknown kind of event")


def _message(item: Mapping[str, Any], contact: Mapping[str, Any]) -> Event:
    reason = _skip_reason(item)
    if reason:
        return Skipped(reason)
    sender = _person(_peer(item, MESSAGE), contact)
    identifier, edited, item = _edition(item)
    said_in_it = content(item)
    if said_in_it is None:
        return Skipped(_("empty message"))
    return InboundMessage(
        external_id=identifier,
        sender=sender,
        sent_at=moment(item.get("timestamp")),
        kind=said_in_it.kind,
        text=said_in_it.text,
        media=said_in_it.media,
        reply_to=text_of(table_of(item.get("context")).get("id")),
        action=said_in_it.action,
        edited=edited,
        details=details(item, said_in_it),
    )


def _edition(item: Mapping[str, Any]) -> tuple[str, str, Mapping[str, Any]]:
    """A message's id, the id of the one it replaces, and what it says. Raises Unreadable."""
    identifier = text_of(item.get("id"))
    if not identifier:
        raise Unreadable("a message without an id")
    if item.get("type") != "edit":
        return identifier, "", item
    edit = table_of(item.get("edit"))
    original, changed = text_of(edit.get("original_message_id")), table_of(edit.get("message"))
    if not original or not changed:
        raise Unreadable("an edit without the message it changes")
    return identifier, original, {"timestamp": item.get("timestamp"), **changed}


def _skip_reason(item: Mapping[str, Any]) -> str:
    kind = item.get("type")
    if item.get("group_id") or item.get("recipient_type") == "group":
        return _("group chat")
    if kind == "reaction":
        return _("reaction")
    if kind == "revoke":
        return _("deleted message")
    if kind == "system":
        return _("the customer's number or account has changed") if item.get("system") else _("service message")
    return _("the chat was opened") if kind == "request_welcome" else ""


def _echo(item: Mapping[str, Any], contact: Mapping[str, Any], *, by_person: bool) -> Event:
    reason = _skip_reason(item)
    if reason:
        return Skipped(reason)
    recipient = _person(_peer(item, ECHO), contact, named=False)
    identifier, edited, item = _edition(item)
    said_in_it = content(item)
    if said_in_it is None:
        return Skipped(_("empty message"))
    at = moment(item.get("timestamp"))
    return Echo(edited or identifier, recipient, at, said_in_it.text, said_in_it.kind, by_person=by_person)


def _person(peer: tuple[str, str], contact: Mapping[str, Any], *, named: bool = True) -> Sender:
    """Raises Unreadable where nothing says who it is. `named`: not so where the name in it may be our own."""
    source_id = _source_id(peer, contact)
    if not source_id:
        raise Unreadable("a message of nobody")
    phone = peer[0] or text_of(contact.get("wa_id"))
    profile = table_of(contact.get("profile")) if named else {}
    name = text_of(profile.get("name")).strip() or text_of(profile.get("username")).strip()
    return Sender(source_id, phone=canonical(f"+{phone.lstrip('+')}") if phone else None, name=name)


def _status(item: Mapping[str, Any]) -> list[Event]:
    identifier, word = text_of(item.get("id")), text_of(item.get("status"))
    if not identifier or not word:
        raise Unreadable("a status without a message")
    status = RECEIPTS.get(word)
    if status is None:
        return [Skipped(_("a status of no consequence"))]
    key, part = correlated(item.get("biz_opaque_callback_data"))
    if part and status is not Receipt.FAILED:
        return [Skipped(_("a further part of a message arrived"))]
    at = moment(item.get("timestamp"))
    if status is not Receipt.FAILED:
        return [DeliveryReceipt(identifier, status, at, key=key)]
    code = _code(item)
    meaning = meaning_of(code)
    reason = said(meaning, code) if code >= 0 else _("WhatsApp did not deliver it.")
    failed = DeliveryReceipt(identifier, status, at, reason, key=key, code=meaning.code)
    return [failed, SessionChange(online=False, reason=reason)] if meaning.word is Word.STOP else [failed]


def _code(item: Mapping[str, Any]) -> int:
    errors = list_of(item.get("errors"))
    return number(errors[0].get("code")) if errors else -1


def _error(item: Mapping[str, Any]) -> Event:
    code = number(item.get("code"))
    meaning = meaning_of(code)
    reason = said(meaning, code)
    return SessionChange(online=False, reason=reason) if meaning.word is Word.STOP else Skipped(reason)


# ── Notices ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def _notice(field: str, value: Mapping[str, Any]) -> Event:
    """What concerns the number or the account and no message."""
    if field == "account_update":
        return _account(value)
    if field == "message_template_status_update":
        told = {"name": _short(value.get("message_template_name")), "state": _short(value.get("event"))}
        return Skipped(_("template %(name)s: %(state)s") % told)
    if field == "phone_number_quality_update":
        return Skipped(_("quality of the number: %(state)s") % {"state": _short(value.get("event"))})
    if field in PRIVATE:
        return Skipped(_("old chats or contacts of the phone app"))
    if field == "calls":
        return Skipped(_("phone call"))
    if field.startswith("group_"):
        return Skipped(_("group chat"))
    return Skipped(_("notice of WhatsApp: %(field)s") % {"field": field or "?"})


def _account(value: Mapping[str, Any]) -> Event:
    event = text_of(value.get("event")).upper()
    states = table_of(value.get("ban_info")).get("waba_ban_state")
    if event == "DISABLED_UPDATE" and "REINSTATE" in (states if isinstance(states, list) else [states]):
        return SessionChange(online=True)
    if event in ACCOUNT_DOWN:
        return SessionChange(online=False, reason=_("Meta restricts the account: %(event)s") % {"event": _short(event)})
    return Skipped(_("notice about the account: %(event)s") % {"event": _short(event)})


def _short(value: Any) -> str:
    """One of Meta's words or a template's name, for people."""
    return re.sub(r"[^\w.-]+", " ", text_of(value)).strip()[:60]


def moment(value: Any) -> datetime:
    """Unix seconds, which Meta writes as a string. Raises Unreadable."""
    try:
        return datetime.fromtimestamp(int(value), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        raise Unreadable("no time") from None
