"""Server-sent events of the website chat: at once, complete, and cheap however many pages are open."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from django.db import connection, connections, transaction
from django.http import StreamingHttpResponse
from django.test import AsyncRequestFactory
from django.utils import timezone

from channels import inbox
from channels.adapters.widget import raw_event
from channels.models import Channel, InboundEvent
from conversations import outbox, widget_access, widget_stream
from conversations import receive as receiving
from conversations.drafts import Draft
from conversations.models import Conversation
from foundation import live, live_stream
from tests.conversations.widget_server import Server, running

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def server(django_db_setup: None, django_db_blocker: Any) -> Iterator[Server]:
    with django_db_blocker.unblock(), running() as started:
        yield started


@pytest.fixture
def channel(transactional_db: None) -> Channel:
    """An identifier of its own: the server remembers channels for two seconds."""
    return Channel.objects.create(
        name="Site", slug=f"site-{uuid4().hex[:8]}", kind=Channel.Kind.WIDGET, company="Demo", hold=0, moderation=False
    )


# ── What happens meanwhile in the workers ────────────────────────────────────────────────────────────────────────────


def work() -> None:
    """Receive what was posted; nobody answers it."""
    for event in InboundEvent.objects.filter(state=InboundEvent.State.NEW):
        receiving.receive(event.pk)


def reply(text: str, channel: Channel) -> None:
    with transaction.atomic():
        conversation = Conversation.objects.select_for_update().get(channel=channel)
        outbox.queue(conversation, channel.pk, Draft(text), author="bot")
    outbox.deliver(conversation.pk)


class Refused(Exception):
    """The server did not open a stream."""


# ── A page ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Page:
    """Speaks HTTP/1.1 by hand, so that a stream is read byte by byte as it comes."""

    server: Server
    channel: Channel
    token: str
    address: str = field(default_factory=lambda: f"127.{random.randrange(1, 255)}.{random.randrange(256)}.1")
    """Its own, so that the limits of one test do not meet another's."""

    @classmethod
    def of(cls, server: Server, channel: Channel) -> Page:
        return cls(server, channel, widget_access.token_for(widget_access.new_visitor(channel)))

    async def connect(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[Any, Any]:
        address = urlsplit(self.server.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port, local_addr=(self.address, 0))
        given = {"Host": address.netloc, "Authorization": f"Bearer {self.token}", "Content-Length": str(len(body)), **headers}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items()), "", ""]
        writer.write("\r\n".join(lines).encode() + body)
        await writer.drain()
        return reader, writer

    async def say(self, text: str) -> None:
        body = json.dumps({"client_id": str(uuid4()), "text": text}).encode()
        reader, writer = await self.connect("POST", f"/widget/{self.channel.slug}/messages/", body)
        status = await reader.readline()
        writer.close()
        assert b" 202 " in status, status

    @contextlib.asynccontextmanager
    async def events(self, after: int = 0, **headers: str) -> AsyncIterator[Callable[[], Awaitable[dict[str, Any]]]]:
        reader, writer = await self.connect("GET", f"/widget/{self.channel.slug}/events/?after={after}", **headers)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            writer.close()
            raise Refused(head)
        rest = b""

        async def following() -> dict[str, Any]:
            nonlocal rest
            while b"\n\n" not in rest:
                size = int(await reader.readline(), 16)
                if not size:
                    raise EOFError
                rest += (await reader.readexactly(size + 2))[:-2]
            event, rest = rest.split(b"\n\n", 1)
            fields = dict(line.split(": ", 1) for line in event.decode().split("\n"))
            if "event" not in fields:
                return await following()
            return {"event": fields["event"], "id": fields.get("id"), **json.loads(fields["data"])}

        try:
            assert (await following())["event"] == "ready"
            yield lambda: asyncio.wait_for(following(), 5)
        finally:
            writer.close()


