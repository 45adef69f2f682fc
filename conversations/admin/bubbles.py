"""A stretch of a conversation as the chat page shows it: bubbles, handovers between them, and the why of each reply."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import CharField, F, Func
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from .. import attention, window
from ..models import Conversation, Message, Takeover, Turn
from . import outcomes, panels, timeline

#: Messages shown at first, and added by each look back.
PAGE = 50
QUOTE_LENGTH = 80

State, Stage = Message.State, Turn.Stage
MARKS = {
    State.QUEUED: ("schedule", "muted"),
    State.SENDING: ("arrow_upward", "muted"),
    State.SENT: ("check", "muted"),
    State.DELIVERED: ("done_all", "muted"),
    State.READ: ("done_all", "ok"),
    State.FAILED: ("error", "bad"),
    State.UNCONFIRMED: ("help", "warn"),
    State.SUPPRESSED: ("block", "muted"),
}
ICONS = {
    "voice": "mic", "image": "image", "video": "videocam", "document": "description", "sticker": "mood",
    "location": "location_on", "contact": "contact_page", "button": "touch_app", "other": "attach_file",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Item:
    """One thing in the thread. The page replaces it when `html` differs; `key` names it, `seq` orders it."""

    key: str
    seq: int
    day: str
    html: str

    def as_json(self) -> dict[str, Any]:
        return {"key": self.key, "seq": self.seq, "day": self.day, "html": self.html}


@dataclass(frozen=True, slots=True)
class Stretch:
    """Neighbouring items, oldest first. `first` is the number of the oldest message; `more` says that older ones exist."""

    items: list[Item]
    first: int
    more: bool


def stretch(conversation: Conversation, zone: ZoneInfo, *, before: int | None = None, may_change: bool = False) -> Stretch:
    """The newest messages (before number `before`), with the handovers between them."""
    found = Message.objects.filter(conversation=conversation).select_related("user").prefetch_related("turn").order_by("-seq")
    if before is not None:
        found = found.filter(seq__lt=before)
    messages = list(found[: PAGE + 1])
    more = len(messages) > PAGE
    messages = messages[:PAGE][::-1]
    first = messages[0].seq if messages else 0
    items = _bubbles(messages, zone, may_change)
    items += _handovers(conversation, zone, first if more else 0, before)
    items.sort(key=lambda item: (item.seq, item.key.startswith("handover")))
    return Stretch(items, first, more)


def fingerprint(conversation: Conversation) -> str:
    """Changes whenever the newest stretch, the contact, who leads or a panel would look different. A few cheap queries."""
    shown = (
        Message.objects.filter(conversation=conversation)
        .order_by("-seq")
        .values_list(
            "seq", "state", "state_changed_at", "error", "turn_id", "turn__stage", "turn__reason",
            Func(F("text"), function="md5", output_field=CharField()),
        )[:PAGE]
    )  # fmt: skip
    contact = conversation.contact
    parts = [
        list(shown),
        Takeover.objects.filter(conversation=conversation).order_by("-id").values_list("id", flat=True).first(),
        (conversation.mode, conversation.taken_by_id, conversation.resumes_at, conversation.needs_attention),
        (conversation.blocked_at, conversation.unreachable_since),
        (conversation.attention_reason, conversation.channel.health, conversation.channel.running),
        window.is_open(conversation.pk, conversation.channel_id),
        (contact.updated_at, contact.is_client, contact.verdict_final, contact.confidence, contact.opted_out_at),
        [panel.version(conversation) for panel in panels.PANELS],
    ]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:20]


def _bubbles(messages: Sequence[Message], zone: ZoneInfo, may_change: bool) -> list[Item]:
    last_of_turn = {m.turn_id: m.seq for m in messages if m.direction == Message.Direction.IN}
    known = {m.external_id: m for m in messages if m.external_id}
    items = []
    for message in messages:
        inbound = message.direction == Message.Direction.IN
        noted = inbound and (message.turn_id is None or last_of_turn[message.turn_id] == message.seq)
        context = {
            "m": message,
            "inbound": inbound,
            "author": _author(message),
            "clock": message.sent_at.astimezone(zone).strftime("%H:%M"),
            "moment": message.sent_at.astimezone(zone).strftime("%d.%m.%Y %H:%M:%S %Z"),
            "icon": ICONS.get(message.kind, ""),
            "player": _player(message),
            "extras": _extras(message, known),
            "mark": _mark(message),
            "note": _note(message.turn) if noted else None,
            "why": why(message.turn) if message.author == Message.Author.BOT and message.turn else None,
            "decisions": _decisions(message) if may_change else [],
            "may_change": may_change,
        }
        html = render_to_string("admin/conversations/bubble.html", context)
        items.append(Item(f"message-{message.pk}", message.seq, _day(message.sent_at, zone), html))
    return items


def _author(message: Message) -> str:
    if message.author == Message.Author.MANAGER and message.user is not None:
        return message.user.get_full_name() or message.user.get_username()
    return str(Message.Author(message.author).label)


def _day(at: datetime, zone: ZoneInfo) -> str:
    local, today = at.astimezone(zone).date(), timezone.now().astimezone(zone).date()
    if local == today:
        return _("Today")
    if (today - local).days == 1:
        return _("Yesterday")
    return date_format(local, "DATE_FORMAT")


def _mark(message: Message) -> dict[str, str] | None:
    if message.direction == Message.Direction.IN:
        return None
    icon, tone = MARKS[State(message.state)]
    return {"icon": icon, "tone": tone, "label": str(State(message.state).label)}


def _player(message: Message) -> dict[str, str] | None:
    """Where the recording of a voice message is, and how long it takes, where that is known."""
    media = (message.details or {}).get("media", [])
    if message.kind != Message.Kind.VOICE or not media:
        return None
    seconds = round(media[0].get("seconds") or 0)
    return {"href": _file_url(message, 0), "length": f"{seconds // 60}:{seconds % 60:02}" if seconds else ""}


def _file_url(message: Message, index: int) -> str:
    return reverse("admin:conversation_file", args=(message.conversation_id, message.pk, index))


def _extras(message: Message, known: Mapping[str, Message]) -> list[dict[str, str]]:
    """What came beside the text: quoted message, files, place, card, page of the site."""
    details: Mapping[str, Any] = message.details or {}
    extras = []
    if quoted := details.get("reply_to"):
        text = known[quoted].text if quoted in known else _("an earlier message")
        extras.append({"icon": "reply", "text": text[:QUOTE_LENGTH]})
    for index, media in enumerate(details.get("media", [])):
        if index == 0 and message.kind == Message.Kind.VOICE:
            continue
        text = media.get("name") or media.get("mime") or _("file")
        extras.append({"icon": "attach_file", "text": text, "href": _file_url(message, index)})
    if "latitude" in details:
        extras.append({"icon": "location_on", "text": f"{details['latitude']}, {details.get('longitude')}"})
    if message.kind == Message.Kind.CONTACT:
        extras.append({"icon": "contact_page", "text": " ".join(str(details[k]) for k in ("name", "phone") if details.get(k))})
    if details.get("page"):
        extras.append({"icon": "language", "text": str(details["page"])})
    return extras


def _note(turn: Turn | None) -> dict[str, Any] | None:
    """What became of the customer's message, where that is not a reply."""
    if turn is None:
        return {"icon": "hourglass_empty", "tone": "muted", "text": _("Waits for its turn")}
    reason = turn.get_reason_display() if turn.reason else ""
    match turn.stage:
        case Stage.IGNORED:
            return {"icon": "volume_off", "tone": "muted", "text": _("Not answered: %(reason)s") % {"reason": reason}}
        case Stage.SUPERSEDED if turn.reason:
            return {"icon": "volume_off", "tone": "muted", "text": _("Left to the manager: %(reason)s") % {"reason": reason}}
        case Stage.FAILED:
            text = ". ".join(part for part in (_("Needs attention: %(reason)s") % {"reason": reason}, turn.error) if part)
            return {
                "icon": "error",
                "tone": "bad",
                "text": text,
                "failed": turn,
                "retry": turn.reason not in attention.BY_MESSAGE,
            }
        case Stage.DISMISSED:
            return {
                "icon": "do_not_disturb_on",
                "tone": "muted",
                "text": _("Dismissed by a manager: %(reason)s") % {"reason": reason},
            }
    if turn.is_open:
        working = _("The assistant is at work: %(stage)s") % {"stage": Stage(turn.stage).label}
        return {"icon": "", "tone": "info", "text": working, "working": True}
    return None


