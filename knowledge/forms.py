"""Forms of the admin: documents come in through `sources.add` only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminTextInputWidget

from . import parsing
from .models import Source

ACCEPT = {"accept": "application/pdf,.pdf"}
QUESTION_LIMIT = 500


class ManyFilesWidget(UnfoldAdminFileFieldWidget):
    allow_multiple_selected = True


class DocumentField(forms.FileField):
    """A PDF, whole in memory (the size is limited), checked as far as possible without reading it."""

    def clean(self, data: Any, initial: Any = None) -> UploadedFile[Any] | None:
        file: UploadedFile[Any] | None = super().clean(data, initial)
        if not file:
            return None
        try:
            parsing.check_size(file.size or 0)
            parsing.check(file.read())
        except parsing.BadDocument as error:
            raise ValidationError("%(name)s: %(problem)s", params={"name": file.name, "problem": str(error)}) from None
        file.seek(0)
        return file


class ManyDocumentsField(DocumentField):
    """Several PDFs chosen at once."""

    widget = ManyFilesWidget

    def clean(self, data: Any, initial: Any = None) -> Any:
        return list(self._cleaned(data if isinstance(data, list | tuple) else [data], initial))

    def _cleaned(self, files: list[Any] | tuple[Any, ...], initial: Any) -> Iterator[UploadedFile[Any]]:
        for file in files or [None]:
            cleaned = super().clean(file, initial)
            if cleaned is not None:
                yield cleaned


class SourceAddForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable at run time
    """Upload of one or several documents into a base."""

    documents = ManyDocumentsField(
        label=_("documents"), max_length=200, allow_empty_file=True, widget=ManyFilesWidget(attrs=ACCEPT | {"multiple": True}),
        help_text=_("PDF with text, several at once if you like. A file of a name that the base has replaces that document."),
    )  # fmt: skip

    class Meta:
        model = Source
        fields = ["base", "title"]
        help_texts = {"title": _("Shown beside quotes. Empty: the file name.")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["title"].required = False


class SourceForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable at run time
    """A document: its title, whether it is used, and a new version of its file."""

    document = DocumentField(
        label=_("new version"), required=False, max_length=200, allow_empty_file=True,
        widget=UnfoldAdminFileFieldWidget(attrs=ACCEPT),
        help_text=_("The present version answers until the new one has been read."),
    )  # fmt: skip

    class Meta:
        model = Source
        fields = ["title", "active"]


class QuestionForm(forms.Form):
    """A question as a customer would write it."""

    question = forms.CharField(label=_("question"), max_length=QUESTION_LIMIT, widget=UnfoldAdminTextInputWidget)
