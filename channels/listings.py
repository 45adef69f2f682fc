"""The listings of a channel's account for people and programs: their prices, what came of them, and a new price."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from foundation.errors import Unconfirmed

from . import log
from .adapters.avito_items import STATUSES, AvitoItems, DayCounts, ItemsPage, ItemState
from .models import Channel, ChannelLog
from .provider_calls import counted_for

__all__ = ["STATUSES", "Counts", "has_listings", "item", "page", "set_price", "statistics", "stretch", "totals"]

logger = logging.getLogger(__name__)

#: The kinds of channels whose accounts have listings.
KINDS = (Channel.Kind.AVITO,)
#: By whose days Avito counts.
CALENDAR = ZoneInfo("Europe/Moscow")
DAYS = 30


@dataclass(frozen=True, slots=True)
class Counts:
    """What came of a listing in a stretch of days. One person on two days counts twice."""

    views: int
    contacts: int
    favorites: int


def has_listings(channel: Channel) -> bool:
    return channel.kind in KINDS


def page(channel: Channel, number: int = 1, statuses: Sequence[str] = ("active",)) -> ItemsPage:
    """One page (from 1) of the listings in these states. Raises the words of `foundation.errors`, as all of these do."""
    with counted_for(channel.pk):
        return AvitoItems(channel.access()).items(number, statuses=statuses)


def item(channel: Channel, item_id: int) -> ItemState:
    """How one listing stands; its status may be `not_found`."""
    with counted_for(channel.pk):
        return AvitoItems(channel.access()).item(item_id)


def stretch(days: int = DAYS) -> tuple[date, date]:
    """The first and the last of so many days, of which today is the last."""
    today = datetime.now(CALENDAR).date()
    return today - timedelta(days=days - 1), today


def statistics(channel: Channel, ids: Sequence[int], since: date, until: date) -> dict[int, list[DayCounts]]:
    """The counts of listings by day, both ends included. Raises Rejected for more than 270 days."""
    with counted_for(channel.pk):
        return AvitoItems(channel.access()).statistics(ids, since, until)


def totals(channel: Channel, ids: Sequence[int], days: int = DAYS) -> dict[int, Counts]:
    """What came of listings in the last days; one of which Avito tells nothing is missing."""
    found = statistics(channel, ids, *stretch(days)) if ids else {}
    return {
        item_id: Counts(*(sum(getattr(day, name) for day in counted) for name in ("views", "contacts", "favorites")))
        for item_id, counted in found.items()
    }


def set_price(channel: Channel, item_id: int, amount: int, *, user: Any) -> None:
    """Set a listing's price, in whole roubles, and note in the channel's log who did it."""
    detail = f"{user.get_username()}: {item_id} → {amount} ₽"
    try:
        with counted_for(channel.pk):
            AvitoItems(channel.access()).set_price(item_id, amount)
    except Unconfirmed:
        log.note(channel.pk, "price perhaps set", detail, ChannelLog.Level.WARNING)
        raise
    log.note(channel.pk, "price set", detail)
    logger.info("price set", extra={"channel_id": channel.pk, "user": user.pk})
