"""One conversation as a chat: the page, what it asks for every few seconds, and what its buttons do."""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from foundation.errors import ProviderError
from foundation.phones import shown

from .. import attention, blocking, outbox, replies, takeover, template_replies, verdicts, window
from ..models import Conversation, Message, Turn
from . import bubbles, files, panels

logger = logging.getLogger(__name__)


def _moved(moved: bool, done: str) -> str:
    """What to tell the manager; somebody else may have been faster."""
    if not moved:
        raise attention.Refused(_("Nothing to do: it is so already."))
    return done


def _message(conversation: Conversation, message_id: int) -> int:
    return int(get_object_or_404(Message.objects.only("pk"), pk=message_id, conversation=conversation).pk)


def _turn(conversation: Conversation, turn_id: int) -> int:
    return int(get_object_or_404(Turn.objects.only("pk"), pk=turn_id, conversation=conversation).pk)


def _take_over(conversation: Conversation, user: Any, _id: int) -> str:
    return _moved(takeover.take_over(conversation.pk, user=user), _("You lead the conversation."))


def _give_back(conversation: Conversation, user: Any, _id: int) -> str:
    return _moved(takeover.give_back(conversation.pk, user=user), _("The assistant leads the conversation."))


def _close(conversation: Conversation, user: Any, _id: int) -> str:
    return _moved(takeover.close(conversation.pk, user=user), _("The conversation is closed."))


def _block(conversation: Conversation, user: Any, _id: int) -> str:
    try:
        return _moved(blocking.block(conversation.pk, user=user), _("Blocked: the assistant stays silent here."))
    except ProviderError as error:
        told = _("The assistant stays silent here, but %(channel)s did not block the customer: %(error)s")
        raise attention.Refused(told % {"channel": conversation.channel, "error": error}) from error


def _unblock(conversation: Conversation, user: Any, _id: int) -> str:
    done = _moved(blocking.unblock(conversation.pk, user=user), _("The assistant answers the next message again."))
    if blocking.provider_blocks(conversation.channel_id):
        return _("%(done)s The blacklist of %(channel)s is changed on its own pages only.") % {
            "done": done, "channel": conversation.channel.get_kind_display(),
        }  # fmt: skip
    return done


def _seen(conversation: Conversation, _user: Any, _id: int) -> str:
    return _moved(attention.mark_seen(conversation.pk), _("Marked as seen."))


def _client(conversation: Conversation, user: Any, _id: int) -> str:
    answers = verdicts.decide(conversation.contact_id, True, user=user)
    return _("A client; the assistant answers now.") if answers else _("A client from now on.")


def _not_client(conversation: Conversation, user: Any, _id: int) -> str:
    verdicts.decide(conversation.contact_id, False, user=user)
    return _("Not a client; the assistant stays silent.")


def _unclear(conversation: Conversation, user: Any, _id: int) -> str:
    verdicts.decide(conversation.contact_id, None, user=user)
    return _("The verdict is cleared; the moderator decides at the next message.")


def _reclassify(conversation: Conversation, _user: Any, _id: int) -> str:
    verdicts.reclassify(conversation.contact_id)
    return _("The moderator looks at the contact anew.")


def _resend(conversation: Conversation, user: Any, message_id: int) -> str:
    return _moved(outbox.resend(_message(conversation, message_id), user=user), _("The message is queued again."))


def _arrived(conversation: Conversation, user: Any, message_id: int) -> str:
    attention.message_arrived(_message(conversation, message_id), user)
    return _("Noted: the message arrived.")


def _withdraw(conversation: Conversation, user: Any, message_id: int) -> str:
    attention.withdraw_message(_message(conversation, message_id), user)
    return _("The message is withdrawn.")


def _retry_turn(conversation: Conversation, _user: Any, turn_id: int) -> str:
    attention.retry_turn(_turn(conversation, turn_id))
    return _("The assistant tries again.")


def _dismiss_turn(conversation: Conversation, user: Any, turn_id: int) -> str:
    attention.dismiss_turn(_turn(conversation, turn_id), user)
    return _("Dismissed.")


DECISIONS: dict[str, panels.Decision] = {
    "take_over": _take_over,
    "give_back": _give_back,
    "close": _close,
    "block": _block,
    "unblock": _unblock,
    "seen": _seen,
    "client": _client,
    "not_client": _not_client,
    "unclear": _unclear,
    "reclassify": _reclassify,
    "resend": _resend,
    "arrived": _arrived,
    "withdraw": _withdraw,
    "retry_turn": _retry_turn,
    "dismiss_turn": _dismiss_turn,
}


