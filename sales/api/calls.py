"""The HTTP API's view of calls: who is called when, and what managers decide about it.

A user sees the calls of their own and shared assistants, and those they make themselves; others do not exist for them (404).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.generics import GenericAPIView, ListAPIView, RetrieveAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from channels.models import Channel
from conversations.attention_api import Conflict

from .. import calls
from ..models import Assistant, ScheduledCall
from ..owners import visible_calls

#: A call is not moved further than this: a wrong year is not kept until somebody waits at the phone.
FURTHEST = timedelta(days=366)


class CallSerializer(serializers.ModelSerializer[ScheduledCall]):
    """A call that a customer has agreed to. Times are in UTC; `time_zone` is the company's, `customer_zone` theirs."""

    channel: serializers.SlugRelatedField[Channel] = serializers.SlugRelatedField(
        source="conversation.channel", slug_field="slug", read_only=True, allow_null=True
    )
    assistant: serializers.SlugRelatedField[Assistant] = serializers.SlugRelatedField(slug_field="slug", read_only=True)
    manager_name = serializers.SerializerMethodField()
    phone = serializers.SerializerMethodField()
    notes = serializers.CharField(read_only=True)

    class Meta:
        model = ScheduledCall
        fields = [
            "id", "contact", "conversation", "channel", "assistant", "manager", "manager_name", "starts_at", "ends_at",
            "time_zone", "customer_zone", "phone", "status", "notes", "reminded_at", "untold", "created_at", "updated_at",
        ]  # fmt: skip
        read_only_fields = fields

    def get_manager_name(self, call: ScheduledCall) -> str:
        return call.manager.get_full_name() or call.manager.get_username()

    def get_phone(self, call: ScheduledCall) -> str:
        return f"+{call.phone}"


class CallFilter(filters.FilterSet):
    """`from` and `to` are ISO 8601 times; without an offset they mean the installation's time zone. `to` is not included."""

    status = filters.ChoiceFilter(choices=ScheduledCall.Status.choices)
    manager = filters.NumberFilter(label="The user's number.")
    contact = filters.NumberFilter(label="The contact's number.")
    to = filters.IsoDateTimeFilter(field_name="starts_at", lookup_expr="lt")

    class Meta:
        model = ScheduledCall
        fields: list[str] = []

    @classmethod
    def get_filters(cls) -> Any:
        """With `from`, which cannot be the name of an attribute."""
        return {**super().get_filters(), "from": filters.IsoDateTimeFilter(field_name="starts_at", lookup_expr="gte")}


def _rows(user: Any) -> QuerySet[ScheduledCall]:
    return visible_calls(ScheduledCall.objects.all(), user).select_related("conversation__channel", "assistant", "manager")


@extend_schema(tags=["calls"])
class CallList(ListAPIView[ScheduledCall]):
    """Calls, the earliest first."""

    permission_model = "sales.scheduledcall"
    serializer_class = CallSerializer
    queryset = ScheduledCall.objects.none()
    filterset_class = CallFilter

    def get_queryset(self) -> QuerySet[ScheduledCall]:
        return _rows(self.request.user).order_by("starts_at", "id")


@extend_schema(tags=["calls"])
class CallDetail(RetrieveAPIView[ScheduledCall]):
    """One call."""

    permission_model = "sales.scheduledcall"
    serializer_class = CallSerializer
    queryset = ScheduledCall.objects.none()

    def get_object(self) -> ScheduledCall:
        return get_object_or_404(_rows(self.request.user), pk=self.kwargs["pk"])


class Deciding(GenericAPIView[ScheduledCall]):
    """Base of what a manager may do about a call; answers with the call as it stands afterwards."""

    permission_model = "sales.scheduledcall"
    queryset = ScheduledCall.objects.none()

    def done(self, request: Request, pk: int) -> Response:
        get_object_or_404(visible_calls(ScheduledCall.objects.only("pk"), request.user), pk=pk)
        try:
            self.decide(request, pk)
        except calls.CallError as error:
            raise Conflict(str(error)) from error
        # Whoever gives their call to a colleague may not see it any more.
        found = ScheduledCall.objects.select_related("conversation__channel", "assistant", "manager")
        return Response(CallSerializer(found.get(pk=pk)).data)

    def decide(self, request: Request, pk: int) -> None:
        """Carry it out. Raises calls.CallError, answered with 409."""
        raise NotImplementedError


