"""Several slow providers asked at once, so that a dead one costs its time-out only once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connections
from django.utils import translation

from .findings import Finding, broke

Thing = TypeVar("Thing")

AT_ONCE = 8


def each(things: Sequence[Thing], look: Callable[[Thing], list[Finding]]) -> Iterator[tuple[Thing, list[Finding]]]:
    """Each of the things with what `look` finds, in their order. A fault of the look ends none of the others."""
    if len(things) < 2:
        yield from ((thing, _guarded(thing, look)) for thing in things)
        return
    language = translation.get_language() or ""

    def in_thread(thing: Thing) -> list[Finding]:
        try:
            with translation.override(language):
                return _guarded(thing, look)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="doctor") as pool:
        yield from zip(things, pool.map(in_thread, things), strict=True)


def _guarded(thing: Thing, look: Callable[[Thing], list[Finding]]) -> list[Finding]:
    try:
        return look(thing)
    except Exception as error:  # noqa: BLE001  one adapter's fault must not hide what is wrong with the others
        return [broke(str(thing), error)]
