"""The bare-Celery baseline: a chain of tasks that each read one row and write one row, and do nothing else.

What a pipeline of as many hops costs before it does anything of use, on the same broker, database and machine.
"""

from __future__ import annotations

import os
import struct
import time
from typing import Any

import django
from celery import Celery
from celery.signals import task_prerun
from django.apps import apps
from kombu import Queue

HOPS = 3
OUT = os.environ.get("BASELINE_OUT", "")

if not apps.ready:
    django.setup()

from django.db import close_old_connections, connection, models  # noqa: E402


class Job(models.Model):
    """One job of the baseline; its table is made by the benchmark and dropped after it."""

    state = models.SmallIntegerField(default=0)
    payload = models.JSONField(default=dict)
    updated = models.DateTimeField(auto_now=True)

    class Meta:
        app_label = "saudager"
        db_table = "bench_job"
        managed = False


app = Celery("baseline", broker=os.environ.get("BROKER_URL") or os.environ["REDIS_URL"])
app.conf.update(
    task_ignore_result=True, task_acks_late=True, worker_prefetch_multiplier=4, worker_send_task_events=False,
    task_default_queue="baseline", task_queues=[Queue("baseline")], broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
)  # fmt: skip
# As in the product: reuse the connection, drop it when it broke.
app.conf["CELERY_DB_REUSE_MAX"] = 10**9
task_prerun.connect(lambda **_: close_old_connections(), weak=False)


def create_table() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS bench_job")
        cursor.execute(
            "CREATE TABLE bench_job (id bigserial PRIMARY KEY, state smallint NOT NULL, payload jsonb NOT NULL,"
            " updated timestamptz NOT NULL)"
        )


def drop_table() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS bench_job")


def _record(started: float) -> None:
    """One small appending write an event: atomic, and the same for every broker."""
    descriptor = os.open(OUT, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, struct.pack("<dd", started, time.time()))
    os.close(descriptor)


def _hop(number: int) -> Any:
    def run(job_id: int, started: float) -> None:
        job = Job.objects.only("id", "state").get(pk=job_id)
        Job.objects.filter(pk=job_id, state=job.state).update(state=number)
        if number == HOPS:
            _record(started)
        else:
            hops[number].apply_async((job_id, started))

    return app.task(name=f"baseline.hop{number}")(run)


hops = [_hop(number) for number in range(1, HOPS + 1)]
