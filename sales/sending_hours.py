"""When a customer may be written to unasked: the assistant's working hours, by the clock on the customer's wall."""

from __future__ import annotations

from bisect import bisect_left
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from .models import Assistant
from .working_time import NeverOpen, WorkingTime

#: What was moved to an opening hour is spread over so many seconds after it, lest all of it leave at the same minute.
SPREAD_SECONDS = 20 * 60
#: Keys that follow each other land far apart.
STRIDE = 397
#: Where nobody ever works, what was planned waits day by day for somebody to set hours.
WAIT = timedelta(days=1)
MINUTE = timedelta(minutes=1)


class SendingHours:
    """Sending hours for one customer. Instants are aware; those given back by `opening` and `closing` are in UTC."""

    def __init__(self, assistant: Assistant, customer_zone: str = "") -> None:
        """`customer_zone` is an IANA name, empty where it is not known: then the assistant's zone counts."""
        zone = ZoneInfo(customer_zone or assistant.time_zone)
        self._time = WorkingTime(hours=assistant.hours, zone=zone, country=assistant.country)

    def is_open(self, at: datetime) -> bool:
        """Whether a message may leave at this time."""
        return self._time.is_open(at)

    def opening(self, at: datetime, key: int) -> datetime:
        """`at` itself within sending hours, otherwise the next opening and up to 20 minutes more, always the same for a key."""
        try:
            found = self._time.next_open(at)
        except NeverOpen:
            return at.astimezone(UTC) + WAIT
        if found == at:
            return at.astimezone(UTC)
        spread = found + timedelta(seconds=key * STRIDE % SPREAD_SECONDS)
        return spread if self.is_open(spread) else found

    def closing(self, at: datetime) -> datetime:
        """When the hours that `at` lies in are over. Raises ValueError outside of them."""
        if not self.is_open(at):
            raise ValueError("Nothing may be sent at this time.")
        start = at.astimezone(UTC).replace(second=0, microsecond=0)
        local = start.astimezone(self._time.zone)
        midnight = datetime.combine(local.date() + timedelta(days=1), time(), tzinfo=self._time.zone).astimezone(UTC)
        # Hours are whole minutes and end on the day on which they began.
        minutes = range(int((midnight - start) / MINUTE) + 1)
        return start + bisect_left(minutes, True, key=lambda n: not self.is_open(start + n * MINUTE)) * MINUTE
