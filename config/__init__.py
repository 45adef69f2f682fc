"""Wiring: settings, Celery, URLs, the API router, health, metrics and logs."""

from .celery import app as celery_app

__all__ = ["celery_app"]
