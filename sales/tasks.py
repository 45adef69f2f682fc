"""The steps of the road that belong to sales. Each takes one id and is safe to run twice."""

from __future__ import annotations

from celery import shared_task

from . import agent


@shared_task(name="sales.answer")
def answer(turn_id: int) -> None:
    """Compose the reply of a turn."""
    agent.answer(turn_id)
