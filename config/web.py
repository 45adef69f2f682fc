"""The web process: uvicorn on the socket that `foundation.keeper` holds, and an end that cuts nobody off."""

from __future__ import annotations

import asyncio
import os
import socket

import uvicorn

#: Seconds for which connections that are open already are still served, each answer closing its own.
DRAIN_SECONDS = 1.5
#: Seconds for which answers may still be under way after that; the chat's open streams are cut then, and come back.
GRACE_SECONDS = 5


class Server(uvicorn.Server):
    """Says when it serves. When it ends, it first stops to accept and lets clients close their connections themselves.

    uvicorn closes idle connections at once: a request that is on its way on one of them, or on a connection that was
    accepted a moment ago, would be lost.
    """

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        ready = os.environ.pop("READY_FD", "")
        if ready:
            os.write(int(ready), b"1")
            os.close(int(ready))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        closing = (b"connection", b"close")
        self.server_state.default_headers = [*self.server_state.default_headers, closing]
        loop = asyncio.get_running_loop()
        until = loop.time() + DRAIN_SECONDS
        while self.server_state.connections and loop.time() < until and not self.force_exit:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        await super().shutdown(sockets)


def main() -> None:
    """Serve on the inherited socket until SIGTERM."""
    listener = socket.socket(fileno=int(os.environ["LISTEN_FD"]))
    config = uvicorn.Config(
        "config.doors:application",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        lifespan="off",
        loop="uvloop",
        http="httptools",
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
