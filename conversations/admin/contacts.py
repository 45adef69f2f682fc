"""Contacts: who is a client, and the correction with one click."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Exists, F, OuterRef, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin, TabularInline
from unfold.widgets import UnfoldAdminTextInputWidget

from channels.owners import visible
from foundation.big_lists import BigList
from foundation.big_tables import exists
from foundation.crypto import name_hashes
from foundation.fields import EncryptedCharField
from foundation.looks import badge, moment, two_lines
from foundation.phones import shown

from .. import merging, verdicts
from ..models import Contact, ContactIdentity, ContactMerge, Conversation
from . import filters, search


def verdict_badge(contact: Contact) -> SafeString:
    """The gate's verdict as a label; who decided stands in its title."""
    by = gettext("a manager's verdict") if contact.verdict_final else gettext("the moderator's verdict")
    icon = "verified" if contact.verdict_final else ""
    if contact.is_client is None:
        return badge(gettext("unsure"), "warn", icon="help", title=by if contact.classified_at else "")
    sure = "" if contact.verdict_final or contact.confidence is None else f" {contact.confidence:.0%}"
    if contact.is_client:
        return badge(gettext("client") + sure, "ok", icon=icon, title=by)
    return badge(gettext("not a client") + sure, "muted", icon=icon, title=by)


class IdentityInline(TabularInline):
    """Where a contact is known; learned from messages, never typed."""

    model = ContactIdentity
    fields = ("channel", "source", "created_at", "unreachable_since", "chat")
    readonly_fields = fields
    extra = 0
    can_delete = False
    hide_title = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[ContactIdentity]:
        return visible(super().get_queryset(request), request.user).select_related("channel", "conversation")

    @admin.display(description=_("id on the channel"))
    def source(self, identity: ContactIdentity) -> str:
        return str(identity.source_id)

    @admin.display(description=_("unreachable since"))
    def unreachable_since(self, identity: ContactIdentity) -> SafeString | str:
        conversation = getattr(identity, "conversation", None)
        return moment(conversation.unreachable_since) if conversation is not None else "—"

    @admin.display(description=_("conversation"))
    def chat(self, identity: ContactIdentity) -> SafeString | str:
        conversation = getattr(identity, "conversation", None)
        if conversation is None:
            return "—"
        return render_to_string(
            "admin/conversations/open_chat.html",
            {"url": reverse("admin:conversations_conversation_change", args=(conversation.pk,)), "c": conversation},
        )

    def has_add_permission(self, request: HttpRequest, obj: Contact | None = None) -> bool:
        return False


class MergeInline(TabularInline):
    """Who else this person turned out to be; each can be told apart again."""

    model = ContactMerge
    fk_name = "kept"
    fields = ("names", "cause", "user", "at", "apart")
    readonly_fields = fields
    extra = 0
    can_delete = False
    hide_title = True

    @admin.display(description=_("contact"))
    def names(self, done: ContactMerge) -> str:
        return done.gone.shown_name

    @admin.display(description=_("told apart again"))
    def apart(self, done: ContactMerge) -> SafeString | str:
        if done.undone_at is not None:
            return moment(done.undone_at)
        return render_to_string("admin/conversations/merge_undo.html", {"merge": done})

    def has_add_permission(self, request: HttpRequest, obj: Contact | None = None) -> bool:
        return False


