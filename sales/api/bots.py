"""The HTTP API's view of bots of every kind: made, changed, started, stopped, watched and deleted.

`channels/…` takes every kind; `whatsapp/instances/…` is the same for those that speak WhatsApp.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view, inline_serializer
from rest_framework import serializers, status
from rest_framework.exceptions import APIException
from rest_framework.generics import GenericAPIView, ListCreateAPIView, RetrieveUpdateDestroyAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from channels import breaker, control
from channels.base import Health
from channels.models import Channel, ChannelLog
from channels.owners import visible_channels
from conversations.attention_api import Conflict
from foundation.errors import ProviderError, Rejected

from .. import bots
from .bot_fields import BotSerializer

LOG_LINES, MOST_LOG_LINES = 100, 1_000


class ProviderFailed(APIException):
    """The provider did not answer; trying again may help."""

    status_code = status.HTTP_502_BAD_GATEWAY
    default_code = "provider"


def told(error: ProviderError) -> APIException:
    """What a provider's word is to a program: 409 where asking again cannot help, else 502."""
    return Conflict(str(error)) if isinstance(error, Rejected) else ProviderFailed(str(error))


class BotFilter(filters.FilterSet):
    """Bots that were deleted with conversations in them are listed with `archived=true` only."""

    archived = filters.BooleanFilter(field_name="archived_at", lookup_expr="isnull", exclude=True)
    owner = filters.CharFilter(field_name="owner__username")

    class Meta:
        model = Channel
        fields = ["kind", "enabled", "running", "auto_start", "health"]


class Bots(GenericAPIView[Channel]):
    """Base of the views: the bots that a person works with, of some kinds."""

    kinds: tuple[str, ...] = ()
    permission_model = "channels.channel"
    serializer_class = BotSerializer
    queryset = Channel.objects.none()
    lookup_field = "slug"

    def get_queryset(self) -> QuerySet[Channel]:
        found = visible_channels(self.request.user)
        if self.kinds:
            found = found.filter(kind__in=self.kinds)
        return (
            found.select_related("breaker", "owner", "bot__assistant__voice")
            .prefetch_related("team", "number_rules")
            .order_by("name", "id")
        )

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "kinds": self.kinds}

    def bot(self, slug: str) -> Channel:
        return get_object_or_404(self.get_queryset(), slug=slug)


class BotList(Bots, ListCreateAPIView[Channel]):
    permission_actions = {"POST": "add"}
    filterset_class = BotFilter

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if "archived" not in self.request.query_params:
            queryset = queryset.filter(archived_at=None)
        return super().filter_queryset(queryset)


