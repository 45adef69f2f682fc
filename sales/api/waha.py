"""The HTTP API's view of WAHA: sessions linked to a phone, their settings, and writing through them.

A session is a bot of the kind `waha`; its webhook is the channel's own address (`webhook_url` of the bot).
"""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.urls import path
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view, inline_serializer
from rest_framework import serializers, status
from rest_framework.exceptions import ValidationError
from rest_framework.generics import GenericAPIView
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response

from channels import control
from channels.models import Channel
from conversations.api import OutgoingSerializer, SendMessage
from foundation.addresses import server_address
from foundation.errors import ProviderError

from .. import bots
from .bot_fields import PhoneField, webhook_url
from .bots import BotList, Bots, only, told

KIND = str(Channel.Kind.WAHA)


class SessionSerializer(serializers.Serializer[Any]):
    """The linked device behind a channel."""

    slug = serializers.CharField()
    session = serializers.CharField(help_text="As WAHA calls it.")
    state = serializers.CharField(help_text="stopped, starting, linking, working or failed")
    detail = serializers.CharField()
    own_number = serializers.CharField()


class Sessions(Bots):
    """Base of what is done to one session; answers with the session as it stands."""

    kinds = (KIND,)
    serializer_class = SessionSerializer  # type: ignore[assignment]

    def shown(self, channel: Channel) -> Response:
        try:
            found = control.linked(channel).session()
        except ProviderError as error:
            raise told(error) from None
        answer = {
            "slug": channel.slug, "session": str((channel.options or {}).get("session") or ""), "state": str(found.state),
            "detail": found.detail, "own_number": f"+{found.own_number}" if found.own_number else "",
        }  # fmt: skip
        return Response(answer)


@extend_schema_view(
    get=extend_schema(tags=["waha"], operation_id="waha_session_list"),
    post=extend_schema(tags=["waha"], operation_id="waha_session_create"),
)
class SessionList(BotList):
    """The WAHA channels; a new one is a bot of the kind `waha`, whose session is made when it is started."""

    kinds = (KIND,)


class SessionDetail(Sessions):
    """How a session stands, asked of WAHA."""

    @extend_schema(tags=["waha"], operation_id="waha_session")
    def get(self, request: Request, slug: str) -> Response:
        return self.shown(self.bot(slug))


def _doing(word: str, words: str, carry_out: Any) -> type[Sessions]:
    @extend_schema(tags=["waha"], request=None, operation_id=f"waha_session_{word}", description=words)
    def post(self: Sessions, request: Request, slug: str) -> Response:
        channel = self.bot(slug)
        try:
            carry_out(channel, user=request.user)
        except ProviderError as error:
            raise told(error) from None
        return self.shown(channel)

    return type(f"{word.title()}Session", (Sessions,), {"post": post, "__doc__": words})


class AnyType(BaseContentNegotiation):
    """A picture is answered whatever the client says that it accepts; errors are JSON."""

    def select_parser(self, request: Any, parsers: Any) -> Any:
        return next(iter(parsers))

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        renderer = next(iter(renderers))
        return renderer, renderer.media_type


class SessionQR(Sessions):
    """The QR code to scan, as PNG. Whoever sees it can link a phone of theirs, so it needs the right to change."""

    permission_actions = {"GET": "change"}
    content_negotiation_class = AnyType

    @extend_schema(tags=["waha"], operation_id="waha_session_qr", responses={(200, "image/png"): OpenApiTypes.BINARY})
    def get(self, request: Request, slug: str) -> HttpResponse:
        try:
            picture = control.linked(self.bot(slug)).qr()
        except ProviderError as error:
            raise told(error) from None
        return HttpResponse(picture, content_type="image/png", headers={"Cache-Control": "no-store, private"})


class PhoneSerializer(serializers.Serializer[Any]):
    phone = PhoneField(max_length=40, help_text="The phone that will be linked.")


class SessionCode(Sessions):
    """The code to enter on the phone under its linked devices, instead of scanning."""

    @extend_schema(
        tags=["waha"], operation_id="waha_session_pairing_code", request=PhoneSerializer,
        responses=inline_serializer("PairingCode", {"code": serializers.CharField()}),
    )  # fmt: skip
    def post(self, request: Request, slug: str) -> Response:
        channel = self.bot(slug)
        asked = PhoneSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        try:
            code = control.linked(channel).pairing_code(asked.validated_data["phone"])
        except ProviderError as error:
            raise told(error) from None
        return Response({"code": code}, headers={"Cache-Control": "no-store, private"})


# ── Settings and writing ─────────────────────────────────────────────────────────────────────────────────────────────

