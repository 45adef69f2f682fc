"""How the admin looks and what stands in its menu: the settings of django-unfold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

#: Icon, title, address by name, permission. Whoever lacks the permission does not see the line.
MENU: list[tuple[Any, list[tuple[str, Any, str, str]]]] = [
    (
        None,
        [
            ("space_dashboard", _("Today"), "admin:index", ""),
            ("forum", _("Conversations"), "admin:conversations_conversation_changelist", "conversations.view_conversation"),
            ("error", _("Needs attention"), "admin:attention", "conversations.view_conversation"),
            ("group", _("Contacts"), "admin:conversations_contact_changelist", "conversations.view_contact"),
        ],
    ),
    (
        _("Sales"),
        [
            ("call", _("Calls"), "admin:sales_scheduledcall_day", "sales.view_scheduledcall"),
            ("schedule_send", _("Follow-ups"), "admin:sales_followup_changelist", "sales.view_followup"),
        ],
    ),
    (
        _("Assistant"),
        [
            ("smart_toy", _("Assistants"), "admin:sales_assistant_changelist", "sales.view_assistant"),
            ("account_tree", _("Funnels"), "admin:sales_funnel_changelist", "sales.view_funnel"),
            ("menu_book", _("Documents"), "admin:knowledge_source_changelist", "knowledge.view_source"),
            ("library_books", _("Knowledge bases"), "admin:knowledge_knowledgebase_changelist", "knowledge.view_knowledgebase"),
            ("edit_note", _("Prompts"), "admin:llm_prompt_changelist", "llm.view_prompt"),
            ("model_training", _("Language models"), "admin:llm_languagemodel_changelist", "llm.view_languagemodel"),
            ("record_voice_over", _("Voices"), "admin:llm_voice_changelist", "llm.view_voice"),
        ],
    ),
    (
        _("Channels"),
        [
            ("hub", _("Channels"), "admin:channels_channel_changelist", "channels.view_channel"),
            (
                "quick_phrases", _("Message templates"), "admin:channels_messagetemplate_changelist",
                "channels.view_messagetemplate",
            ),
            ("campaign", _("Managers' chats"), "admin:conversations_managerchat_changelist", "conversations.view_managerchat"),
            ("phone_disabled", _("Number rules"), "admin:channels_numberrule_changelist", "channels.view_numberrule"),
        ],
    ),
    (
        _("Journals"),
        [
            ("timeline", _("Turns"), "admin:conversations_turn_changelist", "conversations.view_turn"),
            ("sms", _("Messages"), "admin:conversations_message_changelist", "conversations.view_message"),
            ("swap_horiz", _("Handovers"), "admin:conversations_takeover_changelist", "conversations.view_takeover"),
            ("move_to_inbox", _("Inbound events"), "admin:channels_inboundevent_changelist", "channels.view_inboundevent"),
            ("network_ping", _("Provider calls"), "admin:channels_providercall_changelist", "channels.view_providercall"),
            ("payments", _("Model calls"), "admin:llm_usage_changelist", "llm.view_usage"),
        ],
    ),
    (
        _("System"),
        [
            ("monitor_heart", _("Status"), "admin:status", "conversations.view_notice"),
            ("person", _("Users"), "admin:auth_user_changelist", "auth.view_user"),
            ("shield_person", _("Groups"), "admin:auth_group_changelist", "auth.view_group"),
            (
                "schedule",
                _("Scheduled tasks"),
                "admin:django_celery_beat_periodictask_changelist",
                "django_celery_beat.view_periodictask",
            ),
        ],
    ),
]

#: A line that opens one of several pages is lit on every page below this address.
BELOW = {"admin:sales_scheduledcall_day": "admin:sales_scheduledcall_changelist"}


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The menu for this person, with the counts of what waits for them."""
    badges = _badges(request)
    groups = []
    for title, lines in MENU:
        items = [_item(*line, badges) for line in lines if not line[3] or request.user.has_perm(line[3])]
        if items:
            groups.append({"title": title, "separator": title is not None, "collapsible": False, "items": items})
    return groups


def _item(icon: str, title: Any, name: str, permission: str, badges: dict[str, int]) -> dict[str, Any]:
    item: dict[str, Any] = {"icon": icon, "title": title, "link": reverse(name)}
    if name in BELOW:
        item["active"] = lambda request: request.path.startswith(reverse(BELOW[name]))
    if badges.get(name):
        item |= {"badge": badges[name], "badge_variant": "danger"}
    return item


def _badges(request: HttpRequest) -> dict[str, int]:
    if not request.user.has_perm("conversations.view_conversation"):
        return {}
    from conversations.admin.attention_page import waiting

    counted = waiting(request.user.pk)
    return {"admin:conversations_conversation_changelist": counted.conversations, "admin:attention": counted.others}


def _file(path: str) -> Callable[[HttpRequest], str]:
    return lambda request: static(path)


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Saudager",
    "SITE_HEADER": "Saudager",
    "SITE_SUBHEADER": _("AI sales assistant"),
    "SITE_SYMBOL": "storefront",
    "SITE_URL": "/",
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "BORDER_RADIUS": "6px",
    "STYLES": [_file(f"saudager/admin/{name}.css") for name in ("admin", "sales", "funnels")],
    "SCRIPTS": [_file("saudager/admin/admin.js")],
    "DASHBOARD_CALLBACK": "config.dashboard.context",
    "COLORS": {
        "primary": {
            "50": "oklch(98.4% .014 181)", "100": "oklch(95.3% .045 181)", "200": "oklch(90.5% .085 181)",
            "300": "oklch(84% .12 182)", "400": "oklch(75% .13 183)", "500": "oklch(64% .12 184)",
            "600": "oklch(52% .097 186)", "700": "oklch(46% .085 187)", "800": "oklch(40% .072 188)",
            "900": "oklch(35% .058 189)", "950": "oklch(26% .045 192)",
        }
    },
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": navigation,
    },
}  # fmt: skip
