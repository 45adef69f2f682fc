"""The knowledge base for managers: upload, see what was read, try a question."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Count, F, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.admin import ModelAdmin
from unfold.decorators import action, display

from . import sources
from .forms import QuestionForm, SourceAddForm, SourceForm
from .models import Chunk, KnowledgeBase, Source
from .search import search

PREVIEWED = 20
PREVIEW_LENGTH = 400


@admin.register(KnowledgeBase)
class KnowledgeBaseAdmin(ModelAdmin):
    list_display = ("name", "slug", "documents", "passages")
    search_fields = ("name", "slug")
    prepopulated_fields = {"slug": ("name",)}
    readonly_fields = ("created_at",)
    actions_detail = ("ask",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[KnowledgeBase]:
        live = Q(sources__active=True, sources__generation__gt=0)
        bases: QuerySet[KnowledgeBase] = super().get_queryset(request)
        return bases.annotate(
            documents=Count("sources", filter=live, distinct=True),
            passages=Count("sources__chunks", filter=live, distinct=True),
        )

    @display(description=_("documents in use"), ordering="documents")
    def documents(self, base: KnowledgeBase) -> int:
        return base.documents  # type: ignore[attr-defined,no-any-return]

    @display(description=_("passages"), ordering="passages")
    def passages(self, base: KnowledgeBase) -> int:
        return base.passages  # type: ignore[attr-defined,no-any-return]

    @action(description=_("Try a question"), url_path="ask", icon="search", permissions=["ask"])
    def ask(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """What the assistant would find for a question, with scores."""
        base = get_object_or_404(KnowledgeBase, pk=object_id)
        form = QuestionForm(request.POST or None)
        passages = search([base.pk], form.cleaned_data["question"]) if request.method == "POST" and form.is_valid() else None
        context = {
            **self.admin_site.each_context(request),
            "title": _("Try a question"), "subtitle": base.name, "opts": self.opts, "form": form, "passages": passages,
        }  # fmt: skip
        return render(request, "knowledge/ask.html", context)

    def has_ask_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return bool(self.has_view_permission(request))


@admin.register(Source)
class SourceAdmin(ModelAdmin):
    list_display = ("title", "base", "shown_state", "active", "pages", "passages", "origin", "parsed_at")
    list_filter = ("state", "active", "base", "origin")
    list_select_related = ("base",)
    search_fields = ("title", "file_name")
    autocomplete_fields = ("base",)
    readonly_fields = (
        "base", "file_name", "size", "shown_state", "error", "pages", "language", "origin", "path", "uploaded_by",
        "attempts", "parsed_at", "created_at", "preview",
    )  # fmt: skip
    actions = ("reparse",)
    actions_detail = ("read_again", "download")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Source]:
        documents: QuerySet[Source] = super().get_queryset(request)
        return documents.annotate(passages=Count("chunks"))

    def get_form(self, request: HttpRequest, obj: Source | None = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change, form=SourceAddForm if obj is None else SourceForm, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Source | None = None) -> Any:
        if obj is None:
            return [(None, {"fields": ["base", "documents", "title"]})]
        editable = ["title", "active", "document"] if self.has_change_permission(request, obj) else ["title", "active"]
        return [(None, {"fields": editable}), (_("Reading"), {"fields": list(self.readonly_fields)})]

    def get_readonly_fields(self, request: HttpRequest, obj: Source | None = None) -> Any:
        return self.readonly_fields if obj is not None else ()

    def save_model(self, request: HttpRequest, obj: Source, form: forms.ModelForm[Source], change: bool) -> None:
        """Only the manager's own fields are written: the rest of the row belongs to whoever reads the document."""
        user, data = cast(User, request.user), form.cleaned_data
        if change:
            Source.objects.filter(pk=obj.pk).update(title=obj.title, active=obj.active)
            if data.get("document"):
                sources.add(obj.base, obj.file_name, data["document"].read(), Source.Origin.UPLOAD, obj.title, user)
            return
        files = data["documents"]
        title = obj.title if len(files) == 1 else ""
        added = [sources.add(obj.base, file.name, file.read(), Source.Origin.UPLOAD, title, user) for file in files]
        obj.pk = added[0].pk
        obj.refresh_from_db()

    def response_add(self, request: HttpRequest, obj: Source, post_url_continue: str | None = None) -> HttpResponse:
        if "_continue" in request.POST or "_addanother" in request.POST:
            return cast(HttpResponse, super().response_add(request, obj, post_url_continue))
        self.message_user(request, _("The documents will answer as soon as they have been read."))
        return HttpResponseRedirect(reverse("admin:knowledge_source_changelist"))

    @display(
        description=_("state"),
        ordering="state",
        label={
            Source.State.READY: "success", Source.State.FAILED: "danger", Source.State.PARSING: "info",
            Source.State.QUEUED: "warning",
        },
    )  # fmt: skip
    def shown_state(self, source: Source) -> tuple[str, str]:
        return source.state, str(source.get_state_display())

    @display(description=_("passages"), ordering="passages")
    def passages(self, source: Source) -> int:
        return source.passages  # type: ignore[attr-defined,no-any-return]

    @display(description=_("first passages"))
    def preview(self, source: Source) -> SafeString | str:
        chunks = source.chunks.only("page", "heading", "text").order_by("position")[:PREVIEWED]
        rows = [(chunk.page, chunk.heading, Truncator(chunk.text).chars(PREVIEW_LENGTH)) for chunk in chunks]
        if not rows:
            return "—"
        every = f"{reverse('admin:knowledge_chunk_changelist')}?source__id__exact={source.pk}"
        listed = format_html_join(
            "", '<p class="mb-3 whitespace-pre-line"><strong>{} · {}</strong><br>{}</p>', ((p, h, t) for p, h, t in rows)
        )
        return format_html('{}<a class="text-primary-600" href="{}">{}</a>', listed, every, _("All passages"))

    @admin.action(description=_("Read again"), permissions=["change"])
    def reparse(self, request: HttpRequest, queryset: QuerySet[Source]) -> None:
        count = sources.reparse(Source.objects.filter(pk__in=queryset.values("pk")))
        text = ngettext("%(count)d document will be read again.", "%(count)d documents will be read again.", count)
        self.message_user(request, text % {"count": count})

    @action(description=_("Read again"), url_path="read-again", icon="refresh", permissions=["read_again"])
    def read_again(self, request: HttpRequest, object_id: str) -> HttpResponse:
        source = get_object_or_404(Source, pk=object_id)
        if request.method == "POST":
            self.reparse(request, Source.objects.filter(pk=source.pk))
            return HttpResponseRedirect(reverse("admin:knowledge_source_change", args=[source.pk]))
        context = {
            **self.admin_site.each_context(request), "title": _("Read again"), "subtitle": source.title, "opts": self.opts,
            "source": source,
        }  # fmt: skip
        return render(request, "knowledge/read_again.html", context)

    @action(description=_("Download"), url_path="download", icon="download", permissions=["download"])
    def download(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The document as it was uploaded."""
        source = get_object_or_404(Source, pk=object_id)
        if not source.content:
            raise PermissionDenied
        return HttpResponse(
            source.content,
            content_type="application/pdf",
            headers={
                "Content-Disposition": f'attachment; filename="document-{source.pk}.pdf"', "X-Content-Type-Options": "nosniff",
            },
        )  # fmt: skip

    def has_read_again_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return bool(self.has_change_permission(request))

    def has_download_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return bool(self.has_view_permission(request))


@admin.register(Chunk)
class ChunkAdmin(ModelAdmin):
    """Passages as they were read: to look at, not to change."""

    list_display = ("source", "position", "page", "heading", "beginning")
    list_filter = ("source__base",)
    list_select_related = ("source",)
    search_fields = ("heading", "text")
    fields = ("source", "position", "page", "heading", "text")
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Chunk]:
        chunks: QuerySet[Chunk] = super().get_queryset(request)
        return chunks.filter(generation=F("source__generation")).defer("vector", "typos")

    @display(description=_("text"))
    def beginning(self, chunk: Chunk) -> str:
        return Truncator(chunk.text).chars(120)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Chunk | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Chunk | None = None) -> bool:
        return False
