"""A Telegram bot: webhooks with a secret header, or long polling where nobody can reach us from outside.

Telegram knows no idempotency key and shows bots no history: a send whose answer was lost stays Unconfirmed. External ids
are `<bot>:<chat>:<message>`, as a message number is unique within a chat with one bot only, and `tap:<query>` for a
tapped button.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from collections.abc import Sequence
from typing import Any, ClassVar

from django.conf import settings
from django.utils.translation import gettext as _

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
    Webhook,
)
from channels.parts import send_parts
from channels.payloads import loaded
from foundation import http
from foundation.crypto import matches
from foundation.errors import Forged, Rejected, Retry, Unconfirmed, Unreadable

from . import telegram_pace
from .telegram_client import BASE_URL, FILE_TIMEOUT, TelegramClient, said
from .telegram_parse import TAP, message_id, raw_event, understand, update_id
from .telegram_parts import TEXT, Part, chat_of, parts_of

logger = logging.getLogger(__name__)

HEADER = "x-telegram-bot-api-secret-token"
UPDATES = ("message", "edited_message", "callback_query", "my_chat_member")
#: Updates that one poll reads.
BATCH = 100
#: How long Telegram may keep a poll open, in seconds: it holds a thread of ours for so long.
LONGEST_POLL = 25
#: After a week without updates Telegram begins to number anew, so an older place in the sequence is given up.
PLACE_KEPT = 6 * 86_400.0
#: A failed delivery that Telegram remembers counts for so long, in seconds, and while something waits.
RECENT = 900.0
MANY_WAITING = 100


class TelegramAdapter(Adapter):
    """Translate between a Telegram bot and our words.

    With the option `polling: true` updates are asked for; otherwise they come to the webhook, and `poll` does nothing.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        max_length=TEXT,
        voice=True,
        speaks=True,
        files=True,
        markup=Markup.HTML,
        choices=10,
        asks_phone=True,
        edit=True,
        polling=True,
        typing=True,
        # Bots mark nothing as read; it is where a tapped button is told that its tap arrived.
        read_marks=True,
        sends_per_second=25.0,
        attests_phone=True,
        alerts=True,
    )
    default_base_url: ClassVar[str] = BASE_URL
    credential_names: ClassVar[Sequence[str]] = ("token",)

    def __init__(self, access: Access) -> None:
        super().__init__(access)
        self.client = TelegramClient(access)

    @property
    def polls(self) -> bool:
        return str(self.access.options.get("polling", "")).lower() in ("true", "1", "yes")

    @property
    def header_secret(self) -> str:
        """What Telegram sends back in its header, in the letters it allows.

        The address of the webhook appears in the logs of proxies; whoever reads it there cannot make this from it, as the
        token goes into it as well. A new token therefore needs the webhook to be subscribed again.
        """
        key = self.access.webhook_secret.encode("utf-8", "surrogatepass")
        token = str(self.access.credentials.get("token") or "")
        return hmac.new(key, f"telegram {token}".encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()

    # ── In ───────────────────────────────────────────────────────────────────────────────────────────────────────────
    def verify(self, webhook: Webhook) -> None:
        webhook.prove_path(self.access.webhook_secret)
        headers = {name.lower(): value for name, value in webhook.headers.items()}
        if not matches(headers.get(HEADER, ""), self.header_secret) or not self.client.bot_id:
            raise Forged("the webhook's secret header is not ours")

    def split(self, body: bytes) -> list[RawEvent]:
        return [raw_event(loaded(body), self.client.bot_id, time.time())]

    def parse(self, payload: bytes) -> list[Event]:
        return understand(payload)

    def poll(self, cursor: dict[str, Any]) -> PollResult:
        """New updates; waits for them for almost as long as until the next poll.

        The cursor is `{"offset": the next update's number, "at": unix seconds of the last one}`. Telegram forgets what lies
        before the offset only when it is asked with it, which is after the cursor was stored.
        """
        if not self.polls:
            return PollResult((), cursor)
        if not cursor:
            self.unsubscribe()
        now = time.time()
        asked: dict[str, Any] = {"limit": BATCH, "timeout": self._patience(), "allowed_updates": list(UPDATES)}
        offset, at = cursor.get("offset"), cursor.get("at")
        if isinstance(offset, int) and isinstance(at, int | float) and now - at < PLACE_KEPT:
            asked["offset"] = offset
        found = self._updates(asked)
        events, highest = [], None
        for update in found:
            try:
                events.append(raw_event(update, self.client.bot_id, now))
                highest = max(update_id(update), highest or 0)
            except Unreadable:
                logger.warning("an update without an id was left out", extra={"channel": self.access.slug})
        if highest is None:
            return PollResult((), cursor or {"offset": None, "at": now})
        return PollResult(events, {"offset": highest + 1, "at": now}, complete=len(found) < BATCH)

    def fetch_media(self, ref: str) -> bytes:
        return self.client.download(ref)

    def _patience(self) -> int:
        return int(min(max(settings.POLLING_INTERVAL - 1, 0), LONGEST_POLL))

    def _updates(self, asked: dict[str, Any]) -> list[dict[str, Any]]:
        try:
            found = self._ask(asked)
        except Retry as error:
            if error.code != "webhook":
                raise
            self.unsubscribe()
            found = self._ask(asked)
        if not isinstance(found, list) or not all(isinstance(update, dict) for update in found):
            raise Retry("telegram getUpdates: an unreadable answer", code="unreadable")
        return found

    def _ask(self, asked: dict[str, Any]) -> Any:
        patience = float(asked["timeout"])
        return self.client.call(
            "getUpdates", asked, read_timeout=patience + http.READ_TIMEOUT, deadline=patience + http.DEADLINE
        )

    # ── Out ──────────────────────────────────────────────────────────────────────────────────────────────────────────
    def send(self, message: OutboundMessage) -> SendResult:
        """Send the text, each file and the voice; the id is that of the first part.

        Once the first part is out, a later failure is Unconfirmed: repeating the whole message would send the first part
        twice. Spoken words that follow written ones may fail: the customer can read.
        """
        parts = parts_of(message, self.client.bot_id)
        return send_parts(parts, self._send_part, spare=lambda part: part.courtesy, channel=self.access.slug)

    def _send_part(self, part: Part) -> str:
        """Send one part, in another form where Telegram did not take the first."""
        telegram_pace.wait(self.client.bot_id, part.body["chat_id"], self._per_second())
        try:
            return self._call(part, part.request())
        except Rejected as error:
            if error.code == "markup":
                logger.warning("markup refused", extra={"channel": self.access.slug})
                return self._call(part, part.request(Markup.PLAIN))
            if error.code == "photo":
                return self._call(part.as_document(), part.request())
            raise

    def _per_second(self) -> float:
        """The channel's option, which a bot that pays for more may raise."""
        wanted = self.access.options.get("sends_per_second")
        if isinstance(wanted, int | float) and not isinstance(wanted, bool) and wanted > 0:
            return float(wanted)
        return telegram_pace.OVERALL

    def _call(self, part: Part, body: dict[str, Any]) -> str:
        timeout = FILE_TIMEOUT if part.upload else http.READ_TIMEOUT
        sent = self.client.call(part.method, body, upload=part.upload, writes=True, read_timeout=timeout, deadline=timeout + 10)
        number = sent.get("message_id") if isinstance(sent, dict) else None
        if not isinstance(number, int) or isinstance(number, bool):
            raise Unconfirmed(f"telegram {part.method}: done without a message id", code="no_id")
        chat = sent["chat"].get("id") if isinstance(sent.get("chat"), dict) else None
        return message_id(self.client.bot_id, chat if isinstance(chat, int) else body["chat_id"], number)

    def mark_read(self, source_id: str, external_id: str) -> None:
        """End the waiting sign on a tapped button. A tap of some minutes ago cannot be answered, and need not be."""
        if not external_id.startswith(TAP):
            return
        try:
            answered = {"callback_query_id": external_id.removeprefix(TAP)}
            self.client.call("answerCallbackQuery", answered, read_timeout=5, deadline=6)
        except Rejected as error:
            if error.code != "query_over":
                raise

    def typing(self, source_id: str, external_id: str = "") -> None:
        body = {"chat_id": chat_of(source_id), "action": "typing"}
        self.client.call("sendChatAction", body, read_timeout=5, deadline=6)

    # ── The connection ───────────────────────────────────────────────────────────────────────────────────────────────
    def check(self) -> Health:
        """Raises Unauthorized for a refused token and Retry while Telegram is out of reach."""
        bot = self.client.call("getMe")
        name = bot.get("username") if isinstance(bot, dict) else ""
        detail = f"@{name}" if isinstance(name, str) and name else ""
        wrong = self._wrong(self.client.call("getWebhookInfo"))
        return Health(ok=not wrong, detail=wrong or detail)

    def _wrong(self, info: Any) -> str:
        """What is wrong with how updates come, in a sentence without numbers that change from minute to minute."""
        info = info if isinstance(info, dict) else {}
        url, waiting = str(info.get("url") or ""), info.get("pending_update_count")
        waiting = waiting if isinstance(waiting, int) else 0
        if self.polls:
            return _("A webhook is set, so nothing can be asked for; the next poll removes it.") if url else ""
        if not url:
            return _("The bot has no webhook: subscribe it, or set the option polling to true.")
        if self.access.webhook_secret not in url:
            return _("The bot's webhook leads to another address: it may be connected elsewhere. Subscribe it again.")
        if not set(UPDATES) <= set(info.get("allowed_updates") or UPDATES):
            return _("The bot's webhook does not bring everything: subscribe it again.")
        if waiting and _recent(info.get("last_error_date")):
            return _("Telegram cannot deliver: %(error)s") % {"error": said(info, "last_error_message")}
        return _("Many messages wait at Telegram.") if waiting > MANY_WAITING else ""

    def subscribe(self, url: str) -> None:
        """Set the webhook; where the channel polls, remove it instead, as Telegram allows only one of the two."""
        if self.polls:
            self.unsubscribe()
            return
        if not url.startswith("https://") and self.client.base == BASE_URL:
            raise Rejected(_("Telegram posts to https addresses only: set the option polling to true instead."), code="url")
        asked = {"url": url, "secret_token": self.header_secret, "allowed_updates": list(UPDATES)}
        self.client.call("setWebhook", asked)

    def unsubscribe(self) -> None:
        self.client.call("deleteWebhook", {"drop_pending_updates": False})


def _recent(value: Any) -> bool:
    return isinstance(value, int | float) and time.time() - value < RECENT
