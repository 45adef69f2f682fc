"""Channels: how they are connected, whether they work, and the buttons to start, stop and repair them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin, TabularInline

from foundation.db import now
from foundation.errors import ProviderError
from foundation.looks import badge, badges, copyable, moment, two_lines

from .. import breaker, checks, control, directory, listings, pacing
from ..models import Channel, ChannelLog
from ..owners import OwnedRows
from ..registry import adapter_class
from .filters import ArchivedFilter
from .form import HELP, form_for
from .listings import ListingsPages
from .numbers import NumberRuleInline
from .sessions import SessionPages, has_session

LOG_SHOWN = 100
HEALTH = {
    Channel.Health.UNKNOWN: ("muted", "help"),
    Channel.Health.OK: ("ok", "check_circle"),
    Channel.Health.TROUBLE: ("warn", "warning"),
    Channel.Health.NEEDS_ATTENTION: ("bad", "error"),
}


def health_badge(channel: Channel) -> SafeString:
    tone, icon = HEALTH[Channel.Health(channel.health)]
    return badge(channel.get_health_display(), tone, icon=icon, title=channel.health_detail)


def sending_badges(channel: Channel) -> list[SafeString]:
    """That sending is paused, until when and why; nothing for a channel that sends."""
    paused = breaker.of(channel)
    if paused is None:
        return []
    tone, icon = ("info", "move_up") if paused.recovered_at else ("warn", "pause_circle")
    return [badge(breaker.words(paused), tone, icon=icon, title=paused.reason)]


def can_subscribe(channel: Channel) -> bool:
    """Whether the provider takes a webhook address from us."""
    return control.can_subscribe(adapter_class(channel.kind))


def light(channel: Channel) -> SafeString:
    """Green: it runs; grey: it is stopped or disabled; red: it runs, or should, and needs attention."""
    runs = channel.enabled and channel.running
    tone = "muted" if not runs else "bad" if channel.health == Channel.Health.NEEDS_ATTENTION else "ok"
    words = gettext("running") if runs else gettext("stopped")
    return format_html('<i class="sd-light sd-light--{}" role="img" aria-label="{}" title="{}"></i>', tone, words, words)


class LogInline(TabularInline):
    """The last things that happened to a channel; a journal."""

    model = ChannelLog
    fields = ("at", "level", "event", "detail")
    readonly_fields = fields
    extra = 0
    can_delete = False
    tab = True
    hide_title = True
    verbose_name_plural = _("log: the last 100 entries")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ChannelLog]:
        channel_id = request.resolver_match.kwargs.get("object_id") if request.resolver_match else None
        newest = ChannelLog.objects.filter(channel=channel_id).order_by("-at").values("pk")[:LOG_SHOWN]
        rows: QuerySet[ChannelLog] = super().get_queryset(request)
        return rows.filter(pk__in=newest).order_by("-at")

    def has_add_permission(self, request: HttpRequest, obj: Channel | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Channel | None = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Channel | None = None) -> bool:
        return True


# ── What the buttons do: each returns what to tell the manager, and raises ProviderError ─────────────────────────────


def _start(channel: Channel, user: Any) -> str:
    found = control.start(channel.pk, user=user)
    told = gettext("%(channel)s: the assistant answers.") % {"channel": channel}
    connection = gettext("The connection:")
    return told if found.ok else f"{told} {connection} {found.detail}"


def _stop(channel: Channel, user: Any) -> str:
    control.stop(channel.pk, user=user)
    return gettext("%(channel)s: messages are stored, the assistant does not answer.") % {"channel": channel}


def _restart(channel: Channel, user: Any) -> str:
    found = control.restart(channel.pk, user=user)
    told = gettext("%(channel)s: connected anew, the assistant answers.") % {"channel": channel}
    connection = gettext("The connection:")
    return told if found.ok else f"{told} {connection} {found.detail}"


def _restore(channel: Channel, user: Any) -> str:
    if not control.restore(channel.pk, user=user):
        raise ProviderError(gettext("the channel is not in the archive"))
    return gettext("%(channel)s is back from the archive, stopped.") % {"channel": channel}


def _check(channel: Channel, user: Any) -> str:
    directory.forget()
    works = checks.check(channel.pk)
    channel.refresh_from_db(fields=["health", "health_detail"])
    detail = channel.health_detail or channel.get_health_display()
    if not works:
        raise ProviderError(detail)
    return gettext("%(channel)s works. %(detail)s") % {"channel": channel, "detail": channel.health_detail}


def _subscribe(channel: Channel, user: Any) -> str:
    if not can_subscribe(channel):
        raise ProviderError(gettext("this kind of channel has nothing to subscribe"))
    control.subscribe(channel, user=user)
    return gettext("%(channel)s: the provider posts to us now.") % {"channel": channel}


def _try_now(channel: Channel, user: Any) -> str:
    if not control.try_now(channel.pk, user=user):
        raise ProviderError(gettext("sending is not paused"))
    return gettext("%(channel)s: one message is tried now; if it leaves, the rest follows.") % {"channel": channel}


def _renew_secret(channel: Channel, user: Any) -> str:
    control.renew_secret(channel, user=user)
    return gettext("%(channel)s has a new webhook address. Tell it to the provider: press “Subscribe webhook”.") % {
        "channel": channel
    }


DECISIONS: dict[str, Callable[[Channel, Any], str]] = {
    "start": _start, "stop": _stop, "check": _check, "subscribe": _subscribe, "secret": _renew_secret, "send": _try_now,
    "restart": _restart, "restore": _restore,
}  # fmt: skip


@admin.register(Channel)
class ChannelAdmin(SessionPages, ListingsPages, OwnedRows, ModelAdmin):
    channel_path = "pk"
    list_display = ("shown_name", "state", "answering", "last_event", "owner")
    list_display_links = ("shown_name",)
    list_filter = ("kind", "health", "enabled", "running", ArchivedFilter)
    list_select_related = ("owner", "breaker")
    search_fields = ("name", "slug", "company")
    prepopulated_fields = {"slug": ("name",)}
    actions = ("start", "stop", "restart", "check_connection", "subscribe", "try_sending")
    inlines = (NumberRuleInline, LogInline)
    change_form_outer_before_template = "admin/channels/buttons.html"
    warn_unsaved_form = True
    readonly_fields = (
        "shown_kind", "webhook_address", "snippet", "state", "last_event", "last_poll", "last_look_back", "unasked",
    )  # fmt: skip

    # ── Columns ──────────────────────────────────────────────────────────────────────────────────────────────────────
    @admin.display(description=_("channel"), ordering="name")
    def shown_name(self, channel: Channel) -> SafeString:
        return two_lines(format_html("{} {}", light(channel), channel.name), channel.get_kind_display())

    @admin.display(description=_("state"), ordering="health")
    def state(self, channel: Channel) -> SafeString:
        return badges([health_badge(channel), *sending_badges(channel)])

    @admin.display(description=_("answers"))
    def answering(self, channel: Channel) -> SafeString:
        if channel.archived_at is not None:
            return badge(gettext("archived"), "muted", icon="inventory_2")
        if not channel.enabled:
            return badge(gettext("disabled"), "muted", icon="block")
        if not channel.running:
            return badge(gettext("stopped"), "warn", icon="pause")
        return badge(gettext("clients only") if channel.moderation else gettext("everybody"), "ok", icon="smart_toy")

    @admin.display(description=_("last event"), ordering="last_event_at")
    def last_event(self, channel: Channel) -> SafeString | str:
        return moment(channel.last_event_at)

    @admin.display(description=_("last poll"))
    def last_poll(self, channel: Channel) -> SafeString | str:
        return moment(channel.polled_at)

    @admin.display(description=_("history read back"))
    def last_look_back(self, channel: Channel) -> SafeString | str:
        return moment(channel.reconciled_at)

    @admin.display(description=_("unasked messages"))
    def unasked(self, channel: Channel) -> SafeString:
        """How the budgets of the number stand."""
        return badges([
            badge(one.words, "warn" if one.is_spent else "muted", icon="hourglass_top" if one.is_spent else "")
            for one in pacing.used(channel, now())
        ])  # fmt: skip

    # ── The form ─────────────────────────────────────────────────────────────────────────────────────────────────────
    def _kind(self, request: HttpRequest, obj: Channel | None) -> str:
        kind = obj.kind if obj else request.GET.get("kind", "")
        return kind if kind in Channel.Kind.values else str(Channel.Kind.WIDGET)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """First the kind is chosen, then its form is shown."""
        if request.GET.get("kind") in Channel.Kind.values:
            page: HttpResponse = super().add_view(request, form_url, extra_context)
            return page
        if not self.has_add_permission(request):
            raise PermissionDenied
        kinds = [{"value": value, "label": label, "help": HELP[Channel.Kind(value)]} for value, label in Channel.Kind.choices]
        context = {
            **self.admin_site.each_context(request),
            "title": _("Which kind of channel?"),
            "opts": self.opts,
            "kinds": kinds,
        }
        return TemplateResponse(request, "admin/channels/choose_kind.html", context)

    def get_form(
        self, request: HttpRequest, obj: Channel | None = None, change: bool = False, **kwargs: Any
    ) -> type[forms.ModelForm[Channel]]:
        form: type[forms.ModelForm[Channel]] = super().get_form(
            request, obj, change, **{"form": form_for(self._kind(request, obj)), **kwargs}
        )
        return form

    def get_fieldsets(self, request: HttpRequest, obj: Channel | None = None) -> Any:
        kind = self._kind(request, obj)
        adapter = adapter_class(kind)
        own = [f"credential_{name}" for name in adapter.credential_names] + [f"option_{name}" for name in adapter.option_names]
        switches = ["enabled", "auto_start" if obj else "running"]
        address = "snippet" if kind == Channel.Kind.WIDGET else "webhook_address"
        shown_address = obj is not None and self.has_change_permission(request, obj)
        paced = ["unasked"] if adapter.capabilities.fragile else []
        server = [] if kind == Channel.Kind.WIDGET else ["base_url"]
        return (
            (None, {"fields": ["shown_kind", "name", "slug", "owner", "team", *switches]}),
            (
                _("Connection"),
                {
                    "fields": [*own, *server, "more_options", *([address] if shown_address else [])],
                    "description": HELP[Channel.Kind(kind)],
                },
            ),
            (_("Company"), {"fields": ["company", "about", "own_number", "time_zone"]}),
            (_("Who is answered"), {"fields": ["moderation", "answer_age_hours", "rate_limit_count", "rate_limit_hours"]}),
            (_("Rhythm"), {"fields": ["hold", "max_hold", "pause_hours"]}),
            *([(_("State"), {"fields": ["state", "last_event", "last_poll", "last_look_back", *paced]})] if obj else []),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Channel | None = None) -> tuple[str, ...]:
        """The identifier is part of the webhook address: it is settled with the first saving. Only administrators give a
        channel to somebody else."""
        own = self.readonly_fields if request.user.is_superuser else (*self.readonly_fields, "owner")
        return (*own, "slug") if obj else own

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "team":
            kwargs["queryset"] = get_user_model()._default_manager.filter(is_active=True, is_staff=True)
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def get_prepopulated_fields(self, request: HttpRequest, obj: Channel | None = None) -> dict[str, Any]:
        return {} if obj else self.prepopulated_fields

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {**super().get_changeform_initial_data(request), "owner": request.user.pk}

    def save_model(self, request: HttpRequest, obj: Channel, form: Any, change: bool) -> None:
        """Only what people edit: leases and cursors have moved on since the form was opened."""
        edited = [field.name for field in Channel._meta.concrete_fields if field.editable and not field.primary_key]
        if not change:
            obj.auto_start = obj.running
            if not request.user.is_superuser:
                obj.owner = request.user  # type: ignore[assignment]
        obj.save(update_fields=[*edited, "updated_at"] if change else None)

    # ── The end of a channel ─────────────────────────────────────────────────────────────────────────────────────────
    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """What deleting does, in words: nothing that customers wrote goes with a channel."""
        lines = [
            gettext("%(channel)s: it holds conversations, so it is archived: stopped, hidden, nothing lost.") % {"channel": one}
            if control.holds_history(one) else gettext("%(channel)s is deleted.") % {"channel": one}
            for one in objs
        ]  # fmt: skip
        return lines, {str(self.opts.verbose_name_plural): len(lines)}, set(), []

    def delete_model(self, request: HttpRequest, obj: Channel) -> None:
        if not control.remove(obj, user=request.user):
            self.message_user(request, gettext("%(channel)s is in the archive now.") % {"channel": obj}, messages.WARNING)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Channel]) -> None:
        for channel in queryset:
            self.delete_model(request, channel)

    def get_inlines(self, request: HttpRequest, obj: Channel | None) -> Any:
        return self.inlines if obj else ()

    @admin.display(description=_("kind"))
    def shown_kind(self, channel: Channel) -> str:
        return channel.get_kind_display()

    @admin.display(description=_("webhook address"))
    def webhook_address(self, channel: Channel) -> SafeString:
        return copyable(control.webhook_url(channel))

    @admin.display(description=_("snippet for the site"))
    def snippet(self, channel: Channel) -> SafeString:
        address = f"{settings.PUBLIC_URL}{reverse('widget-script')}"
        return copyable(f'<script src="{address}" data-channel="{channel.slug}" async></script>')

    # ── Actions ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def _do(self, request: HttpRequest, rows: QuerySet[Channel], what: str) -> None:
        told, refused = [], 0
        for channel in rows.order_by("pk"):
            try:
                told.append(DECISIONS[what](channel, request.user))
            except ProviderError as error:
                refused += 1
                self.message_user(request, f"{channel}: {error}", messages.ERROR)
        for words in told:
            self.message_user(request, words, messages.SUCCESS)
        if len(told) + refused > 1:
            summary = ngettext("%(n)d channel done.", "%(n)d channels done.", len(told)) % {"n": len(told)}
            self.message_user(request, summary, messages.SUCCESS if told else messages.WARNING)

    @admin.action(description=_("Start"), permissions=("change",))
    def start(self, request: HttpRequest, queryset: QuerySet[Channel]) -> None:
        self._do(request, queryset, "start")

    @admin.action(description=_("Stop"), permissions=("change",))
    def stop(self, request: HttpRequest, queryset: QuerySet[Channel]) -> None:
        self._do(request, queryset, "stop")

    @admin.action(description=_("Restart"), permissions=("change",))
    def restart(self, request: HttpRequest, queryset: QuerySet[Channel]) -> None:
        self._do(request, queryset, "restart")

    @admin.action(description=_("Check connection"), permissions=("change",))
    def check_connection(self, request: HttpRequest, queryset: QuerySet[Channel]) -> None:
        self._do(request, queryset, "check")

    @admin.action(description=_("Subscribe webhook"), permissions=("change",))
    def subscribe(self, request: HttpRequest, queryset: QuerySet[Channel]) -> None:
        self._do(request, queryset, "subscribe")

    @admin.action(description=_("Try sending now"), permissions=("change",))
    def try_sending(self, request: HttpRequest, queryset: QuerySet[Channel]) -> None:
        self._do(request, queryset, "send")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_POST(self.decide))
        own = [path("<int:pk>/do/<slug:what>/", view, name="channel_do"), *self.session_urls(), *self.listings_urls()]
        return [*own, *super().get_urls()]

    def decide(self, request: HttpRequest, pk: int, what: str) -> HttpResponse:
        """A button of one channel's page."""
        if what not in DECISIONS:
            raise Http404
        if not self.has_change_permission(request):
            raise PermissionDenied
        rows = self.get_queryset(request).filter(pk=pk)
        get_object_or_404(rows)
        self._do(request, rows, what)
        return HttpResponseRedirect(reverse("admin:channels_channel_change", args=(pk,)))

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        channel = self.get_object(request, object_id) if object_id else None
        context = {
            "can_subscribe": can_subscribe(channel) if channel else False,
            "sending_paused": breaker.is_paused(channel) if channel else False,
            "has_session": has_session(channel) if channel else False,
            "has_listings": listings.has_listings(channel) if channel else False,
        }
        page: HttpResponse = super().changeform_view(request, object_id, form_url, {**context, **(extra_context or {})})
        return page
