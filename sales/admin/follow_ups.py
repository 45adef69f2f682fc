"""Follow-ups as managers see them: who is being written to again, when next, and the buttons that decide about it."""

from __future__ import annotations

import logging
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Prefetch, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin

from channels.owners import OwnedRows
from conversations.admin import search
from conversations.admin.filters import TurnChannelFilter
from conversations.models import Message
from foundation.big_lists import BigList
from foundation.journal import Journal
from foundation.looks import ago, badge, badges, moment, two_lines

from .. import cadence, follow_ups
from ..models import FollowUp, Touch

logger = logging.getLogger(__name__)

CHANGE = "sales.change_followup"


def decide(follow_up: FollowUp, what: str, touch_id: int, user: Any) -> str:
    """Carry out `stop`, `skip` or `send_now`, the latter two for one of its touches, and say what was done.

    Raises follow_ups.Refused with words for the manager, and Http404 for anything else.
    """
    if what == "stop":
        follow_ups.stop(follow_up.pk, user)
        return str(_("The follow-up is stopped."))
    get_object_or_404(Touch.objects.only("pk"), pk=touch_id, follow_up=follow_up)
    if what == "skip":
        follow_ups.skip(touch_id, user)
        return str(_("The touch is skipped."))
    if what == "send_now":
        follow_ups.send_now(touch_id, user)
        return str(_("The touch is being written and sent."))
    raise Http404


def with_touches(rows: QuerySet[FollowUp]) -> QuerySet[FollowUp]:
    """Follow-ups with everything their line shows, in three statements for any number of them."""
    touches = Touch.objects.select_related("turn").only(
        "follow_up", "number", "due_at", "planned_at", "state", "reason", "fired_at", "turn__stage", "turn__reason"
    )
    related = rows.select_related("conversation__contact", "conversation__channel", "stopped_by")
    return related.prefetch_related(Prefetch("touches", touches.order_by("number")))


def line(follow_up: FollowUp, *, texts: dict[int, str] | None = None) -> list[cadence.Dot]:
    """The dots of a follow-up that came from `with_touches`, in the zone of its channel."""
    zone = follow_up.conversation.channel.zone
    active = follow_up.state == FollowUp.State.ACTIVE
    return cadence.dots(follow_up.touches.all(), zone, active=active, texts=texts)


def shown_state(follow_up: FollowUp) -> SafeString:
    """State, and why it ended."""
    tone, icon = cadence.STATES[FollowUp.State(follow_up.state)]
    told = badge(follow_up.get_state_display(), tone, icon=icon, title=ago(follow_up.stopped_at))
    why = follow_up.get_stop_reason_display() if follow_up.state == FollowUp.State.STOPPED else ""
    return two_lines(badges([told]), why)


