"""The list of conversations: the manager's workplace. One conversation opens as a chat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import F, OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.admin import ModelAdmin
from unfold.decorators import display

from channels.admin.filters import ChannelFilter
from channels.owners import OwnedRows, visible
from foundation.big_lists import BigList
from foundation.looks import ago, badge, badges, moment, two_lines
from foundation.phones import shown

from .. import attention, takeover
from ..models import Contact, Conversation, Message
from . import filters, search
from .bubbles import ICONS
from .chat import ChatPage
from .contacts import verdict_badge

FIRST_WORDS = 90
MODES = {"bot": ("smart_toy", "info"), "manager": ("support_agent", "ok"), "closed": ("lock", "muted")}


@admin.register(Conversation)
class ConversationAdmin(ChatPage, OwnedRows, BigList, ModelAdmin):
    list_display = ("who", "last_words", "led_by", "state", "channel")
    list_display_links = ("who",)
    list_filter = (
        filters.ShowFilter, "mode", "needs_attention", filters.ConversationClientFilter, ChannelFilter,
    )  # fmt: skip
    list_per_page = 50
    list_fullwidth = True
    list_before_template = "admin/conversations/list_tabs.html"
    sortable_by = ("last_words",)
    ordering = (F("last_inbound_at").desc(nulls_last=True), "-pk")
    search_fields = ("pk",)
    search_help_text = _("Phone in any spelling, or a name")
    actions = ("take_over", "give_back", "close", "mark_seen")

    # ── Rows ─────────────────────────────────────────────────────────────────────────────────────────────────────────
    def visible_conversations(self, request: HttpRequest) -> QuerySet[Conversation]:
        return visible(Conversation.objects.all(), request.user)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Conversation]:
        said = Message.objects.filter(conversation=OuterRef("pk"), direction=Message.Direction.IN).order_by("-seq")
        rows: QuerySet[Conversation] = super().get_queryset(request).select_related("contact", "channel", "taken_by")
        return rows.annotate(last_text=Subquery(said.values("text")[:1]), last_kind=Subquery(said.values("kind")[:1]))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Conversation], search_term: str
    ) -> tuple[QuerySet[Conversation], bool]:
        term = search_term.strip()
        return (queryset.filter(search.people(term, request.user, "contact__")) if term else queryset), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        chosen = request.GET.get("show") or ("all" if request.GET.get("q") else "me")
        tabs = [("me", _("Needs me")), ("mine", _("Led by me")), ("all", _("All"))]
        context = {"tabs": [{"value": value, "label": label, "active": value == chosen} for value, label in tabs]}
        page: HttpResponse = super().changelist_view(request, {**context, **(extra_context or {})})
        return page

    # ── Columns ──────────────────────────────────────────────────────────────────────────────────────────────────────
    @display(description=_("contact"))
    def who(self, row: Conversation) -> SafeString:
        contact = row.contact
        return two_lines(contact.shown_name, shown(contact.phone) if contact.phone else "")

    @admin.display(description=_("last message of the customer"), ordering="last_inbound_at")
    def last_words(self, row: Conversation) -> SafeString | str:
        if row.last_inbound_at is None:
            return "—"
        kind, text = row.last_kind, Truncator(row.last_text or "").chars(FIRST_WORDS)  # type: ignore[attr-defined]
        icon = ICONS.get(kind, "")
        symbol = format_html('<span class="material-symbols-outlined">{}</span>', icon) if icon else ""
        words = format_html("{}{}", symbol, text or (Message.Kind(kind).label if kind else "—"))
        return format_html('<span class="sd-snippet">{}</span>', two_lines(words, moment(row.last_inbound_at)))

    @admin.display(description=_("led by"))
    def led_by(self, row: Conversation) -> SafeString:
        icon, tone = MODES[row.mode]
        who = row.taken_by.get_full_name() or row.taken_by.get_username() if row.taken_by and row.mode == "manager" else ""
        return badge(who or row.get_mode_display(), tone, icon=icon, title=row.get_mode_display())

    @admin.display(description=_("state"))
    def state(self, row: Conversation) -> SafeString:
        shown_badges = []
        if row.needs_attention:
            shown_badges.append(
                badge(row.attention_reason or _("needs attention"), "bad", icon="error", title=ago(row.attention_at))
            )
        if row.mode == Conversation.Mode.MANAGER and _owes(row):
            shown_badges.append(badge(_("waits for your answer"), "warn", icon="schedule"))
        if row.channel.moderation:
            shown_badges.append(verdict_badge(row.contact))
        return badges(shown_badges)

    # ── Actions ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def _each(
        self, request: HttpRequest, rows: QuerySet[Conversation], do: Callable[[int], bool], told: Callable[[int], str]
    ) -> None:
        chosen = list(rows.order_by("pk").values_list("pk", flat=True))
        moved = sum(do(pk) for pk in chosen)
        level = messages.SUCCESS if moved else messages.WARNING
        self.message_user(request, told(moved) % {"n": moved}, level)

    @admin.action(description=_("Take over"), permissions=("change",))
    def take_over(self, request: HttpRequest, queryset: QuerySet[Conversation]) -> None:
        self._each(
            request, queryset, lambda pk: takeover.take_over(pk, user=request.user),
            lambda n: ngettext("You lead %(n)d conversation now.", "You lead %(n)d conversations now.", n),
        )  # fmt: skip

    @admin.action(description=_("Give back to the assistant"), permissions=("change",))
    def give_back(self, request: HttpRequest, queryset: QuerySet[Conversation]) -> None:
        self._each(
            request, queryset, lambda pk: takeover.give_back(pk, user=request.user),
            lambda n: ngettext("%(n)d conversation given back.", "%(n)d conversations given back.", n),
        )  # fmt: skip

    @admin.action(description=_("Close"), permissions=("change",))
    def close(self, request: HttpRequest, queryset: QuerySet[Conversation]) -> None:
        self._each(
            request, queryset, lambda pk: takeover.close(pk, user=request.user),
            lambda n: ngettext("%(n)d conversation closed.", "%(n)d conversations closed.", n),
        )  # fmt: skip

    @admin.action(description=_("Mark as seen"), permissions=("change",))
    def mark_seen(self, request: HttpRequest, queryset: QuerySet[Conversation]) -> None:
        self._each(
            request, queryset, attention.mark_seen,
            lambda n: ngettext("%(n)d conversation marked as seen.", "%(n)d conversations marked as seen.", n),
        )  # fmt: skip

    # ── Pages ────────────────────────────────────────────────────────────────────────────────────────────────────────
    def get_urls(self) -> list[URLPattern]:
        return [*self.chat_urls(), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return self.chat(request, object_id)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Contact | None = None) -> bool:
        return False


def _owes(row: Conversation) -> bool:
    """Whether the customer's last message has had no answer."""
    if row.last_inbound_at is None:
        return False
    return row.last_outbound_at is None or row.last_inbound_at > row.last_outbound_at
