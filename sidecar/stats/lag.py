"""What keeps the event loop, and with it every request: how late it is, and how long our own work takes on it."""

from bisect import bisect_left
from collections.abc import Callable
from types import TracebackType

from sidecar.stats.traffic import Histogram

LAG_SECONDS = (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Of a loop that is late. Its timers tick in milliseconds: an idle one is late by up to one."""

SLICE_SECONDS = (5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1)
"""Of a slice of work; half a millisecond is what one should take."""


def count(histogram: Histogram, value: float) -> None:
    """Count one value; one below 0, as clocks of different grain may give, as 0.

    Example:
        >>> lag = Histogram(LAG_SECONDS)
        >>> for late_s in (-0.0002, 0.003, 7.0):
        ...     count(lag, late_s)
        >>> lag.counts, lag.total
        ([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1], 7.003)
    """
    value = max(value, 0.0)
    histogram.counts[bisect_left(histogram.bounds, value)] += 1
    histogram.total += value


class Timing:
    """Around a piece of work: counts how long it took. One at a time, and without a pause in it.

    Args:
        pieces: Where it is counted.
        now_s: A clock that does not go back.
    """

    def __init__(self, pieces: Histogram, now_s: Callable[[], float]) -> None:
        self._pieces = pieces
        self._now_s = now_s
        self._begun_s = 0.0

    def __enter__(self) -> None:
        self._begun_s = self._now_s()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        count(self._pieces, self._now_s() - self._begun_s)
