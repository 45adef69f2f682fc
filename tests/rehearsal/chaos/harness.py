"""The stack of a chaos run: processes that are killed and kept alive, servers that are restarted, and what was seen of it all."""

from __future__ import annotations

import contextlib
import http.client
import os
import secrets
import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg
from honcho.environ import parse_procfile

from config import embedded, state
from config import stack as product
from tests.rehearsal.bench import subscribe, webhook_address
from tests.rehearsal.kinds import TELEGRAM, WAPPI, Kind
from tests.rehearsal.rabbitmq import Server as RabbitMQ
from tests.rehearsal.stack import ROOT, START_SECONDS, Process, Stack, _listens, call, free_port, wait_for

COMPANY = Path(__file__).with_name("company.yaml")
WORKERS = ("messages", "answers", "files")
#: Where a process may be told to die.
POINTS = ("enqueue", "claimed", "sent", "recorded", "understand")
#: Seconds between the end of a process and its restart, as supervisors wait.
PAUSE = 1.0
WEBHOOK_TYPES = [
    "incoming_message", "outgoing_message_phone", "outgoing_message_api", "delivery_status", "authorization_status",
]  # fmt: skip
#: A process that starts imports the whole product: this long it may take on a machine that does much else.
READY_SECONDS = 60.0


@dataclass
class ChaosStack(Stack):
    """A stack whose processes come back when they die, and whose servers the faults can reach."""

    broker: str = "redis"
    control: dict[str, str] = field(default_factory=dict)
    """`gateway` and `llm`: where the control paths of each are, past its door."""
    commands: dict[str, str] = field(default_factory=dict)
    extra: dict[str, dict[str, str]] = field(default_factory=dict)
    """Process → what is added to its environment at its next start."""
    current: dict[str, Process] = field(default_factory=dict)
    restarts: int = 0

    def _services(self, given: Mapping[str, str]) -> dict[str, str]:
        var = (self.folder / "var").resolve()
        state.make_folder(var)
        self._exit.enter_context(state.lock(var))
        if self.broker == "rabbitmq":
            self.rabbitmq = RabbitMQ(self.folder / "rabbitmq")
            self._exit.callback(self.rabbitmq.stop)
            self.rabbitmq.start()
            given = {**given, "BROKER_URL": self.rabbitmq.url}
        env, servers = self._exit.enter_context(product._running(var, given))
        self.postgres = next(server for server in servers if isinstance(server, embedded.Postgres))
        self.redis = next(server for server in servers if isinstance(server, embedded.Redis))
        with self.admin() as connection:
            # The exact moment at which a takeover became visible.
            connection.execute("ALTER SYSTEM SET track_commit_timestamp = on")
        self.postgres.stop()
        self.postgres.start()
        self.faults_folder = self.folder / "faults"
        self.faults_folder.mkdir(exist_ok=True)
        return env | {
            "ENVIRONMENT": "rehearsal", "FAULT_POINT": ",".join(POINTS), "FAULT_FOLDER": str(self.faults_folder),
            "RATE_LIMIT_PER_MINUTE": "1000000", "ENABLE_FOLLOW_UPS": "false",
        }  # fmt: skip

    def _fake(self, name: str, url: str, *more: str) -> None:
        door, port = urlsplit(url).port, free_port()
        self.control["llm" if name == "llm" else "gateway"] = f"http://127.0.0.1:{port}"
        module = "tests.rehearsal.chaos.providers"
        self.start(f"fake-{name}", [sys.executable, "-m", module, name, "--port", str(port), "--door", str(door), *more])
        wait_for(f"fake {name}", lambda: _listens(port) and _listens(int(door or 0)), START_SECONDS)

    def _procfile(self) -> None:
        lines = parse_procfile((ROOT / "Procfile").read_text()).processes
        self.commands = {name: lines[name] for name in self.processes}
        # Somebody who goes on while the first of a kind is frozen.
        self.commands |= {f"{name}2": lines[name].replace(f"{name}@", f"{name}2@") for name in ("messages", "answers")}
        self.commands["beat2"] = lines["beat"]
        for name in self.processes:
            self.launch(name)
        wait_for("web", lambda: call("GET", f"{self.url}/health"), START_SECONDS)
        for name in WORKERS:
            self.wait_ready(name)
        self._keeper_stops = threading.Event()
        keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
        keeper.start()
        self._exit.callback(keeper.join)
        self._exit.callback(self._keeper_stops.set)

    # ── Processes ────────────────────────────────────────────────────────────────────────────────────────────────────
    def launch(self, name: str) -> Process:
        """Start a process of ours (again), with what `extra` holds for it."""
        settings = " ".join(f"{key}={shlex.quote(value)}" for key, value in self.extra.get(name, {}).items())
        process = self.start(name, ["/bin/sh", "-c", f"{settings} {self.commands[name]}".strip()])
        process.log_start = process.log.stat().st_size  # type: ignore[attr-defined]
        self.current[name] = process
        return process

    def wait_ready(self, name: str) -> None:
        """Until a worker takes tasks. Raises TimeoutError."""
        process = self.current[name]

        def ready() -> bool:
            with process.log.open("rb") as log:
                log.seek(process.log_start)  # type: ignore[attr-defined]
                return b"ready." in log.read()

        wait_for(name, ready, READY_SECONDS, step=0.1)

    def signal(self, name: str, number: int) -> None:
        """A signal to a process and its children."""
        os.killpg(self.current[name].popen.pid, number)

    def retire(self, *names: str) -> None:
        """End processes for good, politely."""
        for name in names:
            process = self.current.pop(name)
            process.popen.terminate()
            with contextlib.suppress(Exception):
                process.popen.wait(30)

    def _keep(self) -> None:
        """Start again what died, a second later, as a supervisor would."""
        while not self._keeper_stops.wait(0.1):
            for name, process in list(self.current.items()):
                if process.popen.poll() is not None and self.current.get(name) is process:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.popen.pid, signal.SIGKILL)
                    self.running.remove(process)
                    if self._keeper_stops.wait(PAUSE):
                        return
                    self.launch(name)
                    self.restarts += 1

    def lay_fault(self, point: str, name: str) -> list[Path]:
        """Let a process die when it next comes to a fault point; the file is gone once it has.

        The web process works in a child of the one that holds its port.
        """
        pids = sorted(self.servers()) if name == "web" else [self.current[name].popen.pid]
        paths = [self.faults_folder / f"{point}.{pid}" for pid in pids]
        for path in paths:
            path.touch()
        return paths

    def servers(self) -> set[int]:
        """The pids that accept from the port which the web's keeper holds."""
        return {child.pid for child in psutil.Process(self.current["web"].popen.pid).children(recursive=True)}

    def logged(self, name: str, text: str) -> int:
        """How often a process and its successors said this."""
        return self.current[name].log.read_text(errors="replace").count(text)

    def memory(self) -> dict[str, int]:
        """Process → what it and its children have resident, in MB."""
        found = {}
        for name, process in list(self.current.items()):
            with contextlib.suppress(psutil.Error):
                parent = psutil.Process(process.popen.pid)
                found[name] = sum(one.memory_info().rss for one in (parent, *parent.children(recursive=True))) // 2**20
        return found

    def doors(self) -> dict[str, tuple[str, Process]]:
        """Start doors before PostgreSQL and the broker: variable → its URL through the door, and the door."""
        broker = "BROKER_URL" if self.broker == "rabbitmq" else "REDIS_URL"
        found = {}
        for variable in ("DATABASE_URL", broker):
            to, port = urlsplit(self.env[variable]).port, free_port()
            command = [sys.executable, "-m", "tests.rehearsal.chaos.doors", "--port", str(port), "--to", str(to)]
            door = self.start(f"door-{variable}", command)
            wait_for(f"a door for {variable}", lambda port=port: _listens(port), START_SECONDS)  # type: ignore[misc]
            found[variable] = (self.env[variable].replace(f":{to}", f":{port}"), door)
        return found

    # ── Servers ──────────────────────────────────────────────────────────────────────────────────────────────────────
    @contextlib.contextmanager
    def admin(self) -> Iterator[psycopg.Connection[Any]]:
        """The superuser's connection to the product's database."""
        connection = self.postgres._connect(embedded.ADMIN, self.postgres.admin_password, embedded.DATABASE)
        with contextlib.closing(connection):
            yield connection

    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """What a query of the product's tables gives; retried while the database is away. Raises psycopg.Error."""
        for attempt in range(20):
            try:
                with psycopg.connect(self.env["DATABASE_URL"], autocommit=True, connect_timeout=5) as connection:
                    return connection.execute(sql, parameters).fetchall()  # type: ignore[call-overload,no-any-return]
            except psycopg.OperationalError:
                if attempt == 19:
                    raise
                time.sleep(0.5)
        raise AssertionError

    def signal_broker(self, number: int) -> None:
        """SIGSTOP: it keeps its connections and says nothing, as behind a half-open link."""
        if self.broker == "rabbitmq":
            self.rabbitmq.signal(number)
        else:
            assert self.redis.process is not None
            self.redis.process.send_signal(number)

    def redis_client(self) -> Any:
        import redis

        return redis.Redis.from_url(self.redis.url, socket_timeout=5)

    # ── Providers, people ────────────────────────────────────────────────────────────────────────────────────────────
    def gateway(self, what: str, **fields: Any) -> Any:
        """A control path of the fake messenger."""
        return call("POST", f"{self.control['gateway']}/_sandbox/{what}", fields, timeout=30)

    def llm(self, what: str, **fields: Any) -> Any:
        """A control path of the fake model."""
        return call("POST", f"{self.control['llm']}/_sandbox/{what}", fields, timeout=30)

    def record(self, since: int = 0) -> dict[str, Any]:
        """The fake messenger's record from send number `since` on."""
        return dict(call("GET", f"{self.control['gateway']}/_sandbox/record?since={since}", timeout=30))

    def connect(self) -> None:
        """As an operator does once: the webhook's address, and a manager who may log in."""
        if self.kind is WAPPI:
            self.gateway("profile", webhook_url=webhook_address(self), webhook_types=WEBHOOK_TYPES, auto_receipts=["delivered"])
        else:
            subscribe(self)
            # Some ids of the product's are keyed hashes.
            self.connect_django()
        self.password = secrets.token_urlsafe(16)
        self.manage(
            "shell", "--verbosity=0", "-c",
            "from django.contrib.auth import get_user_model as u; "
            f"u().objects.create_superuser('chaos-manager', password='{self.password}')",
        )  # fmt: skip
        self._bearer = ""

    def write_as_manager(self, phone: str, text: str) -> bool:
        """A manager's message through the API; False where it could not be handed in just now."""
        try:
            if not self._bearer:
                login = {"username": "chaos-manager", "password": self.password}
                self._bearer = call("POST", f"{self.url}/api/v1/token/", login)["access"]
            whom = self._addressee(phone)
            if whom is None:
                return False
            body = {"channel": self.kind.slug, **whom, "text": text}
            call("POST", f"{self.url}/api/v1/test/send-message/", body, {"Authorization": f"Bearer {self._bearer}"})
        except (OSError, RuntimeError, http.client.HTTPException):
            return False
        return True


    def _addressee(self, phone: str) -> dict[str, Any] | None:
        """How the API is told of a customer; None where the product does not know him yet."""
        if self.kind is not TELEGRAM:
            return {"phone": f"+{phone}"}
        found = self.rows(
            "SELECT c.contact_id FROM conversations_message m JOIN conversations_conversation c ON c.id = m.conversation_id"
            " WHERE m.external_id LIKE %s LIMIT 1", f"%:{phone}:%",
        )  # fmt: skip
        return {"contact": found[0][0]} if found else None


def start(
    folder: Path, broker: str, kind: Kind = WAPPI, processes: Sequence[str] = ("web", "messages", "answers", "files", "beat")
) -> ChaosStack:
    """A stack for a chaos run, not yet entered."""
    return ChaosStack(folder, COMPANY, processes=processes, latency_ms=250, kind=kind, broker=broker)
