"""Between us and opentelemetry's exporters: a bounded queue, one thread, and what the exporters say meanwhile.

An export takes as long as the collector pleases, up to a limit; what comes meanwhile waits, the oldest goes when there
is no room, and whoever hands it over never waits.

What a collector that is away did not take waits again, before all that came later. What it refused is lost: sent again
it would be refused again, and nothing behind it would ever be sent.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Generic, Protocol, TypeVar

from sidecar.errors import DeliveryError
from sidecar.sinks.otlp_waiting import LATEST, Bounds, Filled, Waiting
from sidecar.sinks.otlp_words import Words, mends, unmuted

log = logging.getLogger(__name__)

THREAD = "otlp-"
"""The name of every sending thread begins so, and ends with what it sends."""

AGAIN_S = 1.0
"""Between an attempt that failed and the next: exporters take their time before, but not where that is short."""

DOUBLINGS = 3
"""Of that pause, while the collector stays away."""

SILENCE = "the exporter did not say why"

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class Exporter(Protocol[T_contra]):
    """One of opentelemetry's exporters, of whatever signal."""

    def export(self, data: T_contra, /) -> Enum:
        """The result, `SUCCESS` or `FAILURE`, after as many attempts as its time allows."""
        ...

    def shutdown(self) -> None:
        """End the attempts."""
        ...


class Exporters(Generic[T]):
    """Opentelemetry's exporters of one signal, made when there is something to export: to import them takes 0.3 s."""

    def __init__(self, make: Callable[[], Sequence[Exporter[T]]]) -> None:
        self._make = make
        self._made: Sequence[Exporter[T]] = ()
        self._closed = False

    def export(self, data: T) -> bool:
        """Whether they took it.

        Raises:
            DeliveryError: Some did, and some did not: sent again, it would come twice to those that did.
        """
        if not self._made:
            self._made = self._make()
            unmuted()
            if self._closed:  # while they were made
                self._shut_down()
        taken = [each.export(data).name == "SUCCESS" for each in self._made]
        if any(taken) and not all(taken):
            raise DeliveryError("another exporter took it, so that it is not sent again")
        return all(taken)

    def close(self) -> None:
        """End retries, which else go on for as long as an export may take."""
        if not self._closed:
            self._closed = True
            self._shut_down()

    def _shut_down(self) -> None:
        for each in self._made:
            each.shutdown()


class Sender(Protocol[T_contra]):
    """Exports batches, on the thread of a Sending."""

    def send(self, batch: Sequence[T_contra]) -> bool:
        """Whether it was taken."""
        ...

    def close(self) -> None:
        """End what goes on; called from another thread, perhaps."""
        ...


class Sending(Generic[T]):
    """A bounded queue and a thread that hands what waits to a sender, in order.

    Args:
        name: As an outlet.
        what: The signal, as the log and the thread call it: `metrics`.
        bounds: Of the queue.
        filled: What is sent where others have queued it; see `Waiting`.

    Attributes:
        delivered: What the sender took.
        failed: What was refused.
        failing: Whether the latest attempt failed.
        last_error: Why, the last time; empty before the first.
    """

    def __init__(
        self,
        sender: Sender[T],
        *,
        name: str,
        what: str,
        bounds: Bounds = LATEST,
        filled: Filled[T] | None = None,
    ) -> None:
        self.name = name
        self.delivered = self.failed = 0
        self.failing = self._late = False
        self.last_error = ""
        self._what = what
        self._queue = Waiting(bounds, filled)
        self._attempts = 0
        self._overflow = _Overflow(what)
        self._sender = sender
        self._thread = threading.Thread(target=self._run, name=f"{THREAD}{what}", daemon=True)
        self.put, self.ring = self._queue.put, self._queue.ring
        self._thread.start()

    @property
    def waiting(self) -> int:
        """What waits to be sent."""
        return len(self._queue)

    @property
    def dropped(self) -> int:
        """What was given up: there was no room, or the time to close was over."""
        return self._queue.dropped

    def close(self, timeout_s: float) -> None:
        """Send what waits; what is not sent within `timeout_s`, or not taken then, is given up."""
        self._queue.close()
        self._thread.join(timeout_s)
        self._late = self._thread.is_alive()
        # Before the exporters are shut down, so that nothing more is sent through them.
        self._queue.give_up()
        if self._late:
            log.warning("%s export: not done within %g s of closing, given up", self._what, timeout_s)
            self._sender.close()

    def _run(self) -> None:
        with Words() as words:
            while batch := self._queue.take(at_once=self._attempts > 0):
                error, away = self._attempt(batch, words)
                self._settle(batch, error, away=away)
                if self._queue.bounds.again_s is not None and not self._queue.closing:
                    self._overflow.look(self.dropped, taken=not error)
            self._sender.close()

    def _attempt(self, batch: Sequence[T], words: Words) -> tuple[str, bool]:
        """Why it was not taken, empty where it was; and whether it may be later."""
        words.forget()
        try:
            if self._sender.send(batch):
                return "", False
        except Exception as unexpected:  # noqa: BLE001 - the exporters' own mistakes; the next may do better
            return repr(unexpected), mends(unexpected)
        return words.first or SILENCE, words.away

    def _settle(self, batch: Sequence[T], error: str, *, away: bool) -> None:
        """Count it, or keep it. A change is worth a line in the log, a state is not."""
        if error and not self.failing:
            log.warning("%s export fails: %s", self._what, error)
        elif self.failing and not error:
            log.info("%s export works again", self._what)
        self.failing, self.last_error = bool(error), error or self.last_error
        # What an exporter says that we have shut down tells nothing of the collector.
        kept = bool(error) and self._queue.bounds.again_s is not None and (away or self._late)
        self._attempts = self._attempts + 1 if kept else 0
        if kept:
            self._keep(batch)
        elif error:
            self.failed += len(batch)
        else:
            self.delivered += len(batch)

    def _keep(self, batch: Sequence[T]) -> None:
        """Have it wait again; not when closing, for who is away then has no time to come back."""
        pause_s = (self._queue.bounds.again_s or 0.0) * 2 ** min(self._attempts - 1, DOUBLINGS)
        closing = self._queue.closing
        self._queue.put_back(batch, pause_s)
        if closing and (lost := self._queue.give_up()) and not self._late:
            log.warning("%s export: %d given up when closing", self._what, lost)


class _Overflow:
    """Says that there is no room, once, and again when it has been over.

    On the thread that sends: said by whoever has no room for an event, it would be the next event.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._dropped = 0
        self._going_on = False

    def look(self, dropped: int, *, taken: bool) -> None:
        """See how many there are now, after an attempt that was taken or not."""
        grown = dropped > self._dropped
        if grown and not self._going_on:
            log.warning("%s export: no room for more, %d dropped so far", self._what, dropped)
        self._going_on = grown or (self._going_on and not taken)
        self._dropped = dropped