class BotDetail(Bots, RetrieveUpdateDestroyAPIView[Channel]):
    permission_actions = {"DELETE": "delete"}
    http_method_names = ["get", "put", "patch", "delete", "head", "options"]

    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """What is left out keeps its value, with PUT as with PATCH."""
        channel = self.get_object()
        serializer = self.get_serializer(channel, data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        serializer.save()
        return Response(self.get_serializer(self.get_queryset().get(pk=channel.pk)).data)

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        channel = self.get_object()
        forced = request.query_params.get("force", "").lower() in ("1", "true", "yes")
        if control.holds_history(channel) and not forced:
            words = _("Customers have written here. With force=true the bot is archived: stopped, hidden, nothing lost.")
            raise Conflict(words)
        if bots.remove(channel, user=request.user):
            return Response(status=status.HTTP_204_NO_CONTENT)
        return Response({"slug": channel.slug, "archived": True})


# ── Decisions ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _status(channel: Channel) -> dict[str, Any]:
    paused = breaker.of(channel)
    if channel.archived_at is not None:
        word = "archived"
    elif not channel.enabled:
        word = "disabled"
    else:
        word = "running" if channel.running else "stopped"
    return {
        "slug": channel.slug, "status": word, "enabled": channel.enabled, "running": channel.running,
        "auto_start": channel.auto_start, "health": channel.health, "health_detail": channel.health_detail,
        "health_changed_at": channel.health_changed_at, "last_event_at": channel.last_event_at,
        "sending": breaker.words(paused) if paused else "", "missing": bots.missing(channel),
    }  # fmt: skip


STATUS = inline_serializer(
    "BotStatus",
    {
        "slug": serializers.CharField(),
        "status": serializers.CharField(help_text="running, stopped, disabled or archived"),
        "enabled": serializers.BooleanField(),
        "running": serializers.BooleanField(),
        "auto_start": serializers.BooleanField(),
        "health": serializers.CharField(),
        "health_detail": serializers.CharField(),
        "health_changed_at": serializers.DateTimeField(allow_null=True),
        "last_event_at": serializers.DateTimeField(allow_null=True),
        "sending": serializers.CharField(),
        "missing": serializers.ListField(child=serializers.CharField()),
    },
)
ARCHIVED = {
    204: None,
    200: inline_serializer("ArchivedBot", {"slug": serializers.CharField(), "archived": serializers.BooleanField()}),
}
FORCE = OpenApiParameter("force", bool, description="Archive a bot that holds conversations, instead of refusing.")
#: What each decision does; it raises ProviderError.
DECISIONS: dict[str, tuple[str, Callable[[Channel, Any], Health | bool]]] = {
    "start": (
        "Prove the credentials with the provider, subscribe the webhook (or poll), and let the assistant answer.",
        lambda channel, user: control.start(channel.pk, user=user),
    ),
    "stop": (
        "Finish the replies in hand and answer nothing more; what customers write is stored.",
        lambda channel, user: control.stop(channel.pk, user=user),
    ),
    "restart": (
        "Connect anew, a linked session included. `auto_start` stays as it is.",
        lambda channel, user: control.restart(channel.pk, user=user),
    ),
    "restore": ("Take a bot out of the archive, stopped.", lambda channel, user: control.restore(channel.pk, user=user)),
}


class BotLogLine(serializers.ModelSerializer[ChannelLog]):
    """What happened to a channel; never the words of messages."""

    class Meta:
        model = ChannelLog
        fields = ["at", "level", "event", "detail"]
        read_only_fields = fields


class LogLines(serializers.Serializer[Any]):
    lines = serializers.IntegerField(min_value=1, max_value=MOST_LOG_LINES, default=LOG_LINES)


def _deciding(what: str, words: str, carry_out: Callable[[Channel, Any], Any], base: type[Bots], prefix: str) -> type[Bots]:
    @extend_schema(request=None, responses=STATUS, description=words, operation_id=f"{prefix}_{what}")
    def post(self: Bots, request: Request, slug: str) -> Response:
        channel = self.bot(slug)
        try:
            carry_out(channel, request.user)
        except ProviderError as error:
            raise told(error) from None
        return Response(_status(self.bot(slug)))

    return type(f"{what.title()}Bot", (base,), {"post": post, "__doc__": words})


def family(address: str, name: str, kinds: tuple[str, ...], tag: str) -> list[URLPattern]:
    """The addresses of one family of bots: `channels/…` or `whatsapp/instances/…`."""
    base = type("Family", (Bots,), {"kinds": kinds})
    prefix = name.replace("-", "_")

    @extend_schema(operation_id=f"{prefix}_status", responses=STATUS)
    def show_status(self: Bots, request: Request, slug: str) -> Response:
        return Response(_status(self.bot(slug)))

    @extend_schema(operation_id=f"{prefix}_logs", parameters=[LogLines], responses=BotLogLine(many=True))
    def show_log(self: Bots, request: Request, slug: str) -> Response:
        asked = LogLines(data=request.query_params)
        asked.is_valid(raise_exception=True)
        newest = self.bot(slug).log.order_by("-at", "-pk")[: asked.validated_data["lines"]]
        return Response(BotLogLine(newest, many=True).data)

    def schema(view: type[Any], methods: dict[str, str]) -> type[Any]:
        more: dict[str, Any] = {"delete": {"responses": ARCHIVED, "parameters": [FORCE]}}
        described = {
            method: extend_schema(operation_id=f"{prefix}_{word}", **more.get(method, {})) for method, word in methods.items()
        }
        return extend_schema_view(**described)(view)

    listed = type("BotList", (BotList,), {"kinds": kinds, "__doc__": "The bots you work with, and making one."})
    detail = type("BotDetail", (BotDetail,), {"kinds": kinds, "__doc__": "One bot: its settings, changing and deleting it."})
    single: dict[str, Any] = {
        "": schema(detail, {"get": "retrieve", "put": "update", "patch": "change", "delete": "delete"}),
        "status": type("BotStatusView", (base,), {"get": show_status, "__doc__": "How a bot is, in a few words."}),
        "logs": type(
            "BotLogs", (base,), {"get": show_log, "__doc__": "The newest lines of a bot's log.", "pagination_class": None}
        ),
        **{what: _deciding(what, words, carry_out, base, prefix) for what, (words, carry_out) in DECISIONS.items()},
    }  # fmt: skip
    tagged = extend_schema(tags=[tag])
    many = schema(listed, {"get": "list", "post": "create"})
    return [
        path(f"{address}/", tagged(many).as_view(), name=f"{name}s"),
        *(
            path(f"{address}/<slug:slug>/{what}/" if what else f"{address}/<slug:slug>/", tagged(view).as_view(),
                 name=f"{name}-{what}" if what else name)
            for what, view in single.items()
        ),
    ]  # fmt: skip


def only(user: Any, kind: str, slug: str) -> Channel:
    """The bot of this kind with this slug, or without one the only bot of the kind. Raises Http404, Conflict."""
    found = visible_channels(user).filter(kind=kind, archived_at=None)
    if slug:
        return get_object_or_404(found, slug=slug)
    rows = list(found[:2])
    if not rows:
        raise Http404
    if len(rows) > 1:
        raise Conflict(_("There are several such channels: name one."))
    return rows[0]


urlpatterns = [
    *family("channels", "channel", (), "channels"),
    *family("whatsapp/instances", "whatsapp-instance", tuple(map(str, bots.WHATSAPP)), "whatsapp"),
]
