"""Between the log and stderr: a bounded queue, and a thread that writes.

Whoever reads stderr may stop; the pipe fills up, and a write waits for as long as that lasts. It is this thread that
waits, and nobody else. What comes when the queue is full is lost until all that waits is written, so that there is one
gap and not many, and a line in its place says how many are missing.

Nobody waits under a lock, least of all while writing: an object may log when it is collected as garbage, in the midst
of anything, on any thread.
"""

import os
import select
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TextIO

MAX_WAITING = 1 << 20
"""Characters: some thousand lines."""

THREAD = "log-lines"
"""The name of the thread."""

_GAP = ""
"""In the queue: where lines are missing."""


class LineWriter:
    """Writes lines, in order, each whole, on a thread of its own.

    Args:
        write: Takes a line with its end, and may take its time over it; raises where it cannot.
        notice: A line that says that so many are missing.
        max_waiting: Characters. A line that is longer than that waits alone.
    """

    def __init__(
        self, write: Callable[[str], None], notice: Callable[[int], str], *, max_waiting: int = MAX_WAITING
    ) -> None:
        self._write = write
        self._notice = notice
        self._max_waiting = max_waiting
        self._queue: SimpleQueue[str | None] = SimpleQueue()
        # Entered again by whoever is collected as garbage while it is held, and says so.
        self._turn = threading.RLock()
        # Each of them changes on one side only: under the turn, or on the thread.
        self._taken_in = self._written = 0
        self._refused = self._failed = 0
        self._full = False
        self._thread = threading.Thread(target=self._run, name=THREAD, daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Lines that were lost: there was no room, or they could not be written."""
        return self._refused + self._failed

    def put(self, line: str) -> None:
        """Queue it, if there is room; never waits.

        Args:
            line: Without its end.
        """
        size = len(line) + 1
        with self._turn:
            waiting = self._taken_in - self._written
            if self._full or (waiting and waiting + size > self._max_waiting):
                self._refuse()
            else:
                self._taken_in += size
                self._queue.put(line + "\n")

    def close(self, timeout_s: float) -> None:
        """Write what waits; what is not written within `timeout_s` is given up."""
        self._queue.put(None)
        self._thread.join(timeout_s)

    def _refuse(self) -> None:
        self._refused += 1
        if not self._full:
            self._full = True
            self._queue.put(_GAP)

    def _run(self) -> None:
        gap = told = 0
        for line in iter(self._queue.get, None):
            if line == _GAP:
                self._full = False
                refused = self._refused
                gap, told = gap + refused - told, refused
            if gap and self._wrote(self._notice(gap) + "\n"):
                gap = 0
            if line != _GAP and (gap or not self._wrote(line)):
                gap, self._failed = gap + 1, self._failed + 1
            self._written += len(line)

    def _wrote(self, line: str) -> bool:
        try:
            self._write(line)
        except Exception:  # noqa: BLE001 - a full disk, a reader that is gone, a stream that is closed: it may pass
            return False
        return True


def writing(stream: TextIO | None) -> Callable[[str], None]:
    """How lines are written there.

    Args:
        stream: None where there is no stderr: they go nowhere.
    """
    if stream is None:
        return _nowhere
    try:
        stream.fileno()
    except (OSError, ValueError):  # one in memory
        return _Flushed(stream)
    return _Descriptor(stream)


def _nowhere(_: str) -> None:
    pass


class _Flushed:
    """Writes to a stream, at once."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, line: str) -> None:
        self._stream.write(line)
        self._stream.flush()


class _Descriptor:
    """Writes past the stream's buffer: a thread that waits in it would keep the interpreter from ending.

    Up to PIPE_BUF bytes (4096) a pipe takes whole or not at all, and so no process that has the same one can break a
    line: https://pubs.opengroup.org/onlinepubs/9799919799/functions/write.html
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._encoding = stream.encoding or "utf-8"
        self._torn = False

    def __call__(self, line: str) -> None:
        # After a line that broke off, the next one begins a line of its own.
        whole = rest = f"{chr(10) * self._torn}{line}".encode(self._encoding, "backslashreplace")
        # Asked for each time: of a stream that is closed the number may be another's.
        descriptor = self._stream.fileno()
        try:
            while rest:
                rest = rest[_written(descriptor, rest) :]
        finally:
            self._torn = bool(rest) and (self._torn or len(rest) < len(whole))


def _written(descriptor: int, data: bytes) -> int:
    """How much of it was taken, as soon as some is."""
    try:
        return os.write(descriptor, data)
    except BlockingIOError:  # another process that has the same pipe or terminal has made it so
        ready = select.poll()
        ready.register(descriptor, select.POLLOUT)
        ready.poll()
        return 0
