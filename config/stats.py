"""The numbers of today: what came in and went out, how fast, what it cost, and what the providers made of it.

Every query reads a range of an index that begins at midnight (`settings.TIME_ZONE`), never all messages.
"""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any

from django.db.models import Avg, Count, Max, Q, Sum
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from channels.models import ProviderCall
from channels.owners import visible, visible_channels
from conversations.api import visible_contacts
from conversations.outbox import GIVE_UP_AFTER
from foundation.big_tables import about
from foundation.db import row
from foundation.queues import queue_sizes
from llm.models import Usage
from sales.models import FollowUp, ScheduledCall
from sales.owners import visible_calls

from .permissions import may_view

VERDICTS = {"clients": True, "not_clients": False, "undecided": None}
LEFT = "('sent', 'delivered', 'read')"


def midnight(now: datetime) -> datetime:
    """The beginning of the installation's day in which `now` lies."""
    zone = timezone.get_default_timezone()
    return datetime.combine(now.astimezone(zone).date(), time.min, tzinfo=zone)


def stats(user: Any) -> dict[str, Any]:
    """Everything this user may see, as `StatsSerializer` describes it."""
    now = timezone.now()
    today = midnight(now)
    channels = None if user.is_superuser else list(visible_channels(user).values_list("pk", flat=True))
    return {
        "time": now,
        "day_started_at": today,
        **_messages(channels, now, today),
        **_sales(user, today),
        "contacts": _contacts(user, today),
        "processing": _processing(channels, today),
        "queue_size": queue_sizes(),
        "providers": _providers(user, today),
        "language_models": _language_models(today) if may_view(user, "llm.usage") else None,
    }


_MESSAGES = f"""
SELECT
    count(*) FILTER (WHERE direction = 'in' AND created_at >= %(minute)s) AS messages_received_last_minute,
    count(*) FILTER (WHERE direction = 'in' AND created_at >= %(hour)s) AS messages_received_last_hour,
    count(*) FILTER (WHERE direction = 'in' AND created_at >= %(today)s) AS messages_received_today,
    count(*) FILTER (WHERE direction = 'out' AND state IN {LEFT} AND sent_at >= %(minute)s) AS messages_sent_last_minute,
    count(*) FILTER (WHERE direction = 'out' AND state IN {LEFT} AND sent_at >= %(hour)s) AS messages_sent_last_hour,
    count(*) FILTER (WHERE direction = 'out' AND state IN {LEFT} AND sent_at >= %(today)s) AS messages_sent_today,
    count(*) FILTER (WHERE direction = 'out' AND state = 'failed' AND state_changed_at >= %(today)s) AS messages_failed_today,
    count(*) FILTER (WHERE direction = 'in' AND transcribed AND created_at >= %(today)s) AS voice_transcribed_today,
    count(DISTINCT turn_id) FILTER (WHERE author = 'bot' AND created_at >= %(today)s) AS answers_generated_today,
    count(DISTINCT turn_id) FILTER (
        WHERE cycle IS NOT NULL AND direction = 'out' AND state IN {LEFT} AND sent_at >= %(today)s) AS touches_sent_today
FROM conversations_message
WHERE created_at >= %(since)s AND (%(channels)s::bigint[] IS NULL OR channel_id = ANY(%(channels)s::bigint[]))
"""  # noqa: S608


def _messages(channels: list[int] | None, now: datetime, today: datetime) -> dict[str, int]:
    hour = now - timedelta(hours=1)
    counted = row(
        _MESSAGES,
        {
            "channels": channels,
            "minute": now - timedelta(minutes=1),
            "hour": hour,
            "today": today,
            # A message may be sent so long after it was stored, and the last hour may have begun yesterday.
            "since": min(today, hour) - GIVE_UP_AFTER,
        },
    )
    return dict(counted._asdict()) if counted else {}


def _sales(user: Any, today: datetime) -> dict[str, int]:
    """Cadences under way; calls to come, or not yet marked, and those of today."""
    status = ScheduledCall.Status
    tomorrow = midnight(today + timedelta(hours=36))
    of_today = Q(starts_at__gte=today, starts_at__lt=tomorrow) & ~Q(status=status.CANCELLED)
    calls = visible_calls(ScheduledCall.objects.filter(Q(status=status.SCHEDULED) | of_today).order_by(), user)
    counted = calls.aggregate(
        calls_scheduled=Count("pk", filter=Q(status=status.SCHEDULED)), calls_today=Count("pk", filter=of_today)
    )
    active = visible(FollowUp.objects.filter(state=FollowUp.State.ACTIVE), user, "conversation__channel")
    return {"follow_ups_active": active.count(), **counted}


def _contacts(user: Any, today: datetime) -> dict[str, Any]:
    found = visible_contacts(user)
    verdicts = {name: about(found.filter(is_client=verdict)) for name, verdict in VERDICTS.items()}
    return {
        **{name: n for name, (n, _exact) in verdicts.items()},
        "exact": all(exact for _n, exact in verdicts.values()),
        "classified_today": found.filter(classified_at__gte=today).count(),
    }


