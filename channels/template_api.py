"""The HTTP API's view of message templates. Everybody uses those of every channel; superusers change them."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError as Invalid
from django.db.models import Q, QuerySet
from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.generics import GenericAPIView, ListCreateAPIView, RetrieveUpdateDestroyAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from foundation.errors import ProviderError

from . import message_templates
from .models import Channel, MessageTemplate
from .owners import visible_channels, visible_templates
from .registry import adapter_class

#: What of an approved template is ours to change.
OURS = frozenset({"name", "variables", "enabled"})


class VariableSerializer(serializers.Serializer[Any]):
    """What fills one place of a text."""

    name = serializers.CharField(max_length=60, help_text="Name of the place: `{{name}}`.")
    source = serializers.CharField(  # type: ignore[assignment]
        max_length=60, required=False, help_text="What fills it; without one, the source of that name."
    )
    default = serializers.CharField(
        max_length=message_templates.LONGEST_VALUE, required=False, allow_blank=True,
        help_text="What stands there where that is not known.",
    )  # fmt: skip


class _OwnChannels(serializers.SlugRelatedField[Channel]):
    def get_queryset(self) -> QuerySet[Channel]:
        return visible_channels(self.context["request"].user)


class TemplateSerializer(serializers.ModelSerializer[MessageTemplate]):
    """A message template. Those approved by a provider are loaded from it; only name, variables and enabled are yours."""

    channel = _OwnChannels(slug_field="slug", allow_null=True, required=False, help_text="Identifier; null: every channel.")
    kind = serializers.CharField(read_only=True)
    category = serializers.ChoiceField(choices=MessageTemplate.Category.choices, required=False, allow_blank=True)
    variables = serializers.ListField(child=VariableSerializer(), required=False)
    usable = serializers.BooleanField(read_only=True)

    class Meta:
        model = MessageTemplate
        fields = [
            "id", "slug", "name", "channel", "kind", "language", "category", "body", "variables", "enabled", "usable",
            "provider_name", "provider_status", "placeholders", "obstacle", "created_at", "updated_at",
        ]  # fmt: skip
        read_only_fields = ["provider_name", "provider_status", "placeholders", "obstacle"]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        known = self.instance
        if known is not None and known.kind == MessageTemplate.Kind.APPROVED and not set(attrs) <= OURS:
            raise serializers.ValidationError(_("Of an approved template only name, variables and enabled may be changed."))
        channel = attrs.get("channel", known.channel if known is not None else None)
        user = self.context["request"].user
        if not user.is_superuser and (channel is None or (known is not None and known.channel_id is None)):
            raise serializers.ValidationError({"channel": _("Templates of every channel are changed by administrators.")})
        return attrs


class _Templates(GenericAPIView[MessageTemplate]):
    permission_model = "channels.messagetemplate"
    serializer_class = TemplateSerializer
    queryset = MessageTemplate.objects.none()
    #: Only those that may be used on this kind of channel.
    channel_kind = ""

    def get_queryset(self) -> QuerySet[MessageTemplate]:
        rows = visible_templates(self.request.user).select_related("channel").order_by("name", "id")
        return rows.filter(Q(channel__kind=self.channel_kind) | Q(channel=None)) if self.channel_kind else rows


@extend_schema(tags=["templates"])
class TemplateList(_Templates, ListCreateAPIView[MessageTemplate]):
    """The message templates you may use; POST makes one of your own."""

    filterset_fields = ["kind", "language", "category", "enabled", "channel__slug"]


@extend_schema(tags=["templates"])
class TemplateDetail(_Templates, RetrieveUpdateDestroyAPIView[MessageTemplate]):
    """One message template. An approved one that is deleted here comes back when it is loaded again."""

    lookup_field = "slug"

    def perform_destroy(self, instance: MessageTemplate) -> None:
        if instance.channel_id is None and not self.request.user.is_superuser:
            raise PermissionDenied(_("Templates of every channel are changed by administrators."))
        instance.delete()


class PreviewSerializer(serializers.Serializer[Any]):
    """A text as it is being written."""

    body = serializers.CharField(max_length=20_000)
    variables = VariableSerializer(many=True, required=False)
    values = serializers.DictField(
        child=serializers.CharField(allow_blank=True), required=False, help_text="By source; without them, samples."
    )


class Preview(GenericAPIView[MessageTemplate]):
    """What a text says, with sample values or with these."""

    permission_model = "channels.messagetemplate"
    serializer_class = PreviewSerializer
    queryset = MessageTemplate.objects.none()

    @extend_schema(
        tags=["templates"], request=PreviewSerializer,
        responses=inline_serializer(
            "Previewed", {"text": serializers.CharField(), "values": serializers.ListField(child=serializers.CharField())}
        ),
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        asked = PreviewSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        template = MessageTemplate(name="—", body=given["body"], variables=[dict(one) for one in given.get("variables", [])])
        try:
            message_templates.validate(template)
            values = given.get("values")
            filled = message_templates.sample(template) if values is None else message_templates.fill(template, values)
        except Invalid as error:
            raise ValidationError(error.message_dict) from None
        except message_templates.MissingValue as error:
            raise ValidationError({"values": [str(error)]}) from None
        return Response({"text": filled.text, "values": list(filled.values)})


class LoadSerializer(serializers.Serializer[Any]):
    channel = serializers.SlugField(help_text="Identifier of a channel whose provider knows templates.")


class Load(GenericAPIView[MessageTemplate]):
    """Take over what a channel's provider lists."""

    permission_model = "channels.messagetemplate"
    serializer_class = LoadSerializer
    queryset = MessageTemplate.objects.none()

    @extend_schema(
        tags=["templates"], request=LoadSerializer,
        responses=inline_serializer("Loaded", {name: serializers.IntegerField() for name in ("new", "changed", "gone")}),
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        asked = LoadSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        channel = get_object_or_404(visible_channels(request.user), slug=asked.validated_data["channel"])
        if not adapter_class(channel.kind).capabilities.templates:
            raise ValidationError({"channel": [_("This channel's provider knows no templates.")]})
        try:
            loaded = message_templates.load(channel)
        except ProviderError as error:
            raise ValidationError({"channel": [str(error)]}) from None
        return Response({"new": loaded.new, "changed": loaded.changed, "gone": loaded.gone})


_WAHA = {"channel_kind": str(Channel.Kind.WAHA)}
urlpatterns = [
    path("templates/", TemplateList.as_view(), name="templates"),
    path("templates/preview/", Preview.as_view(), name="template-preview"),
    path("templates/load/", Load.as_view(), name="template-load"),
    path("templates/<slug:slug>/", TemplateDetail.as_view(), name="template"),
    path("waha/templates/", TemplateList.as_view(**_WAHA), name="waha-templates"),
    path("waha/templates/preview/", Preview.as_view(), name="waha-template-preview"),
    path("waha/templates/<slug:slug>/", TemplateDetail.as_view(**_WAHA), name="waha-template"),
]
