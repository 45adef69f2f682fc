"""Form fields for the JSON of funnels: texts by language in tabs, lists and answers as lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextareaWidget

from ..funnels.models import LANGUAGES

NAMES = {"ru": _("Russian"), "kk": _("Kazakh"), "en": _("English")}


class TextsWidget(forms.Widget):
    """One text field a language, of which one is shown at a time."""

    template_name = "admin/sales/texts.html"

    def __init__(self, rows: int = 1, attrs: dict[str, Any] | None = None) -> None:
        super().__init__(attrs)
        self.rows = rows

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        texts: Mapping[str, str] = value if isinstance(value, Mapping) else {}
        context["rows"] = self.rows
        context["texts"] = [
            {"code": code, "label": NAMES[code], "text": texts.get(code, ""), "first": code == LANGUAGES[0]}
            for code in LANGUAGES
        ]
        return context

    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> dict[str, str]:
        given = {code: str(data.get(f"{name}_{code}", "")).strip().replace("\r\n", "\n") for code in LANGUAGES}
        return {code: text for code, text in given.items() if text}

    def value_omitted_from_data(self, data: Mapping[str, Any], files: Any, name: str) -> bool:
        return not any(f"{name}_{code}" in data for code in LANGUAGES)


class TextsField(forms.Field):
    """A text in several languages as funnels keep it."""

    widget = TextsWidget

    def has_changed(self, initial: Any, data: Any) -> bool:
        return (initial or {}) != (data or {})

    def clean(self, value: Any) -> dict[str, str]:
        if self.required and not value:
            raise ValidationError(self.error_messages["required"], code="required")
        return value or {}


class LinesField(forms.CharField):
    """A list of words, one a line."""

    widget = UnfoldAdminTextareaWidget(attrs={"rows": 4})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def has_changed(self, initial: Any, data: Any) -> bool:
        return (initial or []) != self.to_list(data)

    @staticmethod
    def to_list(value: Any) -> list[str]:
        return [line.strip() for line in str(value or "").splitlines() if line.strip()]

    def clean(self, value: Any) -> Any:
        return self.to_list(super().clean(value))


class AnswersField(forms.CharField):
    """Answers that a choice gives, as `gpu = none` a line."""

    widget = UnfoldAdminTextareaWidget(attrs={"rows": 2, "placeholder": "gpu = none"})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(f"{key} = {answer}" for key, answer in value.items()) if isinstance(value, dict) else value

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool((initial or {}) != self.clean(data))
        except ValidationError:
            return True

    def clean(self, value: Any) -> Any:
        given: dict[str, str] = {}
        for line in str(super().clean(value) or "").splitlines():
            key, sign, answer = (part.strip() for part in line.partition("="))
            if line.strip() and (not sign or not key or not answer):
                raise ValidationError(_("Write each answer as name = value."))
            if key:
                given[key] = answer
        return given