_PROCESSING = f"""
WITH replies AS (
    SELECT extract(epoch FROM min(m.sent_at) - t.opened_at) AS seconds
    FROM conversations_message m JOIN conversations_turn t ON t.id = m.turn_id
    WHERE m.created_at >= %(since)s AND m.sent_at >= %(today)s AND m.direction = 'out' AND m.author = 'bot'
      AND m.state IN {LEFT} AND t.trigger = 'inbound'
      AND (%(channels)s::bigint[] IS NULL OR m.channel_id = ANY(%(channels)s::bigint[]))
    GROUP BY t.id, t.opened_at)
SELECT count(*) AS replies,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds)::float AS median_seconds,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds)::float AS p95_seconds
FROM replies
"""  # noqa: S608


def _processing(channels: list[int] | None, today: datetime) -> dict[str, Any]:
    """From the first message that a turn answers to the moment its provider took the reply."""
    measured = row(_PROCESSING, {"channels": channels, "today": today, "since": today - GIVE_UP_AFTER})
    told = dict(measured._asdict()) if measured else {}
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in told.items()}


def _providers(user: Any, today: datetime) -> list[dict[str, Any]]:
    # The channels are always named: the index of ProviderCall begins with them.
    slugs = dict(visible_channels(user).values_list("pk", "slug"))
    called = ProviderCall.objects.filter(channel__in=list(slugs), minute__gte=today).values("channel_id", "call")
    return [
        {
            "channel": slugs[entry["channel_id"]],
            "call": entry["call"],
            "calls": entry["calls"],
            "failed": entry["failed"],
            "average_ms": round(entry["ms"] / entry["calls"]) if entry["calls"] else 0,
            "longest_ms": entry["longest"],
        }
        for entry in called.annotate(
            calls=Sum("count"), failed=Sum("errors"), ms=Sum("total_ms"), longest=Max("max_ms")
        ).order_by("channel_id", "call")
    ]


def _language_models(today: datetime) -> list[dict[str, Any]]:
    calls = Usage.objects.filter(at__gte=today).values("model_name").order_by("model_name")
    summed = calls.annotate(
        calls=Count("pk"),
        failed=Count("pk", filter=~Q(outcome=Usage.Outcome.OK)),
        spent_input=Sum("input_tokens"),
        spent_output=Sum("output_tokens"),
        spent_thinking=Sum("thinking_tokens"),
        dollars=Sum("cost"),
        average_ms=Avg("latency_ms"),
    )
    return [dict(model) for model in summed]


class ContactCounts(serializers.Serializer[Any]):
    clients = serializers.IntegerField()
    not_clients = serializers.IntegerField()
    undecided = serializers.IntegerField()
    exact = serializers.BooleanField(help_text="False: a number of more than 10,000 is an estimate.")
    classified_today = serializers.IntegerField()


class Processing(serializers.Serializer[Any]):
    replies = serializers.IntegerField(help_text="Replies of the assistant that left today.")
    median_seconds = serializers.FloatField(allow_null=True, help_text="From the message received to the reply sent.")
    p95_seconds = serializers.FloatField(allow_null=True)


class ProviderStats(serializers.Serializer[Any]):
    channel = serializers.CharField()
    call = serializers.CharField()
    calls = serializers.IntegerField()
    failed = serializers.IntegerField()
    average_ms = serializers.IntegerField()
    longest_ms = serializers.IntegerField()


class LanguageModelStats(serializers.Serializer[Any]):
    model = serializers.CharField(source="model_name")
    calls = serializers.IntegerField()
    failed = serializers.IntegerField()
    input_tokens = serializers.IntegerField(source="spent_input")
    output_tokens = serializers.IntegerField(source="spent_output")
    thinking_tokens = serializers.IntegerField(source="spent_thinking")
    cost = serializers.DecimalField(source="dollars", max_digits=14, decimal_places=6, help_text="US dollars.")
    average_ms = serializers.IntegerField()


class StatsSerializer(serializers.Serializer[Any]):
    """Numbers of today; a day begins at midnight of the installation's time zone."""

    time = serializers.DateTimeField()
    day_started_at = serializers.DateTimeField()
    messages_received_last_minute = serializers.IntegerField()
    messages_received_last_hour = serializers.IntegerField()
    messages_received_today = serializers.IntegerField()
    messages_sent_last_minute = serializers.IntegerField()
    messages_sent_last_hour = serializers.IntegerField()
    messages_sent_today = serializers.IntegerField()
    messages_failed_today = serializers.IntegerField()
    voice_transcribed_today = serializers.IntegerField()
    answers_generated_today = serializers.IntegerField()
    touches_sent_today = serializers.IntegerField(help_text="Messages of follow-ups.")
    follow_ups_active = serializers.IntegerField()
    calls_scheduled = serializers.IntegerField(help_text="Agreed, and not yet marked as having taken place or missed.")
    calls_today = serializers.IntegerField(help_text="Those that begin today, except the cancelled ones.")
    contacts = ContactCounts()
    processing = Processing()
    queue_size = serializers.DictField(
        child=serializers.IntegerField(allow_null=True), help_text="By queue; null where the broker does not say."
    )
    providers = ProviderStats(many=True)
    language_models = LanguageModelStats(many=True, allow_null=True, help_text="Null without the right to see model calls.")


class StatsView(APIView):
    """What came in and went out today, how fast, and at what cost, for the channels you work with."""

    @extend_schema(tags=["stats"], responses=StatsSerializer)
    def get(self, request: Request) -> Response:
        return Response(StatsSerializer(stats(request.user)).data)
