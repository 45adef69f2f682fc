"""Listings of an Avito account: pages, states, statistics and prices, within Avito's limits."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from typing import Any

import pytest
import redis
import time_machine

from channels.adapters import avito_items
from channels.adapters.avito_items import AvitoItems
from foundation.errors import ProviderError, Rejected, Retry, Unauthorized, Unconfirmed
from tests.sandbox.avito import FakeAvito
from tests.sandbox.avito_rows import CLIENT_ID
from tests.sandbox.fixtures import served
from tests.sandbox.server import Fault

from .avito_server import access_of, forget

SOFA, CHAIR = 24122231, 24122232
JANUARY = (date(2026, 1, 1), date(2026, 1, 3))


server = served(FakeAvito)


@pytest.fixture
def fake(server: FakeAvito) -> FakeAvito:
    forget(server)
    server.add_item(SOFA)
    server.add_item(CHAIR, "Стул", price=None, status="old")
    return server


@pytest.fixture
def items(fake: FakeAvito) -> AvitoItems:
    return AvitoItems(access_of(fake.base_url))


def test_a_page_shows_titles_and_prices(items: AvitoItems) -> None:
    page = items.items()
    [sofa] = page.items
    assert (sofa.id, sofa.title, sofa.price, sofa.status) == (SOFA, "Диван угловой", 35000, "active")
    assert (sofa.address, sofa.category) == ("Москва, Лесная улица 7", "Мебель и интерьер")
    assert (page.page, page.more) == (1, False)


def test_other_statuses_are_asked_for(items: AvitoItems) -> None:
    page = items.items(statuses=("active", "old", "rubbish"))
    assert [(item.id, item.price) for item in page.items] == [(SOFA, 35000), (CHAIR, None)]


def test_pages_follow_until_a_short_one(fake: FakeAvito, items: AvitoItems) -> None:
    for number in range(60):
        fake.add_item(number + 1)
    first, second = items.items(0), items.items(2)
    assert (len(first.items), first.page, first.more) == (50, 1, True)
    assert (len(second.items), second.more) == (11, False)


def test_a_listing_tells_how_it_stands(items: AvitoItems) -> None:
    state = items.item(SOFA)
    assert (state.id, state.status, state.started_at) == (SOFA, "active", datetime(2026, 1, 10, 9, tzinfo=UTC))
    gone = items.item(5)
    assert (gone.status, gone.url, gone.finishes_at) == ("not_found", "", None)


def test_statistics_are_by_day_oldest_first(items: AvitoItems) -> None:
    found = items.statistics([SOFA, 5, SOFA], *JANUARY)
    assert [(day.day, day.views, day.contacts, day.favorites) for day in found[SOFA]] == [
        (date(2026, 1, n), n, 1, 0) for n in (1, 2, 3)
    ]
    assert list(found) == [SOFA]


def test_many_listings_are_asked_for_in_portions(fake: FakeAvito, items: AvitoItems) -> None:
    assert items.statistics(list(range(1, 451)), *JANUARY) == {}
    assert [len(request["body"]["itemIds"]) for request in fake.requests if "stats" in request["path"]] == [200, 200, 50]
    assert items.statistics([], *JANUARY) == {}


@pytest.mark.parametrize(("since", "until"), [(date(2026, 1, 3), date(2026, 1, 1)), (date(2025, 1, 1), date(2026, 1, 1))])
def test_a_period_that_avito_does_not_cover_is_rejected(items: AvitoItems, since: date, until: date) -> None:
    with pytest.raises(Rejected):
        items.statistics([SOFA], since, until)


def test_a_price_is_set(fake: FakeAvito, items: AvitoItems) -> None:
    items.set_price(SOFA, 29900)
    assert fake.accounts[CLIENT_ID].items[SOFA]["price"] == 29900


@pytest.mark.parametrize(("item_id", "amount"), [(5, 100), (SOFA, -1), (SOFA, True)])
def test_a_price_that_is_not_taken_is_rejected(items: AvitoItems, item_id: int, amount: int) -> None:
    with pytest.raises(Rejected):
        items.set_price(item_id, amount)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault("update_price", drop=True), Unconfirmed), (Fault("update_price", status=500), Unconfirmed),
        (Fault("update_price", body="{}"), Unconfirmed), (Fault("update_price", status=429), Retry),
        (Fault("update_price", status=404), Rejected), (Fault("update_price", status=403, count=2), Unauthorized),
    ],
)  # fmt: skip
def test_errors_of_a_price(fake: FakeAvito, items: AvitoItems, fault: Fault, error: type[ProviderError]) -> None:
    fake.faults.append(fault)
    with pytest.raises(error) as raised:
        items.set_price(SOFA, 100)
    assert type(raised.value) is error


@pytest.mark.parametrize("body", ["{}", "[]", "nothing", '{"resources": 5, "result": {"items": 5}}'])
def test_unreadable_answers_are_asked_for_again(fake: FakeAvito, items: AvitoItems, body: str) -> None:
    for read in (items.items, lambda: items.statistics([SOFA], *JANUARY)):
        fake.faults.append(Fault("items", body=body))
        with pytest.raises(Retry):
            read()


def test_odd_rows_are_left_out(fake: FakeAvito, items: AvitoItems) -> None:
    fake.accounts[CLIENT_ID].items = {1: {"id": "x", "status": "active"}, 2: {"id": 2, "price": "100", "status": "active"}}
    assert [(item.id, item.title, item.price) for item in items.items().items] == [(2, "", None)]


def test_calls_are_counted_by_the_minute_for_all_together(fake: FakeAvito, items: AvitoItems) -> None:
    with time_machine.travel(int(time.time()) // 60 * 60 + 20, tick=False) as clock:
        other = AvitoItems(access_of(fake.base_url))
        for number in range(25):
            (other if number % 2 else items).items()
        with pytest.raises(Retry) as raised:
            items.items()
        assert (raised.value.code, raised.value.after) == ("429", 40.0)
        assert fake.calls["items"] == 25
        items.set_price(SOFA, 5)
        clock.shift(40)
        items.items()


def test_without_redis_only_avito_counts(items: AvitoItems, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*args: Any, **more: Any) -> Any:
        raise redis.ConnectionError("away")

    monkeypatch.setattr(avito_items, "cache", type("Away", (), {"add": away, "incr": away})())
    assert items.items().items
