"""`script/bench`: how fast the road is, what it costs, and where it ends, beside a bare Celery chain of as many hops.

All times are milliseconds; *acknowledge* is the webhook's answer, *end to end* runs from the webhook's post to the
acceptance of the reply by the fake provider, whose own record is what is counted.
"""

from .command import main
from .ground import COMPANY, subscribe, webhook_address
from .writers import QUESTIONS, Bench

__all__ = ["COMPANY", "QUESTIONS", "Bench", "main", "subscribe", "webhook_address"]
