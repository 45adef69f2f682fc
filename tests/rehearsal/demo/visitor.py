"""A visitor of a site with the chat on it: the widget's own HTTP addresses, and its stream of events as a page reads it."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from ..stack import call, wait_for
from .sides import Arrived, Side

OURS = ("bot", "manager")


class VisitorSide(Side):
    """Opens the chat, keeps its stream open, and counts what the stream brings. To be closed."""

    voice = captions = False
    address = ""

    def __init__(self, url: str, slug: str) -> None:
        super().__init__(f"{url}/widget/{slug}")
        self.news: list[dict[str, Any]] = []
        self.failure = ""
        self._socket: Any = None

    def opens(self) -> dict[str, Any]:
        """Open the page: a token of one's own, and the stream. Returns what the chat says of itself."""
        found: dict[str, Any] = call("POST", f"{self.url}/session/", {})
        self.token = str(found["token"])
        self._connect()
        wait_for("the chat's stream", lambda: self._socket is not None or self.failure, 15)
        return found

    def writes(self, text: str) -> None:
        body = {"client_id": str(uuid.uuid4()), "text": text, "page": "https://shop.example/machines"}
        # A page repeats what it does not know to have arrived.
        for _again in range(2):
            call("POST", f"{self.url}/messages/", body, self._headers())

    def ledger(self) -> list[Arrived]:
        """Every reply that the stream brought, as often as it did."""
        return [Arrived(self.address, event["text"], str(event["seq"])) for event in list(self.news) if event["author"] in OURS]

    def reopened(self) -> list[dict[str, Any]]:
        """The history as a page of the same visitor sees it that is opened anew."""
        found: dict[str, Any] = call("POST", f"{self.url}/session/", {"token": self.token})
        return list(found["history"]) if found["resumed"] else []

    def webhooks(self) -> list[str]:
        return []

    def close(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._reader.join(5)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    # ── The stream ───────────────────────────────────────────────────────────────────────────────────────────────────
    def _connect(self) -> None:
        self._reader = threading.Thread(target=self._read, name="visitor", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.netloc, timeout=60)
        try:
            connection.request("GET", f"{parts.path}/events/", headers=self._headers())
            wire = connection.sock
            answer = connection.getresponse()
            if answer.status != 200:
                self.failure = f"the stream was refused: HTTP {answer.status}"
                return
            for name, data in _events(answer):
                if name == "ready":
                    self._socket = wire
                elif name == "message":
                    self.news.append(data)
        except (OSError, ValueError, http.client.HTTPException) as error:
            # `close` ends the reading in just this way.
            self.failure = f"the stream ended: {type(error).__name__}"
        finally:
            connection.close()


def _events(lines: Any) -> Iterator[tuple[str, Any]]:
    """Server-sent events as (name, data)."""
    name, data = "", ""
    for raw in lines:
        field, _colon, value = raw.decode().rstrip("\r\n").partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            data += value
        elif not field and data:
            yield name, json.loads(data)
            name, data = "", ""
