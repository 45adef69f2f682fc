"""Telegram's updates made into raw events, and raw events understood. Nothing here talks to the network.

Only what an update cannot do without raises Unreadable. Fields may be missing, null or of another type than documented:
they then read as empty.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.utils.translation import gettext as _

from channels.base import Enrolment, Event, InboundMessage, Kind, Media, RawEvent, Reachability, Sender, Skipped
from channels.payloads import dumped, loaded
from foundation.errors import Unreadable
from foundation.phones import canonical

#: Before the id of a tap, among the external ids of messages (`<bot>:<chat>:<message>`).
TAP = "tap:"
#: Updates that belong to a chat: what happens in one is processed in its order.
MESSAGES = ("message", "edited_message")
MEMBERSHIP = "my_chat_member"
START = re.compile(r"/start(?:@\w+)?\s+([A-Za-z0-9_-]{1,64})\s*")
MOST_SOURCE = 60
#: What managers write to the bot, in a group or alone, with the code that the admin shows.
MANAGERS = re.compile(r"/managers(?:@\w+)?\s+([A-Za-z0-9-]{1,64})\s*")

#: Fields that say nothing of what a message is made of.
ENVELOPE = frozenset({
    "message_id", "message_thread_id", "direct_messages_topic", "from", "sender_chat", "sender_boost_count",
    "sender_business_bot", "sender_tag", "date", "guest_query_id", "business_connection_id", "chat", "forward_origin",
    "is_topic_message", "is_automatic_forward", "reply_to_message", "external_reply", "quote", "reply_to_story",
    "reply_to_checklist_task_id", "reply_to_poll_option_id", "via_bot", "guest_bot_caller_user", "guest_bot_caller_chat",
    "edit_date", "has_protected_content", "is_from_offline", "is_paid_post", "media_group_id", "author_signature",
    "paid_star_count", "entities", "link_preview_options", "suggested_post_info", "effect_id", "caption_entities",
    "show_caption_above_media", "has_media_spoiler", "reply_markup", "caption",
})  # fmt: skip
#: Fields of messages that nobody wrote: Telegram reports with them what happened in the chat.
SERVICE = frozenset({
    "new_chat_members", "left_chat_member", "chat_owner_left", "chat_owner_changed", "new_chat_title", "new_chat_photo",
    "delete_chat_photo", "group_chat_created", "supergroup_chat_created", "channel_chat_created",
    "message_auto_delete_timer_changed", "migrate_to_chat_id", "migrate_from_chat_id", "pinned_message",
    "successful_payment", "refunded_payment", "users_shared", "chat_shared", "gift", "unique_gift", "gift_upgrade_sent",
    "connected_website", "write_access_allowed", "passport_data", "proximity_alert_triggered", "boost_added",
    "chat_background_set", "checklist_tasks_done", "checklist_tasks_added", "direct_message_price_changed",
    "forum_topic_created", "forum_topic_edited", "forum_topic_closed", "forum_topic_reopened",
    "general_forum_topic_hidden", "general_forum_topic_unhidden", "giveaway_created", "giveaway", "giveaway_winners",
    "giveaway_completed", "managed_bot_created", "paid_message_price_changed", "poll_option_added",
    "poll_option_deleted", "suggested_post_approved", "suggested_post_approval_failed", "suggested_post_declined",
    "suggested_post_paid", "suggested_post_refunded", "video_chat_scheduled", "video_chat_started", "video_chat_ended",
    "video_chat_participants_invited", "web_app_data",
})  # fmt: skip


# ── The edge: whatever type a field has, it arrives as ours ──────────────────────────────────────────────────────────
def _text(value: Any) -> str:
    # A lone surrogate or a NUL is legal JSON and cannot be stored.
    return value.replace("\0", "").encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _rows(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63 else None


def _number(value: Any) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 10**15
    return float(value) if known else None


# ── Raw events ───────────────────────────────────────────────────────────────────────────────────────────────────────
def update_id(update: Mapping[str, Any]) -> int:
    """Raises Unreadable."""
    found = _whole(update.get("update_id"))
    if found is None:
        raise Unreadable("an update without an id")
    return found


def raw_event(update: dict[str, Any], bot_id: str, at: float) -> RawEvent:
    """One update with the bot it was for and the time it came (unix seconds), as a tap carries none. Raises Unreadable."""
    payload = dumped({"bot": bot_id, "at": at, "update": update})
    return RawEvent(f"{bot_id}:{update_id(update)}", payload, lane=_lane(update))


def _lane(update: Mapping[str, Any]) -> str:
    for name in (*MESSAGES, MEMBERSHIP):
        if name in update:
            return _id(_table(_table(update[name]).get("chat")))
    # A tap carries the person, whose id is that of the private chat.
    return _id(_table(_table(update.get("callback_query")).get("from")))


def _id(holder: Mapping[str, Any]) -> str:
    found = _whole(holder.get("id"))
    return str(found) if found is not None else ""


# ── What an update says ──────────────────────────────────────────────────────────────────────────────────────────────
def understand(payload: bytes) -> list[Event]:
    """The events of one stored update. Raises Unreadable."""
    envelope = loaded(payload)
    update, bot = _table(envelope.get("update")), _text(envelope.get("bot"))
    if "message" in update:
        return [_message(_table(update["message"]), bot)]
    if "edited_message" in update:
        return [_message(_table(update["edited_message"]), bot, edited=True)]
    if "callback_query" in update:
        return [_tap(_table(update["callback_query"]), bot, _moment(envelope.get("at")))]
    if MEMBERSHIP in update:
        return [_membership(_table(update[MEMBERSHIP]))]
    return [Skipped(_("an update that concerns no conversation"))]


def message_id(bot: str, chat: int | str, number: int) -> str:
    """The external id of a message. Its number is unique within a chat with one bot only."""
    return f"{bot}:{chat}:{number}"


def _message(message: Mapping[str, Any], bot: str, *, edited: bool = False) -> Event:
    chat, author = _table(message.get("chat")), _table(message.get("from"))
    asked = None if edited or author.get("is_bot") is True else MANAGERS.fullmatch(_text(message.get("text")))
    if asked and _id(chat):
        return Enrolment(_id(chat), asked[1], _text(chat.get("title")) or _sender(chat, author).name)
    reason = _skip_reason(chat, author)
    if reason:
        return Skipped(reason)
    number = _whole(message.get("message_id"))
    if number is None or not _id(chat):
        raise Unreadable("a message without an id or a chat")
    said = _content(message)
    if isinstance(said, Skipped):
        return said
    if edited and (not said.text or said.kind is Kind.VOICE):
        # Telegram also reports changes that bots cannot see; the words of a recording are those that were heard.
        return Skipped(_("an edit without new words"))
    identifier = message_id(bot, _id(chat), number)
    quoted = _whole(_table(message.get("reply_to_message")).get("message_id"))
    return InboundMessage(
        external_id=identifier,
        sender=_sender(chat, author, said.phone),
        sent_at=_moment(message.get("date")),
        kind=said.kind,
        text=said.text,
        media=said.media,
        reply_to=message_id(bot, _id(chat), quoted) if quoted else "",
        edited=identifier if edited else "",
        details=said.details,
    )


def _skip_reason(chat: Mapping[str, Any], author: Mapping[str, Any]) -> str:
    if chat.get("type") != "private":
        return _("group chat")
    return _("another bot") if author.get("is_bot") is True else ""


def _sender(chat: Mapping[str, Any], author: Mapping[str, Any], phone: str | None = None) -> Sender:
    first, last = (_text(author.get(key) or chat.get(key)).strip() for key in ("first_name", "last_name"))
    return Sender(_id(chat) or _id(author), phone=phone, name=first, full_name=f"{first} {last}".strip() if last else "")


def _tap(query: Mapping[str, Any], bot: str, at: datetime) -> Event:
    """A tap on a button. The message it hangs on may be gone by now; in a private chat its id is the person's."""
    message, author = _table(query.get("message")), _table(query.get("from"))
    chat = _table(message.get("chat")) or {**author, "type": "private"}
    reason = _skip_reason({"type": "private", **chat}, author)
    if reason:
        return Skipped(reason)
    identifier, action = _text(query.get("id")), _text(query.get("data"))
    if not identifier or not _id(author):
        raise Unreadable("a tap without an id or a person")
    if not action:
        return Skipped(_("a tap on a button that is not ours"))
    number = _whole(message.get("message_id"))
    return InboundMessage(
        external_id=f"{TAP}{identifier}",
        sender=_sender(chat, author),
        sent_at=at,
        kind=Kind.BUTTON,
        text=_title(message, action),
        reply_to=message_id(bot, _id(chat), number) if number and _id(chat) else "",
        action=action,
    )


