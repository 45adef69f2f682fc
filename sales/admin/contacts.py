"""The page of a contact with what sales knows of it: qualification, time zone, and whether we may write first."""

from __future__ import annotations

import logging
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models.functions import Now
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST
from unfold.admin import StackedInline
from unfold.widgets import UnfoldAdminSelect2Widget

from channels.admin.form import zone_choices
from conversations.admin.contacts import ContactAdmin
from conversations.models import Contact

from .. import follow_ups
from ..models import Qualification
from .side_panel import qualification

logger = logging.getLogger(__name__)


class QualificationInline(StackedInline):
    """How far the conversation has come by the SPIN method; the assistant learns it, nobody types it."""

    model = Qualification
    extra = 0
    can_delete = False
    hide_title = True
    verbose_name_plural = _("qualification")
    fields = ("known", "updated_at")
    readonly_fields = fields

    @admin.display(description=_("known"))
    def known(self, known: Qualification) -> SafeString:
        return render_to_string("admin/sales/qualification.html", qualification(known))

    def has_add_permission(self, request: HttpRequest, obj: Contact | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Contact | None = None) -> bool:
        return False


def may_be_written_to(contact_id: int, user: Any) -> bool:
    """Take back that a contact does not want to be written to; later silences are followed up again. False: it was so."""
    freed = Contact.objects.filter(pk=contact_id, opted_out_at__isnull=False).update(opted_out_at=None, updated_at=Now())
    if freed:
        logger.info("opt-out taken back", extra={"contact": contact_id, "user": user.pk})
    return bool(freed)


admin.site.unregister(Contact)


@admin.register(Contact)
class QualifiedContactAdmin(ContactAdmin):
    inlines: Any = (*ContactAdmin.inlines, QualificationInline)
    readonly_fields: Any = (*ContactAdmin.readonly_fields, "opted_out_at")
    actions: Any = (*ContactAdmin.actions, "allow_writing")
    change_form_outer_before_template = "admin/sales/contact_buttons.html"

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name != "time_zone":
            return super().formfield_for_dbfield(db_field, request, **kwargs)
        return forms.ChoiceField(
            label=db_field.verbose_name.capitalize(), help_text=db_field.help_text, required=False,
            choices=lambda: [("", _("not known")), *zone_choices()], widget=UnfoldAdminSelect2Widget,
        )  # fmt: skip

    # ── Writing first ────────────────────────────────────────────────────────────────────────────────────────────────
    @admin.action(description=_("May be written to again"), permissions=("change",))
    def allow_writing(self, request: HttpRequest, queryset: Any) -> None:
        freed = sum(may_be_written_to(pk, request.user) for pk in queryset.order_by("pk").values_list("pk", flat=True))
        told = ngettext("%(n)d contact may be written to again.", "%(n)d contacts may be written to again.", freed)
        self.message_user(request, told % {"n": freed}, messages.SUCCESS if freed else messages.WARNING)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_POST(self.writing_view))
        return [path("<int:pk>/writing/<slug:what>/", view, name="contact_writing"), *super().get_urls()]

    def writing_view(self, request: HttpRequest, pk: int, what: str) -> HttpResponse:
        """`allow` or `forbid` writing first to one contact."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        rows = self.get_queryset(request).filter(pk=pk)
        get_object_or_404(rows)
        if what == "allow":
            self.allow_writing(request, rows)
        elif what == "forbid":
            follow_ups.opt_out(pk)
            self.message_user(request, _("The assistant does not write first any more; questions are answered."))
        else:
            raise Http404
        return HttpResponseRedirect(reverse("admin:conversations_contact_change", args=(pk,)))
