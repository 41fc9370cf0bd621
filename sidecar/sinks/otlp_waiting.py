"""What waits to be exported: a queue of bounded length between who fills it and one thread that empties it."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Bounds(NamedTuple):
    """How much waits, and for how long.

    Args:
        max_waiting: On overflow the oldest go.
        max_batch: A batch is taken when so many wait, or `delay_s` after the first of it.
        delay_s: At most `threading.TIMEOUT_MAX`.
        again_s: What a collector that is away did not take is sent again after such a pause, later after longer ones;
            None where it is not, as what comes later tells it too.
    """

    max_waiting: int = 1
    max_batch: int = 1
    delay_s: float = 0.0
    again_s: float | None = None


LATEST = Bounds()
"""Only the latest counts."""


class Filled(NamedTuple, Generic[T]):
    """A queue that others fill and bound; what is put back into it may be beyond that bound.

    Args:
        waiting: To its right they add; whoever does so rings.
        dropped: How many had no room.
    """

    waiting: deque[T]
    dropped: Callable[[], int]


class Waiting(Generic[T]):
    """The queue. All but `take` and `put_back` never wait, and are for any thread.

    Args:
        filled: To be emptied instead of a queue of our own.

    Attributes:
        bounds: Its own.
        closing: Nothing is put any more, and whoever takes need not wait.
    """

    def __init__(self, bounds: Bounds, filled: Filled[T] | None) -> None:
        self.bounds = bounds
        self.closing = False
        self._items, self._not_admitted = filled or Filled[T](deque(), lambda: 0)
        self._most = bounds.max_waiting if filled is None else None
        self._given_up = 0
        self._turn = threading.Condition()

    def __len__(self) -> int:
        return len(self._items)

    @property
    def dropped(self) -> int:
        """What there was no room for, or no time."""
        return self._given_up + self._not_admitted()

    def put(self, item: T) -> None:
        """Add it, in place of the oldest if there is no room; when closing it is dropped."""
        with self._turn:
            if self.closing:
                self._given_up += 1
                return
            self._items.append(item)
            self._bound()
            self._turn.notify()

    def ring(self) -> None:
        """Say that something waits, or enough for a batch, in a queue that others fill."""
        with self._turn:
            self._turn.notify()

    def take(self, *, at_once: bool) -> list[T]:
        """The oldest, when there are any that make a batch or have waited long enough; empty at the end.

        Args:
            at_once: They have waited before.
        """
        _, max_batch, delay_s, _ = self.bounds
        with self._turn:
            self._turn.wait_for(lambda: self._items or self.closing)
            if not at_once:
                self._turn.wait_for(lambda: len(self._items) >= max_batch or self.closing, delay_s)
            return [self._items.popleft() for _ in range(min(max_batch, len(self._items)))]

    def put_back(self, batch: Sequence[T], pause_s: float) -> None:
        """Have it wait again, before all others: so long, or until closing. Of what has no room the oldest go."""
        with self._turn:
            self._items.extendleft(reversed(batch))
            self._bound()
            self._turn.wait_for(lambda: self.closing, pause_s)

    def close(self) -> None:
        """Put nothing any more."""
        with self._turn:
            self.closing = True
            self._turn.notify()

    def give_up(self) -> int:
        """Drop all; how many there were."""
        with self._turn:
            return self._shorten(0)

    def _bound(self) -> None:
        if self._most is not None:
            self._shorten(self._most)

    def _shorten(self, most: int) -> int:
        lost = 0
        while len(self._items) > most:
            self._items.popleft()
            lost += 1
        self._given_up += lost
        return lost
