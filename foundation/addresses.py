"""Where a request comes from, as far as our own proxies vouch for it, which addresses belong to the internet, and how the
address of a server is written."""

from __future__ import annotations

import ipaddress
import socket

from django.conf import settings
from django.core.validators import RegexValidator
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

#: Django's own check of URLs refuses names without a dot, which servers in one network have: `http://waha:3000`.
server_address = RegexValidator(
    r"^https?://[A-Za-z0-9._-]+(:\d{1,5})?(/[^\s?#]*)?\Z",
    _("Give an address such as https://api.example.com or http://waha:3000."),
)


def client_address(request: HttpRequest) -> str:
    """The address a request came from: as many hops from the right as there are proxies of ours (`PROXIES`).

    What stands further left in X-Forwarded-For was written by the client, and may be anything.
    """
    direct = str(request.META.get("REMOTE_ADDR") or "")
    hops = [hop.strip() for hop in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if hop.strip()]
    if not settings.PROXIES or not hops:
        return direct
    hop = hops[-min(settings.PROXIES, len(hops))]
    try:
        return str(ipaddress.ip_address(hop))
    except ValueError:
        return direct


def network(address: str) -> str:
    """Whom an address stands for: one host in IPv4, one /64 network in IPv6, where a host has countless addresses."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        mapped = parsed.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.IPv6Network((parsed, 64), strict=False))
    return str(parsed)


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the internet: not to this machine, a private network, a cloud's metadata service,
    a carrier's or a translated one, in whatever form it is written.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        embedded = parsed.ipv4_mapped or parsed.sixtofour or _translated(parsed)
        if embedded is not None:
            return is_public(str(embedded))
    return parsed.is_global and not parsed.is_multicast and not parsed.is_reserved


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def _translated(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None


def addresses_of(host: str, port: int) -> list[str]:
    """What a host name resolves to now, in the order in which to try. Raises OSError (socket.gaierror)."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
