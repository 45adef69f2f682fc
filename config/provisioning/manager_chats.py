"""The managers' chats of a company's file: which bot writes there and what it tells. A chat is connected by people."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.utils import timezone

from channels.models import Channel
from channels.registry import adapter_class
from conversations import manager_chats
from conversations.models import ManagerChat

from .document import ManagerChatShape
from .reading import ProvisionError
from .report import Change, Report, shown
from .rows import put, remove


def put_chat(report: Report, shape: ManagerChatShape) -> None:
    """Bring one chat in line, known by its name. Raises ProvisionError."""
    rows = list(ManagerChat.objects.filter(name=shape.name)[:2])
    if len(rows) > 1:
        raise ProvisionError(f"managers' chat {shape.name}: there are several of this name, rename all but one.")
    row = rows[0] if rows else None
    if shape.state == "absent":
        remove(report, "managers' chat", row, shape.name)
        return
    if row is None and not shape.channel:
        raise ProvisionError(f"managers' chat {shape.name}: channel is missing.")
    row = row or ManagerChat(name=shape.name, channel=_channel(shape.channel, shape))
    values = _values(row, shape)
    sources = [_channel(slug, shape) for slug in shape.sources]
    present, named = _sources(row), sorted(shape.sources)
    differ = "sources" in shape.model_fields_set and present != named
    extra = [Change("sources", shown(", ".join(present)), shown(", ".join(named)))] if differ else []
    remark = "" if values.get("connected_at", row.connected_at) else "not connected: the admin shows its code"
    put(report, "managers' chat", row, shape.name, values, remark=remark, extra=extra)
    if differ:
        row.sources.set(sources)
    if row.connected_at is None and (row.code_until is None or row.code_until <= timezone.now()):
        manager_chats.new_code(row)


def _values(row: ManagerChat, shape: ManagerChatShape) -> dict[str, Any]:
    values: dict[str, Any] = shape.given("enabled", "leads", "every_client", "calls")
    if shape.channel:
        channel = _channel(shape.channel, shape)
        if not adapter_class(channel.kind).capabilities.alerts:
            raise ProvisionError(f"managers' chat {shape.name}: “{shape.channel}” is no bot that writes to managers.")
        values["channel"] = channel
        if not row._state.adding and row.channel_id != channel.pk:
            # A chat of another bot is another chat, so it has to be connected anew.
            values |= {"address": None, "title": "", "connected_at": None, "error": "", "code": None, "code_until": None}
    if shape.owner:
        values["owner"] = get_user_model().objects.filter(username=shape.owner).first()
        if values["owner"] is None:
            raise ProvisionError(f"managers' chat {shape.name}: there is no user “{shape.owner}”.")
    return values


def _channel(slug: str, shape: ManagerChatShape) -> Channel:
    channel = Channel.objects.filter(slug=slug).first()
    if channel is None:
        raise ProvisionError(f"managers' chat {shape.name}: there is no channel “{slug}”.")
    return channel


def _sources(row: ManagerChat) -> list[str]:
    return [] if row._state.adding else sorted(row.sources.values_list("slug", flat=True))
