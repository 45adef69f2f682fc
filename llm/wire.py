"""The HTTP client under the SDKs: one pool a process, and a wall clock that even a dripping server cannot outlast.

The SDKs' own timeouts bound single reads only. Here every connect, read and write is given no more than what is left
until the deadline set by `within`, so a call ends in time whatever the server does. (Only the resolver of the operating
system, which knows no timeout, can add to it.) Import this module only where an SDK is used: it loads httpx2.
"""

from __future__ import annotations

import os
import ssl
import threading
import time
from collections.abc import AsyncIterable, Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Generic, TypeVar

import httpcore2
import httpx2

CONNECT_TIMEOUT = 4.0
CONNECTIONS = 128
IDLE_SECONDS = 60.0
MAX_BYTES = 8 * 1024 * 1024
MAX_CLIENTS = 64
#: httpx2 has classes of the same names, and the SDKs know only those.
FAILURES = (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.UnsupportedProtocol)

Client = TypeVar("Client")
_local = threading.local()


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Let whatever this thread does through `http_client` be over in so many seconds."""
    before = getattr(_local, "until", None)
    _local.until = time.monotonic() + seconds
    try:
        yield
    finally:
        _local.until = before


def _left(timeout: float | None, error: type[httpcore2.TimeoutException]) -> float | None:
    until = getattr(_local, "until", None)
    if until is None:
        return timeout
    left: float = until - time.monotonic()
    if left <= 0:
        raise error("the deadline has passed")
    return left if timeout is None else min(timeout, left)


class _Stream(httpcore2.NetworkStream):
    """A network stream whose every operation ends by the deadline."""

    def __init__(self, inner: httpcore2.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left(timeout, httpcore2.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _left(timeout, httpcore2.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, _left(timeout, httpcore2.ConnectTimeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Backend(httpcore2.SyncBackend):
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        timeout = CONNECT_TIMEOUT if timeout is None else min(timeout, CONNECT_TIMEOUT)
        timeout = _left(timeout, httpcore2.ConnectTimeout)
        return _Stream(super().connect_tcp(host, port, timeout, local_address, socket_options))


class _Transport(httpx2.BaseTransport):
    """Reads every answer to its end, so that nothing dangles when the deadline passes."""

    def __init__(self) -> None:
        self._pool = httpcore2.ConnectionPool(
            ssl_context=httpx2.create_ssl_context(trust_env=False),
            max_connections=CONNECTIONS,
            max_keepalive_connections=CONNECTIONS,
            keepalive_expiry=IDLE_SECONDS,
            network_backend=_Backend(),
        )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        url = httpcore2.URL(
            scheme=request.url.raw_scheme, host=request.url.raw_host, port=request.url.port, target=request.url.raw_path
        )
        asked = httpcore2.Request(
            request.method, url, headers=request.headers.raw, content=request.stream, extensions=request.extensions
        )
        try:
            answer = self._pool.handle_request(asked)
            try:
                body = _read(answer.stream)
            finally:
                answer.close()
        except FAILURES as error:
            raise getattr(httpx2, type(error).__name__)(str(error), request=request) from error
        return httpx2.Response(
            answer.status, headers=answer.headers, stream=httpx2.ByteStream(body), extensions=answer.extensions, request=request
        )

    def close(self) -> None:
        self._pool.close()


def _read(stream: Iterable[bytes] | AsyncIterable[bytes]) -> bytes:
    assert isinstance(stream, Iterable)
    chunks, size = [], 0
    for chunk in stream:
        size += len(chunk)
        if size > MAX_BYTES:
            raise httpcore2.RemoteProtocolError("the answer is too large")
        chunks.append(chunk)
    return b"".join(chunks)


@lru_cache(maxsize=1)
def http_client() -> httpx2.Client:
    """The process's one HTTP client. It follows no redirects and no proxy variables; a detour is a base URL."""
    return httpx2.Client(transport=_Transport(), trust_env=False, follow_redirects=False)


class Clients(Generic[Client]):
    """SDK clients by API key and base URL, made at first use, one each a process."""

    def __init__(self, make: Callable[[str, str], Client]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._held: dict[tuple[str, str], Client] = {}
        _every.append(self)

    def get(self, api_key: str, base_url: str) -> Client:
        key = (api_key, base_url)
        held = self._held.get(key)
        if held is None:
            with self._lock:
                if len(self._held) >= MAX_CLIENTS:
                    self._held.clear()
                held = self._held.setdefault(key, self._held.get(key) or self._make(api_key, base_url))
        return held

    def forget(self) -> None:
        self._lock = threading.Lock()
        self._held = {}


_every: list[Clients[Any]] = []


def _after_fork() -> None:
    """Connections made before a fork belong to the parent."""
    http_client.cache_clear()
    for clients in _every:
        clients.forget()


os.register_at_fork(after_in_child=_after_fork)
