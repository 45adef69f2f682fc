"""An Avito account's listings: their prices and statistics, and setting a price.

Avito counts calls by the minute. They are counted here as well, for all processes together, so that a page of ours does
not use up what another program of the same account needs.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import redis
from django.core.cache import cache
from django.utils.translation import gettext as _

from channels.base import Access
from foundation.errors import Rejected, Retry, Unconfirmed

from .avito_client import AvitoClient
from .avito_parse import table_of, text_of

logger = logging.getLogger(__name__)

#: Calls a minute that Avito allows; for statistics it names no number.
LISTS_A_MINUTE = 25
ITEMS_A_MINUTE = 500
PRICES_A_MINUTE = 150
PER_PAGE = 50
#: Listings of one request for statistics, and how far back they go.
MOST_IDS = 200
DEEPEST = timedelta(days=270)
STATUSES = ("active", "removed", "old", "blocked", "rejected")


@dataclass(frozen=True, slots=True)
class Item:
    """A listing as the list of listings shows it. `price` is in whole roubles, None where none is named."""

    id: int
    title: str
    price: int | None
    status: str
    url: str
    address: str
    category: str


@dataclass(frozen=True, slots=True)
class ItemsPage:
    """One page. Avito tells no total: `more` says whether there may be another page."""

    items: Sequence[Item]
    page: int
    more: bool


@dataclass(frozen=True, slots=True)
class ItemState:
    """What Avito tells of a single listing: neither its title nor its price. Its status may be `not_found`, too."""

    id: int
    status: str
    url: str
    started_at: datetime | None
    finishes_at: datetime | None


@dataclass(frozen=True, slots=True)
class DayCounts:
    """Different people within one day who saw a listing, asked for its contacts or wrote, and marked it."""

    day: date
    views: int
    contacts: int
    favorites: int


class AvitoItems:
    """The listings of one account. All methods raise the words of `foundation.errors`."""

    def __init__(self, access: Access) -> None:
        self.client = AvitoClient(access)

    def items(self, page: int = 1, *, statuses: Sequence[str] = ("active",)) -> ItemsPage:
        """One page (from 1) of the account's listings. An employee's keys get an empty one: use those of the main account."""
        self._count("lists", LISTS_A_MINUTE)
        wanted = ",".join(status for status in statuses if status in STATUSES)
        page = max(page, 1)
        params = {"page": page, "per_page": PER_PAGE, "status": wanted or "active"}
        rows = self.client.table("GET", "/core/v1/items", label="items", params=params).get("resources")
        if not isinstance(rows, list):
            raise Retry("avito items: an unreadable answer", code="unreadable")
        return ItemsPage(list(_items(rows)), page, more=len(rows) >= PER_PAGE)

    def item(self, item_id: int) -> ItemState:
        """How a listing stands."""
        self._count("items", ITEMS_A_MINUTE)
        row = self.client.table("GET", f"/core/v1/accounts/{self.client.account}/items/{int(item_id)}/", label="item")
        times = (_time(row.get(name)) for name in ("start_time", "finish_time"))
        return ItemState(int(item_id), text_of(row.get("status")), text_of(row.get("url")), *times)

    def statistics(self, ids: Sequence[int], since: date, until: date) -> dict[int, list[DayCounts]]:
        """The counts of listings by day, oldest first, from `since` to `until` (both included, by Avito's calendar).

        Days and listings of which Avito tells nothing are missing. Raises Rejected for a period that begins more than 270
        days before its end or ends before it begins.
        """
        if until < since or until - since > DEEPEST:
            raise Rejected(_("Avito's statistics cover 270 days at most."), code="period")
        found: dict[int, list[DayCounts]] = {}
        unique = list(dict.fromkeys(int(item_id) for item_id in ids))
        for start in range(0, len(unique), MOST_IDS):
            body = {
                "itemIds": unique[start : start + MOST_IDS], "dateFrom": since.isoformat(), "dateTo": until.isoformat(),
                "fields": ["uniqViews", "uniqContacts", "uniqFavorites"], "periodGrouping": "day",
            }  # fmt: skip
            path = f"/stats/v1/accounts/{self.client.account}/items"
            table = self.client.table("POST", path, label="items/statistics", body=body)
            rows = table_of(table.get("result")).get("items")
            if not isinstance(rows, list):
                raise Retry("avito items/statistics: an unreadable answer", code="unreadable")
            found |= dict(_statistics(rows))
        return found

    def set_price(self, item_id: int, amount: int) -> None:
        """Set the price of a listing, in whole roubles.

        Avito takes prices of goods, parts, vehicles and property, but not of daily rents. Setting the same price again
        does no harm, yet an answer that was lost is Unconfirmed: the price may have changed.
        """
        if isinstance(amount, bool) or amount < 0:
            raise Rejected(_("A price is a whole number of roubles."), code="price")
        self._count("prices", PRICES_A_MINUTE)
        path = f"/core/v1/items/{int(item_id)}/update_price"
        answer = self.client.table("POST", path, label="items/update_price", body={"price": int(amount)}, writes=True)
        success = table_of(answer.get("result")).get("success")
        if success is False:
            raise Rejected(_("Avito did not accept the price."), code="price")
        if success is not True:
            raise Unconfirmed("avito items/update_price: an unreadable answer", code="unreadable")

    def _count(self, what: str, most: int) -> None:
        """Raises Retry until the next minute where this one is used up. Without Redis only Avito counts."""
        now = time.time()
        account = hashlib.sha256(f"{self.client.base} {self.client.account}".encode()).hexdigest()[:32]
        key = f"avito:rate:{what}:{account}:{int(now // 60)}"
        try:
            cache.add(key, 0, 120)
            used = cache.incr(key)
        except (redis.RedisError, OSError, ValueError) as error:
            logger.warning("calls not counted", extra={"error": type(error).__name__})
            return
        if used > most:
            raise Retry(_("Avito's limit of calls for this minute is used up."), code="429", after=60 - now % 60)


def _items(rows: Sequence[Any]) -> Iterator[Item]:
    for row in map(table_of, rows):
        price = row.get("price")
        if _is_number(row.get("id")):
            yield Item(
                id=row["id"],
                title=text_of(row.get("title")),
                price=price if _is_number(price) else None,
                status=text_of(row.get("status")),
                url=text_of(row.get("url")),
                address=text_of(row.get("address")),
                category=text_of(table_of(row.get("category")).get("name")),
            )


def _statistics(rows: Sequence[Any]) -> Iterator[tuple[int, list[DayCounts]]]:
    for row in map(table_of, rows):
        days, identifier = row.get("stats"), row.get("itemId")
        identifier = int(identifier) if isinstance(identifier, str) and identifier.isdecimal() else identifier
        if isinstance(identifier, int) and isinstance(days, list):
            counts = [_counts(day, table) for table in map(table_of, days) if (day := _day(table.get("date"))) is not None]
            yield identifier, sorted(counts, key=lambda counted: counted.day)


def _counts(day: date, table: Mapping[str, Any]) -> DayCounts:
    views, contacts, favorites = (
        table[name] if _is_number(table.get(name)) else 0 for name in ("uniqViews", "uniqContacts", "uniqFavorites")
    )
    return DayCounts(day, views, contacts, favorites)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _day(value: Any) -> date | None:
    try:
        return date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _time(value: Any) -> datetime | None:
    """An aware time, or None where there is none to be read."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None
