"""What one copy of Saudager keeps under var/: its secrets, its servers' ports, and the lock that keeps a second copy out."""

from __future__ import annotations

import base64
import contextlib
import errno
import fcntl
import json
import os
import random
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

#: Below the range that the kernel hands to outgoing connections, so a remembered port is still free at the next start.
EMBEDDED_PORTS = range(20_000, 32_000)


class CannotStart(Exception):
    """Why nothing can be started, in one line that says what to do about it."""


class AlreadyRunning(CannotStart):
    """Another copy holds this folder."""


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


#: Variable → how its first value is made.
GENERATED: dict[str, Callable[[], str]] = {
    "SECRET_KEY": lambda: secrets.token_urlsafe(48),
    "JWT_SECRET_KEY": lambda: secrets.token_urlsafe(48),
    "ENCRYPTION_KEYS": lambda: f"k1:{_key()}",
    "INDEX_KEY": _key,
    "POSTGRES_PASSWORD": lambda: secrets.token_urlsafe(24),
    "POSTGRES_ADMIN_PASSWORD": lambda: secrets.token_urlsafe(24),
    "REDIS_PASSWORD": lambda: secrets.token_urlsafe(24),
    "FLOWER_USER": lambda: "flower",
    "FLOWER_PASSWORD": lambda: secrets.token_urlsafe(16),
}


def make_folder(path: Path) -> None:
    """Make a folder that can be written to. Raises CannotStart."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise CannotStart(
            f"cannot write to {path} ({error.strerror}). Give this user the right to, or name another folder with VAR_DIR."
        ) from error


def read_secrets(var: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The secrets: from the environment, else as generated at the first start and kept in var/secrets.env (mode 0600).

    Raises CannotStart when the file is gone but the data it opens is still there.
    """
    path = var / "secrets.env"
    kept = _read(path)
    given = {name: environ[name] for name in GENERATED if environ.get(name)}
    missing = [name for name in GENERATED if name not in kept and name not in given]
    if missing:
        if not kept and (var / "postgres").exists():
            raise CannotStart(
                f"{path} is missing, and without it the data in {var / 'postgres'} cannot be read. "
                "Put the file back from the backup (or move the folder away to begin anew)."
            )
        kept |= {name: GENERATED[name]() for name in missing}
        _write(path, kept)
    return kept | given


def _read(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise CannotStart(f"cannot read {path} ({error.strerror}): start as the user it belongs to.") from error
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs if value}


def _write(path: Path, values: Mapping[str, str]) -> None:
    """Replace the file in one step, so that a crash leaves the old secrets or the new ones."""
    text = "# Made at the first start. Keep it secret, and in every backup: without it the stored data cannot be read.\n"
    text += "".join(f"{name}={value}\n" for name, value in values.items())
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def embedded_port(var: Path, server: str, environ: Mapping[str, str]) -> int:
    """The port of an embedded server ("postgres", "redis"): as set in the environment, as last time, or a free one.

    Raises CannotStart when the one set is taken.
    """
    variable = f"{server.upper()}_PORT"
    if environ.get(variable):
        port = number(variable, environ[variable])
        check_port("127.0.0.1", port, variable)
        return port
    ports = read_ports(var)
    port = ports.get(server, 0)
    while not port or not _free("127.0.0.1", port):
        port = random.choice(EMBEDDED_PORTS)
    if ports.get(server) != port:
        _remember(var, ports | {server: port})
    return port


def read_ports(var: Path) -> dict[str, int]:
    """The remembered ports of the embedded servers."""
    try:
        ports: dict[str, int] = json.loads((var / "ports.json").read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return ports


def _remember(var: Path, ports: Mapping[str, int]) -> None:
    draft = var / "ports.new"
    draft.write_text(json.dumps(ports))
    draft.replace(var / "ports.json")


def number(variable: str, text: str) -> int:
    """A port number from the environment. Raises CannotStart."""
    if not text.isdecimal() or not 0 < int(text) < 65_536:
        raise CannotStart(f"{variable} must be a port number between 1 and 65535.")
    return int(text)


def check_port(host: str, port: int, variable: str) -> None:
    """Raises CannotStart, naming the variable, when a server cannot listen there."""
    try:
        _bind(host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CannotStart(
                f"port {port} is taken by another program: stop that one, or set {variable} to a free port."
            ) from error
        if error.errno == errno.EACCES:
            raise CannotStart(f"this user may not listen on port {port}: set {variable} to one above 1023.") from error
        raise CannotStart(f"cannot listen on {host}:{port} ({error.strerror}): check HOST and {variable}.") from error


def _free(host: str, port: int) -> bool:
    try:
        _bind(host, port)
    except OSError:
        return False
    return True


def _bind(host: str, port: int) -> None:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


@contextlib.contextmanager
def lock(var: Path) -> Iterator[None]:
    """Hold the folder for this process. Raises AlreadyRunning. The kernel lets go of it even after kill -9."""
    with (var / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise AlreadyRunning(
                f"already running from {var} (process {holder}): stop that one, or give this copy another folder with VAR_DIR."
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
