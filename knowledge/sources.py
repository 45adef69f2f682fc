"""The life of a document: added, read, replaced without a gap, looked for in the folder, swept up after a crash."""

from __future__ import annotations

import hashlib
import logging
import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.validators import slug_re
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from foundation.steps import start

from . import chunks, index, parsing
from .models import KnowledgeBase, Problem, Source

if TYPE_CHECKING:
    from django.contrib.auth.models import User

logger = logging.getLogger(__name__)

#: Longer than a worker may take for a document (`task_time_limit`).
LEASE_SECONDS = 150
#: A document that could not be read in time is tried again after that many seconds.
AGAIN_SECONDS = 120
#: A file changed less than that many seconds ago may still be being copied.
SETTLED_SECONDS = 2.0
SWEPT_AT_ONCE = 20
DEFAULT_BASE = "default"


# ── Adding ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def add(
    base: KnowledgeBase,
    file_name: str,
    content: bytes,
    origin: str,
    title: str = "",
    user: User | None = None,
) -> Source:
    """Put a PDF into a base and have it read; what the base already holds is returned as it is.

    A file of the same name is a new version of it: the passages of the old one answer until the new one is read.
    Raises parsing.BadDocument for what is no PDF, or empty, or too large.
    """
    return _add(base, _File(file_name, content, origin), title, user)


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    content: bytes
    origin: str
    path: str = ""
    stamp: str = ""


def _add(base: KnowledgeBase, file: _File, title: str = "", user: User | None = None) -> Source:
    parsing.check(file.content)
    digest = hashlib.sha256(file.content).hexdigest()
    with transaction.atomic():
        if not file.path:
            twin = Source.objects.filter(base=base, sha256=digest, active=True).exclude(state=Source.State.FAILED).first()
            if twin is not None:
                return twin
        values = {"content": file.content, "sha256": digest, "size": len(file.content), "uploaded_by": user}
        values |= {"origin": file.origin, "path": file.path, "stamp": file.stamp}
        source, created = Source.objects.select_for_update().get_or_create(
            base=base, file_name=file.name, defaults=values | {"title": title or _title(file.name)}
        )
        if created:
            start("parse", source.pk)
        else:
            _replace(source, values, title)
    return source


def _replace(source: Source, values: dict[str, object], title: str) -> None:
    """Give a locked row a new version of its file, or take it into use again when the file is the same."""
    removed = source.origin == Source.Origin.FOLDER and not source.stamp
    same = source.sha256 == values["sha256"] and source.state != Source.State.FAILED
    for name, value in values.items():
        setattr(source, name, value)
    source.title = title or source.title
    source.active = source.active or removed or source.origin != Source.Origin.FOLDER
    if not same:
        _queue(source)
    source.save()


def _queue(source: Source) -> None:
    """Have a row read from the start; whoever reads an older version of it loses the lease."""
    source.state, source.error, source.attempts = Source.State.QUEUED, "", 0
    source.lease_token = source.leased_until = source.next_attempt_at = None
    start("parse", source.pk)


def _title(file_name: str) -> str:
    return Path(file_name).stem.replace("_", " ").strip()[:200] or file_name[:200]


def reparse(sources: QuerySet[Source]) -> int:
    """Read documents again, whatever became of them; their present passages answer meanwhile. Returns how many."""
    count = 0
    for pk in sources.values_list("pk", flat=True):
        with transaction.atomic():
            source = Source.objects.select_for_update().filter(pk=pk).first()
            if source is not None:
                _queue(source)
                source.save()
                count += 1
    return count


# ── Reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def parse(source_id: int) -> None:
    """Read one waiting document and put its passages in place of the old ones. Safe to run twice."""
    token = _claim(source_id)
    if token is None:
        return
    content = Source.objects.values_list("content", flat=True).get(pk=source_id)
    try:
        document = parsing.read(content)
        cuts = chunks.cut(document.pages)
        if not cuts:
            raise parsing.BadDocument(Problem.NO_TEXT)
    except parsing.BadDocument as error:
        _fail(source_id, token, error)
    else:
        _swap(source_id, token, document, cuts)


def _claim(source_id: int) -> uuid.UUID | None:
    """Take a document for LEASE_SECONDS; the attempt counts before the work. None: somebody else has it, or it is done."""
    token = uuid.uuid4()
    free = Q(lease_token=None) | Q(leased_until__lt=Now())
    due = Q(next_attempt_at=None) | Q(next_attempt_at__lte=Now())
    won = Source.objects.filter(
        free, due, pk=source_id, state__in=(Source.State.QUEUED, Source.State.PARSING), attempts__lt=settings.MAX_RETRIES
    ).update(
        state=Source.State.PARSING,
        attempts=F("attempts") + 1,
        lease_token=token,
        leased_until=Now() + timedelta(seconds=LEASE_SECONDS),
    )
    return token if won else None


def _swap(source_id: int, token: uuid.UUID, document: parsing.Document, cuts: list[chunks.Cut]) -> None:
    """In one commit the old passages go and the new ones come, if the lease still holds."""
    with transaction.atomic():
        source = Source.objects.select_for_update().filter(pk=source_id, lease_token=token).first()
        if source is None:
            logger.info("document changed while it was read", extra={"source": source_id})
            return
        source.generation += 1
        index.write(source.pk, source.generation, source.title, cuts)
        source.state, source.error = Source.State.READY, ""
        source.pages, source.language = len(document.pages), document.language
        source.lease_token = source.leased_until = source.next_attempt_at = None
        source.parsed_at = Now()
        source.save()
    logger.info("document read", extra={"source": source_id, "pages": len(document.pages), "passages": len(cuts)})


