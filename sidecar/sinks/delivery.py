"""Between the pipeline and a sink: a bounded queue and one thread, so that a slow sink costs captures, not requests."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

from sidecar.errors import DeliveryError
from sidecar.payload.awaiting import CELL_BYTES, EXCHANGE_BYTES, ROW_BYTES
from sidecar.ports import Gathering, RowSink, Sink
from sidecar.records import Capture, Rows

Item = TypeVar("Item")

log = logging.getLogger(__name__)

PAUSE_S = 0.05
"""The thread wakes when a batch waits, or this long after the first capture of one: every wake-up takes the
interpreter's lock from the event loop."""
BATCH_CAPTURES = 64
"""At about 5 µs each the sink holds the interpreter's lock for a third of a millisecond, then lets go in its I/O."""
BATCH_BYTES = 1 << 20
"""Bounds what a batch of large bodies adds to the queue's own bytes while it is being written."""
CAPTURE_BYTES = 1024
"""What a capture takes in memory beside its bodies: its object, its strings, a few headers."""
LOG_INTERVAL_S = 60.0
TEND_S = 1.0
"""Between two looks of a sink at what it has gathered, while nothing comes."""


def _size_bytes(capture: Capture) -> int:
    return len(capture.request.data) + len(capture.reply.data) + CAPTURE_BYTES


def _decoded_size_bytes(item: tuple[Capture, Rows]) -> int:
    capture, rows = item
    count = len(rows.asked)
    cells = count * (len(rows.features) + len(rows.predictions))
    bodies = len(capture.request.data) + len(capture.reply.data)
    return bodies + EXCHANGE_BYTES + ROW_BYTES * count + CELL_BYTES * cells


class _Queue(Generic[Item]):
    """Captures that wait, never more than `max_bytes` of them: on overflow the oldest go, counted in `dropped`."""

    def __init__(self, max_bytes: int, size_bytes: Callable[[Item], int]) -> None:
        self.max_bytes = max_bytes
        self._size_bytes = size_bytes
        self.bytes = 0
        self.dropped = 0
        self.closed = False
        self._items: deque[Item] = deque()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, items: Sequence[Item]) -> int:
        """Returns how many wait."""
        with self._lock:
            for item in items:
                size = self._size_bytes(item)
                if self.closed or size > self.max_bytes:
                    self.dropped += 1
                    continue
                while self.bytes + size > self.max_bytes:
                    self._pop()
                    self.dropped += 1
                self._items.append(item)
                self.bytes += size
            return len(self._items)

    def take(self) -> list[Item]:
        """The oldest that wait, as many as make a batch; empty when none wait."""
        with self._lock:
            batch: list[Item] = []
            left = self.bytes - BATCH_BYTES
            while self._items and len(batch) < BATCH_CAPTURES and self.bytes > left:
                batch.append(self._pop())
            return batch

    def drop_all(self) -> int:
        with self._lock:
            count = len(self._items)
            self._items.clear()
            self.bytes = 0
            self.dropped += count
            return count

    def _pop(self) -> Item:
        item = self._items.popleft()
        self.bytes -= self._size_bytes(item)
        return item


