"""Wiring: settings, Celery, URLs, the API router, health, metrics and logs."""
