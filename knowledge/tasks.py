"""The steps of the knowledge base. Each is safe to run twice."""

from __future__ import annotations

from celery import shared_task

from . import sources


@shared_task(name="knowledge.parse")
def parse(source_id: int) -> None:
    """Read one waiting document."""
    sources.parse(source_id)


@shared_task(name="knowledge.scan")
def scan() -> None:
    """Bring the bases up to date with the folder."""
    sources.scan()


@shared_task(name="knowledge.sweep")
def sweep() -> None:
    """Return documents of dead workers to the queue."""
    sources.sweep()
