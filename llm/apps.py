from django.apps import AppConfig
from django.db.models.signals import post_delete, post_save
from django.utils.translation import gettext_lazy as _


class LlmConfig(AppConfig):
    name = "llm"
    verbose_name = _("Language models")

    def ready(self) -> None:
        from . import prompts, roster, voices
        from .models import LanguageModel, Prompt, Voice

        for signal in (post_save, post_delete):
            signal.connect(roster.forget, sender=LanguageModel, dispatch_uid="llm.roster")
            signal.connect(prompts.forget, sender=Prompt, dispatch_uid="llm.prompts")
            signal.connect(voices.forget, sender=Voice, dispatch_uid="llm.voices")
