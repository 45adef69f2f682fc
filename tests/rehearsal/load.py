"""A small HTTP load generator: keep-alive connections in one event loop, so that it costs the machine little."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit


class Poster:
    """Posts JSON bodies over a pool of keep-alive connections to one URL."""

    def __init__(self, url: str, connections: int, headers: Callable[[bytes], Mapping[str, str]] = lambda body: {}) -> None:
        """`headers` are those of a body, beside the usual ones."""
        parts = urlsplit(url)
        self.host, self.port = str(parts.hostname), int(parts.port or 80)
        self.head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
        self.headers = headers
        self.pool: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter] | None] = asyncio.Queue()
        for _ in range(connections):
            self.pool.put_nowait(None)

    async def post(self, body: bytes) -> tuple[int, float]:
        """Status, and the seconds from handing the request to a free connection until the whole answer was there.

        A connection that the server closed while it was idle is opened anew, once, as providers' clients do.
        """
        try:
            return await self._post(body)
        except ConnectionError:
            return await self._post(body, anew=True)

    async def _post(self, body: bytes, *, anew: bool = False) -> tuple[int, float]:
        more = "".join(f"{name}: {value}\r\n" for name, value in self.headers(body).items())
        pair = await self.pool.get()
        if anew and pair is not None:
            pair[1].close()
            pair = None
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            if pair is None:
                pair = await asyncio.open_connection(self.host, self.port)
            reader, writer = pair
            writer.write(f"{self.head}{more}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            first = await reader.readline()
            if not first:
                raise ConnectionResetError("the server closed an idle connection")
            status = int(first.split()[1])
            length = 0
            while (line := await reader.readline()) not in (b"\r\n", b""):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            await reader.readexactly(length)
        except BaseException:
            if pair is not None:
                pair[1].close()
            pair = None
            raise
        finally:
            self.pool.put_nowait(pair)
        return status, loop.time() - started

    async def close(self) -> None:
        while not self.pool.empty():
            pair = self.pool.get_nowait()
            if pair is not None:
                pair[1].close()


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p95 and maximum in milliseconds."""
    ordered = sorted(seconds)
    if not ordered:
        return {}
    return {
        "p50_ms": round(1000 * statistics.median(ordered), 1),
        "p95_ms": round(1000 * ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))], 1),
        "max_ms": round(1000 * ordered[-1], 1),
        "n": len(ordered),
    }
