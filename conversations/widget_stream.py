"""`GET events/`: news of a visitor's conversation as server-sent events.

An open stream holds no thread and no database connection: it sleeps at a bell and looks into the database only when
that rings. Where Redis is away it looks every few seconds by itself. The events: `ready` (the stream works), `message`
(its id is the cursor, see `widget_news`) and `typing` (the assistant writes).
"""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from channels.models import Channel
from foundation.live_stream import LOOK, Bell, Listener, listener
from foundation.threads import in_thread, let_request_thread_go

from . import widget_access as access
from . import widget_news as news
from .widget import number_after
from .widget_access import Refusal, Visitor

logger = logging.getLogger(__name__)

#: A stream that has nothing to say says so this often, and looks by itself, since a ring may be lost.
HEARTBEAT_SECONDS = 15.0
#: How often a stream looks while no ring can arrive.
FALLBACK_SECONDS = 3.0
#: A stream ends by itself after about so long, so that one whose reader vanished silently does, too.
LIFETIME_SECONDS = 600.0
#: After a visitor's first message, how often and how long the stream looks whether it has become a conversation.
FIRST_LOOK_SECONDS = 0.4
FIRST_LOOKS = 75
#: Open streams of one visitor (tabs), and of one process.
VISITOR_STREAMS = 6
PROCESS_STREAMS = 2000

#: Streams read in threads of their own, so that many of them cannot keep a webhook waiting.
_readers = ThreadPoolExecutor(max_workers=2, thread_name_prefix="stream-reader")


@csrf_exempt
async def events(request: HttpRequest, slug: str) -> HttpResponse:
    """`GET events/?after=<number>`, or with a Last-Event-ID header."""
    ear = listener()

    def begin(request: HttpRequest, channel: Channel) -> HttpResponse:
        visitor = access.authenticate(request, channel)
        if ear.listening(visitor.topic) >= VISITOR_STREAMS or ear.open >= PROCESS_STREAMS:
            raise Refusal(503, _("Too many open pages."), {"Retry-After": "60"})
        response: Any = StreamingHttpResponse(
            Stream(visitor, number_after(request), ear).run(),
            content_type="text/event-stream; charset=utf-8",
            headers={"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"},
        )
        return cast(HttpResponse, response)

    return await in_thread(_readers, access.admit, request, slug, {"GET": begin})


class Stream:
    """One open page's view of its conversation, from message number `cursor` on."""

    def __init__(self, visitor: Visitor, cursor: int, ear: Listener) -> None:
        self.visitor, self.cursor, self.ear = visitor, cursor, ear
        self.conversation: int | None = None
        self.first_looks = 0
        self.wrote_at = time.monotonic()
        self.ahead: set[int] = set()
        """Numbers shown beyond the cursor, while a reply before them is still queued."""

    async def run(self) -> AsyncIterator[str]:
        """The body of the response."""
        await let_request_thread_go()
        ends = time.monotonic() + LIFETIME_SECONDS * random.uniform(0.9, 1.1)
        with self.ear.listen(self.visitor.topic) as bell:
            yield f"retry: 2000\n\n{_event('ready', {})}"
            what = {LOOK}
            while (now := time.monotonic()) < ends:
                try:
                    written = await self._tell(bell, what)
                except (OperationalError, InterfaceError) as error:
                    logger.warning("stream ended without database", extra={"error": type(error).__name__})
                    return
                if written or now - self.wrote_at >= HEARTBEAT_SECONDS:
                    self.wrote_at = now
                    yield written or ": still here\n\n"
                what = await bell.wait(self._patience())

    async def _tell(self, bell: Bell, what: set[str]) -> str:
        """The events for what was rung, and for what is found where nothing was."""
        if "written" in what and self.conversation is None:
            self.first_looks = FIRST_LOOKS
        events = [] if what == {"typing"} else await self._look(bell)
        if "typing" in what:
            events.append(_event("typing", {}))
        return "".join(events)

    def _patience(self) -> float:
        """Seconds to wait for a ring before looking by itself."""
        if self.conversation is None and self.first_looks:
            self.first_looks -= 1
            return FIRST_LOOK_SECONDS
        return HEARTBEAT_SECONDS if self.ear.connected else FALLBACK_SECONDS

    async def _look(self, bell: Bell) -> list[str]:
        """The events for what is new."""
        if self.conversation is None:
            self.conversation = await in_thread(_readers, news.conversation_of, self.visitor)
            if self.conversation is None:
                return []
            self.ear.add(bell, f"conversation:{self.conversation}")
        found = await in_thread(_readers, news.after, self.conversation, self.cursor)
        if found.cursor - self.cursor >= news.BATCH:
            bell.ring(LOOK)
        self.cursor = found.cursor
        fresh = [message for message in found.messages if message["seq"] not in self.ahead]
        self.ahead = {message["seq"] for message in found.messages if message["seq"] > self.cursor}
        return [_event("message", message, cursor=min(message["seq"], self.cursor)) for message in fresh]


def _event(name: str, data: dict[str, Any], *, cursor: int | None = None) -> str:
    """One server-sent event. JSON has no line breaks of its own, so a text cannot end it."""
    number = "" if cursor is None else f"id: {cursor}\n"
    return f"{number}event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
