"""Processes that die, stand still, or are replaced."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.rehearsal.stack import call, wait_for

from ..harness import WORKERS
from ..load import Mischief
from .table import Scene, fault


def held(scene: Scene, ask: Callable[[], Any], least: int, what: str) -> bool:
    """Wait until the fake holds so many answers."""
    return scene.reach(what, lambda: ask()["held"] >= least)


@fault("kill-thinking", "process", "a turn whose worker died while the model thought is resumed and answered once")
def kill_thinking(scene: Scene) -> None:
    stack = scene.stack
    stack.llm("hold", left=1000)
    held(scene, lambda: stack.llm("held"), 5, "five models that think")
    scene.kill("answers")
    stack.llm("hold")


@fault(
    "kill-transcribing", "process", "the same while a model listens to a voice message: heard once, answered once",
    mischief=Mischief(voice=0.5), rare=True,
)  # fmt: skip
def kill_transcribing(scene: Scene) -> None:
    stack = scene.stack
    stack.llm("hold", left=1000, audio=True)
    held(scene, lambda: stack.llm("held"), 3, "three models that listen")
    scene.kill("answers")
    stack.llm("hold")


@fault(
    "kill-accepted", "process", "the provider accepted, the worker died before the answer came: unconfirmed, found, not sent again",
    rare=True,
)  # fmt: skip
def kill_accepted(scene: Scene) -> None:
    stack = scene.stack
    stack.gateway("hold", left=4)
    held(scene, stack.record, 4, "four sends accepted and not answered")
    scene.kill("messages")
    stack.gateway("hold")


def _die_at(scene: Scene, point: str, name: str) -> None:
    laid = scene.stack.lay_fault(point, name)
    if scene.reach(f"{name} dead at {point}", lambda: not any(path.exists() for path in laid)):
        scene.note_in_hand()
    for path in laid:
        path.unlink(missing_ok=True)


@fault(
    "kill-claimed", "process", "killed between the claim of a message and its request: nobody knows, so nothing is sent twice",
    rare=True,
)  # fmt: skip
def kill_claimed(scene: Scene) -> None:
    _die_at(scene, "claimed", "messages")


@fault("kill-sent", "process", "killed between the provider's answer and our commit: unconfirmed, found, not sent again")
def kill_sent(scene: Scene) -> None:
    _die_at(scene, "sent", "messages")


@fault(
    "kill-recorded", "process", "killed after our commit, before the task is acknowledged: it runs again and finds nothing to do",
    rare=True,
)  # fmt: skip
def kill_recorded(scene: Scene) -> None:
    _die_at(scene, "recorded", "messages")


@fault("kill-enqueue", "process", "killed between commit and enqueue, each process in turn: the sweeper finds the row", lasts=(6, 8))
def kill_enqueue(scene: Scene) -> None:
    for name in ("messages", "answers", "web"):
        _die_at(scene, "enqueue", name)


@fault("kill-beat", "process", "nothing depends on one beat; a new one goes on")
def kill_beat(scene: Scene) -> None:
    scene.kill("beat")


@fault("kill-web", "process", "webhooks refused meanwhile come again or are polled")
def kill_web(scene: Scene) -> None:
    stack = scene.stack
    scene.kill("web")
    time.sleep(1)
    wait_for("web", lambda: call("GET", f"{stack.url}/health"), 60)


@fault("kill-workers", "process", "all workers at once, in the middle of everything")
def kill_workers(scene: Scene) -> None:
    scene.kill(*WORKERS)


@fault("zombie", "process", "workers frozen beyond their lease wake up: what others finished meanwhile is not done twice", lasts=(38, 56))
def zombie(scene: Scene) -> None:
    stack = scene.stack
    _launch_second(scene)
    stack.llm("hold", left=6)
    held(scene, lambda: stack.llm("held"), 6, "six models that think")
    for name in ("messages", "answers"):
        stack.signal(name, signal.SIGSTOP)
    scene.note_in_hand()
    stack.llm("hold")
    scene.sleep(24, 40)
    for name in ("messages", "answers"):
        stack.signal(name, signal.SIGCONT)
    scene.over_at = time.time()
    scene.later.append(lambda: stack.retire("messages2", "answers2"))


def _launch_second(scene: Scene) -> None:
    for name in ("messages2", "answers2"):
        scene.stack.launch(name)
    for name in ("messages2", "answers2"):
        scene.stack.wait_ready(name)


@fault(
    "cut-off", "process", "the connections of half of the workers to PostgreSQL and the broker stand still beyond their lease",
    lasts=(42, 56), rare=True,
)  # fmt: skip
def cut_off(scene: Scene) -> None:
    stack = scene.stack
    doors = stack.doors()
    for name in ("messages2", "answers2"):
        stack.extra[name] = {variable: url for variable, (url, _door) in doors.items()}
    _launch_second(scene)
    stack.llm("hold", left=6)
    stack.gateway("hold", left=4)
    held(scene, lambda: stack.llm("held"), 6, "six models that think")
    for _url, door in doors.values():
        door.popen.send_signal(signal.SIGUSR1)
    # The models and the gateway answer them: what they can no longer write down is the point.
    stack.llm("hold")
    stack.gateway("hold")
    scene.sleep(28, 40)
    for _url, door in doors.values():
        door.popen.send_signal(signal.SIGUSR2)
    scene.over_at = time.time()

    def end() -> None:
        stack.retire("messages2", "answers2")
        for _url, door in doors.values():
            stack.running.remove(door)
            door.popen.kill()
            door.popen.wait()

    scene.later.append(end)


@fault("clock-jump", "process", "a worker whose clock is an hour ahead, then an hour behind: PostgreSQL's decides", lasts=(8, 18))
def clock_jump(scene: Scene) -> None:
    stack, folder = scene.stack, Path(__file__).parent.with_name("clock_jump")
    for seconds in (3600,) if scene.brief else (3600, -3600):
        stack.extra["answers"] = {"PYTHONPATH": str(folder), "CHAOS_CLOCK_SECONDS": str(seconds)}
        scene.restart("answers")
        time.sleep(3)
    stack.extra.pop("answers")
    scene.restart("answers")


@fault("two-beats", "process", "two beats by mistake: everything they start happens once", lasts=(6, 15))
def two_beats(scene: Scene) -> None:
    scene.stack.launch("beat2")
    scene.sleep(6, 15)
    scene.stack.retire("beat2")


@fault("rolling-restart", "process", "every process is replaced in order: no webhook fails, no send is unconfirmed", lasts=(22, 22))
def rolling_restart(scene: Scene) -> None:
    stack = scene.stack
    unconfirmed = stack.logged("messages", "send did not succeed")

    def replace() -> None:
        old = stack.servers()
        os.kill(stack.current["web"].popen.pid, signal.SIGHUP)
        wait_for("a new web server", lambda: len(stack.servers()) == 1 and stack.servers() != old, 60)
        for name in ("messages", "answers", "files", "beat"):
            scene.restart(name)

    if refused := scene.refused_within(replace):
        scene.wrong.append(f"{refused} webhooks failed while processes were replaced")

    def look() -> None:
        if lost := stack.logged("messages", "send did not succeed") - unconfirmed:
            scene.wrong.append(f"{lost} sends did not succeed while processes were replaced")

    scene.later.append(look)


