"""Chats of managers: which bot writes there, what it tells, and the code by which a chat is connected."""

from __future__ import annotations

import re
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline

from channels.models import Channel
from channels.owners import visible_channels
from channels.registry import ADAPTERS, adapter_class
from foundation.looks import badge, copyable, moment

from .. import manager_chats
from ..models import ManagerChat, ManagerNotice

SHOWN = 50
TONES = {"queued": "info", "sent": "ok", "failed": "bad", "void": "muted"}


def telling_kinds() -> list[str]:
    """The kinds of channels through which managers can be told."""
    return [kind for kind in ADAPTERS if adapter_class(kind).capabilities.alerts]


class NoticeInline(TabularInline):
    """The last notices of one chat; a journal."""

    model = ManagerNotice
    fields = ("created_at", "kind", "conversation", "shown_state", "attempts", "error")
    readonly_fields = fields
    extra = 0
    can_delete = False
    collapsible = True
    hide_title = True
    verbose_name_plural = _("notices: the last %(n)d") % {"n": SHOWN}

    def get_queryset(self, request: HttpRequest) -> QuerySet[ManagerNotice]:
        chat_id = request.resolver_match.kwargs.get("object_id") if request.resolver_match else None
        newest = ManagerNotice.objects.filter(chat=chat_id).order_by("-id").values("pk")[:SHOWN]
        rows: QuerySet[ManagerNotice] = super().get_queryset(request)
        return rows.filter(pk__in=newest).order_by("-id")

    def has_add_permission(self, request: HttpRequest, obj: ManagerChat | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: ManagerChat | None = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: ManagerChat | None = None) -> bool:
        return True

    @admin.display(description=_("state"))
    def shown_state(self, notice: ManagerNotice) -> SafeString:
        return badge(notice.get_state_display(), TONES[notice.state])


@admin.register(ManagerChat)
class ManagerChatAdmin(ModelAdmin):
    """Superusers see all chats, others their own; what a chat is told is bounded by what its owner may see."""

    list_display = ("name", "state", "channel", "told", "owner")
    list_select_related = ("channel", "owner")
    actions = ("renew_code",)
    inlines = (NoticeInline,)
    readonly_fields = ("state", "how")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ManagerChat]:
        rows: QuerySet[ManagerChat] = super().get_queryset(request)
        return rows if request.user.is_superuser else rows.filter(owner=request.user.pk)

    def get_fieldsets(self, request: HttpRequest, obj: ManagerChat | None = None) -> Any:
        owner = ["owner"] if request.user.is_superuser else []
        fields = ["name", "channel", *owner, "enabled"]
        connection = [(_("Connection"), {"fields": ["state", "how"]})] if obj else []
        told = (_("What it is told"), {"fields": ["sources", "leads", "every_client", "calls"]})
        return [(None, {"fields": fields}), *connection, told]

    def get_inlines(self, request: HttpRequest, obj: ManagerChat | None) -> Any:
        return self.inlines if obj else ()

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {**super().get_changeform_initial_data(request), "owner": request.user.pk}

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name == "channel":
            kwargs["queryset"] = visible_channels(request.user).filter(kind__in=telling_kinds())
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_manytomany(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.remote_field.model is Channel:
            kwargs["queryset"] = visible_channels(request.user)
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: ManagerChat, form: Any, change: bool) -> None:
        """Only what people edit; a chat of another bot is another chat, so it has to be connected anew."""
        if not change and not request.user.is_superuser:
            obj.owner_id = request.user.pk
        moved = change and "channel" in form.changed_data
        if moved:
            obj.address, obj.title, obj.connected_at, obj.error = None, "", None, ""
        edited = ["name", "channel", "owner", "enabled", "leads", "every_client", "calls"]
        obj.save(update_fields=[*edited, *(("address", "title", "connected_at", "error") if moved else ())] if change else None)
        if moved or not change:
            manager_chats.new_code(obj)

    # ── Columns ──────────────────────────────────────────────────────────────────────────────────────────────────────
    @admin.display(description=_("state"))
    def state(self, chat: ManagerChat) -> SafeString:
        if chat.connected_at is None:
            return badge(gettext("waits for its code"), "warn", icon="link")
        if chat.error:
            return badge(gettext("is not reached"), "bad", icon="error", title=chat.error)
        label = chat.title or gettext("connected")
        return badge(label, "ok" if chat.enabled else "muted", icon="campaign", title=gettext("connected"))

    @admin.display(description=_("is told"))
    def told(self, chat: ManagerChat) -> str:
        wanted = [(chat.leads, gettext("new leads")), (chat.every_client, gettext("every new client")),
                  (chat.calls, gettext("conversations that need a person"))]  # fmt: skip
        return ", ".join(label for on, label in wanted if on) or "—"

    @admin.display(description=_("how to connect"))
    def how(self, chat: ManagerChat) -> SafeString | str:
        if not chat.code or chat.code_until is None or chat.code_until <= timezone.now():
            since = format_html("{} {}", gettext("Connected:"), moment(chat.connected_at)) if chat.connected_at else ""
            return since or gettext("The code is no longer valid: choose this chat in the list and press “New code”.")
        told = gettext("Add the bot to the group, or open a chat with it, and write this there within a day:")
        # In a group bots hear only what names them, unless they are administrators there.
        named = re.fullmatch(r"@\w{1,64}", chat.channel.health_detail)
        command = f"{manager_chats.COMMAND}{named[0] if named else ''} {chat.code}"
        return format_html("<p>{}</p>{}", told, copyable(command))

    # ── Actions ──────────────────────────────────────────────────────────────────────────────────────────────────────
    @admin.action(description=_("New code"), permissions=("change",))
    def renew_code(self, request: HttpRequest, queryset: QuerySet[ManagerChat]) -> None:
        for chat in queryset:
            manager_chats.new_code(chat)
            told = gettext("%(chat)s: open it to see the new code. The chat so far stays connected until then.")
            self.message_user(request, told % {"chat": chat}, messages.SUCCESS)
