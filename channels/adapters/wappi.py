"""WhatsApp through Wappi: one profile, one connected number.

Wappi signs nothing and knows no idempotency key. A webhook is proven by its unguessable path and the profile in its
body; a send whose answer was lost is Unconfirmed and looked up in the chat's history.
"""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from channels.base import (
    Access,
    Adapter,
    Capabilities,
    Event,
    Health,
    OutboundFile,
    OutboundMessage,
    PollResult,
    RawEvent,
    SendResult,
    SentRecord,
    Webhook,
)
from channels.parts import send_parts
from channels.payloads import loaded
from channels.walking import ChatWalk
from foundation.errors import Forged, Rejected, Retry, Unconfirmed, Unreadable
from foundation.phones import canonical

from .wappi_client import BASE_URL, FILE_TIMEOUT, Dialog, WappiClient, scrubbed
from .wappi_parse import raw_event, understand
from .wappi_rows import PERSONAL, PolledRow, WebhookRow, chat_key, is_customer, is_group, is_hidden, moment, number_of, unix

logger = logging.getLogger(__name__)

#: How far back the very first poll looks, and how far every later one looks behind its cursor, in seconds.
FIRST_LOOK = 600.0
OVERLAP = 300.0
#: A chat that cannot be read holds the cursor back no longer than this.
HOLD_BACK = 86_400.0
#: Seconds after which a poll leaves the remaining chats to the next one.
POLL_BUDGET = 40.0
#: The same for a look back, which must not keep the polls waiting.
LOOK_BACK_BUDGET = 10.0
WHATSAPP_CAPTION = 1024
PAYMENT_WARNING = timedelta(days=3)
WEBHOOK_TYPES = (
    "incoming_message",
    "outgoing_message_phone",
    "outgoing_message_api",
    "delivery_status",
    "authorization_status",
)