def why(turn: Turn) -> dict[str, Any]:
    """Where the seconds went and why the bot said what it said."""
    return {
        "turn": turn,
        "spans": [(span, timeline.in_words(span.seconds)) for span in timeline.spans(turn.timeline)],
        "total": timeline.in_words(timeline.total(turn.timeline)),
        "outcome": outcomes.in_words(turn),
        "knowledge": turn.knowledge_used,
    }


def _decisions(message: Message) -> list[dict[str, str]]:
    """What a manager may do about a message of ours that did not (certainly) arrive."""
    again = {"do": "resend", "icon": "refresh", "label": _("Send again"), "confirm": ""}
    if message.direction == Message.Direction.OUT and message.state == State.UNCONFIRMED:
        sure = _("The message may have arrived already. Send it again? The customer might get it twice.")
        arrived = {"do": "arrived", "icon": "check", "label": _("It arrived"), "confirm": ""}
        return [{**again, "confirm": sure}, arrived]
    if message.direction == Message.Direction.OUT and message.state == State.FAILED:
        return [again, {"do": "withdraw", "icon": "block", "label": _("Do not send"), "confirm": ""}]
    return []


def _handovers(conversation: Conversation, zone: ZoneInfo, first: int, before: int | None) -> list[Item]:
    marks = Takeover.objects.filter(conversation=conversation, after_seq__gte=first).select_related("user").order_by("at")
    if before is not None:
        marks = marks.filter(after_seq__lt=before)
    items = []
    for mark in marks:
        who = mark.user.get_full_name() or mark.user.get_username() if mark.user else ""
        context = {"t": mark, "who": who, "clock": mark.at.astimezone(zone).strftime("%H:%M")}
        html = render_to_string("admin/conversations/handover.html", context)
        items.append(Item(f"handover-{mark.pk}", mark.after_seq, _day(mark.at, zone), html))
    return items
