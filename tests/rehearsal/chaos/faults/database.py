"""PostgreSQL is away, cuts its sessions, stands still."""

from __future__ import annotations

import contextlib
import signal
import time

import psutil

from .table import Scene, fault


@fault("pg-restart", "database", "PostgreSQL stops at once, without its clients, and recovers")
def pg_restart(scene: Scene) -> None:
    server = scene.stack.postgres
    assert server.process is not None
    server.process.send_signal(signal.SIGQUIT)
    server.process.wait(30)
    time.sleep(1)
    server.start()


@fault("pg-terminate", "database", "every session of the database is ended, three times")
def pg_terminate(scene: Scene) -> None:
    for _ in range(3):
        with scene.stack.admin() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend'"
                " AND pid <> pg_backend_pid()"
            )
        time.sleep(0.7)


@fault("pg-stall", "database", "every session of the database stands still for five seconds", lasts=(7, 9))
def pg_stall(scene: Scene) -> None:
    server = scene.stack.postgres
    assert server.process is not None
    children = psutil.Process(server.process.pid).children()
    for child in children:
        with contextlib.suppress(psutil.Error):
            child.suspend()
    time.sleep(5)
    for child in children:
        with contextlib.suppress(psutil.Error):
            child.resume()
