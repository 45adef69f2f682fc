"""The load: who writes what and when, decided by a seed beforehand, and the thread that plays it.

Each message carries a token of its own, `#m123`, by which its answer is known in the provider's record.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.rehearsal.stack import call

from .names import Way

PHRASES = (
    "Здравствуйте! Расскажите про кофемашины", "А доставка у вас есть?", "Хочу узнать про гарантию", "Нам нужна машина в офис",
    "Какие есть модели?", "Подскажите по обслуживанию", "Фильтры у вас продаются?", "А зёрна тоже у вас можно взять",
)  # fmt: skip
WEBHOOK_TRIES = 3
#: A manager's message cannot be sent while the web process is away: it is tried so often, a second apart.
MANAGER_TRIES = 20
#: A manager takes over at any moment up to so long after the customer's words, in seconds.
LATEST_TAKEOVER = 3.0


@dataclass(frozen=True, slots=True)
class Mischief:
    """How often what goes wrong at a gateway every day: shares of messages, of bursts, and of conversations."""

    voice: float = 0.08
    duplicated: float = 0.08
    delayed: float = 0.05
    dropped: float = 0.0
    reordered: float = 0.1
    taken_over: float = 0.15
    burst: tuple[int, float] | None = None
    """Every burst has so many messages within so many seconds."""


@dataclass(frozen=True, slots=True)
class Said:
    """One message. `posts` are the delays of the copies of its webhook after it, in seconds; empty: only a poll finds it."""

    token: str
    id: str
    text: str
    voice: bool
    after: float
    posts: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Burst:
    """What a customer writes in one go, `at` seconds after the beginning."""

    at: float
    phone: str
    messages: tuple[Said, ...]


@dataclass(frozen=True, slots=True)
class Takeover:
    """A manager writes to a customer: on the phone of the business, or through the API."""

    at: float
    phone: str
    how: Way


Action = Burst | Takeover


class Numbers:
    """Tokens, message ids and phones that are used once in a whole run."""

    def __init__(self, seed: int) -> None:
        self._messages, self._phones, self._seed = itertools.count(1), itertools.count(77_010_000_001), seed

    def phone(self) -> str:
        return str(next(self._phones))

    def message(self) -> tuple[str, str]:
        """A token and an id such as WhatsApp gives."""
        number = next(self._messages)
        return f"#m{number}", f"3EB0C{self._seed % 4096:03X}{number:012X}"


def plan(
    random: Random, numbers: Numbers, conversations: int, seconds: float, mischief: Mischief, ways: Sequence[Way] = ("phone", "api")
) -> list[Action]:
    """What happens within `seconds`, in order of time. `ways` are those in which managers take over."""
    actions: list[Action] = []
    for _ in range(conversations):
        phone = numbers.phone()
        bursts = list(_bursts(random, numbers, phone, seconds, mischief))
        actions += bursts
        if random.random() < mischief.taken_over:
            after = random.choice(bursts)
            at = after.at + max(said.after for said in after.messages) + random.uniform(0.0, LATEST_TAKEOVER)
            actions.append(Takeover(at, phone, random.choice(ways)))
    return sorted(actions, key=lambda action: action.at)


def _bursts(random: Random, numbers: Numbers, phone: str, seconds: float, mischief: Mischief) -> Iterator[Burst]:
    starts = sorted(random.uniform(0.0, seconds) for _ in range(random.choice((1, 1, 2, 3))))
    for at in starts:
        count, after, messages = random.choice((1, 1, 1, 2, 2, 3, 4, 5)), 0.0, []
        longest = 0.6
        if mischief.burst is not None:
            count = mischief.burst[0]
            longest = 2 * mischief.burst[1] / count
        for _ in range(count):
            token, identifier = numbers.message()
            text = f"{random.choice(PHRASES)} {token}"
            messages.append(Said(token, identifier, text, random.random() < mischief.voice, after, _posts(random, mischief)))
            after += random.uniform(0.05, longest)
        if count > 1 and random.random() < mischief.reordered:
            messages = _reordered(messages)
        yield Burst(at, phone, tuple(messages))


def _posts(random: Random, mischief: Mischief) -> tuple[float, ...]:
    if random.random() < mischief.dropped:
        return ()
    first = random.uniform(0.5, 2.5) if random.random() < mischief.delayed else 0.0
    if random.random() < mischief.duplicated:
        return tuple(first + random.choice((0.0, 0.0, random.uniform(0.0, 1.5))) for _ in range(10))
    return (first,)


def _reordered(messages: Sequence[Said]) -> list[Said]:
    """The webhooks of the burst come in the opposite order."""
    last = messages[-1].after
    return [
        Said(m.token, m.id, m.text, m.voice, m.after, tuple(post + 2 * (last - m.after) + 0.1 for post in m.posts))
        for m in messages
    ]


@dataclass
class Player:
    """Plays a plan on the fake provider and the product's API until all of it was played."""

    gateway_url: str
    api: Any
    """Called with a phone and a text: a manager's message through the product."""
    said: list[tuple[str, Said]] = field(default_factory=list)
    """What was really said so far: phone and message."""
    taken_over: list[Takeover] = field(default_factory=list)

    def start(self, actions: Sequence[Action]) -> None:
        self._managers = ThreadPoolExecutor(8, "manager")
        self._thread = threading.Thread(target=self._play, args=(list(actions),), name="load", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Until all was said, and what managers have begun to write is sent or given up."""
        self._thread.join()
        self._managers.shutdown(wait=True)

    def _play(self, actions: Sequence[Action]) -> None:
        begun = time.monotonic()
        for action in actions:
            time.sleep(max(0.0, begun + action.at - time.monotonic()))
            if isinstance(action, Burst):
                self._say(action)
            else:
                self.taken_over.append(action)
                self._managers.submit(self._take_over, action)

    def _say(self, burst: Burst) -> None:
        messages = [
            {"id": m.id, "text": m.text, "voice": m.voice, "after": m.after, "posts": m.posts} for m in burst.messages
        ]
        self.said += [(burst.phone, message) for message in burst.messages]
        call("POST", f"{self.gateway_url}/_sandbox/burst", {"phone": burst.phone, "messages": messages})

    def _take_over(self, takeover: Takeover) -> None:
        text = "Здравствуйте, это менеджер. Отвечу Вам сам."
        if takeover.how == "phone":
            call("POST", f"{self.gateway_url}/_sandbox/owner", {"phone": takeover.phone, "text": text})
            return
        for _ in range(MANAGER_TRIES):
            if self.api(takeover.phone, text):
                return
            time.sleep(1)
