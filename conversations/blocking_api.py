"""Blocking customers by the HTTP API: in all their conversations that you may see, or on one channel."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from django.urls import path
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from channels.owners import visible
from foundation.errors import ProviderError

from . import blocking
from .api import ConversationSerializer, find_contact
from .attention_api import Conflict
from .models import Contact, Conversation


class WhereSerializer(serializers.Serializer[Any]):
    channel = serializers.SlugField(required=False, help_text="Identifier of a channel. Without it: wherever you may see them.")


class NotBlockedThere(serializers.Serializer[Any]):
    conversation = serializers.IntegerField()
    why = serializers.CharField()


class BlockedSerializer(serializers.Serializer[Any]):
    """How the contact's conversations stand afterwards, and of which of them the provider did not follow."""

    contact = serializers.IntegerField()
    conversations = ConversationSerializer(many=True)
    refused = NotBlockedThere(
        many=True, help_text="The assistant stays silent there all the same, but the provider has not blocked the customer."
    )


_PHONE = OpenApiParameter(
    "phone", str, OpenApiParameter.PATH, description="A phone in any usual form, or `id:` and the contact's number."
)


class Deciding(GenericAPIView[Contact]):
    """Base of both decisions; 409 where it is so already in every conversation."""

    permission_model = "conversations.conversation"
    queryset = Contact.objects.none()

    def done(self, request: Request, phone: str) -> Response:
        asked = WhereSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        contact = find_contact(request.user, phone)
        found = visible(Conversation.objects.filter(contact=contact), request.user).order_by("pk")
        if "channel" in asked.validated_data:
            found = found.filter(channel__slug=asked.validated_data["channel"])
        conversations = list(found.values_list("pk", flat=True))
        if not conversations:
            raise Http404
        moved, refused = 0, []
        for pk in conversations:
            try:
                moved += self.decide(pk, request.user)
            except ProviderError as error:
                refused.append({"conversation": pk, "why": str(error)})
        if not moved and not refused:
            raise Conflict(_("Nothing to do: it is so already."))
        rows = Conversation.objects.filter(pk__in=conversations).select_related("channel").order_by("pk")
        told = {"contact": contact.pk, "conversations": rows, "refused": refused}
        return Response(BlockedSerializer(told).data)

    def decide(self, conversation_id: int, user: Any) -> bool:
        """Carry it out; False where it is so already. Raises ProviderError where only the provider did not follow."""
        raise NotImplementedError


class Block(Deciding):
    """Block a contact: what they write is stored and not answered, and a provider with a blacklist shuts them out."""

    @extend_schema(tags=["contacts"], parameters=[_PHONE], request=WhereSerializer, responses=BlockedSerializer)
    def post(self, request: Request, phone: str) -> Response:
        return self.done(request, phone)

    def decide(self, conversation_id: int, user: Any) -> bool:
        return blocking.block(conversation_id, user=user)


class Unblock(Deciding):
    """Let the assistant answer the contact's next message again. A provider's own blacklist is changed on its pages only."""

    @extend_schema(tags=["contacts"], parameters=[_PHONE], request=WhereSerializer, responses=BlockedSerializer)
    def post(self, request: Request, phone: str) -> Response:
        return self.done(request, phone)

    def decide(self, conversation_id: int, user: Any) -> bool:
        return blocking.unblock(conversation_id, user=user)


urlpatterns = [
    path("contacts/<str:phone>/block/", Block.as_view(), name="block"),
    path("contacts/<str:phone>/unblock/", Unblock.as_view(), name="unblock"),
]
