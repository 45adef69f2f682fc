"""What waits for a person, and what programs may decide about it."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from channels.models import InboundEvent
from conversations.models import Message, Turn
from tests.config.api_world import World, client_of, make_user
from tests.conftest import Broker

from .rows import english  # noqa: F401

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(broker: Broker, settings: Any) -> World:
    settings.RATE_LIMIT_PER_MINUTE = 10**6
    return World()


@pytest.fixture
def client(world: World) -> APIClient:
    return client_of(world.manager)


def a_failed_turn(world: World, channel: Any = None, **values: Any) -> Turn:
    conversation = world.conversation(channel or world.mine, is_client=True)
    turn = world.turn(conversation, timezone.now(), stage="failed", reason=values.pop("reason", "attempts"))
    world.message(conversation, "words of a customer", turn=turn)
    return turn


def post(client: APIClient, path: str, body: Any = None) -> Any:
    return client.post(f"/api/v1/attention/{path}", body or {}, format="json")


def listed(client: APIClient, kind: str, **query: str) -> list[dict[str, Any]]:
    return list(client.get(f"/api/v1/attention/{kind}/", query).json()["results"])


def test_what_waits_is_listed_with_its_cause_and_without_words(world: World, client: APIClient) -> None:
    turn, event = a_failed_turn(world), world.event(world.mine, reason="OperationalError")
    Turn.objects.filter(pk=turn.pk).update(error="no model answered")
    message = world.message(world.conversation(world.mine), "secret words", out=True, state="failed", error="blocked")
    a_failed_turn(world, world.theirs)
    world.event(world.theirs)
    [told] = listed(client, "turns")
    assert (told["id"], told["reason"], told["error"], told["channel"]) == (turn.pk, "attempts", "no model answered", "mine")
    [told] = listed(client, "events")
    assert (told["id"], told["reason"]) == (event.pk, "OperationalError") and "payload" not in told
    [told] = listed(client, "messages")
    assert (told["id"], told["state"], told["error"]) == (message.pk, "failed", "blocked") and "text" not in told
    assert listed(client, "turns", channel="theirs") == []


def test_a_turn_is_retried_once(world: World, client: APIClient, broker: Broker) -> None:
    turn = a_failed_turn(world)
    answer = post(client, f"turns/{turn.pk}/retry/")
    assert answer.status_code == 200 and answer.json()["stage"] == "superseded"
    again = post(client, f"turns/{turn.pk}/retry/")
    assert again.status_code == 409 and again.json()["error"]["code"] == "conflict"
    assert again.json()["error"]["message"] == "The turn does not wait for attention any more."
    assert Turn.objects.filter(stage__in=Turn.OPEN).count() == 1


def test_an_event_is_retried_unless_its_content_is_forgotten(world: World, client: APIClient) -> None:
    event, forgotten = world.event(world.mine), world.event(world.mine, payload=None)
    assert post(client, f"events/{event.pk}/retry/").json()["state"] == "new"
    assert post(client, f"events/{forgotten.pk}/retry/").status_code == 409
    assert post(client, f"events/{forgotten.pk}/dismiss/").json()["state"] == "dismissed"


def test_messages_are_decided(world: World, client: APIClient) -> None:
    states = {"resend": "failed", "withdraw": "failed", "arrived": "unconfirmed"}
    for decision, state in states.items():
        message = world.message(world.conversation(world.mine), "!", out=True, state=state)
        after = post(client, f"messages/{message.pk}/{decision}/").json()["state"]
        assert after == {"resend": "queued", "withdraw": "suppressed", "arrived": "sent"}[decision]
        assert post(client, f"messages/{message.pk}/{decision}/").status_code == 409
    assert Message.objects.get(state="queued").user == world.manager


def test_many_at_once_tell_what_was_done_and_what_not(world: World, client: APIClient) -> None:
    turns, foreign = [a_failed_turn(world) for _ in range(3)], a_failed_turn(world, world.theirs)
    undelivered, event = a_failed_turn(world, reason="undelivered"), world.event(world.mine)
    asked = [*(turn.pk for turn in turns), foreign.pk, undelivered.pk]
    answer = post(client, "retry/", {"turns": asked, "events": [event.pk]})
    told = answer.json()
    assert answer.status_code == 200
    assert (told["turns"], told["events"]) == ([turn.pk for turn in turns], [event.pk])
    assert {(one["kind"], one["id"]) for one in told["refused"]} == {("turns", foreign.pk), ("turns", undelivered.pk)}
    assert all(one["why"] for one in told["refused"])
    foreign.refresh_from_db()
    assert foreign.stage == "failed"
    assert post(client, "dismiss/", {"turns": [undelivered.pk]}).json()["turns"] == [undelivered.pk]


@pytest.mark.parametrize("body", [{}, {"turns": []}, {"turns": ["x"]}, {"events": [0]}, {"turns": list(range(1, 502))}])
def test_nonsense_is_refused(client: APIClient, body: Any) -> None:
    assert post(client, "retry/", body).status_code == 400


def test_events_need_their_own_right(world: World) -> None:
    clerk = make_user("clerk", rights=("change_turn", "view_turn"))
    event, turn = world.event(world.channel("shared", clerk)), a_failed_turn(world, world.channel("common", clerk))
    assert post(client_of(clerk), "retry/", {"turns": [turn.pk], "events": [event.pk]}).status_code == 403
    assert InboundEvent.objects.get(pk=event.pk).state == "failed"
    assert post(client_of(clerk), "retry/", {"turns": [turn.pk]}).json()["turns"] == [turn.pk]
