"""`manager_chats:` in a company's file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management.base import CommandError
from django.utils import timezone

from conversations.models import ManagerChat
from tests.config.test_provision_templates import provision
from tests.conversations.rows import a_channel

pytestmark = pytest.mark.django_db
FILE = """
channels:
  - {slug: bot, name: Bot, kind: telegram, company: Shop, credentials: {token: "1:abc"}}
  - {slug: site, name: Site, kind: widget, company: Shop}
manager_chats:
  - {name: Sales, channel: bot, sources: [site], owner: anna, every_client: true, calls: false}
"""


@pytest.fixture(autouse=True)
def anna() -> User:
    return User.objects.create_user("anna")


def test_a_chat_is_made_once_and_waits_for_people_to_connect_it(tmp_path: Path, anna: User) -> None:
    told = provision(tmp_path, FILE)
    assert "managers' chat Sales: created (not connected: the admin shows its code)" in told
    chat = ManagerChat.objects.get()
    assert (chat.channel.slug, chat.owner, [one.slug for one in chat.sources.all()]) == ("bot", anna, ["site"])
    assert (chat.enabled, chat.leads, chat.every_client, chat.calls) == (True, True, True, False)
    assert chat.code and chat.code not in told
    assert "managers' chat Sales: unchanged" in provision(tmp_path, FILE)
    again = ManagerChat.objects.get()
    assert (again.code, again.code_until) == (chat.code, chat.code_until)


def test_a_dry_run_says_the_same_and_makes_nothing(tmp_path: Path) -> None:
    told = provision(tmp_path, FILE, dry_run=True)
    assert "managers' chat Sales: created" in told and not ManagerChat.objects.exists()
    provision(tmp_path, FILE)
    changed = FILE.replace("sources: [site]", "sources: []").replace("calls: false", "calls: true")
    told = provision(tmp_path, changed, dry_run=True)
    assert "    sources: site → —" in told and "    calls: no → yes" in told
    assert [one.slug for one in ManagerChat.objects.get().sources.all()] == ["site"]


def test_only_what_is_given_changes_and_the_connection_stays(tmp_path: Path) -> None:
    provision(tmp_path, FILE)
    ManagerChat.objects.update(connected_at=timezone.now())
    chat = ManagerChat.objects.get()
    chat.address = "-100"
    chat.save()
    assert "managers' chat Sales: changed\n    leads: yes → no" in provision(tmp_path, "manager_chats: [{name: Sales, leads: false}]")
    chat.refresh_from_db()
    assert (chat.address, chat.leads, chat.every_client, chat.sources.count()) == ("-100", False, True, 1)


def test_another_bot_has_to_be_connected_anew(tmp_path: Path) -> None:
    provision(tmp_path, FILE)
    chat = ManagerChat.objects.get()
    chat.address, chat.title, chat.connected_at = "-100200", "Our secret group", timezone.now()
    chat.save()
    other = a_channel(kind="telegram", slug="other")
    told = provision(tmp_path, "manager_chats: [{name: Sales, channel: other}]")
    assert "not connected" in told and "-100200" not in told and "secret" not in told
    chat.refresh_from_db()
    assert (chat.channel, chat.address, chat.connected_at) == (other, None, None) and chat.code


def test_a_chat_goes_and_its_absence_is_no_fault(tmp_path: Path) -> None:
    provision(tmp_path, FILE)
    gone = "manager_chats: [{name: Sales, state: absent}]"
    assert "managers' chat Sales: deleted" in provision(tmp_path, gone) and not ManagerChat.objects.exists()
    assert "managers' chat Sales: absent" in provision(tmp_path, gone)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("channel: bot", "channel: site", "is no bot that writes to managers"),
        ("channel: bot", "channel: nowhere", "there is no channel “nowhere”"),
        ("sources: [site]", "sources: [shop]", "there is no channel “shop”"),
        ("owner: anna", "owner: boris", "there is no user “boris”"),
        ("channel: bot, sources", "sources", "channel is missing"),
        ("calls: false", "phones: false", "there is no such setting"),
    ],
)  # fmt: skip
def test_mistakes_are_named(tmp_path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(CommandError, match=told):
        provision(tmp_path, FILE.replace(old, new))
    assert not ManagerChat.objects.exists()


def test_two_of_one_name_are_for_people_to_tell_apart(tmp_path: Path) -> None:
    bot: Any = a_channel(kind="telegram")
    for _ in range(2):
        ManagerChat.objects.create(name="Sales", channel=bot)
    with pytest.raises(CommandError, match="several of this name"):
        provision(tmp_path, "manager_chats: [{name: Sales, leads: false}]")
