"""The HTTP API's view of what waits for a person, and what may be decided about it, one by one or many at once.

The rules of the attention page hold: the same permissions, the same scope, the same refusals (409, with words).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Model, QuerySet
from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils.translation import gettext as _
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import APIException, PermissionDenied
from rest_framework.generics import GenericAPIView, ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from channels.models import Channel, InboundEvent
from channels.owners import visible

from . import attention
from .api import LogLineSerializer
from .models import Message, Turn

#: Rows that one request may decide about.
MOST = 500


class Conflict(APIException):
    """What was asked for cannot be done as things stand; the text says why."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


# ── What waits ───────────────────────────────────────────────────────────────────────────────────────────────────────


class WaitingTurnSerializer(serializers.ModelSerializer[Turn]):
    """A turn that ended without a reply, and why."""

    channel: serializers.SlugRelatedField[Channel] = serializers.SlugRelatedField(
        source="conversation.channel", slug_field="slug", read_only=True
    )
    contact = serializers.IntegerField(source="conversation.contact_id", read_only=True)

    class Meta:
        model = Turn
        fields = [
            "id", "contact", "conversation", "channel", "trigger", "stage", "reason", "error", "attempts", "opened_at",
            "finished_at",
        ]  # fmt: skip
        read_only_fields = fields


class WaitingEventSerializer(serializers.ModelSerializer[InboundEvent]):
    """A provider's event that could not be processed, and why; never what it says."""

    channel: serializers.SlugRelatedField[Channel] = serializers.SlugRelatedField(slug_field="slug", read_only=True)

    class Meta:
        model = InboundEvent
        fields = ["id", "channel", "source", "state", "reason", "attempts", "received_at", "processed_at"]
        read_only_fields = fields


class OfChannel(filters.FilterSet):
    channel = filters.CharFilter(field_name="channel__slug", label="Identifier of a channel.")


class OfConversationsChannel(filters.FilterSet):
    channel = filters.CharFilter(field_name="conversation__channel__slug", label="Identifier of a channel.")


@extend_schema(tags=["attention"])
class WaitingTurns(ListAPIView[Turn]):
    """Turns that ended without a reply, newest first; those with a doubtful message are found by the message."""

    permission_model = "conversations.turn"
    serializer_class = WaitingTurnSerializer
    queryset = Turn.objects.none()
    filterset_class = OfConversationsChannel

    def get_queryset(self) -> QuerySet[Turn]:
        return attention.failed_turns(self.request.user)


@extend_schema(tags=["attention"])
class WaitingEvents(ListAPIView[InboundEvent]):
    """Provider events that could not be processed, newest first."""

    permission_model = "channels.inboundevent"
    serializer_class = WaitingEventSerializer
    queryset = InboundEvent.objects.none()
    filterset_class = OfChannel

    def get_queryset(self) -> QuerySet[InboundEvent]:
        return attention.failed_events(self.request.user)


@extend_schema(tags=["attention"])
class WaitingMessages(ListAPIView[Message]):
    """Messages that did not leave (`failed`), or of which nobody knows (`unconfirmed`), newest first; without their words."""

    permission_model = "conversations.conversation"
    serializer_class = LogLineSerializer
    queryset = Message.objects.none()
    filterset_class = OfChannel

    def get_queryset(self) -> QuerySet[Message]:
        return attention.doubtful_messages(self.request.user).defer("text", "details")


# ── Decisions ────────────────────────────────────────────────────────────────────────────────────────────────────────

#: What carries a decision out, for a row's number and whoever decides. Raises attention.Refused.
Decision = Callable[[int, Any], None]


@dataclass(frozen=True, slots=True)
class Subject:
    """One kind of row that waits: who may decide, what is shown of it, and the decisions by their names."""

    model: type[Model]
    permission_model: str
    channel_path: str
    serializer: type[serializers.BaseSerializer[Any]]
    decisions: Mapping[str, Decision]

    def rows(self, user: Any) -> QuerySet[Any]:
        """The rows that this person may see, whatever became of them."""
        return visible(self.model._default_manager.all(), user, self.channel_path)


SUBJECTS = {
    "turns": Subject(
        Turn, "conversations.turn", "conversation__channel", WaitingTurnSerializer,
        {"retry": lambda pk, _user: attention.retry_turn(pk), "dismiss": attention.dismiss_turn},
    ),
    "events": Subject(
        InboundEvent, "channels.inboundevent", "channel", WaitingEventSerializer,
        {"retry": lambda pk, _user: attention.retry_event(pk), "dismiss": attention.dismiss_event},
    ),
    "messages": Subject(
        Message, "conversations.conversation", "channel", LogLineSerializer,
        {
            "resend": attention.resend_message, "withdraw": attention.withdraw_message,
            "arrived": attention.message_arrived,
        },
    ),
}  # fmt: skip


