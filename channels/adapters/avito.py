"""Avito's messenger: one account, in which each buyer has one chat for each listing.

Avito publishes no way to check who posts a webhook. Its address is unguessable, and what it brings is believed in one
thing only: that there is news. Messages are read from the account's own history, so an invented chat has no effect.
There is no idempotency key either: a send whose answer was lost is Unconfirmed and looked up in that history.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import urlsplit

from django.utils.translation import gettext as _

from channels import rich
from channels.base import (
    Access,
    Adapter,
    Capabilities,
    Event,
    Health,
    Markup,
    OutboundMessage,
    PollResult,
    RawEvent,
    SendResult,
    SentRecord,
    Webhook,
)
from channels.parts import send_parts
from foundation.errors import Forged, Rejected, Retry, Unconfirmed
from foundation.phones import canonical

from . import avito_history, avito_sent
from .avito_client import BASE_URL, MAX_FILE_BYTES, AvitoClient, in_path
from .avito_parse import Stranger, others, rings, table_of, understand

#: Of Avito's length of a text.
TEXT = 1000
PICTURES = frozenset({"image/jpeg", "image/png", "image/gif", "image/bmp", "image/heic"})
#: Why somebody is put on the blacklist, in Avito's numbers.
SPAM, FRAUD, ABUSE, OTHER = 1, 2, 3, 4
WEBHOOK_VERSION = "3"


class AvitoAdapter(Adapter):
    """Translate between an Avito account and our words."""

    capabilities: ClassVar[Capabilities] = Capabilities(
        max_length=TEXT,
        # It is heard; nothing spoken can be sent.
        voice=True,
        files=True,
        history=True,
        polling=True,
        read_marks=True,
        blocks=True,
        sends_per_second=1.0,
    )
    default_base_url: ClassVar[str] = BASE_URL
    credential_names: ClassVar[Sequence[str]] = ("client_id", "client_secret")

    def __init__(self, access: Access) -> None:
        super().__init__(access)
        self.client = AvitoClient(access)

    # ── In ───────────────────────────────────────────────────────────────────────────────────────────────────────────
    def verify(self, webhook: Webhook) -> None:
        webhook.prove_path(self.access.webhook_secret)

    def split(self, body: bytes) -> list[RawEvent]:
        """Also raises Forged where the event is of another account, as far as ours is known."""
        try:
            return rings(body, self.client.known_account)
        except Stranger as error:
            raise Forged(str(error)) from None

    def parse(self, payload: bytes) -> list[Event]:
        return understand(payload)

    def poll(self, cursor: dict[str, Any]) -> PollResult:
        return avito_history.poll(self.client, cursor)

    def look_back(self, since: datetime, cursor: dict[str, Any]) -> PollResult:
        return avito_history.look_back(self.client, since, cursor)

    def sent_since(self, recipient: str, since: datetime) -> Sequence[SentRecord]:
        return avito_history.sent_since(self.client, recipient, since)

    def fetch_media(self, ref: str) -> bytes:
        """`ref` is `voice:<id>`, for which a new link is asked, or `image:<address>`."""
        kind, _colon, where = ref.partition(":")
        if kind == "voice":
            return self.client.voice(where)
        if kind == "image":
            return self.client.follow(where)
        raise Rejected(_("Avito shows no such files."), code="no_file")

    # ── Out ──────────────────────────────────────────────────────────────────────────────────────────────────────────
    def send(self, message: OutboundMessage) -> SendResult:
        """Send the text, then each picture; the id is that of the first part.

        The pictures are handed over beforehand, which sends nothing yet. Once the first part is out, a later failure is
        Unconfirmed: repeating the whole message would send the first part twice.
        """
        chat = f"chats/{in_path(message.to)}/messages"
        texts = _texts(message)
        _refuse_what_cannot_go(message, texts)
        pictures = [self.client.upload(file) for file in message.files]
        several = len(texts) + len(pictures) > 1 or bool(pictures)
        sent: list[str] = []

        def send(part: tuple[str, str, dict[str, Any]]) -> str:
            sent.append(self._send_part(*part, message.to))
            if len(sent) > 1:
                avito_sent.remember(self.access.slug, sent[-1])
            return sent[-1]

        with avito_sent.sending(self.access.slug, message.to) if several else nullcontext():
            return send_parts(_parts(chat, texts, pictures), send)

    def _send_part(self, label: str, path: str, body: dict[str, Any], chat: str) -> str:
        answer = self.client.messenger("POST", 1, path, label=label, chat=chat, body=body, writes=True)
        identifier = answer.get("id") if isinstance(answer, dict) else None
        if isinstance(identifier, str) and identifier:
            return identifier
        raise Unconfirmed(f"avito {label}: done without a message id", code="no_id")

    def mark_read(self, source_id: str, external_id: str) -> None:
        self.client.messenger("POST", 1, f"chats/{in_path(source_id)}/read", label="read", chat=source_id)

    def block(self, source_id: str, reason: int = SPAM) -> None:
        """Put the person of a chat on the account's blacklist: they can write no more. Only Avito's own pages undo it."""
        chat = self.client.chat(source_id)
        person = _person_of(chat, self.client.account)
        if person is None:
            raise Rejected(_("Avito does not tell who this is."), code="recipient")
        context: dict[str, Any] = {"reason_id": reason}
        item = table_of(table_of(chat.get("context")).get("value")).get("id")
        if isinstance(item, int) and not isinstance(item, bool):
            context["item_id"] = item
        body = {"users": [{"user_id": person, "context": context}]}
        self.client.messenger("POST", 2, "blacklist", label="blacklist", body=body)

    # ── The connection ───────────────────────────────────────────────────────────────────────────────────────────────
    def check(self) -> Health:
        """Raises Unauthorized for refused keys and a tariff without the messenger, Retry while Avito is out of reach."""
        account, phone = self.client.whoami()
        number = canonical(f"+{phone}") or "" if phone else ""
        if self.client.known_account != account:
            detail = _("The keys belong to another account: its number is %(account)s.") % {"account": account}
            return Health(ok=False, detail=detail, own_number=number)
        self.client.prove_messenger()
        ours = [version for url, version in self._subscriptions() if self._is_current(url)]
        detail = ""
        if not ours:
            detail = _("Avito has no webhook of this channel, so messages are only asked for: subscribe it.")
        elif WEBHOOK_VERSION not in ours:
            detail = _("Avito's webhook of this channel is of an old kind: subscribe it again.")
        return Health(ok=True, detail=detail, own_number=number)

    def subscribe(self, url: str) -> None:
        """Register the webhook, after the channel's older ones were taken away; those of other programs stay."""
        if not url.startswith("https://") and self.client.base == BASE_URL:
            raise Rejected(_("Avito posts to https addresses only; messages are asked for all the same."), code="url")
        current = self._subscriptions()
        for known, version in current:
            if self._is_ours(known) and (known, version) != (url, WEBHOOK_VERSION):
                self._unsubscribe(known)
        if (url, WEBHOOK_VERSION) not in current:
            self._done("/messenger/v3/webhook", "webhook", {"url": url})

    def unsubscribe(self) -> None:
        for url, _version in self._subscriptions():
            if self._is_ours(url):
                self._unsubscribe(url)

    def _unsubscribe(self, url: str) -> None:
        self._done("/messenger/v1/webhook/unsubscribe", "webhook/unsubscribe", {"url": url})

    def _done(self, path: str, label: str, body: dict[str, Any]) -> None:
        if self.client.table("POST", path, label=label, body=body).get("ok") is False:
            raise Rejected(f"avito {label}: not done", code="not_ok")

    def _subscriptions(self) -> list[tuple[str, str]]:
        """Address and version of every webhook of the account. Avito wants POST for this."""
        found = self.client.table("POST", "/messenger/v1/subscriptions", label="subscriptions").get("subscriptions")
        if not isinstance(found, list):
            raise Retry("avito subscriptions: an unreadable answer", code="unreadable")
        return [
            (row["url"], str(row.get("version") or ""))
            for row in found
            if isinstance(row, dict) and isinstance(row.get("url"), str)
        ]

    def _is_ours(self, url: str) -> bool:
        """Of this channel, whatever its secret was."""
        return f"/webhooks/avito/{self.access.slug}/" in _path(url)

    def _is_current(self, url: str) -> bool:
        return self._is_ours(url) and self.access.webhook_secret in _path(url)


