"""Knowledge bases and their files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from knowledge import sources
from knowledge.models import KnowledgeBase, Source
from knowledge.parsing import BadDocument

from .document import Base, File
from .reading import ProvisionError
from .report import Change, Report, shown
from .rows import put, remove


def put_base(report: Report, shape: Base, directory: Path) -> None:
    """A base and the files that the patterns find from `directory`. Raises ProvisionError."""
    if shape.state == "absent":
        return
    row = KnowledgeBase.objects.filter(slug=shape.base).first()
    base = row or KnowledgeBase(slug=shape.base, name=shape.name or shape.base)
    put(report, "knowledge base", base, shape.base, {"name": shape.name} if shape.name else {})
    for file in shape.files:
        if file.state == "absent":
            name = Path(file.path).name
            remove(report, "document", Source.objects.filter(base=base, file_name=name).first(), f"{shape.base}/{name}")
            continue
        for path in _matching(file, shape, directory):
            _put_file(report, base, path, file.title)


def remove_base(report: Report, shape: Base) -> None:
    """Take away a base that the file wants absent, after the assistants let go of it."""
    if shape.state == "absent":
        remove(report, "knowledge base", KnowledgeBase.objects.filter(slug=shape.base).first(), shape.base)


def _matching(file: File, shape: Base, directory: Path) -> Iterator[Path]:
    pattern = Path(file.path)
    root = Path(pattern.anchor) if pattern.is_absolute() else directory
    found = sorted(path for path in root.glob(str(pattern.relative_to(pattern.anchor))) if path.is_file())
    if not found:
        raise ProvisionError(f"knowledge base {shape.base}: no file matches {file.path}.")
    if file.title and len(found) > 1:
        raise ProvisionError(f"knowledge base {shape.base}: {file.path} matches {len(found)} files: they cannot share a title.")
    yield from found


def _put_file(report: Report, base: KnowledgeBase, path: Path, title: str) -> None:
    name = f"{base.slug}/{path.name}"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ProvisionError(f"document {name} cannot be read: {type(error).__name__}.") from None
    known = Source.objects.filter(base=base, file_name=path.name).first()
    if known is None or known.sha256 != hashlib.sha256(content).hexdigest():
        try:
            source = sources.add(base, path.name, content, Source.Origin.PROVISION, title=title)
        except BadDocument as error:
            raise ProvisionError(f"document {name}: {error.problem.label}") from None
        if source.file_name != path.name:
            report.add("document", name, "unchanged", remark=f"the base has it as {source.file_name}")
        elif known is None:
            report.add("document", name, "created", [Change("size", "—", f"{len(content)} bytes")])
        else:
            report.add("document", name, "changed", [Change("size", f"{known.size} bytes", f"{len(content)} bytes")])
    elif title and known.title != title:
        report.add("document", name, "changed", [Change("title", shown(known.title), shown(title))])
        Source.objects.filter(pk=known.pk).update(title=title)
        sources.reparse(Source.objects.filter(pk=known.pk))  # a title is part of what the passages are found by
    else:
        report.add("document", name, "unchanged")