class WappiAdapter(Adapter):
    """Translate between a Wappi profile and our words."""

    capabilities: ClassVar[Capabilities] = Capabilities(
        max_length=4000,
        voice=True,
        speaks=True,
        files=True,
        edit=True,
        history=True,
        receipts=True,
        polling=True,
        typing=True,
        read_marks=True,
        sends_per_second=1.0,
        attests_phone=True,
        fragile=True,
    )
    default_base_url: ClassVar[str] = BASE_URL
    credential_names: ClassVar[Sequence[str]] = ("token",)
    option_names: ClassVar[Sequence[str]] = ("profile_id",)

    def __init__(self, access: Access) -> None:
        super().__init__(access)
        self.client = WappiClient(access)

    # ── In ───────────────────────────────────────────────────────────────────────────────────────────────────────────
    def verify(self, webhook: Webhook) -> None:
        webhook.prove_path(self.access.webhook_secret)

    def split(self, body: bytes) -> list[RawEvent]:
        """Also raises Forged where an element belongs to another profile than ours."""
        items = loaded(body).get("messages")
        if isinstance(items, dict):
            # Delivery reports and calls come as one object instead of a list.
            items = [items]
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise Unreadable("no list of messages")
        if not self.client.profile or any(item.get("profile_id") != self.client.profile for item in items):
            raise Forged("the webhook is of another profile")
        return [raw_event(item, WebhookRow) for item in items]

    def parse(self, payload: bytes) -> list[Event]:
        return understand(payload)

    def poll(self, cursor: dict[str, Any]) -> PollResult:
        """Chats with new activity, then their messages. A chat that Wappi refuses is passed over, the others are read.

        The cursor is `{"since": unix seconds, "chats": {chat: {"last": message id, "at": unix seconds}}}`: the newest
        activity seen by the provider's clock, and how far each recently active chat was read.
        """
        now = time.time()
        since = number_of(cursor.get("since")) or now - FIRST_LOOK + OVERLAP
        floor = since - OVERLAP
        reading = _Reading(self.client, cursor.get("chats") or {}, floor, POLL_BUDGET)
        dialogs = [chat for chat in self.client.dialogs(floor) if is_customer(chat.id)]
        reading.read(dialogs)
        newest = min(max([since, *(chat.activity for chat in dialogs)]), now)
        if reading.unread:
            newest = min(newest, max(min(chat.activity for chat in reading.unread), now - HOLD_BACK))
        cursor = {"since": newest, "chats": reading.remembered(newest - OVERLAP)}
        return PollResult(reading.events(), cursor, complete=not reading.unfinished)

    def look_back(self, since: datetime, cursor: dict[str, Any]) -> PollResult:
        """Every chat that was active since then, as a poll reads it, whatever polls have read before.

        The cursor of an unfinished look remembers the chats that were read: `{"chats": {chat: {"last", "at"}}}`.
        """
        floor = since.timestamp()
        reading = _Reading(self.client, cursor.get("chats") or {}, floor, LOOK_BACK_BUDGET)
        reading.read([chat for chat in self.client.dialogs(floor) if is_customer(chat.id)])
        return PollResult(reading.events(), {"chats": reading.remembered(floor)}, complete=not reading.unfinished)

    def sent_since(self, recipient: str, since: datetime) -> Sequence[SentRecord]:
        """All outgoing messages of the chat, of every program and of the phone, oldest first."""
        whom = _recipient(recipient)
        history = self.client.history(whom if "@" in whom else f"{whom}@c.us", float(int(since.timestamp())))
        if history.crossed:
            # An incomplete answer must not become the evidence that something was not sent.
            raise Retry("wappi messages/get: rows of another chat", code="crossed")
        rows = [PolledRow.model_validate(row) for row in reversed(history.rows)]
        return [
            SentRecord(row.id, row.caption or (row.body if isinstance(row.body, str) else ""), moment(row.time, row.timestamp))
            for row in rows
            if row.mine and row.id and unix(row.time, row.timestamp) is not None
        ]

    def fetch_media(self, ref: str) -> bytes:
        return self.client.download(ref)

    # ── Out ──────────────────────────────────────────────────────────────────────────────────────────────────────────
    def send(self, message: OutboundMessage) -> SendResult:
        """Send the text and each file; the id is that of the first part.

        Wappi sends one file at a time. Once the first part is out, a later failure is Unconfirmed: repeating the whole
        message would send the first part twice.
        """
        return send_parts(_parts(message, _recipient(message.to)), lambda part: self._send_part(*part))

    def mark_read(self, source_id: str, external_id: str) -> None:
        self.client.call("POST", "sync/message/mark/read", body={"message_id": external_id})

    def typing(self, source_id: str, external_id: str = "") -> None:
        self.client.call(
            "POST", "sync/chat/typing/start", body={"recipient": _recipient(source_id)}, read_timeout=5, deadline=6
        )

    def _send_part(self, path: str, body: dict[str, Any]) -> str:
        timeout = FILE_TIMEOUT if "b64_file" in body else 15.0
        answer = self.client.call("POST", path, body=body, writes=True, read_timeout=timeout, deadline=timeout + 10)
        identifier = answer.get("message_id")
        if isinstance(identifier, str) and identifier:
            return identifier
        label = f"wappi {path.removeprefix('sync/')}"
        if answer.get("status") == "done":
            raise Unconfirmed(f"{label}: done without a message id", code="no_id")
        raise Rejected(f"{label}: {scrubbed(answer, body) or 'not done'}", code=str(answer.get("status") or "")[:20])

    # ── The connection ───────────────────────────────────────────────────────────────────────────────────────────────
    def check(self) -> Health:
        """Raises Unauthorized for a refused token and Retry while Wappi is out of reach."""
        answer = self.client.call("GET", "sync/get/status")
        if answer.get("profile_id", self.client.profile) != self.client.profile:
            return Health(ok=False, detail=_("Wappi answered for another profile."))
        number = canonical(f"+{answer.get('phone') or ''}") or ""
        left = _paid_for(answer)
        if left is not None and left <= timedelta(0):
            return Health(ok=False, detail=_("The Wappi subscription has run out."), own_number=number)
        if answer.get("authorized") is not True:
            return Health(ok=False, detail=_("The number is not connected: scan the QR code in Wappi."), own_number=number)
        if answer.get("app_status") != "open":
            return Health(ok=False, detail=_("WhatsApp is reconnecting by itself."), own_number=number)
        detail = ""
        if left is not None and left <= PAYMENT_WARNING:
            until = date_format(timezone.localtime(timezone.now() + left), "SHORT_DATE_FORMAT")
            detail = _("The Wappi subscription ends on %(date)s.") % {"date": until}
        return Health(ok=True, detail=detail, own_number=number)

    def subscribe(self, url: str) -> None:
        self.client.call("POST", "webhook/url/set", params={"url": url})
        self.client.call("POST", "webhook/types/set", body=list(WEBHOOK_TYPES))


