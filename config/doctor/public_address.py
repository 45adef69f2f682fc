"""Where providers post their webhooks: PUBLIC_URL answers, over TLS that lasts, and it is we who answer."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from channels.base import Adapter
from channels.models import Channel
from channels.registry import adapter_class
from foundation import http
from foundation.errors import ProviderError

from .findings import Finding, fail, ok, warn

PATIENCE = 10.0
#: Days before a certificate ends at which somebody should know that nothing has renewed it.
RENEWED_BY = 10
SUBJECT = "PUBLIC_URL"


def look() -> Iterator[Finding]:
    waiting = [channel for channel in Channel.objects.filter(enabled=True) if _takes_webhooks(channel)]
    parts = urlsplit(settings.PUBLIC_URL)
    if parts.scheme != "https" or _private(parts.hostname or ""):
        yield from _not_public(waiting)
    else:
        yield from _certificate(parts.hostname or "", parts.port or 443)
    yield _answers(bool(waiting))


def _takes_webhooks(channel: Channel) -> bool:
    return adapter_class(channel.kind).subscribe is not Adapter.subscribe


def _private(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith((".local", ".internal", ".lan"))


def _not_public(waiting: list[Channel]) -> Iterator[Finding]:
    """An address of this machine or without TLS: fine for polls, for the widget on one's own machine, and for gateways here."""
    told = _("%(url)s is no public https address: providers cannot post to it.") % {"url": settings.PUBLIC_URL}
    do = _("Put a proxy with TLS before the web process and set PUBLIC_URL, ALLOWED_HOSTS and PROXIES: docs/install.md.")
    deaf = [channel.name for channel in waiting if not adapter_class(channel.kind).capabilities.polling]
    if deaf:
        names = _("Nothing arrives on: %(channels)s.") % {"channels": ", ".join(deaf)}
        yield fail(SUBJECT, f"{told} {names}", do)
    elif waiting:
        yield warn(SUBJECT, told, do)


def _certificate(host: str, port: int) -> Iterator[Finding]:
    try:
        with (
            socket.create_connection((host, port), timeout=PATIENCE) as plain,
            ssl.create_default_context().wrap_socket(plain, server_hostname=host) as secured,
        ):
            until = ssl.cert_time_to_seconds(str((secured.getpeercert() or {}).get("notAfter")))
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason or type(error).__name__
        told = _("Its certificate is not accepted: %(reason)s") % {"reason": reason}
        yield fail("TLS", told, _("Renew the certificate, with the whole chain and for this name."))
        return
    except OSError:
        # That nobody answers is told with the page that was not there.
        return
    days = int((until - time.time()) // 86_400)
    told = ngettext("the certificate is good for %(n)d day", "the certificate is good for %(n)d days", days) % {"n": days}
    renew = _("Renew the certificate, and see why it is not renewed by itself.")
    yield warn("TLS", told, renew) if days < RENEWED_BY else ok("TLS", told)


def _answers(needed: bool) -> Finding:
    url = f"{settings.PUBLIC_URL}{reverse('health')}"
    do = _(
        "Start the web process, and see that the proxy hands everything on to it. Where only this machine cannot reach its own "
        "public address, look from another one."
    )
    try:
        answer = http.call("GET", url, writes=False, label="public address", read_timeout=PATIENCE, deadline=PATIENCE)
        ours = answer.status == 200 and "queue_connection" in answer.json()
    except ProviderError:
        told = _("%(url)s does not answer.") % {"url": url}
        return (fail if needed else warn)(SUBJECT, told, do)
    except (ValueError, TypeError):
        ours = False
    if ours:
        return ok(SUBJECT, settings.PUBLIC_URL)
    told = _("%(url)s is answered by somebody else (HTTP %(status)d).") % {"url": url, "status": answer.status}
    return (fail if needed else warn)(SUBJECT, told, do)
