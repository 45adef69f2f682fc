"""Where a request comes from, as far as our own proxies vouch for it."""

from __future__ import annotations

import ipaddress

from django.conf import settings
from django.http import HttpRequest


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