@admin.register(FollowUp)
class FollowUpAdmin(Journal, OwnedRows, BigList, ModelAdmin):
    """Nobody adds, edits or deletes its rows; whoever may change follow-ups stops them, and skips or sends a touch."""

    channel_path = "conversation__channel"
    list_display = ("who", "touches_made", "next_touch", "shown_state", "cause", "since")
    list_display_links = ("who",)
    list_filter = ("state", "stop_reason", "cause", TurnChannelFilter)
    list_per_page = 50
    list_fullwidth = True
    sortable_by = ("since",)
    newest_by = "anchor_at"
    indexed_filters = {"state__exact": None}
    ordering = ("-anchor_at", "-pk")
    search_fields = ("pk",)
    search_help_text = _("Phone in any spelling, or a name")
    actions = ("stop",)
    change_form_outer_before_template = "admin/sales/follow_up_buttons.html"
    fieldsets = (
        (None, {"fields": ("story",)}),
        (_("About it"), {"fields": ("who", "chat", "shown_state", "cause", "our_last_message", "ended", "stopped_by")}),
    )
    readonly_fields = ("story", "who", "chat", "shown_state", "our_last_message", "ended")

    # ── Rows ─────────────────────────────────────────────────────────────────────────────────────────────────────────
    def get_queryset(self, request: HttpRequest) -> QuerySet[FollowUp]:
        return with_touches(super().get_queryset(request))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[FollowUp], search_term: str
    ) -> tuple[QuerySet[FollowUp], bool]:
        term = search_term.strip()
        found = queryset.filter(search.people(term, request.user, "conversation__contact__")) if term else queryset
        return found, False

    # ── Columns ──────────────────────────────────────────────────────────────────────────────────────────────────────
    @admin.display(description=_("contact"))
    def who(self, follow_up: FollowUp) -> SafeString:
        return two_lines(follow_up.conversation.contact.shown_name, follow_up.conversation.channel.name)

    @admin.display(description=_("touches"))
    def touches_made(self, follow_up: FollowUp) -> SafeString:
        return render_to_string("admin/sales/cadence.html", {"dots": line(follow_up)})

    @admin.display(description=_("next touch"))
    def next_touch(self, follow_up: FollowUp) -> SafeString | str:
        for dot in line(follow_up):
            if dot.is_next:
                clock = format_html('<span class="sd-nowrap">{}</span>', dot.at.strftime("%d.%m.%Y %H:%M"))
                return two_lines(clock, dot.why)
        return "—"

    @admin.display(description=_("state"))
    def shown_state(self, follow_up: FollowUp) -> SafeString:
        return shown_state(follow_up)

    @admin.display(description=_("silent since"), ordering="anchor_at")
    def since(self, follow_up: FollowUp) -> SafeString | str:
        return moment(follow_up.anchor_at)

    # ── The page of one follow-up ────────────────────────────────────────────────────────────────────────────────────
    @admin.display(description=_("touches"))
    def story(self, follow_up: FollowUp) -> SafeString:
        dots = line(follow_up, texts=getattr(follow_up, "texts", None))
        context = {"dots": dots, "large": True, "zone": follow_up.conversation.channel.time_zone}
        return render_to_string("admin/sales/follow_up_story.html", context)

    @admin.display(description=_("conversation"))
    def chat(self, follow_up: FollowUp) -> SafeString:
        return render_to_string("admin/conversations/known_on.html", {"conversations": [follow_up.conversation]})

    @admin.display(description=_("our last message"))
    def our_last_message(self, follow_up: FollowUp) -> str:
        return follow_up.anchor_at.astimezone(follow_up.conversation.channel.zone).strftime("%d.%m.%Y %H:%M")

    @admin.display(description=_("ended"))
    def ended(self, follow_up: FollowUp) -> str:
        if follow_up.stopped_at is None:
            return "—"
        return follow_up.stopped_at.astimezone(follow_up.conversation.channel.zone).strftime("%d.%m.%Y %H:%M")

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> FollowUp | None:
        """With what was sent, for those who may read it."""
        follow_up: FollowUp | None = super().get_object(request, object_id, from_field)
        if follow_up is not None and request.user.has_perm("conversations.view_conversation"):
            follow_up.texts = _texts(follow_up)  # type: ignore[attr-defined]
        return follow_up

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: FollowUp | None = None, **kwargs: Any
    ) -> HttpResponse:
        if obj is not None and obj.state == FollowUp.State.ACTIVE:
            context["may_decide"] = self.has_decide_permission(request)
            context["next_touch"] = cadence.next_touch(list(obj.touches.all()))
        page: HttpResponse = super().render_change_form(request, context, *args, obj=obj, **kwargs)
        return page

    # ── Decisions ────────────────────────────────────────────────────────────────────────────────────────────────────
    @admin.action(description=_("Stop"), permissions=("decide",))
    def stop(self, request: HttpRequest, queryset: QuerySet[FollowUp]) -> None:
        done, refusals = 0, set()
        for pk in queryset.order_by("pk").values_list("pk", flat=True):
            try:
                follow_ups.stop(pk, request.user)
            except follow_ups.Refused as error:
                refusals.add(str(error))
            else:
                done += 1
        told = ngettext("%(n)d follow-up stopped.", "%(n)d follow-ups stopped.", done) % {"n": done}
        self.message_user(request, told, messages.SUCCESS if done else messages.WARNING)
        for refusal in sorted(refusals):
            self.message_user(request, refusal, messages.WARNING)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_POST(self.decide_view))
        return [path("<int:pk>/decide/<slug:what>/", view, name="follow_up_decide"), *super().get_urls()]

    def decide_view(self, request: HttpRequest, pk: int, what: str) -> HttpResponse:
        """`stop`, `skip` or `send_now` (the latter two with the id of a `touch`), then back to where the button was."""
        if not self.has_decide_permission(request):
            raise PermissionDenied
        follow_up = get_object_or_404(self.get_queryset(request), pk=pk)
        touch = request.POST.get("touch", "")
        try:
            told = decide(follow_up, what, int(touch) if touch.isascii() and touch.isdigit() else 0, request.user)
        except follow_ups.Refused as error:
            self.message_user(request, str(error), messages.WARNING)
        else:
            self.message_user(request, told, messages.SUCCESS)
            logger.info("decided on a follow-up", extra={"follow_up": pk, "do": what, "user": request.user.pk})
        back = request.headers.get("Referer", "")
        if not url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()}, require_https=request.is_secure()):
            back = reverse("admin:sales_followup_change", args=(pk,))
        return HttpResponseRedirect(back)

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm(CHANGE))


def _texts(follow_up: FollowUp) -> dict[int, str]:
    """What was said in the turns of the touches, by turn."""
    turns = [touch.turn_id for touch in follow_up.touches.all() if touch.turn_id]
    said: dict[int, str] = {}
    for message in Message.objects.filter(turn__in=turns, direction=Message.Direction.OUT).order_by("seq"):
        assert message.turn_id is not None
        said[message.turn_id] = f"{said[message.turn_id]}\n\n{message.text}" if message.turn_id in said else message.text
    return said
