"""Requests per minute and address."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from django.test import RequestFactory
from rest_framework.test import APIClient

from config import throttling
from config.throttling import PerAddress, client_address

LIMIT = 5


@pytest.fixture(autouse=True)
def _own_counters(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.RATE_LIMIT_PER_MINUTE = LIMIT
    monkeypatch.setattr(throttling, "PREFIX", f"throttle:test:{uuid.uuid4()}:")


def allowed(remote: str = "203.0.113.1", forwarded: str | None = None) -> bool:
    extra = {"HTTP_X_FORWARDED_FOR": forwarded} if forwarded is not None else {}
    request: Any = RequestFactory().get("/", REMOTE_ADDR=remote, **extra)
    return PerAddress().allow_request(request, None)


def passed(times: int, **kwargs: Any) -> int:
    return sum(allowed(**kwargs) for _ in range(times))


def test_the_limit_holds_per_address() -> None:
    assert passed(LIMIT * 3) == LIMIT
    assert passed(1, remote="203.0.113.2") == 1


def test_rotating_the_forwarded_header_does_not_help(settings: Any) -> None:
    assert sum(allowed(forwarded=f"198.51.100.{n}") for n in range(LIMIT * 3)) == LIMIT
    settings.PROXIES = 1
    assert sum(allowed(remote="10.0.0.1", forwarded=f"198.51.100.{n}, 203.0.113.77") for n in range(LIMIT * 3)) == LIMIT


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        (0, "198.51.100.1", "10.0.0.1"),
        (1, None, "10.0.0.1"),
        (1, "198.51.100.1", "198.51.100.1"),
        (1, "evil, 198.51.100.1", "198.51.100.1"),
        (2, "evil, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        (3, "198.51.100.1", "198.51.100.1"),
        (1, "not an address", "10.0.0.1"),
        (1, " , ", "10.0.0.1"),
        (1, "2001:db8::1", "2001:db8::1"),
    ],
)
def test_the_address_of_the_client(settings: Any, proxies: int, forwarded: str | None, expected: str) -> None:
    settings.PROXIES = proxies
    extra = {"HTTP_X_FORWARDED_FOR": forwarded} if forwarded is not None else {}
    assert client_address(RequestFactory().get("/", REMOTE_ADDR="10.0.0.1", **extra)) == expected


def test_an_ipv6_host_cannot_hide_behind_its_network() -> None:
    assert sum(allowed(remote=f"2001:db8::{n}") for n in range(1, LIMIT * 3)) == LIMIT
    assert allowed(remote="2001:db8:0:1::1")
    assert passed(LIMIT, remote="203.0.113.9") == LIMIT
    assert not allowed(remote="::ffff:203.0.113.9")


def test_parallel_requests_do_not_slip_through() -> None:
    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(lambda _n: allowed(), range(100))) == LIMIT


def test_without_redis_nobody_is_held_up(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert passed(LIMIT * 2) == LIMIT * 2


def test_the_minute_begins_with_the_first_request(settings: Any) -> None:
    throttle = PerAddress()
    request: Any = RequestFactory().get("/", REMOTE_ADDR="203.0.113.50")
    assert throttle.allow_request(request, None)
    assert 55 < (throttle.wait() or 0) <= 60
    client = redis.Redis.from_url(settings.REDIS_URL)
    keys = client.keys(f"{throttling.PREFIX}*")
    assert len(keys) == 1 and b"203.0.113" not in keys[0], "addresses are not kept"
    client.pexpire(keys[0], 1000)
    assert throttle.allow_request(request, None) and (throttle.wait() or 9) <= 1, "later requests do not prolong it"


@pytest.mark.django_db
def test_the_answer_says_when_to_come_back() -> None:
    client = APIClient(REMOTE_ADDR="203.0.113.99")
    for _ in range(LIMIT):
        assert client.post("/api/v1/token/", {}, format="json").status_code == 400
    answer = client.post("/api/v1/token/", {}, format="json")
    assert answer.status_code == 429 and answer.json()["error"]["code"] == "throttled"
    assert 0 < int(answer["Retry-After"]) <= 60
    assert client.get("/health").status_code == 200, "only the API counts"
