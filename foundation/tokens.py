"""Access tokens that all processes share: fetched once, sealed in Redis, renewed before they run out.

Whoever needs a token asks for it by its key. One process at a time fetches, the others go on with the old token while it
is good, and wait where there is none. While Redis is away each process keeps tokens of its own.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache

import redis
from django.conf import settings
from django.utils.translation import gettext as _

from . import turnstile
from .crypto import CannotOpen, open_sealed, seal
from .errors import ProviderError, Retry

logger = logging.getLogger(__name__)

PREFIX = "token:"
#: Seconds for which somebody without a token waits for who is fetching one, and after which that one counts as dead.
WAIT = 15.0
HOLD = 60.0
#: Seconds until a renewal that failed is tried again, while the old token is good.
REST = 30.0
#: A token is not used in its last seconds: it would run out on the way.
LAST_SECONDS = 10.0

_own: dict[str, _Kept] = {}
"""This process's own copies, for when Redis is away."""
_resting_until: dict[str, float] = {}


@dataclass(frozen=True, slots=True)
class _Kept:
    """A token with its times in unix seconds."""

    token: str
    renew_at: float
    until: float

    def is_usable(self) -> bool:
        return time.time() < self.until - LAST_SECONDS

    def is_fresh(self) -> bool:
        return time.time() < self.renew_at and self.is_usable()


def shared(key: str, fetch: Callable[[], tuple[str, float]], *, early: float) -> str:
    """The token of this key, fetched where there is none, or renewed `early` seconds before its end.

    `fetch` returns a token and how many seconds it lives, or raises the words of `foundation.errors`, which are passed
    on unless an older token is still good. A token that lives no longer than twice `early` is renewed at half its life.
    The key holds neither secrets nor personal data, and changes with the credentials. Raises Retry where
    another process has been fetching for too long.
    """
    kept = _read(key)
    usable = kept if kept is not None and kept.is_usable() else None
    if usable is not None and (usable.is_fresh() or time.monotonic() < _resting_until.get(key, 0.0)):
        return usable.token
    try:
        with turnstile.turn(f"{PREFIX}{key}", wait=0.0 if usable else WAIT, hold=HOLD):
            found = _read(key)
            if found is None or not found.is_fresh():
                found = _fetched(key, fetch, early)
            return found.token
    except turnstile.Busy:
        if usable is not None:
            return usable.token
        raise Retry(_("Another process is fetching the access token."), code="token", after=1.0) from None
    except ProviderError as error:
        if usable is None:
            raise
        _resting_until[key] = time.monotonic() + REST
        logger.warning("token not renewed", extra={"error": type(error).__name__, "code": error.code})
        return usable.token


def forget(key: str, refused: str) -> None:
    """Drop the token that the provider refused; one that was fetched in its place meanwhile is kept."""
    _resting_until.pop(key, None)
    own = _own.get(key)
    if own is not None and own.token == refused:
        del _own[key]
    kept = _read(key)
    if kept is None or kept.token != refused:
        return
    try:
        _client().delete(PREFIX + key)
    except (redis.RedisError, OSError) as error:
        logger.warning("token not dropped from Redis", extra={"error": type(error).__name__})


@cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)


def _fetched(key: str, fetch: Callable[[], tuple[str, float]], early: float) -> _Kept:
    began = time.time()
    token, life = fetch()
    kept = _Kept(token, renew_at=began + life - min(early, life / 2), until=began + life)
    _own[key] = kept
    sealed = seal(json.dumps(asdict(kept)).encode(), PREFIX + key)
    try:
        _client().set(PREFIX + key, sealed, px=max(1, int(life * 1000)))
    except (redis.RedisError, OSError) as error:
        logger.warning("token kept within the process only", extra={"error": type(error).__name__})
    return kept


def _read(key: str) -> _Kept | None:
    """What is known of a key: by Redis, or by this process where Redis does not answer."""
    try:
        sealed = _client().get(PREFIX + key)
    except (redis.RedisError, OSError):
        return _own.get(key)
    if not isinstance(sealed, bytes):
        return None
    try:
        return _Kept(**json.loads(open_sealed(sealed, PREFIX + key)))
    except (CannotOpen, ValueError, TypeError) as error:
        logger.warning("a kept token does not open", extra={"error": type(error).__name__})
        return None
