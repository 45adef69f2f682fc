"""Numbers that are treated specially."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import PaginationInlineFormSet
from unfold.widgets import UnfoldAdminTextInputWidget

from foundation.crypto import blind_index
from foundation.phones import canonical, shown

from ..models import NumberRule
from ..owners import OwnedRows

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[NumberRule]
else:
    ModelForm = forms.ModelForm


class NumberRuleForm(ModelForm):
    """Shows the number as people read it and takes it in any spelling."""

    phone = forms.CharField(label=_("Phone"), widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "+7 701 123 45 67"}))

    class Meta:
        model = NumberRule
        fields = ("channel", "rule", "phone", "note")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial["phone"] = shown(self.instance.phone)

    def clean_phone(self) -> str:
        phone = canonical(self.cleaned_data["phone"])
        if phone is None:
            raise ValidationError(_("Not a phone number. Example: +7 701 123 45 67."))
        # The uniqueness check looks at the index, which the model sets only after it.
        self.instance.phone_index = blind_index(phone, "phone")
        return phone

    def _get_validation_exclusions(self) -> set[str]:
        """Let the database's rule against doubles be checked, though its columns are no fields of the form."""
        excluded: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]
        return excluded if "phone" in self.errors else excluded - {"phone_index", "channel"}


class NumberRuleFormSet(PaginationInlineFormSet):
    """The rules of one channel; the same number twice in one form is told in words."""

    def get_unique_error_message(self, unique_check: Any) -> str:
        return gettext("This number already has this rule.")


class NumberRuleInline(TabularInline):
    model = NumberRule
    form = NumberRuleForm
    formset = NumberRuleFormSet
    fields = ("rule", "phone", "note")
    extra = 0
    hide_title = True


@admin.register(NumberRule)
class NumberRuleAdmin(OwnedRows, ModelAdmin):
    """Rules of single channels; those of every channel are for superusers."""

    form = NumberRuleForm
    list_display = ("number", "rule", "channel", "note", "created_at")
    list_filter = ("rule",)
    list_select_related = ("channel",)
    search_fields = ("note",)
    search_help_text = _("Phone in any spelling, or words of the note")
    ordering = ("-pk",)

    @admin.display(description=_("phone"))
    def number(self, rule: NumberRule) -> str:
        return shown(rule.phone)

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        phone = canonical(search_term)
        if phone is not None:
            return queryset.filter(phone_index=blind_index(phone, "phone")), False
        found: tuple[Any, bool] = super().get_search_results(request, queryset, search_term)
        return found

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if db_field.name == "channel" and not request.user.is_superuser:
            field.required = True
        return field
