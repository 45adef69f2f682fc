"""The channel rows, adapters and number rules that every message needs, remembered for a moment in each process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from django.db.models.signals import post_delete, post_save

from foundation.cache import Remembered
from foundation.crypto import blind_index

from .base import Adapter
from .models import Channel, NumberRule
from .registry import adapter_for

#: Seconds until a change of a channel made elsewhere is noticed.
SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Entry:
    """A channel row with its adapter. The row is shared: read it, never save it."""

    channel: Channel
    adapter: Adapter


def _by_id(key: int) -> Entry | None:
    channel = Channel.objects.filter(pk=key).first()
    return Entry(channel, adapter_for(channel)) if channel else None


def _by_slug(key: str) -> Entry | None:
    channel = Channel.objects.filter(slug=key).first()
    return Entry(channel, adapter_for(channel)) if channel else None


def _rules(key: int) -> dict[str, set[str]]:
    rules: dict[str, set[str]] = {rule: set() for rule in NumberRule.Rule.values}
    applying = NumberRule.objects.filter(Q(channel_id=key) | Q(channel=None))
    for rule, index in applying.values_list("rule", "phone_index"):
        rules[rule].add(index)
    return rules


by_id = Remembered(SECONDS, _by_id)
by_slug = Remembered(SECONDS, _by_slug)
_number_rules = Remembered(SECONDS, _rules)


def entry(channel_id: int) -> Entry:
    """The channel with this id. Raises Channel.DoesNotExist."""
    found = by_id(channel_id)
    if found is None:
        raise Channel.DoesNotExist(f"channel {channel_id}")
    return found


def rule_for(channel_id: int, phone: str | None) -> str:
    """`excluded`, `blocked`, `not_allowed` or the empty word for a phone (digits) on a channel.

    Where any number is listed as allowed, an unknown or missing phone is `not_allowed`.
    """
    rules = _number_rules(channel_id)
    index = blind_index(phone, "phone") if phone else ""
    for rule in (NumberRule.Rule.EXCLUDED, NumberRule.Rule.BLOCKED):
        if index in rules[rule]:
            return str(rule)
    allowed = rules[NumberRule.Rule.ALLOWED]
    return "not_allowed" if allowed and index not in allowed else ""


def forget(**_: Any) -> None:
    """Notice changes at once in this process."""
    for remembered in (by_id, by_slug, _number_rules):
        remembered.forget()


for _model in (Channel, NumberRule):
    post_save.connect(forget, sender=_model)
    post_delete.connect(forget, sender=_model)