def _changed(changed: bool, otherwise: str) -> None:
    if not changed:
        raise Conflict(otherwise)


class Complete(Deciding):
    """Note that a call took place. 409 where it was cancelled, or is noted already."""

    @extend_schema(tags=["calls"], request=None, responses=CallSerializer)
    def post(self, request: Request, pk: int) -> Response:
        return self.done(request, pk)

    def decide(self, request: Request, pk: int) -> None:
        _changed(calls.complete(pk, request.user), _("The call was cancelled, or is marked so already."))


class Miss(Deciding):
    """Note that nobody was reached. 409 where the call has not begun, was cancelled, or is noted already."""

    @extend_schema(tags=["calls"], request=None, responses=CallSerializer)
    def post(self, request: Request, pk: int) -> Response:
        return self.done(request, pk)

    def decide(self, request: Request, pk: int) -> None:
        _changed(calls.miss(pk, request.user), _("The call has not begun, was cancelled, or is marked so already."))


class Cancel(Deciding):
    """Call a call off; the customer is told. 409 where it is not scheduled any more."""

    @extend_schema(tags=["calls"], request=None, responses=CallSerializer)
    def post(self, request: Request, pk: int) -> Response:
        return self.done(request, pk)

    def decide(self, request: Request, pk: int) -> None:
        if not calls.cancel(pk, user=request.user):
            raise calls.Gone


class Moment(serializers.DateTimeField):
    """A time that says its offset from UTC: nobody shall guess at whose noon somebody waits for a call."""

    def enforce_timezone(self, value: datetime) -> datetime:
        if timezone.is_naive(value):
            raise serializers.ValidationError(gettext_lazy("Give the offset as well, for example 2026-11-24T15:00+05:00."))
        return super().enforce_timezone(value)


class NewTime(serializers.Serializer[Any]):
    starts_at = Moment(help_text="ISO 8601 with an offset. The length of the call stays.")

    def validate_starts_at(self, value: datetime) -> datetime:
        if value > timezone.now() + FURTHEST:
            raise serializers.ValidationError(_("At most a year ahead."))
        return value


class Move(Deciding):
    """Move a call to another time, within working hours or not; the customer is told. 409 where the time is taken."""

    @extend_schema(tags=["calls"], request=NewTime, responses=CallSerializer)
    def post(self, request: Request, pk: int) -> Response:
        return self.done(request, pk)

    def decide(self, request: Request, pk: int) -> None:
        asked = NewTime(data=request.data)
        asked.is_valid(raise_exception=True)
        try:
            calls.move(pk, asked.validated_data["starts_at"], user=request.user)
        except calls.Past as error:
            raise ValidationError({"starts_at": [str(error)]}) from error


class NewManager(serializers.Serializer[Any]):
    manager = serializers.IntegerField(min_value=1, max_value=2**31 - 1, help_text="The user's number.")


class Reassign(Deciding):
    """Give a call to another manager; the customer is told. 409 where they have another call at that time."""

    @extend_schema(tags=["calls"], request=NewManager, responses=CallSerializer)
    def post(self, request: Request, pk: int) -> Response:
        return self.done(request, pk)

    def decide(self, request: Request, pk: int) -> None:
        asked = NewManager(data=request.data)
        asked.is_valid(raise_exception=True)
        try:
            calls.reassign(pk, asked.validated_data["manager"], user=request.user)
        except calls.NoManager as error:
            raise ValidationError({"manager": [str(error)]}) from error


urlpatterns = [
    path("scheduled-calls/", CallList.as_view(), name="calls"),
    path("scheduled-calls/<int:pk>/", CallDetail.as_view(), name="call"),
    path("scheduled-calls/<int:pk>/complete/", Complete.as_view(), name="call-complete"),
    path("scheduled-calls/<int:pk>/miss/", Miss.as_view(), name="call-miss"),
    path("scheduled-calls/<int:pk>/cancel/", Cancel.as_view(), name="call-cancel"),
    path("scheduled-calls/<int:pk>/move/", Move.as_view(), name="call-move"),
    path("scheduled-calls/<int:pk>/reassign/", Reassign.as_view(), name="call-reassign"),
]
