"""The managers' pages for models, their journal and the prompts."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from foundation.big_lists import BigList
from foundation.journal import Journal

from . import prompts, trial
from .key_form import KeyForm, masked
from .models import LanguageModel, Prompt, Usage
from .voice_admin import VoiceAdmin

__all__ = ["LanguageModelAdmin", "PromptAdmin", "UsageAdmin", "VoiceAdmin", "masked"]

class LanguageModelForm(KeyForm):
    class Meta:
        model = LanguageModel
        fields = (
            "name", "kind", "model_id", "base_url", "api_key", "enabled", "position", "timeout", "max_output_tokens",
            "temperature", "supports_temperature", "supports_schema", "supports_audio", "token_parameter", "thinking",
            "thinking_value", "input_price", "output_price",
        )  # fmt: skip


@admin.register(LanguageModel)
class LanguageModelAdmin(ModelAdmin):
    form = LanguageModelForm
    list_display = ("name", "kind", "model_id", "enabled", "position", "has_key", "last_error", "last_error_at")
    list_editable = ("enabled", "position")
    list_filter = ("kind", "enabled")
    search_fields = ("name", "model_id")
    readonly_fields = ("last_error", "last_error_at")
    actions = ("check_models",)
    fieldsets = (
        (None, {"fields": ("name", "kind", "model_id", "base_url", "api_key", "remove_key", "enabled", "position")}),
        (_("Limits"), {"fields": ("timeout", "max_output_tokens", "temperature")}),
        (
            _("What the model can do"),
            {
                "fields": (
                    "supports_temperature", "supports_schema", "supports_audio", "token_parameter", "thinking",
                    "thinking_value",
                )
            },
        ),
        (_("Prices"), {"fields": ("input_price", "output_price")}),
        (_("State"), {"fields": ("last_error", "last_error_at")}),
    )  # fmt: skip

    @admin.display(description=_("key"), boolean=True)
    def has_key(self, model: LanguageModel) -> bool:
        return bool(model.api_key)

    @admin.action(description=_("Check the model with a real call"), permissions=("change",))
    def check_models(self, request: HttpRequest, queryset: QuerySet[LanguageModel]) -> None:
        for model in queryset:
            result = trial.check_model(model)
            self.message_user(request, result.detail, messages.SUCCESS if result.ok else messages.ERROR)


class ModelFilter(admin.SimpleListFilter):
    """The models that are set up: to list every name of the journal, all of it would have to be read."""

    title = _("model name")
    parameter_name = "model_name"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(name, name) for name in LanguageModel.objects.order_by("name").values_list("name", flat=True)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Usage]) -> QuerySet[Usage]:
        return queryset.filter(**{self.parameter_name: self.value()}) if self.value() else queryset


class PurposeFilter(ModelFilter):
    title = _("purpose")
    parameter_name = "purpose"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [*Prompt.Purpose.choices, (trial.PURPOSE, trial.PURPOSE)]


@admin.register(Usage)
class UsageAdmin(Journal, BigList, ModelAdmin):
    """A journal: nobody adds, changes or deletes its lines."""

    list_display = (
        "at", "model_name", "purpose", "outcome", "input_tokens", "output_tokens", "thinking_tokens", "cost", "latency_ms",
        "reference",
    )  # fmt: skip
    list_filter = ("outcome", PurposeFilter, ModelFilter, "at")
    search_fields = ("reference",)
    sortable_by = ("at",)
    newest_by = "at"
    ordering = ("-at", "-id")


@admin.register(Prompt)
class PromptAdmin(ModelAdmin):
    """Versions are kept: saving a changed text makes the next version and activates it."""

    list_display = ("purpose", "version", "active", "note", "author", "created_at")
    list_filter = ("purpose", "active")
    list_select_related = ("author",)
    actions = ("activate",)
    fields = ("purpose", "text", "places", "note", "version", "active", "author", "created_at")
    readonly_fields = ("places", "version", "active", "author", "created_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Prompt | None = None) -> tuple[str, ...]:
        return ("purpose", *self.readonly_fields) if obj else self.readonly_fields

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """A new prompt starts from the shipped text of its purpose (`?purpose=moderate`)."""
        purpose = request.GET.get("purpose", "")
        purpose = purpose if purpose in Prompt.Purpose.values else Prompt.Purpose.ANSWER
        return {"purpose": purpose, "text": prompts.shipped(purpose)}

    @admin.display(description=_("places"))
    def places(self, prompt: Prompt) -> SafeString:
        purposes = [prompt.purpose] if prompt.purpose in prompts.PURPOSES else Prompt.Purpose.values
        lines = [
            (
                Prompt.Purpose(purpose).label,
                f"{{{name}}}",
                prompts.MEANINGS[name],
                gettext("required") if name in prompts.PURPOSES[purpose].required else "",
            )
            for purpose in purposes
            for name in sorted(prompts.PURPOSES[purpose].known)
        ]
        return format_html_join("", "<div>{}: <code>{}</code> {} <b>{}</b></div>", lines)

    def save_model(self, request: HttpRequest, obj: Prompt, form: forms.ModelForm[Prompt], change: bool) -> None:
        if change and "text" not in form.changed_data:
            obj.save(update_fields=["note"])
            return
        author = request.user if request.user.is_authenticated else None
        made = prompts.new_version(obj.purpose, obj.text, author, obj.note)
        obj.__dict__.update(made.__dict__)

    @admin.action(description=_("Activate this version"), permissions=("change",))
    def activate(self, request: HttpRequest, queryset: QuerySet[Prompt]) -> None:
        purposes = [prompt.purpose for prompt in queryset]
        if len(purposes) != len(set(purposes)):
            self.message_user(request, gettext("Choose one version of each purpose."), messages.ERROR)
            return
        for prompt in queryset:
            try:
                prompts.activate(prompt)
            except ValidationError as error:
                self.message_user(request, f"{prompt}: {' '.join(error.messages)}", messages.ERROR)
            else:
                self.message_user(request, gettext("%(prompt)s is active now.") % {"prompt": prompt}, messages.SUCCESS)
