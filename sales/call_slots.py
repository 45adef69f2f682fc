"""When a call may be: working hours, the managers' calls that are scheduled already, and how far ahead one plans.

Instants are aware; those that these functions find are in UTC. `now` is the database's clock (`foundation.db.now`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from itertools import groupby
from zoneinfo import ZoneInfo

from django.db import models
from django.utils.translation import gettext_lazy as _

from .assistants import Configuration
from .models import ScheduledCall
from .working_time import WorkingTime

#: Calls are agreed at most so many days ahead.
HORIZON_DAYS = 60
#: What we propose lies at least so far ahead: somebody has to see it and pick up the phone.
LEAD = timedelta(minutes=10)
#: So many free starts of one day are proposed, that there is room for other days.
PER_DAY = 4
#: No call takes longer: one that began before is over, which lets an index on the beginning find those that are not.
LONGEST = timedelta(days=1)


class Refusal(models.TextChoices):
    """Why a call cannot be at a wished time."""

    PAST = "past", _("it has passed already")
    CLOSED = "closed", _("it is outside working hours")
    DAY_OFF = "day_off", _("it is a day off")
    TAKEN = "taken", _("it is taken by another call")
    FAR = "far", _("it is too far ahead")
    NO_MANAGER = "no_manager", _("no manager takes calls")


def refusal(start: datetime, *, now: datetime, hours: WorkingTime) -> Refusal | None:
    """Why a call may not begin at `start`, whoever would make it; None where it may. Opening time is allowed, closing is not.

    Raises ValueError for a naive `start`.
    """
    if start <= now:
        return Refusal.PAST
    if start > now + timedelta(days=HORIZON_DAYS):
        return Refusal.FAR
    if hours.is_open(start):
        return None
    return Refusal.CLOSED if hours.is_working_day(_day(start, hours.zone)) else Refusal.DAY_OFF


def check(configured: Configuration, start: datetime, *, now: datetime, contact_id: int | None = None) -> Refusal | None:
    """As `refusal`, and whether a manager is free. The contact's own call does not stand in its own way."""
    refused = refusal(start, now=now, hours=configured.working_time)
    if refused is not None:
        return refused
    if not configured.managers:
        return Refusal.NO_MANAGER
    end = start + length(configured)
    return None if Diary(configured, start, end, contact_id).free_managers(start, end) else Refusal.TAKEN


def free(
    configured: Configuration, after: datetime, *, now: datetime, limit: int = 12, days: int = 14, contact_id: int | None = None
) -> list[datetime]:
    """Starts on the grid of the call's length after `after`, at which a manager is free, in order.

    At most PER_DAY of each day, spread over it, so that a few of them show several days.
    """
    chosen: list[datetime] = []
    zone = configured.working_time.zone
    starts = _open_starts(configured, max(after, _just_before(now + LEAD)), now=now, days=days, contact_id=contact_id)
    for _local_day, of_the_day in groupby(starts, lambda start: _day(start, zone)):
        if len(chosen) >= limit:
            break
        chosen += _spread(list(of_the_day), min(PER_DAY, limit - len(chosen)))
    return chosen


def nearest(configured: Configuration, wanted: datetime, *, now: datetime, contact_id: int | None = None) -> datetime | None:
    """The free start to propose in place of a refused one, if there is any up to the horizon.

    The closest one of the same day, else the first one of the days after it, else the last one before it.
    """
    zone = configured.working_time.zone
    wanted_day = _day(wanted, zone)
    same_day: list[datetime] = []
    before: datetime | None = None
    after = _just_before(now + LEAD)
    for start in _open_starts(configured, after, now=now, days=HORIZON_DAYS, contact_id=contact_id):
        day = _day(start, zone)
        if day < wanted_day:
            before = start
        elif day == wanted_day:
            same_day.append(start)
        elif same_day:
            break
        else:
            return start
    if same_day:
        return min(same_day, key=lambda start: (abs(start - wanted), start < wanted))
    return before


def length(configured: Configuration) -> timedelta:
    """How long a call takes."""
    return timedelta(minutes=configured.assistant.call_minutes)


class Diary:
    """The scheduled calls of an assistant's managers within a span, whichever assistant they were agreed by."""

    def __init__(self, configured: Configuration, since: datetime, until: datetime, contact_id: int | None = None) -> None:
        self.managers = sorted(configured.managers)
        self._busy: dict[int, list[tuple[datetime, datetime]]] = defaultdict(list)
        calls = ScheduledCall.objects.filter(
            manager__in=self.managers, status=ScheduledCall.Status.SCHEDULED, starts_at__lt=until, ends_at__gt=since,
            starts_at__gt=since - LONGEST,
        )  # fmt: skip
        if contact_id is not None:
            calls = calls.exclude(contact=contact_id, assistant=configured.assistant)
        for manager_id, starts_at, ends_at in calls.order_by().values_list("manager_id", "starts_at", "ends_at"):
            self._busy[manager_id].append((starts_at, ends_at))

    def free_managers(self, start: datetime, end: datetime) -> list[int]:
        """Who has no call between `start` and `end`, by id."""
        return [
            manager
            for manager in self.managers
            if not any(begun < end and over > start for begun, over in self._busy[manager])
        ]


def _open_starts(
    configured: Configuration, after: datetime, *, now: datetime, days: int, contact_id: int | None
) -> Iterator[datetime]:
    """Starts on the grid strictly after `after` at which a manager is free, up to the horizon."""
    if not configured.managers:
        return
    minutes, horizon = configured.assistant.call_minutes, now + timedelta(days=HORIZON_DAYS)
    diary = Diary(configured, after, min(after + timedelta(days=days), horizon) + length(configured), contact_id)
    for start in configured.working_time.starts(after, minutes=minutes, limit_days=days):
        if start > horizon:
            return
        if diary.free_managers(start, start + length(configured)):
            yield start


def _spread(starts: Sequence[datetime], count: int) -> list[datetime]:
    """`count` of them, the first and the last included, as evenly as it goes."""
    if len(starts) <= count:
        return list(starts)
    if count == 1:
        return [starts[0]]
    return [starts[round(n * (len(starts) - 1) / (count - 1))] for n in range(count)]


def _just_before(at: datetime) -> datetime:
    """For grids that lie strictly after an instant, where the instant itself will do."""
    return at - timedelta(microseconds=1)


def _day(at: datetime, zone: ZoneInfo) -> date:
    return at.astimezone(zone).date()
