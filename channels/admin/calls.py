"""How long providers take and how often they fail, by minute."""

from __future__ import annotations

from django.contrib import admin
from django.utils.formats import number_format
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from foundation.big_lists import BigList
from foundation.journal import Journal

from ..models import ProviderCall
from ..owners import OwnedRows
from .filters import ChannelFilter


@admin.register(ProviderCall)
class ProviderCallAdmin(Journal, OwnedRows, BigList, ModelAdmin):
    list_display = ("minute", "channel", "call", "count", "errors", "average", "max_ms")
    list_filter = (ChannelFilter, "minute")
    list_select_related = ("channel",)
    list_per_page = 100
    sortable_by = ("minute",)
    newest_by = "minute"
    ordering = ("-minute", "-pk")

    @admin.display(description=_("average, ms"))
    def average(self, calls: ProviderCall) -> str:
        return number_format(round(calls.total_ms / calls.count)) if calls.count else "—"
