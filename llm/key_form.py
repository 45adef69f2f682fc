"""Forms for rows with a key: it can be written and never read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminPasswordWidget

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[Any]
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


class KeyForm(ModelForm):
    """A form with the model's `api_key`: an empty field keeps what is stored."""

    api_key = forms.CharField(
        label=_("API key"), required=False, strip=True, help_text=_("Never shown. Empty keeps the stored key."),
        widget=UnfoldAdminPasswordWidget(render_value=False, attrs={"autocomplete": "new-password"}),
    )  # fmt: skip
    remove_key = forms.BooleanField(label=_("Remove the stored key"), required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stored_key = self.instance.api_key if self.instance.pk else ""
        self.initial["api_key"] = ""
        if "api_key" in self.fields:
            self.fields["api_key"].widget.attrs["placeholder"] = masked(self.stored_key)

    def clean_api_key(self) -> str:
        return str(self.cleaned_data["api_key"] or self.stored_key)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("remove_key"):
            cleaned["api_key"] = ""
        return cleaned
