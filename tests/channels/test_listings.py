"""The listings of an Avito account on the managers' page and in the API: shown, counted, and given another price."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from channels import directory, listings
from channels.admin.listings import asked_price, roubles
from channels.models import Channel, ChannelLog
from tests.channels.avito_server import forget
from tests.config.api_world import World, client_of
from tests.conversations.rows import english  # noqa: F401
from tests.sandbox.avito import FakeAvito
from tests.sandbox.avito_rows import CLIENT_ID, CLIENT_SECRET
from tests.sandbox.fixtures import served
from tests.sandbox.server import Fault

pytestmark = pytest.mark.django_db
SOFA, TABLE = 1001, 1002


@pytest.fixture(autouse=True)
def _no_throttling(settings: Any) -> None:
    settings.RATE_LIMIT_PER_MINUTE = 10**6


server = served(FakeAvito)


@pytest.fixture
def fake(server: FakeAvito) -> FakeAvito:
    forget(server)
    server.add_item(SOFA)
    server.add_item(TABLE, "<b>Стол</b>", None, "old")
    return server


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def shop(fake: FakeAvito, world: World) -> Channel:
    directory.forget()
    return world.channel(
        "avito", world.manager, kind="avito", base_url=fake.base_url, options={},
        credentials={"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET},
    )  # fmt: skip


def page(channel: Channel) -> str:
    return reverse("admin:channel_listings", args=(channel.pk,))


def price_page(channel: Channel, item_id: int = SOFA) -> str:
    return reverse("admin:channel_listing_price", args=(channel.pk, item_id))


def browser(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def price_of(fake: FakeAvito, item_id: int = SOFA) -> Any:
    return fake.accounts[CLIENT_ID].items[item_id]["price"]


# ── The page ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_page_shows_what_is_on_sale_with_what_came_of_it(fake: FakeAvito, shop: Channel, world: World) -> None:
    answer = browser(world.manager).get(page(shop))
    shown = answer.content.decode()
    [line] = answer.context["lines"]
    since, until = listings.stretch()
    views = sum((since + timedelta(days=n)).day for n in range(30))
    assert (until - since).days == 29
    assert (line.item.title, line.price, line.counts.views, line.counts.contacts) == ("Диван угловой", roubles(35000), views, 30)
    assert f'href="https://www.avito.ru/moskva/mebel/divan_{SOFA}"' in shown
    assert "on sale" in shown


def test_the_page_is_filtered_by_state_and_escapes(fake: FakeAvito, shop: Channel, world: World) -> None:
    shown = browser(world.manager).get(page(shop), {"status": "old"}).content.decode()
    assert "&lt;b&gt;Стол&lt;/b&gt;" in shown and "Диван" not in shown
    assert browser(world.manager).get(page(shop), {"status": "x' OR", "page": "-1"}).status_code == 200


def test_what_avito_says_instead_stands_on_the_page(fake: FakeAvito, shop: Channel, world: World) -> None:
    fake.faults.append(Fault("/core/v1/items", status=503))
    answer = browser(world.manager).get(page(shop))
    assert answer.status_code == 200 and answer.context["refusal"] and not answer.context["lines"]
    fake.faults.append(Fault("/stats/", status=429))
    answer = browser(world.manager).get(page(shop))
    assert answer.context["unknown"] and answer.context["lines"][0].counts is None


def test_a_price_is_looked_at_twice_then_set_and_logged(fake: FakeAvito, shop: Channel, world: World) -> None:
    client = browser(world.manager)
    asked = client.post(price_page(shop), {"price": "34 500", "was": "35 000 ₽", "name": "Диван"})
    assert asked.status_code == 200 and price_of(fake) == 35000
    assert roubles(34500) in asked.content.decode()
    done = client.post(price_page(shop), {"price": "34500", "confirmed": "yes", "status": "active", "page": "1"})
    assert done.status_code == 302 and price_of(fake) == 34500
    entry = ChannelLog.objects.get(event="price set")
    assert (entry.channel, entry.detail) == (shop, f"manager: {SOFA} → 34500 ₽")


@pytest.mark.parametrize("price", ["", "-5", "12.5", "сто", "9" * 13])
def test_what_is_no_price_is_refused(fake: FakeAvito, shop: Channel, world: World, price: str) -> None:
    browser(world.manager).post(price_page(shop), {"price": price, "confirmed": "yes"})
    assert price_of(fake) == 35000 and not ChannelLog.objects.exists()
    assert asked_price(price) is None


def test_a_lost_answer_is_logged_as_perhaps(fake: FakeAvito, shop: Channel, world: World) -> None:
    fake.faults.append(Fault("/update_price", drop=True))
    browser(world.manager).post(price_page(shop), {"price": "100", "confirmed": "yes"})
    assert ChannelLog.objects.get().event == "price perhaps set"


def test_the_page_is_for_those_who_may_see_the_channel(fake: FakeAvito, shop: Channel, world: World) -> None:
    assert browser(world.other).get(page(shop)).status_code == 404
    assert browser(world.root).get(page(shop)).status_code == 200
    assert browser(world.other).post(price_page(shop), {"price": "1", "confirmed": "yes"}).status_code == 404
    assert browser(world.manager).get(page(world.mine)).status_code == 404, "no listings there"
    Channel.objects.filter(pk=shop.pk).update(owner=world.guest)
    assert b"Change" not in browser(world.guest).get(page(shop)).content.partition(b"sd-table")[2]
    assert browser(world.guest).post(price_page(shop), {"price": "1", "confirmed": "yes"}).status_code == 403
    assert price_of(fake) == 35000


def test_a_channels_page_leads_to_its_listings(shop: Channel, world: World) -> None:
    shown = browser(world.manager).get(reverse("admin:channels_channel_change", args=(shop.pk,))).content.decode()
    assert page(shop) in shown
    other = browser(world.manager).get(reverse("admin:channels_channel_change", args=(world.mine.pk,))).content.decode()
    assert "/listings/" not in other


# ── The API ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_api_lists_listings(fake: FakeAvito, shop: Channel, world: World) -> None:
    found = client_of(world.manager).get("/api/v1/avito/avito/items/").json()
    assert (found["page"], found["more"]) == (1, False)
    [row] = found["results"]
    assert (row["id"], row["price"], row["status"]) == (SOFA, 35000, "active")
    both = client_of(world.manager).get("/api/v1/avito/avito/items/?status=active,old").json()["results"]
    assert [row["price"] for row in both] == [35000, None]


def test_the_api_tells_how_one_listing_stands(fake: FakeAvito, shop: Channel, world: World) -> None:
    found = client_of(world.manager).get(f"/api/v1/avito/avito/items/{SOFA}/").json()
    assert (found["status"], found["started_at"]) == ("active", "2026-01-10T14:00:00+05:00")
    assert client_of(world.manager).get("/api/v1/avito/avito/items/5/").status_code == 404


def test_the_api_counts_by_day(fake: FakeAvito, shop: Channel, world: World) -> None:
    query = {"ids": f"{SOFA},77", "from": "2026-11-01", "to": "2026-11-03"}
    [found] = client_of(world.manager).get("/api/v1/avito/avito/statistics/", query).json()["results"]
    assert found["id"] == SOFA
    assert [day["views"] for day in found["days"]] == [1, 2, 3]
    [found] = client_of(world.manager).get("/api/v1/avito/avito/statistics/", {"ids": SOFA}).json()["results"]
    assert len(found["days"]) == 30 and date.fromisoformat(found["days"][-1]["day"]) == listings.stretch()[1]


def test_the_api_sets_a_price(fake: FakeAvito, shop: Channel, world: World) -> None:
    address = f"/api/v1/avito/avito/items/{SOFA}/price/"
    answer = client_of(world.manager).patch(address, {"price": 30000}, format="json")
    assert (answer.status_code, answer.json()) == (200, {"price": 30000})
    assert price_of(fake) == 30000
    assert ChannelLog.objects.get().detail.startswith("manager: ")


@pytest.mark.parametrize(
    "path", ["items/?status=sold", "items/?page=0", "statistics/", "statistics/?ids=a", "statistics/?ids=1&from=2020-01-01"]
)
def test_the_api_names_what_is_wrong(fake: FakeAvito, shop: Channel, world: World, path: str) -> None:
    answer = client_of(world.manager).get(f"/api/v1/avito/avito/{path}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid")
    assert answer.json()["error"]["fields"]


@pytest.mark.parametrize("price", [-1, 10**12, "free", None, 1.5])
def test_the_api_refuses_what_is_no_price(fake: FakeAvito, shop: Channel, world: World, price: Any) -> None:
    answer = client_of(world.manager).patch(f"/api/v1/avito/avito/items/{SOFA}/price/", {"price": price}, format="json")
    assert answer.status_code == 400 and "price" in answer.json()["error"]["fields"]
    assert price_of(fake) == 35000


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Fault("/core/v1/items", status=503), 503, "unavailable"),
        (Fault("/core/v1/items", status=429), 429, "throttled"),
        (Fault("/core/v1/items", status=403, count=9), 502, "provider_refuses"),
        (Fault("/core/v1/items", status=400, body=json.dumps({"error": {"message": "no"}})), 409, "conflict"),
    ],
)
def test_avitos_failures_become_answers(
    fake: FakeAvito, shop: Channel, world: World, fault: Fault, status: int, code: str
) -> None:
    fake.faults.append(fault)
    answer = client_of(world.manager).get("/api/v1/avito/avito/items/")
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.json()["error"]["message"]


def test_a_price_whose_answer_was_lost_is_unconfirmed(fake: FakeAvito, shop: Channel, world: World) -> None:
    fake.faults.append(Fault("/update_price", drop=True))
    answer = client_of(world.manager).patch(f"/api/v1/avito/avito/items/{SOFA}/price/", {"price": 1}, format="json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "unconfirmed")


def test_the_api_is_for_those_who_may_see_the_channel(fake: FakeAvito, shop: Channel, world: World) -> None:
    for path in ("items/", f"items/{SOFA}/", f"statistics/?ids={SOFA}"):
        assert client_of(world.other).get(f"/api/v1/avito/avito/{path}").status_code == 404
        assert client_of(world.manager).get(f"/api/v1/avito/mine/{path}").status_code == 404, "not an Avito channel"
        assert client_of(None).get(f"/api/v1/avito/avito/{path}").status_code == 401
    Channel.objects.filter(pk=shop.pk).update(owner=world.guest)
    assert client_of(world.guest).get("/api/v1/avito/avito/items/").status_code == 200
    for user, status in ((world.guest, 403), (world.other, 404)):
        answer = client_of(user).patch(f"/api/v1/avito/avito/items/{SOFA}/price/", {"price": 1}, format="json")
        assert answer.status_code == status
    assert price_of(fake) == 35000
