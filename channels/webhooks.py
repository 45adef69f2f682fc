"""Where providers post: verify, store, enqueue, answer. Nothing else happens in the request.

Answers: 200 stored (or seen before), 403 not from the provider, 404 no such channel, 413 too large, 400 nothing to
store, 503 not stored because the database is away. A body that we cannot understand is stored where a manager sees it,
and answered 200: sending it again would not make it clearer.
"""

from __future__ import annotations

import logging

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from foundation.errors import Forged, Unreadable
from foundation.threads import in_thread

from . import directory, inbox
from .base import Webhook
from .models import InboundEvent

logger = logging.getLogger(__name__)


@csrf_exempt
async def webhook(request: HttpRequest, kind: str, slug: str, secret: str) -> HttpResponse:
    """`POST /webhooks/<kind>/<slug>/<secret>/`"""
    if request.method != "POST":
        return _refuse(405, _("Send a POST request."))
    body = request.read(settings.MAX_WEBHOOK_BYTES + 1)
    if len(body) > settings.MAX_WEBHOOK_BYTES:
        return _refuse(413, _("The body is larger than %(mb)d MB.") % {"mb": settings.MAX_WEBHOOK_BYTES // 2**20})
    headers = {name.lower(): value for name, value in request.headers.items()}
    received = Webhook(secret=secret, headers=headers, body=body)
    try:
        return await in_thread(None, accept, kind, slug, received)
    except (OperationalError, InterfaceError) as error:
        # Nothing was stored, so nothing is acknowledged: the provider posts it again.
        logger.warning("webhook without database", extra={"kind": kind, "error": type(error).__name__})
        response = _refuse(503, _("Temporarily not available."))
        response.headers["Retry-After"] = "5"
        return response


def accept(kind: str, slug: str, received: Webhook) -> HttpResponse:
    """Store what a webhook brought and say so."""
    found = directory.by_slug(slug)
    if found is None or found.channel.kind != kind or not found.channel.enabled:
        return _refuse(404, _("No such channel."))
    if not received.body.strip():
        return _refuse(400, _("The body is empty."))
    channel = found.channel
    try:
        found.adapter.verify(received)
        events = found.adapter.split(received.body)
    except Forged:
        logger.warning("webhook refused", extra={"channel": channel.slug, "kind": kind})
        return _refuse(403, _("The signature or secret is wrong."))
    except Unreadable as error:
        inbox.store_unreadable(channel.pk, received.body, str(error))
        logger.warning("webhook unreadable", extra={"channel": channel.slug, "kind": kind})
        return JsonResponse({"status": "stored", "events": 0})
    new = inbox.store(channel.pk, events, InboundEvent.Source.WEBHOOK)
    return JsonResponse({"status": "stored", "events": len(new)})


def _refuse(status: int, message: str) -> HttpResponse:
    return JsonResponse({"error": message}, status=status)
