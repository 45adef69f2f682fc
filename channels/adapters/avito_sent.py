"""Which messages in Avito's history are further parts of one of ours.

Avito carries a text or a picture, not both: what we send as one message stands there as several, of which the core knows
one id. The others look as if a person had sent them, who would thereby take the conversation over, so their ids are kept
in the cache for as long as histories are read back.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import redis
from django.core.cache import cache

from .avito_parse import is_ours

logger = logging.getLogger(__name__)

KEPT = 7 * 86_400
#: Seconds after which a sending that told no end is over.
SENDING = 120


@contextmanager
def sending(slug: str, chat: str) -> Iterator[None]:
    """While pictures are on their way to a chat; what its history shows of them is left for a later look back."""
    key = _key("sending", slug, chat)
    _set({key: "1"}, SENDING)
    try:
        yield
    finally:
        _forget(key)


def remember(slug: str, identifier: str) -> None:
    """A further part of a message of ours has this id at Avito."""
    _set({_key("part", slug, identifier): "1"}, KEPT)


def parts(slug: str, chat: str, rows: Sequence[Mapping[str, Any]], account: int) -> set[str]:
    """The ids of those rows of a chat's history that are not to be told of: our parts, and pictures that may yet be some."""
    ours = [row for row in rows if is_ours(row, account)]
    if not ours:
        return set()
    pictures = {str(row["id"]) for row in ours if row.get("type") == "image"}
    busy = _key("sending", slug, chat)
    keys = {_key("part", slug, str(row["id"])): str(row["id"]) for row in ours}
    try:
        found = cache.get_many([*keys, busy])
    except (redis.RedisError, OSError) as error:
        logger.warning("own pictures not known", extra={"channel": slug, "error": type(error).__name__})
        # A person's picture waits for a look back; ours must not silence the assistant.
        return pictures
    return {identifier for key, identifier in keys.items() if key in found} | (pictures if busy in found else set())


def _key(what: str, slug: str, identifier: str) -> str:
    return f"avito:{what}:{slug}:{hashlib.sha256(identifier.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


def _set(values: dict[str, str], seconds: int) -> None:
    try:
        cache.set_many(values, seconds)
    except (redis.RedisError, OSError) as error:
        logger.warning("own pictures not remembered", extra={"error": type(error).__name__})


def _forget(key: str) -> None:
    try:
        cache.delete(key)
    except (redis.RedisError, OSError) as error:
        # It runs out by itself.
        logger.info("sending not ended in the cache", extra={"error": type(error).__name__})
