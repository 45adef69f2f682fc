"""Runs Saudager on one machine: embedded PostgreSQL and Redis, and every process of the Procfile.

`script/server`, `script/manage` and `script/test` end here; other scripts use `services()`. With DATABASE_URL,
REDIS_URL and BROKER_URL (or RABBITMQ_URL) set, those servers are used and none are started.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import environ

from foundation.processes import dies_with_parent

from . import state
from .embedded import Postgres, Redis, Server
from .starter import supervise
from .state import CannotStart

ROOT = Path(__file__).resolve().parent.parent
#: Where a given server is named; `services(own=True)` passes these over.
GIVEN = ("DATABASE_URL", "REDIS_URL", "BROKER_URL", "RABBITMQ_URL")
#: Known to the servers and the supervisor only.
PRIVATE = ("POSTGRES_ADMIN_PASSWORD", "POSTGRES_PASSWORD", "REDIS_PASSWORD", "FLOWER_USER", "FLOWER_PASSWORD")


def main(arguments: Sequence[str]) -> int:
    """Run a command (`server`, `manage …`, `test …`, `run …`) and return its exit status."""
    commands: dict[str, Callable[[Sequence[str]], int]] = {"server": server, "manage": manage, "test": test, "run": run}
    signal.signal(signal.SIGTERM, _interrupt)
    os.chdir(ROOT)
    try:
        return commands[arguments[0]](arguments[1:])
    except CannotStart as error:
        _complain(str(error))
        return 1
    except PermissionError as error:
        _complain(f"cannot use {error.filename}: it belongs to another user. Start as that user.")
        return 1
    except KeyboardInterrupt:
        return 130


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _complain(text: str) -> None:
    sys.stderr.write(f"saudager: {text}\n")
    sys.stderr.flush()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def server(_: Sequence[str]) -> int:
    """Prepare everything, run the Procfile, and leave nothing behind."""
    var = _var_folder()
    with state.lock(var), _running(var, os.environ, _check_public_ports) as (environment, servers):
        if os.geteuid() == 0:
            _say("Running as root: good enough for a look, but use an ordinary user for real work.")
        prepared = _prepare(environment)
        block = Welcome(environment, prepared.get("admin_password"))
        try:
            ended_by = supervise(
                ROOT / "Procfile",
                {name: value for name, value in environment.items() if name not in PRIVATE},
                {"flower": {"FLOWER_BASIC_AUTH": f"{environment['FLOWER_USER']}:{environment['FLOWER_PASSWORD']}"}},
                servers,
                f"http://{_reachable(environment['HOST'])}:{environment['PORT']}/health",
                block.show,
            )
        finally:
            block.show_password_at_least()
    if ended_by:
        _complain(f"{ended_by} ended, and with it everything else; the lines above say why.")
        return 1
    _say("Saudager has stopped.")
    return 0


def manage(arguments: Sequence[str]) -> int:
    """manage.py with the servers of this copy."""
    return run([sys.executable, str(ROOT / "manage.py"), *arguments])


def run(command: Sequence[str]) -> int:
    """Any command with the servers of this copy: the running ones, else started for the command."""
    var = _var_folder()
    try:
        with services(var) as environment:
            return _foreground(command, environment)
    except state.AlreadyRunning:
        return _foreground(command, _environment(var, os.environ, state.read_ports(var)))


def test(arguments: Sequence[str]) -> int:
    """pytest on servers of its own under var/test.

    Without arguments, two runs: what needs rows only on every core at once, then, undisturbed, what starts the product.
    """
    side_by_side = ["--numprocesses=auto", "--dist=worksteal", "-m", "not stack"]
    runs = [arguments] if arguments else [side_by_side, ["-m", "stack"]]
    with services(_var_folder() / "test", own=True) as environment:
        statuses = [_foreground([sys.executable, "-m", "pytest", *given], environment) for given in runs]
    return next((status for status in statuses if status), 0)


@contextlib.contextmanager
def services(var: Path, environment: Mapping[str, str] | None = None, *, own: bool = False) -> Iterator[dict[str, str]]:
    """Servers for a script: yields the environment that the project's processes need, and stops the servers after.

    `own` starts servers of its own even where DATABASE_URL or REDIS_URL name others. Call it from the main thread: the
    servers end with the thread that started them. Raises CannotStart.
    """
    given = dict(os.environ if environment is None else environment)
    if own:
        given = {name: value for name, value in given.items() if name not in GIVEN}
    var = var.resolve()
    state.make_folder(var)
    with state.lock(var), _running(var, given) as (prepared, _):
        yield prepared


@contextlib.contextmanager
def _running(
    var: Path, given: Mapping[str, str], check: Callable[[Mapping[str, str]], None] | None = None
) -> Iterator[tuple[dict[str, str], list[Server]]]:
    """Run the servers that are not given, and stop them whatever happens. Call while holding the lock on var/."""
    ports = {
        name: state.embedded_port(var, name, given)
        for name, variable in (("postgres", "DATABASE_URL"), ("redis", "REDIS_URL"))
        if not given.get(variable)
    }
    environment = _environment(var, given, ports)
    if check:
        check(environment)
    servers = _servers(var, environment, ports)
    with contextlib.ExitStack() as stack:
        for embedded in servers:
            stack.callback(embedded.stop)
            embedded.start()
        yield environment, servers


def _servers(var: Path, environment: Mapping[str, str], ports: Mapping[str, int]) -> list[Server]:
    servers: list[Server] = []
    if "redis" in ports:
        servers.append(Redis(var, ports["redis"], environment["REDIS_PASSWORD"]))
    if "postgres" in ports:
        passwords = environment["POSTGRES_PASSWORD"], environment["POSTGRES_ADMIN_PASSWORD"]
        servers.append(Postgres(var, ports["postgres"], *passwords))
    return servers


def _environment(var: Path, given: Mapping[str, str], ports: Mapping[str, int]) -> dict[str, str]:
    """What the project's processes read: given values, then generated secrets, then the embedded servers' URLs."""
    environment = dict(given) | state.read_secrets(var, given)
    urls = {server.name: server.url for server in _servers(var, environment, ports)}
    defaults = {
        "DATABASE_URL": urls.get("postgres", ""),
        "REDIS_URL": urls.get("redis", ""),
        "HOST": "127.0.0.1",
        "PORT": "8000",
        "FLOWER_ADDRESS": "127.0.0.1",
        "FLOWER_PORT": "5555",
    }
    for name, value in defaults.items():
        environment[name] = environment.get(name) or value
    if "," in environment["FLOWER_PASSWORD"]:
        raise CannotStart("FLOWER_PASSWORD must not contain a comma: Flower would take it for two logins.")
    environment |= {
        "VAR_DIR": str(var),
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "PYTHONUNBUFFERED": "1",
        # Otherwise every thread may get a heap of its own, and none gives back what another one has freed.
        "MALLOC_ARENA_MAX": given.get("MALLOC_ARENA_MAX") or "2",
        # Said once, by the supervisor, instead of by every worker.
        "PYTHONWARNINGS": "ignore:You're running the worker with superuser",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), given.get("PATH", os.defpath)]),
    }
    return environment


def _var_folder() -> Path:
    """var/ or VAR_DIR, after .env has been read (what is in the environment already wins)."""
    environ.Env.read_env(ROOT / ".env")
    var = Path(os.environ.get("VAR_DIR") or ROOT / "var").resolve()
    state.make_folder(var)
    return var


def _check_public_ports(environment: Mapping[str, str]) -> None:
    """The ports of the site and of Flower. Raises CannotStart when one is taken, before anything is started."""
    for host, variable in (("HOST", "PORT"), ("FLOWER_ADDRESS", "FLOWER_PORT")):
        state.check_port(environment[host], state.number(variable, environment[variable]), variable)


def _prepare(environment: Mapping[str, str]) -> dict[str, str]:
    """Bring database and static files up to date (see the `prepare` command). Returns what it made."""
    _say("Preparing the database ...")
    command = [sys.executable, str(ROOT / "manage.py"), "prepare", "--json", "--demo", str(ROOT / "demo" / "company.yaml")]
    # A session of its own: Ctrl-C comes to the supervisor, which then ends it without a second traceback.
    done = subprocess.run(  # noqa: S603
        command,
        env=dict(environment),
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=dies_with_parent(signal.SIGKILL),
        check=False,
    )
    if done.returncode:
        raise CannotStart("the database could not be prepared; the reason is above.")
    made: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return made


def _foreground(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command that owns the terminal: Ctrl-C is its business, and we wait until it has ended."""
    process = subprocess.Popen(command, env=dict(environment), preexec_fn=dies_with_parent(signal.SIGTERM))  # noqa: S603
    asked = 0
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            asked += 1
            if asked > 1 or not sys.stdin.isatty():
                process.terminate()


