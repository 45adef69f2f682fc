"""Each enabled language model, by one tiny completion as the admin's own check makes it."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.translation import gettext as _

from channels.models import Channel
from channels.registry import adapter_class
from llm.models import LanguageModel
from llm.trial import check_model

from .findings import Finding, fail, ok, warn
from .side_by_side import each


def look() -> Iterator[Finding]:
    models = list(LanguageModel.objects.filter(enabled=True).exclude(kind=LanguageModel.Kind.OFFLINE))
    if not models:
        yield warn(
            _("models"),
            _("None is enabled: the offline model answers, by quoting the documents."),
            _("Enter the key of a model in the admin under Language models, and enable it."),
        )
        return
    for _model, found in each(models, _asked):
        yield from found
    if not any(model.supports_audio for model in models) and _hear():
        yield warn(
            _("voice messages"),
            _("No enabled model takes audio: customers' voice messages cannot be written down."),
            _("Enable a model that takes audio, and tick “takes audio” on its page."),
        )


def _asked(model: LanguageModel) -> list[Finding]:
    trial = check_model(model)
    if trial.ok:
        return [ok(model.name, trial.detail)]
    do = _("Check key, model id and address on its page in the admin, or disable it: every answer first waits for it.")
    return [fail(model.name, trial.detail, do)]


def _hear() -> bool:
    kinds = Channel.objects.filter(enabled=True).values_list("kind", flat=True).distinct()
    return any(adapter_class(kind).capabilities.voice for kind in kinds)
