"""WhatsApp through Meta's own Cloud API: one number of one WhatsApp Business account.

Webhooks are signed with the app's secret. Sends know no idempotency key, but carry our id to the status webhooks, by
which a send whose answer was lost is settled. Free text only within 24 hours of the customer's last message.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from django.utils.translation import gettext as _

from channels.base import (
    Access,
    Adapter,
    Capabilities,
    Event,
    Health,
    Markup,
    OutboundMessage,
    ProviderTemplate,
    RawEvent,
    SendResult,
    Webhook,
)
from channels.parts import send_parts
from foundation.crypto import matches
from foundation.errors import Forged, ProviderError, Rejected, Unauthorized, Unconfirmed
from foundation.phones import canonical

from .whatsapp_cloud_client import BASE_URL, CloudClient
from .whatsapp_cloud_parse import raw_events, understand
from .whatsapp_cloud_send import MAX_ROWS, Part, correlation, parts, recipient, template_of

logger = logging.getLogger(__name__)

#: Meta's answers to a field that a version of its API does not know.
UNKNOWN_FIELD = frozenset({"100", "131008", "131009"})
#: Seconds until a subscription that was there is looked for again: Meta counts these calls by the hour.
SUBSCRIBED_FOR = 3600.0
NUMBER_FIELDS = "status,display_phone_number,verified_name,quality_rating"
TEMPLATE_FIELDS = "name,language,status,category,components"

#: Accounts whose webhooks were subscribed when last looked at, and when that was (monotonic seconds).
_subscribed: dict[tuple[str, str], float] = {}


class WhatsAppCloudAdapter(Adapter):
    """Translate between a WhatsApp number of Meta's Cloud API and our words."""

    capabilities: ClassVar[Capabilities] = Capabilities(
        max_length=4096,
        voice=True,
        speaks=True,
        files=True,
        markup=Markup.WHATSAPP,
        choices=MAX_ROWS,
        templates=True,
        edit=True,
        receipts=True,
        typing=True,
        read_marks=True,
        # A number that is also used in the phone app is allowed twenty; others eighty.
        sends_per_second=20.0,
        attests_phone=True,
        reply_window=timedelta(hours=24),
    )
    default_base_url: ClassVar[str] = BASE_URL
    credential_names: ClassVar[Sequence[str]] = ("access_token", "app_secret", "verify_token")
    option_names: ClassVar[Sequence[str]] = ("phone_number_id", "waba_id")

    def __init__(self, access: Access) -> None:
        super().__init__(access)
        self.client = CloudClient(access)

    # ── In ───────────────────────────────────────────────────────────────────────────────────────────────────────────
    def verify(self, webhook: Webhook) -> None:
        """The signature is over the bytes as they came: Meta escapes them in its own way."""
        webhook.prove_path(self.access.webhook_secret)
        secret = str(self.access.credentials.get("app_secret") or "")
        if not secret:
            raise Forged("no app secret is set")
        signed = hmac.new(secret.encode("utf-8", "surrogatepass"), webhook.body, hashlib.sha256).hexdigest()
        if not matches(webhook.headers.get("x-hub-signature-256", ""), f"sha256={signed}"):
            raise Forged("the signature is missing or wrong")

    def challenge(self, query: Mapping[str, str]) -> str | None:
        asked = query.get("hub.challenge", "")
        expected = str(self.access.credentials.get("verify_token") or "")
        if query.get("hub.mode") != "subscribe" or not matches(query.get("hub.verify_token", ""), expected):
            return None
        return asked if re.fullmatch(r"[A-Za-z0-9_-]{1,256}", asked) else None

    def split(self, body: bytes) -> list[RawEvent]:
        """What concerns another number of the same app is left out: Meta posts all of them to one address."""
        return raw_events(body, number=self.client.number, account=self.client.account)

    def parse(self, payload: bytes) -> list[Event]:
        return understand(payload)

    def fetch_media(self, ref: str) -> bytes:
        return self.client.download(ref)

    # ── Out ──────────────────────────────────────────────────────────────────────────────────────────────────────────
    def send(self, message: OutboundMessage) -> SendResult:
        """Send each part; the id is that of the first. Files are uploaded before anything is sent.

        Once the first part is out, a later failure is Unconfirmed: repeating the message would send the first part twice.
        """
        whom = recipient(message.to)
        prepared = [self._uploaded(part) for part in parts(message)]
        bodies = [(part, body) for part, body in prepared if body is not None]
        numbered = [
            (part, {**body, "biz_opaque_callback_data": correlation(message.key, number)})
            for number, (part, body) in enumerate(bodies)
        ]
        return send_parts(
            numbered, lambda one: self._send_part(whom, one[1]), spare=lambda one: one[0].spare, channel=self.access.slug
        )

    def _uploaded(self, part: Part) -> tuple[Part, dict[str, Any] | None]:
        """A part's body with the id of its file; no body where it can be done without and its file was refused."""
        body = dict(part.body)
        if part.file is None:
            return part, body
        shape = str(body["type"])
        try:
            identifier = self.client.upload(part.file)
        except Unauthorized:
            raise
        except Rejected as error:
            if not part.spare:
                raise
            logger.warning("a voice message was refused", extra={"channel": self.access.slug, "code": error.code})
            return part, None
        return part, {**body, shape: {"id": identifier, **body[shape]}}

    def _send_part(self, whom: Mapping[str, str], body: Mapping[str, Any]) -> str:
        common = {"messaging_product": "whatsapp", "recipient_type": "individual"}
        try:
            answer = self._post_message({**common, **whom, **body})
        except Rejected as error:
            if "recipient" not in whom or error.code not in UNKNOWN_FIELD:
                raise
            # Older versions of the API take a hidden identity in the place of the phone. It certainly did not leave.
            answer = self._post_message({**common, "to": whom["recipient"], **body})
        sent = answer.get("messages")
        identifier = sent[0].get("id") if isinstance(sent, list) and sent and isinstance(sent[0], dict) else None
        if not isinstance(identifier, str) or not identifier:
            raise Unconfirmed("whatsapp messages: accepted without a message id", code="no_id")
        return identifier

    def _post_message(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return self.client.call("POST", f"{self.client.number}/messages", label="messages", body=body, writes=True)

    def mark_read(self, source_id: str, external_id: str) -> None:
        self._read(external_id)

    def typing(self, source_id: str, external_id: str = "") -> None:
        """Needs the customer's message that is being answered, and marks it read. It ends by itself after 25 seconds."""
        if external_id:
            self._read(external_id, typing_indicator={"type": "text"})

    def _read(self, external_id: str, **more: Any) -> None:
        body = {"messaging_product": "whatsapp", "status": "read", "message_id": external_id, **more}
        path = f"{self.client.number}/messages"
        # Both are courtesies: the answer to the customer must not wait long for them.
        self.client.call("POST", path, label="messages read", body=body, read_timeout=5, deadline=6)

    # ── The connection ───────────────────────────────────────────────────────────────────────────────────────────────
    def check(self) -> Health:
        """Raises Unauthorized for a refused token and Retry while Meta is out of reach."""
        try:
            found = self.client.call("GET", self.client.number, label="number", params={"fields": NUMBER_FIELDS})
        except Unauthorized:
            raise
        except Rejected as error:
            return Health(ok=False, detail=_("Meta does not know this number id: %(error)s") % {"error": error})
        number = canonical(f"+{found.get('display_phone_number') or ''}") or ""
        status = str(found.get("status") or "").upper()
        if status and status != "CONNECTED":
            detail = _("The number is not connected to the Cloud API (%(status)s): register it.") % {"status": status[:30]}
            return Health(ok=False, detail=detail, own_number=number)
        trouble = self._subscription_trouble()
        if trouble:
            return Health(ok=False, detail=trouble, own_number=number)
        poor = found.get("quality_rating") == "RED"
        name = str(found.get("verified_name") or "")[:80]
        detail = _("Customers complain: WhatsApp rates the quality of this number as low.") if poor else name
        return Health(ok=True, detail=detail, own_number=number)

    def _subscription_trouble(self) -> str:
        """Why no message would arrive, for a manager; empty where all is well, or cannot be told."""
        whose = (self.client.base, self.client.account)
        if time.monotonic() - _subscribed.get(whose, -SUBSCRIBED_FOR) < SUBSCRIBED_FOR:
            return ""
        try:
            answer = self.client.call("GET", f"{self.client.account}/subscribed_apps", label="subscribed_apps")
        except ProviderError as error:
            logger.info("subscription not readable", extra={"channel": self.access.slug, "code": error.code})
            unknown = isinstance(error, Rejected) and not isinstance(error, Unauthorized)
            return _("Meta does not know this account id: %(error)s") % {"error": error} if unknown else ""
        if not answer.get("data"):
            return _("The app is not subscribed to the account, so no message arrives: subscribe the webhook.")
        _subscribed[whose] = time.monotonic()
        return ""

    def subscribe(self, url: str) -> None:
        """Subscribe the app to the account, and have this number's webhooks posted to `url`, whatever the app's own is.

        Meta asks that address for the verify token at once. What concerns the whole account (templates, restrictions)
        goes to the app's own address, which can only be set in Meta's dashboard.
        """
        token = str(self.access.credentials.get("verify_token") or "")
        self.client.call("POST", f"{self.client.account}/subscribed_apps", label="subscribe", body={})
        override = {"webhook_configuration": {"override_callback_uri": url, "verify_token": token}}
        try:
            self.client.call("POST", self.client.number, label="webhook of the number", body=override)
        except Unauthorized:
            raise
        except Rejected as error:
            text = _(
                "Meta did not take the address for this number: %(error)s. Check that the address is reachable from the "
                "internet, or enter it with the verify token in the app's dashboard under WhatsApp, Configuration."
            )
            raise Rejected(text % {"error": error}, code=error.code) from None

    def unsubscribe(self) -> None:
        """The number's webhooks go to the app's own address again. Other numbers of the account are left alone."""
        override = {"webhook_configuration": {"override_callback_uri": ""}}
        self.client.call("POST", self.client.number, label="webhook of the number", body=override)

    # ── Templates ────────────────────────────────────────────────────────────────────────────────────────────────────
    def templates(self) -> list[ProviderTemplate]:
        """By name and language."""
        path = f"{self.client.account}/message_templates"
        rows = self.client.rows(path, label="message_templates", fields=TEMPLATE_FIELDS)
        return sorted(map(template_of, rows), key=lambda template: (template.name, template.language))
