"""The frame of the admin: the first page, the menu, people and the schedule."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from unfold.admin import ModelAdmin

from config import dashboard
from tests.conversations.rows import (  # noqa: F401
    a_channel,
    a_conversation,
    a_manager,
    a_message,
    a_turn,
    english,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard, "queue_sizes", lambda: {"answers": 7, "poll": None})


def day(channel: Any) -> None:
    """A day's work: two replies, one silence, one reply of yesterday, and a message in work."""
    conversation, now = a_conversation(channel, needs_attention=True), timezone.now()
    for seconds in (2, 10):
        turn = a_turn(conversation, "done", at=now, finished_at=now + timedelta(seconds=seconds), cost="0.5")
        a_message(conversation, "customer", "?", turn=turn)
    a_message(conversation, "customer", "?", turn=a_turn(conversation, "ignored", reason="unsure"))
    a_turn(conversation, "done", at=now - timedelta(days=2))
    a_message(conversation, "bot", "!", state="unconfirmed")
    a_turn(conversation, "answer")


def test_the_figures_of_today(admin_user: Any) -> None:
    day(a_channel(name="WhatsApp"))
    board = dashboard.figures(admin_user)
    assert (board["received"], board["answered"], board["cost"]) == (3, 2, 1)
    assert [(line["reason"], line["n"]) for line in board["ignored"]] == [("unsure", 1)]
    assert (board["median"], board["p95"]) == ("6.00 s", "9.60 s")
    assert (board["conversations"], board["others"]) == (1, 1)
    assert {str(line["label"]): line["n"] for line in board["waiting"]} == {"Turns: answer": 1, "Messages: unconfirmed": 1}
    assert [channel.name for channel in board["channels"]] == ["WhatsApp"]


def test_an_idle_day_has_figures_too(admin_user: Any) -> None:
    board = dashboard.figures(admin_user)
    assert (board["received"], board["median"], board["p95"], board["ignored"], board["waiting"]) == (0, "—", "—", [], [])


def test_managers_see_the_figures_of_their_channels() -> None:
    manager = a_manager()
    day(a_channel(owner=a_manager(), name="Secret channel"))
    board = dashboard.figures(manager)
    assert (board["received"], board["answered"], board["conversations"], board["median"]) == (0, 0, 0, "—")
    assert (board["channels"], board["waiting"]) == ([], [])


def test_the_first_page_and_what_renews_it(admin_client: Client) -> None:
    day(a_channel(name="<b>WhatsApp</b>"))
    page = admin_client.get(reverse("admin:index")).content.decode()
    renewed = admin_client.get(reverse("admin:today")).json()["html"]
    assert f'data-refresh="{reverse("admin:today")}"' in page
    for html in (page, renewed):
        assert "&lt;b&gt;WhatsApp&lt;/b&gt;" in html
        assert "<code>answers</code>" in html
        assert "unknown" in html


def test_who_may_not_see_conversations_sees_no_figures(client: Client) -> None:
    user = User.objects.create_user("clerk", is_staff=True)
    client.force_login(user)
    assert "board" not in client.get(reverse("admin:index")).context
    assert client.get(reverse("admin:today")).status_code == 403
    assert client.get(reverse("admin:attention")).context["nothing"]
    assert Client().get(reverse("admin:today")).status_code == 302


def test_the_menu_shows_what_a_person_may_open(admin_client: Client, client: Client) -> None:
    def menu(browser: Client) -> list[str]:
        groups = browser.get(reverse("admin:index")).context["sidebar_navigation"]
        return [str(item["link"]) for group in groups for item in group["items"]]

    for link in menu(admin_client):
        assert admin_client.get(link).status_code == 200, link
    client.force_login(a_manager())
    links = menu(client)
    assert reverse("admin:conversations_conversation_changelist") in links
    assert reverse("admin:auth_user_changelist") not in links
    for link in links:
        assert client.get(link).status_code == 200, link


def test_every_page_is_in_our_look_and_what_nobody_needs_is_hidden() -> None:
    registered = {model._meta.label: model_admin for model, model_admin in admin.site._registry.items()}
    assert all(isinstance(model_admin, ModelAdmin) for model_admin in registered.values()), registered
    hidden = {"channels.ChannelLog", "django_celery_beat.SolarSchedule", "axes.AccessAttempt"}
    assert not hidden & set(registered)


def test_every_registered_page_opens(admin_client: Client) -> None:
    for model in admin.site._registry:
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        assert admin_client.get(reverse(f"admin:{name}_changelist")).status_code == 200, name
        assert admin_client.get(reverse(f"admin:{name}_add")).status_code in (200, 403), name


def test_users_are_made_and_get_passwords(admin_client: Client) -> None:
    data = {"username": "marat", "usable_password": "true", "password1": "a-long-password-7", "password2": "a-long-password-7"}
    assert admin_client.post(reverse("admin:auth_user_add"), data).status_code == 302
    user = User.objects.get(username="marat")
    assert user.check_password("a-long-password-7")
    assert admin_client.get(reverse("admin:auth_user_change", args=(user.pk,))).status_code == 200
    assert admin_client.get(reverse("admin:auth_user_password_change", args=(user.pk,))).status_code == 200


def test_nobody_makes_themselves_a_superuser(client: Client) -> None:
    from django.contrib.auth.models import Permission

    boss = User.objects.create_superuser("boss")
    clerk = a_manager()
    clerk.user_permissions.add(*Permission.objects.filter(content_type__app_label="auth"))
    client.force_login(clerk)
    own = reverse("admin:auth_user_change", args=(clerk.pk,))
    client.post(own, {"username": "clerk", "is_active": "on", "is_staff": "on", "is_superuser": "on"})
    clerk.refresh_from_db()
    assert not clerk.is_superuser
    assert clerk.user_permissions.exists()
    others = reverse("admin:auth_user_change", args=(boss.pk,))
    assert client.post(others, {"username": "taken", "is_active": "on"}).status_code == 403
    password = reverse("admin:auth_user_password_change", args=(boss.pk,))
    assert client.post(password, {"password1": "a-long-password-7", "password2": "a-long-password-7"}).status_code == 403
    assert client.post(reverse("admin:auth_user_delete", args=(boss.pk,)), {"post": "yes"}).status_code == 403


def test_scheduled_tasks_can_be_changed(admin_client: Client) -> None:
    every = IntervalSchedule.objects.create(every=5, period="seconds")
    task = PeriodicTask.objects.create(name="sweep", task="conversations.sweep", interval=every)
    assert admin_client.get(reverse("admin:django_celery_beat_periodictask_change", args=(task.pk,))).status_code == 200
    data = {"action": "disable_tasks", "_selected_action": [task.pk]}
    admin_client.post(reverse("admin:django_celery_beat_periodictask_changelist"), data)
    task.refresh_from_db()
    assert not task.enabled
