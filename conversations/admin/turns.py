"""The journal of turns: what was answered, how fast, why, and why not."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.admin import ModelAdmin

from channels.owners import OwnedRows
from foundation.big_lists import BigList
from foundation.journal import Journal
from foundation.looks import badge, badges, moment, two_lines

from .. import attention
from ..models import Turn
from . import bubbles, filters, timeline
from .decisions import carry_out

TONES = {
    Turn.Stage.DONE: "ok", Turn.Stage.FAILED: "bad", Turn.Stage.IGNORED: "muted", Turn.Stage.SUPERSEDED: "muted",
    Turn.Stage.DISMISSED: "muted",
}  # fmt: skip


@admin.register(Turn)
class TurnAdmin(Journal, OwnedRows, BigList, ModelAdmin):
    """Nobody adds, changes or deletes its rows; a failed turn can be retried or dismissed."""

    channel_path = "conversation__channel"
    list_display = ("opened", "who", "shown_stage", "trigger", "intent", "took", "model", "shown_cost", "shown_error")
    list_display_links = ("opened",)
    list_filter = (
        "stage", "reason", "trigger", "intent", "commitment", "emotion", filters.TurnChannelFilter, "degraded",
        "opened_at",
    )  # fmt: skip
    list_per_page = 50
    list_fullwidth = True
    sortable_by = ("opened",)
    newest_by = "opened_at"
    indexed_filters = {"stage__exact": (*Turn.OPEN, Turn.Stage.FAILED)}
    ordering = ("-opened_at", "-pk")
    actions = ("retry", "dismiss")
    change_form_outer_before_template = "admin/conversations/turn_decisions.html"
    fieldsets = (
        (None, {"fields": ("chat", "shown_stage", "trigger", "opened_at", "finished_at", "attempts", "error")}),
        (_("Why"), {"fields": ("why",)}),
        (_("Timeline"), {"fields": ("story",)}),
    )
    readonly_fields = ("chat", "shown_stage", "why", "story")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Turn]:
        rows = super().get_queryset(request).select_related("conversation__contact", "conversation__channel")
        one = request.resolver_match is not None and "object_id" in request.resolver_match.kwargs
        return rows if one else rows.defer("outcome", "knowledge_used")

    # ── Columns ──────────────────────────────────────────────────────────────────────────────────────────────────────
    @admin.display(description=_("opened"), ordering="opened_at")
    def opened(self, turn: Turn) -> SafeString | str:
        return moment(turn.opened_at)

    @admin.display(description=_("contact"))
    def who(self, turn: Turn) -> SafeString:
        return two_lines(turn.conversation.contact.shown_name, turn.conversation.channel.name)

    @admin.display(description=_("stage"))
    def shown_stage(self, turn: Turn) -> SafeString:
        told = [badge(turn.get_stage_display(), TONES.get(Turn.Stage(turn.stage), "info"))]
        if turn.reason:
            told.append(badge(turn.get_reason_display()))
        if turn.degraded:
            told.append(badge(_("without a model"), "warn"))
        return badges(told)

    @admin.display(description=_("took"))
    def took(self, turn: Turn) -> SafeString | str:
        seconds = timeline.total(turn.timeline)
        return format_html('<span class="sd-nowrap">{}</span>', timeline.in_words(seconds)) if seconds else "—"

    @admin.display(description=_("cost, $"))
    def shown_cost(self, turn: Turn) -> str:
        return number_format(round(turn.cost, 5), 5) if turn.cost else "—"

    @admin.display(description=_("error"))
    def shown_error(self, turn: Turn) -> str:
        return turn.error or "—"

    # ── The page of one turn ─────────────────────────────────────────────────────────────────────────────────────────
    @admin.display(description=_("conversation"))
    def chat(self, turn: Turn) -> SafeString:
        return render_to_string("admin/conversations/known_on.html", {"conversations": [turn.conversation]})

    @admin.display(description="")
    def why(self, turn: Turn) -> SafeString:
        return render_to_string("admin/conversations/why.html", {"why": bubbles.why(turn), "in_journal": True})

    @admin.display(description="")
    def story(self, turn: Turn) -> SafeString:
        zone = turn.conversation.channel.zone
        told = [(event, event.at.astimezone(zone), timeline.in_words(event.after)) for event in timeline.events(turn.timeline)]
        return render_to_string("admin/conversations/timeline.html", {"events": told})

    # ── Actions ──────────────────────────────────────────────────────────────────────────────────────────────────────
    @admin.action(description=_("Retry the turn"), permissions=("decide",))
    def retry(self, request: HttpRequest, queryset: QuerySet[Turn]) -> None:
        carry_out(
            request, queryset, attention.retry_turn, lambda n: ngettext("%(n)d turn retried.", "%(n)d turns retried.", n)
        )

    @admin.action(description=_("Dismiss"), permissions=("decide",))
    def dismiss(self, request: HttpRequest, queryset: QuerySet[Turn]) -> None:
        carry_out(
            request, queryset, lambda pk: attention.dismiss_turn(pk, request.user),
            lambda n: ngettext("%(n)d turn dismissed.", "%(n)d turns dismissed.", n),
        )  # fmt: skip

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("conversations.change_turn"))