def _fail(source_id: int, token: uuid.UUID, error: parsing.BadDocument) -> None:
    with transaction.atomic():
        source = Source.objects.select_for_update().filter(pk=source_id, lease_token=token).first()
        if source is None:
            return
        source.lease_token = source.leased_until = None
        if error.again and source.attempts < settings.MAX_RETRIES:
            source.state = Source.State.QUEUED
            source.next_attempt_at = Now() + timedelta(seconds=AGAIN_SECONDS)
        else:
            source.state, source.error = Source.State.FAILED, error.problem
        source.save()
    logger.warning("document not read", extra={"source": source_id, "problem": error.problem.value})


def sweep() -> int:
    """Return documents of dead workers to the queue, give up those that killed every worker, and enqueue what is due.

    Returns how many were enqueued.
    """
    lost = Source.objects.filter(state=Source.State.PARSING, leased_until__lt=Now())
    spent = lost.filter(attempts__gte=settings.MAX_RETRIES)
    given_up = spent.update(state=Source.State.FAILED, error=Problem.INTERRUPTED, lease_token=None, leased_until=None)
    if given_up:
        logger.error("documents given up", extra={"count": given_up})
    lost.update(state=Source.State.QUEUED, lease_token=None, leased_until=None)
    due = Source.objects.filter(Q(next_attempt_at=None) | Q(next_attempt_at__lte=Now()), state=Source.State.QUEUED)
    waiting = list(due.order_by("pk").values_list("pk", flat=True)[:SWEPT_AT_ONCE])
    for pk in waiting:
        start("parse", pk)
    return len(waiting)


# ── The folder ───────────────────────────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, slots=True)
class _Found:
    """A file of the folder. `slug` is the base it belongs to, `path` its place below the folder."""

    slug: str
    path: str
    file: Path
    size: int
    modified: float
    stamp: str


def scan() -> int:
    """Bring the bases up to date with KNOWLEDGE_BASE_PATH. Returns how many documents were added, changed or withdrawn.

    A subfolder is a base of that identifier; files directly in the folder belong to the base `default`. Hidden files,
    links and deeper folders are left alone. What is gone from the folder is no longer used. A folder that is not there
    at all (a volume that is not mounted) changes nothing.
    """
    folder: Path = settings.KNOWLEDGE_BASE_PATH
    if not folder.is_dir():
        return 0
    changed = 0
    seen = set()
    rows = Source.objects.values_list("base__slug", "file_name", "stamp")
    known = {(slug, name): stamp for slug, name, stamp in rows}
    for found in _files(folder):
        seen.add(found.path)
        known_stamp = known.get((found.slug, found.file.name), "")
        if known_stamp != found.stamp and not 0 <= time.time() - found.modified < SETTLED_SECONDS:
            changed += _take(found)
    return changed + _withdraw(seen)


def _files(folder: Path) -> Iterator[_Found]:
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(".") or entry.is_symlink():
            continue
        if entry.is_file():
            yield from _pdf(DEFAULT_BASE, entry.name, entry)
        elif entry.is_dir() and slug_re.match(entry.name) and len(entry.name) <= 60:
            for file in sorted(entry.iterdir()):
                if not file.name.startswith(".") and not file.is_symlink() and file.is_file():
                    yield from _pdf(entry.name, f"{entry.name}/{file.name}", file)


def _pdf(slug: str, path: str, file: Path) -> Iterator[_Found]:
    if file.suffix.lower() == ".pdf" and len(file.name) <= 200:
        status = file.stat(follow_symlinks=False)
        yield _Found(slug, path, file, status.st_size, status.st_mtime, f"{status.st_size}:{status.st_mtime_ns}")


def _take(found: _Found) -> int:
    base, _ = KnowledgeBase.objects.get_or_create(slug=found.slug, defaults={"name": found.slug})
    try:
        parsing.check_size(found.size)
        content = _bytes(found.file)
        _add(base, _File(found.file.name, content, Source.Origin.FOLDER, found.path, found.stamp))
    except parsing.BadDocument as error:
        _refuse(base, found, error.problem)
    except OSError as error:
        logger.warning("file of the folder not readable", extra={"base": base.pk, "error": type(error).__name__})
        return 0
    return 1


def _bytes(file: Path) -> bytes:
    """Content of a regular file; a link put in its place meanwhile is not followed."""
    with os.fdopen(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as stream:
        return stream.read(settings.MAX_PDF_SIZE_MB * 1024 * 1024 + 1)


def _refuse(base: KnowledgeBase, found: _Found, problem: Problem) -> None:
    """Show a file of the folder that cannot be taken at all; the passages of its older version keep answering."""
    refused = {
        "state": Source.State.FAILED, "error": problem, "origin": Source.Origin.FOLDER, "path": found.path,
        "stamp": found.stamp, "sha256": "", "lease_token": None, "leased_until": None, "next_attempt_at": None,
    }  # fmt: skip
    fresh = {"content": b"", "size": min(found.size, 2**31 - 1), "title": _title(found.file.name)}
    Source.objects.update_or_create(base=base, file_name=found.file.name, defaults=refused, create_defaults=refused | fresh)
    logger.warning("file of the folder refused", extra={"base": base.pk, "problem": problem.value})


def _withdraw(seen: set[str]) -> int:
    """Stop using documents whose file is gone. The empty stamp brings them back when the file comes back.

    Where a base waits for other documents to be read, nothing is withdrawn yet: a renamed file leaves no gap.
    """
    gone = Source.objects.filter(origin=Source.Origin.FOLDER).exclude(stamp="").exclude(path__in=seen)
    unread = Source.objects.filter(state__in=(Source.State.QUEUED, Source.State.PARSING))
    return gone.exclude(base__in=unread.values("base")).update(active=False, stamp="")
