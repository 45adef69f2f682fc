"""`script/demo --channel all`: a short story of every kind of channel, all at once on one stack."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..clock import Clock
from ..kinds import WAPPI
from ..manager import Manager
from ..stack import Stack, scratch_folder
from . import stories
from .office import Office
from .scene import Scene
from .sides import CREDENTIALS
from .stages import print_stages, wait_for_knowledge
from .visitor import VisitorSide

COMPANY = Path(__file__).with_name("channels.yaml")


def play(wanted: Sequence[str]) -> int:
    """Play the stories of these kinds; 0 where all went as told, else SystemExit, which keeps the folder with the logs."""
    clocks: list[Clock] = []

    def install(env: Mapping[str, str]) -> None:
        clocks.append(Clock(env["DATABASE_URL"]))

    environment = CREDENTIALS | {f"WITH_{kind.upper()}": "present" for kind in wanted}
    fakes = [kind for kind in wanted if kind not in ("widget", WAPPI.name)]
    with scratch_folder("demo") as folder:
        print(f"Starting Saudager with fake providers for {', '.join(wanted)} …", flush=True)
        begun = time.monotonic()
        with Stack(folder, COMPANY, environment=environment, latency_ms=300, more_fakes=fakes, prepared=install) as stack:
            stack.connect_django()
            wait_for_knowledge()
            print(f"Up after {time.monotonic() - begun:.1f} s.", flush=True)
            try:
                wrong = _all_at_once(stack, clocks[0], wanted)
            finally:
                clocks[0].close()
            wrong += [f"logged error: {error}" for error in stack.errors()]
        took = time.monotonic() - begun
        print()
        for line in wrong:
            print(f"WRONG: {line}")
        if wrong:
            print(f"{len(wrong)} things went wrong.")
            raise SystemExit(1)
        print(f"Every message arrived exactly once on {', '.join(wanted)} ({took:.0f} s).")
    return 0


def _all_at_once(stack: Stack, clock: Clock, wanted: Sequence[str]) -> list[str]:
    """Each story in a thread of its own; what a day of silence changes comes last, as it moves everybody's clock."""
    office = Office(stack)
    transcripts: dict[str, list[str]] = {kind: [] for kind in wanted}
    scenes = {kind: _scene(stack, kind, transcripts[kind].append) for kind in wanted}

    def told(kind: str) -> None:
        story, _side = stories.STORIES[kind]
        _guarded(scenes[kind], lambda: story(scenes[kind], office))

    with ThreadPoolExecutor(len(wanted)) as pool:
        list(pool.map(told, wanted))
    if "whatsapp_cloud" in wanted:
        cloud = scenes["whatsapp_cloud"]
        _guarded(cloud, lambda: stories.cloud_next_day(cloud, office, clock))
    for kind, scene in scenes.items():
        if isinstance(scene.side, VisitorSide):
            scene.side.close()
        print(f"\n── {kind} {'─' * (90 - len(kind))}")
        print("\n".join(transcripts[kind]))
        print_stages(scene.slug)
    return [f"{kind}: {line}" for kind, scene in scenes.items() for line in scene.wrong]


def _scene(stack: Stack, kind: str, tell: Callable[[str], None]) -> Scene:
    slug, (_story, side) = kind.replace("_", "-"), stories.STORIES[kind]
    made = VisitorSide(stack.url, slug) if issubclass(side, VisitorSide) else side(stack.env.get(f"FAKE_{kind.upper()}_URL", stack.gateway_url))
    return Scene(slug, made, Manager(stack, channel=slug, name=f"demo-{slug}"), tell)


def _guarded(scene: Scene, story: Callable[[], None]) -> None:
    """A story that breaks off is one thing that went wrong; the others are told to their end."""
    from django.db import connections

    begun = time.monotonic()
    try:
        story()
    except Exception:  # noqa: BLE001  whatever it was, it is told with its place
        scene.wrong.append(f"broke off:\n{traceback.format_exc()}")
    finally:
        connections.close_all()
    scene.note(f"{time.monotonic() - begun:.1f} s")
