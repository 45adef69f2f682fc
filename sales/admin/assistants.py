"""The managers' pages for assistants and the bots they make of channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from channels.admin.form import zone_field
from channels.models import Channel, MessageTemplate
from channels.owners import OwnedRows, visible_templates

from ..models import WEEKDAYS, Assistant, AssistantModel, Bot, TouchTemplate, default_hours, default_languages
from ..owners import may_change, own_or_shared

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[Assistant]
    PeopleField = forms.ModelMultipleChoiceField[User]
else:
    ModelForm = forms.ModelForm
    PeopleField = forms.ModelMultipleChoiceField

DAYS = {
    "mon": _("Monday"), "tue": _("Tuesday"), "wed": _("Wednesday"), "thu": _("Thursday"), "fri": _("Friday"),
    "sat": _("Saturday"), "sun": _("Sunday"),
}  # fmt: skip
LANGUAGES = [("ru", _("Russian")), ("kk", _("Kazakh")), ("en", _("English"))]


class HoursWidget(forms.Widget):
    """Seven rows of opening and closing time; an empty row is a day off."""

    template_name = "admin/sales/hours.html"

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        hours: Mapping[str, Any] = value if isinstance(value, Mapping) else {}
        rows = [(day, DAYS[day], *(hours.get(day) or ["", ""])) for day in WEEKDAYS]
        context["days"] = [{"day": day, "label": label, "opens": opens, "closes": closes} for day, label, opens, closes in rows]
        return context

    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> dict[str, list[str]]:
        rows = {day: [data.get(f"{name}_{day}_{edge}", "").strip() for edge in ("opens", "closes")] for day in WEEKDAYS}
        return {day: hours for day, hours in rows.items() if any(hours)}

    def value_omitted_from_data(self, data: Mapping[str, Any], files: Any, name: str) -> bool:
        return not any(f"{name}_{day}_opens" in data for day in WEEKDAYS)


class HoursField(forms.Field):
    """Working hours as `Assistant.hours` keeps them."""

    widget = HoursWidget

    def clean(self, value: dict[str, list[str]]) -> dict[str, list[str]]:
        for day, (opens, closes) in value.items():
            if not opens or not closes:
                raise ValidationError(_("%(day)s: give both times, or none for a day off."), params={"day": DAYS[day]})
            if opens >= closes:
                raise ValidationError(_("%(day)s: the closing time comes after the opening time."), params={"day": DAYS[day]})
        return value


class ManagersField(PeopleField):
    """People by the names that customers are told."""

    widget = UnfoldAdminCheckboxSelectMultipleWidget

    def label_from_instance(self, user: Any) -> str:
        return str(user.get_full_name() or user.get_username())


class AssistantForm(ModelForm):
    hours = HoursField(
        label=_("Working hours"), required=False, initial=default_hours, help_text=_("An empty row is a day off.")
    )
    time_zone = zone_field()
    languages = forms.MultipleChoiceField(
        label=_("Languages"), choices=LANGUAGES, initial=default_languages, widget=UnfoldAdminCheckboxSelectMultipleWidget
    )

    call_managers = ManagersField(
        label=_("Managers who take calls"), queryset=get_user_model().objects.none(), required=False,
        help_text=_("Calls are shared among them. Nobody chosen: the owner takes them."),
    )  # fmt: skip

    class Meta:
        model = Assistant
        fields = (
            "name", "slug", "owner", "persona", "knowledge_base", "temperature", "top_p", "max_tokens", "languages",
            "time_zone", "hours", "country", "call_managers", "call_minutes", "call_reminder_minutes", "follow_ups",
            "voice", "voice_when",
        )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Whoever was chosen once and left the company is shown, so that they can be taken out.
        chosen = self.instance.call_managers.values("pk") if self.instance.pk else []
        people = get_user_model().objects.filter(Q(is_active=True, is_staff=True) | Q(pk__in=chosen))
        field: Any = self.fields["call_managers"]
        field.queryset = people.order_by("first_name", "last_name", "username")


class ModelInline(TabularInline):
    """The models in the order in which they are tried; they are dragged into order."""

    model = AssistantModel
    extra = 0
    ordering_field = "position"
    hide_ordering_field = True
    hide_title = True
    verbose_name_plural = _("models, tried in this order (none: the general order)")


class TouchTemplateInline(TabularInline):
    """What is sent where our own words may not be sent any more."""

    model = TouchTemplate
    extra = 0
    hide_title = True
    fields = ("purpose", "template")
    verbose_name_plural = _("templates outside the reply window (WhatsApp Cloud API: 24 hours after the customer's message)")

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name == "template":
            approved = visible_templates(request.user).filter(kind=MessageTemplate.Kind.APPROVED)
            kwargs["queryset"] = approved.order_by("name", "language")
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


class BotInline(OwnedRows, TabularInline):
    model = Bot
    extra = 0
    hide_title = True
    fields = ("channel",)
    verbose_name_plural = _("channels it answers on")


@admin.register(Assistant)
class AssistantAdmin(ModelAdmin):
    form = AssistantForm
    list_display = ("name", "answers_on", "knowledge_base", "owner", "updated_at")
    list_select_related = ("knowledge_base", "owner")
    search_fields = ("name", "slug")
    prepopulated_fields = {"slug": ("name",)}
    inlines = (BotInline, TouchTemplateInline, ModelInline)
    warn_unsaved_form = True
    readonly_fields = ("try_it",)
    fieldsets = (
        (None, {"fields": ("name", "slug", "owner", "try_it")}),
        (_("What it says"), {"fields": ("persona", "knowledge_base", "languages")}),
        (_("When people work"), {"fields": ("hours", "time_zone", "country")}),
        (_("Calls"), {"fields": ("call_managers", ("call_minutes", "call_reminder_minutes"))}),
        (_("Follow-ups"), {"fields": ("follow_ups",)}),
        (_("Voice replies"), {"fields": (("voice", "voice_when"),)}),
        (_("Fine tuning"), {"fields": (("temperature", "top_p", "max_tokens"),), "classes": ("collapse",)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Assistant]:
        return own_or_shared(super().get_queryset(request), request.user).prefetch_related("bots__channel")

    def has_change_permission(self, request: HttpRequest, obj: Assistant | None = None) -> bool:
        """One that also answers on channels of others is changed by its owner."""
        return bool(super().has_change_permission(request, obj)) and (obj is None or may_change(obj, request.user))

    def has_delete_permission(self, request: HttpRequest, obj: Assistant | None = None) -> bool:
        return bool(super().has_delete_permission(request, obj)) and (obj is None or may_change(obj, request.user))

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {**super().get_changeform_initial_data(request), "owner": request.user.pk}

    @admin.display(description=_("answers on"))
    def answers_on(self, assistant: Assistant) -> str:
        return ", ".join(sorted(bot.channel.name for bot in assistant.bots.all())) or "—"

    @admin.display(description=_("try it"))
    def try_it(self, assistant: Assistant) -> SafeString | str:
        if assistant._state.adding:
            return "—"
        widgets = [
            bot.channel for bot in assistant.bots.all() if bot.channel.kind == Channel.Kind.WIDGET and bot.channel.enabled
        ]
        return render_to_string("admin/sales/try_it.html", {"channels": widgets, "url": reverse("home")})


@admin.register(Bot)
class BotAdmin(OwnedRows, ModelAdmin):
    list_display = ("channel", "assistant")
    list_display_links = ("channel",)
    list_select_related = ("channel", "assistant")
    list_filter = ("assistant",)

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name == "assistant":
            kwargs["queryset"] = own_or_shared(Assistant.objects.all(), request.user)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)
