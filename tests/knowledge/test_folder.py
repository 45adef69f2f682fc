"""Documents that come from the folder."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from knowledge import sources, tasks
from knowledge.models import KnowledgeBase, Problem, Source

from .conftest import lines, pdf
from .test_sources import NEW, OLD, add, answers


@pytest.fixture
def folder(tmp_path: Path, settings: Any, db: None) -> Path:
    settings.KNOWLEDGE_BASE_PATH = tmp_path / "knowledge_base"
    settings.KNOWLEDGE_BASE_PATH.mkdir()
    return settings.KNOWLEDGE_BASE_PATH


def put(path: Path, text: str, *, age: float = 60) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(pdf(lines(text)))
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def read_all() -> None:
    for pk in Source.objects.filter(state="queued").values_list("pk", flat=True):
        sources.parse(pk)


def test_subfolders_are_bases(folder: Path) -> None:
    put(folder / "common.pdf", OLD)
    put(folder / "shop" / "prices.PDF", NEW)
    assert sources.scan() == 2
    rows = Source.objects.values_list("base__slug", "file_name", "path", "origin").order_by("path")
    assert list(rows) == [
        ("default", "common.pdf", "common.pdf", "folder"),
        ("shop", "prices.PDF", "shop/prices.PDF", "folder"),
    ]
    assert sources.scan() == 0


def test_a_changed_file_is_read_again(folder: Path) -> None:
    put(folder / "prices.pdf", OLD)
    tasks.scan()
    read_all()
    put(folder / "prices.pdf", NEW, age=30)
    assert sources.scan() == 1
    base = KnowledgeBase.objects.get()
    assert answers(base) == [OLD]
    read_all()
    assert answers(base) == [NEW]


def test_a_touched_file_is_not_read_again(folder: Path) -> None:
    path = put(folder / "prices.pdf", OLD)
    sources.scan()
    read_all()
    os.utime(path, (time.time() - 30, time.time() - 30))
    sources.scan()
    assert Source.objects.get().state == "ready"
    assert sources.scan() == 0


def test_a_removed_file_is_withdrawn_and_comes_back(folder: Path) -> None:
    path = put(folder / "prices.pdf", OLD)
    sources.scan()
    read_all()
    base = KnowledgeBase.objects.get()
    path.unlink()
    assert sources.scan() == 1 and answers(base) == []
    assert sources.scan() == 0
    put(path, OLD)
    assert sources.scan() == 1 and answers(base) == [OLD]


def test_a_renamed_file_leaves_no_gap(folder: Path) -> None:
    path = put(folder / "prices.pdf", OLD)
    sources.scan()
    read_all()
    base = KnowledgeBase.objects.get()
    path.rename(folder / "prices-2026.pdf")
    sources.scan()
    assert answers(base) == [OLD]
    read_all()
    sources.scan()
    assert answers(base) == [OLD] and Source.objects.filter(active=True).count() == 1


def test_what_a_manager_switched_off_stays_off(folder: Path) -> None:
    put(folder / "prices.pdf", OLD)
    sources.scan()
    Source.objects.update(active=False)
    assert sources.scan() == 0
    put(folder / "prices.pdf", NEW, age=30)
    sources.scan()
    assert Source.objects.get().active is False


def test_a_file_that_is_being_written_waits(folder: Path) -> None:
    path = put(folder / "prices.pdf", OLD, age=0.5)
    assert sources.scan() == 0
    os.utime(path, (time.time() - 3, time.time() - 3))
    assert sources.scan() == 1


def test_links_hidden_and_foreign_files_are_left_alone(folder: Path, tmp_path: Path) -> None:
    outside = put(tmp_path / "outside.pdf", OLD)
    (folder / "link.pdf").symlink_to(outside)
    (folder / "linked").symlink_to(tmp_path)
    put(folder / ".hidden.pdf", OLD)
    put(folder / ".git" / "a.pdf", OLD)
    put(folder / "имя папки" / "a.pdf", OLD)
    (folder / "notes.txt").write_text("notes")
    assert sources.scan() == 0 and not Source.objects.exists()


def test_a_bad_file_of_the_folder_is_shown_once(folder: Path, settings: Any) -> None:
    settings.MAX_PDF_SIZE_MB = 1
    for name, content in (("big.pdf", b"%PDF-" + b"x" * 2**20), ("empty.pdf", b""), ("page.pdf", b"<html>")):
        (folder / name).write_bytes(content)
        os.utime(folder / name, (1_700_000_000, 1_700_000_000))
    assert sources.scan() == 3
    shown = dict(Source.objects.values_list("file_name", "error"))
    assert shown == {"big.pdf": Problem.TOO_LARGE, "empty.pdf": Problem.EMPTY, "page.pdf": Problem.NOT_PDF}
    assert sources.scan() == 0
    put(folder / "empty.pdf", OLD)
    assert sources.scan() == 1
    read_all()
    assert Source.objects.get(file_name="empty.pdf").state == "ready"


def test_a_folder_that_is_away_changes_nothing(folder: Path, settings: Any) -> None:
    put(folder / "prices.pdf", OLD)
    sources.scan()
    read_all()
    settings.KNOWLEDGE_BASE_PATH = folder / "unmounted"
    assert sources.scan() == 0
    assert Source.objects.get().active


def test_an_uploaded_document_is_not_withdrawn_by_the_folder(folder: Path, base: KnowledgeBase) -> None:
    source = add(base, OLD)
    assert sources.scan() == 0
    source.refresh_from_db()
    assert source.active