def _title(message: Mapping[str, Any], action: str) -> str:
    """The words on the tapped button, where the message still shows it."""
    keyboard = _table(message.get("reply_markup")).get("inline_keyboard")
    buttons = [button for row in (keyboard if isinstance(keyboard, list) else []) for button in _rows(row)]
    return next((_text(button.get("text")) for button in buttons if button.get("callback_data") == action), "")


def _membership(change: Mapping[str, Any]) -> Event:
    chat, status = _table(change.get("chat")), _table(change.get("new_chat_member")).get("status")
    if chat.get("type") != "private":
        return Skipped(_("group chat"))
    if not _id(chat):
        raise Unreadable("a change of membership without a chat")
    if status not in ("kicked", "member"):
        return Skipped(_("service message"))
    return Reachability(_id(chat), reachable=status == "member")


def _moment(value: Any) -> datetime:
    seconds = _number(value)
    if seconds is None or seconds <= 0:
        raise Unreadable("no time")
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise Unreadable("no time") from None


# ── What a message says ──────────────────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, slots=True)
class _Content:
    kind: Kind
    text: str = ""
    media: Sequence[Media] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    phone: str | None = None


def _content(message: Mapping[str, Any]) -> _Content | Skipped:
    """Raises Unreadable."""
    for name, read in CONTENT:
        if message.get(name):
            return read(message)
    rest = message.keys() - ENVELOPE - {name for name, _read in CONTENT}
    if rest & SERVICE:
        return Skipped(_("service message"))
    if not rest:
        return Skipped(_("empty message"))
    # A kind that is new to us is still somebody who waits for an answer.
    return _Content(Kind.OTHER, _text(message.get("caption")), details={"type": min(rest)[:40]})


