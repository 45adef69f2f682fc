"""The manager's pages: upload, replace, read again, try a question."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from knowledge import sources
from knowledge.models import KnowledgeBase, Source

from .conftest import lines, pdf


def document(name: str, text: str) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, pdf(lines(text)), "application/pdf")


@pytest.fixture(autouse=True)
def _broker(broker: Any) -> None:
    """Hints stay in memory."""


def added(base: KnowledgeBase, text: str = "Доставка стоит 1 500 ₸ по городу.") -> Source:
    source = sources.add(base, "prices.pdf", pdf(lines(text)), Source.Origin.UPLOAD)
    sources.parse(source.pk)
    source.refresh_from_db()
    return source


def test_several_documents_are_uploaded_at_once(admin_client: Client, base: KnowledgeBase) -> None:
    files = [document("one.pdf", "Первый документ о кофе."), document("two.pdf", "Второй документ о чае.")]
    answer = admin_client.post(
        reverse("admin:knowledge_source_add"), {"base": base.pk, "title": "", "documents": files}, follow=True
    )
    assert answer.redirect_chain, answer.context["adminform"].form.errors
    assert sorted(Source.objects.values_list("file_name", "title", "state", "uploaded_by__username")) == [
        ("one.pdf", "one", "queued", "admin"),
        ("two.pdf", "two", "queued", "admin"),
    ]


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"x" * 2_000_000])
def test_what_is_no_pdf_is_refused_in_the_form(
    admin_client: Client, base: KnowledgeBase, settings: Any, content: bytes
) -> None:
    settings.MAX_PDF_SIZE_MB = 1
    file = SimpleUploadedFile("evil.pdf", content, "application/pdf")
    answer = admin_client.post(reverse("admin:knowledge_source_add"), {"base": base.pk, "title": "", "documents": file})
    assert answer.status_code == 200
    assert "evil.pdf" in str(answer.context["adminform"].form.errors)
    assert not Source.objects.exists()


def test_a_new_version_takes_the_same_row(admin_client: Client, base: KnowledgeBase) -> None:
    source = added(base)
    answer = admin_client.post(
        reverse("admin:knowledge_source_change", args=[source.pk]),
        {"title": "Цены", "active": "on", "document": document("other name.pdf", "Доставка стоит 2 000 ₸.")},
    )
    assert answer.status_code == 302
    source.refresh_from_db()
    assert (source.title, source.file_name, source.state, source.generation) == ("Цены", "prices.pdf", "queued", 1)


def test_saving_the_page_does_not_undo_what_a_worker_wrote(admin_client: Client, base: KnowledgeBase) -> None:
    source = added(base)
    url = reverse("admin:knowledge_source_change", args=[source.pk])
    admin_client.get(url)
    Source.objects.filter(pk=source.pk).update(generation=7, state="parsing")
    admin_client.post(url, {"title": "Цены"})
    source.refresh_from_db()
    assert (source.generation, source.state, source.active) == (7, "parsing", False)


def test_documents_are_read_again(admin_client: Client, base: KnowledgeBase) -> None:
    source = added(base)
    data = {"action": "reparse", "_selected_action": [source.pk]}
    admin_client.post(reverse("admin:knowledge_source_changelist"), data)
    source.refresh_from_db()
    assert source.state == "queued"
    sources.parse(source.pk)
    url = reverse("admin:knowledge_source_read_again", args=[source.pk])
    assert admin_client.get(url).status_code == 200
    source.refresh_from_db()
    assert source.state == "ready"  # looking changes nothing
    assert admin_client.post(url).status_code == 302
    source.refresh_from_db()
    assert source.state == "queued"


def test_a_question_shows_passages_with_scores(admin_client: Client, base: KnowledgeBase) -> None:
    added(base)
    url = reverse("admin:knowledge_knowledgebase_ask", args=[base.pk])
    assert admin_client.get(url).status_code == 200
    page = admin_client.post(url, {"question": "сколько стоит доставка"})
    assert [passage.source_title for passage in page.context["passages"]] == ["prices"]
    assert "1 500" in page.content.decode()
    assert admin_client.post(url, {"question": "зонтик"}).context["passages"] == []


def test_text_of_a_document_is_not_markup(admin_client: Client, base: KnowledgeBase) -> None:
    source = added(base, "<script>alert(1)</script> доставка")
    page = admin_client.get(reverse("admin:knowledge_source_change", args=[source.pk])).content.decode()
    assert "&lt;script&gt;alert(1)" in page and "<script>alert(1)" not in page


@pytest.mark.parametrize("page", ["source_changelist", "knowledgebase_changelist", "chunk_changelist", "source_add"])
def test_pages_open(admin_client: Client, base: KnowledgeBase, page: str) -> None:
    added(base)
    assert admin_client.get(reverse(f"admin:knowledge_{page}")).status_code == 200


def test_passages_are_read_only(admin_client: Client, base: KnowledgeBase) -> None:
    chunk = added(base).chunks.get()
    url = reverse("admin:knowledge_chunk_change", args=[chunk.pk])
    assert admin_client.get(url).status_code == 200
    assert admin_client.post(url, {"text": "x"}).status_code == 403
    assert (
        admin_client.get(f"{reverse('admin:knowledge_chunk_changelist')}?source__id__exact={chunk.source_id}").status_code
        == 200
    )


def test_the_document_is_given_back_as_a_file(admin_client: Client, base: KnowledgeBase) -> None:
    source = added(base)
    answer = admin_client.get(reverse("admin:knowledge_source_download", args=[source.pk]))
    assert answer.content == source.content
    assert answer["Content-Disposition"].startswith("attachment")


def test_staff_without_permission_see_nothing(client: Client, base: KnowledgeBase, django_user_model: Any) -> None:
    source = added(base)
    client.force_login(django_user_model.objects.create_user("clerk", password="x", is_staff=True))
    for name, pk in (("source_download", source.pk), ("source_read_again", source.pk), ("knowledgebase_ask", base.pk)):
        assert client.post(reverse(f"admin:knowledge_{name}", args=[pk])).status_code == 403
