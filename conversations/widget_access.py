"""Who may talk to a website chat: channel, origin, visitor token, and how often.

The visitor's token is signed for one channel. It travels in the Authorization header only, so that it is in no log and
no other site's page can make a browser send it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from django.conf import settings
from django.core import signing
from django.core.cache import cache
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _
from redis.exceptions import RedisError

from channels import directory
from channels.models import Channel
from foundation.addresses import client_address, network
from foundation.crypto import blind_index

from .models import source_index

logger = logging.getLogger(__name__)

#: Messages of one visitor, and of all visitors of one address, per minute.
VISITOR_MESSAGES = 20
ADDRESS_MESSAGES = 120
#: Seconds for which a browser may remember the answer to a preflight request.
PREFLIGHT_SECONDS = 600
#: After Redis failed nobody is counted for so many seconds, lest every message waits for its timeout.
UNCOUNTED_SECONDS = 10.0

View = Callable[[HttpRequest, Channel], HttpResponse]


class Refusal(Exception):
    """The request is not carried out; the answer says why."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers

    def response(self) -> HttpResponse:
        return JsonResponse({"error": self.message}, status=self.status, headers=self.headers)


@dataclass(frozen=True, slots=True)
class Visitor:
    """Whoever holds a token for a channel."""

    channel: Channel
    id: str

    @property
    def index(self) -> str:
        """The blind index under which this visitor is found in the database."""
        return source_index(self.id)

    @property
    def topic(self) -> str:
        """Where it is rung that this visitor has written, before there is a conversation."""
        return f"visitor:{self.index[:32]}"


def admit(request: HttpRequest, slug: str, views: Mapping[str, View]) -> HttpResponse:
    """Answer a request to one address of a chat: channel and origin are checked before the method's view is called."""
    origin = ""
    try:
        channel = find_channel(slug)
        origin = check_origin(request, channel)
        if request.method == "OPTIONS":
            return _share(_preflight(), origin)
        view = views.get(request.method or "")
        if view is None:
            raise Refusal(405, _("This method is not possible here."), {"Allow": ", ".join([*views, "OPTIONS"])})
        response = view(request, channel)
    except Refusal as refusal:
        response = refusal.response()
    except (OperationalError, InterfaceError) as error:
        logger.warning("chat without database", extra={"channel": slug, "error": type(error).__name__})
        response = Refusal(503, _("Temporarily not available."), {"Retry-After": "5"}).response()
    return _share(response, origin)


def find_channel(slug: str) -> Channel:
    """The website chat with this identifier. Raises Refusal (404) for anything else, and for a disabled one."""
    found = directory.by_slug(slug)
    if found is None or found.channel.kind != Channel.Kind.WIDGET or not found.channel.enabled:
        raise Refusal(404, _("No such chat."))
    return found.channel


# ── Origins ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def check_origin(request: HttpRequest, channel: Channel) -> str:
    """The request's origin where it may embed this chat, empty where there is none. Raises Refusal (403).

    `channel.options["origins"]` lists the sites in full (`https://shop.example`); `*` among them admits every site, but
    not the `null` of sandboxed and local pages.
    """
    origin = request.headers.get("Origin", "")
    if not origin:
        return ""
    listed = {str(item).rstrip("/").lower() for item in channel.options.get("origins") or ()}
    own = {f"{request.scheme}://{request.get_host()}", _origin_of(settings.PUBLIC_URL)}
    if origin in own or origin in listed or ("*" in listed and origin.startswith(("https://", "http://"))):
        return origin
    raise Refusal(403, _("This site may not show this chat. Add it to the origins of the channel."))


def _origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _share(response: HttpResponse, origin: str) -> HttpResponse:
    """Let the page of an admitted origin read the response. Nothing is ever shared with credentials."""
    patch_vary_headers(response, ["Origin"])
    response.headers.setdefault("Cache-Control", "no-store")
    if origin:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = "Retry-After"
    return response


def _preflight() -> HttpResponse:
    """The answer to a browser that asks what an admitted origin may do."""
    return HttpResponse(
        status=204,
        headers={
            "Access-Control-Allow-Methods": "GET, POST",
            "Access-Control-Allow-Headers": "Authorization, Content-Type, Last-Event-ID",
            "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
        },
    )


# ── Tokens ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _signer(channel: Channel) -> signing.TimestampSigner:
    return signing.TimestampSigner(salt=f"conversations.widget:{channel.slug}")


def new_visitor(channel: Channel) -> Visitor:
    return Visitor(channel, str(uuid4()))


def token_for(visitor: Visitor) -> str:
    """A token for this visitor that is valid for SESSION_TTL_DAYS from now."""
    return _signer(visitor.channel).sign(visitor.id)


def visitor_of(channel: Channel, token: str) -> Visitor | None:
    """Whose token it is; None where it is missing, altered, too old, or another channel's."""
    try:
        plain = _signer(channel).unsign(token, max_age=timedelta(days=settings.SESSION_TTL_DAYS))
        return Visitor(channel, str(UUID(plain)))
    except (signing.BadSignature, ValueError):
        return None


def authenticate(request: HttpRequest, channel: Channel) -> Visitor:
    """The visitor of a request. Raises Refusal (401)."""
    scheme, _separator, token = request.headers.get("Authorization", "").partition(" ")
    visitor = visitor_of(channel, token.strip()) if scheme.lower() == "bearer" else None
    if visitor is None:
        raise Refusal(401, _("The session has ended. Start a new one."), {"WWW-Authenticate": "Bearer"})
    return visitor


# ── Limits ───────────────────────────────────────────────────────────────────────────────────────────────────────────


_uncounted_until = 0.0


def limit(what: str, who: str, per_minute: int) -> None:
    """Count one more `what` of `who` in this minute. Raises Refusal (429) beyond `per_minute`.

    Without Redis nobody is counted and everybody is let in.
    """
    global _uncounted_until
    if time.monotonic() < _uncounted_until:
        return
    minute, second = divmod(int(time.time()), 60)
    key = f"limit:{what}:{blind_index(who, 'limit')[:32]}:{minute}"
    try:
        cache.add(key, 0, timeout=120)
        count = cache.incr(key)
    except (RedisError, OSError, ValueError) as error:
        logger.warning("not limited", extra={"what": what, "error": type(error).__name__})
        _uncounted_until = time.monotonic() + UNCOUNTED_SECONDS
        return
    if count > per_minute:
        raise Refusal(429, _("Too many messages. Wait a minute, please."), {"Retry-After": str(60 - second)})


def limit_sessions(request: HttpRequest) -> None:
    """Raises Refusal (429) where an address opens more than RATE_LIMIT_PER_MINUTE sessions."""
    limit("sessions", _address(request), settings.RATE_LIMIT_PER_MINUTE)


def limit_messages(request: HttpRequest, visitor: Visitor) -> None:
    """Raises Refusal (429)."""
    limit("messages", visitor.id, VISITOR_MESSAGES)
    limit("address", _address(request), ADDRESS_MESSAGES)


def _address(request: HttpRequest) -> str:
    return network(client_address(request))
