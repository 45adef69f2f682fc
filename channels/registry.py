"""Which adapter speaks for which kind of channel."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from django.utils.module_loading import import_string

from .base import Adapter
from .provider_calls import measured

if TYPE_CHECKING:
    from .models import Channel

ADAPTERS = {
    "wappi": "channels.adapters.wappi.WappiAdapter",
    "waha": "channels.adapters.waha.WahaAdapter",
    "whatsapp_cloud": "channels.adapters.whatsapp_cloud.WhatsAppCloudAdapter",
    "telegram": "channels.adapters.telegram.TelegramAdapter",
    "avito": "channels.adapters.avito.AvitoAdapter",
    "widget": "channels.adapters.widget.WidgetAdapter",
}


@cache
def adapter_class(kind: str) -> type[Adapter]:
    """The adapter class of a kind of channel. Raises KeyError for an unknown kind."""
    adapter: type[Adapter] = import_string(ADAPTERS[kind])
    return adapter


def adapter_for(channel: Channel) -> Adapter:
    return measured(adapter_class(channel.kind)(channel.access()), channel.pk)
