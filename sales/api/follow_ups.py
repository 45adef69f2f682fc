"""The HTTP API's view of follow-ups, and of contacts with their qualification. Calls are in `call_api`.

Everything is scoped to the channels its user works with: what belongs to others does not exist for them (404).
"""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils.translation import gettext as _
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView, ListAPIView, RetrieveAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from channels.models import Channel
from channels.owners import visible
from conversations.api import ContactDetail, ContactWithConversations
from conversations.attention_api import Conflict
from conversations.models import Contact

from .. import follow_ups
from ..cadence import next_touch
from ..models import FollowUp, Qualification, Touch

#: Where a follow-up has its channel.
CHANNEL = "conversation__channel"


# ── Contacts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class QualificationSerializer(serializers.ModelSerializer[Qualification]):
    """What is known of a contact by the SPIN method."""

    situation = serializers.CharField(read_only=True)
    problem = serializers.CharField(read_only=True)
    implication = serializers.CharField(read_only=True)
    need = serializers.CharField(read_only=True)

    class Meta:
        model = Qualification
        fields = ["stage", "situation", "problem", "implication", "need", "updated_at"]
        read_only_fields = fields


class QualifiedContact(ContactWithConversations):
    """A contact with its conversations and what was learnt of its need."""

    qualification = serializers.SerializerMethodField()

    class Meta(ContactWithConversations.Meta):
        fields = [*ContactWithConversations.Meta.fields, "qualification"]
        read_only_fields = fields

    @extend_schema(responses=QualificationSerializer)
    def get_qualification(self, contact: Contact) -> dict[str, Any] | None:
        user = self.context["request"].user
        if not any(user.has_perm(f"sales.{right}_qualification") for right in ("view", "change")):
            return None
        known = Qualification.objects.filter(contact=contact).first()
        return dict(QualificationSerializer(known).data) if known else None


class QualifiedContactDetail(ContactDetail):
    """One contact, its conversations, and what is known of its need: null where nothing is, or without the right to see it."""

    serializer_class = QualifiedContact


# ── Follow-ups ───────────────────────────────────────────────────────────────────────────────────────────────────────


class TouchSerializer(serializers.ModelSerializer[Touch]):
    """One of the messages of a follow-up."""

    class Meta:
        model = Touch
        fields = ["id", "number", "due_at", "planned_at", "state", "reason", "turn", "fired_at"]
        read_only_fields = fields