def _words(message: Mapping[str, Any]) -> _Content | Skipped:
    text = _text(message.get("text"))
    start = START.fullmatch(text)
    if start:
        # The link a customer came by: t.me/<bot>?start=<payload>
        return _Content(Kind.TEXT, "/start", details={"source": f"tg:{start[1]}"[:MOST_SOURCE]})
    return _Content(Kind.TEXT, text) if text.strip() else Skipped(_("empty message"))


def _file(name: str, kind: Kind) -> Callable[[Mapping[str, Any]], _Content]:
    def read(message: Mapping[str, Any]) -> _Content:
        file = _table(message.get(name))
        return _Content(_kind(kind, file), _text(message.get("caption")), (_media(file, name),))

    return read


def _kind(kind: Kind, file: Mapping[str, Any]) -> Kind:
    """A photo, video or recording that was sent as a file arrives as a document."""
    if kind is not Kind.DOCUMENT:
        return kind
    sort = _text(file.get("mime_type")).partition("/")[0].lower()
    return {"video": Kind.VIDEO, "image": Kind.IMAGE, "audio": Kind.VOICE}.get(sort, kind)


#: What Telegram does not say of files whose form it knows.
MIMES = {"photo": "image/jpeg", "voice": "audio/ogg", "video_note": "video/mp4"}