class ChatPage:
    """The pages of one conversation, for its model admin. Every address checks permission and owner."""

    admin_site: Any

    def chat_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("<int:pk>/feed/", view(require_GET(self.feed)), name="conversation_feed"),
            path("<int:pk>/older/", view(require_GET(self.older)), name="conversation_older"),
            path("<int:pk>/file/<int:message>/<int:index>/", view(require_GET(self.file)), name="conversation_file"),
            path("<int:pk>/reply/", view(require_POST(self.reply)), name="conversation_reply"),
            path("<int:pk>/decide/", view(require_POST(self.decide)), name="conversation_decide"),
        ]

    def _conversation(self, request: HttpRequest, pk: int, *, changes: bool = False) -> Conversation:
        """The conversation, if the person may see it (and change it). Raises Http404 and PermissionDenied."""
        allowed = self.has_change_permission if changes else self.has_view_permission  # type: ignore[attr-defined]
        if not allowed(request):
            raise PermissionDenied
        rows = self.visible_conversations(request).select_related("contact", "channel", "taken_by")  # type: ignore[attr-defined]
        found: Conversation = get_object_or_404(rows, pk=pk)
        return found

    def chat(self, request: HttpRequest, pk: str) -> HttpResponse:
        """The whole page."""
        if not pk.isdigit():
            raise Http404
        conversation = self._conversation(request, int(pk))
        may_change = self.has_change_permission(request)  # type: ignore[attr-defined]
        offers = template_replies.offers(conversation, request.user) if may_change else []
        context = {
            **self.admin_site.each_context(request),
            "title": conversation.contact.shown_name,
            "opts": Conversation._meta,
            "original": conversation,
            "is_fullwidth": "1",
            "c": conversation,
            "feed": self._feed(request, conversation),
            "may_change": may_change,
            "offers": offers,
            "offered": [offer.as_json() for offer in offers],
        }
        return TemplateResponse(request, "admin/conversations/chat.html", context)

    def feed(self, request: HttpRequest, pk: int) -> JsonResponse:
        """The newest messages and the panels; only the version where nothing has changed since `?version=`."""
        conversation = self._conversation(request, pk)
        version = bubbles.fingerprint(conversation)
        if version == request.GET.get("version"):
            return JsonResponse({"version": version})
        return JsonResponse(self._feed(request, conversation))

    def _feed(self, request: HttpRequest, conversation: Conversation) -> dict[str, Any]:
        # First the version, then the rows: what changes in between is shown by the next look.
        version = bubbles.fingerprint(conversation)
        may_change = self.has_change_permission(request)  # type: ignore[attr-defined]
        newest = bubbles.stretch(conversation, conversation.channel.zone, may_change=may_change)
        context = {
            "c": conversation,
            "phone": shown(conversation.contact.phone) if conversation.contact.phone else "",
            "may_change": may_change,
            "zone": conversation.channel.zone,
            "user": request.user,
            "provider_blocks": blocking.provider_blocks(conversation.channel_id),
            "panels": [panel.html(conversation, request.user) for panel in panels.PANELS],
        }
        return {
            "version": version,
            "first": newest.first,
            "more": newest.more,
            "window": self._window(conversation) if may_change else "",
            "items": [item.as_json() for item in newest.items],
            "head": render_to_string("admin/conversations/chat_head.html", context),
            "side": render_to_string("admin/conversations/chat_side.html", context),
        }

    def _window(self, conversation: Conversation) -> str:
        """Why only a template may be sent; empty where anything may."""
        if window.is_open(conversation.pk, conversation.channel_id):
            return ""
        return window.closed_words(conversation.channel_id)

    def older(self, request: HttpRequest, pk: int) -> JsonResponse:
        """The messages before number `?before=`."""
        conversation = self._conversation(request, pk)
        before = request.GET.get("before", "")
        if not before.isdigit():
            return JsonResponse({"error": _("before must be a number.")}, status=400)
        may_change = self.has_change_permission(request)  # type: ignore[attr-defined]
        found = bubbles.stretch(conversation, conversation.channel.zone, before=int(before), may_change=may_change)
        return JsonResponse({"first": found.first, "more": found.more, "items": [item.as_json() for item in found.items]})

    def file(self, request: HttpRequest, pk: int, message: int, index: int) -> HttpResponse:
        """A file of one of the messages."""
        conversation = self._conversation(request, pk)
        found = get_object_or_404(Message.objects.filter(conversation=conversation), pk=message)
        return files.file_response(request, found, index)

    def reply(self, request: HttpRequest, pk: int) -> JsonResponse:
        """Queue a manager's message, or the template with this id."""
        conversation = self._conversation(request, pk, changes=True)
        try:
            chosen = request.POST.get("template", "")
            template_id = int(chosen) if chosen.isascii() and chosen.isdigit() else None
            replies.reply(conversation.pk, request.POST.get("text", ""), request.user, template_id=template_id)
        except ValidationError as error:
            return JsonResponse({"error": " ".join(error.messages)}, status=400)
        return JsonResponse({"done": _("Your message is queued.")})

    def decide(self, request: HttpRequest, pk: int) -> JsonResponse:
        """Carry out what a button says: `do` names the decision, `id` the message or turn it is about."""
        conversation = self._conversation(request, pk, changes=True)
        wanted = request.POST.get("do", "")
        decision = DECISIONS.get(wanted) or panels.decision(wanted)
        row_id = request.POST.get("id", "0")
        if decision is None or not row_id.isdigit():
            return JsonResponse({"error": _("Unknown action.")}, status=400)
        try:
            done = decision(conversation, request.user, int(row_id))
        except attention.Refused as error:
            return JsonResponse({"error": str(error)}, status=409)
        logger.info("decided in the chat", extra={"conversation": pk, "do": wanted, "user": request.user.pk})
        return JsonResponse({"done": done})
