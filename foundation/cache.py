"""A small in-process cache for configuration rows that every message reads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Remembered(Generic[Key, Value]):
    """Values by key, looked up again after `seconds`: the delay with which a change in the admin takes effect."""

    def __init__(self, seconds: float, look_up: Callable[[Key], Value]) -> None:
        self.seconds = seconds
        self.look_up = look_up
        self._values: dict[Key, tuple[float, Value]] = {}
        self._lock = threading.Lock()

    def __call__(self, key: Key) -> Value:
        known = self._values.get(key)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        value = self.look_up(key)
        with self._lock:
            if len(self._values) > 1000:
                self._values.clear()
            self._values[key] = (time.monotonic() + self.seconds, value)
        return value

    def forget(self) -> None:
        """Look everything up again: in tests, and in the process that changed a row."""
        with self._lock:
            self._values.clear()
