"""A link to PostgreSQL on which packets vanish is given up in seconds, not in the two hours of the system's own patience."""

from __future__ import annotations

import os
import socket
import sys

import pytest
from django.db import connection


@pytest.mark.django_db
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the options have other names elsewhere")
def test_a_silent_link_is_given_up() -> None:
    connection.ensure_connection()
    assert connection.connection is not None
    with socket.socket(fileno=os.dup(connection.connection.pgconn.socket)) as link:
        if link.family == socket.AF_UNIX:
            pytest.skip("packets do not vanish within a machine")
        asked = [link.getsockopt(socket.IPPROTO_TCP, name) for name in (
            socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT,
        )]  # fmt: skip
    idle, interval, count, user_timeout = asked
    assert idle + interval * count <= 30
    assert 0 < user_timeout <= 30_000
