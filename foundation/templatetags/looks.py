"""The looks of `foundation.looks` for templates."""

from __future__ import annotations

from datetime import datetime

from django import template

from foundation import looks

register = template.Library()


@register.filter
def ago(at: datetime | None) -> str:
    """`5 minutes ago`; a dash where it never happened."""
    return looks.ago(at) or "—"