def _path(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:
        return ""


def _texts(message: OutboundMessage) -> list[str]:
    """What is written, with the captions of the files: a picture has none at Avito."""
    words = "\n\n".join(filter(None, (message.text.strip(), *(file.caption.strip() for file in message.files))))
    return [rich.render(piece, Markup.PLAIN) for piece in rich.split(words, TEXT, Markup.PLAIN)]


def _refuse_what_cannot_go(message: OutboundMessage, texts: Sequence[str]) -> None:
    """Raises Rejected before anything has left."""
    if not texts and not message.files:
        if message.voice is not None:
            raise Rejected(_("Avito carries no voice messages of ours."), code="voice")
        raise Rejected(_("There is nothing to send."), code="empty")
    if any(file.mime.partition(";")[0].strip().lower() not in PICTURES for file in message.files):
        raise Rejected(_("Avito carries pictures only, no other files."), code="file")
    if any(len(file.content) > MAX_FILE_BYTES for file in message.files):
        raise Rejected(_("The picture is too large for Avito: 24 MB at most."), code="too_large")


def _parts(chat: str, texts: Sequence[str], pictures: Sequence[str]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Label, path and body of each call."""
    for text in texts:
        yield "messages", chat, {"type": "text", "message": {"text": text}}
    for picture in pictures:
        yield "messages/image", f"{chat}/image", {"image_id": picture}


def _person_of(chat: dict[str, Any], account: int) -> int | None:
    """The other side's number: as the list of people has it, or, where that is hidden, as the author of the last message."""
    for user in others(chat, account):
        if isinstance(user.get("id"), int):
            return int(user["id"])
    author = table_of(chat.get("last_message")).get("author_id")
    return author if isinstance(author, int) and author != account else None
