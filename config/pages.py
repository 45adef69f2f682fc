"""The start page: what runs here, where to go, and the chat widget to try it."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from channels.models import Channel


def home(request: HttpRequest) -> HttpResponse:
    """`/`: shows the first website chat that is switched on."""
    widget = Channel.objects.filter(kind=Channel.Kind.WIDGET, enabled=True).order_by("id").first()
    return render(request, "home.html", {"widget": widget, "flower": settings.FLOWER_URL})