def _reachable(host: str) -> str:
    """An address for a browser on this machine."""
    if host in ("0.0.0.0", "::", ""):  # noqa: S104 (recognised, not bound)
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


class Welcome:
    """The closing block of a start: where everything is, and once only the administrator's password."""

    def __init__(self, environment: Mapping[str, str], password: str | None) -> None:
        local = f"http://{_reachable(environment['HOST'])}:{environment['PORT']}"
        self.site = environment.get("PUBLIC_URL", "").rstrip("/") or local
        self.flower = f"http://{_reachable(environment['FLOWER_ADDRESS'])}:{environment['FLOWER_PORT']}"
        self.secrets = Path(environment["VAR_DIR"]) / "secrets.env"
        self.password = password
        self.shown = False

    def show(self) -> None:
        """Print the block."""
        self.shown = True
        login = (
            f"admin / {self.password}   (shown only this once)"
            if self.password
            else "as set; forgotten: script/manage changepassword admin"
        )
        lines = [
            "Saudager is running.",
            f"  Site and chat   {self.site}/",
            f"  Admin           {self.site}/admin/",
            f"  Login           {login}",
            f"  Flower          {self.flower}/   (login: FLOWER_USER and FLOWER_PASSWORD in {self.secrets})",
            "  Ctrl-C stops everything.",
        ]
        _say("\n" + "\n".join(lines) + "\n")

    def show_password_at_least(self) -> None:
        """The password is stored nowhere: show it even when the site never came up."""
        if self.password and not self.shown:
            _say(f"\nThe administrator's login: admin / {self.password}   (shown only this once)\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