class FollowUpSerializer(serializers.ModelSerializer[FollowUp]):
    """A cadence of touches towards a customer who fell silent."""

    contact = serializers.IntegerField(source="conversation.contact_id", read_only=True)
    channel: serializers.SlugRelatedField[Channel] = serializers.SlugRelatedField(
        source="conversation.channel", slug_field="slug", read_only=True
    )
    next_touch_at = serializers.SerializerMethodField()
    touches = TouchSerializer(many=True, read_only=True)

    class Meta:
        model = FollowUp
        fields = [
            "id", "contact", "conversation", "channel", "cause", "anchor_at", "state", "stop_reason", "stopped_at",
            "stopped_by", "next_touch_at", "touches", "created_at",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema(responses=serializers.DateTimeField(allow_null=True))
    def get_next_touch_at(self, follow_up: FollowUp) -> str | None:
        touch = next_touch(list(follow_up.touches.all())) if follow_up.state == FollowUp.State.ACTIVE else None
        field = serializers.DateTimeField()
        return field.to_representation(touch.planned_at) if touch else None


class PendingTouchSerializer(TouchSerializer):
    """A touch that is still to be made, and whom it is for."""

    contact = serializers.IntegerField(source="follow_up.conversation.contact_id", read_only=True)
    conversation = serializers.IntegerField(source="follow_up.conversation_id", read_only=True)
    channel: serializers.SlugRelatedField[Channel] = serializers.SlugRelatedField(
        source="follow_up.conversation.channel", slug_field="slug", read_only=True
    )

    class Meta(TouchSerializer.Meta):
        fields = ["id", "follow_up", "contact", "conversation", "channel", "number", "due_at", "planned_at", "reason"]
        read_only_fields = fields


class FollowUpFilter(filters.FilterSet):
    """Narrows cadences down."""

    channel = filters.CharFilter(field_name="conversation__channel__slug", label="Identifier of a channel.")
    contact = filters.NumberFilter(field_name="conversation__contact", label="The contact's number.")
    cause = filters.ChoiceFilter(choices=FollowUp.Cause.choices)

    class Meta:
        model = FollowUp
        fields: list[str] = []


class PendingFilter(filters.FilterSet):
    """`until` is an ISO 8601 time; without an offset it means the installation's time zone."""

    until = filters.IsoDateTimeFilter(field_name="planned_at", lookup_expr="lte")
    channel = filters.CharFilter(field_name="follow_up__conversation__channel__slug", label="Identifier of a channel.")

    class Meta:
        model = Touch
        fields: list[str] = []


def _rows(user: Any) -> QuerySet[FollowUp]:
    return visible(FollowUp.objects.all(), user, CHANNEL).select_related("conversation__channel").prefetch_related("touches")


@extend_schema(tags=["follow-ups"])
class ActiveFollowUps(ListAPIView[FollowUp]):
    """The cadences under way, the newest first."""

    permission_model = "sales.followup"
    serializer_class = FollowUpSerializer
    queryset = FollowUp.objects.none()
    filterset_class = FollowUpFilter

    def get_queryset(self) -> QuerySet[FollowUp]:
        return _rows(self.request.user).filter(state=FollowUp.State.ACTIVE).order_by("-anchor_at", "-id")


@extend_schema(tags=["follow-ups"])
class PendingTouches(ListAPIView[Touch]):
    """The touches that are still planned in the cadences under way, the next one first."""

    permission_model = "sales.followup"
    serializer_class = PendingTouchSerializer
    queryset = Touch.objects.none()
    filterset_class = PendingFilter

    def get_queryset(self) -> QuerySet[Touch]:
        active = visible(FollowUp.objects.all(), self.request.user, CHANNEL).filter(state=FollowUp.State.ACTIVE).order_by()
        planned = Touch.objects.filter(state=Touch.State.PLANNED, follow_up__in=active.values("pk"))
        return planned.select_related("follow_up__conversation__channel").order_by("planned_at", "id")


@extend_schema(tags=["follow-ups"])
class FollowUpDetail(RetrieveAPIView[FollowUp]):
    """One cadence with its touches, whatever its state."""

    permission_model = "sales.followup"
    serializer_class = FollowUpSerializer
    queryset = FollowUp.objects.none()

    def get_object(self) -> FollowUp:
        return get_object_or_404(_rows(self.request.user), pk=self.kwargs["pk"])


class Deciding(GenericAPIView[FollowUp]):
    """Base of what a manager may do about a cadence; answers with the cadence as it stands afterwards."""

    permission_model = "sales.followup"
    queryset = FollowUp.objects.none()

    def done(self, request: Request, pk: int) -> Response:
        try:
            self.decide(request, get_object_or_404(_rows(request.user), pk=pk))
        except follow_ups.Refused as error:
            raise Conflict(str(error)) from error
        return Response(FollowUpSerializer(_rows(request.user).get(pk=pk)).data)

    def decide(self, request: Request, follow_up: FollowUp) -> None:
        """Carry it out. Raises follow_ups.Refused, answered with 409."""
        raise NotImplementedError


class Stop(Deciding):
    """End a cadence: what is planned is called off. 409 where it has ended already."""

    @extend_schema(tags=["follow-ups"], request=None, responses=FollowUpSerializer)
    def post(self, request: Request, pk: int) -> Response:
        return self.done(request, pk)

    def decide(self, request: Request, follow_up: FollowUp) -> None:
        follow_ups.stop(follow_up.pk, request.user)


class WhichTouch(serializers.Serializer[Any]):
    number = serializers.IntegerField(
        required=False, min_value=1, max_value=5,
        help_text="The touch meant, so that a repeated request does not reach the one after it. Without it: the next one.",
    )  # fmt: skip


def _touch(request: Request, follow_up: FollowUp) -> int:
    """The id of the touch meant. Raises follow_ups.Refused where it is not planned."""
    asked = WhichTouch(data=request.data)
    asked.is_valid(raise_exception=True)
    number, touches = asked.validated_data.get("number"), list(follow_up.touches.all())
    touch = next((one for one in touches if one.number == number), None) if number else next_touch(touches)
    if touch is None:
        raise follow_ups.Refused(_("The touch is not planned any more."))
    return int(touch.pk)


class Skip(Deciding):
    """Leave a planned touch out; the others stay as they are. 409 where it is not planned any more."""

    @extend_schema(tags=["follow-ups"], request=WhichTouch, responses=FollowUpSerializer)
    def post(self, request: Request, pk: int) -> Response:
        return self.done(request, pk)

    def decide(self, request: Request, follow_up: FollowUp) -> None:
        follow_ups.skip(_touch(request, follow_up), request.user)


class SendNow(Deciding):
    """Write and send the next touch at once, whatever the hour. 409 where the customer must not be written to now."""

    @extend_schema(tags=["follow-ups"], request=WhichTouch, responses=FollowUpSerializer)
    def post(self, request: Request, pk: int) -> Response:
        return self.done(request, pk)

    def decide(self, request: Request, follow_up: FollowUp) -> None:
        follow_ups.send_now(_touch(request, follow_up), request.user)


urlpatterns = [
    path("contacts/<str:phone>/", QualifiedContactDetail.as_view(), name="contact"),
    path("follow-ups/active/", ActiveFollowUps.as_view(), name="follow-ups-active"),
    path("follow-ups/pending/", PendingTouches.as_view(), name="follow-ups-pending"),
    path("follow-ups/<int:pk>/", FollowUpDetail.as_view(), name="follow-up"),
    path("follow-ups/<int:pk>/stop/", Stop.as_view(), name="follow-up-stop"),
    path("follow-ups/<int:pk>/skip/", Skip.as_view(), name="follow-up-skip"),
    path("follow-ups/<int:pk>/send-now/", SendNow.as_view(), name="follow-up-send-now"),
]
