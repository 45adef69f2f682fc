"""A company whose customer fell silent, for tests of follow-ups."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from conversations.models import Message
from conversations.tasks import sweep
from sales import follow_ups
from sales.models import FollowUp, Touch
from tests.conftest import Broker, Company
from tests.sales.database_clock import Clock

ALMATY = ZoneInfo("Asia/Almaty")
#: A Monday in a month without public holidays.
MONDAY = datetime(2027, 6, 7, 12, 0, tzinfo=ALMATY)


class World:
    """The company, its clock and its broker."""

    def __init__(self, company: Company, broker: Broker, clock: Clock) -> None:
        self.company, self.broker, self.clock = company, broker, clock

    def says(self, text: str, **kwargs: Any) -> None:
        """The customer writes and is answered."""
        self.company.says(text, at=self.clock.now(), **kwargs)
        self.broker.run()

    def silent(self, text: str = "Здравствуйте!", *, at: datetime = MONDAY) -> FollowUp:
        """A customer who wrote at this time, was answered, and has been silent for twenty minutes: followed up."""
        self.clock.set(at)
        self.says(text)
        self.clock.set(at + timedelta(minutes=20))
        assert follow_ups.plan() == 1
        return FollowUp.objects.latest("id")

    def touch(self, number: int) -> Touch:
        return Touch.objects.order_by("-follow_up").get(follow_up=FollowUp.objects.latest("id"), number=number)

    def to(self, number: int) -> Touch:
        """The clock stands a second after the planned time of this touch."""
        touch = self.touch(number)
        self.clock.set(touch.planned_at + timedelta(seconds=1))
        return touch

    def make(self, number: int) -> int:
        """The time of this touch has come: it is made and everything that follows from it. Returns how many were made."""
        self.to(number)
        made = follow_ups.fire()
        self.broker.run()
        return made

    def sweep(self, after: timedelta = timedelta(seconds=40)) -> None:
        """Some time passes, and the sweeper brings back what was lost."""
        self.clock.pass_by(after)
        sweep()
        self.broker.run()

    def sent(self) -> list[Message]:
        """The touches that left."""
        return [m for m in self.company.sent() if m.cycle is not None and m.state == Message.State.SENT]
