"""Message templates: their editor with a preview, and what a provider has approved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from foundation.errors import ProviderError
from foundation.looks import badge, badges, two_lines

from .. import message_templates
from ..models import Channel, MessageTemplate
from ..owners import visible_channels, visible_templates
from ..registry import adapter_class
from .filters import ChannelFilter

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[MessageTemplate]
else:
    ModelForm = forms.ModelForm

APPROVED = MessageTemplate.Kind.APPROVED
#: What the words of the provider mean for the badge.
TONES = {"APPROVED": "ok", "PENDING": "warn", "PAUSED": "warn", "IN_APPEAL": "warn", message_templates.GONE: "muted"}


class TemplateForm(ModelForm):
    """Base of the forms made by `form_for`: two more fields for each place of the text."""

    places: ClassVar[tuple[str, ...]] = ()

    class Meta:
        model = MessageTemplate
        fields = ("channel", "name", "slug", "language", "category", "body", "enabled")
        widgets = {"body": UnfoldAdminTextareaWidget(attrs={"rows": 6, "data-template-body": ""})}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        known = {one["name"]: one for one in self.instance.variables}
        for place in self.places:
            variable = known.get(place, {})
            self.initial[f"source_{place}"] = variable.get("source", place)
            self.initial[f"default_{place}"] = variable.get("default", "")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        self.instance.variables = variables_of(self.places, cleaned)
        return cleaned


def variables_of(places: Any, given: Any) -> list[dict[str, str]]:
    """The variables that the fields of a form speak of."""
    return [
        {"name": place, "source": given.get(f"source_{place}") or "", "default": given.get(f"default_{place}") or ""}
        for place in places
    ]


def form_for(body: str) -> type[TemplateForm]:
    """The form of a template with this text: for each place, what fills it, and what stands there where that is not known."""
    places = tuple(message_templates.places(body))
    choices = [("", "—"), *((source.name, source.label) for source in message_templates.sources())]
    found: dict[str, Any] = {"places": places}
    for place in places:
        shown = f"{{{{{place}}}}}"
        found[f"source_{place}"] = forms.ChoiceField(
            label=_("%(place)s is") % {"place": shown}, choices=choices, required=False, widget=UnfoldAdminSelectWidget
        )
        found[f"default_{place}"] = forms.CharField(
            label=_("%(place)s where that is not known") % {"place": shown}, required=False,
            max_length=message_templates.LONGEST_VALUE, widget=UnfoldAdminTextInputWidget,
        )  # fmt: skip
    return type("TemplateForm", (TemplateForm,), found)


@admin.register(MessageTemplate)
class MessageTemplateAdmin(ModelAdmin):
    """Everybody uses the templates of every channel; superusers change them."""

    list_display = ("shown_name", "channel", "state", "language", "beginning")
    list_display_links = ("shown_name",)
    list_filter = (ChannelFilter, "kind", "language", "enabled")
    list_select_related = ("channel",)
    list_before_template = "admin/channels/template_tools.html"
    search_fields = ("name", "slug", "provider_name", "body")
    prepopulated_fields = {"slug": ("name",)}
    readonly_fields = ("state", "preview")
    warn_unsaved_form = True

    class Media:
        js = ("saudager/admin/message_template.js",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[MessageTemplate]:
        return visible_templates(request.user).select_related("channel").order_by("name", "id")

    # ── Who may ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def has_change_permission(self, request: HttpRequest, obj: MessageTemplate | None = None) -> bool:
        return bool(super().has_change_permission(request, obj)) and self._own(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: MessageTemplate | None = None) -> bool:
        return bool(super().has_delete_permission(request, obj)) and self._own(request, obj)

    def _own(self, request: HttpRequest, obj: MessageTemplate | None) -> bool:
        return obj is None or obj.channel_id is not None or bool(request.user.is_superuser)

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name == "channel":
            kwargs["queryset"] = visible_channels(request.user)
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if db_field.name == "channel" and not request.user.is_superuser:
            field.required = True
        return field

    # ── Columns ──────────────────────────────────────────────────────────────────────────────────────────────────────
    @admin.display(description=_("template"), ordering="name")
    def shown_name(self, template: MessageTemplate) -> SafeString:
        return two_lines(template.name, template.slug)

    @admin.display(description=_("state"))
    def state(self, template: MessageTemplate) -> SafeString:
        told = [badge(template.get_kind_display(), "info" if template.kind == APPROVED else "muted")]
        if template.kind == APPROVED:
            words = template.provider_status.lower() or gettext("not loaded yet")
            told.append(badge(words, TONES.get(template.provider_status, "bad"), title=template.obstacle))
        if template.obstacle:
            told.append(badge(gettext("cannot be sent"), "bad", icon="block", title=template.obstacle))
        if not template.enabled:
            told.append(badge(gettext("disabled"), "muted", icon="block"))
        return badges(told)

    @admin.display(description=_("text"))
    def beginning(self, template: MessageTemplate) -> str:
        return template.body if len(template.body) <= 90 else f"{template.body[:89]}…"

    # ── The form ─────────────────────────────────────────────────────────────────────────────────────────────────────
    def _body(self, request: HttpRequest, obj: MessageTemplate | None) -> str:
        """The text whose places the form asks for: the one that is being saved, or the stored one."""
        typed = request.POST.get("body") if request.method == "POST" else None
        return typed if typed is not None else (obj.body if obj else "")

    def get_form(
        self, request: HttpRequest, obj: MessageTemplate | None = None, change: bool = False, **kwargs: Any
    ) -> type[forms.ModelForm[MessageTemplate]]:
        form: type[forms.ModelForm[MessageTemplate]] = super().get_form(
            request, obj, change, **{"form": form_for(self._body(request, obj)), **kwargs}
        )
        return form

    def get_fieldsets(self, request: HttpRequest, obj: MessageTemplate | None = None) -> Any:
        chosen = [
            (f"source_{place}", f"default_{place}") for place in message_templates.places(self._body(request, obj))
        ]
        about = ["channel", "name", "slug", "language", "category", "enabled", *(["state"] if obj else [])]
        known = ", ".join(
            f"{{{{{source.name}}}}} – {source.label}"
            for source in message_templates.sources() if source.name != message_templates.CONSTANT
        )  # fmt: skip
        places = (_("Places in the text"), {"fields": chosen})
        return (
            (None, {"fields": about}),
            (_("Text"), {"fields": ["body", "preview"], "description": gettext("Places: %(known)s") % {"known": known}}),
            *([places] if chosen else []),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: MessageTemplate | None = None) -> tuple[str, ...]:
        """The identifier is settled with the first saving; what the provider has approved is the provider's."""
        if obj is None:
            return self.readonly_fields
        provided = ("channel", "language", "category", "body") if obj.kind == APPROVED else ()
        return (*self.readonly_fields, "slug", *provided)

    def get_prepopulated_fields(self, request: HttpRequest, obj: MessageTemplate | None = None) -> dict[str, Any]:
        return {} if obj else self.prepopulated_fields

    @admin.display(description=_("preview"))
    def preview(self, template: MessageTemplate | None) -> str:
        """With sample values; it follows what is typed."""
        shown = ""
        if template is not None and template.body:
            shown = message_templates.shown(message_templates.sample(template).text)
        address = reverse("admin:message_template_preview")
        context = {"text": shown, "address": address, "body": template.body if template else ""}
        return render_to_string("admin/channels/template_preview.html", context)

    # ── Addresses ────────────────────────────────────────────────────────────────────────────────────────────────────
    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("preview/", view(require_POST(self.preview_view)), name="message_template_preview"),
            path("load/<int:pk>/", view(require_POST(self.load_view)), name="message_template_load"),
            *super().get_urls(),
        ]

    def preview_view(self, request: HttpRequest) -> JsonResponse:
        """What the form says so far, with sample values, or what is wrong with it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        body, chosen = request.POST.get("body", ""), request.POST.get("channel", "")
        channels = visible_channels(request.user)
        template = MessageTemplate(
            kind=MessageTemplate.Kind.OWN, body=body, variables=variables_of(message_templates.places(body), request.POST),
            channel=channels.filter(pk=chosen).first() if chosen.isascii() and chosen.isdigit() else None,
        )  # fmt: skip
        try:
            message_templates.validate(template)
        except ValidationError as error:
            return JsonResponse({"error": " ".join(error.messages)})
        return JsonResponse({"text": message_templates.shown(message_templates.sample(template).text)})

    def load_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Take over what the provider of a channel lists."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        channel = get_object_or_404(self._providing(request), pk=pk)
        try:
            loaded = message_templates.load(channel)
        except ProviderError as error:
            self.message_user(request, f"{channel}: {error}", messages.ERROR)
        else:
            told = gettext("%(channel)s: %(new)d new, %(changed)d changed, %(gone)d not listed any more.")
            counted = {"new": loaded.new, "changed": loaded.changed, "gone": loaded.gone}
            self.message_user(request, told % {"channel": channel, **counted}, messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:channels_messagetemplate_changelist"))

    def _providing(self, request: HttpRequest) -> QuerySet[Channel]:
        """The channels whose providers know templates."""
        kinds = [kind for kind in Channel.Kind.values if adapter_class(kind).capabilities.templates]
        return visible_channels(request.user).filter(kind__in=kinds)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        may = self.has_change_permission(request)
        context = {"providing": self._providing(request).order_by("name") if may else []}
        page: HttpResponse = super().changelist_view(request, {**context, **(extra_context or {})})
        return page
