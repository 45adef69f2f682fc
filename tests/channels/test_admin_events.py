"""The journal of inbound events."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from channels.admin.events import pretty
from channels.models import InboundEvent
from tests.conversations.rows import a_channel, a_manager, english  # noqa: F401

pytestmark = pytest.mark.django_db
LIST = "admin:channels_inboundevent_changelist"


def an_event(channel: Any, number: int = 1, **fields: Any) -> InboundEvent:
    given = {"source": "webhook", "state": "failed", "payload": '{"body": "Привет <b>"}'.encode(), **fields}
    return InboundEvent.objects.create(channel=channel, external_id=f"e{number}", **given)


def act(browser: Client, action: str, *rows: InboundEvent) -> str:
    response = browser.post(reverse(LIST), {"action": action, "_selected_action": [row.pk for row in rows]}, follow=True)
    assert response.status_code == 200
    return " ".join(str(message) for message in response.context["messages"])


def test_payloads_are_shown_to_superusers_only_and_never_in_the_list(admin_client: Client, client: Client) -> None:
    event, manager = an_event(a_channel()), a_manager()
    event.channel.team.add(manager)
    address = reverse("admin:channels_inboundevent_change", args=(event.pk,))
    assert "Привет &lt;b&gt;" in admin_client.get(address).content.decode()
    assert "Привет" not in admin_client.get(reverse(LIST)).content.decode()
    client.force_login(manager)
    response = client.get(address)
    assert response.status_code == 200
    assert "Привет" not in response.content.decode()


def test_the_list_neither_fetches_payloads_nor_grows_in_queries(admin_client: Client) -> None:
    def queries(first: int, last: int) -> int:
        for number in range(first, last):
            an_event(a_channel(), number)
        with CaptureQueriesContext(connection) as captured:
            admin_client.get(reverse(LIST))
        assert not any('"payload"' in query["sql"] for query in captured if "channels_inboundevent" in query["sql"])
        return len(captured)

    queries(0, 1)
    few = queries(1, 3)
    assert queries(3, 12) == few


def test_retry_and_dismiss_with_counts(admin_client: Client) -> None:
    channel = a_channel()
    failed, forgotten, done = an_event(channel, 1), an_event(channel, 2, payload=None), an_event(channel, 3, state="processed")
    assert "1 event is processed again" in act(admin_client, "retry", failed, forgotten, done)
    assert "1 event dismissed" in act(admin_client, "dismiss", forgotten, done)
    assert list(InboundEvent.objects.order_by("pk").values_list("state", flat=True)) == ["new", "dismissed", "processed"]


def test_readers_decide_nothing_and_nobody_writes(admin_client: Client, client: Client) -> None:
    event = an_event(a_channel())
    for name, args in (("add", ()), ("delete", (event.pk,))):
        assert admin_client.get(reverse(f"admin:channels_inboundevent_{name}", args=args)).status_code == 403
    reader = a_manager()
    reader.user_permissions.set(reader.user_permissions.filter(codename__startswith="view_"))
    client.force_login(reader)
    act(client, "dismiss", event)
    event.refresh_from_db()
    assert event.state == "failed"


def test_foreign_events_stay_hidden(client: Client) -> None:
    event = an_event(a_channel(owner=a_manager()))
    client.force_login(a_manager())
    assert not client.get(reverse(LIST)).context["cl"].result_list
    act(client, "dismiss", event)
    event.refresh_from_db()
    assert event.state == "failed"


@pytest.mark.parametrize(("payload", "shown"), [(b'{"a":1}', '{\n  "a": 1\n}'), (b"plain", "plain"), (b"\xff", "\ufffd")])
def test_anything_can_be_read(payload: bytes, shown: str) -> None:
    assert pretty(payload) == shown
