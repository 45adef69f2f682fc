"""How a message of the load is called by each provider, and by the product after it: the same on both sides of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from foundation.crypto import blind_index
from tests.rehearsal.kinds import TELEGRAM, WAPPI, WHATSAPP_CLOUD, Kind
from tests.sandbox import telegram_rows, whatsapp_cloud_rows

#: Before the number of a message in its update's.
FIRST_UPDATE = 900_000_000
Way = Literal["phone", "api"]


def telegram_number(identifier: str) -> int:
    """The number of a message in its chat: its place in the load."""
    return int(identifier[-12:], 16)


def telegram_update(identifier: str) -> int:
    return FIRST_UPDATE + telegram_number(identifier)


def wamid(phone: str, identifier: str) -> str:
    return whatsapp_cloud_rows.wamid(phone, identifier)


@dataclass(frozen=True, slots=True)
class Names:
    """What a chaos run has to know of a kind of channel beside how it is rehearsed (`kinds`)."""

    kind: Kind
    message: Callable[[str, str], str]
    """The product's id of a message, from the customer's address and the load's id."""
    event: Callable[[str, str], str]
    """The same of the raw event that brought it. May need Django's settings."""
    refusals: tuple[Mapping[str, Any], ...]
    """How `send-429` refuses: so many times each, as this provider asks for patience."""
    ways: tuple[Way, ...] = ("phone", "api")
    """How managers take over."""
    lacks: Mapping[str, str] = field(default_factory=dict)
    """What faults may need and this kind does not have, each with what follows from it."""

    @property
    def history(self) -> bool:
        """Whether unconfirmed sends and missed webhooks are looked up."""
        return "history" not in self.lacks


def _telegram_message(phone: str, identifier: str) -> str:
    return f"{telegram_rows.BOT_ID}:{phone}:{telegram_number(identifier)}"


def _cloud_event(phone: str, identifier: str) -> str:
    return f"message:{blind_index(wamid(phone, identifier), 'whatsapp_event')}"


NAMES = {
    names.kind.name: names
    for names in (
        Names(
            WAPPI, message=lambda phone, identifier: identifier, event=lambda phone, identifier: f"message:{identifier}",
            # Those without a delay first: six failures in a row would open the breaker, which is error-mix's subject.
            refusals=({"count": 2}, {"count": 3, "after": 2}, {"count": 1, "after": 4, "dated": True}),
        ),
        Names(
            TELEGRAM, message=_telegram_message,
            event=lambda phone, identifier: f"{telegram_rows.BOT_ID}:{telegram_update(identifier)}",
            refusals=({"count": 2, "after": 1}, {"count": 3, "after": 2}, {"count": 1, "after": 4}),
            ways=("api",),
            lacks={"history": "bots see no history: what Telegram's webhook never brought, nothing finds"},
        ),
        Names(
            WHATSAPP_CLOUD, message=wamid, event=_cloud_event,
            refusals=({"count": 2}, {"count": 2, "status": 400}),
            lacks={"history": "Meta shows no history: what its webhook never brought, nothing finds"},
        ),
    )
}  # fmt: skip
