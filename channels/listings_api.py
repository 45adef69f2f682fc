"""The HTTP API's view of an Avito account's listings. Avito is asked anew by each request; nothing of it is stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.http import Http404
from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from foundation.errors import ProviderError, Retry, Unauthorized, Unconfirmed

from . import listings
from .adapters.avito_items import DEEPEST, MOST_IDS, STATUSES
from .models import Channel
from .owners import visible_channels

#: More roubles than anything listed costs; beyond it a number is a slip.
MOST_ROUBLES = 10**11


class ProviderFailed(APIException):
    """What the channel's provider answered instead; the text is for people."""

    def __init__(self, error: ProviderError) -> None:
        self.status_code, code = _told(error)
        self.wait = error.after if isinstance(error, Retry) else None
        super().__init__(str(error), code)


def _told(error: ProviderError) -> tuple[int, str]:
    """Status and code: a busy provider, one that is away, refused keys, a lost answer, and a plain no."""
    if isinstance(error, Retry):
        if error.code == "429":
            return status.HTTP_429_TOO_MANY_REQUESTS, "throttled"
        return status.HTTP_503_SERVICE_UNAVAILABLE, "unavailable"
    if isinstance(error, Unauthorized):
        return status.HTTP_502_BAD_GATEWAY, "provider_refuses"
    if isinstance(error, Unconfirmed):
        return status.HTTP_502_BAD_GATEWAY, "unconfirmed"
    return status.HTTP_409_CONFLICT, "conflict"


@contextmanager
def answering() -> Iterator[None]:
    """The provider's failures within the block become answers of the API."""
    try:
        yield
    except ProviderError as error:
        raise ProviderFailed(error) from error


class ListingSerializer(serializers.Serializer[Any]):
    """A listing. `price` is in whole roubles, null where none is named."""

    id = serializers.IntegerField()
    title = serializers.CharField()
    price = serializers.IntegerField(allow_null=True)
    status = serializers.ChoiceField(choices=STATUSES)
    url = serializers.CharField()
    address = serializers.CharField()
    category = serializers.CharField()


class ListingsPageSerializer(serializers.Serializer[Any]):
    """One page. Avito tells no total: `more` says whether there may be another page."""

    page = serializers.IntegerField()
    more = serializers.BooleanField()
    results = ListingSerializer(many=True, source="items")


class ListingStateSerializer(serializers.Serializer[Any]):
    """What Avito tells of a single listing: neither its title nor its price."""

    id = serializers.IntegerField()
    status = serializers.CharField()
    url = serializers.CharField()
    started_at = serializers.DateTimeField(allow_null=True)
    finishes_at = serializers.DateTimeField(allow_null=True)


class WhichListings(serializers.Serializer[Any]):
    """What the list is asked for."""

    page = serializers.IntegerField(min_value=1, max_value=10_000, default=1)
    status = serializers.CharField(default="active")

    def validate_status(self, value: str) -> list[str]:
        wanted = [word.strip() for word in value.split(",") if word.strip()]
        if not wanted or not set(wanted) <= set(STATUSES):
            raise serializers.ValidationError(_("Choose among: %(words)s.") % {"words": ", ".join(STATUSES)})
        return wanted


class WhichDays(serializers.Serializer[Any]):
    """Which listings are counted, and from which day to which, both included."""

    ids = serializers.CharField()
    to = serializers.DateField(required=False)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        # The word of the other addresses, which Python lets no attribute have.
        return {**super().get_fields(), "from": serializers.DateField(required=False)}

    def validate_ids(self, value: str) -> list[int]:
        words = [word.strip() for word in value.split(",") if word.strip()]
        if not words or len(words) > MOST_IDS or not all(word.isdecimal() and len(word) < 19 for word in words):
            told = _("Numbers of listings, separated by commas, at most %(n)d.")
            raise serializers.ValidationError(told % {"n": MOST_IDS})
        return [int(word) for word in words]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        first, last = listings.stretch()
        until = attrs.get("to") or last
        since = attrs.get("from") or min(first, until)
        if until < since or until - since > DEEPEST:
            raise serializers.ValidationError({"from": [_("Avito's statistics cover 270 days at most.")]})
        return {"ids": attrs["ids"], "since": since, "until": until}