@admin.register(Contact)
class ContactAdmin(BigList, ModelAdmin):
    list_display = ("who", "verdict", "correct", "known_on", "last_message")
    list_display_links = ("who",)
    list_filter = (filters.ClientFilter, "verdict_final")
    list_per_page = 50
    sortable_by = ("last_message",)
    ordering = (F("last_message_at").desc(nulls_last=True), "-pk")
    search_fields = ("pk",)
    search_help_text = _("Phone in any spelling, or a name")
    actions = ("mark_client", "mark_not_client", "let_moderator_decide", "reclassify", "merge_two")
    inlines = (IdentityInline,)
    formfield_overrides = {EncryptedCharField: {"widget": UnfoldAdminTextInputWidget}}
    change_form_outer_before_template = "admin/conversations/contact_verdict.html"
    fieldsets = (
        (None, {"fields": ("name", "full_name", "business_name", "shown_phone", "language", "time_zone", "opted_out_at")}),
        (
            _("Client or not"),
            {"fields": ("verdict", "confidence", "reasoning", "classified_at", "verdict_by")},
        ),
    )
    readonly_fields = ("shown_phone", "verdict", "confidence", "reasoning", "classified_at", "verdict_by")

    def get_inlines(self, request: HttpRequest, obj: Contact | None) -> list[type[Any]]:
        merged = obj is not None and obj.merges.exists()
        return [*self.inlines, MergeInline] if merged else list(self.inlines)

    # ── Rows ─────────────────────────────────────────────────────────────────────────────────────────────────────────
    def get_queryset(self, request: HttpRequest) -> QuerySet[Contact]:
        rows: QuerySet[Contact] = super().get_queryset(request)
        rows = rows.exclude(Exists(ContactMerge.objects.filter(gone=OuterRef("pk"), undone_at=None)))
        if request.user.is_superuser:
            return rows
        known = visible(ContactIdentity.objects.order_by(), request.user)
        return rows.filter(exists(known.filter(contact=OuterRef("pk")), known))

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Fetch what the page's rows need in one query, after paging."""
        changes = super().get_changelist_instance(request)
        shown_rows = list(changes.result_list)
        rows = visible(Conversation.objects.filter(contact__in=shown_rows), request.user).select_related("channel")
        for contact in shown_rows:
            contact.seen_conversations = []
        by_id = {contact.pk: contact for contact in shown_rows}
        for conversation in rows.order_by("pk"):
            by_id[conversation.contact_id].seen_conversations.append(conversation)
        changes.result_list = shown_rows
        return changes

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Contact], search_term: str
    ) -> tuple[QuerySet[Contact], bool]:
        term = search_term.strip()
        return (queryset.filter(search.people(term, request.user)) if term else queryset), False

    # ── Columns ──────────────────────────────────────────────────────────────────────────────────────────────────────
    @admin.display(description=_("contact"))
    def who(self, contact: Contact) -> SafeString:
        return two_lines(contact.shown_name, self.shown_phone(contact))

    @admin.display(description=_("phone"))
    def shown_phone(self, contact: Contact) -> str:
        return shown(contact.phone) if contact.phone else ""

    @admin.display(description=_("client"))
    def verdict(self, contact: Contact) -> SafeString:
        return verdict_badge(contact)

    @admin.display(description=_("correct"))
    def correct(self, contact: Contact) -> SafeString:
        return render_to_string("admin/conversations/verdict_buttons.html", {"contact": contact, "small": True})

    @admin.display(description=_("conversations"))
    def known_on(self, contact: Contact) -> SafeString:
        rows = getattr(contact, "seen_conversations", [])
        return render_to_string("admin/conversations/known_on.html", {"conversations": rows})

    @admin.display(description=_("last message"), ordering="last_message_at")
    def last_message(self, contact: Contact) -> SafeString | str:
        return moment(contact.last_message_at)

    # ── Actions ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def _decide(self, request: HttpRequest, rows: QuerySet[Contact], verdict: bool | None) -> None:
        chosen = list(rows.order_by("pk").values_list("pk", flat=True))
        answers = sum(verdicts.decide(pk, verdict, user=request.user) for pk in chosen)
        told = ngettext("%(n)d contact corrected.", "%(n)d contacts corrected.", len(chosen)) % {"n": len(chosen)}
        if answers:
            told += " " + ngettext("The assistant answers %(n)d now.", "The assistant answers %(n)d now.", answers) % {
                "n": answers
            }
        self.message_user(request, told, messages.SUCCESS)

    @admin.action(description=_("Client"), permissions=("change",))
    def mark_client(self, request: HttpRequest, queryset: QuerySet[Contact]) -> None:
        self._decide(request, queryset, True)

    @admin.action(description=_("Not a client"), permissions=("change",))
    def mark_not_client(self, request: HttpRequest, queryset: QuerySet[Contact]) -> None:
        self._decide(request, queryset, False)

    @admin.action(description=_("Let the moderator decide"), permissions=("change",))
    def let_moderator_decide(self, request: HttpRequest, queryset: QuerySet[Contact]) -> None:
        self._decide(request, queryset, None)

    @admin.action(description=_("Classify anew now"), permissions=("change",))
    def reclassify(self, request: HttpRequest, queryset: QuerySet[Contact]) -> None:
        chosen = list(queryset.order_by("pk").values_list("pk", flat=True))
        started = sum(verdicts.reclassify(pk) for pk in chosen)
        told = gettext("%(contacts)d contacts cleared, %(started)d looked at right now.")
        self.message_user(request, told % {"contacts": len(chosen), "started": started}, messages.SUCCESS)

    @admin.action(description=_("Merge the two chosen"), permissions=("change",))
    def merge_two(self, request: HttpRequest, queryset: QuerySet[Contact]) -> None:
        """The one with a phone stays, else the older one."""
        pair = sorted(queryset[:3], key=lambda contact: (contact.phone is None, contact.pk))
        if len(pair) != 2:
            self.message_user(request, gettext("Choose exactly two contacts that are one person."), messages.WARNING)
            return
        kept, gone = pair
        try:
            merging.merge(kept.pk, gone.pk, user=request.user)
        except ValidationError as error:
            self.message_user(request, " ".join(error.messages), messages.ERROR)
            return
        told = gettext("Merged into %(name)s. The contact's page can undo it.") % {"name": kept.shown_name}
        self.message_user(request, told, messages.SUCCESS)

    # ── The one-click buttons ────────────────────────────────────────────────────────────────────────────────────────
    def get_urls(self) -> list[URLPattern]:
        correct = self.admin_site.admin_view(require_POST(self.correct_view))
        undo = self.admin_site.admin_view(require_POST(self.undo_merge_view))
        return [
            path("<int:pk>/correct/<slug:verdict>/", correct, name="contact_correct"),
            path("<int:pk>/merges/<int:merge>/undo/", undo, name="contact_merge_undo"),
            *super().get_urls(),
        ]

    def undo_merge_view(self, request: HttpRequest, pk: int, merge: int) -> HttpResponse:
        """Tell two contacts apart again that were merged by mistake."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        get_object_or_404(self.get_queryset(request).filter(pk=pk, merges__pk=merge))
        try:
            if merging.undo(merge, user=request.user):
                messages.success(request, gettext("The contacts are two again."))
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
        return HttpResponseRedirect(reverse("admin:conversations_contact_change", args=(pk,)))

    def correct_view(self, request: HttpRequest, pk: int, verdict: str) -> HttpResponse:
        """`client`, `not_client`, `unclear` or `reclassify` for one contact, then back to where the button was."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        rows = self.get_queryset(request).filter(pk=pk)
        get_object_or_404(rows)
        decisions = {
            "client": self.mark_client, "not_client": self.mark_not_client, "unclear": self.let_moderator_decide,
            "reclassify": self.reclassify,
        }  # fmt: skip
        if verdict not in decisions:
            raise Http404
        decisions[verdict](request, rows)
        back = request.headers.get("Referer", "")
        if not url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()}, require_https=request.is_secure()):
            back = reverse("admin:conversations_contact_changelist")
        return HttpResponseRedirect(back)

    def save_model(self, request: HttpRequest, obj: Contact, form: forms.ModelForm[Contact], change: bool) -> None:
        """Names are found by their hashes, so these follow."""
        obj.name_hashes = name_hashes(obj.name, obj.full_name, obj.business_name)
        obj.save(update_fields=[*form.changed_data, "name_hashes", "updated_at"])

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Contact | None = None) -> bool:
        return False
