"""Clocks: this machine's against PostgreSQL's, Redis's and a provider's. Rows fall due by PostgreSQL's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import redis
from django.conf import settings
from django.utils.translation import gettext as _

from channels.models import Channel
from channels.registry import adapter_class
from foundation import http
from foundation.db import row
from foundation.errors import ProviderError
from llm.models import LanguageModel

from .findings import Finding, fail, ok, warn

#: Seconds of difference that are told of, and from which on logins, signatures and certificates fail.
SKEW, LARGE = 5.0, 60.0
#: How many providers are asked for the time, and for how many seconds, until one tells it.
ASKED, PATIENCE = 3, 5.0
Kind = LanguageModel.Kind
MODEL_HOSTS = {
    Kind.GEMINI: "https://generativelanguage.googleapis.com",
    Kind.GEMINI_LEGACY: "https://generativelanguage.googleapis.com",
    Kind.OPENAI: "https://api.openai.com",
    Kind.OPENROUTER: "https://openrouter.ai",
    Kind.ANTHROPIC: "https://api.anthropic.com",
}

now = time.time


def look() -> Iterator[Finding]:
    yield _told("PostgreSQL", ahead(_database))
    with suppress(redis.RedisError):  # that it is away is said by the broker's own check
        yield _told("Redis", ahead(_redis))
    yield from _provider()


def ahead(ask: Callable[[], float]) -> float:
    """Seconds by which another clock is ahead of this machine's; half of the way there and back is taken off."""
    before = now()
    theirs = ask()
    return theirs - (before + now()) / 2


def _database() -> float:
    found = row("SELECT extract(epoch FROM clock_timestamp())::float8 AS at", {})
    assert found is not None
    return float(found.at)


def _redis() -> float:
    with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2) as client:
        seconds, micros = client.time()
    return float(seconds) + float(micros) / 1e6


def _told(whose: str, skew: float) -> Finding:
    facts = {"seconds": f"{abs(skew):.0f}"}
    if abs(skew) <= SKEW:
        return ok(whose, _("differs by less than %(seconds)s s") % {"seconds": f"{SKEW:.0f}"})
    told = (_("is %(seconds)s s ahead of this machine") if skew > 0 else _("is %(seconds)s s behind this machine")) % facts
    do = _("Let every machine set its clock by NTP (timedatectl set-ntp true; in containers: on the host).")
    return (fail if abs(skew) > LARGE else warn)(whose, told, do)


def _provider() -> Iterator[Finding]:
    """The clock of the world, as the first provider that answers shows it in its Date header."""
    for address in list(dict.fromkeys(_addresses()))[:ASKED]:
        try:
            yield _told(urlsplit(address).hostname or address, ahead(lambda: _date(address)))  # noqa: B023  used at once
        except (ProviderError, ValueError):
            # Whether it can be reached is the business of the channels' and models' checks.
            continue
        return


def _addresses() -> Iterator[str]:
    """Where providers that are used anyway answer; the root of their host is asked, without credentials."""
    for channel in Channel.objects.filter(enabled=True):
        yield _root(channel.base_url or adapter_class(channel.kind).default_base_url)
    for model in LanguageModel.objects.filter(enabled=True).exclude(kind=Kind.OFFLINE):
        yield _root(model.base_url or MODEL_HOSTS.get(Kind(model.kind), ""))


def _root(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}/"


def _date(address: str) -> float:
    """Raises ProviderError where nobody answers, ValueError where the answer tells no time."""
    answer = http.call("GET", address, writes=False, label="clock", read_timeout=PATIENCE, deadline=PATIENCE)
    # The header is cut to whole seconds.
    return parsedate_to_datetime(answer.headers.get("Date", "")).timestamp() + 0.5
