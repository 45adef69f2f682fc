"""The managers' pages for voices: their settings, and a check that one can hear."""

from __future__ import annotations

import base64
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import translation
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import action
from unfold.widgets import UnfoldAdminTextareaWidget

from foundation.errors import ProviderError
from foundation.sound import VOICE_NOTE

from . import voices
from .key_form import KeyForm
from .models import Voice


class VoiceForm(KeyForm):
    class Meta:
        model = Voice
        fields = (
            "name", "slug", "engine", "base_url", "path", "voice", "preset", "language", "api_key", "timeout", "enabled",
        )  # fmt: skip


class SampleForm(forms.Form):
    """What a voice is to say for a trial."""

    text = forms.CharField(
        label=_("What the voice says"), max_length=voices.LONGEST, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3})
    )


@admin.register(Voice)
class VoiceAdmin(ModelAdmin):
    form = VoiceForm
    list_display = ("name", "engine", "voice", "language", "enabled", "last_error", "last_error_at")
    list_editable = ("enabled",)
    list_filter = ("engine", "language", "enabled")
    search_fields = ("name", "slug", "voice")
    prepopulated_fields = {"slug": ("name",)}
    readonly_fields = ("last_error", "last_error_at")
    actions_detail = ("check_voice",)
    warn_unsaved_form = True
    fieldsets = (
        (None, {"fields": ("name", "slug", "enabled")}),
        (_("Engine"), {"fields": ("engine", "base_url", "path", "api_key", "remove_key", "timeout")}),
        (_("Voice"), {"fields": ("voice", "language", "preset")}),
        (_("State"), {"fields": ("last_error", "last_error_at")}),
    )

    @action(description=_("Check"), url_path="check", icon="volume_up", permissions=["check_voice"])
    def check_voice(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """A page on which the voice says something."""
        voice = get_object_or_404(Voice, pk=object_id)
        if not self.has_check_voice_permission(request):
            raise PermissionDenied
        form = SampleForm(request.POST or None, initial={"text": sample(voice)})
        recording, error = "", ""
        if request.method == "POST" and form.is_valid():
            try:
                spoken = voices.say(voice, form.cleaned_data["text"], voice.language)
                recording = f"data:{VOICE_NOTE};base64,{base64.b64encode(spoken).decode('ascii')}"
            except ProviderError as failure:
                error = str(failure)
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Check"), "subtitle": voice.name, "opts": self.opts, "form": form, "recording": recording,
            "error": error,
        }  # fmt: skip
        return render(request, "llm/check_voice.html", context)

    def has_check_voice_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """It keeps an engine busy, so to look at the row is not enough."""
        return bool(self.has_change_permission(request))


def sample(voice: Voice) -> str:
    """A sentence with what is hard to read aloud, in the language of the voice."""
    language: Any = voice.language or translation.get_language()
    with translation.override(language):
        return gettext("Hello! Delivery costs 1,500 ₸ and takes two days. For orders from 20,000 ₸ the discount is 5%.")
