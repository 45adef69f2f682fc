"""The table by which pipeline steps find each other: step name to task name, in `settings.PIPELINE`.

`conversations` knows that an answer comes next; only the table knows that `sales.answer` gives it.
"""

from __future__ import annotations

from django.conf import settings

from .tasks import kick


def start(step: str, row_id: int, *, delay: float = 0) -> None:
    """Enqueue the task of a step for one row after commit. Raises KeyError for a step that the table lacks."""
    kick(settings.PIPELINE[step], row_id, delay=delay)
