"""The page of a linked session: how it stands, the QR code to scan or a code to enter instead, and its buttons."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST

from foundation.errors import ProviderError, Rejected

from .. import control
from ..base import SessionState
from ..models import Channel
from ..registry import adapter_class

#: How often the page looks anew, in seconds: WhatsApp draws a new QR code about every twenty.
EVERY = 5
STATES = {
    SessionState.STOPPED: (gettext_lazy("stopped"), "muted"),
    SessionState.STARTING: (gettext_lazy("starting"), "info"),
    SessionState.LINKING: (gettext_lazy("waits for a phone"), "warn"),
    SessionState.WORKING: (gettext_lazy("works"), "ok"),
    SessionState.FAILED: (gettext_lazy("failed"), "bad"),
}
DOING: dict[str, Callable[..., None]] = {
    "start": control.start_session, "stop": control.stop_session, "logout": control.log_out,
}  # fmt: skip


def has_session(channel: Channel) -> bool:
    return adapter_class(channel.kind).capabilities.sessions


def state_of(channel: Channel) -> str:
    """How the session stands now, as HTML, with the QR code inside while one is wanted: it has no address of its own."""
    picture, trouble, session = "", "", None
    try:
        linked = control.linked(channel)
        session = linked.session()
        if session.state is SessionState.LINKING:
            picture = _picture(linked)
    except ProviderError as error:
        trouble = str(error)
    words, tone = STATES[session.state] if session else (_("unknown"), "bad")
    context = {"session": session, "words": words, "tone": tone, "picture": picture, "trouble": trouble}
    return render_to_string("admin/channels/session_state.html", context)


def _picture(linked: Any) -> str:
    """The QR code as base64; nothing where none is wanted any more."""
    try:
        return base64.b64encode(linked.qr()).decode("ascii")
    except Rejected:
        return ""


class SessionPages:
    """For the admin of channels. Whoever sees a QR code can link a phone of theirs: all of it needs the right to change."""

    def session_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view  # type: ignore[attr-defined]
        return [
            path("<int:pk>/session/", view(require_GET(self.session_page), cacheable=False), name="channel_session"),
            path("<int:pk>/session/state.json", view(require_GET(self.session_state)), name="channel_session_state"),
            path("<int:pk>/session/code/", view(require_POST(self.session_code)), name="channel_session_code"),
            path("<int:pk>/session/do/<slug:what>/", view(require_POST(self.session_do)), name="channel_session_do"),
        ]

    def _linked(self, request: HttpRequest, pk: int) -> Channel:
        if not self.has_change_permission(request):  # type: ignore[attr-defined]
            raise PermissionDenied
        channel: Channel = get_object_or_404(self.get_queryset(request), pk=pk)  # type: ignore[attr-defined]
        if not has_session(channel):
            raise Http404
        return channel

    def session_page(self, request: HttpRequest, pk: int, code: str = "") -> HttpResponse:
        channel = self._linked(request, pk)
        context = {
            **self.admin_site.each_context(request),  # type: ignore[attr-defined]
            "title": _("Session of %(channel)s") % {"channel": channel},
            "opts": self.opts,  # type: ignore[attr-defined]
            "original": channel, "state": state_of(channel), "every": EVERY, "code": code,
        }  # fmt: skip
        return _uncached(TemplateResponse(request, "admin/channels/session.html", context))

    def session_state(self, request: HttpRequest, pk: int) -> HttpResponse:
        return _uncached(JsonResponse({"html": state_of(self._linked(request, pk))}))

    def session_do(self, request: HttpRequest, pk: int, what: str) -> HttpResponse:
        channel = self._linked(request, pk)
        if what not in DOING:
            raise Http404
        try:
            DOING[what](channel, user=request.user)
        except ProviderError as error:
            messages.error(request, f"{channel}: {error}")
        return HttpResponseRedirect(reverse("admin:channel_session", args=(pk,)))

    def session_code(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The code is in this answer and nowhere else."""
        channel = self._linked(request, pk)
        try:
            code = control.linked(channel).pairing_code(request.POST.get("phone", ""))
        except ProviderError as error:
            messages.error(request, f"{channel}: {error}")
            return HttpResponseRedirect(reverse("admin:channel_session", args=(pk,)))
        return self.session_page(request, pk, code)


def _uncached(response: HttpResponse) -> HttpResponse:
    response["Cache-Control"] = "no-store, private"
    return response
