"""Where providers post: verify, store, enqueue, answer. Nothing else happens in the request.

Requests that come while others are being stored are stored together after them: one statement and one commit for all, and
each is answered when its own events are durable. A burst thus costs little more than a single request.

Answers: 200 stored (or seen before), 403 not from the provider, 404 no such channel, 413 too large, 400 nothing to
store, 503 not stored because the database is away. A body that we cannot understand is stored where a manager sees it,
and answered 200: sending it again would not make it clearer. A provider that asks by GET whether the address is ours
is answered by its adapter.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from django.conf import settings
from django.db import Error, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from foundation.errors import Forged, Unreadable
from foundation.threads import in_thread

from . import directory, inbox
from .base import RawEvent, Webhook
from .models import InboundEvent

logger = logging.getLogger(__name__)

#: Requests that are stored together at most.
TOGETHER = 100


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request, and where its answer is waited for."""

    kind: str
    slug: str
    received: Webhook
    answer: asyncio.Future[HttpResponse]


@dataclass
class _Desk:
    """What has arrived in one event loop and is not stored yet. Only that loop touches it, so it needs no lock."""

    waiting: list[Arrival] = field(default_factory=list)
    clerk: asyncio.Task[None] | None = None


_desks: WeakKeyDictionary[asyncio.AbstractEventLoop, _Desk] = WeakKeyDictionary()


@csrf_exempt
async def webhook(request: HttpRequest, kind: str, slug: str, secret: str) -> HttpResponse:
    """`POST /webhooks/<kind>/<slug>/<secret>/`"""
    if request.method == "GET":
        return await in_thread(None, challenge, kind, slug, request.GET.dict())
    if request.method != "POST":
        return _refuse(405, _("Send a POST request."))
    body = request.read(settings.MAX_WEBHOOK_BYTES + 1)
    if len(body) > settings.MAX_WEBHOOK_BYTES:
        return _refuse(413, _("The body is larger than %(mb)d MB.") % {"mb": settings.MAX_WEBHOOK_BYTES // 2**20})
    headers = {name.lower(): value for name, value in request.headers.items()}
    received = Webhook(secret=secret, headers=headers, body=body)
    try:
        return await _hand_in(kind, slug, received)
    except (OperationalError, InterfaceError) as error:
        # Nothing was stored, so nothing is acknowledged: the provider posts it again.
        logger.warning("webhook without database", extra={"kind": kind, "error": type(error).__name__})
        response = _refuse(503, _("Temporarily not available."))
        response.headers["Retry-After"] = "5"
        return response


def challenge(kind: str, slug: str, query: dict[str, str]) -> HttpResponse:
    """Answer a provider that asks whether this address is ours."""
    found = directory.by_slug(slug)
    if found is None or found.channel.kind != kind or not found.channel.enabled:
        return _refuse(404, _("No such channel."))
    answer = found.adapter.challenge(query) if query else None
    if answer is None:
        return _refuse(403, _("The signature or secret is wrong.")) if query else _refuse(405, _("Send a POST request."))
    return HttpResponse(answer, content_type="text/plain")


async def _hand_in(kind: str, slug: str, received: Webhook) -> HttpResponse:
    """Wait until the request is stored, together with those that came meanwhile, and return its answer."""
    loop = asyncio.get_running_loop()
    desk = _desks.setdefault(loop, _Desk())
    arrival = Arrival(kind, slug, received, loop.create_future())
    desk.waiting.append(arrival)
    if desk.clerk is None or desk.clerk.done():
        desk.clerk = loop.create_task(_serve(desk))
    return await arrival.answer


async def _serve(desk: _Desk) -> None:
    """Store what waits, in batches, until nothing waits any more."""
    while desk.waiting:
        batch, desk.waiting = desk.waiting[:TOGETHER], desk.waiting[TOGETHER:]
        outcomes: Sequence[HttpResponse | Exception]
        try:
            outcomes = await in_thread(None, accept_all, batch)
        except Exception as error:  # noqa: BLE001  whatever it was, each of the requests reports it
            outcomes = [error] * len(batch)
        for arrival, outcome in zip(batch, outcomes, strict=True):
            if arrival.answer.done():  # the client has gone
                continue
            if isinstance(outcome, Exception):
                arrival.answer.set_exception(outcome)
            else:
                arrival.answer.set_result(outcome)


def accept_all(batch: Sequence[Arrival]) -> Sequence[HttpResponse | Exception]:
    """Store what the requests brought, in one commit where that can be; answers or errors in their order."""
    examined = [_guarded(arrival) for arrival in batch]
    genuine = [found for found in examined if isinstance(found, _Genuine)]
    try:
        new = iter(inbox.store_all([(found.channel_id, found.events) for found in genuine], InboundEvent.Source.WEBHOOK))
    except Error as error:
        return [error] if len(batch) == 1 else _one_by_one(batch)
    return [_stored(len(next(new))) if isinstance(found, _Genuine) else found for found in examined]


def _one_by_one(batch: Sequence[Arrival]) -> Sequence[HttpResponse | Exception]:
    """One of them may be at fault, and none may suffer for another. Where the database is away, no more are tried."""
    outcomes: list[HttpResponse | Exception] = []
    for arrival in batch:
        away = outcomes and isinstance(outcomes[-1], (OperationalError, InterfaceError))
        outcomes.append(outcomes[-1] if away else accept_all([arrival])[0])
    return outcomes


@dataclass(frozen=True, slots=True)
class _Genuine:
    """A request that its provider vouches for, cut into events."""

    channel_id: int
    events: Sequence[RawEvent]


def _guarded(arrival: Arrival) -> _Genuine | HttpResponse | Exception:
    try:
        return _examine(arrival.kind, arrival.slug, arrival.received)
    except Exception as error:  # noqa: BLE001  it is raised where this request is answered; the others go on
        return error


def _examine(kind: str, slug: str, received: Webhook) -> _Genuine | HttpResponse:
    """Whose a request is and what it brings, or the answer that refuses it."""
    found = directory.by_slug(slug)
    if found is None or found.channel.kind != kind or not found.channel.enabled:
        return _refuse(404, _("No such channel."))
    if not received.body.strip():
        return _refuse(400, _("The body is empty."))
    channel = found.channel
    try:
        found.adapter.verify(received)
        return _Genuine(channel.pk, found.adapter.split(received.body))
    except Forged:
        logger.warning("webhook refused", extra={"channel": channel.slug, "kind": kind})
        return _refuse(403, _("The signature or secret is wrong."))
    except Unreadable as error:
        inbox.store_unreadable(channel.pk, received.body, str(error))
        logger.warning("webhook unreadable", extra={"channel": channel.slug, "kind": kind})
        return _stored(0)


def _stored(events: int) -> HttpResponse:
    return JsonResponse({"status": "stored", "events": events})


def _refuse(status: int, message: str) -> HttpResponse:
    return JsonResponse({"error": message}, status=status)
