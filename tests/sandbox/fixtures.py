"""Fake providers as fixtures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest

from .server import Router, running

R = TypeVar("R", bound=Router)


def served(make: Callable[[], R]) -> Any:
    """A fixture: the fake server that `make` gives, at an address of its own until the module's last test has ended."""

    @pytest.fixture(scope="module")
    def server() -> Iterator[R]:
        fake = make()
        with running(fake):
            yield fake

    return server
