"""Journals beside the chat: messages by their delivery, and who led which conversation when."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.admin import ModelAdmin

from channels.admin.filters import ChannelFilter
from channels.owners import OwnedRows
from foundation.big_lists import BigList
from foundation.journal import Journal
from foundation.looks import badge, moment, two_lines

from .. import attention
from ..models import Message, Takeover
from . import filters
from .decisions import carry_out

TONES = {
    Message.State.FAILED: "bad", Message.State.UNCONFIRMED: "warn", Message.State.QUEUED: "info", Message.State.SENDING: "info",
    Message.State.SUPPRESSED: "muted", Message.State.RECEIVED: "muted",
}  # fmt: skip


class InConversation(Journal, OwnedRows, BigList, ModelAdmin):
    """A journal whose rows belong to conversations, which are shown by contact and channel."""

    list_per_page = 50

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("conversation__contact", "conversation__channel", "user")

    @admin.display(description=_("contact"))
    def who(self, row: Any) -> SafeString:
        return two_lines(row.conversation.contact.shown_name, row.conversation.channel.name)


@admin.register(Message)
class MessageAdmin(InConversation):
    """What was said is read in the chat; here stands how it travelled."""

    list_display = ("stored", "who", "direction", "author", "kind", "shown_state", "attempts", "error")
    list_display_links = ("stored",)
    list_filter = ("state", "direction", "author", "kind", ChannelFilter, "created_at")
    sortable_by = ("stored",)
    newest_by = "created_at"
    indexed_filters = {
        "state__exact": (
            Message.State.QUEUED, Message.State.SENDING, Message.State.UNCONFIRMED, Message.State.FAILED,
        ),
    }  # fmt: skip
    ordering = ("-created_at", "-pk")
    fields = (
        "conversation", "seq", "direction", "author", "user", "kind", "shown_state", "state_changed_at", "sent_at",
        "created_at", "attempts", "next_attempt_at", "external_id", "error", "turn",
    )  # fmt: skip
    readonly_fields = fields
    actions = ("resend", "withdraw", "arrived")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Message]:
        return super().get_queryset(request).defer("text", "details")

    @admin.display(description=_("stored"), ordering="created_at")
    def stored(self, message: Message) -> SafeString | str:
        return moment(message.created_at)

    @admin.display(description=_("state"))
    def shown_state(self, message: Message) -> SafeString:
        return badge(message.get_state_display(), TONES.get(Message.State(message.state), "ok"))

    @admin.action(description=_("Send again"), permissions=("decide",))
    def resend(self, request: HttpRequest, queryset: QuerySet[Message]) -> None:
        carry_out(
            request, queryset, lambda pk: attention.resend_message(pk, request.user),
            lambda n: ngettext("%(n)d message is queued again.", "%(n)d messages are queued again.", n),
        )  # fmt: skip

    @admin.action(description=_("Do not send"), permissions=("decide",))
    def withdraw(self, request: HttpRequest, queryset: QuerySet[Message]) -> None:
        carry_out(
            request, queryset, lambda pk: attention.withdraw_message(pk, request.user),
            lambda n: ngettext("%(n)d message is withdrawn.", "%(n)d messages are withdrawn.", n),
        )  # fmt: skip

    @admin.action(description=_("It arrived"), permissions=("decide",))
    def arrived(self, request: HttpRequest, queryset: QuerySet[Message]) -> None:
        carry_out(
            request, queryset, lambda pk: attention.message_arrived(pk, request.user),
            lambda n: ngettext("Noted: %(n)d message arrived.", "Noted: %(n)d messages arrived.", n),
        )  # fmt: skip

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("conversations.change_conversation"))


@admin.register(Takeover)
class TakeoverAdmin(InConversation):
    channel_path = "conversation__channel"
    list_display = ("when", "who", "mode", "cause", "user")
    list_display_links = ("when",)
    list_filter = ("mode", "cause", filters.TurnChannelFilter, "at")
    sortable_by = ("when",)
    newest_by = "at"
    ordering = ("-at", "-pk")

    @admin.display(description=_("time"), ordering="at")
    def when(self, handover: Takeover) -> SafeString | str:
        return moment(handover.at)