class _Log:
    """Says the first trouble at once and then one every `LOG_INTERVAL_S`: a dead disk does not fill the log."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._quiet_until_s = float("-inf")

    def trouble(self, name: str, text: str, failed: int, unexpected: Exception | None = None) -> None:
        now_s = self._clock()
        if now_s >= self._quiet_until_s:
            self._quiet_until_s = now_s + LOG_INTERVAL_S
            log.warning("sink %s: %s; %d captures lost so far", name, text, failed, exc_info=unexpected)


class _Delivery(Generic[Item]):
    """Hands what comes of captures to one sink, in order, on a thread of its own; what it does not take is counted.

    Args:
        sink: Called from the delivery's thread only, `close` included.
        export: The sink's.
        size_bytes: What one takes in memory.
        name: What the status page and the log call it.
        max_bytes: Bound of what waits; on overflow the oldest go.
        clock: Monotonic, in seconds; paces the log.

    Attributes:
        last_error: Why something was not taken, the last time; empty before the first.
    """

    def __init__(
        self,
        sink: Sink | RowSink,
        export: Callable[[Sequence[Item]], None],
        size_bytes: Callable[[Item], int],
        *,
        name: str,
        max_bytes: int,
        clock: Callable[[], float],
    ) -> None:
        self.name = name
        self.last_error = ""
        self._sink = sink
        self._export = export
        self._gathering = sink if isinstance(sink, Gathering) else None
        self._delivered = 0
        self._failed = 0
        self._queue = _Queue(max_bytes, size_bytes)
        self._log = _Log(clock)
        self._offered = threading.Event()
        self._ripe = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=f"sink-{name}", daemon=True)
        self._thread.start()

    @property
    def delivered(self) -> int:
        """Captures that the sink took; of one that gathers them, those that it has brought to where they go."""
        return self._gathering.taken if self._gathering else self._delivered

    @property
    def failed(self) -> int:
        """Captures that the sink was given and did not take, or lost."""
        return self._failed + (self._gathering.lost if self._gathering else 0)

    @property
    def dropped(self) -> int:
        """Captures that never reached the sink: the queue was full, or closed."""
        return self._queue.dropped

    @property
    def deleted_files(self) -> int:
        """Files that the sink has deleted to make room for later captures."""
        return self._sink.deleted_files

    @property
    def waiting(self) -> int:
        """Captures that wait for the sink, or in it."""
        return len(self._queue) + (self._gathering.gathered if self._gathering else 0)

    @property
    def waiting_bytes(self) -> int:
        """What waits."""
        return self._queue.bytes + (self._gathering.gathered_bytes if self._gathering else 0)

    def offer(self, items: Sequence[Item]) -> None:
        """Queue these; never waits for the sink."""
        waiting = self._queue.put(items)
        if not self._offered.is_set():
            self._offered.set()
        if waiting >= BATCH_CAPTURES and not self._ripe.is_set():
            self._ripe.set()

    def close(self, timeout_s: float) -> None:
        """Deliver what waits and close the sink; what is not delivered within `timeout_s` is dropped and counted."""
        self._queue.closed = self._closing = True
        self._offered.set()
        self._ripe.set()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            dropped = self._queue.drop_all()
            log.warning("sink %s: not done within %g s of closing; %d captures dropped", self.name, timeout_s, dropped)

    def _run(self) -> None:
        closing = False
        while not closing:
            # What is gathered has its time; without any there is nothing to wake up for.
            if self._offered.wait(TEND_S if self._gathering and self._gathering.gathered else None):
                self._ripe.wait(PAUSE_S)
            self._offered.clear()
            self._ripe.clear()
            closing = self._closing  # read before draining: once it is set, nothing more comes in
            while batch := self._queue.take():
                self._call(partial(self._export, batch), len(batch))
            if self._gathering:
                self._call(self._gathering.tend, 0)
        self._call(self._sink.close, 0)

    def _call(self, work: Callable[[], None], captures: int) -> None:
        try:
            work()
            self._delivered += captures
        except (DeliveryError, OSError) as error:
            # One that gathers counts what it loses, which need not be of these.
            self._trouble(0 if self._gathering else captures, str(error))
        except Exception as error:  # noqa: BLE001 - monitoring may fail, serving may not: the next batch may do better
            self._trouble(captures, repr(error), error)

    def _trouble(self, captures: int, text: str, unexpected: Exception | None = None) -> None:
        self._failed += captures
        self.last_error = text
        self._log.trouble(self.name, text, self.failed, unexpected)


class Delivery(_Delivery[Capture]):
    """Hands captures to a sink: bodies plus `CAPTURE_BYTES` for each count as waiting."""

    def __init__(self, sink: Sink, *, name: str, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(sink, sink.export, _size_bytes, name=name, max_bytes=max_bytes, clock=clock)


class RowDelivery(_Delivery[tuple[Capture, Rows]]):
    """Hands decoded rows to a sink: their cells count as waiting, too."""

    def __init__(
        self, sink: RowSink, *, name: str, max_bytes: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(sink, sink.export_rows, _decoded_size_bytes, name=name, max_bytes=max_bytes, clock=clock)


AnyDelivery = Delivery | RowDelivery
