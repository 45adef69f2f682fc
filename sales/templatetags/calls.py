"""Calls in the managers' templates."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.utils import timezone

from foundation import phones

from .. import call_looks, call_texts
from ..models import ScheduledCall

register = template.Library()


@register.filter
def phone(digits: str) -> str:
    """`77011234567` as people read it."""
    return phones.shown(digits)


@register.filter
def day_and_time(at: datetime) -> str:
    """`Today, 15:00`, by the clock that is in force in the template."""
    local = timezone.localtime(at)
    return f"{call_looks.capital(call_looks.day_word(local))}, {local:%H:%M}"


@register.filter
def manager_name(call: ScheduledCall) -> str:
    """The manager as customers are told."""
    return call_texts.manager_name(call)
