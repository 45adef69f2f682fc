"""A message of several parts: what is out once is never sent again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from channels.parts import send_parts
from foundation.errors import ProviderError, Rejected, Retry, Unauthorized, Unconfirmed

FAILURES = [Retry("away"), Rejected("no"), Unauthorized("refused"), Unconfirmed("lost")]


def failing_at(place: int, error: ProviderError) -> Callable[[int], str]:
    def send(part: int) -> str:
        if part == place:
            raise error
        return f"id{part}"

    return send


def test_the_id_is_that_of_the_first_part() -> None:
    assert send_parts([1, 2, 3], lambda part: f"id{part}").external_id == "id1"


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
def test_the_first_parts_failure_is_told_as_it_is(error: ProviderError) -> None:
    with pytest.raises(type(error)):
        send_parts([1, 2], failing_at(1, error))


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
def test_a_later_failure_leaves_the_message_unconfirmed(error: ProviderError) -> None:
    """A refused account's as well: what is Unauthorized is sent again as a whole once the account is repaired."""
    with pytest.raises(Unconfirmed):
        send_parts([1, 2], failing_at(2, error))


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
def test_a_spare_part_may_fail_behind_another_but_not_alone(error: ProviderError) -> None:
    assert send_parts([1, 2], failing_at(2, error), spare=lambda part: part == 2).external_id == "id1"
    with pytest.raises(type(error)):
        send_parts([2], failing_at(2, error), spare=lambda part: part == 2)


def test_nothing_is_refused() -> None:
    with pytest.raises(Rejected):
        send_parts([], str)
