"""The managers' pages for models, their journal and the prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
from unfold.widgets import UnfoldAdminPasswordWidget

from foundation.journal import Journal

from . import prompts, trial
from .models import LanguageModel, Prompt, Usage

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[LanguageModel]
else:
    ModelForm = forms.ModelForm

MASK = "••••••••"
SHOWN_TAIL = 4
MASKABLE_LENGTH = 16


def masked(key: str) -> str:
    """A key as people may see it: only the end of a long one."""
    if not key:
        return ""
    return MASK + (key[-SHOWN_TAIL:] if len(key) >= MASKABLE_LENGTH else "")


class LanguageModelForm(ModelForm):
    """The key can be written and never read: an empty field keeps what is stored."""

    api_key = forms.CharField(
        label=_("API key"), required=False, strip=True, help_text=_("Never shown. Empty keeps the stored key."),
        widget=UnfoldAdminPasswordWidget(render_value=False, attrs={"autocomplete": "new-password"}),
    )  # fmt: skip
    remove_key = forms.BooleanField(label=_("Remove the stored key"), required=False)

    class Meta:
        model = LanguageModel
        fields = (
            "name", "kind", "model_id", "base_url", "api_key", "enabled", "position", "timeout", "max_output_tokens",
            "temperature", "supports_temperature", "supports_schema", "supports_audio", "token_parameter", "thinking",
            "thinking_value", "input_price", "output_price",
        )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stored_key = self.instance.api_key if self.instance.pk else ""
        self.initial["api_key"] = ""
        if "api_key" in self.fields:
            self.fields["api_key"].widget.attrs["placeholder"] = masked(self.stored_key)

    def clean_api_key(self) -> str:
        return self.cleaned_data["api_key"] or self.stored_key

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("remove_key"):
            cleaned["api_key"] = ""
        return cleaned


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


@admin.register(Usage)
class UsageAdmin(Journal, ModelAdmin):
    """A journal: nobody adds, changes or deletes its lines."""

    list_display = (
        "at", "model_name", "purpose", "outcome", "input_tokens", "output_tokens", "thinking_tokens", "cost", "latency_ms",
        "reference",
    )  # fmt: skip
    list_filter = ("outcome", "purpose", "model_name", "at")
    search_fields = ("reference",)
    date_hierarchy = "at"
    ordering = ("-at", "-id")
    show_full_result_count = False


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
