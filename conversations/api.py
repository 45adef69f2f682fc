"""The HTTP API's view of contacts and messages, for programs of the company's own.

Everything is scoped to the channels its user works with: what belongs to others does not exist for them (404).
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import F, OuterRef, QuerySet
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils.translation import gettext as _
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers, status
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.generics import GenericAPIView, ListAPIView, RetrieveAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from channels import directory
from channels.base import Sender
from channels.models import Channel
from channels.owners import visible, visible_channels
from foundation.big_tables import exists, newest
from foundation.crypto import blind_index, name_hashes
from foundation.phones import canonical

from . import contacts, verdicts
from .models import Contact, Conversation, Message
from .replies import reply
from .template_replies import sendable

ID_PREFIX = "id:"
MOST_LOG_LINES = 1000


def visible_contacts(user: Any) -> QuerySet[Contact]:
    """The contacts that have a conversation on a channel this user works with; superusers see all."""
    if user.is_superuser:
        return Contact.objects.all()
    theirs = visible(Conversation.objects.order_by(), user)
    return Contact.objects.filter(exists(theirs.filter(contact=OuterRef("pk")), theirs))


def find_contact(user: Any, key: str) -> Contact:
    """The contact with this phone, written in any usual way, or `id:` and its number. Raises Http404."""
    found = visible_contacts(user)
    if key.startswith(ID_PREFIX):
        number = key.removeprefix(ID_PREFIX)
        if not number.isascii() or not number.isdigit() or len(number) > 18:
            raise Http404
        return get_object_or_404(found, pk=int(number))
    phone = canonical(key)
    if phone is None:
        raise ValidationError({"phone": [_("Not a phone number. Examples: +7 701 123 45 67, or id:17 for contact number 17.")]})
    return get_object_or_404(found, phone_index=blind_index(phone, "phone"))


# ── Contacts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class ContactSerializer(serializers.ModelSerializer[Contact]):
    """A person and the moderator's verdict."""

    phone = serializers.SerializerMethodField()
    name = serializers.CharField(read_only=True)
    full_name = serializers.CharField(read_only=True)
    business_name = serializers.CharField(read_only=True)
    reasoning = serializers.CharField(read_only=True)

    class Meta:
        model = Contact
        fields = [
            "id", "phone", "name", "full_name", "business_name", "is_client", "confidence", "reasoning", "classified_at",
            "verdict_final", "language", "time_zone", "opted_out_at", "last_message_at", "created_at",
        ]  # fmt: skip
        read_only_fields = fields

    def get_phone(self, contact: Contact) -> str | None:
        return f"+{contact.phone}" if contact.phone else None


class ConversationSerializer(serializers.ModelSerializer[Conversation]):
    """Where an exchange stands."""

    channel: serializers.SlugRelatedField[Channel] = serializers.SlugRelatedField(slug_field="slug", read_only=True)

    class Meta:
        model = Conversation
        fields = [
            "id", "channel", "mode", "needs_attention", "attention_reason", "last_seq", "last_inbound_at", "last_outbound_at",
            "resumes_at", "blocked_at", "unreachable_since", "created_at",
        ]  # fmt: skip
        read_only_fields = fields


class ContactWithConversations(ContactSerializer):
    """A contact with the exchanges you may see."""

    conversations = serializers.SerializerMethodField()

    class Meta(ContactSerializer.Meta):
        fields = [*ContactSerializer.Meta.fields, "conversations"]
        read_only_fields = fields

    @extend_schema(responses=ConversationSerializer(many=True))
    def get_conversations(self, contact: Contact) -> list[dict[str, Any]]:
        mine = visible(contact.conversations.select_related("channel"), self.context["request"].user).order_by("id")
        return list(ConversationSerializer(mine, many=True).data)