class DaySerializer(serializers.Serializer[Any]):
    """Different people within one day who saw a listing, asked for its contacts or wrote, and marked it."""

    day = serializers.DateField()
    views = serializers.IntegerField()
    contacts = serializers.IntegerField()
    favorites = serializers.IntegerField()


class CountedSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    days = DaySerializer(many=True)


class StatisticsSerializer(serializers.Serializer[Any]):
    results = CountedSerializer(many=True)


class PriceSerializer(serializers.Serializer[Any]):
    """A price in whole roubles."""

    price = serializers.IntegerField(min_value=0, max_value=MOST_ROUBLES)


class OfAvito(APIView):
    """Base of what concerns one Avito channel; 404 for channels of others, as if there were none."""

    permission_model = "channels.channel"

    def channel(self) -> Channel:
        user: Any = self.request.user
        return get_object_or_404(visible_channels(user).filter(kind__in=listings.KINDS), slug=self.kwargs["slug"])


@extend_schema(tags=["avito"])
class ListingList(OfAvito):
    """The account's listings, 50 to a page."""

    @extend_schema(
        operation_id="avito_items",
        parameters=[
            OpenApiParameter("page", int),
            OpenApiParameter("status", str, description=f"One or more of {', '.join(STATUSES)}, separated by commas."),
        ],
        responses=ListingsPageSerializer,
    )
    def get(self, request: Request, slug: str) -> Response:
        channel, wanted = self.channel(), WhichListings(data=request.query_params)
        wanted.is_valid(raise_exception=True)
        with answering():
            found = listings.page(channel, wanted.validated_data["page"], wanted.validated_data["status"])
        return Response(ListingsPageSerializer(found).data)


@extend_schema(tags=["avito"])
class OneListing(OfAvito):
    """How one listing stands."""

    @extend_schema(operation_id="avito_item", responses=ListingStateSerializer)
    def get(self, request: Request, slug: str, item_id: int) -> Response:
        channel = self.channel()
        with answering():
            found = listings.item(channel, item_id)
        if found.status == "not_found":
            raise Http404
        return Response(ListingStateSerializer(found).data)


@extend_schema(tags=["avito"])
class ListingStatistics(OfAvito):
    """Views, contacts and favourites of listings by day; the last 30 days unless `from` and `to` say otherwise."""

    @extend_schema(
        operation_id="avito_statistics",
        parameters=[
            OpenApiParameter("ids", str, required=True, description="Numbers of listings, separated by commas."),
            OpenApiParameter("from", str, description="The first day, such as 2026-11-01."),
            OpenApiParameter("to", str, description="The last day."),
        ],
        responses=StatisticsSerializer,
    )
    def get(self, request: Request, slug: str) -> Response:
        channel, wanted = self.channel(), WhichDays(data=request.query_params)
        wanted.is_valid(raise_exception=True)
        with answering():
            found = listings.statistics(channel, **wanted.validated_data)
        rows = [{"id": item_id, "days": days} for item_id, days in found.items()]
        return Response(StatisticsSerializer({"results": rows}).data)


@extend_schema(tags=["avito"])
class ListingPrice(OfAvito):
    """Set a listing's price. Asking for the same price again does no harm."""

    @extend_schema(operation_id="avito_item_price", request=PriceSerializer, responses=PriceSerializer)
    def patch(self, request: Request, slug: str, item_id: int) -> Response:
        channel, wanted = self.channel(), PriceSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        with answering():
            listings.set_price(channel, item_id, wanted.validated_data["price"], user=request.user)
        return Response(wanted.data)


urlpatterns = [
    path("avito/<slug:slug>/items/", ListingList.as_view(), name="avito-items"),
    path("avito/<slug:slug>/items/<int:item_id>/", OneListing.as_view(), name="avito-item"),
    path("avito/<slug:slug>/items/<int:item_id>/price/", ListingPrice.as_view(), name="avito-item-price"),
    path("avito/<slug:slug>/statistics/", ListingStatistics.as_view(), name="avito-statistics"),
]
