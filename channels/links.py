"""Links to files that providers send us: which may be followed, and fetching them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from foundation import http
from foundation.addresses import addresses_of, is_public
from foundation.errors import Rejected

#: What urllib and a server may read in two ways.
_AMBIGUOUS = re.compile(r"[\\@\s\x00-\x20]")


def leads_to(link: str, base: str, *, hosts: Collection[str], domains: Collection[str]) -> bool:
    """Whether a link stays with the provider: at its API's own address `base`, or over https at one of the `hosts` (with
    `:port` where it is not 443), the `domains` or their subdomains."""
    try:
        url, own = urlsplit(link), urlsplit(base)
        host, port = (url.hostname or "").lower(), url.port
    except ValueError:
        return False
    if _AMBIGUOUS.search(link.partition("?")[0]) or url.scheme not in ("https", own.scheme):
        return False
    if (url.scheme, url.netloc) == (own.scheme, own.netloc):
        return True
    if (host if port in (None, 443) else f"{host}:{port}") in hosts:
        return True
    known = any(host == domain or host.endswith(f".{domain}") for domain in domains)
    return known and url.scheme == "https" and port in (None, 443)


def in_private_network(base: str) -> bool:
    """Whether the server we were told to use stands in a private network; only then links may lead into one."""
    try:
        url = urlsplit(base)
        return not all(map(is_public, addresses_of(url.hostname or "", url.port or 443)))
    except (OSError, ValueError):
        return False


def fetch(
    link: str, *, label: str, seconds: float, max_bytes: int, public_only: bool, headers: Mapping[str, str] | None = None
) -> bytes:
    """The file behind a link, without the credentials of the provider's API unless `headers` hold them.

    Raises Rejected where its storage refuses it: that says nothing about our token. Raises Retry.
    """
    answer = http.call(
        "GET", link, headers=dict(headers or {}), writes=False, label=label, read_timeout=seconds, deadline=seconds,
        max_bytes=max_bytes, public_only=public_only,
    )  # fmt: skip
    if 300 <= answer.status < 500 and answer.status != 429 and not (headers and answer.status == 401):
        raise Rejected(f"{label}: HTTP {answer.status}", code=str(answer.status))
    http.raise_for_status(answer, label, writes=False)
    return answer.body
