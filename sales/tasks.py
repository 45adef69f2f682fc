"""The steps of the road that belong to sales. Each takes one id and is safe to run twice."""

from __future__ import annotations

from celery import shared_task

from . import agent, call_telling, follow_ups, touches


@shared_task(name="sales.answer")
def answer(turn_id: int) -> None:
    """Compose the reply of a turn."""
    agent.answer(turn_id)


@shared_task(name="sales.remind_calls")
def remind_calls() -> None:
    """Remind customers of the calls that are to begin soon, and tell them of changes that waited for a template."""
    call_telling.remind_due()
    call_telling.tell_due()


@shared_task(name="sales.plan_follow_ups")
def plan_follow_ups() -> None:
    """Plan touches for customers who fell silent."""
    follow_ups.plan()


@shared_task(name="sales.fire_touches")
def fire_touches() -> None:
    """Make the touches whose time has come."""
    follow_ups.fire()


@shared_task(name="sales.touch")
def touch(turn_id: int) -> None:
    """Compose the touch of a turn."""
    touches.touch(turn_id)
