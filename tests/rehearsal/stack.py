"""Starts Saudager's own processes beside the fake providers, and ends them all.

    with Stack(folder, company=Path("company.yaml"), hold=0) as stack:
        stack.gateway_url, stack.llm_url, stack.env …
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from honcho.environ import parse_procfile

from config import stack as product
from config import starter
from tests.sandbox.wappi_rows import TOKEN

from .kinds import WAPPI, Kind

ROOT = Path(__file__).resolve().parent.parent.parent
START_SECONDS = 60.0
STOP_SECONDS = 25.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def call(method: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None, timeout: float = 15.0) -> Any:
    """One small JSON request. Raises RuntimeError for any status but 2xx."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=timeout)
    try:
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        payload = None if body is None else json.dumps(body)
        connection.request(method, path, payload, {"Content-Type": "application/json", **(headers or {})})
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    if answer.status >= 300:
        raise RuntimeError(f"{method} {parts.path}: HTTP {answer.status} {text[:300]!r}")
    return json.loads(text) if text else None


def wait_for(what: str, condition: Callable[[], Any], seconds: float, step: float = 0.05) -> Any:
    """Ask until the condition gives something true. Raises TimeoutError."""
    until = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError, RuntimeError, http.client.HTTPException):
            value = condition()
            if value:
                return value
        if time.monotonic() > until:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(step)


@dataclass
class Process:
    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    def says(self, text: str) -> bool:
        return text in self.log.read_text(errors="replace")


@dataclass
class Stack:
    """`processes` are names of Procfile lines; `environment` is added to theirs."""

    folder: Path
    company: Path
    processes: Sequence[str] = ("web", "messages", "answers", "files", "beat")
    environment: Mapping[str, str] = field(default_factory=dict)
    latency_ms: int = 0
    kind: Kind = WAPPI
    """Of the one channel, for whose provider a fake one runs."""
    more_fakes: Sequence[str] = ()
    """Modules under `tests.sandbox` of further fake providers. The processes find each in `FAKE_<NAME>_URL`."""
    prepared: Callable[[Mapping[str, str]], object] | None = None
    """Called with the processes' environment when the database is ready, before any process of the product runs."""
    together: bool = False
    """One supervisor runs the processes, as `script/server` does; else each is a command of its own and can be replaced."""
    running: list[Process] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> Stack:
        self._exit = contextlib.ExitStack()
        try:
            self._start()
        except BaseException:
            self._exit.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def _start(self) -> None:
        self.logs = self.folder / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        given = {k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "BROKER_URL", "REDIS_URL", "RABBITMQ_URL")}
        given |= self.environment
        self.env = self._services(given)
        self.gateway_url, self.llm_url = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        self.env |= {
            "PORT": str(free_port()),
            "FAKE_GATEWAY_URL": self.gateway_url,
            "FAKE_LLM_URL": self.llm_url,
            **{f"FAKE_{name.upper()}_URL": f"http://127.0.0.1:{free_port()}" for name in self.more_fakes},
            "FAKE_WAPPI_TOKEN": TOKEN,
            "LOG_LEVEL": self.environment.get("LOG_LEVEL", "INFO"),
        }
        self.url = f"http://127.0.0.1:{self.env['PORT']}"
        self.env |= {"PUBLIC_URL": self.url} | self.environment
        self._exit.callback(self.stop)
        self._fake(self.kind.name, self.gateway_url)
        self._fake("llm", self.llm_url, "--latency-ms", str(self.latency_ms))
        for name in self.more_fakes:
            self._fake(name, self.env[f"FAKE_{name.upper()}_URL"])
        self.manage("migrate", "--verbosity=0")
        self.manage("collectstatic", "--noinput", "--verbosity=0")
        self.manage("provision", str(self.kind.company(self.company, self.folder)))
        if self.prepared is not None:
            self.prepared(self.env)
        self._procfile()

    def _services(self, given: Mapping[str, str]) -> dict[str, str]:
        return self._exit.enter_context(product.services(self.folder / "var", given))

    def _fake(self, name: str, url: str, *more: str) -> None:
        port = str(urlsplit(url).port)
        self.start(f"fake-{name}", [sys.executable, "-m", f"tests.sandbox.{name}", "--port", port, *more])
        wait_for(f"fake {name}", lambda: _listens(int(port)), START_SECONDS)

    def _procfile(self) -> None:
        if self.together:
            self._supervised()
        lines = parse_procfile((ROOT / "Procfile").read_text()).processes
        for name in () if self.together else self.processes:
            self.start(name, ["/bin/sh", "-c", lines[name]])
        wait_for("web", lambda: call("GET", f"{self.url}/health"), START_SECONDS)
        for process in self.running:
            if process.name in ("messages", "answers", "files"):
                wait_for(process.name, lambda p=process: p.says("ready."), START_SECONDS)  # type: ignore[misc]

    def _supervised(self) -> None:
        log, nobody = self.logs / "product.log", os.open(os.devnull, os.O_WRONLY)
        with log.open("wb") as output:
            plan = starter.Plan(str(ROOT / "Procfile"), f"{self.url}/health", {}, list(self.processes), nobody)
            product_process = starter.start(plan, self.env, stdout=output, stderr=output)
        os.close(nobody)
        self.running.append(Process("product", product_process, log))
        workers = sum(name in ("messages", "answers", "files") for name in self.processes)
        wait_for("workers", lambda: log.read_text(errors="replace").count(" ready.") == workers, START_SECONDS)

    def start(self, name: str, command: Sequence[str]) -> Process:
        """Start one more process of the stack, its output in `logs/<name>.log`."""
        log = self.logs / f"{name}.log"
        with log.open("ab") as output:
            popen = subprocess.Popen(
                command, cwd=ROOT, env=self.env, stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True
            )
        process = Process(name, popen, log)
        self.running.append(process)
        return process

    def manage(self, *arguments: str) -> str:
        """Run a management command. Raises RuntimeError with what it said."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments], cwd=ROOT, env=self.env, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"manage.py {arguments[0]} failed:\n{done.stdout[-1500:]}{done.stderr[-1500:]}")
        return done.stdout

    def stop(self) -> None:
        """End all processes: politely, then by force."""
        for process in self.running:
            _signal(process.popen, signal.SIGTERM)
        until = time.monotonic() + STOP_SECONDS
        for process in self.running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.popen.wait(max(0.1, until - time.monotonic()))
            _signal(process.popen, signal.SIGKILL)
            process.popen.wait()
        self.running.clear()

    def connect_django(self) -> None:
        """Let this very process read the stack's rows through Django, once."""
        os.environ.update({k: v for k, v in self.env.items() if k != "DATABASE_POOL"}, DJANGO_SETTINGS_MODULE="config.settings")
        os.environ["LOG_LEVEL"] = "ERROR"
        import django

        django.setup()

    def errors(self) -> list[str]:
        """What the product's processes logged as errors: `process: message`."""
        found = []
        for process in self.running:
            if not process.name.startswith("fake-"):
                text = process.log.read_text(errors="replace")
                found += [f"{process.name}: {m}" for m in re.findall(r'"level": "(?:ERROR|CRITICAL)".*?"message": "(.*?)"', text)]
        return found


def _listens(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), 0.5):
        return True


def _signal(popen: subprocess.Popen[bytes], number: int) -> None:
    if popen.poll() is None or number == signal.SIGKILL:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(popen.pid, number)


@contextlib.contextmanager
def scratch_folder(name: str) -> Iterator[Path]:
    """A folder under `var/` for one run, emptied before it and kept after a failure for a look at the logs."""
    import shutil

    folder = ROOT / "var" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