class Deciding(GenericAPIView[Any]):
    """Base of a decision about one row; answers with the row as it stands afterwards. 409 where it is refused."""

    subject: Subject
    decision: str

    def decide(self, request: Request, pk: int) -> Response:
        row = get_object_or_404(self.subject.rows(request.user), pk=pk)
        try:
            self.subject.decisions[self.decision](row.pk, request.user)
        except attention.Refused as error:
            raise Conflict(str(error)) from error
        row.refresh_from_db()
        return Response(self.subject.serializer(row).data)


def deciding(name: str, decision: str, words: str) -> type[Deciding]:
    """The view that takes one decision about one row of a subject; `words` describe it in the schema."""
    subject = SUBJECTS[name]

    @extend_schema(
        tags=["attention"], request=None, responses=subject.serializer, description=words,
        operation_id=f"attention_{name}_{decision}",
    )
    def post(self: Deciding, request: Request, pk: int) -> Response:
        return self.decide(request, pk)

    given = {
        "subject": subject, "decision": decision, "permission_model": subject.permission_model,
        "queryset": subject.model._default_manager.none(), "serializer_class": subject.serializer, "post": post,
        "__doc__": words,
    }  # fmt: skip
    return type(f"{decision.title()}{name.title()}", (Deciding,), given)


def _numbers() -> serializers.ListField:
    return serializers.ListField(child=serializers.IntegerField(min_value=1), default=list, max_length=MOST)


class ManySerializer(serializers.Serializer[Any]):
    """Rows by their numbers, at most 500 of each kind."""

    turns = _numbers()
    events = _numbers()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs["turns"] and not attrs["events"]:
            raise serializers.ValidationError(_("Name at least one turn or event."))
        return attrs


class RefusalSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    kind = serializers.CharField(help_text="`turns` or `events`.")
    why = serializers.CharField()


class DoneSerializer(serializers.Serializer[Any]):
    """What came of it: the numbers of the rows it was done for, and each that was refused with the reason."""

    turns = serializers.ListField(child=serializers.IntegerField())
    events = serializers.ListField(child=serializers.IntegerField())
    refused = RefusalSerializer(many=True)


class DecideMany(GenericAPIView[Turn]):
    """Base of a decision about many rows: each is decided on its own, and what is refused is told beside what was done."""

    permission_model = "conversations.turn"
    queryset = Turn.objects.none()
    serializer_class = ManySerializer
    decision = ""

    def decide(self, request: Request) -> Response:
        asked = ManySerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        if asked.validated_data["events"] and not request.user.has_perm("channels.change_inboundevent"):
            raise PermissionDenied
        done: dict[str, list[int]] = {"turns": [], "events": []}
        refused: list[dict[str, Any]] = []
        for kind, numbers in asked.validated_data.items():
            self._each(request.user, kind, sorted(set(numbers)), done[kind], refused)
        return Response({**done, "refused": refused})

    def _each(self, user: Any, kind: str, numbers: list[int], done: list[int], refused: list[dict[str, Any]]) -> None:
        subject = SUBJECTS[kind]
        known = set(subject.rows(user).filter(pk__in=numbers).values_list("pk", flat=True))
        for pk in numbers:
            try:
                if pk not in known:
                    raise attention.Refused(_("There is no such row."))
                subject.decisions[self.decision](pk, user)
            except attention.Refused as error:
                refused.append({"id": pk, "kind": kind, "why": str(error)})
            else:
                done.append(pk)


class RetryMany(DecideMany):
    """Try many failed turns and events again."""

    decision = "retry"

    @extend_schema(tags=["attention"], request=ManySerializer, responses=DoneSerializer)
    def post(self, request: Request) -> Response:
        return self.decide(request)


class DismissMany(DecideMany):
    """Close many failed turns and events without trying them again."""

    decision = "dismiss"

    @extend_schema(tags=["attention"], request=ManySerializer, responses=DoneSerializer)
    def post(self, request: Request) -> Response:
        return self.decide(request)


_WORDS = {
    ("turns", "retry"): "Answer what the turn left unanswered.",
    ("turns", "dismiss"): "Close the turn without an answer.",
    ("events", "retry"): "Process the event again, with a new budget of attempts.",
    ("events", "dismiss"): "Close the event without processing it.",
    ("messages", "resend"): "Send the message again, in your name.",
    ("messages", "withdraw"): "A failed message shall not be sent any more.",
    ("messages", "arrived"): "An unconfirmed message is known to have reached the customer.",
}

urlpatterns = [
    path("attention/turns/", WaitingTurns.as_view(), name="attention-turns"),
    path("attention/events/", WaitingEvents.as_view(), name="attention-events"),
    path("attention/messages/", WaitingMessages.as_view(), name="attention-messages"),
    path("attention/retry/", RetryMany.as_view(), name="attention-retry"),
    path("attention/dismiss/", DismissMany.as_view(), name="attention-dismiss"),
    *(
        path(
            f"attention/{name}/<int:pk>/{decision}/",
            deciding(name, decision, words).as_view(),
            name=f"attention-{name}-{decision}",
        )
        for (name, decision), words in _WORDS.items()
    ),
]
