"""Everything that waits for a person, on one screen, with what can be done about it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _

from channels import checks, inbox
from channels.owners import visible
from foundation.cache import Remembered

from .. import attention, outbox
from ..models import Conversation

logger = logging.getLogger(__name__)

#: Rows of each section; what is older comes up when these are done.
SHOWN = 50


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many conversations need a manager, and how many other things wait."""

    conversations: int
    others: int


def _waiting(user_id: Any) -> Waiting:
    user = get_user_model().objects.filter(pk=user_id).first()
    if user is None:
        return Waiting(0, 0)
    conversations = attention.needing(visible(Conversation.objects.all(), user)).count()
    return Waiting(conversations, attention.waiting_count(user))


#: For the badges beside the menu, which every page shows: counted again after some seconds.
waiting = Remembered(3.0, _waiting)


def page(request: HttpRequest) -> HttpResponse:
    """`/admin/attention/`: GET shows, POST carries out `kind`, `do` and `id`."""
    if request.method == "POST":
        return _act(request)
    user = request.user
    sections = {
        "channels": attention.troubled_channels(user),
        "events": attention.failed_events(user),
        "turns": attention.failed_turns(user),
        "doubtful": attention.doubtful_messages(user),
    }
    allowed = {name: user.has_perm(SECTIONS[name]) for name in sections}
    context = {
        **admin.site.each_context(request),
        "title": _("Needs attention"),
        "is_fullwidth": "1",
        "sections": {name: list(rows[:SHOWN]) if allowed[name] else [] for name, rows in sections.items()},
        "counts": {name: rows.count() if allowed[name] else 0 for name, rows in sections.items()},
    }
    context["nothing"] = not any(context["counts"].values())
    return TemplateResponse(request, "admin/conversations/attention.html", context)


SECTIONS = {
    "channels": "channels.view_channel",
    "events": "channels.view_inboundevent",
    "turns": "conversations.view_turn",
    "doubtful": "conversations.view_conversation",
}


def _retry_event(user: Any, pk: int) -> str:
    if not inbox.retry(pk):
        raise attention.Refused(_("The event does not wait any more, or its content is forgotten already."))
    return _("The event is processed again.")


def _dismiss_event(user: Any, pk: int) -> str:
    if not inbox.dismiss(pk):
        raise attention.Refused(_("The event does not wait any more."))
    return _("The event is dismissed.")


def _retry_turn(user: Any, pk: int) -> str:
    attention.retry_turn(pk)
    return _("The assistant tries again.")


def _dismiss_turn(user: Any, pk: int) -> str:
    attention.dismiss_turn(pk, user)
    return _("The turn is dismissed.")


def _resend(user: Any, pk: int) -> str:
    if not outbox.resend(pk, user=user):
        raise attention.Refused(_("The message has moved on meanwhile."))
    return _("The message is queued again.")


def _arrived(user: Any, pk: int) -> str:
    attention.message_arrived(pk, user)
    return _("Noted: the message arrived.")


def _withdraw(user: Any, pk: int) -> str:
    attention.withdraw_message(pk, user)
    return _("The message is withdrawn.")


def _check(user: Any, pk: int) -> str:
    if not checks.check(pk):
        raise attention.Refused(_("The channel still does not work. Its log tells more."))
    return _("The channel works.")


Rows = Callable[[Any], QuerySet[Any]]
#: Kind → where its rows are, what permission their decisions need, and the decisions.
KINDS: dict[str, tuple[Rows, str, dict[str, Callable[[Any, int], str]]]] = {
    "event": (attention.failed_events, "channels.change_inboundevent", {"retry": _retry_event, "dismiss": _dismiss_event}),
    "turn": (attention.failed_turns, "conversations.change_turn", {"retry": _retry_turn, "dismiss": _dismiss_turn}),
    "message": (
        attention.doubtful_messages,
        "conversations.change_conversation",
        {"resend": _resend, "arrived": _arrived, "withdraw": _withdraw},
    ),
    "channel": (attention.troubled_channels, "channels.change_channel", {"check": _check}),
}


def _act(request: HttpRequest) -> HttpResponse:
    rows, permission, decisions = KINDS.get(request.POST.get("kind", ""), (attention.failed_turns, "", {}))
    decision, pk = decisions.get(request.POST.get("do", "")), request.POST.get("id", "")
    if decision is None or not pk.isdigit():
        return HttpResponse(_("Unknown action."), status=400)
    if not request.user.has_perm(permission):
        raise PermissionDenied
    try:
        if not rows(request.user).filter(pk=pk).exists():
            raise attention.Refused(_("It does not wait any more."))
        messages.success(request, decision(request.user, int(pk)))
    except attention.Refused as error:
        messages.warning(request, str(error))
    logger.info("decided on the attention page", extra={"kind": request.POST["kind"], "do": request.POST["do"], "row": int(pk)})
    waiting.forget()
    back = request.POST.get("next", "")
    here = url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()}, require_https=request.is_secure())
    return HttpResponseRedirect(back if here else reverse("admin:attention"))
