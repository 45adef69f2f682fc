"""The page of a channel's listings: what they cost, what came of them in 30 days, and a new price after a second look."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_POST

from foundation.errors import ProviderError
from foundation.looks import badge

from .. import listings
from ..adapters.avito_items import Item, ItemsPage
from ..listings_api import MOST_ROUBLES
from ..models import Channel

STATUSES = {
    "active": (_("on sale"), "ok"),
    "old": (_("expired"), "muted"),
    "removed": (_("taken down"), "muted"),
    "blocked": (_("blocked by Avito"), "bad"),
    "rejected": (_("rejected by Avito"), "bad"),
}
FARTHEST_PAGE = 10_000


@dataclass(frozen=True, slots=True)
class Line:
    """A listing as it is shown."""

    item: Item
    counts: listings.Counts | None

    @property
    def price(self) -> str:
        return roubles(self.item.price) if self.item.price is not None else "—"

    @property
    def url(self) -> str:
        return self.item.url if self.item.url.startswith("https://") else ""

    @property
    def state(self) -> SafeString:
        label, tone = STATUSES.get(self.item.status, (self.item.status, "muted"))
        return badge(label, tone)


def roubles(amount: int) -> str:
    """`35 000 ₽`, kept on one line."""
    return f"{amount:,} ₽".replace(",", "\u00a0").replace(" ", "\u00a0")


def asked_price(text: str) -> int | None:
    """A price as people type it, in whole roubles; None for anything else."""
    digits = re.sub(r"[\s\u202f]|₽", "", text)
    return int(digits) if re.fullmatch(r"[0-9]{1,12}", digits) and int(digits) <= MOST_ROUBLES else None


class ListingsPages:
    """The pages of one channel's listings, for its model admin. Every address checks permission and owner."""

    admin_site: Any

    def listings_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("<int:pk>/listings/", view(require_GET(self.listings)), name="channel_listings"),
            path("<int:pk>/listings/<int:item_id>/price/", view(require_POST(self.price)), name="channel_listing_price"),
        ]

    def _shop(self, request: HttpRequest, pk: int, *, changes: bool = False) -> Channel:
        """The channel, if the person may see it (and change it) and it has listings. Raises Http404 and PermissionDenied."""
        allowed = self.has_change_permission if changes else self.has_view_permission  # type: ignore[attr-defined]
        if not allowed(request):
            raise PermissionDenied
        channel: Channel = get_object_or_404(self.get_queryset(request), pk=pk)  # type: ignore[attr-defined]
        if not listings.has_listings(channel):
            raise Http404
        return channel

    def listings(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The list, asked from the provider now; where it does not answer, its words instead."""
        channel = self._shop(request, pk)
        status, number = _status(request.GET), _page(request.GET)
        found, refusal = _asked(channel, number, status)
        lines, unknown = _lines(channel, found) if found else ([], "")
        context = {
            **self._around(request, channel),
            "title": gettext("Listings"),
            "tabs": [{"value": value, "label": label, "active": value == status} for value, (label, _tone) in STATUSES.items()],
            "status": status,
            "page": number,
            "more": found is not None and found.more,
            "lines": lines,
            "refusal": refusal,
            "unknown": unknown,
            "days": listings.DAYS,
            "may_change": self.has_change_permission(request),  # type: ignore[attr-defined]
        }
        return TemplateResponse(request, "admin/channels/listings.html", context)

    def price(self, request: HttpRequest, pk: int, item_id: int) -> HttpResponse:
        """A new price: first shown for a second look, then, once confirmed, set."""
        channel = self._shop(request, pk, changes=True)
        status, number = _status(request.POST), _page(request.POST)
        query = urlencode({"status": status, "page": str(number)})
        back = f"{reverse('admin:channel_listings', args=(pk,))}?{query}"
        amount = asked_price(request.POST.get("price", ""))
        if amount is None:
            messages.error(request, gettext("A price is a whole number of roubles."))
            return HttpResponseRedirect(back)
        if request.POST.get("confirmed") != "yes":
            context = {
                **self._around(request, channel), "title": gettext("New price"), "item_id": item_id, "amount": amount,
                "shown_amount": roubles(amount), "was": request.POST.get("was", "")[:40], "status": status, "page": number,
                "name": request.POST.get("name", "")[:200], "back": back,
            }  # fmt: skip
            return TemplateResponse(request, "admin/channels/listing_price.html", context)
        try:
            listings.set_price(channel, item_id, amount, user=request.user)
        except ProviderError as error:
            messages.error(request, str(error))
        else:
            told = gettext("The price of listing %(item)s is %(price)s now. Avito shows it within some minutes.")
            messages.success(request, told % {"item": item_id, "price": roubles(amount)})
        return HttpResponseRedirect(back)

    def _around(self, request: HttpRequest, channel: Channel) -> dict[str, Any]:
        return {**self.admin_site.each_context(request), "opts": Channel._meta, "original": channel, "channel": channel}


def _status(given: Any) -> str:
    wanted = str(given.get("status", ""))
    return wanted if wanted in STATUSES else "active"


def _page(given: Any) -> int:
    wanted = str(given.get("page", ""))
    return min(max(int(wanted), 1), FARTHEST_PAGE) if re.fullmatch(r"[0-9]{1,6}", wanted) else 1


def _asked(channel: Channel, number: int, status: str) -> tuple[ItemsPage | None, str]:
    """A page of listings, or why there is none."""
    try:
        return listings.page(channel, number, (status,)), ""
    except ProviderError as error:
        return None, str(error)


def _lines(channel: Channel, found: ItemsPage) -> tuple[list[Line], str]:
    """The listings with their counts; without them, and why, where the provider does not tell them."""
    try:
        counts, unknown = listings.totals(channel, [item.id for item in found.items]), ""
    except ProviderError as error:
        counts, unknown = {}, str(error)
    return [Line(item, counts.get(item.id)) for item in found.items], unknown