class ContactFilter(filters.FilterSet):
    """How contacts are looked for. Names are encrypted: whole words of them are found, whatever their case."""

    is_client = filters.ChoiceFilter(
        choices=[("true", "client"), ("false", "not a client"), ("null", "not decided")], method="by_verdict", null_value=None
    )
    search = filters.CharFilter(method="by_words", label="Words of a name, or a phone in any usual form.")
    channel = filters.CharFilter(method="by_channel", label="Identifier of a channel.")

    class Meta:
        model = Contact
        fields: list[str] = []

    def by_verdict(self, queryset: QuerySet[Contact], name: str, value: str) -> QuerySet[Contact]:
        return queryset.filter(is_client={"true": True, "false": False}.get(value))

    def by_words(self, queryset: QuerySet[Contact], name: str, value: str) -> QuerySet[Contact]:
        phone = canonical(value)
        if phone is not None:
            return queryset.filter(phone_index=blind_index(phone, "phone"))
        hashes = name_hashes(value)
        return queryset.filter(name_hashes__contains=hashes) if hashes else queryset.none()

    def by_channel(self, queryset: QuerySet[Contact], name: str, value: str) -> QuerySet[Contact]:
        channels = visible_channels(self.request.user).filter(slug=value).values_list("pk", flat=True)
        here = Conversation.objects.filter(channel__in=list(channels)).order_by()
        return queryset.filter(exists(here.filter(contact=OuterRef("pk")), here))


@extend_schema(tags=["contacts"])
class ContactList(ListAPIView[Contact]):
    """Contacts, the one who wrote last first."""

    permission_model = "conversations.contact"
    serializer_class = ContactSerializer
    queryset = Contact.objects.none()
    filterset_class = ContactFilter

    def get_queryset(self) -> QuerySet[Contact]:
        found = visible_contacts(self.request.user)
        return found.order_by(F("last_message_at").desc(nulls_last=True), "-id")


_PHONE = OpenApiParameter(
    "phone", str, OpenApiParameter.PATH, description="A phone in any usual form, or `id:` and the contact's number."
)


@extend_schema(tags=["contacts"], parameters=[_PHONE])
class ContactDetail(RetrieveAPIView[Contact]):
    """One contact and its conversations. Served by `sales.api.follow_ups`, which knows more of a contact."""

    permission_model = "conversations.contact"
    serializer_class = ContactWithConversations
    queryset = Contact.objects.none()

    def get_object(self) -> Contact:
        return find_contact(self.request.user, self.kwargs["phone"])


class Classify(GenericAPIView[Contact]):
    """Judge a contact anew.

    A manager's verdict is cleared. Where the contact wrote within the last day and met with silence, the moderator is asked
    at once; otherwise at the next message.
    """

    permission_model = "conversations.contact"
    queryset = Contact.objects.none()

    @extend_schema(
        tags=["contacts"],
        parameters=[_PHONE],
        request=None,
        responses={
            202: inline_serializer(
                "Reclassification",
                {
                    "contact": serializers.IntegerField(),
                    "turns_started": serializers.IntegerField(help_text="Conversations in which the moderator is asked now."),
                    "message": serializers.CharField(),
                },
            )
        },
    )
    def post(self, request: Request, phone: str) -> Response:
        contact = find_contact(request.user, phone)
        started = verdicts.reclassify(contact.pk)
        message = _("The moderator is asked now.") if started else _("The moderator is asked when the contact writes again.")
        return Response({"contact": contact.pk, "turns_started": started, "message": message}, status=status.HTTP_202_ACCEPTED)


# ── Messages ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class LogLineSerializer(serializers.ModelSerializer[Message]):
    """What happened to a message, without its words."""

    channel: serializers.SlugRelatedField[Channel] = serializers.SlugRelatedField(slug_field="slug", read_only=True)
    contact = serializers.IntegerField(source="conversation.contact_id", read_only=True)

    class Meta:
        model = Message
        fields = [
            "id", "contact", "conversation", "channel", "turn", "seq", "direction", "author", "kind", "transcribed", "state",
            "state_changed_at", "external_id", "attempts", "error", "sent_at", "created_at",
        ]  # fmt: skip
        read_only_fields = fields


