"""Between the pipeline and a sink: a bounded queue and one thread, so that a slow sink costs captures, not requests."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from sidecar.errors import DeliveryError
from sidecar.ports import Sink
from sidecar.records import Capture

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


def _size_bytes(capture: Capture) -> int:
    return len(capture.request.data) + len(capture.reply.data) + CAPTURE_BYTES


class _Queue:
    """Captures that wait, never more than `max_bytes` of them: on overflow the oldest go, counted in `dropped`."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self.dropped = 0
        self.closed = False
        self._captures: deque[Capture] = deque()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._captures)

    def put(self, captures: Sequence[Capture]) -> int:
        """Returns how many wait."""
        with self._lock:
            for capture in captures:
                size = _size_bytes(capture)
                if self.closed or size > self.max_bytes:
                    self.dropped += 1
                    continue
                while self.bytes + size > self.max_bytes:
                    self._pop()
                    self.dropped += 1
                self._captures.append(capture)
                self.bytes += size
            return len(self._captures)

    def take(self) -> list[Capture]:
        """The oldest that wait, as many as make a batch; empty when none wait."""
        with self._lock:
            batch: list[Capture] = []
            left = self.bytes - BATCH_BYTES
            while self._captures and len(batch) < BATCH_CAPTURES and self.bytes > left:
                batch.append(self._pop())
            return batch

    def drop_all(self) -> int:
        with self._lock:
            count = len(self._captures)
            self._captures.clear()
            self.bytes = 0
            self.dropped += count
            return count

    def _pop(self) -> Capture:
        capture = self._captures.popleft()
        self.bytes -= _size_bytes(capture)
        return capture


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


class Delivery:
    """Hands captures to one sink, in order, on a thread of its own; what the sink does not take is counted, not kept.

    Args:
        sink: Called from the delivery's thread only, `close` included.
        name: What the status page and the log call it.
        max_bytes: Bound of what waits, bodies plus `CAPTURE_BYTES` for each capture; on overflow the oldest go.
        clock: Monotonic, in seconds; paces the log.

    Attributes:
        delivered: Captures that the sink took.
        failed: Captures that the sink was given and did not take.
        last_error: Why, the last time; empty before the first.
    """

    def __init__(self, sink: Sink, *, name: str, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self.delivered = 0
        self.failed = 0
        self.last_error = ""
        self._sink = sink
        self._queue = _Queue(max_bytes)
        self._log = _Log(clock)
        self._offered = threading.Event()
        self._ripe = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=f"sink-{name}", daemon=True)
        self._thread.start()

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
        """Captures that wait for the sink."""
        return len(self._queue)

    @property
    def waiting_bytes(self) -> int:
        """What waits for the sink."""
        return self._queue.bytes

    def offer(self, captures: Sequence[Capture]) -> None:
        """Queue these; never waits for the sink."""
        waiting = self._queue.put(captures)
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
            self._offered.wait()
            self._ripe.wait(PAUSE_S)
            self._offered.clear()
            self._ripe.clear()
            closing = self._closing  # read before draining: once it is set, nothing more comes in
            while batch := self._queue.take():
                self._call(partial(self._sink.export, batch), len(batch))
        self._call(self._sink.close, 0)

    def _call(self, work: Callable[[], None], captures: int) -> None:
        try:
            work()
            self.delivered += captures
        except (DeliveryError, OSError) as error:
            self._failed(captures, str(error))
        except Exception as error:  # noqa: BLE001 - monitoring may fail, serving may not: the next batch may do better
            self._failed(captures, repr(error), error)

    def _failed(self, captures: int, text: str, unexpected: Exception | None = None) -> None:
        self.failed += captures
        self.last_error = text
        self._log.trouble(self.name, text, self.failed, unexpected)
