"""Each enabled channel, asked of its provider: credentials, connection, and the webhook where the provider tells."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from channels import symptoms
from channels.base import Adapter
from channels.models import Channel
from channels.registry import adapter_class
from foundation.errors import ProviderError, Rejected, Unauthorized
from sales.models import Bot

from .findings import Finding, fail, ok, remedy, warn
from .side_by_side import each

#: What a provider's check says of a channel that works is a sentence where it is a remark, otherwise a name.
_REMARK = re.compile(r"^\S+( \S+){3,}\.$")


def look() -> Iterator[Finding]:
    channels = list(Channel.objects.filter(enabled=True))
    if not channels:
        yield warn(_("channels"), _("None is enabled: nobody can write to us."), _("Add one in the admin under Channels."))
    whole = [channel for channel in channels if not _missing(channel)]
    asked = {channel.pk: found for channel, found in each(whole, _asked)}
    for channel in channels:
        yield from asked.get(channel.pk, ())
        yield from _ours(channel)


def _missing(channel: Channel) -> str:
    try:
        channel.clean()
    except ValidationError as error:
        return " ".join(error.messages)
    return ""


def _asked(channel: Channel) -> list[Finding]:
    """Without the statistics of provider calls, and without a word to the channel's state: a doctor only looks."""
    adapter: Adapter = adapter_class(channel.kind)(channel.access())
    kind = channel.get_kind_display()
    try:
        health = adapter.check()
    except (Unauthorized, Rejected) as error:
        return [fail(channel.name, f"{kind}: {error}", _guided(channel, remedy(error)))]
    except ProviderError as error:
        return [fail(channel.name, f"{kind}: {error}", remedy(error))]
    if not health.ok:
        told = health.detail or _("not connected")
        return [fail(channel.name, f"{kind}: {told}", _guided(channel, _on_its_page()))]
    if _REMARK.match(health.detail):
        return [warn(channel.name, f"{kind}: {health.detail}", _guided(channel, _on_its_page()))]
    return [ok(channel.name, f"{kind}: {health.detail}" if health.detail else kind)]


def _on_its_page() -> str:
    return _("Do so on the channel's page in the admin, and press “Check connection” there afterwards.")


def _guided(channel: Channel, do: str) -> str:
    guide = f"docs/channels/{channel.kind}.md"
    return _("%(do)s Guide: %(guide)s.") % {"do": do, "guide": guide} if (Path(settings.BASE_DIR) / guide).exists() else do


def _ours(channel: Channel) -> Iterator[Finding]:
    """What our own rows say of a channel."""
    missing = _missing(channel)
    if missing:
        yield fail(channel.name, missing, _guided(channel, _("Fill it in on the channel's page in the admin.")))
    bot = Bot.objects.select_related("assistant").filter(channel=channel).first()
    if bot is None:
        told = _("No assistant answers here: what customers write is only stored.")
        yield warn(channel.name, told, _("Give the channel an assistant in the admin."))
    elif not channel.running:
        told = _("It is stopped: what customers write is only stored.")
        yield warn(channel.name, told, _("Press “Start” on its page in the admin when the assistant shall answer."))
    wrong = symptoms.of(channel.pk)
    if wrong:
        yield warn(channel.name, wrong, _guided(channel, _on_its_page()))
