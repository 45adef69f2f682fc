"""Doors before a server: while one is open it forwards; closed, it refuses; frozen, it takes what comes and says nothing.

    python -m tests.rehearsal.chaos.doors --port N --to N

SIGUSR1 freezes a door that is a process of its own, SIGUSR2 thaws it. What came meanwhile is then delivered late.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal


class Door:
    """Forwards TCP connections to a port of this machine while it is open."""

    def __init__(self, port: int, to: int) -> None:
        self.port, self.to = port, to
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._flows: asyncio.Event | None = None
        """Unset while frozen; None: never was."""

    async def open(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._through, "127.0.0.1", self.port, backlog=512)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()

    def cut(self) -> None:
        """Reset every connection."""
        for writer in list(self._writers):
            writer.transport.abort()

    def freeze(self) -> None:
        """Connections stay, and new ones are taken, but nothing passes: as where packets vanish on the way."""
        self._flows = asyncio.Event()

    def thaw(self, *, lost: bool = False) -> None:
        """Go on. With `lost`, what came meanwhile never arrives: its connections are cut."""
        if self._flows is not None:
            if lost:
                self.cut()
            self._flows.set()
            self._flows = None

    async def _through(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self.to)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, inner_writer}
        self._writers |= pair
        try:
            await asyncio.gather(self._pipe(reader, inner_writer), self._pipe(inner_reader, writer))
        finally:
            self._writers -= pair
            for one in pair:
                one.close()

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # uvloop says RuntimeError of a connection that was closed meanwhile.
        with contextlib.suppress(OSError, RuntimeError):
            while data := await reader.read(65536):
                if self._flows is not None:
                    await self._flows.wait()
                writer.write(data)
                await writer.drain()
        if self._flows is not None:
            await self._flows.wait()
        with contextlib.suppress(OSError, RuntimeError):
            writer.write_eof()


async def _serve(port: int, to: int) -> None:
    door = Door(port, to)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, door.freeze)
    loop.add_signal_handler(signal.SIGUSR2, door.thaw)
    await door.open()
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--to", type=int, required=True)
    given = parser.parse_args()
    asyncio.run(_serve(given.port, given.to))


if __name__ == "__main__":
    main()