class MessageSerializer(LogLineSerializer):
    """A message with its words."""

    text = serializers.CharField(read_only=True)

    class Meta(LogLineSerializer.Meta):
        fields = [*LogLineSerializer.Meta.fields, "text"]
        read_only_fields = fields


class MessageFilter(filters.FilterSet):
    """Narrows messages down. `since` is an ISO 8601 time; without an offset it means the installation's time zone."""

    direction = filters.ChoiceFilter(choices=Message.Direction.choices)
    state = filters.ChoiceFilter(choices=Message.State.choices)
    since = filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    channel = filters.CharFilter(field_name="channel__slug")

    class Meta:
        model = Message
        fields: list[str] = []


@extend_schema(tags=["messages"])
class MessageList(ListAPIView[Message]):
    """What was said with one contact, in both directions, newest first."""

    permission_model = "conversations.message"
    serializer_class = MessageSerializer
    queryset = Message.objects.none()
    filterset_class = MessageFilter

    def get_queryset(self) -> QuerySet[Message]:
        contact = get_object_or_404(visible_contacts(self.request.user), pk=self.kwargs["contact_id"])
        mine = visible(contact.conversations.all(), self.request.user)
        found = Message.objects.filter(conversation__in=mine.values("pk")).select_related("channel", "conversation")
        return found.defer("details").order_by("-created_at", "-seq")


class LogParameters(serializers.Serializer[Any]):
    limit = serializers.IntegerField(min_value=1, max_value=MOST_LOG_LINES, default=100)
    text = serializers.BooleanField(default=False, help_text="Include the texts; needs the right to see messages.")


@extend_schema(tags=["messages"], parameters=[LogParameters])
class MessageLog(ListAPIView[Message]):
    """The last messages of all conversations, newest first, to see what became of them.

    Without `since`, filters look through the last 20,000 messages.
    """

    queryset = Message.objects.none()
    serializer_class = LogLineSerializer
    filterset_class = MessageFilter
    pagination_class = None

    def get_queryset(self) -> QuerySet[Message]:
        found = visible(Message.objects.select_related("channel", "conversation"), self.request.user)
        return found.defer("details", "text").order_by("-created_at", "-id")

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        asked = LogParameters(data=request.query_params)
        asked.is_valid(raise_exception=True)
        lines = self.filter_queryset(self.get_queryset())
        if "since" not in request.query_params:
            lines = newest(lines, Message.objects.all(), "created_at")
        serializer: type[LogLineSerializer] = LogLineSerializer
        if asked.validated_data["text"]:
            if not any(request.user.has_perm(f"conversations.{right}_message") for right in ("view", "change")):
                raise PermissionDenied(_("You may not read the texts of messages."))
            serializer, lines = MessageSerializer, lines.defer(None).defer("details")
        return Response(serializer(lines[: asked.validated_data["limit"]], many=True).data)


# ── Writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class OutgoingSerializer(serializers.Serializer[Any]):
    """A manager's message to one person on one channel."""

    channel = serializers.SlugField(help_text="Identifier of the channel.")
    phone = serializers.CharField(required=False, max_length=40, help_text="In any usual form. Either this or `contact`.")
    contact = serializers.IntegerField(required=False, min_value=1, help_text="The contact's number. Either this or `phone`.")
    text = serializers.CharField(max_length=20_000, required=False, help_text="Either this or `template`.")
    template = serializers.SlugField(required=False, help_text="Identifier of a message template. Either this or `text`.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("phone" in attrs) == ("contact" in attrs):
            raise serializers.ValidationError(_("Give either a phone or a contact."))
        if ("text" in attrs) == ("template" in attrs):
            raise serializers.ValidationError(_("Give either a text or a template."))
        return attrs

    def validate_phone(self, value: str) -> str:
        phone = canonical(value)
        if phone is None:
            raise serializers.ValidationError(_("Not a phone number. Example: +7 701 123 45 67."))
        return phone


class SendMessage(GenericAPIView[Message]):
    """Write to a customer as a manager.

    The message takes the road of every other: the conversation is taken over from the assistant, and the outbox sends.
    """

    permission_model = "conversations.conversation"
    serializer_class = OutgoingSerializer
    queryset = Message.objects.none()

    @extend_schema(
        tags=["messages"],
        request=OutgoingSerializer,
        responses={
            202: inline_serializer(
                "Queued",
                {
                    "message": serializers.IntegerField(),
                    "conversation": serializers.IntegerField(),
                    "contact": serializers.IntegerField(),
                    "state": serializers.CharField(),
                },
            )
        },
    )
    def post(self, request: Request) -> Response:
        asked = OutgoingSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        values = asked.validated_data
        channel = visible_channels(request.user).filter(slug=values["channel"]).first()
        if channel is None:
            raise Http404
        return Response(self.queued(request.user, channel, values), status=status.HTTP_202_ACCEPTED)

    def queued(self, user: Any, channel: Channel, values: dict[str, Any]) -> dict[str, Any]:
        """Queue what a checked request says, and tell what became of it."""
        with transaction.atomic():
            conversation = _conversation(user, channel, values)
            reply(conversation.id, values.get("text", ""), user, template_id=_template(channel, values))
            queued = Message.objects.filter(conversation_id=conversation.id).order_by("-seq").values("id", "state")[0]
        answer = {"message": queued["id"], "conversation": conversation.id, "contact": conversation.contact_id}
        return {**answer, "state": queued["state"]}


def _conversation(user: Any, channel: Channel, values: dict[str, Any]) -> Any:
    """The conversation to write in, its row locked; with a phone that never wrote here, a new one.

    A person's id on the channel need not be the phone: where its owner has a conversation, that is the one.
    """
    contact: Contact | None
    if "contact" in values:
        contact = get_object_or_404(visible_contacts(user), pk=values["contact"])
        phone: str | None = contact.phone
    else:
        phone = values["phone"]
        contact = Contact.objects.filter(phone_index=blind_index(phone, "phone")).first()
    _refuse_excluded(channel, phone)
    known = Conversation.objects.select_for_update().filter(contact=contact, channel=channel)
    found = known.order_by(F("last_inbound_at").desc(nulls_last=True), "-id").first() if contact else None
    if found is not None:
        return found
    if phone is None:
        raise ValidationError({"contact": [_("This contact is not known on the channel and has no phone.")]})
    able = directory.entry(channel.pk).adapter.capabilities
    # Where the phone has to be asked for, it is known for sure and still nobody's address.
    if not able.attests_phone or able.asks_phone:
        raise ValidationError({"phone": [_("On this channel people are not reached by their phone.")]})
    return contacts.lock_conversation(channel, Sender(source_id=phone, phone=phone))


def _template(channel: Channel, values: dict[str, Any]) -> int | None:
    """The template that was asked for by its identifier."""
    if "template" not in values:
        return None
    found = sendable(channel.pk).filter(slug=values["template"]).first()
    if found is None:
        raise ValidationError({"template": [_("This template cannot be sent here.")]})
    return found.pk


def _refuse_excluded(channel: Channel, phone: str | None) -> None:
    if phone and directory.rule_for(channel.pk, phone) == "excluded":
        raise ValidationError({"phone": [_("This number is excluded from processing.")]})


urlpatterns = [
    path("contacts/", ContactList.as_view(), name="contacts"),
    path("contacts/<str:phone>/classify/", Classify.as_view(), name="classify"),
    path("messages/<int:contact_id>/", MessageList.as_view(), name="messages"),
    path("logs/messages/", MessageLog.as_view(), name="message-log"),
    path("test/send-message/", SendMessage.as_view(), name="send-message"),
]
