"""Redis, the broker, and who works: queues and their readers, workers, beat."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import redis
from celery import current_app
from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from kombu.exceptions import OperationalError

from config import pulse
from foundation.queues import queue_sizes

from .findings import Finding, fail, ok, warn

OLDEST_REDIS = (6, 2)
#: Of `maxmemory`.
FULL = 0.9
#: Tasks in one queue that are more than a burst.
MANY = 1_000
#: Seconds in which every worker answers.
PATIENCE = 2.0


def look() -> Iterator[Finding]:
    yield from _redis()
    sizes = queue_sizes()
    if all(size is None for size in sizes.values()):
        yield fail(
            _("broker"),
            _("It cannot be reached, or has none of the queues."),
            _("Start it, and compare BROKER_URL (or REDIS_URL) with its address and password. Nothing is lost meanwhile."),
        )
        return
    yield _queues({name: size or 0 for name, size in sizes.items()})
    yield _workers()
    yield from _signs()


def _redis() -> Iterator[Finding]:
    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2) as client:
            info: dict[str, Any] = client.info()
    except redis.RedisError as error:
        told = _("It cannot be reached (%(error)s).") % {"error": type(error).__name__}
        yield fail("Redis", told, _("Start Redis, and compare REDIS_URL with its address and password."))
        return
    version, limit = str(info.get("redis_version", "")), int(info.get("maxmemory", 0))
    policy, used = str(info.get("maxmemory_policy", "noeviction")), int(info.get("used_memory", 0))
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < OLDEST_REDIS:
        yield fail("Redis", _("Redis %(version)s is too old.") % {"version": version}, _("Install Redis 6.2 or newer."))
    elif limit and policy != "noeviction":
        told = _("maxmemory-policy is %(policy)s: a full Redis would throw waiting tasks away.") % {"policy": policy}
        yield warn("Redis", told, _("Set it in redis.conf: maxmemory-policy noeviction"))
    elif limit and used > FULL * limit:
        told = _("%(percent)d %% of its memory is used.") % {"percent": 100 * used // limit}
        yield warn("Redis", told, _("Raise maxmemory; a full Redis takes no more tasks."))
    else:
        yield ok("Redis", version)


def _queues(sizes: dict[str, int]) -> Finding:
    crowded = ", ".join(f"{name} {size}" for name, size in sizes.items() if size > MANY)
    if crowded:
        told = _("Many tasks wait: %(queues)s.") % {"queues": crowded}
        return warn(_("queues"), told, _("See in Flower whether the workers fail or are too few: docs/scaling.md."))
    waiting = sum(sizes.values())
    return ok(_("queues"), ngettext("%(n)d task waits", "%(n)d tasks wait", waiting) % {"n": waiting})


def _workers() -> Finding:
    names = workers()
    if not names:
        return fail(
            _("workers"),
            _("No worker answers: messages are stored, and nobody works on them."),
            _("Start the lines “messages”, “answers” and “files” of the Procfile (script/server starts all of them)."),
        )
    return ok(_("workers"), ", ".join(names))


def workers() -> list[str]:
    """The names of the workers that answer at this moment."""
    try:
        answers = current_app.control.ping(timeout=PATIENCE) or []
    except (OperationalError, OSError, redis.RedisError):
        return []
    return sorted(name for answer in answers for name in answer)


def _signs() -> Iterator[Finding]:
    """By the signs of life that beat puts into each queue: without beat they tell nothing of the queues."""
    pulses = pulse.read()
    if pulses is None:
        return
    if not pulses.running_beats:
        yield fail(
            "beat",
            _("It does not tick: nothing is polled, planned or swept up."),
            _("Start the line “beat” of the Procfile, once."),
        )
        return
    if pulses.running_beats > 1:
        told = ngettext("%(n)d beat runs", "%(n)d beats run", pulses.running_beats) % {"n": pulses.running_beats}
        yield warn("beat", told, _("Stop all but one; nothing happens twice for it."))
    else:
        yield ok("beat", _("ticks"))
    unread = [name for name, sign in pulses.queues.items() if sign is None or sign.silent]
    if unread:
        yield fail(
            _("queues"),
            _("Nobody reads: %(queues)s.") % {"queues": ", ".join(unread)},
            _("Start the worker whose line of the Procfile names the queue after -Q. After a start it takes a minute to show."),
        )
