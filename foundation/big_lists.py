"""Admin lists of tables that grow without end: as fast with a million rows as with a thousand.

They are turned page by page through the newest rows (`big_tables`), sorted only by what an index sorts, and filters that no
index serves look through the newest rows alone. The page says so, and a period leads further back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from unfold.views import ChangeList

from .big_tables import MOST, WINDOW, BoundedPaginator, counted, newest


class BigChangeList(ChangeList):
    """A list that looks back no further than it has to."""

    #: Whether only the newest WINDOW rows, of the chosen period if any, were looked through.
    cut = False

    @property
    def window(self) -> int:
        """How many rows those are, for the page."""
        return WINDOW

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> Any:
        found = super().get_queryset(request, exclude_parameters)
        by = self.model_admin.newest_by
        if by is None or not self._searches(request, by):
            return found
        until = self._given().get(f"{by}__lt")
        every = self.model._default_manager.filter(**{f"{by}__lt": until[-1]} if until else {})
        within = newest(found, every, by)
        self.cut = within is not found
        return within

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if self.cut and not self.result_count:
            told = _("Nothing among the newest %(n)d rows. What is older is found by choosing a period as well.")
            messages.info(request, told % {"n": self.window})

    def _given(self) -> dict[str, list[str]]:
        return {name: values for name, values in self.get_filters_params().items() if any(values)}

    def _searches(self, request: HttpRequest, by: str) -> bool:
        """Whether rows have to be looked through for what is asked, since no index leads to them."""
        given = {name: values for name, values in self._given().items() if not name.startswith(f"{by}__")}
        known = self.model_admin.indexed_filters
        if any(name in known and (known[name] is None or set(values) <= set(known[name])) for name, values in given.items()):
            return False
        return bool(given or self.query or not request.user.is_superuser)


class BigList:
    """For model admins, before `ModelAdmin`."""

    paginator = BoundedPaginator
    show_full_result_count = False
    #: What the list is sorted by, newest first: an indexed column that rises with time. None: every filter has its index.
    newest_by: str | None = None
    #: Filters whose rows an index finds, with the values for which it does (None: for all).
    indexed_filters: Mapping[str, Collection[str] | None] = {}

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[BigChangeList]:
        return BigChangeList

    def response_action(self, request: HttpRequest, queryset: Any) -> HttpResponse | None:
        """What is done for all rows at once is done for those that the list can show, or not at all."""
        if request.POST.get("select_across") == "1" and counted(queryset)[1]:
            told = _("That would be more than %(n)d rows at once. Narrow the list down first.") % {"n": MOST}
            self.message_user(request, told, messages.WARNING)  # type: ignore[attr-defined]
            return None
        answer: HttpResponse | None = super().response_action(request, queryset)  # type: ignore[misc]
        return answer