async def in_worker(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run what uses the database in a thread, which keeps no connection."""

    def run() -> Any:
        try:
            return function(*args, **kwargs)
        finally:
            connections.close_all()

    return await asyncio.to_thread(run)


async def first_message(page: Page) -> None:
    await page.say("Здравствуйте!")
    await in_worker(work)


# ── The tests ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.stack
def test_a_reply_is_there_within_a_second(server: Server, channel: Channel) -> None:
    async def run() -> None:
        page = Page.of(server, channel)
        async with page.events() as following:
            await first_message(page)
            own = await following()
            assert (own["event"], own["id"], own["author"], own["state"]) == ("message", "1", "customer", "received")
            [conversation] = await in_worker(_conversations, channel)
            live.ring(f"conversation:{conversation}", what="typing")
            assert (await following())["event"] == "typing"
            started = time.monotonic()
            await in_worker(reply, "Добрый день!\n\nЧем помочь?", channel)
            answer = await following()
            assert (answer["id"], answer["author"], answer["text"]) == ("2", "bot", "Добрый день!\n\nЧем помочь?")
            assert time.monotonic() - started < 1

    asyncio.run(run())


@pytest.mark.stack
@pytest.mark.parametrize("resume", [{"after": 1}, {"Last-Event-ID": "1"}])
def test_a_page_that_comes_back_gets_what_it_missed(server: Server, channel: Channel, resume: dict[str, Any]) -> None:
    async def run() -> None:
        page = Page.of(server, channel)
        await first_message(page)
        await in_worker(reply, "One", channel)
        await in_worker(reply, "Two", channel)
        async with page.events(**resume) as following:
            assert [(await following())["text"] for _ in range(2)] == ["One", "Two"]
            await in_worker(reply, "Three", channel)
            assert (await following())["text"] == "Three"

    asyncio.run(run())


@pytest.mark.stack
def test_a_page_hears_only_its_own_conversation(server: Server, channel: Channel) -> None:
    async def run() -> None:
        one, other = Page.of(server, channel), Page.of(server, channel)
        async with one.events() as following, other.events() as others:
            await first_message(one)
            assert (await following())["author"] == "customer"
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(others(), 0.5)

    asyncio.run(run())


@pytest.mark.stack
def test_a_stream_is_refused_like_any_request(server: Server, channel: Channel) -> None:
    async def status(page: Page, **headers: str) -> bytes:
        reader, writer = await page.connect("GET", f"/widget/{page.channel.slug}/events/", **headers)
        line: bytes = await reader.readline()
        writer.close()
        return line.split()[1]

    async def run() -> None:
        page = Page.of(server, channel)
        assert await status(page, Authorization="Bearer x") == b"401"
        assert await status(page, Origin="https://evil.example") == b"403"
        assert await status(page, Origin=server.url) == b"200"
        assert await status(Page(server, Channel(slug="none"), page.token)) == b"404"
        async with contextlib.AsyncExitStack() as open_pages:
            for _ in range(widget_stream.VISITOR_STREAMS):
                await open_pages.enter_async_context(page.events())
            assert await status(page) == b"503"

    asyncio.run(run())


@pytest.mark.stack
def test_without_redis_a_stream_looks_by_itself(channel: Channel) -> None:
    # A server that finds no Redis at all; the reply is delivered past it, without a ring.
    with running(REDIS_URL="redis://127.0.0.1:9/0", BROKER_URL=os.environ.get("REDIS_URL", "")) as deaf:

        async def run() -> None:
            page = Page.of(deaf, channel)
            async with page.events() as following:
                await first_message(page)
                assert (await following())["author"] == "customer"
                started = time.monotonic()
                await in_worker(reply, "Hello", channel)
                assert (await following())["text"] == "Hello"
                assert time.monotonic() - started < widget_stream.FALLBACK_SECONDS + 1

        asyncio.run(run())


@pytest.mark.stack
def test_a_broken_database_connection_is_replaced(server: Server, channel: Channel) -> None:
    async def run() -> None:
        page = Page.of(server, channel)
        await first_message(page)
        async with page.events(after=1) as following:
            await in_worker(_end_server_connections)
            await in_worker(reply, "Hello", channel)
            assert (await following())["text"] == "Hello"

    asyncio.run(run())


def _end_server_connections() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'web process'"
        )


@pytest.mark.stack
def test_300_open_pages_do_not_delay_a_message(server: Server, channel: Channel) -> None:
    """No thread and no database connection is held by an open stream, and a POST stays quick beside 300 of them."""

    async def run() -> None:
        # Some have a conversation, and are rung while the messages are posted.
        visitors = [Page.of(server, channel) for _ in range(300)]
        await asyncio.gather(*(page.say("Hello") for page in visitors[:50]))
        await in_worker(work)
        before = server.threads()
        async with contextlib.AsyncExitStack() as open_pages:
            for start in range(0, 300, 25):
                streams = (open_pages.enter_async_context(page.events(after=1)) for page in visitors[start : start + 25])
                await asyncio.gather(*streams)
            assert server.threads() <= before + 8
            assert await in_worker(_server_connections) <= 12
            conversations = await in_worker(_conversations, channel)
            writer = Page.of(server, channel)
            times = []
            for number in range(60):
                live.ring(f"conversation:{conversations[number % len(conversations)]}", what="message")
                if number % 19 == 0:
                    writer = Page.of(server, channel)
                started = time.perf_counter()
                await writer.say(f"number {number}")
                times.append(time.perf_counter() - started)
        p95 = statistics.quantiles(times, n=20)[-1]
        assert p95 < 0.2, f"p95 {p95 * 1000:.0f} ms"

    asyncio.run(run())


def _conversations(channel: Channel) -> list[int]:
    return list(Conversation.objects.filter(channel=channel).values_list("pk", flat=True))


def _server_connections() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'web process'"
        )
        return int(cursor.fetchone()[0])


# ── Within this process ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(autouse=True)
def _reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A reading thread of its own for each test, which leaves no connection behind."""
    with ThreadPoolExecutor(1) as reader:
        monkeypatch.setattr(widget_stream, "_readers", reader)
        yield
        reader.submit(connections.close_all).result()


def test_a_silent_stream_beats_and_ends(channel: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(widget_stream, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(widget_stream, "FALLBACK_SECONDS", 0.05)
    monkeypatch.setattr(widget_stream, "LIFETIME_SECONDS", 0.5)

    async def run() -> str:
        token = widget_access.token_for(widget_access.new_visitor(channel))
        request = AsyncRequestFactory().get("/", headers={"Authorization": f"Bearer {token}"})
        response = await widget_stream.events(request, channel.slug)
        assert isinstance(response, StreamingHttpResponse)
        assert response["Cache-Control"] == "no-store, no-transform"
        body = "".join([part.decode() async for part in response])
        assert live_stream.listener().open == 0
        return body

    body = asyncio.run(run())
    assert body.startswith("retry: 2000\n\nevent: ready\ndata: {}\n\n")
    assert 2 <= body.count(": still here\n\n") <= 12


def test_one_redis_connection_serves_every_bell() -> None:
    async def run() -> None:
        ear = live_stream.listener()
        with ear.listen("one", "both") as one, ear.listen("two", "both") as two:
            assert await one.wait(5) == {live_stream.LOOK}
            assert await two.wait(5) == {live_stream.LOOK}
            await in_worker(live.ring, "one", what="message")
            assert await one.wait(5) == {"message"}
            assert await two.wait(0.05) == set()
            await in_worker(live.ring, "both", what="typing")
            assert await one.wait(5) == {"typing"}
            assert await two.wait(5) == {"typing"}
            assert ear.connected
        assert (ear.open, ear.listening("both")) == (0, 0)

    asyncio.run(run())


def test_a_lost_redis_is_found_again(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_stream, "SLOWEST_RECONNECT_SECONDS", 0.1)
    real, settings.REDIS_URL = settings.REDIS_URL, "redis://127.0.0.1:9/0"

    async def run() -> None:
        ear = live_stream.listener()
        with ear.listen("one") as bell:
            assert await bell.wait(5) == {live_stream.LOOK}
            assert not ear.connected
            settings.REDIS_URL = real
            while not ear.connected:
                await bell.wait(5)

    asyncio.run(run())


def test_the_stream_waits_for_a_queued_reply(channel: Channel) -> None:
    visitor = widget_access.new_visitor(channel)
    _store(visitor, "Hello")
    with transaction.atomic():
        conversation = Conversation.objects.select_for_update().get()
        outbox.queue(conversation, channel.pk, Draft("Reply"), author="bot")
    _store(visitor, "And more")

    async def run() -> None:
        ear = live_stream.listener()
        with ear.listen() as bell:
            stream = widget_stream.Stream(visitor, 1, ear)
            assert await _seqs(stream, bell) == [(3, "id: 1")]
            assert await _seqs(stream, bell) == []
            await in_worker(outbox.deliver, conversation.pk)
            assert await _seqs(stream, bell) == [(2, "id: 2")]
            assert stream.cursor == 3

    asyncio.run(run())


def _store(visitor: widget_access.Visitor, text: str) -> None:
    event = raw_event(visitor=visitor.id, client_id=str(uuid4()), text=text, at=timezone.now())
    [event_id] = inbox.store(visitor.channel.pk, [event], "webhook")
    receiving.receive(event_id)


async def _seqs(stream: widget_stream.Stream, bell: live_stream.Bell) -> list[tuple[int, str]]:
    found = await stream._look(bell)
    return [(json.loads(event.split("data: ")[1])["seq"], event.split("\n")[0]) for event in found]
