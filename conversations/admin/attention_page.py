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
from django.utils.translation import ngettext

from channels import checks
from channels.owners import visible
from foundation.cache import Remembered

from .. import attention, notices
from ..models import Conversation

logger = logging.getLogger(__name__)

#: Rows of each section; what is older comes up when these are done.
SHOWN = 50
#: Rows that one decision is carried out for at once.
MOST = 500


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
    """`/admin/attention/`: GET shows, POST carries out `kind`, `do` and `id`, which may come several times."""
    if request.method == "POST":
        return _act(request)
    user = request.user
    sections: dict[str, QuerySet[Any]] = {
        "notices": notices.visible_notices(user),
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
        "bulk": {kind: user.has_perm(KINDS[kind][1]) for kind in BULK},
    }
    context["nothing"] = not any(context["counts"].values())
    return TemplateResponse(request, "admin/conversations/attention.html", context)


SECTIONS = {
    "notices": notices.VIEW,
    "channels": "channels.view_channel",
    "events": "channels.view_inboundevent",
    "turns": "conversations.view_turn",
    "doubtful": "conversations.view_conversation",
}


def _retry_event(user: Any, pk: int) -> str:
    attention.retry_event(pk)
    return _("The event is processed again.")


def _dismiss_event(user: Any, pk: int) -> str:
    attention.dismiss_event(pk, user)
    return _("The event is dismissed.")


def _retry_turn(user: Any, pk: int) -> str:
    attention.retry_turn(pk)
    return _("The assistant tries again.")


def _dismiss_turn(user: Any, pk: int) -> str:
    attention.dismiss_turn(pk, user)
    return _("The turn is dismissed.")


def _resend(user: Any, pk: int) -> str:
    attention.resend_message(pk, user)
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


def _dismiss_notice(user: Any, pk: int) -> str:
    if not notices.dismiss(pk):
        raise attention.Refused(_("It does not wait any more."))
    return _("The notice is dismissed; it comes back when its cause is seen again.")


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
    "notice": (notices.visible_notices, "conversations.change_notice", {"dismiss": _dismiss_notice}),
    "channel": (attention.troubled_channels, "channels.change_channel", {"check": _check}),
}


#: What may be decided about many rows at once.
BULK = ("event", "turn", "message")


def _act(request: HttpRequest) -> HttpResponse:
    kind = request.POST.get("kind", "")
    rows, permission, decisions = KINDS.get(kind, (attention.failed_turns, "", {}))
    decision, chosen = decisions.get(request.POST.get("do", "")), request.POST.getlist("id")
    whole = kind in BULK and "all" in request.POST
    if decision is None or not (chosen or whole) or not all(pk.isdigit() for pk in chosen):
        return HttpResponse(_("Unknown action."), status=400)
    if not request.user.has_perm(permission):
        raise PermissionDenied
    waiting_rows = rows(request.user)
    wanted = list(waiting_rows[:MOST].values_list("pk", flat=True)) if whole else [int(pk) for pk in chosen[:MOST]]
    _decide(request, waiting_rows, decision, sorted(wanted))
    logger.info("decided on the attention page", extra={"kind": kind, "do": request.POST["do"], "rows": wanted})
    waiting.forget()
    back = request.POST.get("next", "")
    here = url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()}, require_https=request.is_secure())
    return HttpResponseRedirect(back if here else reverse("admin:attention"))


def _decide(request: HttpRequest, rows: QuerySet[Any], decision: Callable[[Any, int], str], wanted: list[int]) -> None:
    """Carry one decision out for each row, the oldest first, and say what came of it."""
    done, refusals = list[str](), set[str]()
    for pk in wanted:
        try:
            if not rows.filter(pk=pk).exists():
                raise attention.Refused(_("It does not wait any more."))
            done.append(decision(request.user, pk))
        except attention.Refused as error:
            refusals.add(str(error))
    if len(done) == 1:
        messages.success(request, done[0])
    elif done:
        messages.success(request, ngettext("%(n)d decided.", "%(n)d decided.", len(done)) % {"n": len(done)})
    for refusal in sorted(refusals):
        messages.warning(request, refusal)
