"""Links that others gave us lead to the internet and nowhere else, whatever a name resolves to."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from foundation import http
from foundation.addresses import is_public
from foundation.errors import Rejected, Retry
from tests.sandbox.server import Request, Response, Router, running


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("192.168.1.1", False),
        ("172.16.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::a00:1", False),
        ("2002:a00:1::", False),
        ("wappi.pro", False),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(address) is public


class _Files(Router):
    def __init__(self) -> None:
        super().__init__()
        self.hosts: list[str] = []
        self.route("GET", "/*")(self._get)

    async def _get(self, request: Request) -> Response:
        self.hosts.append(request.headers["host"])
        return Response(b"sound")


@pytest.fixture
def files() -> Iterator[_Files]:
    app = _Files()
    with running(app):
        yield app


def get(url: str) -> http.Answer:
    return http.call("GET", url, writes=False, label="test", public_only=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]"])
def test_no_spelling_of_this_machine_is_connected_to(files: _Files, host: str) -> None:
    port = files.base_url.rpartition(":")[2]
    with pytest.raises((Rejected, Retry)) as caught:
        get(f"http://{host}:{port}/a.ogg")
    assert caught.value.code in ("private_address", "connect")
    assert files.hosts == []


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Let names resolve to these addresses, one list at a time; returns the names asked for."""
    asked: list[str] = []
    original, left = socket.getaddrinfo, iter(answers)

    def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host.replace(".", "").isdigit():
            return original(host, port, *args, **kwargs)
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in next(left)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_one_private_address_among_public_ones_is_enough(files: _Files, monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, ["8.8.8.8", "127.0.0.1"])
    with pytest.raises(Rejected) as caught:
        get(f"http://files.example:{files.base_url.rpartition(':')[2]}/a.ogg")
    assert caught.value.code == "private_address"


def test_the_address_that_was_checked_is_the_one_connected_to(files: _Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is public when it is looked at and private a moment later gains nothing."""
    asked = resolving(monkeypatch, ["127.0.0.1"], ["10.0.0.1"])
    monkeypatch.setattr(http, "is_public", lambda address: True)
    port = files.base_url.rpartition(":")[2]
    assert get(f"http://files.example:{port}/a.ogg").body == b"sound"
    assert asked == ["files.example"]
    assert files.hosts == [f"files.example:{port}"]


def test_a_name_that_does_not_resolve_may_resolve_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*args: Any, **kwargs: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(Retry) as caught:
        get("https://files.example/a.ogg")
    assert caught.value.code == "connect"
