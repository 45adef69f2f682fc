"""The labelled sets, decided by the assistant's own rules, and the command that shows how well."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from llm.models import LanguageModel
from sales import evaluation

EVALS = Path(__file__).resolve().parent.parent.parent / "evals"
#: Lines that a set must have at least, over all its files.
SIZES = {"commitment": 150, "moderation": 100, "booking": 150, "guard": 60, "opt_out": 100}
#: What must be right: of the lines worked with, and of those that no rule was made for.
TUNED, HELD_OUT = 0.97, 0.92


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("evaluate", *arguments, stdout=out)
    return out.getvalue()


def score(path: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(run(path.name.partition(".")[0], str(path), "--json"))
    return told


@pytest.mark.parametrize("path", sorted(EVALS.glob("*.tuned.jsonl")), ids=lambda path: path.name)
def test_what_was_worked_with_stays_right(path: Path) -> None:
    assert score(path)["accuracy"] >= TUNED


@pytest.mark.parametrize("path", sorted(EVALS.glob("*.heldout.jsonl")), ids=lambda path: path.name)
def test_what_nobody_tuned_for_is_mostly_right(path: Path) -> None:
    assert score(path)["accuracy"] >= HELD_OUT


def test_no_client_is_called_something_else() -> None:
    assert score(EVALS / "moderation.heldout.jsonl")["confusion"]["true"].get("false", 0) == 0
    learnt = score(EVALS / "moderation.tuned.jsonl")["confusion"]["true"]
    assert learnt.get("false", 0) <= 0.002 * sum(learnt.values())


@pytest.mark.parametrize(("subject", "least"), SIZES.items())
def test_the_sets_are_large_enough(subject: str, least: int) -> None:
    files = EVALS.glob(f"{subject}.*.jsonl")
    assert sum(bool(line.strip()) for path in files for line in path.read_text().splitlines()) >= least


def test_a_table_for_people_and_the_lines_that_differ(tmp_path: Path) -> None:
    lines = tmp_path / "lines.jsonl"
    lines.write_text('# two lines\n\n{"text": "Да, давайте", "expected": "yes"}\n{"text": "Нет, спасибо", "expected": "yes"}\n')
    told = run("commitment", str(lines), "--wrong")
    assert '{"accuracy": 0.5, "total": 2}' in told
    assert '"line": 4' in told and "expected" in told.splitlines()[0]


@pytest.mark.parametrize(
    ("subject", "line", "why"),
    [
        ("commitment", "not json", "line 1: not a JSON object"),
        ("commitment", "[1]", "text, expected is missing"),
        ("moderation", '{"messages": [], "expected": true}', "contact is missing"),
        ("booking", '{"now": "2026-11-20T10:00", "text": "в 11", "expected": null}', "needs an offset"),
        ("booking", '{"now": "yesterday", "text": "в 11", "expected": null}', "line 1"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, subject: str, line: str, why: str) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text(line)
    with pytest.raises(CommandError, match=why):
        run(subject, str(path))


def test_a_file_that_is_not_there_or_empty_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file"):
        run("guard", str(tmp_path / "nothing.jsonl"))
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n")
    with pytest.raises(CommandError, match="no labelled line"):
        run("guard", str(empty))


@pytest.mark.django_db
def test_an_unknown_model_is_named(tmp_path: Path) -> None:
    LanguageModel.objects.create(name="known", kind="gemini", model_id="x")
    with pytest.raises(CommandError, match="no language model is called other; there are: known"):
        run("commitment", str(EVALS / "commitment.heldout.jsonl"), "--provider", "other")


@pytest.mark.django_db
def test_the_guard_asks_no_model() -> None:
    LanguageModel.objects.create(name="known", kind="gemini", model_id="x")
    with pytest.raises(CommandError, match="decided by code"):
        run("guard", str(EVALS / "guard.heldout.jsonl"), "--provider", "known")


@pytest.mark.django_db
@pytest.mark.parametrize("subject", ["commitment", "moderation", "booking", "opt_out"])
def test_a_model_is_asked_the_way_the_product_asks_it(subject: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The offline model stands in for a network one: what counts here is that the question can be put and read."""
    monkeypatch.setattr(evaluation, "ask", lambda request, model, **options: _offline(request))
    LanguageModel.objects.create(name="known", kind="gemini", model_id="x")
    first = next(line for line in (EVALS / f"{subject}.tuned.jsonl").read_text().splitlines() if line.strip())
    lines = tmp_path / "lines.jsonl"
    lines.write_text(first)
    assert json.loads(run(subject, str(lines), "--provider", "known", "--json"))["total"] == 1


def _offline(request: Any) -> Any:
    from llm import completion, roster

    return completion.ask(request, roster.offline(), timeout=1.0)
