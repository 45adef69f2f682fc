"""Documents to read and search: the demo company's, and PDFs drawn for one test."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from knowledge import chunks, index, parsing
from knowledge.models import KnowledgeBase, Source

DEMO = Path(settings.BASE_DIR) / "demo"
FILES = ("products.pdf", "prices.pdf", "faq.pdf")

Draw = Callable[[Canvas], None]


@pytest.fixture(scope="session", autouse=True)
def fonts() -> None:
    pdfmetrics.registerFont(TTFont("DejaVu", DEMO / "fonts" / "DejaVuSans.ttf"))
    pdfmetrics.registerFont(TTFont("DejaVu-Bold", DEMO / "fonts" / "DejaVuSans-Bold.ttf"))


def pdf(*pages: Draw, **options: object) -> bytes:
    """A PDF whose pages are drawn by the given functions."""
    out = io.BytesIO()
    canvas = Canvas(out, invariant=1, **options)
    for draw in pages:
        canvas.setFont("DejaVu", 11)
        draw(canvas)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def lines(*texts: str) -> Draw:
    """A page with one paragraph a line."""

    def draw(canvas: Canvas) -> None:
        for number, text in enumerate(texts):
            canvas.drawString(60, 700 - 40 * number, text)

    return draw


@pytest.fixture(scope="session")
def demo_documents() -> dict[str, tuple[parsing.Document, list[chunks.Cut]]]:
    documents = {name: parsing.read((DEMO / "knowledge" / name).read_bytes()) for name in FILES}
    return {name: (document, chunks.cut(document.pages)) for name, document in documents.items()}


@pytest.fixture
def base(db: None) -> KnowledgeBase:
    return KnowledgeBase.objects.create(slug="demo", name="Demo")


@pytest.fixture
def demo(base: KnowledgeBase, demo_documents: dict[str, tuple[parsing.Document, list[chunks.Cut]]]) -> KnowledgeBase:
    """A base with the three demo documents, read."""
    for name, (_document, cuts) in demo_documents.items():
        source = ready(base, name)
        index.write(source.pk, 1, source.title, cuts)
    return base


def ready(base: KnowledgeBase, name: str) -> Source:
    return Source.objects.create(
        base=base, title=name, file_name=name, content=b"", sha256=name, size=0, state=Source.State.READY, generation=1
    )
