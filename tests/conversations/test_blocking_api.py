"""Blocking by the HTTP API: on every channel that one may see, or on one, with what the provider did not follow."""

from __future__ import annotations

from typing import Any

import pytest

from channels.adapters.wappi import WappiAdapter
from conversations.models import Conversation
from foundation.errors import Retry
from tests.config.api_world import World, client_of, make_user
from tests.conftest import Broker

pytestmark = pytest.mark.django_db
PHONE = "77010000001"


@pytest.fixture
def world(broker: Broker, settings: Any) -> World:
    settings.RATE_LIMIT_PER_MINUTE = 10**6
    settings.LANGUAGE_CODE = "en"
    return World()


@pytest.fixture
def post(world: World) -> Any:
    def posted(what: str, user: Any = None, expect: int = 200, **body: Any) -> Any:
        answer = client_of(user or world.manager).post(f"/api/v1/contacts/{what}/", body, format="json")
        assert answer.status_code == expect, answer.content
        return answer.json()

    return posted


def test_a_contact_is_blocked_and_let_in_again(world: World, post: Any) -> None:
    conversation = world.conversation(world.mine, PHONE)
    told = post(f"{PHONE}/block")
    assert (told["contact"], told["refused"]) == (conversation.contact_id, [])
    assert [(one["id"], one["mode"]) for one in told["conversations"]] == [(conversation.pk, "closed")]
    conversation.refresh_from_db()
    assert told["conversations"][0]["blocked_at"] and conversation.blocked_by == world.manager
    assert post(f"{PHONE}/block", expect=409)["error"]["code"] == "conflict"
    assert post(f"{PHONE}/unblock")["conversations"][0]["blocked_at"] is None
    post(f"{PHONE}/unblock", expect=409)
    shown = client_of(world.manager).get(f"/api/v1/contacts/{PHONE}/").json()
    assert shown["conversations"][0]["blocked_at"] is None


def test_only_where_one_may_see_them_and_on_one_channel_if_named(world: World, post: Any) -> None:
    here = world.conversation(world.mine, PHONE)
    second = world.identity(here.contact, world.channel("second", world.manager), PHONE)
    foreign = world.identity(here.contact, world.theirs, PHONE)
    post(f"id:{here.contact_id}/block", channel="second")
    assert set(Conversation.objects.exclude(blocked_at=None)) == {second}
    told = post(f"{PHONE}/block")
    assert [one["id"] for one in told["conversations"]] == [here.pk, second.pk]
    assert set(Conversation.objects.exclude(blocked_at=None)) == {here, second}
    post(f"{PHONE}/block", channel="theirs", expect=404)
    post(f"{PHONE}/block", channel="nowhere", expect=404)
    assert Conversation.objects.get(pk=foreign.pk).blocked_at is None
    assert post(f"{PHONE}/block", user=world.root)["conversations"][-1]["id"] == foreign.pk


def test_what_the_provider_refuses_is_told_and_ours_holds(
    world: World, post: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from channels import directory

    def away(_self: Any, _source_id: str) -> None:
        raise Retry("the provider is away", code="503")

    monkeypatch.setattr(WappiAdapter, "capabilities", replace(WappiAdapter.capabilities, blocks=True))
    monkeypatch.setattr(WappiAdapter, "block", away)
    directory.forget()
    conversation = world.conversation(world.mine, PHONE)
    told = post(f"{PHONE}/block")
    assert told["refused"] == [{"conversation": conversation.pk, "why": "the provider is away"}]
    conversation.refresh_from_db()
    assert conversation.blocked_at is not None


def test_it_takes_the_right_to_change_conversations(world: World, post: Any) -> None:
    conversation = world.conversation(world.mine, PHONE)
    reader = make_user("reader", rights=("view_conversation", "view_contact", "change_contact"))
    world.mine.team.add(reader, world.guest)
    for user in (reader, world.guest):
        post(f"{PHONE}/block", user=user, expect=403)
        post(f"{PHONE}/unblock", user=user, expect=403)
    post(f"{PHONE}/block", user=world.other, expect=404)
    assert Conversation.objects.get(pk=conversation.pk).blocked_at is None
