"""What every fake provider is made of: a small ASGI router with injectable faults, run in a thread or as a process."""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import uvicorn

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass(slots=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body) if self.body else None


@dataclass(slots=True)
class Response:
    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


def as_json(value: Any, status: int = 200) -> Response:
    return Response(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(), status)


@dataclass(slots=True)
class Fault:
    """What goes wrong with the next `count` requests whose path contains `path`.

    `delay` seconds pass first. With `status` or `body` the request is answered so and not carried out, unless `accept`
    is set. `drop` carries it out and cuts the connection without an answer; `drip` carries it out and sends the answer
    one byte every so many seconds.
    """

    path: str = ""
    count: int = 1
    delay: float = 0.0
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None
    accept: bool = False
    drop: bool = False
    drip: float = 0.0


Handler = Callable[[Request], Awaitable[Response]]


class Router:
    """An ASGI app: exact paths to async handlers, `prefix*` for the rest. Faults never touch `/_sandbox/`."""

    def __init__(self) -> None:
        self.base_url = ""
        self.loop: asyncio.AbstractEventLoop | None = None
        self.ready = threading.Event()
        self.faults: list[Fault] = []
        self._exact: dict[tuple[str, str], Handler] = {}
        self._prefixes: list[tuple[str, str, Handler]] = []
        self.route("POST", "/_sandbox/faults")(self._add_fault)
        self.route("DELETE", "/_sandbox/faults")(self._clear_faults)

    def route(self, methods: str, path: str) -> Callable[[Handler], Handler]:
        """Register a handler for `GET POST`-like methods."""

        def register(handler: Handler) -> Handler:
            for method in methods.split():
                if path.endswith("*"):
                    self._prefixes.append((method, path[:-1], handler))
                else:
                    self._exact[method, path] = handler
            return handler

        return register

    async def started(self) -> None:
        """Runs inside the server's loop before the first request."""

    async def stopping(self) -> None:
        """Runs inside the server's loop after the last request."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self.loop = asyncio.get_running_loop()
                await self.started()
                self.ready.set()
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.stopping()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = await _request(scope, receive)
        fault = self._next_fault(request)
        if fault is None:
            return await _answer(await self._handle(request), send)
        await asyncio.sleep(fault.delay)
        canned = fault.status or fault.body is not None
        response = await self._handle(request) if not canned or fault.accept else Response()
        if fault.drop:
            return await _cut(receive, send)
        if canned:
            body = response.body if fault.body is None else fault.body.encode()
            response = Response(body, fault.status or 200, fault.headers)
        return await _answer(response, send, fault.drip)

    async def _handle(self, request: Request) -> Response:
        handler = self._exact.get((request.method, request.path))
        if handler is None:
            for method, prefix, candidate in self._prefixes:
                if method == request.method and request.path.startswith(prefix):
                    handler = candidate
                    break
            else:
                return as_json({"detail": "no such path"}, 404)
        return await handler(request)

    def _next_fault(self, request: Request) -> Fault | None:
        if self.faults and not request.path.startswith("/_sandbox/"):
            for fault in self.faults:
                if fault.count > 0 and fault.path in request.path:
                    fault.count -= 1
                    return fault
        return None

    async def _add_fault(self, request: Request) -> Response:
        self.faults.append(Fault(**request.json()))
        return as_json([asdict(fault) for fault in self.faults if fault.count])

    async def _clear_faults(self, request: Request) -> Response:
        self.faults.clear()
        return as_json([])


async def _request(scope: Scope, receive: Receive) -> Request:
    chunks = []
    while True:
        message = await receive()
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    return Request(
        method=scope["method"],
        path=scope["path"],
        query=dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True)),
        headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
        body=b"".join(chunks),
    )


async def _answer(response: Response, send: Send, drip: float = 0.0) -> None:
    headers = {"content-type": response.content_type, "content-length": str(len(response.body)), **response.headers}
    pairs = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": pairs})
    if drip:
        for byte in response.body:
            await send({"type": "http.response.body", "body": bytes((byte,)), "more_body": True})
            await asyncio.sleep(drip)
        await send({"type": "http.response.body", "body": b""})
    else:
        await send({"type": "http.response.body", "body": response.body})


async def _cut(receive: Receive, send: Send) -> None:
    """Reset the connection. ASGI has no word for that, so uvicorn's own transport is used."""
    send.__self__.transport.abort()  # type: ignore[attr-defined]
    while (await receive())["type"] != "http.disconnect":
        pass


def _config(app: Router, **options: Any) -> uvicorn.Config:
    return uvicorn.Config(app, log_level="warning", access_log=False, lifespan="on", timeout_graceful_shutdown=1, **options)


def run_in_thread(app: Router) -> tuple[str, Callable[[], None]]:
    """Serve the app on a free port of 127.0.0.1; returns its base URL and what stops it."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    server = uvicorn.Server(_config(app))
    app.base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    app.ready.clear()
    thread = threading.Thread(target=server.run, args=([listener],), name="sandbox", daemon=True)
    thread.start()
    if not app.ready.wait(10):
        raise RuntimeError("the fake provider did not start")

    def stop() -> None:
        server.should_exit = True
        thread.join(10)
        listener.close()

    return app.base_url, stop


@contextmanager
def running(app: Router) -> Iterator[str]:
    """`with running(app) as base_url:`"""
    base_url, stop = run_in_thread(app)
    try:
        yield base_url
    finally:
        stop()


def run_as_process(app: Router) -> None:
    """Serve the app until SIGTERM: `python -m tests.sandbox.<provider> --port N`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    arguments = parser.parse_args()
    app.base_url = f"http://{arguments.host}:{arguments.port}"
    uvicorn.Server(_config(app, host=arguments.host, port=arguments.port)).run()