class _Reading(ChatWalk[Dialog]):
    """One poll's walk through the chats that changed."""

    def __init__(self, client: WappiClient, known: Mapping[str, Any], floor: float, budget: float) -> None:
        super().__init__(client.slug, known, floor, budget)
        self.client = client
        self.crossed = False

    @property
    def unfinished(self) -> bool:
        """Whether a chat was left, or read with rows missing."""
        return bool(self.unread) or self.crossed

    def id_of(self, chat: Dialog) -> str:
        return chat.id

    def last_of(self, chat: Dialog) -> str:
        return chat.last_id

    def activity_of(self, chat: Dialog) -> float:
        return chat.activity

    def read_chat(self, chat: Dialog) -> None:
        history = self.client.history(chat.id, max(self.floor, self.read_until(chat) - OVERLAP))
        for row in reversed(history.rows):
            at = unix(row.get("time"), row.get("timestamp")) or chat.activity
            self.rows.append((at, raw_event(row, PolledRow, chat.contact)))
        if history.crossed:
            self.crossed = True
        else:
            self.remember(chat)


def _recipient(source_id: str) -> str:
    """How Wappi wants to be told of a person: digits, or the whole id of a hidden identity or a group."""
    if is_hidden(source_id) or is_group(source_id):
        return source_id.strip()
    domain = source_id.strip().partition("@")[2].lower()
    if domain not in PERSONAL or not is_customer(source_id):
        raise Rejected(_("This is no WhatsApp address."), code="recipient")
    return chat_key(source_id)


def _parts(message: OutboundMessage, recipient: str) -> list[tuple[str, dict[str, Any]]]:
    """The calls that make up a message: the text goes as the caption of the first file where it fits."""
    files, text = list(message.files), message.text
    caption = bool(files) and not files[0].caption and not message.reply_to and len(text) <= WHATSAPP_CAPTION
    parts: list[tuple[str, dict[str, Any]]] = []
    if text and not caption:
        if message.reply_to:
            parts.append(("sync/message/reply", {"message_id": message.reply_to, "body": text}))
        else:
            parts.append(("sync/message/send", {"recipient": recipient, "body": text}))
    for number, file in enumerate(files):
        parts.append(_file_part(file, recipient, file.caption or (text if caption and number == 0 else "")))
    if message.voice is not None:
        spoken = base64.b64encode(message.voice.content).decode("ascii")
        parts.append(("sync/message/audio/send", {"recipient": recipient, "b64_file": spoken}))
    return parts


def _file_part(file: OutboundFile, recipient: str, caption: str) -> tuple[str, dict[str, Any]]:
    body = {"recipient": recipient, "caption": caption, "b64_file": base64.b64encode(file.content).decode("ascii")}
    if file.mime in ("image/jpeg", "image/png"):
        return "sync/message/img/send", body
    return "sync/message/document/send", {**body, "file_name": file.name}


def _paid_for(answer: Mapping[str, Any]) -> timedelta | None:
    """How long the profile is still paid for, or None where Wappi does not say."""
    paid_until = unix(answer.get("payment_expired_at"))
    return None if paid_until is None else datetime.fromtimestamp(paid_until, UTC) - timezone.now()
