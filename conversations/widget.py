"""The website chat's HTTP API, under `/widget/<identifier of the channel>/`.

`session/` gives a page its token and the history, `messages/` takes and gives messages, `typing/` says that another
message is being written, `events/` (in `widget_stream`) tells news as they happen. Every error is JSON: `{"error": text}`.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from channels import inbox
from channels.adapters.widget import raw_event
from channels.models import Channel, InboundEvent
from foundation import live, steps
from foundation.db import row

from . import widget_access as access
from . import widget_news as news
from .widget_access import Refusal

MAX_BODY = 64 * 1024
MAX_PAGE = 500
#: A page that is typed into says so once in so many seconds.
TYPING_SECONDS = 1.0
SCRIPT = Path(__file__).parent / "static" / "saudager" / "widget.js"
#: Seconds for which browsers may use the script without asking for a newer one.
SCRIPT_SECONDS = 300


def door(**views: access.View) -> Callable[[HttpRequest, str], HttpResponse]:
    """One address of the API, with a view for each method."""

    @csrf_exempt
    def handle(request: HttpRequest, slug: str) -> HttpResponse:
        return access.admit(request, slug, views)

    return handle


def _open_session(request: HttpRequest, channel: Channel) -> HttpResponse:
    """`POST session/` `{token?}`: who the visitor is from now on, and what was said before."""
    given = _body(request).get("token")
    access.limit_sessions(request)
    known = access.visitor_of(channel, given) if isinstance(given, str) else None
    visitor = known or access.new_visitor(channel)
    conversation = news.conversation_of(visitor) if known else None
    past = news.history(conversation) if conversation else news.News([], 0)
    options = channel.options
    return JsonResponse(
        {
            "token": access.token_for(visitor),
            "resumed": known is not None,
            "company": channel.company,
            "assistant": {name: str(options.get(name) or "") for name in ("name", "title", "greeting")},
            "color": str(options.get("color") or ""),
            "max_length": settings.MAX_MESSAGE_LENGTH,
            "history": past.messages,
            "cursor": past.cursor,
        }
    )


def _read_messages(request: HttpRequest, channel: Channel) -> HttpResponse:
    """`GET messages/?after=<number>`"""
    visitor = access.authenticate(request, channel)
    seq = number_after(request)
    conversation = news.conversation_of(visitor)
    found = news.after(conversation, seq) if conversation else news.News([], seq)
    return JsonResponse({"messages": found.messages, "cursor": found.cursor})


def number_after(request: HttpRequest) -> int:
    """The number of the last message the page has: from Last-Event-ID or `?after=`, else 0. Raises Refusal (400)."""
    text = request.headers.get("Last-Event-ID") or request.GET.get("after") or "0"
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Refusal(400, _("“after” must be the number of a message."))
    return int(text)


def _take_message(request: HttpRequest, channel: Channel) -> HttpResponse:
    """`POST messages/` `{client_id, text, page?}`: 202 once the message is stored, however often it is posted."""
    visitor = access.authenticate(request, channel)
    body = _body(request)
    client_id, text = _client_id(body.get("client_id")), _text(body.get("text"))
    access.limit_messages(request, visitor)
    event = raw_event(visitor=visitor.id, client_id=client_id, text=text, at=timezone.now(), page=_page(body.get("page")))
    inbox.store(channel.pk, [event], InboundEvent.Source.WEBHOOK)
    live.ring(visitor.topic, what="written")
    return JsonResponse({"client_id": client_id}, status=202)


def _client_id(given: Any) -> str:
    try:
        return str(UUID(given))
    except (ValueError, TypeError, AttributeError):
        raise Refusal(400, _("“client_id” must be a UUID, made by the page for each message.")) from None


def _text(given: Any) -> str:
    text = given.replace("\x00", "").strip() if isinstance(given, str) else ""
    if not text:
        raise Refusal(400, _("The message is empty."))
    if len(text) > settings.MAX_MESSAGE_LENGTH:
        raise Refusal(400, _("The message is longer than %(number)d characters.") % {"number": settings.MAX_MESSAGE_LENGTH})
    return text


def _page(given: Any) -> str:
    """The address of the page the visitor writes from; what follows its path may be private and is dropped."""
    try:
        parts = urlsplit(given if isinstance(given, str) else "")
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}{parts.path}"[:MAX_PAGE] if parts.scheme in ("http", "https") else ""


def _type(request: HttpRequest, channel: Channel) -> HttpResponse:
    """`POST typing/`: the assistant waits a little longer for what the visitor is writing, at most the longest hold."""
    visitor = access.authenticate(request, channel)
    turn = row(
        """
        UPDATE conversations_turn t SET due_at = x.due_at
        FROM conversations_conversation c
        JOIN conversations_contactidentity i ON i.id = c.identity_id
        JOIN conversations_turn o ON o.conversation_id = c.id
        CROSS JOIN LATERAL (SELECT least(
            now() + make_interval(secs => %(hold)s), o.opened_at + make_interval(secs => %(max_hold)s)) AS due_at) x
        WHERE i.channel_id = %(channel)s AND i.source_index = %(index)s AND t.id = o.id
          AND t.stage IN ('transcribe', 'classify', 'answer') AND t.lease_token IS NULL
          AND x.due_at > t.due_at + interval '200 milliseconds'
        RETURNING t.id, t.stage, greatest(0, extract(epoch FROM t.due_at - now()))::float AS wait
        """,
        {
            "channel": channel.pk, "index": visitor.index, "hold": channel.hold + TYPING_SECONDS,
            "max_hold": channel.max_hold,
        },
    )  # fmt: skip
    if turn is not None:
        steps.start(turn.stage, turn.id, delay=turn.wait)
    return HttpResponse(status=204)


def _body(request: HttpRequest) -> dict[str, Any]:
    """The request's JSON object; an empty body is an empty one. Raises Refusal."""
    length = request.headers.get("Content-Length") or "0"
    if (length.isdigit() and int(length) > MAX_BODY) or len(request.body) > MAX_BODY:
        raise Refusal(413, _("The request is larger than %(kb)d KB.") % {"kb": MAX_BODY // 1024})
    if not request.body.strip():
        return {}
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise Refusal(400, _("The request is not a JSON object."))
    return body


session = door(POST=_open_session)
messages = door(GET=_read_messages, POST=_take_message)
typing = door(POST=_type)


# ── The script ───────────────────────────────────────────────────────────────────────────────────────────────────────


def script(request: HttpRequest) -> HttpResponse:
    """`GET /widget/widget.js`: what a site embeds. Its address never changes."""
    plain, packed, etag = _script() if not settings.DEBUG else _script.__wrapped__()
    headers = {
        "ETag": etag,
        "Cache-Control": f"public, max-age={0 if settings.DEBUG else SCRIPT_SECONDS}",
        "Vary": "Accept-Encoding",
        "Access-Control-Allow-Origin": "*",
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
    if etag in request.headers.get("If-None-Match", ""):
        return HttpResponse(status=304, headers=headers)
    packs = "gzip" in request.headers.get("Accept-Encoding", "")
    if packs:
        headers["Content-Encoding"] = "gzip"
    return HttpResponse(packed if packs else plain, content_type="text/javascript; charset=utf-8", headers=headers)


@cache
def _script() -> tuple[bytes, bytes, str]:
    plain = SCRIPT.read_bytes()
    return plain, gzip.compress(plain, mtime=0), f'W/"{hashlib.sha256(plain).hexdigest()[:20]}"'
