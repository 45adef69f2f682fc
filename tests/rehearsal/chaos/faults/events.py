"""A disk that takes nothing, and events that cannot be understood."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg

from tests.rehearsal.stack import wait_for

from ..load import Mischief
from .table import REACH_SECONDS, Scene, fault

#: Nobody comes back to an event that ended its worker sooner than this, in seconds.
PAUSE_SECONDS = 10.0


@fault("disk-full", "disk", "the media folder takes no file: voice messages are heard without our copy", mischief=Mischief(voice=0.5))
def disk_full(scene: Scene) -> None:
    media = Path(scene.stack.env["VAR_DIR"]) / "media"
    aside = media.with_name("media.aside")
    if media.exists():
        media.rename(aside)
    # Root writes wherever it likes, and a small file system needs root: a file in the folder's place refuses everybody.
    media.touch()
    scene.sleep(2, 3)
    media.unlink()
    if aside.exists():
        aside.rename(media)


def _known_lanes(scene: Scene, least: int) -> list[tuple[Any, ...]]:
    """Lanes of customers who have just written: channel, lane, and a payload of theirs."""
    wait_for("somebody who writes", scene.phones, REACH_SECONDS)
    found: list[tuple[Any, ...]] = []

    def known() -> bool:
        found[:] = scene.stack.rows(
            "SELECT channel_id, lane, payload FROM channels_inboundevent"
            " WHERE lane <> '' AND state = 'processed' AND payload IS NOT NULL ORDER BY id DESC LIMIT %s",
            least,
        )
        return len(found) == least

    wait_for("lanes", known, REACH_SECONDS)
    return found


_LAY = """
INSERT INTO channels_inboundevent (channel_id, external_id, lane, source, payload, attempts)
VALUES (%s, %s, %s, 'webhook', %s, %s) RETURNING id
"""


@fault("poison", "event", "an event that always fails ends in needs attention, and its lane goes on", lasts=(5, 7))
def poison(scene: Scene) -> None:
    stack = scene.stack
    name = f"poison:{time.time_ns()}"
    lanes = _known_lanes(scene, 3)
    with psycopg.connect(stack.env["DATABASE_URL"], autocommit=True) as connection:
        for number, (channel, lane, _payload) in enumerate(lanes):
            connection.execute(_LAY, (channel, f"{name}:{number}", lane, b"\x00sealed with nobody's key", 0))

    def ended() -> None:
        states = stack.rows("SELECT state, attempts FROM channels_inboundevent WHERE external_id LIKE %s", f"{name}%")
        if any(event_state != "failed" for event_state, _attempts in states):
            scene.wrong.append(f"poison events are {sorted(str(row[0]) for row in states)}, not all in needs attention")

    scene.later.append(ended)


@fault(
    "poison-kills", "event", "an event that ends its worker each time: given up after MAX_RETRIES, in no hurry, others unaffected",
    lasts=(40, 90), rare=True,
)  # fmt: skip
def poison_kills(scene: Scene) -> None:
    stack = scene.stack
    name, begun_with = f"poison:{time.time_ns()}", 2 if scene.brief else 0
    ((channel, lane, payload),) = _known_lanes(scene, 1)
    with psycopg.connect(stack.env["DATABASE_URL"]) as connection:
        (event,) = connection.execute(_LAY, (channel, name, lane, payload, begun_with)).fetchone() or (0,)
        # Laid before anybody can see the event.
        laid = stack.faults_folder / f"understand.{event}"
        laid.touch()
    deaths: list[float] = []
    until = time.monotonic() + 180
    while time.monotonic() < until:
        if laid.stat().st_size > len(deaths):
            deaths.append(time.monotonic())
            scene.note_in_hand()
        if stack.rows("SELECT 1 FROM channels_inboundevent WHERE id = %s AND state = 'failed'", event):
            break
        time.sleep(0.2)
    else:
        scene.wrong.append("the event never came to needs attention")
    laid.unlink()
    most = int(stack.env.get("MAX_RETRIES", 3)) + 1 - begun_with
    scene.notes.append(f"{len(deaths)} workers ended by it")
    if not 0 < len(deaths) <= most:
        scene.wrong.append(f"it ended {len(deaths)} workers, not one to {most}")
    if any(later - sooner < PAUSE_SECONDS for sooner, later in pairwise(deaths)):
        scene.wrong.append("workers were ended by it in a hot loop")
