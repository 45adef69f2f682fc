"""The faults, one function each. A fault begins while the load plays, and its function returns when the fault is over."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg

from tests.rehearsal.stack import call, wait_for
from tests.sandbox.wappi_rows import TOKEN

from .harness import WORKERS, ChaosStack
from .load import Mischief

SEND = "message/send"
#: Seconds a fault waits for the load to bring the product to the point it wants to strike at.
REACH_SECONDS = 20.0


@dataclass
class Scene:
    """What a fault acts on."""

    stack: ChaosStack
    short: bool
    notes: list[str] = field(default_factory=list)
    """What is worth telling beside the figures."""
    wrong: list[str] = field(default_factory=list)
    """What the fault itself found that must not be."""
    phones: Callable[[], list[str]] = list
    """Who has written so far."""
    later: list[Callable[[], None]] = field(default_factory=list)
    """What is done and looked at once all is quiet."""
    over_at: float = 0.0
    """When the fault was over, in Unix seconds, if that was before its function returned."""

    def pick(self, short: float, long: float) -> float:
        return short if self.short else long


Inject = Callable[[Scene], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """`lasts` is about how many seconds the load goes on for it, in the short form and the long one."""

    name: str
    group: str
    proves: str
    inject: Inject
    lasts: tuple[float, float]
    mischief: Mischief
    brokers: tuple[str, ...]


FAULTS: dict[str, Fault] = {}


def fault(
    name: str, group: str, proves: str, *, lasts: tuple[float, float] = (2, 3), mischief: Mischief | None = None,
    brokers: tuple[str, ...] = ("redis", "rabbitmq"),
) -> Callable[[Inject], Inject]:  # fmt: skip
    """Enter a fault into the table."""

    def enter(inject: Inject) -> Inject:
        FAULTS[name] = Fault(name, group, proves, inject, lasts, mischief or Mischief(), brokers)
        return inject

    return enter


# ── Nothing wrong ────────────────────────────────────────────────────────────────────────────────────────────────────


@fault("none", "load", "the load alone: duplicates, reordered webhooks, polls of the same messages, takeovers in the middle", lasts=(2, 3))
def nothing(scene: Scene) -> None:
    time.sleep(scene.pick(2, 3))


@fault("dropped-webhooks", "load", "what webhooks missed is found by polls", lasts=(2, 3), mischief=Mischief(dropped=0.05))
def dropped_webhooks(scene: Scene) -> None:
    time.sleep(scene.pick(2, 3))


@fault("takeovers", "load", "people first: two of three conversations are taken over in the middle", mischief=Mischief(taken_over=0.66))
def takeovers(scene: Scene) -> None:
    time.sleep(scene.pick(2, 3))


# ── Processes ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _held(ask: Callable[[], Any], least: int, scene: Scene, what: str) -> None:
    try:
        wait_for(what, lambda: ask()["held"] >= least, REACH_SECONDS)
    except TimeoutError:
        scene.wrong.append(f"the fault struck nothing: {what} did not happen")


@fault("kill-thinking", "process", "a turn whose worker died while the model thought is resumed and answered once")
def kill_thinking(scene: Scene) -> None:
    stack = scene.stack
    stack.llm("hold", left=1000)
    _held(lambda: stack.llm("held"), 5, scene, "five models that think")
    stack.signal("answers", signal.SIGKILL)
    stack.llm("hold")


@fault("kill-accepted", "process", "the provider accepted, the worker died before the answer came: unconfirmed, found, not sent again")
def kill_accepted(scene: Scene) -> None:
    stack = scene.stack
    stack.wappi("hold", left=4)
    _held(stack.record, 4, scene, "four sends accepted and not answered")
    stack.signal("messages", signal.SIGKILL)
    stack.wappi("hold")


def _die_at(scene: Scene, point: str, name: str) -> None:
    laid = scene.stack.lay_fault(point, name)
    try:
        wait_for(f"{name} dead at {point}", lambda: not laid.exists(), REACH_SECONDS)
    except TimeoutError:
        laid.unlink(missing_ok=True)
        scene.wrong.append(f"the fault struck nothing: {name} never came to {point}")


@fault("kill-sent", "process", "killed between the provider's answer and our commit: unconfirmed, found, not sent again")
def kill_sent(scene: Scene) -> None:
    _die_at(scene, "sent", "messages")


@fault("kill-enqueue", "process", "killed between commit and enqueue, each process in turn: the sweeper finds the row", lasts=(6, 8))
def kill_enqueue(scene: Scene) -> None:
    for name in ("messages", "answers", "web"):
        _die_at(scene, "enqueue", name)


@fault("kill-beat", "process", "nothing depends on one beat; a new one goes on")
def kill_beat(scene: Scene) -> None:
    scene.stack.signal("beat", signal.SIGKILL)


@fault("kill-web", "process", "webhooks refused meanwhile come again or are polled")
def kill_web(scene: Scene) -> None:
    stack = scene.stack
    stack.signal("web", signal.SIGKILL)
    time.sleep(1)
    wait_for("web", lambda: call("GET", f"{stack.url}/health"), 60)


@fault("kill-workers", "process", "all workers at once, in the middle of everything")
def kill_workers(scene: Scene) -> None:
    for name in WORKERS:
        scene.stack.signal(name, signal.SIGKILL)


@fault("zombie", "process", "workers frozen beyond their lease wake up: what others finished meanwhile is not done twice", lasts=(42, 56))
def zombie(scene: Scene) -> None:
    stack = scene.stack
    for name in ("messages2", "answers2"):
        stack.launch(name)
    for name in ("messages2", "answers2"):
        stack.wait_ready(name)
    stack.llm("hold", left=6)
    _held(lambda: stack.llm("held"), 6, scene, "six models that think")
    for name in ("messages", "answers"):
        stack.signal(name, signal.SIGSTOP)
    stack.llm("hold")
    time.sleep(scene.pick(28, 40))
    for name in ("messages", "answers"):
        stack.signal(name, signal.SIGCONT)
    scene.over_at = time.time()
    scene.later.append(lambda: stack.retire("messages2", "answers2"))


@fault("clock-jump", "process", "a worker whose clock is an hour ahead, then an hour behind: PostgreSQL's decides", lasts=(14, 18))
def clock_jump(scene: Scene) -> None:
    stack, folder = scene.stack, Path(__file__).with_name("clock_jump")
    for seconds in (3600, -3600):
        stack.extra["answers"] = {"PYTHONPATH": str(folder), "CHAOS_CLOCK_SECONDS": str(seconds)}
        _restart(stack, "answers")
        time.sleep(3)
    stack.extra.pop("answers")
    _restart(stack, "answers")


def _restart(stack: ChaosStack, name: str) -> None:
    """Politely; the keeper starts it again."""
    before = stack.current[name]
    before.popen.terminate()
    wait_for(f"a new {name}", lambda: stack.current[name] is not before, 60)
    stack.wait_ready(name)


# ── Broker ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@fault("broker-restart", "broker", "the broker is killed and starts again")
def broker_restart(scene: Scene) -> None:
    stack = scene.stack
    if stack.broker == "rabbitmq":
        stack.rabbitmq.kill()
        time.sleep(1)
        stack.rabbitmq.start()
        return
    assert stack.redis.process is not None
    stack.redis.process.kill()
    stack.redis.process.wait()
    time.sleep(1)
    stack.redis.start()


@fault("flushall", "broker", "the broker forgets everything", brokers=("redis",))
def flushall(scene: Scene) -> None:
    for _ in range(3):
        scene.stack.redis_client().flushall()
        time.sleep(0.7)


@fault("broker-frozen", "broker", "the broker says nothing for long: webhooks are answered all the same", lasts=(10, 32), brokers=("redis",))
def broker_frozen(scene: Scene) -> None:
    stack = scene.stack
    assert stack.redis.process is not None
    stack.redis.process.send_signal(signal.SIGSTOP)
    refused = stack.record()["refused"]
    time.sleep(scene.pick(8, 30))
    refused = stack.record()["refused"] - refused
    stack.redis.process.send_signal(signal.SIGCONT)
    if refused:
        scene.wrong.append(f"{refused} webhooks were refused while the broker was away")


@fault("client-kill", "broker", "every connection to the broker is cut, twice", brokers=("redis",))
def client_kill(scene: Scene) -> None:
    for _ in range(2):
        for kind in ("normal", "pubsub"):
            scene.stack.redis_client().execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
        time.sleep(1)


# ── PostgreSQL ───────────────────────────────────────────────────────────────────────────────────────────────────────


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


# ── The messenger's gateway ──────────────────────────────────────────────────────────────────────────────────────────


def _faulty(scene: Scene, **what: Any) -> None:
    """Something wrong with the next sends; waits until all of it happened."""
    stack = scene.stack
    stack.wappi("faults", path=SEND, **what)
    until = time.monotonic() + REACH_SECONDS
    while time.monotonic() < until:
        time.sleep(0.2)
        left = call("POST", f"{stack.control['wappi']}/_sandbox/faults", {"path": "/nowhere", "count": 0})
        if not left:
            break
    else:
        scene.notes.append("not all of the faulty answers were given")
    call("DELETE", f"{stack.control['wappi']}/_sandbox/faults")


@fault("send-5xx", "provider", "500, 502 and 504 on sending: nobody knows, so nothing is sent twice")
def send_5xx(scene: Scene) -> None:
    for status in (500, 502, 504):
        _faulty(scene, count=3, status=status, body="")


@fault("send-503", "provider", "503 on sending was certainly not done: sent again, in order")
def send_503(scene: Scene) -> None:
    _faulty(scene, count=8, status=503, body="")


@fault("send-429", "provider", "429 with Retry-After is obeyed, and order kept")
def send_429(scene: Scene) -> None:
    _faulty(scene, count=8, status=429, headers={"Retry-After": "2"}, body="{}")


@fault("send-timeout", "provider", "accepted, but the answer never came: found in the history, not sent again", lasts=(8, 10))
def send_timeout(scene: Scene) -> None:
    stack = scene.stack
    stack.wappi("hold", left=5, seconds=17)
    _held(stack.record, 5, scene, "five sends accepted and not answered")
    time.sleep(2)


@fault("send-malformed", "provider", "accepted, and answered with what is no JSON: found in the history, not sent again")
def send_malformed(scene: Scene) -> None:
    _faulty(scene, count=4, status=200, body="<html>Bad gateway</html>", accept=True)


@fault("send-refused", "provider", "the gateway refuses connections: kept, and sent in order when it is back", lasts=(8, 12))
def send_refused(scene: Scene) -> None:
    scene.stack.wappi("door", open=False)
    time.sleep(scene.pick(5, 10))
    scene.stack.wappi("door", open=True)


@fault("token-revoked", "provider", "401: what could not be sent is in needs attention; afterwards all goes on", lasts=(6, 8))
def token_revoked(scene: Scene) -> None:
    scene.stack.wappi("token", token="another-token")
    time.sleep(scene.pick(2, 3))
    scene.stack.wappi("token", token=TOKEN)


# ── The model ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _models_fail(scene: Scene, kind: str, times: int, **more: Any) -> None:
    stack = scene.stack
    stack.llm("faults", fault=kind, times=times, **more)
    until = time.monotonic() + REACH_SECONDS
    while call("GET", f"{stack.control['llm']}/_sandbox/faults")["faults"] and time.monotonic() < until:
        time.sleep(0.2)
    stack.llm("clear")


@fault("model-errors", "model", "500, 503, 429 with a delay, and nonsense: asked again, answered once, nonsense never leaves")
def model_errors(scene: Scene) -> None:
    # Few at a time, with answers between: five failures in a row would open the breaker, which is models-down's subject.
    for kind, more in (("error", {}), ("unavailable", {}), ("rate_limited", {"after": 1.0}), ("malformed", {})):
        _models_fail(scene, kind, 2, **more)
        time.sleep(0.7)


@fault("models-down", "model", "every model down: the offline model answers from the documents, or a person is called", lasts=(12, 62))
def models_down(scene: Scene) -> None:
    for shut in (True, False):
        # First the server refuses connections, then it answers 503 to everything.
        scene.stack.llm("door", open=not shut)
        scene.stack.llm("down", down=not shut)
        time.sleep(scene.pick(5, 30))
    scene.stack.llm("down", down=False)


# ── The rest ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@fault("disk-full", "disk", "the media folder takes no file: voice messages are heard without our copy", mischief=Mischief(voice=0.5))
def disk_full(scene: Scene) -> None:
    media = Path(scene.stack.env["VAR_DIR"]) / "media"
    aside = media.with_name("media.aside")
    if media.exists():
        media.rename(aside)
    # Root writes wherever it likes, and a small file system needs root: a file in the folder's place refuses everybody.
    media.touch()
    time.sleep(scene.pick(2, 3))
    media.unlink()
    if aside.exists():
        aside.rename(media)


@fault("poison", "event", "an event that always fails ends in needs attention, and its lane goes on", lasts=(5, 7))
def poison(scene: Scene) -> None:
    stack = scene.stack
    wait_for("somebody who writes", scene.phones, REACH_SECONDS)
    found: list[tuple[Any, ...]] = []

    def known() -> bool:
        found[:] = stack.rows(
            "SELECT channel_id, lane FROM channels_inboundevent WHERE lane <> '' AND state = 'processed'"
            " ORDER BY id DESC LIMIT 3"
        )
        return len(found) == 3

    wait_for("three lanes", known, REACH_SECONDS)
    name = f"poison:{time.time_ns()}"
    with psycopg.connect(stack.env["DATABASE_URL"], autocommit=True) as connection:
        for number, (channel, lane) in enumerate(found):
            connection.execute(
                "INSERT INTO channels_inboundevent (channel_id, external_id, lane, source, payload)"
                " VALUES (%s, %s, %s, 'webhook', %s)",
                (channel, f"{name}:{number}", lane, b"\x00sealed with nobody's key"),
            )

    def ended() -> None:
        states = stack.rows("SELECT state, attempts FROM channels_inboundevent WHERE external_id LIKE %s", f"{name}%")
        if any(event_state != "failed" for event_state, _attempts in states):
            scene.wrong.append(f"poison events are {sorted(str(row[0]) for row in states)}, not all in needs attention")

    scene.later.append(ended)
