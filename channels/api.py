"""The HTTP API's view of the channels: their state, never their credentials."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import ListAPIView

from . import breaker
from .models import Channel
from .owners import visible_channels


class ChannelSerializer(serializers.ModelSerializer[Channel]):
    """One channel and how it is."""

    kind = serializers.CharField(read_only=True)
    sending = serializers.SerializerMethodField(help_text="How sending stands while it is paused, in words; else empty.")

    class Meta:
        model = Channel
        fields = [
            "slug", "name", "kind", "company", "enabled", "running", "moderation", "health", "health_detail",
            "health_changed_at", "polled_at", "poll_failures", "reconciled_at", "last_event_at", "sending",
        ]  # fmt: skip
        read_only_fields = fields

    def get_sending(self, channel: Channel) -> str:
        paused = breaker.of(channel)
        return breaker.words(paused) if paused else ""


@extend_schema(tags=["channels"])
class ChannelList(ListAPIView[Channel]):
    """The channels you work with, and their health."""

    permission_model = "channels.channel"
    serializer_class = ChannelSerializer
    queryset = Channel.objects.none()
    filterset_fields = ["kind", "enabled", "running", "health"]

    def get_queryset(self) -> QuerySet[Channel]:
        user: Any = self.request.user
        return visible_channels(user).select_related("breaker").order_by("name", "id")


urlpatterns = [path("channels/", ChannelList.as_view(), name="channels")]
