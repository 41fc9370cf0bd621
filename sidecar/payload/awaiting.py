"""Exchanges on their way to where they await their labels."""

from collections import deque
from collections.abc import Sequence
from itertools import accumulate, islice

from sidecar.records import Capture, Rows

# What an exchange takes of memory beside its bodies, measured with tracemalloc: of itself, of a row, of a cell.
EXCHANGE_BYTES, ROW_BYTES, CELL_BYTES = 1750, 130, 32


class Awaiting:
    """A queue that is bounded by the memory that it takes.

    Args:
        max_bytes: About; what comes beyond is dropped and counted.

    Attributes:
        dropped: Exchanges that were left, or lost.
    """

    def __init__(self, max_bytes: int) -> None:
        self.dropped = 0
        self._max_bytes = max_bytes
        self._items: deque[tuple[Capture, Rows]] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._items)

    def offer(self, batch: Sequence[tuple[Capture, Rows]]) -> None:
        """Take exchanges whose labels may come; those without an answer have nothing to be judged."""
        for capture, rows in batch:
            if not rows.predictions:
                continue
            size_bytes = _size_bytes(capture, rows)
            if self._bytes + size_bytes > self._max_bytes:
                self.dropped += 1
                continue
            self._items.append((capture, rows))
            self._bytes += size_bytes

    def first(self, count: int, max_bytes: int) -> list[tuple[Capture, Rows]]:
        """The oldest ones, as many at most, and of so much memory, or one; they stay."""
        oldest = list(islice(self._items, count))
        sizes = accumulate(_size_bytes(*item) for item in oldest)
        return oldest[: max(1, sum(size <= max_bytes for size in sizes))]

    def remove(self, count: int, *, lost: bool) -> None:
        """Let go of the oldest ones."""
        self.dropped += count if lost else 0
        for _ in range(count):
            self._bytes -= _size_bytes(*self._items.popleft())


def _size_bytes(capture: Capture, rows: Rows) -> int:
    count = len(rows.asked)
    cells = count * (len(rows.features) + len(rows.predictions))
    bodies = len(capture.request.data) + len(capture.reply.data)
    return bodies + EXCHANGE_BYTES + ROW_BYTES * count + CELL_BYTES * cells
