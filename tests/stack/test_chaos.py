"""The invariants under faults: the auditor finds what it is there to find, and the product gives it nothing to find."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from channels import registry
from tests.rehearsal import rabbitmq
from tests.rehearsal.chaos import audit, load
from tests.rehearsal.chaos.audit import Asked, End, Evidence, Sent, judge, tampered
from tests.rehearsal.chaos.doors import Door
from tests.rehearsal.chaos.faults import FAULTS
from tests.rehearsal.chaos.faults.gateway import too_early
from tests.rehearsal.chaos.load import Burst, Mischief, Numbers, Takeover
from tests.rehearsal.chaos.names import NAMES
from tests.rehearsal.stack import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
LIMIT = 420.0
#: The most telling ones; all of them are for `script/chaos --all`.
TELLING = ("takeovers", "kill-thinking", "flushall", "pg-restart", "send-malformed")
TELLING_ON_RABBITMQ = ("bursts", "kill-workers", "broker-restart")
#: What differs most from Wappi: how patience is asked for, and what settles a send whose answer was lost.
TELLING_ON_TELEGRAM = ("pg-restart", "send-429")
TELLING_ON_WHATSAPP_CLOUD = ("kill-sent",)


# ── The auditor ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def evidence() -> Evidence:
    """Two conversations, of which one was taken over after its answer."""
    return Evidence(
        sent=[
            Sent(1, "7701", "answered #m1 #m2", 10.5, "A1"),
            Sent(2, "7702", "answered #m4", 11.0, "A2"),
            Sent(3, "7701", "answered #m3", 21.0, "A3"),
            Sent(4, "7702", "Это менеджер.", 15.0, "A4", by_bot=False),
        ],
        asked=[
            Asked("#m1", "7701", "W1", 10.0, 10.1), Asked("#m2", "7701", "W2", 10.2, 10.3),
            Asked("#m3", "7701", "W3", 20.0, 20.1), Asked("#m4", "7702", "W4", 10.0, 10.1),
        ],
        takeovers={"7702": 14.0},
    )  # fmt: skip


def test_what_is_right_is_found_right(evidence: Evidence) -> None:
    verdict = judge(evidence)
    assert verdict.clean
    assert (verdict.messages, verdict.answered) == (4, 4)


@pytest.mark.parametrize(
    ("how", "found"),
    audit.TAMPERS.items(),
)
def test_each_wrong_is_found_and_no_other(evidence: Evidence, how: str, found: str) -> None:
    verdict = judge(tampered(evidence, how))
    wrong = [name for name in ("lost", "doubled", "disordered", "after_takeover") if getattr(verdict, name)]
    assert wrong == [found]


def test_a_message_without_an_answer_needs_a_reason(evidence: Evidence) -> None:
    sent = [one for one in evidence.sent if "#m3" not in one.text]
    for word in audit.ENDS:
        verdict = judge(replace(evidence, sent=sent, ends={"#m3": End(word, "why")}))
        assert verdict.clean and verdict.ends[word] == 1
    for word in (audit.PENDING, audit.LOST):
        assert judge(replace(evidence, sent=sent, ends={"#m3": End(word)})).lost == [f"#m3 ({word})"]


def test_a_reply_that_nobody_owns_up_to_is_a_double(evidence: Evidence) -> None:
    bare = [*evidence.sent, Sent(5, "7701", "Здравствуйте!", 30.0, "A5")]
    assert judge(replace(evidence, sent=bare)).doubled
    assert judge(replace(evidence, sent=bare, degraded={"7701": 1})).clean


def test_messages_that_reached_the_product_together_have_no_order(evidence: Evidence) -> None:
    asked = [replace(one, known=20.5) if one.token == "#m1" else one for one in evidence.asked]
    sent = [Sent(1, "7701", "answered #m2 #m3", 21.0, "A1"), Sent(2, "7701", "answered #m1", 22.0, "A3")]
    quiet = replace(evidence, asked=asked, sent=sent, ends={"#m4": End(audit.TAKEN)})
    assert judge(quiet).clean
    assert judge(replace(quiet, asked=evidence.asked)).disordered


# ── The load ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_seed_decides_everything() -> None:
    plans = [load.plan(Random(seed), Numbers(1), 30, 10.0, Mischief()) for seed in (1, 1, 2)]
    assert plans[0] == plans[1] != plans[2]


def test_a_plan_holds_what_it_promises() -> None:
    plan = load.plan(Random(3), Numbers(1), 400, 10.0, Mischief(dropped=0.05))
    said = [message for action in plan if isinstance(action, Burst) for message in action.messages]
    assert len({message.token for message in said}) == len({message.id for message in said}) == len(said)
    assert {action.how for action in plan if isinstance(action, Takeover)} == {"phone", "api"}
    assert any(message.voice for message in said)
    assert any(not message.posts for message in said)
    assert any(len(message.posts) == 10 for message in said)
    assert plan == sorted(plan, key=lambda action: action.at)


def test_bursts_hold_as_many_messages_as_they_say() -> None:
    plan = load.plan(Random(3), Numbers(1), 40, 10.0, Mischief(burst=(8, 3.0)))
    bursts = [action for action in plan if isinstance(action, Burst)]
    assert {len(burst.messages) for burst in bursts} == {8}
    lasted = [burst.messages[-1].after for burst in bursts]
    assert 2.0 < sum(lasted) / len(lasted) < 4.0


# ── The faults ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_fault_is_explained() -> None:
    text = (ROOT / "docs" / "chaos.md").read_text()
    assert [name for name in FAULTS if f"`{name}`" not in text] == []
    telling = TELLING + TELLING_ON_RABBITMQ + TELLING_ON_TELEGRAM + TELLING_ON_WHATSAPP_CLOUD
    assert set(telling) <= set(FAULTS)


def test_what_a_fault_needs_some_kinds_of_channel_have_and_the_others_say_why_not() -> None:
    needed = {fault.needs for fault in FAULTS.values()} - {""}
    assert needed == {"history"}
    for names in NAMES.values():
        assert set(names.lacks) <= needed and all(names.lacks.values())
        assert names.history is registry.adapter_class(names.kind.name).capabilities.history


def test_managers_take_over_in_the_ways_that_a_channel_has() -> None:
    plan = load.plan(Random(3), Numbers(1), 400, 10.0, Mischief(), NAMES["telegram"].ways)
    assert {action.how for action in plan if isinstance(action, Takeover)} == {"api"}


def test_a_send_that_comes_before_its_time_is_found() -> None:
    told = {"begun": 10.0, "answered": 10.1, "status": 429, "after": 2.0}
    in_time = [{"begun": at, "answered": at + 0.1, "status": 200, "after": 0.0} for at in (10.05, 10.4, 12.2)]
    assert too_early([told, *in_time]) == []
    early = {"begun": 11.0, "answered": 11.1, "status": 200, "after": 0.0}
    assert too_early([told, *in_time, early]) == ["told to wait for 2.0 s, 1 sends came after 0.9 s"]


def test_a_frozen_door_takes_what_comes_and_delivers_it_late_or_never() -> None:
    async def through() -> list[bytes]:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(100):
                writer.write(data)
            writer.close()

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        door = Door(free_port(), server.sockets[0].getsockname()[1])
        await door.open()
        seen = []
        for lost in (False, True):
            reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
            door.freeze()
            writer.write(b"hello")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(100), 0.2)
            door.thaw(lost=lost)
            try:
                seen.append(await asyncio.wait_for(reader.read(100), 5))
            except ConnectionResetError:
                seen.append(b"")
            writer.close()
        await door.close()
        server.close()
        return seen

    assert asyncio.run(through()) == [b"hello", b""]


# ── The product ──────────────────────────────────────────────────────────────────────────────────────────────────────


def play(broker: str, faults: tuple[str, ...], folder: Path, *more: str) -> str:
    """Play faults in the short form. Returns what was printed; the figures are in `chaos.json` in the folder."""
    figures = folder / "chaos.json"
    command = [sys.executable, "-m", "tests.rehearsal.chaos", "--short", "--broker", broker, "--json", str(figures), *more]
    for name in faults:
        command += ["--fault", name]
    run = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert run.returncode == 0, f"{run.stdout[-6000:]}\n{run.stderr[-3000:]}"
    told = json.loads(figures.read_text())
    assert told["passed"] and [fault["fault"] for fault in told["faults"]] == list(faults)
    assert all(fault["messages"] for fault in told["faults"])
    return run.stdout


@pytest.mark.stack
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the embedded servers are Linux's")
def test_nothing_is_lost_doubled_disordered_or_sent_after_a_takeover(tmp_path: Path) -> None:
    told = play("redis", TELLING, tmp_path, "--prove")
    assert "Tampered with, the record is found doubled, lost, order, takeover." in told


@pytest.mark.stack
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the embedded servers are Linux's")
def test_the_same_on_telegram(tmp_path: Path) -> None:
    told = play("redis", TELLING_ON_TELEGRAM, tmp_path, "--channel", "telegram")
    assert "none lost, none doubled, none out of order, none after a takeover" in told


@pytest.mark.stack
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the embedded servers are Linux's")
def test_the_same_on_whatsapp_cloud_where_statuses_settle_what_nobody_knew(tmp_path: Path) -> None:
    play("redis", TELLING_ON_WHATSAPP_CLOUD, tmp_path, "--channel", "whatsapp_cloud")
    [kill_sent] = json.loads((tmp_path / "chaos.json").read_text())["faults"]
    assert kill_sent["unconfirmed"] == 0


@pytest.mark.stack
@pytest.mark.rabbitmq
@pytest.mark.skipif(bool(rabbitmq.missing()), reason=rabbitmq.missing() or "-")
def test_the_same_on_rabbitmq(tmp_path: Path) -> None:
    told = play("rabbitmq", TELLING_ON_RABBITMQ, tmp_path)
    assert "none lost, none doubled, none out of order, none after a takeover" in told
