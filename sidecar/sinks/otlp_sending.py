"""Between us and opentelemetry's exporters: a bounded queue, one thread, and what the exporters say meanwhile.

An export takes as long as the collector pleases, up to a limit; what comes meanwhile waits, the oldest goes when there
is no room, and whoever hands it over never waits.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Generic, Protocol, TypeVar

log = logging.getLogger(__name__)

THREAD = "otlp-"
"""The name of every sending thread begins so, and ends with what it sends."""

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
        """Whether every one of them took it."""
        if not self._made:
            self._made = self._make()
            if self._closed:  # while they were made
                self._shut_down()
        return all([each.export(data).name == "SUCCESS" for each in self._made])

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
        what: The signal, as the log and the thread call it: `metrics`.
        max_waiting: On overflow the oldest go.
        max_batch: A batch is sent when so many wait, or `delay_s` after the first of it.
        delay_s: At most `threading.TIMEOUT_MAX`.

    Attributes:
        delivered: What the sender took.
        dropped: What never was sent: there was no room, or the time to close was over.
        failed: What was sent, and not taken.
        last_error: Why, the last time; empty before the first.
    """

    def __init__(
        self, sender: Sender[T], *, what: str, max_waiting: int = 1, max_batch: int = 1, delay_s: float = 0.0
    ) -> None:
        self.delivered = self.dropped = self.failed = 0
        self.last_error = ""
        self._failing = False
        self._what = what
        self._bounds = (max_waiting, max_batch, delay_s)
        self._waiting: deque[T] = deque()
        self._closing = False
        self._turn = threading.Condition()
        self._sender = sender
        self._thread = threading.Thread(target=self._run, name=f"{THREAD}{what}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """What waits to be sent."""
        return len(self._waiting)

    def put(self, item: T) -> None:
        """Queue it, in place of the oldest that waits if there is no room."""
        with self._turn:
            if self._closing:
                self.dropped += 1
                return
            if len(self._waiting) == self._bounds[0]:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append(item)
            self._turn.notify()

    def close(self, timeout_s: float) -> None:
        """Send what waits; what is not sent within `timeout_s` is given up."""
        with self._turn:
            self._closing = True
            self._turn.notify()
        self._thread.join(timeout_s)
        late = self._thread.is_alive()
        # Before the exporters are shut down, so that nothing more is sent through them.
        with self._turn:
            self.dropped += len(self._waiting)
            self._waiting.clear()
        if late:
            log.warning("%s export: not done within %g s of closing, given up", self._what, timeout_s)
            self._sender.close()

    def _run(self) -> None:
        with Words() as words:
            while batch := self._take():
                words.first = ""
                try:
                    # Of a message that it said a moment ago an exporter may spare us the repetition.
                    silence = self.last_error or "the exporter did not say why"
                    error = "" if self._sender.send(batch) else words.first or silence
                except Exception as unexpected:  # noqa: BLE001 - the exporters' own mistakes; the next may do better
                    error = repr(unexpected)
                self._count(len(batch), error)
            self._sender.close()

    def _take(self) -> list[T]:
        """The oldest that wait, when they make a batch or have waited long enough; empty at the end."""
        _, max_batch, delay_s = self._bounds
        with self._turn:
            self._turn.wait_for(lambda: self._waiting or self._closing)
            self._turn.wait_for(lambda: len(self._waiting) >= max_batch or self._closing, delay_s)
            return [self._waiting.popleft() for _ in range(min(max_batch, len(self._waiting)))]

    def _count(self, items: int, error: str) -> None:
        """A change is worth a line in the log, a state is not."""
        if error and not self._failing:
            log.warning("%s export fails: %s", self._what, error)
        elif self._failing and not error:
            log.info("%s export works again", self._what)
        self._failing = bool(error)
        if error:
            self.last_error = error
            self.failed += items
        else:
            self.delivered += items


class Words(logging.Handler):
    """Takes what opentelemetry says, every retry of every export, off the log; keeps the first words of one export.

    Each thread that exports enters one of its own, and keeps what is said in that thread.
    """

    _last = threading.Lock()

    def __init__(self) -> None:
        super().__init__()
        self.first = ""
        self._from = logging.getLogger("opentelemetry")
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it, if it is the first of this thread."""
        if threading.get_ident() == self._thread:
            self.first = self.first or record.getMessage()

    def __enter__(self) -> "Words":
        with self._last:
            self._from.addHandler(self)
            self._from.propagate = False
        return self

    def __exit__(self, *_: object) -> None:
        with self._last:
            self._from.removeHandler(self)
            self._from.propagate = not any(isinstance(each, Words) for each in self._from.handlers)
