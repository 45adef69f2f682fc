"""Who may do what, asked of every address there is: the API's and the admin's, from the URLconf.

Two owners with a row of everything each, and three roles. An address or a page that is new fails here until it is said
which row it is about.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.db.models import Model
from django.test import Client
from django.urls import URLPattern, URLResolver, reverse
from django.utils import timezone

from channels.models import Channel, MessageTemplate, NumberRule, ProviderCall
from config import api, roles
from conversations.models import ManagerChat, Message
from sales.models import Bot, Funnel
from tests.config.api_world import World, client_of, make_user
from tests.conftest import Broker
from tests.conversations.rows import english  # noqa: F401
from tests.sales.sale_rows import a_bot, a_follow_up, a_scheduled_call

pytestmark = pytest.mark.django_db
NO_RULE = "say in tests/config/test_every_address.py which row this address is about"
#: What only the other owner's rows say.
FOREIGN_WORDS = ("theirs", "Their secret words", "77010000002")
WRITING = ("post", "put", "patch", "delete")
#: Which row an address is about: its parameter, and the row's name below; {} where it names none.
RULES: dict[str, dict[str, str]] = {
    **{name: {} for name in (
        "schema", "stats", "channels", "whatsapp-instances", "waha-sessions", "waha-settings", "waha-send-message", "contacts",
        "message-log", "send-message", "attention-turns", "attention-events", "attention-messages", "attention-retry",
        "attention-dismiss", "follow-ups-active", "follow-ups-pending", "calls", "templates", "template-preview",
        "template-load", "waha-templates", "waha-template-preview",
    )},
    **{f"{family}{what}": {"slug": "channel"} for family in ("channel", "whatsapp-instance")
       for what in ("", "-status", "-logs", "-start", "-stop", "-restart", "-restore")},
    **{f"waha-session{what}": {"slug": "waha"} for what in ("", "-start", "-stop", "-logout", "-qr", "-pairing-code")},
    **{f"avito-{what}": {"slug": "avito"} for what in ("items", "statistics")},
    **{f"avito-item{what}": {"slug": "avito", "item_id": "item"} for what in ("", "-price")},
    "template": {"slug": "template"}, "waha-template": {"slug": "waha_template"},
    **{name: {"phone": "phone"} for name in ("contact", "classify", "block", "unblock")},
    "messages": {"contact_id": "contact"},
    **{f"follow-up{what}": {"pk": "followup"} for what in ("", "-stop", "-skip", "-send-now")},
    **{f"call{what}": {"pk": "scheduledcall"} for what in ("", "-complete", "-miss", "-cancel", "-move", "-reassign")},
    **{f"attention-turns-{what}": {"pk": "turn"} for what in ("retry", "dismiss")},
    **{f"attention-events-{what}": {"pk": "inboundevent"} for what in ("retry", "dismiss")},
    **{f"attention-messages-{what}": {"pk": "message"} for what in ("resend", "withdraw", "arrived")},
}  # fmt: skip
#: Requests that name another owner's row in their body, and how they are refused.
BODIES: dict[tuple[str, str], tuple[dict[str, Any], int]] = {
    ("channels", "post"): ({"name": "Bot", "kind": "widget", "owner": "other"}, 400),
    ("whatsapp-instances", "post"): ({"name": "Bot", "owner": "other"}, 400),
    ("waha-sessions", "post"): ({"name": "Bot", "owner": "other"}, 400),
    ("waha-settings", "put"): ({"channel": "theirs-waha", "polling": False}, 404),
    ("waha-send-message", "post"): ({"channel": "theirs-waha", "phone": "77010000002", "text": "Hello"}, 404),
    ("send-message", "post"): ({"channel": "theirs", "phone": "77010000002", "text": "Hello"}, 404),
    ("templates", "post"): ({"name": "T", "slug": "t", "body": "Hello", "channel": "theirs"}, 400),
    ("waha-templates", "post"): ({"name": "T", "slug": "t", "body": "Hello", "channel": "theirs-waha"}, 400),
    ("template-load", "post"): ({"channel": "theirs"}, 404),
    ("template-preview", "post"): ({"body": "Hello"}, 200),
    ("waha-template-preview", "post"): ({"body": "Hello"}, 200),
    ("attention-retry", "post"): ({"turns": [10**9]}, 200),
    ("attention-dismiss", "post"): ({"turns": [10**9]}, 200),
}
OPEN = {"token", "token-refresh", "docs"}
#: A guest does not even see these.
SECRET = {"waha-session-qr"}
#: Pages of the admin about what belongs to the whole installation.
COMMON = {
    "auth.User", "auth.Group", "django_celery_beat.PeriodicTask", "django_celery_beat.IntervalSchedule",
    "django_celery_beat.CrontabSchedule", "knowledge.KnowledgeBase", "knowledge.Source", "knowledge.Chunk", "llm.Voice",
    "llm.LanguageModel", "llm.Usage", "llm.Prompt",
}  # fmt: skip
#: Further pages of the admin: method and parameters beside the number of the row.
PAGES: dict[str, tuple[str, dict[str, Any]]] = {
    "channel_do": ("post", {"what": "stop"}), "channel_session": ("get", {}), "channel_session_state": ("get", {}),
    "channel_session_code": ("post", {}), "channel_session_do": ("post", {"what": "start"}), "conversation_feed": ("get", {}),
    "conversation_older": ("get", {}), "conversation_file": ("get", {"message": 1, "index": 0}),
    "conversation_reply": ("post", {}), "conversation_decide": ("post", {}), "sales_scheduledcall_do": ("post", {}),
    "follow_up_decide": ("post", {"what": "stop"}), "contact_writing": ("post", {"what": "stop"}),
    "channel_listings": ("get", {}), "channel_listing_price": ("post", {"item_id": 1}),
    "message_template_load": ("post", {}), "contact_correct": ("post", {"verdict": "client"}), "contact_merge_undo": ("post", {"merge": 1}),
}  # fmt: skip


#: Pages about another row than their list is of.
ABOUT = {"message_template_load": "channel"}
#: These pages only show; what is done on them has addresses of its own, below.
VIEWS = {("conversation", "change"), ("scheduledcall", "change")}
#: Of these the owner sees more than others who work with the channel.
OWNERS = {"managerchat"}
#: Conversations are listed by what needs somebody unless all are asked for.
SHOWN, ALL = ("conversation", "scheduledcall"), {"show": "all"}


@pytest.fixture(autouse=True)
def _unlimited(settings: Any) -> None:
    settings.RATE_LIMIT_PER_MINUTE = 10**6


@pytest.fixture
def world(broker: Broker) -> World:
    made = World()
    everything = Permission.objects.all()
    for user in (made.manager, made.other, made.guest):
        user.user_permissions.set(everything)
    roles.put_groups()
    made.guest.groups.add(Group.objects.get(name=roles.GUESTS))
    return made


@pytest.fixture
def rows(world: World) -> dict[str, dict[str, Any]]:
    """One row of everything by the name of its model, for each owner: `mine` and `theirs`."""
    mine = _rows_of(world, world.mine, world.manager, "77010000001", "My words")
    theirs = _rows_of(world, world.theirs, world.other, "77010000002", FOREIGN_WORDS[1])
    for channel in Channel.objects.filter(owner=world.manager):
        channel.team.add(world.guest)
    return {"mine": mine, "theirs": theirs}


def _rows_of(world: World, channel: Channel, owner: User, phone: str, words: str) -> dict[str, Any]:
    waha = world.channel(f"{channel.slug}-waha", owner, kind="waha", credentials={}, options={}, base_url="http://127.0.0.1:9")
    avito = world.channel(f"{channel.slug}-avito", owner, kind="avito", credentials={}, options={}, base_url="http://127.0.0.1:9")
    conversation = world.conversation(channel, phone, channel.slug, is_client=True)
    assistant, now = a_bot(channel, owner=owner, persona=words), timezone.now()
    turn = world.turn(conversation, now, stage="failed", reason="attempts")
    message = world.message(conversation, words, out=True, state="failed", turn=turn)
    template, of_waha = (
        MessageTemplate.objects.create(channel=one, name=one.slug, slug=f"{one.slug}-words", body=words) for one in (channel, waha)
    )
    funnel = Funnel.objects.create(assistant=assistant, slug=channel.slug, name=channel.slug)
    rule = NumberRule.objects.create(channel=channel, rule="blocked", phone=phone)
    return {
        "template": template.slug, "waha_template": of_waha.slug, "messagetemplate": template.pk,
        "funnel": funnel.pk, "funnelstep": funnel.steps.create(key="s").pk,
        "phone": phone, "waha": waha.slug, "avito": avito.slug, "item": 1,
        "managerchat": ManagerChat.objects.create(name=channel.slug, channel=channel, owner=owner).pk, "channel": channel.slug, "contact": conversation.contact_id,
        "followup": a_follow_up(conversation).pk, "turn": turn.pk, "message": message.pk,
        "scheduledcall": a_scheduled_call(conversation, assistant, owner, now).pk, "inboundevent": world.event(channel).pk,
        "conversation": conversation.pk, "assistant": assistant.pk, "bot": Bot.objects.get(channel=channel).pk,
        "numberrule": rule.pk, "providercall": ProviderCall.objects.create(channel=channel, minute=now, call="send").pk,
        "takeover": conversation.takeovers.create(mode="manager", cause="admin", after_seq=1, user=owner).pk,
    }  # fmt: skip


# ── The API ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def addresses(found: list[Any], before: str = "") -> Iterator[tuple[str, str, str]]:
    """Name, method and path of everything that is routed."""
    for pattern in found:
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern.url_patterns, before + str(pattern.pattern))
        elif isinstance(pattern, URLPattern) and pattern.name and pattern.name not in OPEN:
            view: Any = pattern.callback
            view = getattr(view, "cls", None) or view.view_class
            for method in ("get", *WRITING):
                if hasattr(view, method) and method in view.http_method_names:
                    yield pattern.name, method, f"/api/v1/{before}{pattern.pattern}"


def ask(client: Any, name: str, method: str, path: str, rows: dict[str, Any], body: Any = None) -> Any:
    assert name in RULES, f"{name}: {NO_RULE}"
    for parameter, row in RULES[name].items():
        for converter in ("slug", "int", "str"):
            path = path.replace(f"<{converter}:{parameter}>", str(rows[row]))
    assert "<" not in path, f"{path}: {NO_RULE}"
    return getattr(client, method)(path, body or {}, **({} if method == "get" else {"format": "json"}))


def test_the_rows_of_others_do_not_exist(rows: Any, world: World) -> None:
    client, theirs = client_of(world.manager), rows["theirs"]
    for name, method, path in addresses(api.urlpatterns):
        if RULES.get(name) != {}:
            answer = ask(client, name, method, path, theirs)
            assert answer.status_code in (403, 404), f"{method} {path}: {answer.status_code}"
        elif method == "get":
            answer = ask(client, name, method, path, theirs)
            told = answer.content.decode()
            assert answer.status_code == 200, f"{path}: {answer.status_code}"
            assert name == "schema" or not [word for word in FOREIGN_WORDS if word in told], path
        else:
            assert (name, method) in BODIES, f"{method} {name}: {NO_RULE}"
            body, refused = BODIES[name, method]
            assert ask(client, name, method, path, theirs, body).status_code == refused, f"{method} {path}"
    assert Message.objects.filter(direction="out").count() == 2
    assert Channel.objects.filter(owner=world.other, enabled=True, running=True).count() == 3


def test_the_owner_and_the_administrator_reach_them(rows: Any, world: World) -> None:
    for user in (world.other, world.root):
        for name, method, path in addresses(api.urlpatterns):
            if method == "get" and name != "waha-settings":
                answer = ask(client_of(user), name, method, path, rows["theirs"])
                assert answer.status_code in (200, 400, 409, 502), f"{path}: {answer.status_code}"


def test_guests_read_what_they_were_let_into_and_write_nothing(rows: Any, world: World) -> None:
    """Though this one was given every permission there is."""
    client = client_of(world.guest)
    for name, method, path in addresses(api.urlpatterns):
        status = ask(client, name, method, path, rows["mine"]).status_code
        if method in WRITING or name in SECRET:
            assert status == 403, f"{method} {path}: {status}"
        else:
            assert status in (200, 400, 409, 502), f"{path}: {status}"
        if method == "get" and RULES[name]:
            assert ask(client, name, method, path, rows["theirs"]).status_code in (403, 404), path


def test_without_a_team_a_channel_of_nobody_is_the_administrators(rows: Any, world: World) -> None:
    Channel.objects.update(owner=None)
    Channel.team.through.objects.all().delete()
    for user in (world.manager, world.guest):
        assert client_of(user).get("/api/v1/channels/").json()["results"] == []
    assert len(client_of(world.root).get("/api/v1/channels/").json()["results"]) == 6


# ── The admin ────────────────────────────────────────────────────────────────────────────────────────────────────────


def browser_of(user: User) -> Client:
    browser = Client()
    browser.force_login(user)
    return browser


def models() -> Iterator[tuple[type[Model], str, str]]:
    """Every registered model that belongs to owners, its name in `rows`, and what its addresses begin with."""
    for model in admin.site._registry:
        if model._meta.label not in COMMON:
            name = str(model._meta.model_name)
            yield model, name, f"admin:{model._meta.app_label}_{name}"


def number(rows: dict[str, Any], name: str) -> Any:
    assert name in rows, f"{name}: {NO_RULE}"
    return Channel.objects.get(slug=rows["channel"]).pk if name == "channel" else rows[name]


def test_the_pages_of_others_do_not_exist(rows: Any, world: World) -> None:
    browser = browser_of(world.manager)
    for _model, name, address in models():
        own, foreign = number(rows["mine"], name), number(rows["theirs"], name)
        listed = [row.pk for row in browser.get(reverse(f"{address}_changelist"), ALL if name in SHOWN else {}).context["cl"].result_list]
        assert own in listed and foreign not in listed, name
        for page in ("change", "delete", "history"):
            shown = browser.get(reverse(f"{address}_{page}", args=(foreign,)))
            assert shown.status_code in (302, 403, 404), f"{name} {page}: {shown.status_code}"
            assert browser.post(reverse(f"{address}_{page}", args=(foreign,)), {"post": "yes"}).status_code in (302, 403, 404, 405)
    assert Message.objects.count() == 2 and Channel.objects.count() == 6


def test_guests_change_nothing_in_the_admin(rows: Any, world: World) -> None:
    browser = browser_of(world.guest)
    for _model, name, address in models():
        own, foreign = number(rows["mine"], name), number(rows["theirs"], name)
        listed = [row.pk for row in browser.get(reverse(f"{address}_changelist"), ALL if name in SHOWN else {}).context["cl"].result_list]
        assert (own in listed) is (name not in OWNERS) and foreign not in listed, name
        assert browser.get(reverse(f"{address}_change", args=(own,))).status_code == (302 if name in OWNERS else 200), name
        for page in ("change", "delete"):
            answer = browser.post(reverse(f"{address}_{page}", args=(own,)), {"post": "yes"})
            refused = answer.status_code in ((302, 403) if name in OWNERS else (403,))
            assert refused or (name, page) in VIEWS, f"{name} {page}"
        assert browser.post(reverse(f"{address}_add"), {}).status_code == 403, name


def test_further_pages_of_the_admin(rows: Any, world: World) -> None:
    manager, guest = browser_of(world.manager), browser_of(world.guest)
    for model, name, address in models():
        usual = {f"{address.removeprefix('admin:')}_{page}" for page in ("changelist", "add", "history", "delete", "change")}
        for pattern in admin.site._registry[model].get_urls():
            page = getattr(pattern, "name", None)
            if page is None or page in usual or "<" not in str(pattern.pattern):
                continue
            assert page in PAGES, f"{page}: {NO_RULE}"
            method, more = PAGES[page]
            row = ABOUT.get(page, name)
            foreign = reverse(f"admin:{page}", kwargs={"pk": number(rows["theirs"], row), **more})
            assert getattr(manager, method)(foreign, {"do": "cancel"}).status_code in (403, 404), page
            if method == "post":
                own = reverse(f"admin:{page}", kwargs={"pk": number(rows["mine"], row), **more})
                assert guest.post(own, {"do": "cancel"}).status_code in (403, 404), page


# ── The groups ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_groups_are_made_once_and_left_to_people() -> None:
    Group.objects.all().delete()
    assert roles.put_groups() == [roles.GUESTS, roles.MANAGERS]
    guests, managers = (Group.objects.get(name=name) for name in (roles.GUESTS, roles.MANAGERS))
    assert {right.codename.split("_")[0] for right in guests.permissions.all()} == {"view"}
    assert guests.permissions.filter(codename="view_message").exists()
    rights = set(managers.permissions.values_list("codename", flat=True))
    assert {"add_channel", "delete_channel", "change_conversation", "view_usage"} <= rights
    assert not rights & {"delete_contact", "change_prompt", "change_languagemodel", "add_user"}
    managers.permissions.clear()
    assert roles.put_groups() == [] and not managers.permissions.exists()


def test_an_administrator_among_the_guests_stays_one() -> None:
    roles.put_groups()
    root, guest = make_user("root", superuser=True), make_user("reader", rights=("change_channel", "view_channel"))
    for user in (root, guest):
        user.groups.add(Group.objects.get(name=roles.GUESTS))
    assert root.has_perm("channels.change_channel")
    assert guest.has_perm("channels.view_channel") and not guest.has_perm("channels.change_channel")