_CHANNEL = OpenApiParameter("channel", str, description="Slug of the WAHA channel; not needed where there is only one.")


class WahaSettings(serializers.Serializer[Any]):
    """How the WAHA server of a channel is reached and used."""

    channel = serializers.SlugField(required=False, help_text="Not needed where there is only one.")
    base_url = serializers.CharField(required=False, max_length=200, validators=[server_address])
    session = serializers.RegexField(r"^[A-Za-z0-9_.-]{1,64}$", required=False)
    api_key = serializers.CharField(required=False, write_only=True, allow_blank=True, max_length=1000)
    hmac_key = serializers.CharField(required=False, write_only=True, allow_blank=True, max_length=1000)
    show_typing = serializers.BooleanField(required=False)
    polling = serializers.BooleanField(required=False)
    link_preview = serializers.BooleanField(required=False)
    sends_per_second = serializers.FloatField(required=False, min_value=0.1, max_value=50)
    webhook_base = serializers.RegexField(
        r"^https?://[A-Za-z0-9._-]+(:[0-9]+)?/?$", required=False, allow_blank=True, max_length=200,
        help_text="This server's address as WAHA reaches it, where it is not the public one.",
    )  # fmt: skip
    secrets: Any = serializers.DictField(child=serializers.CharField(), read_only=True)
    webhook_url = serializers.CharField(read_only=True)


OPTIONS = ("show_typing", "polling", "link_preview", "sends_per_second", "webhook_base")


class SettingsView(GenericAPIView[Channel]):
    """The settings of the company's WAHA server, by channel."""

    permission_model = "channels.channel"
    serializer_class = WahaSettings
    queryset = Channel.objects.none()

    def _shown(self, channel: Channel) -> Response:
        options = channel.options or {}
        told = {
            "channel": channel.slug, "base_url": channel.base_url, "session": str(options.get("session") or ""),
            **{name: options[name] for name in OPTIONS if name in options}, "secrets": bots.masked(channel),
            "webhook_url": webhook_url(channel),
        }  # fmt: skip
        return Response(told)

    @extend_schema(tags=["waha"], operation_id="waha_settings", parameters=[_CHANNEL])
    def get(self, request: Request) -> Response:
        return self._shown(only(request.user, KIND, request.query_params.get("channel", "")))

    @extend_schema(tags=["waha"], operation_id="waha_settings_update")
    def put(self, request: Request) -> Response:
        """What is left out keeps its value."""
        asked = WahaSettings(data=request.data)
        asked.is_valid(raise_exception=True)
        values: dict[str, Any] = dict(asked.validated_data)
        channel = only(request.user, KIND, values.pop("channel", ""))
        options = {name: values.pop(name) for name in OPTIONS if name in values}
        return self._shown(bots.change(channel, {**values, "options": options}, user=request.user))


class WahaOutgoing(OutgoingSerializer):
    channel = serializers.SlugField(required=False, help_text="Not needed where there is only one WAHA channel.")


class WahaSend(SendMessage):
    """Write to a customer through WAHA, as a manager; the outbox sends, as everywhere."""

    serializer_class = WahaOutgoing

    @extend_schema(tags=["waha"], operation_id="waha_send_message", request=WahaOutgoing)
    def post(self, request: Request) -> Response:
        asked = WahaOutgoing(data=request.data)
        asked.is_valid(raise_exception=True)
        values = dict(asked.validated_data)
        channel = only(request.user, KIND, values.pop("channel", ""))
        if not channel.enabled:
            raise ValidationError({"channel": [_("The channel is disabled: enable it first.")]})
        return Response(self.queued(request.user, channel, values), status=status.HTTP_202_ACCEPTED)


_ONE = "waha/sessions/<slug:slug>"
DOING = {
    "start": ("Make the session where there is none, and start it.", control.start_session),
    "stop": ("Stop it; the phone stays linked.", control.stop_session),
    "logout": ("Unlink the phone.", control.log_out),
}
urlpatterns = [
    path("waha/sessions/", SessionList.as_view(), name="waha-sessions"),
    path(f"{_ONE}/", SessionDetail.as_view(), name="waha-session"),
    *(
        path(f"{_ONE}/{word}/", _doing(word, words, carry_out).as_view(), name=f"waha-session-{word}")
        for word, (words, carry_out) in DOING.items()
    ),
    path(f"{_ONE}/qr/", SessionQR.as_view(), name="waha-session-qr"),
    path(f"{_ONE}/pairing-code/", SessionCode.as_view(), name="waha-session-pairing-code"),
    path("waha/settings/", SettingsView.as_view(), name="waha-settings"),
    path("waha/send-message/", WahaSend.as_view(), name="waha-send-message"),
]
