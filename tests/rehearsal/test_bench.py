"""The arithmetic of `script/bench`: steps of a search, percentiles, slopes, and what is counted as lost."""

from __future__ import annotations

import pytest

from tests.rehearsal.bench import command, growth, scenarios
from tests.rehearsal.bench.meters import kind, slope
from tests.rehearsal.bench.search import highest
from tests.rehearsal.bench.writers import Run, steady_rate
from tests.rehearsal.load import percentiles


class Machine:
    """Holds rates up to a limit, and remembers what was tried."""

    def __init__(self, limit: float) -> None:
        self.limit, self.tried = limit, list[float]()

    def held(self, rate: float) -> bool:
        self.tried.append(rate)
        return rate <= self.limit


@pytest.mark.parametrize("limit", [1.5, 7.0, 20.0, 47.0, 333.0])
def test_the_highest_rate_is_found_to_the_precision_asked_for(limit: float) -> None:
    machine = Machine(limit)
    found = highest(machine.held, 20.0, precision=0.05)
    assert limit / 1.05 <= found <= limit
    assert machine.held(found)


def test_the_search_goes_up_by_the_factor_and_then_between() -> None:
    machine = Machine(50.0)
    highest(machine.held, 20.0, factor=2.0, precision=0.5)
    assert [round(rate) for rate in machine.tried] == [20, 40, 80, 57]


def test_a_machine_that_holds_nothing_ends_the_search() -> None:
    machine = Machine(0.0)
    assert highest(machine.held, 20.0) == 0.0
    assert len(machine.tried) < 12


def test_percentiles_are_milliseconds_of_what_really_happened() -> None:
    assert percentiles([n / 1000 for n in range(1, 101)]) == {"p50_ms": 50.5, "p95_ms": 96.0, "max_ms": 100.0, "n": 100}
    assert percentiles([0.25]) == {"p50_ms": 250.0, "p95_ms": 250.0, "max_ms": 250.0, "n": 1}
    assert percentiles([]) == {}


def test_the_slope_of_a_line_and_of_less() -> None:
    assert slope([(0, 1), (10, 6), (20, 11)]) == pytest.approx(0.5)
    assert slope([(3, 7)]) == slope([]) == slope([(1, 2), (1, 9)]) == 0.0


def test_the_rate_leaves_out_start_and_tail() -> None:
    assert steady_rate([0.0, *(10 + n / 10 for n in range(98)), 500.0]) == pytest.approx(10.0)
    assert steady_rate([]) == steady_rate([1.0]) == 0.0


def test_what_was_not_answered_is_lost_and_what_was_answered_twice_is_doubled() -> None:
    run = Run()
    run.posted |= {"1": [0.0, 5.0], "2": [0.0], "3": []}
    run.accepted |= {"1": [1.0], "2": [1.0, 2.0]}
    report = run.report()
    assert (report["messages"], report["replies"], report["lost"], report["doubled"]) == (3, 3, 1, 1)
    assert not scenarios.holds(report, 800)


@pytest.mark.parametrize(("p95", "held"), [(5799.0, True), (5800.0, False)])
def test_a_rate_is_held_up_to_five_seconds_after_the_model(p95: float, held: bool) -> None:
    report = {"lost": 0, "refused": 0, "doubled": 0, "end_to_end": {"p95_ms": p95}}
    assert scenarios.holds(report, 800) is held


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("celery -q -A config worker -n answers@%h -P threads -c 48 -Q answers,poll", "answers"),
        ("celery -q -A config worker -n answers2@%h -P threads", "answers"),
        ("celery -q -A config beat", "beat"),
        ("python -m celery -A tests.rehearsal.baseline worker -n baseline@%h", "baseline"),
        ("python -m tests.sandbox.llm --port 1", "fake providers"),
        ("python -m foundation.keeper -- python -m config.web", "web"),
        ("postgres: saudager 127.0.0.1(5) idle", "postgres"),
        ("sleep 5", "other"),
    ],
)
def test_processes_are_known_by_their_command_lines(line: str, name: str) -> None:
    assert kind(line) == name


def test_levels_rise_by_ten_and_end_where_asked() -> None:
    assert growth.levels(1_000_000) == [1000, 10_000, 100_000, 1_000_000]
    assert growth.levels(2500) == [1000, 2500]
    assert growth.ratios({1000: {"sweep": 2.0, "poll": 4.0}, 2500: {"sweep": 3.0, "poll": 4.0}}) == {"sweep": 1.5, "poll": 1.0}


def test_only_figures_of_this_run_are_held_against_the_aims() -> None:
    found = command.aims({"memory": {"idle": {"memory_mb": 512.0}}, "burst-100": {"model 800 ms": {"acknowledge": {"p95_ms": 90.0}}}})
    assert [(aim["figure"], aim["reached"]) for aim in found] == [(90.0, True), (512.0, False)]
