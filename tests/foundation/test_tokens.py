"""One token for all processes: fetched once, sealed, renewed early, and still there when Redis is not."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
import time_machine
from django.conf import settings as configured

from foundation import crypto, tokens, turnstile
from foundation.errors import Retry, Unauthorized

KEY = "test-tokens"
DAY, HOUR = 86_400.0, 3600.0


class Source:
    """A provider that numbers its tokens."""

    def __init__(self, life: float = DAY) -> None:
        self.life = life
        self.fetched = 0
        self.error: Exception | None = None

    def __call__(self) -> tuple[str, float]:
        if self.error is not None:
            raise self.error
        self.fetched += 1
        return f"token-{self.fetched}", self.life

    def token(self, early: float = HOUR) -> str:
        return tokens.shared(KEY, self, early=early)


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    clear()
    yield
    clear()


def clear() -> None:
    client().delete(tokens.PREFIX + KEY, turnstile.PREFIX + tokens.PREFIX + KEY)
    tokens._own.clear()
    tokens._resting_until.clear()
    turnstile._redis_away_until = 0.0


def client() -> redis.Redis:
    return redis.Redis.from_url(configured.REDIS_URL)


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def no_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    away = redis.Redis.from_url("redis://127.0.0.1:1/0", socket_connect_timeout=0.2)
    monkeypatch.setattr(tokens, "_client", lambda: away)
    monkeypatch.setattr(turnstile, "_client", lambda: away)


def test_a_token_is_fetched_once(source: Source) -> None:
    assert [source.token() for _ in range(3)] == ["token-1"] * 3
    assert source.fetched == 1


def test_it_is_sealed_and_gone_when_it_runs_out(source: Source) -> None:
    source.token()
    kept = client().get(tokens.PREFIX + KEY)
    assert isinstance(kept, bytes)
    assert b"token-1" not in kept
    assert 0 < client().pttl(tokens.PREFIX + KEY) <= DAY * 1000


def test_it_is_renewed_an_hour_early(source: Source) -> None:
    start = time.time()
    with time_machine.travel(start, tick=False) as clock:
        source.token()
        clock.move_to(start + DAY - HOUR - 1)
        assert source.token() == "token-1"
        clock.move_to(start + DAY - HOUR)
        assert source.token() == "token-2"


def test_a_short_life_is_renewed_at_its_half() -> None:
    source = Source(life=600)
    start = time.time()
    with time_machine.travel(start, tick=False) as clock:
        assert [source.token(), source.token()] == ["token-1"] * 2
        clock.move_to(start + 301)
        assert source.token() == "token-2"


def test_many_who_need_one_fetch_one() -> None:
    began = threading.Barrier(8)
    calls: list[int] = []

    def fetch() -> tuple[str, float]:
        calls.append(1)
        time.sleep(0.05)
        return f"token-{len(calls)}", DAY

    def ask(_n: int) -> str:
        began.wait(5)
        return tokens.shared(KEY, fetch, early=HOUR)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(8))) == {"token-1"}
    assert len(calls) == 1


def test_while_another_process_renews_the_old_one_is_used(source: Source) -> None:
    start = time.time()
    with time_machine.travel(start, tick=False) as clock:
        source.token()
        clock.move_to(start + DAY - HOUR)
        client().set(turnstile.PREFIX + tokens.PREFIX + KEY, "another", px=5000)
        assert source.token() == "token-1"
    assert source.fetched == 1


def test_without_any_the_other_process_is_waited_for(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "WAIT", 0.2)
    client().set(turnstile.PREFIX + tokens.PREFIX + KEY, "another", px=5000)
    with pytest.raises(Retry) as raised:
        source.token()
    assert (raised.value.code, raised.value.after) == ("token", 1.0)
    assert source.fetched == 0


@pytest.mark.parametrize("error", [Retry("away"), Unauthorized("refused")])
def test_a_renewal_that_fails_leaves_the_old_one_and_is_not_tried_at_once(source: Source, error: Exception) -> None:
    start = time.time()
    with time_machine.travel(start, tick=False) as clock:
        source.token()
        source.error = error
        clock.move_to(start + DAY - HOUR)
        assert source.token() == "token-1"
        source.error = None
        assert source.token() == "token-1"
        tokens._resting_until.clear()
        assert source.token() == "token-2"


def test_what_has_run_out_is_not_used(source: Source) -> None:
    start = time.time()
    with time_machine.travel(start, tick=False) as clock:
        source.token()
        source.error = Retry("away")
        clock.move_to(start + DAY - 1)
        with pytest.raises(Retry):
            source.token()


def test_a_refused_token_is_dropped_but_not_the_one_in_its_place(source: Source) -> None:
    first = source.token()
    tokens.forget(KEY, first)
    second = source.token()
    assert second == "token-2"
    tokens.forget(KEY, first)
    assert source.token() == second


def test_a_value_sealed_for_another_key_is_worth_nothing(source: Source) -> None:
    client().set(tokens.PREFIX + KEY, crypto.seal(b'{"token": "x", "renew_at": 9e9, "until": 9e9}', "token:other"))
    assert source.token() == "token-1"


@pytest.mark.parametrize("kept", [b"", b"rubbish", b"\x01"])
def test_rubbish_is_fetched_anew(source: Source, kept: bytes) -> None:
    client().set(tokens.PREFIX + KEY, kept)
    assert source.token() == "token-1"


def test_without_redis_a_process_keeps_its_own(source: Source, no_redis: Any) -> None:
    assert [source.token(), source.token()] == ["token-1"] * 2
    tokens.forget(KEY, "token-1")
    assert source.token() == "token-2"


def test_nothing_secret_is_logged(source: Source, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    source.token()
    tokens.forget(KEY, "token-1")
    assert "token-1" not in caplog.text
