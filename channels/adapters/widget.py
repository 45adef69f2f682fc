"""The website's chat widget: our own channel, which needs no account.

Its "provider" is this very installation: messages come in through `conversations.widget`, and a reply is delivered by
being there for the visitor's page to fetch; `send` only rings the doorbell, so it can neither fail nor double.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from foundation.errors import Forged, Unreadable

from ..base import (
    Adapter,
    Capabilities,
    Event,
    InboundMessage,
    OutboundMessage,
    RawEvent,
    Sender,
    SendResult,
    Webhook,
)


class WidgetAdapter(Adapter):
    capabilities = Capabilities(max_length=4000, typing=True, edit=False)

    def verify(self, webhook: Webhook) -> None:
        """Nobody posts webhooks to a widget: its API has its own doors."""
        raise Forged

    def split(self, body: bytes) -> list[RawEvent]:
        raise Unreadable(_("the widget has no webhooks"))

    def parse(self, payload: bytes) -> list[Event]:
        """The event that `raw_event` made."""
        try:
            event = json.loads(payload)
            return [
                InboundMessage(
                    external_id=str(event["id"]),
                    sender=Sender(source_id=str(event["visitor"]), name=str(event.get("name", ""))),
                    sent_at=datetime.fromisoformat(event["at"]),
                    text=str(event["text"]),
                    details={"page": event["page"]} if event.get("page") else {},
                )
            ]
        except (ValueError, KeyError, TypeError) as error:
            raise Unreadable(_("not a widget message")) from error

    def send(self, message: OutboundMessage) -> SendResult:
        """The visitor's page pulls by number; the conversation's doorbell is rung by the outbox."""
        return SendResult(external_id=f"widget:{message.key}")


def raw_event(*, visitor: str, client_id: str, text: str, at: datetime, page: str = "", name: str = "") -> RawEvent:
    """A visitor's message as an inbox event. `client_id` is made by the page, so that a repeated POST counts once."""
    event: dict[str, Any] = {
        "id": f"{visitor}:{client_id}", "visitor": visitor, "text": text, "at": at.isoformat(), "page": page, "name": name,
    }  # fmt: skip
    return RawEvent(
        external_id=f"message:{event['id']}", payload=json.dumps(event, ensure_ascii=False).encode(), lane=visitor
    )
