"""The same product on RabbitMQ, with nothing changed but the broker's URL."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.rehearsal import rabbitmq
from tests.rehearsal.bench import COMPANY, webhook_address
from tests.rehearsal.stack import Stack, call, wait_for

pytestmark = [
    pytest.mark.stack,
    pytest.mark.rabbitmq,
    pytest.mark.skipif(bool(rabbitmq.missing()), reason=rabbitmq.missing() or "-"),
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder: Path = tmp_path_factory.mktemp("rabbit")
    with rabbitmq.running(folder / "broker") as url, Stack(
        folder, COMPANY, processes=("web", "messages", "answers", "beat"), environment={"BROKER_URL": url, "HOLD": "0.5"}
    ) as running:
        yield running


def subscribe(stack: Stack) -> None:
    call("POST", f"{stack.gateway_url}/_sandbox/profile", {"webhook_url": webhook_address(stack)})


def ledger(stack: Stack) -> list[dict[str, Any]]:
    return list(call("GET", f"{stack.gateway_url}/_sandbox/ledger"))


def test_a_message_is_answered_once_and_a_burst_once(stack: Stack) -> None:
    subscribe(stack)
    for phone, texts in (("77010000001", ["Здравствуйте"]), ("77010000002", ["Есть", "доставка", "по Алматы?"])):
        for text in texts:
            call("POST", f"{stack.gateway_url}/_sandbox/message", {"phone": phone, "text": text})
    wait_for("two replies", lambda: len(ledger(stack)) >= 2, 30)
    time.sleep(2)  # what would come twice comes now
    assert sorted(str(entry["recipient"])[:11] for entry in ledger(stack)) == ["77010000001", "77010000002"]
    assert stack.errors() == []


def test_the_queues_are_quorum_queues_with_the_limits_of_the_specification(stack: Stack) -> None:
    from kombu import Connection, Queue

    from config.celery_settings import settings_for

    declared = {queue.name: queue for queue in settings_for(stack.env["BROKER_URL"], polling_interval=5)["task_queues"]}
    with Connection(stack.env["BROKER_URL"]) as connection:
        channel = connection.channel()
        for queue in declared.values():
            queue(channel).queue_declare()  # the same arguments as the workers', or the broker refuses
        with pytest.raises(connection.channel_errors):
            Queue("incoming_messages", durable=True)(connection.channel()).queue_declare()


def test_a_full_queue_refuses_in_a_word_that_publishers_know(stack: Stack) -> None:
    from kombu import Connection, Exchange, Queue
    from kombu.exceptions import OperationalError

    from config.celery_settings import settings_for

    url = stack.env["BROKER_URL"]
    conf = settings_for(url, polling_interval=5)
    arguments = conf["task_queues"][0].queue_arguments | {"x-max-length": 1}
    with Connection(url, transport_options=conf["broker_transport_options"]) as connection:
        full = Queue("full", Exchange("full", "topic"), routing_key="full", queue_arguments=arguments)(connection.channel())
        full.declare()
        how = {"retry": conf["task_publish_retry"], "retry_policy": conf["task_publish_retry_policy"]}
        with pytest.raises(OperationalError):
            for _ in range(10):
                connection.Producer().publish({}, exchange=full.exchange, routing_key="full", **how)


def test_beat_publishes_again_when_its_connection_was_lost(stack: Stack) -> None:
    from celery import Celery
    from celery.beat import Scheduler

    from config.celery_settings import settings_for

    app = Celery(set_as_current=False)
    app.conf.update(settings_for(stack.env["BROKER_URL"], polling_interval=5))
    scheduler = Scheduler(app, lazy=True)
    tick = scheduler.Entry(name="pulse", task="config.pulse", schedule=60.0, options={"queue": "maintenance"}, app=app)
    for _ in range(2):
        scheduler.apply_async(tick, producer=scheduler.producer, advance=False)
        scheduler.producer.connection.connection.transport.sock.shutdown(socket.SHUT_RDWR)
    scheduler.apply_async(tick, producer=scheduler.producer, advance=False)
    scheduler.connection.release()
