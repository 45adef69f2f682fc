"""How many threads of one process may be busy with the same channel: a provider that hangs must not hold them all.

Nobody waits in a thread for a place: the work is remembered here, and whoever is done on that channel goes on with it. What
is remembered dies with the process; the sweeper finds the rows.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from types import TracebackType


class Bulkhead:
    """Places on each channel, at most `most` at a time. Safe to use from any thread."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._lock = threading.Lock()
        self._busy: defaultdict[int, int] = defaultdict(int)
        self._waiting: defaultdict[int, dict[int, None]] = defaultdict(dict)

    def place(self) -> Place:
        """The place of one thread, for a `with` statement; it is taken when the channel is known."""
        return Place(self)

    def _take(self, channel_id: int, waiting: int | None) -> bool:
        with self._lock:
            if self._busy[channel_id] < self.most:
                self._busy[channel_id] += 1
                return True
            if waiting is not None:
                self._waiting[channel_id][waiting] = None
            return False

    def _next(self, channel_id: int) -> int | None:
        """What waits longest, or None: then the place is free."""
        with self._lock:
            waiting = self._waiting[channel_id]
            if waiting:
                conversation_id = next(iter(waiting))
                del waiting[conversation_id]
                return conversation_id
            self._free(channel_id)
            return None

    def _leave(self, channel_id: int) -> list[int]:
        with self._lock:
            self._free(channel_id)
            return list(self._waiting.pop(channel_id, ()))

    def _free(self, channel_id: int) -> None:
        self._busy[channel_id] -= 1
        if not self._busy[channel_id]:
            self._busy.pop(channel_id)
            self._waiting.pop(channel_id, None)


class Place:
    """One thread's place: nowhere at first, then on one channel until it is left."""

    def __init__(self, bulkhead: Bulkhead) -> None:
        self._bulkhead = bulkhead
        self._channel: int | None = None

    def __enter__(self) -> Place:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.leave()

    def take(self, channel_id: int, waiting: int | None = None) -> bool:
        """Take a place on the channel, if there is one. `waiting` names the conversation that waits for it otherwise."""
        if self._channel is None and self._bulkhead._take(channel_id, waiting):
            self._channel = channel_id
        return self._channel is not None

    def next(self) -> int | None:
        """The conversation that has waited longest for this place; None, and the place is left, where none has."""
        if self._channel is None:
            return None
        conversation_id = self._bulkhead._next(self._channel)
        if conversation_id is None:
            self._channel = None
        return conversation_id

    def leave(self) -> list[int]:
        """Leave early. Returns the conversations that still wait and that somebody else has to take care of."""
        if self._channel is None:
            return []
        channel_id, self._channel = self._channel, None
        return self._bulkhead._leave(channel_id)
