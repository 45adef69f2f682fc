"""The life of a document, with the faults that may hit it."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections
from django.utils import timezone

from foundation.crypto import CannotOpen
from knowledge import chunks, parsing, sources, tasks
from knowledge.models import Chunk, KnowledgeBase, Problem, Source
from knowledge.search import search

from .conftest import lines, pdf

OLD, NEW = "Доставка стоит 1 500 ₸ по городу", "Доставка стоит 2 000 ₸ по городу"


def add(base: KnowledgeBase, text: str, name: str = "prices.pdf") -> Source:
    return sources.add(base, name, pdf(lines(text)), Source.Origin.UPLOAD)


def answers(base: KnowledgeBase) -> list[str]:
    return [passage.text for passage in search([base.pk], "доставка")]


def state(source: Source) -> tuple[str, str]:
    source.refresh_from_db()
    return source.state, source.error


# ── Adding and reading ───────────────────────────────────────────────────────────────────────────────────────────────
def test_a_document_is_read_by_its_task(base: KnowledgeBase, broker: Any, django_capture_on_commit_callbacks: Any) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        source = add(base, OLD)
    assert broker.named("knowledge.parse") == [source.pk]
    assert answers(base) == []
    tasks.parse(source.pk)
    source.refresh_from_db()
    assert (source.state, source.generation, source.pages, source.language, source.title) == ("ready", 1, 1, "ru", "prices")
    assert answers(base) == [OLD]
    assert source.parsed_at is not None and source.lease_token is None


def test_the_document_is_sealed_in_the_database(base: KnowledgeBase) -> None:
    source = add(base, OLD)
    with connection.cursor() as cursor:
        cursor.execute("SELECT content FROM knowledge_source WHERE id = %s", [source.pk])
        stored = bytes(cursor.fetchone()[0])
    assert b"PDF" not in stored
    assert Source.objects.get(pk=source.pk).content.startswith(b"%PDF")


def test_the_same_content_is_added_once(base: KnowledgeBase) -> None:
    source = add(base, OLD)
    sources.parse(source.pk)
    assert add(base, OLD).pk == source.pk
    assert add(base, OLD, "copy.pdf").pk == source.pk
    assert state(source) == ("ready", "")
    other = KnowledgeBase.objects.create(slug="other", name="Other")
    assert add(other, OLD).pk != source.pk


def test_a_failed_document_may_be_added_again(base: KnowledgeBase) -> None:
    source = add(base, OLD)
    Source.objects.filter(pk=source.pk).update(state="failed", error="too_slow", attempts=3)
    assert add(base, OLD).pk == source.pk
    assert state(source) == ("queued", "")


@pytest.mark.parametrize("content", [b"", b"hello", b"%PD"])
def test_what_is_no_document_is_not_stored(base: KnowledgeBase, content: bytes) -> None:
    with pytest.raises(parsing.BadDocument):
        sources.add(base, "a.pdf", content, Source.Origin.UPLOAD)
    assert not Source.objects.exists()


def test_a_bad_document_fails_with_a_reason(base: KnowledgeBase) -> None:
    source = sources.add(base, "a.pdf", b"%PDF-1.4 nothing", Source.Origin.UPLOAD)
    sources.parse(source.pk)
    assert state(source) == ("failed", Problem.BROKEN)


def test_a_slow_document_is_tried_again_and_then_given_up(
    base: KnowledgeBase, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    source = add(base, OLD)

    def slow(_content: bytes) -> None:
        raise parsing.BadDocument(Problem.TOO_SLOW, again=True)

    monkeypatch.setattr(parsing, "read", slow)
    for attempt in range(1, settings.MAX_RETRIES):
        sources.parse(source.pk)
        assert state(source) == ("queued", "") and source.attempts == attempt
        sources.parse(source.pk)  # not due yet
        assert source.attempts == attempt
        Source.objects.filter(pk=source.pk).update(next_attempt_at=timezone.now() - timedelta(seconds=1))
    sources.parse(source.pk)
    assert state(source) == ("failed", Problem.TOO_SLOW)


# ── Replacement without a gap ────────────────────────────────────────────────────────────────────────────────────────
def test_the_old_version_answers_until_the_new_one_is_read(base: KnowledgeBase, monkeypatch: pytest.MonkeyPatch) -> None:
    source = add(base, OLD)
    sources.parse(source.pk)
    assert add(base, NEW).pk == source.pk
    assert answers(base) == [OLD]
    read = parsing.read

    def read_and_look(content: bytes) -> parsing.Document:
        document = read(content)
        assert answers(base) == [OLD]
        return document

    monkeypatch.setattr(parsing, "read", read_and_look)
    sources.parse(source.pk)
    assert answers(base) == [NEW]
    assert Chunk.objects.count() == 1


def test_a_bad_new_version_leaves_the_old_one_answering(base: KnowledgeBase) -> None:
    source = add(base, OLD)
    sources.parse(source.pk)
    sources.add(base, "prices.pdf", b"%PDF-1.4 nothing", Source.Origin.UPLOAD)
    sources.parse(source.pk)
    assert state(source) == ("failed", Problem.BROKEN)
    assert answers(base) == [OLD]


def test_a_version_that_was_replaced_while_it_was_read_writes_nothing(
    base: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = add(base, OLD)
    read = parsing.read

    def replaced_meanwhile(content: bytes) -> parsing.Document:
        monkeypatch.setattr(parsing, "read", read)
        add(base, NEW)
        return read(content)

    monkeypatch.setattr(parsing, "read", replaced_meanwhile)
    sources.parse(source.pk)
    assert state(source) == ("queued", "") and answers(base) == []
    sources.parse(source.pk)
    assert answers(base) == [NEW]


@pytest.mark.django_db(transaction=True)
def test_readers_see_the_old_passages_or_the_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    base = KnowledgeBase.objects.create(slug="demo", name="Demo")
    source = add(base, OLD)
    sources.parse(source.pk)
    seen: set[str] = set()
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            seen.add("|".join(answers(base)))
        connections.close_all()

    reader = threading.Thread(target=look)
    reader.start()
    try:
        for text in (NEW, OLD, NEW):
            add(base, text)
            sources.parse(source.pk)
    finally:
        stop.set()
        reader.join()
    assert seen <= {OLD, NEW}


def test_reading_again_keeps_the_passages_meanwhile(base: KnowledgeBase) -> None:
    source = add(base, OLD)
    sources.parse(source.pk)
    assert sources.reparse(Source.objects.all()) == 1
    assert state(source) == ("queued", "") and answers(base) == [OLD]
    sources.parse(source.pk)
    assert source.generation == 1 and state(source) == ("ready", "") and source.generation == 2


# ── Workers ──────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.django_db(transaction=True)
def test_two_workers_read_a_document_once(monkeypatch: pytest.MonkeyPatch) -> None:
    base = KnowledgeBase.objects.create(slug="demo", name="Demo")
    source = add(base, OLD)
    reads: list[int] = []
    read = parsing.read

    def counted(content: bytes) -> parsing.Document:
        reads.append(1)
        return read(content)

    monkeypatch.setattr(parsing, "read", counted)

    def work() -> None:
        sources.parse(source.pk)
        connections.close_all()

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(reads) == 1
    assert state(source) == ("ready", "") and source.attempts == 1


class Killed(BaseException):
    """The worker dies: nothing after it runs."""


def killed(*_args: Any) -> Any:
    raise Killed


def test_a_dead_workers_document_comes_back(base: KnowledgeBase, monkeypatch: pytest.MonkeyPatch) -> None:
    source = add(base, OLD)
    monkeypatch.setattr(parsing, "read", killed)
    with pytest.raises(Killed):
        sources.parse(source.pk)
    assert state(source) == ("parsing", "")
    assert sources.sweep() == 0  # the lease holds
    expire(source)
    assert sources.sweep() == 1
    monkeypatch.undo()
    sources.parse(source.pk)
    assert state(source) == ("ready", "") and source.attempts == 2


def test_a_worker_that_was_thought_dead_writes_nothing(base: KnowledgeBase, monkeypatch: pytest.MonkeyPatch) -> None:
    source = add(base, OLD)
    read = parsing.read

    def overtaken(content: bytes) -> parsing.Document:
        monkeypatch.setattr(parsing, "read", read)
        expire(source)
        sources.parse(source.pk)  # the other worker
        return parsing.Document([], "ru")

    monkeypatch.setattr(parsing, "read", overtaken)
    monkeypatch.setattr(chunks, "cut", lambda pages: _cut(pages) or [chunks.Cut(1, "", "zombie")])
    sources.parse(source.pk)
    assert answers(base) == [OLD] and state(source) == ("ready", "") and source.generation == 1


_cut = chunks.cut


def test_a_document_that_kills_every_worker_is_given_up(
    base: KnowledgeBase, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    source = add(base, OLD)
    monkeypatch.setattr(parsing, "read", killed)
    for _ in range(settings.MAX_RETRIES):
        with pytest.raises(Killed):
            sources.parse(source.pk)
        expire(source)
    sources.parse(source.pk)  # no further attempt
    tasks.sweep()
    assert state(source) == ("failed", Problem.INTERRUPTED)
    assert sources.sweep() == 0


def test_an_unknown_key_leaves_the_document_to_the_sweeper(base: KnowledgeBase, settings: Any) -> None:
    source = add(base, OLD)
    settings.ENCRYPTION_KEYS = {"other": bytes(32)}
    with pytest.raises(CannotOpen):
        sources.parse(source.pk)
    assert Source.objects.values_list("state", flat=True).get() == "parsing"


def test_a_lost_hint_is_sent_again(base: KnowledgeBase, broker: Any, django_capture_on_commit_callbacks: Any) -> None:
    source = add(base, OLD)
    with django_capture_on_commit_callbacks(execute=True):
        assert sources.sweep() == 1
    assert broker.named("knowledge.parse") == [source.pk]


def expire(source: Source) -> None:
    Source.objects.filter(pk=source.pk).update(leased_until=timezone.now() - timedelta(seconds=1))
