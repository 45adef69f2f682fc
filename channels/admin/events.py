"""The inbox: what providers told us. A journal with two decisions for what could not be processed."""

from __future__ import annotations

import json
from collections.abc import Callable

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from foundation.big_lists import BigList
from foundation.journal import Journal
from foundation.looks import badge, moment

from .. import inbox
from ..models import InboundEvent
from ..owners import OwnedRows
from .filters import ChannelFilter

TONES = {
    InboundEvent.State.NEW: "info", InboundEvent.State.PROCESSED: "ok", InboundEvent.State.FAILED: "bad",
    InboundEvent.State.IGNORED: "muted", InboundEvent.State.DISMISSED: "muted",
}  # fmt: skip


@admin.register(InboundEvent)
class InboundEventAdmin(Journal, OwnedRows, BigList, ModelAdmin):
    list_display = ("received", "channel", "shown_state", "reason", "source", "attempts", "processed")
    list_display_links = ("received",)
    list_filter = ("state", "source", ChannelFilter, "received_at")
    list_select_related = ("channel",)
    list_per_page = 50
    sortable_by = ("received",)
    newest_by = "received_at"
    indexed_filters = {"state__exact": (InboundEvent.State.NEW, InboundEvent.State.FAILED)}
    ordering = ("-received_at", "-pk")
    actions = ("retry", "dismiss")
    fields = ("channel", "external_id", "shown_state", "reason", "source", "attempts", "received_at", "processed_at", "content")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[InboundEvent]:
        return super().get_queryset(request).defer("payload")

    @admin.display(description=_("received"), ordering="received_at")
    def received(self, event: InboundEvent) -> SafeString | str:
        return moment(event.received_at)

    @admin.display(description=_("processed"))
    def processed(self, event: InboundEvent) -> SafeString | str:
        return moment(event.processed_at)

    @admin.display(description=_("state"))
    def shown_state(self, event: InboundEvent) -> SafeString:
        return badge(event.get_state_display(), TONES[InboundEvent.State(event.state)])

    def get_fields(self, request: HttpRequest, obj: InboundEvent | None = None) -> tuple[str, ...]:
        """What the provider sent is personal data of anybody: only superusers read it raw."""
        return self.fields if request.user.is_superuser else tuple(name for name in self.fields if name != "content")

    @admin.display(description=_("payload"))
    def content(self, event: InboundEvent) -> SafeString | str:
        if event.payload is None:
            return gettext("Forgotten already.")
        return format_html('<pre class="sd-payload">{}</pre>', pretty(event.payload))

    def _each(
        self, request: HttpRequest, rows: QuerySet[InboundEvent], do: Callable[[int], bool], told: Callable[[int], str]
    ) -> None:
        done = sum(do(pk) for pk in list(rows.order_by("pk").values_list("pk", flat=True)))
        self.message_user(request, told(done) % {"n": done}, messages.SUCCESS if done else messages.WARNING)

    @admin.action(description=_("Process again"), permissions=("decide",))
    def retry(self, request: HttpRequest, queryset: QuerySet[InboundEvent]) -> None:
        self._each(
            request, queryset, inbox.retry,
            lambda n: ngettext("%(n)d event is processed again.", "%(n)d events are processed again.", n),
        )  # fmt: skip

    @admin.action(description=_("Dismiss"), permissions=("decide",))
    def dismiss(self, request: HttpRequest, queryset: QuerySet[InboundEvent]) -> None:
        self._each(request, queryset, inbox.dismiss, lambda n: ngettext("%(n)d event dismissed.", "%(n)d events dismissed.", n))

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("channels.change_inboundevent"))


def pretty(payload: bytes) -> str:
    """A payload for reading: JSON is indented, anything else shown as text."""
    text = bytes(payload).decode("utf-8", "replace")
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    except ValueError:
        return text
