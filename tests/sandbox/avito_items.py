"""The listings of the fake Avito."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from .avito_rows import Account
from .server import Request


class Items:
    """Part of `FakeAvito`."""

    accounts: dict[str, Account]

    def add_item(self, item_id: int, title: str = "Диван угловой", price: int | None = 35000, status: str = "active") -> None:
        account = next(iter(self.accounts.values()))
        account.items[item_id] = {
            "id": item_id, "title": title, "price": price, "status": status, "address": "Москва, Лесная улица 7",
            "category": {"id": 20, "name": "Мебель и интерьер"}, "url": f"https://www.avito.ru/moskva/mebel/divan_{item_id}",
        }  # fmt: skip

    def _do_items(self, account: Account, request: Request, body: Any) -> Any:
        page, per_page = int(request.query.get("page", 1)), int(request.query.get("per_page", 25))
        wanted = request.query.get("status", "active").split(",")
        rows = [row for row in account.items.values() if row["status"] in wanted]
        return {"meta": {"page": page, "per_page": per_page}, "resources": rows[(page - 1) * per_page : page * per_page]}

    def _do_item(self, account: Account, request: Request, body: Any, item_id: str) -> Any:
        row = account.items.get(int(item_id))
        return {
            "status": row["status"] if row else "not_found", "url": row["url"] if row else None, "autoload_item_id": None,
            "start_time": "2026-01-10T09:00:00Z" if row else None, "finish_time": "2026-02-09T09:00:00Z" if row else None,
            "vas": None,
        }  # fmt: skip

    def _do_price(self, account: Account, request: Request, body: Any, item_id: str) -> Any:
        row = account.items.get(int(item_id))
        if row is not None:
            row["price"] = body["price"]
        return {"result": {"success": row is not None}}

    def _do_statistics(self, account: Account, request: Request, body: Any) -> Any:
        since, until = date.fromisoformat(body["dateFrom"]), date.fromisoformat(body["dateTo"])
        days = [since + timedelta(days=n) for n in range((until - since).days, -1, -1)]
        stats = [{"date": day.isoformat(), "uniqViews": day.day, "uniqContacts": 1, "uniqFavorites": 0} for day in days]
        known = [item_id for item_id in body["itemIds"] if item_id in account.items]
        return {"result": {"items": [{"itemId": item_id, "stats": stats} for item_id in known]}}