def _media(file: Mapping[str, Any], name: str) -> Media:
    """Its address would carry the bot's token: only the id is kept."""
    ref = _text(file.get("file_id"))
    if not ref:
        raise Unreadable("a file without an id")
    size = _number(file.get("file_size"))
    return Media(
        ref=ref,
        mime=_text(file.get("mime_type")).lower() or MIMES.get(name, ""),
        name=_text(file.get("file_name")) or _text(file.get("title")),
        size=int(size) if size else None,
        seconds=_number(file.get("duration")),
    )


def _photo(message: Mapping[str, Any]) -> _Content:
    sizes = _rows(message.get("photo"))
    if not sizes:
        raise Unreadable("a photo without a size")
    largest = max(sizes, key=lambda size: (_number(size.get("width")) or 0) * (_number(size.get("height")) or 0))
    return _Content(Kind.IMAGE, _text(message.get("caption")), (_media(largest, "photo"),))


def _sticker(message: Mapping[str, Any]) -> _Content:
    sticker = _table(message.get("sticker"))
    return _Content(Kind.STICKER, _text(sticker.get("emoji")), (_media(sticker, "sticker"),))


def _location(message: Mapping[str, Any]) -> _Content:
    venue = _table(message.get("venue"))
    place = _table(venue.get("location")) or _table(message.get("location"))
    latitude, longitude = _number(place.get("latitude")), _number(place.get("longitude"))
    if latitude is None or longitude is None:
        raise Unreadable("a location without coordinates")
    words = ", ".join(filter(None, (_text(venue.get("title")), _text(venue.get("address")))))
    return _Content(Kind.LOCATION, words, details={"latitude": latitude, "longitude": longitude})


def _contact(message: Mapping[str, Any]) -> _Content:
    """A contact card. Telegram vouches for the phone only where the card is the sender's own, sent by the sender."""
    card, author = _table(message.get("contact")), _table(message.get("from"))
    digits = _text(card.get("phone_number")).strip()
    phone = canonical(f"+{digits.lstrip('+')}") if digits else None
    name = f"{_text(card.get('first_name'))} {_text(card.get('last_name'))}".strip()
    if not name and not digits:
        raise Unreadable("an empty contact card")
    own = _whole(card.get("user_id")) is not None and card.get("user_id") == author.get("id")
    attested = own and not message.get("forward_origin") and not message.get("via_bot")
    return _Content(Kind.CONTACT, details={"name": name, "phone": phone or digits}, phone=phone if attested else None)


def _dice(message: Mapping[str, Any]) -> _Content:
    return _Content(Kind.STICKER, _text(_table(message.get("dice")).get("emoji")))


def _poll(message: Mapping[str, Any]) -> _Content:
    poll = _table(message.get("poll"))
    lines = [_text(poll.get("question")), *(_text(option.get("text")) for option in _rows(poll.get("options")))]
    return _Content(Kind.OTHER, "\n".join(filter(None, lines)), details={"type": "poll"})


#: In this order, since an animation comes with a document, and a venue with a location.
CONTENT: tuple[tuple[str, Callable[[Mapping[str, Any]], _Content | Skipped]], ...] = (
    ("text", _words),
    ("voice", _file("voice", Kind.VOICE)),
    ("audio", _file("audio", Kind.VOICE)),
    ("animation", _file("animation", Kind.VIDEO)),
    ("video", _file("video", Kind.VIDEO)),
    ("video_note", _file("video_note", Kind.VIDEO)),
    ("photo", _photo),
    ("sticker", _sticker),
    ("document", _file("document", Kind.DOCUMENT)),
    ("contact", _contact),
    ("venue", _location),
    ("location", _location),
    ("dice", _dice),
    ("poll", _poll),
)
