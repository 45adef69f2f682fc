"""One at a time, across threads and processes, with Redis and without."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from django.conf import settings

from foundation import turnstile

NAME = "test-turnstile"


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    client().delete(turnstile.PREFIX + NAME)
    turnstile._redis_away_until = 0.0
    yield
    turnstile._redis_away_until = 0.0
    client().delete(turnstile.PREFIX + NAME)


def client() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL)


def most_at_once(threads: int) -> int:
    inside, most, lock = [0], [0], threading.Lock()

    def work(_n: int) -> None:
        with turnstile.turn(NAME, wait=10, hold=10):
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            time.sleep(0.02)
            with lock:
                inside[0] -= 1

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))
    return most[0]


def test_threads_take_turns() -> None:
    assert most_at_once(8) == 1


def test_another_process_is_waited_for() -> None:
    client().set(turnstile.PREFIX + NAME, "another", px=400)
    started = time.monotonic()
    with turnstile.turn(NAME, wait=5, hold=5):
        assert time.monotonic() - started > 0.3
    assert client().get(turnstile.PREFIX + NAME) is None


def test_a_turn_that_does_not_come() -> None:
    client().set(turnstile.PREFIX + NAME, "another", px=60_000)
    with pytest.raises(turnstile.Busy), turnstile.turn(NAME, wait=0.2, hold=5):
        raise AssertionError("entered")


def test_an_expired_turn_takes_nothing_from_its_successor() -> None:
    with turnstile.turn(NAME, wait=1, hold=5):
        client().set(turnstile.PREFIX + NAME, "successor", px=60_000)
    assert client().get(turnstile.PREFIX + NAME) == b"successor"


def test_without_redis_the_threads_of_a_process_still_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = redis.Redis(host="127.0.0.1", port=1, socket_connect_timeout=0.2)
    monkeypatch.setattr(turnstile, "_client", lambda: nobody)
    assert most_at_once(6) == 1
