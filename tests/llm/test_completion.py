"""Order, falling on, waits, deadline, breaker and journal."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.core.cache import cache
from django.db import DatabaseError

from foundation.errors import Retry
from llm import breaker, completion, roster
from llm.completion import NoModel, complete
from llm.models import LanguageModel, Usage
from llm.providers import offline
from tests.sandbox.llm import FakeLLM

from .conftest import ASKED, KEY, asking, spoken

Row = Callable[..., LanguageModel]
Later = Callable[[float], None]
QUOTE = "Доставка по Алматы стоит 1 500 тенге."

pytestmark = pytest.mark.django_db


@pytest.fixture
def saved(row: Row) -> Row:
    def make(kind: str = "gemini", **fields: Any) -> LanguageModel:
        model = row(kind, **fields)
        model.save()
        return model

    return make


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that would have been made."""
    made: list[float] = []
    monkeypatch.setattr(completion, "sleep", made.append)
    return made


@pytest.fixture(autouse=True)
def functions(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    taught: dict[str, Any] = {"answer": lambda facts: {"reply": f"offline {facts.get('n', '')}".strip()}}
    monkeypatch.setattr(offline, "_functions", taught)
    return taught


@pytest.fixture
def later(time_machine: Any) -> Later:
    """Let so many seconds pass."""
    time_machine.move_to(datetime.now(UTC), tick=True)
    return time_machine.shift  # type: ignore[no-any-return]


def outcomes() -> list[tuple[str, str]]:
    return list(Usage.objects.order_by("id").values_list("model_name", "outcome"))


def test_the_first_enabled_model_by_position_answers(fake: FakeLLM, saved: Row) -> None:
    saved(name="second", position=2)
    saved(name="first", position=1, input_price=Decimal("2"), output_price=Decimal("10"))
    saved(name="off", position=0, enabled=False)
    done = complete(asking(), reference="turn 17")
    assert (done.model, done.answer.reply, done.degraded) == ("first", QUOTE, False)
    usage = Usage.objects.get()
    assert (usage.model.name, usage.outcome, usage.reference, usage.purpose) == ("first", "ok", "turn 17", "answer")
    expected = (usage.input_tokens * 2 + (usage.output_tokens + usage.thinking_tokens) * 10) / Decimal(1_000_000)
    assert usage.cost == expected.quantize(Decimal("0.000001"))
    assert done.cost == pytest.approx(float(expected))
    assert usage.thinking_tokens == done.thinking_tokens == 7


def test_given_models_take_the_place_of_the_global_order(fake: FakeLLM, saved: Row) -> None:
    saved(name="global", position=1)
    mine, off = saved("openai", name="mine", position=9), saved(name="disabled", enabled=False)
    assert complete(asking(), models=[off, mine]).model == "mine"
    assert outcomes() == [("mine", "ok")]


@pytest.mark.parametrize(
    ("fault", "outcome", "tries"),
    [
        ("rate_limited", "rate_limited", 3),
        ("error", "unavailable", 3),
        ("unavailable", "unavailable", 3),
        ("hang_up", "unavailable", 3),
        ("unauthorized", "unauthorized", 1),
        ("gone", "rejected", 1),
        ("bad_request", "rejected", 1),
        ("blocked", "blocked", 1),
        ("cut", "cut", 1),
        ("malformed", "malformed", 1),
        ("wrong_schema", "malformed", 1),
    ],
)
def test_every_failure_falls_on_to_the_next_model(fault: str, outcome: str, tries: int, fake: FakeLLM, saved: Row) -> None:
    broken = saved(name="broken", position=1)
    saved("openai", name="next", position=2)
    fake.fail(fault, times=tries, model="gemini-model")
    done = complete(asking())
    assert (done.model, done.answer.reply) == ("next", QUOTE)
    assert outcomes() == [("broken", outcome)] * tries + [("next", "ok")]
    broken.refresh_from_db()
    assert broken.last_error.startswith("broken: ")
    assert KEY not in broken.last_error
    assert ASKED not in broken.last_error
    assert broken.last_error_at is not None


def test_tokens_of_unusable_answers_are_paid_for(fake: FakeLLM, saved: Row) -> None:
    saved(input_price=Decimal("1000"))
    for fault in ("malformed", "blocked", "cut"):
        fake.fail(fault)
        complete(asking())
    assert all(
        cost > 0 for cost in Usage.objects.exclude(outcome="ok").filter(model_name="gemini").values_list("cost", flat=True)
    )


def test_a_passing_trouble_is_waited_out(fake: FakeLLM, saved: Row, waits: list[float]) -> None:
    saved()
    fake.fail("unavailable", times=2)
    assert complete(asking()).answer.reply == QUOTE
    assert outcomes() == [("gemini", "unavailable")] * 2 + [("gemini", "ok")]
    assert len(waits) == 2
    assert all(0 < pause <= 2.6 for pause in waits)


def test_answers_wrapped_in_other_words_are_read(fake: FakeLLM, saved: Row) -> None:
    saved("vllm")
    fake.fail("fenced")
    assert complete(asking()).answer.reply == QUOTE


def test_a_wait_asked_for_is_kept_only_by_the_last_model(fake: FakeLLM, saved: Row, waits: list[float]) -> None:
    saved(name="first", position=1)
    saved(name="last", position=2, model_id="last-model")
    fake.fail("rate_limited", model="gemini-model", after=7)
    fake.fail("rate_limited", model="last-model", after=5)
    assert complete(asking()).model == "last"
    assert waits == [5]


def test_a_wait_longer_than_the_budget_is_not_begun(fake: FakeLLM, saved: Row, waits: list[float]) -> None:
    saved()
    fake.fail("rate_limited", times=3, after=120)
    done = complete(asking())
    assert (done.model, done.degraded, waits) == ("offline", True, [])


def test_over_in_time_and_the_next_model_gets_its_share(fake: FakeLLM, saved: Row) -> None:
    saved(name="silent", position=1)
    saved("openai", name="next", position=2)
    fake.fail("timeout", times=5, model="gemini-model")
    started = time.monotonic()
    done = complete(asking(), deadline=1.2)
    assert (done.model, done.answer.reply) == ("next", QUOTE)
    assert time.monotonic() - started < 1.2
    assert ("silent", "timeout") in outcomes()


@pytest.mark.parametrize("fault", ["timeout", "drip"])
def test_over_in_time_when_nobody_answers(fault: str, fake: FakeLLM, saved: Row) -> None:
    saved(name="one", position=1)
    saved("openai", name="two", position=2)
    fake.fail(fault, times=20)
    started = time.monotonic()
    done = complete(asking(), deadline=1.2)
    assert (done.model, done.degraded) == ("offline", True)
    assert time.monotonic() - started < 1.6


def test_a_call_gets_the_least_of_the_limits(fake: FakeLLM, saved: Row, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, seen = saved(timeout=20), []
    monkeypatch.setattr(completion, "ask", lambda *_args, timeout, **_rest: seen.append(timeout) or _boom())
    for llm_timeout, deadline in ((30, None), (5, None), (30, 3)):
        settings.LLM_TIMEOUT_SECONDS = llm_timeout
        with pytest.raises(ZeroDivisionError):
            complete(asking(), models=[model], deadline=deadline)
    assert seen[:2] == [20, 5]
    assert 2.5 < seen[2] <= 3


def _boom() -> float:
    return 1 / 0


def test_only_models_that_hear_get_sounds(fake: FakeLLM, saved: Row) -> None:
    saved(name="deaf", position=1, supports_audio=False)
    saved(name="hears", position=2)
    assert complete(spoken()).model == "hears"
    assert outcomes() == [("hears", "ok")]


def test_offline_answers_last_from_the_facts(saved: Row) -> None:
    done = complete(asking(facts={"n": 5}))
    assert (done.answer.reply, done.model, done.degraded) == ("offline 5", "offline", False)
    assert Usage.objects.get().model is None


def test_the_row_of_the_offline_model_is_used_last_wherever_it_stands(fake: FakeLLM, saved: Row) -> None:
    saved("offline", name="plan-b", position=0)
    network = saved(position=5)
    assert complete(asking()).model == "gemini"
    network.enabled = False
    network.save()
    done = complete(asking())
    assert (done.model, done.degraded) == ("plan-b", False)
    assert Usage.objects.last().model.name == "plan-b"


def test_nobody_can(fake: FakeLLM, saved: Row) -> None:
    with pytest.raises(NoModel) as caught:
        complete(asking(purpose="transcribe"))
    assert not caught.value.temporary
    saved()
    fake.fail("unavailable", times=3)
    with pytest.raises(NoModel) as caught:
        complete(asking(purpose="transcribe"))
    assert caught.value.temporary
    assert isinstance(caught.value.failures[0], Retry)


def test_an_offline_function_that_breaks_is_no_answer(functions: dict[str, Any]) -> None:
    functions["answer"] = lambda facts: facts["missing"]
    with pytest.raises(NoModel):
        complete(asking())
    functions["answer"] = lambda facts: {"wrong": 1}
    with pytest.raises(NoModel):
        complete(asking())


def test_an_sdk_that_breaks_does_not_keep_the_next_model_from_answering(
    fake: FakeLLM, saved: Row, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from llm.providers.gemini import Gemini

    def broken(*_args: object, **_rest: object) -> None:
        raise TypeError(f"{KEY} {ASKED}")

    saved(name="broken", position=1)
    saved("openai", name="next", position=2)
    monkeypatch.setattr(Gemini, "complete", broken)
    with caplog.at_level(logging.INFO):
        assert complete(asking()).model == "next"
    assert outcomes()[0] == ("broken", "rejected")
    assert KEY not in caplog.text + str([vars(record) for record in caplog.records])


def test_nothing_secret_is_logged(fake: FakeLLM, saved: Row, caplog: pytest.LogCaptureFixture) -> None:
    saved()
    fake.fail("error", times=2)
    with caplog.at_level(logging.INFO):
        complete(asking())
    told = caplog.text + str([vars(record) for record in caplog.records if record.name.startswith("llm")])
    assert KEY not in told
    assert ASKED not in told


def test_the_shown_error_goes_when_the_model_has_recovered(fake: FakeLLM, saved: Row, later: Later) -> None:
    model = saved()
    fake.fail("gone")
    complete(asking())
    complete(asking())
    model.refresh_from_db()
    assert model.last_error, "one success right after does not make it flicker"
    later(60)
    complete(asking())
    model.refresh_from_db()
    assert (model.last_error, model.last_error_at) == ("", None)


def test_a_healthy_call_costs_one_insert(fake: FakeLLM, saved: Row, django_assert_num_queries: Any) -> None:
    saved()
    complete(asking())
    with django_assert_num_queries(1):
        complete(asking())


def test_a_saved_change_is_seen_at_once(fake: FakeLLM, saved: Row) -> None:
    model = saved()
    assert roster.enabled()[0].timeout == 30
    model.timeout = 9
    model.save()
    assert roster.enabled()[0].timeout == 9
    model.delete()
    assert roster.enabled() == []


def test_an_answer_is_worth_more_than_its_journal_line(fake: FakeLLM, saved: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_statement: object) -> None:
        raise DatabaseError

    saved()
    monkeypatch.setattr("llm.usage.execute", away)
    assert complete(asking()).answer.reply == QUOTE


# ── Breaker ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def fail_times(model: LanguageModel, times: int) -> None:
    for _ in range(times):
        admission = breaker.enter(model.pk)
        assert admission
        admission.failed()


def test_the_breaker_opens_probes_and_closes(fake: FakeLLM, saved: Row, later: Later) -> None:
    saved()
    fake.fail("unavailable", times=5)
    complete(asking())
    complete(asking())
    assert len(fake.calls) == 5, "three tries, then two until it opens"
    assert complete(asking()).model == "offline"
    assert len(fake.calls) == 5
    assert Usage.objects.exclude(model_name="offline").count() == 5, "skipping is not journaled"
    later(31)
    fake.fail("unavailable", times=1)
    complete(asking())
    assert len(fake.calls) == 6, "one probe, which fails"
    complete(asking())
    assert len(fake.calls) == 6
    later(31)
    assert complete(asking()).model == "gemini"
    assert complete(asking()).model == "gemini"
    assert len(fake.calls) == 8


def test_only_one_probe_at_a_time(saved: Row, later: Later) -> None:
    model = saved()
    fail_times(model, 5)
    assert breaker.enter(model.pk) is None
    later(31)
    probe = breaker.enter(model.pk)
    assert probe
    assert probe.probe
    assert breaker.enter(model.pk) is None
    probe.succeeded()
    assert breaker.enter(model.pk) == breaker.Admission(model.pk)


def test_only_failures_in_a_row_count(saved: Row) -> None:
    model = saved()
    fail_times(model, 4)
    admission = breaker.enter(model.pk)
    assert admission
    admission.succeeded()
    fail_times(model, 4)
    assert breaker.enter(model.pk) is not None


def test_what_customers_write_cannot_open_the_breaker(fake: FakeLLM, saved: Row) -> None:
    saved()
    fake.fail("blocked", times=9)
    for _ in range(9):
        complete(asking())
    assert len(fake.calls) == 9


def test_the_breaker_lets_through_when_the_cache_is_away(fake: FakeLLM, saved: Row, settings: Any) -> None:
    model = saved()
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:9/0"}}
    assert breaker.enter(model.pk) is not None
    started = time.perf_counter()
    for _ in range(100):
        assert complete(asking(), models=[]).model == "offline"
        admission = breaker.enter(model.pk)
        assert admission
        admission.failed()
    assert time.perf_counter() - started < 5
    assert complete(asking()).model == "gemini"


def test_entering_costs_less_than_a_millisecond(saved: Row) -> None:
    model = saved()
    breaker.enter(model.pk)
    started = time.process_time()
    for _ in range(200):
        admission = breaker.enter(model.pk)
        assert admission
        admission.succeeded()
    assert (time.process_time() - started) / 200 < 0.001
    assert not cache.get(f"llm:breaker:{model.pk}:failures")
