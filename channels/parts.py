"""Sending what a provider takes only in several calls."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

from django.utils.translation import gettext as _

from foundation.errors import ProviderError, Rejected, Unconfirmed

from .base import SendResult

logger = logging.getLogger(__name__)

Part = TypeVar("Part")


def send_parts(
    parts: Iterable[Part], send: Callable[[Part], str], *, spare: Callable[[Part], bool] = lambda part: False, channel: str = ""
) -> SendResult:
    """Send one part after another; `send` returns the provider's id of each, and the first is the message's.

    Once a part is out, any later failure is Unconfirmed, a refused account's too: repeating the whole message would send
    the first part twice. A `spare` part, such as spoken words behind the written ones, may fail without a word to anybody.
    Raises what `send` raises for the first part, and Rejected where there is none.
    """
    first = ""
    for part in parts:
        try:
            identifier = send(part)
        except ProviderError as error:
            if not first:
                raise
            if not spare(part):
                raise Unconfirmed(_("Only a part of the message was sent."), code=error.code) from None
            logger.info("a spare part was not sent", extra={"channel": channel, "code": error.code})
        else:
            first = first or identifier
    if not first:
        raise Rejected(_("There is nothing to send."), code="empty")
    return SendResult(first)
