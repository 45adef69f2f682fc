"""Links that a provider sends: only those to itself are followed."""

from __future__ import annotations

import pytest

from channels.links import in_private_network, leads_to

BASE = "https://api.example.com"


@pytest.mark.parametrize(
    ("link", "base", "followed"),
    [
        ("https://api.example.com/files/1", BASE, True),
        ("https://cdn.example.org/1", BASE, True),
        ("https://a.cdn.example.org/1?x=@y", BASE, True),
        ("https://own.host:9000/1", BASE, True),
        ("https://own.host/1", BASE, False),
        ("https://evilcdn.example.org/1", BASE, False),
        ("https://cdn.example.org:8443/1", BASE, False),
        ("http://cdn.example.org/1", BASE, False),
        ("http://cdn.example.org/1", "http://127.0.0.1:9", False),
        ("http://127.0.0.1:9/1", "http://127.0.0.1:9", True),
        ("https://cdn.example.org@evil.example/1", BASE, False),
        ("https://cdn.example.org\\@evil.example/1", BASE, False),
        ("file:///etc/passwd", BASE, False),
        ("https://cdn.example.org:x/1", BASE, False),
        ("", BASE, False),
    ],
)
def test_links(link: str, base: str, followed: bool) -> None:
    assert leads_to(link, base, hosts={"own.host:9000"}, domains=("cdn.example.org",)) is followed


@pytest.mark.parametrize(("base", "private"), [("http://127.0.0.1:9", True), ("http://8.8.8.8", False), ("http://[", False)])
def test_private_networks(base: str, private: bool) -> None:
    assert in_private_network(base) is private
