"""WhatsApp through WAHA, a server of our own that is a linked device of somebody's phone: one session, one number.

A webhook is proven by its path and by an HMAC over its very bytes. WAHA's own time stamp stands outside of that, so it
proves nothing; a body that is posted again is known by its message's id and has no second effect.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar

from django.utils.translation import gettext as _

from channels import rich
from channels.base import (
    Access,
    Adapter,
    Capabilities,
    Event,
    Health,
    Linked,
    Markup,
    OutboundFile,
    OutboundMessage,
    PollResult,
    RawEvent,
    Sender,
    SendResult,
    SentRecord,
    Session,
    SessionState,
    Webhook,
)
from channels.parts import send_parts
from channels.payloads import loaded
from foundation.crypto import matches
from foundation.errors import Forged, Rejected, Unauthorized, Unconfirmed, Unreadable
from foundation.phones import canonical

from . import waha_history as history
from .waha_client import FILE_TIMEOUT, STATES, WahaClient, in_words
from .waha_data import number
from .waha_hooks import hooked, hooks_ours, with_hook, without_hook
from .waha_ids import address, answered_id, is_hidden, is_person, phone_of
from .waha_parse import PROGRAM_ID, raw_event, understand

WHATSAPP_CAPTION = 1024
SHOWN_AS_PICTURE = ("image/jpeg", "image/png")
VOICE_TYPE = "audio/ogg; codecs=opus"


class WahaAdapter(Adapter, Linked):
    """Translate between a WAHA session and our words.

    Lists and buttons are not offered: WAHA has buttons marked as deprecated and says of lists that they may stop working
    any day.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        max_length=4000,
        voice=True,
        speaks=True,
        files=True,
        markup=Markup.WHATSAPP,
        sessions=True,
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
    credential_names: ClassVar[Sequence[str]] = ("api_key", "hmac_key")
    option_names: ClassVar[Sequence[str]] = ("session",)

    def __init__(self, access: Access) -> None:
        super().__init__(access)
        self.client = WahaClient(access)

    # ── In ───────────────────────────────────────────────────────────────────────────────────────────────────────────
    def verify(self, webhook: Webhook) -> None:
        webhook.prove_path(self.access.webhook_secret)
        key = self._hmac_key()
        if not key:
            raise Forged("the channel has no HMAC key")
        if webhook.headers.get("x-webhook-hmac-algorithm", "sha512").strip().lower() != "sha512":
            raise Forged("the signature is of another algorithm")
        signed = hmac.new(key.encode(), webhook.body, hashlib.sha512).hexdigest()
        if not matches(webhook.headers.get("x-webhook-hmac", "").strip(), signed):
            raise Forged("the signature is wrong")

    def split(self, body: bytes) -> list[RawEvent]:
        """Also raises Forged where the event is of another session than ours."""
        envelope = loaded(body)
        if not self.client.session or envelope.get("session") != self.client.session:
            raise Forged("the webhook is of another session")
        if not isinstance(envelope.get("event"), str) or not isinstance(envelope.get("payload"), dict):
            raise Unreadable("no event with a payload")
        return [raw_event(envelope)]

    def parse(self, payload: bytes) -> list[Event]:
        return understand(payload)

    def resolve(self, sender: Sender) -> Sender:
        """The sender with the phone behind their hidden id, where WAHA knows it. Raises Retry while it cannot be asked.

        The hidden id stays who they are on this channel: answers go where the question came from.
        """
        if sender.phone or not is_hidden(sender.source_id):
            return sender
        return replace(sender, phone=phone_of(self.client.phone_of(sender.source_id)))

    def poll(self, cursor: dict[str, Any]) -> PollResult:
        every = number(self.access.options.get("poll_seconds")) or history.POLL_SECONDS
        return history.poll(self.client, cursor, every)

    def look_back(self, since: datetime, cursor: dict[str, Any]) -> PollResult:
        """All messages since then. The cursor of an unfinished look: `{"offset"}` or the `{"chats"}` left to read."""
        return history.look_back(self.client, since, cursor)

    def sent_since(self, recipient: str, since: datetime) -> Sequence[SentRecord]:
        return history.sent_since(self.client, _recipient(recipient), since)

    def fetch_media(self, ref: str) -> bytes:
        """`ref` is the message's whole id and, after a space, the path of the file where the webhook told it."""
        whole_id, _space, path = ref.partition(" ")
        return self.client.download(whole_id, path)

    # ── Out ──────────────────────────────────────────────────────────────────────────────────────────────────────────
    def send(self, message: OutboundMessage) -> SendResult:
        """Send the recording, or the text and each file; the id is that of the first part.

        Once the first part is out, a later failure is Unconfirmed: repeating the whole message would send it twice.
        """
        return send_parts(self._parts(message, _recipient(message.to)), lambda part: self._send_part(*part))

    def mark_read(self, source_id: str, external_id: str) -> None:
        # The engines without a browser mark nothing unless they are told of which message.
        chat = _recipient(source_id)
        body = self._to(chat, messageIds=[f"false_{chat}_{external_id}"])
        self.client.call("POST", "/api/sendSeen", body=body)

    def typing(self, source_id: str, external_id: str = "") -> None:
        self.client.call("POST", "/api/startTyping", body=self._to(_recipient(source_id)), read_timeout=5, deadline=6)

    def _to(self, chat: str, **more: Any) -> dict[str, Any]:
        return {"session": self.client.session, "chatId": chat, **more}

    def _parts(self, message: OutboundMessage, chat: str) -> list[tuple[str, dict[str, Any]]]:
        """The calls that make up a message: the text goes as the caption of the first file where it fits."""
        quoted = {"reply_to": f"false_{chat}_{message.reply_to}"} if message.reply_to else {}
        if message.voice is not None:
            spoken = self._to(chat, file=_file(message.voice, VOICE_TYPE), convert=not _is_opus(message.voice.content))
            return [("/api/sendVoice", {**spoken, **quoted})]
        files, text = list(message.files), rich.render(message.text, Markup.WHATSAPP)
        caption = bool(files) and not files[0].caption and rich.units(text) <= WHATSAPP_CAPTION
        parts: list[tuple[str, dict[str, Any]]] = []
        if text and not caption:
            body = self._to(chat, text=text, id=own_message_id(self.access.slug, message.key), **quoted)
            parts.append(("/api/sendText", {**body, "linkPreview": self.access.options.get("link_preview") is True}))
        for place, file in enumerate(files):
            words = rich.render(file.caption, Markup.WHATSAPP) or (text if caption and place == 0 else "")
            path = "/api/sendImage" if file.mime in SHOWN_AS_PICTURE else "/api/sendFile"
            parts.append((path, self._to(chat, file=_file(file), caption=words, **(quoted if place == 0 and caption else {}))))
        return parts

    def _send_part(self, path: str, body: dict[str, Any]) -> str:
        timeout = FILE_TIMEOUT if "file" in body else 20.0
        try:
            answer = self.client.table("POST", path, body=body, writes=True, read_timeout=timeout, deadline=timeout + 10)
        except Unauthorized:
            raise
        except Rejected as error:
            if error.code == "404":
                raise Unauthorized(_("WAHA knows no such session: start it."), code="404") from None
            if error.code != "400" or not is_hidden(body["chatId"]):
                raise
            # Some versions take no hidden ids.
            return self._send_to_phone(path, body, error)
        return _accepted(answer)

    def _send_to_phone(self, path: str, body: dict[str, Any], refused: Rejected) -> str:
        phone = phone_of(self.client.phone_of(body["chatId"]))
        if phone is None:
            raise refused
        body = {name: value for name, value in body.items() if name != "reply_to"}
        return _accepted(self.client.table("POST", path, body={**body, "chatId": f"{phone}@c.us"}, writes=True))

    # ── The linked device ────────────────────────────────────────────────────────────────────────────────────────────
    def session(self) -> Session:
        info = self.client.info()
        if info is None:
            return Session(SessionState.STOPPED, _("WAHA knows no such session: start it."))
        status = str(info.get("status") or "")
        return Session(STATES.get(status, SessionState.FAILED), in_words(status), _own_number(info))

    def start_session(self) -> None:
        info = self.client.info()
        if info is None:
            self.client.create(with_hook({}, self.access.slug, None), start=True)
        else:
            self.client.command("restart" if info.get("status") == "FAILED" else "start")

    def stop_session(self) -> None:
        self.client.command("stop")

    def log_out(self) -> None:
        self.client.command("logout")

    def qr(self) -> bytes:
        return self.client.qr()

    def pairing_code(self, phone: str) -> str:
        digits = canonical(phone)
        if digits is None:
            raise Rejected(_("Not a phone number. Example: +7 701 123 45 67."), code="phone")
        return self.client.pairing_code(digits)

    # ── The connection ───────────────────────────────────────────────────────────────────────────────────────────────
    def check(self) -> Health:
        """Raises Unauthorized for a refused key and Retry while WAHA is out of reach."""
        info = self.client.info()
        if info is None:
            return Health(ok=False, detail=_("WAHA knows no such session: start it."))
        status, own_number = str(info.get("status") or ""), _own_number(info)
        if status != "WORKING":
            return Health(ok=False, detail=in_words(status), own_number=own_number)
        detail = "" if hooked(info, self.access.slug) else _("WAHA has no webhook of this channel: subscribe it.")
        return Health(ok=True, detail=detail, own_number=own_number)

    def subscribe(self, url: str) -> None:
        """Write the webhook into the session's configuration, beside those of others; makes the session where there is none.

        WAHA restarts a running session for a new configuration, so one that is as it should be is left alone. The
        option `webhook_base` (`http://web:8000`) replaces the site's own address, where WAHA stands in the same network.
        """
        key = self._hmac_key()
        if not key:
            raise Unauthorized(_("The HMAC key is missing."), code="credentials")
        hook = hooks_ours(url, str(self.access.options.get("webhook_base") or ""), key)
        info = self.client.info()
        if info is None:
            self.client.create(with_hook({}, self.access.slug, hook), start=False)
            return
        current = info.get("config") if isinstance(info.get("config"), dict) else {}
        wanted = with_hook(current or {}, self.access.slug, hook)
        if wanted != current:
            self.client.update(wanted, info.get("apps"))

    def unsubscribe(self) -> None:
        info = self.client.info()
        if info is not None and hooked(info, self.access.slug):
            self.client.update(without_hook(info["config"], self.access.slug), info.get("apps"))

    def _hmac_key(self) -> str:
        return str(self.access.credentials.get("hmac_key") or "").strip()


def own_message_id(slug: str, key: str) -> str:
    """The id we give a text beforehand, the same on every attempt, where WAHA takes one.

    Not every engine may keep it, so the id in the answer is what counts.
    """
    return PROGRAM_ID + hashlib.sha256(f"{slug} {key}".encode()).hexdigest()[:18].upper()


def _recipient(source_id: str) -> str:
    """The chat to write to."""
    chat = address(source_id)
    if not is_person(chat):
        raise Rejected(_("This is no WhatsApp address."), code="recipient")
    return chat


def _accepted(answer: Mapping[str, Any]) -> str:
    identifier = answered_id(dict(answer))
    if not identifier:
        raise Unconfirmed("waha: accepted without a message id", code="no_id")
    return identifier


def _file(file: OutboundFile, mime: str = "") -> dict[str, str]:
    return {
        "mimetype": mime or file.mime,
        "filename": file.name,
        "data": base64.b64encode(file.content).decode("ascii"),
    }


def _is_opus(content: bytes) -> bool:
    return content.startswith(b"OggS") and b"OpusHead" in content[:64]


def _own_number(info: Mapping[str, Any]) -> str:
    me = info.get("me")
    return (phone_of(me.get("id")) or "") if isinstance(me, dict) else ""
