"""Counts of the traffic: every request, not only sampled ones, per label set, in plain Python lists.

The request path adds to these; everybody else reads them. Nothing here imports numpy or the
OpenTelemetry SDK, whose own `record` takes 16 to 26 us a call.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from math import isqrt
from operator import sub
from typing import NamedTuple

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""The bounds that OpenTelemetry's HTTP conventions advise for durations, in seconds."""

BYTES = tuple(float(4**power) for power in range(3, 15))
"""64 bytes to 256 MiB in powers of four."""

OVERHEAD_SECONDS = (2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.1)
"""Bounds for the part of a request's time that is ours."""

EXPONENTIAL_SCALE = 3
"""Of an exponential histogram of durations: its buckets end at powers of 2^(1/8), 9 % apart."""

EXPONENTIAL_START = -133
"""The index of its first bucket; what is not above 9.9 us is in the one before."""

# Rounded down: then a number is above such a bound if and only if it is above the power of two that is meant.
_ROOTS = tuple(isqrt(isqrt(isqrt(1 << (eighths + 8 * 52)))) / 2**52 for eighths in range(2**EXPONENTIAL_SCALE))

EXPONENTIAL_SECONDS = tuple(
    _ROOTS[index % len(_ROOTS)] * 2.0 ** (index // len(_ROOTS)) for index in range(EXPONENTIAL_START, 75)
)
"""Its bounds, from 9.9 us to 609 s."""

FINE_SECONDS = tuple(sorted({*SECONDS, *OVERHEAD_SECONDS, *EXPONENTIAL_SECONDS}))
"""What is counted here can be summed exactly to any of the three, and a quantile read from it is right to 5 %."""


class Histogram:
    """Counts of values between bounds, and their sum.

    Args:
        bounds: Inclusive upper bounds, ascending; a last bucket without bound follows.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def extend(self, values: Iterable[float]) -> None:
        """Count some values: sorted, those of one bucket are counted together."""
        ordered = sorted(values)
        start = 0
        while start < len(ordered):
            bucket = bisect_left(self.bounds, ordered[start])
            last = bucket == len(self.bounds)
            end = len(ordered) if last else bisect_right(ordered, self.bounds[bucket], start)
            self.counts[bucket] += end - start
            start = end
        self.total += sum(ordered)

    def merge(self, other: "Histogram") -> None:
        """Add the counts of another histogram with the same bounds."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.total += other.total

    def over(self, bounds: Sequence[float]) -> list[int]:
        """The counts summed to fewer bounds, all of which this histogram has."""
        ends = [bisect_right(self.bounds, bound) for bound in bounds]
        return [sum(self.counts[start:end]) for start, end in pairwise((0, *ends, len(self.counts)))]

    def quantile(self, share: float) -> float:
        """The value below which `share` of the values lie, at the middle of its bucket; NaN without values."""
        up_to = list(accumulate(self.counts))
        if not up_to[-1]:
            return float("nan")
        index = bisect_left(up_to, max(share * up_to[-1], 1))
        if index == len(self.bounds):
            return self.bounds[-1]
        return (self.bounds[index] + (self.bounds[index - 1] if index else 0.0)) / 2


HISTOGRAMS = ("duration_s", "first_byte_s", "overhead_s", "reply_bytes", "request_bytes", "upstream_s")

COPIED = 64
"""Series in one step."""

BATCH = 64
"""Requests counted together. One by one, six histograms cost a request three times as much."""


class Labels(NamedTuple):
    """What tells one series from another.

    Args:
        status: Of the reply; 0 where the client got none.
        error_type: Empty where the reply is the model's own and below 500.
    """

    variant: str
    version: str
    method: str
    route: str
    status: int
    error_type: str


class Series:
    """The histograms of one label set; counted in batches, so that `settle` comes before they are read."""

    __slots__ = (*HISTOGRAMS, "_unsettled")

    def __init__(self) -> None:
        self.duration_s = Histogram(FINE_SECONDS)
        self.first_byte_s = Histogram(FINE_SECONDS)
        self.overhead_s = Histogram(FINE_SECONDS)
        self.upstream_s = Histogram(FINE_SECONDS)
        self.request_bytes = Histogram(BYTES)
        self.reply_bytes = Histogram(BYTES)
        self._unsettled: list[tuple[float, float, float, float, float]] = []

    def add(
        self, duration_s: float, first_byte_s: float, overhead_s: float, request_bytes: int, reply_bytes: int
    ) -> None:
        """Count one request; without a reply from upstream there was no first byte, and `first_byte_s` is 0."""
        self._unsettled.append((duration_s, first_byte_s, overhead_s, request_bytes, reply_bytes))
        if len(self._unsettled) >= BATCH:
            self.settle()

    def settle(self) -> None:
        """Bring what was added into the histograms."""
        if not self._unsettled:
            return
        durations_s, first_bytes_s, overheads_s, requests_bytes, replies_bytes = zip(*self._unsettled, strict=True)
        self._unsettled.clear()
        self.duration_s.extend(durations_s)
        self.first_byte_s.extend(filter(None, first_bytes_s))
        self.overhead_s.extend(overheads_s)
        self.upstream_s.extend(map(sub, durations_s, overheads_s))
        self.request_bytes.extend(requests_bytes)
        self.reply_bytes.extend(replies_bytes)

    def copy(self) -> "Series":
        """As it is now, settled."""
        found = Series()
        for name in HISTOGRAMS:
            own, other = getattr(found, name), getattr(self, name)
            own.counts, own.total = list(other.counts), other.total
        return found

    def merge(self, other: "Series") -> None:
        """Add another series' counts; both are settled."""
        for name in HISTOGRAMS:
            getattr(self, name).merge(getattr(other, name))


class Traffic:
    """All series, at most `max_series` of them; requests with further label sets are counted together.

    Args:
        max_series: A series takes about 8 KiB.

    Attributes:
        folded: Requests counted together for want of a series of their own.
        active: Requests in flight.
        tunnels: Tunnels opened, by protocol.
        diverted: Requests that another variant served, by who should have and who did; counted when they are over.
        unkeyed: Requests that did not say whose they are, where the split wants to know.
    """

    def __init__(self, *, max_series: int) -> None:
        self._max_series = max_series
        self._series: dict[Labels, Series] = {}
        self.folded = 0
        self.active = 0
        self.active_by_variant: Counter[str] = Counter()
        self.tunnels: Counter[str] = Counter()
        self.diverted: Counter[tuple[str, str]] = Counter()
        self.unkeyed = 0

    def enter(self) -> None:
        """A request is in flight; with whom, may be known later."""
        self.active += 1

    def serve(self, variant: str) -> None:
        """This variant is to serve it; an empty name stands for nobody."""
        self.active_by_variant[variant] += 1

    def divert(self, before: str, after: str) -> None:
        """Another variant is, instead of this one."""
        self.active_by_variant[before] -= 1
        self.active_by_variant[after] += 1

    def leave(self, variant: str) -> None:
        """It is not any more."""
        self.active -= 1
        self.active_by_variant[variant] -= 1

    def series(self, labels: Labels) -> Series:
        """The series of these labels, made at first sight."""
        series = self._series.get(labels)
        if series is None:
            if len(self._series) >= self._max_series:
                self.folded += 1
                labels = Labels(labels.variant, labels.version, "_OTHER", "", labels.status, "")
            series = self._series.setdefault(labels, Series())
        return series

    def copied_to(self, other: "Traffic") -> Iterator[None]:
        """Copy all to one that has nothing yet, in steps of half a millisecond; what comes meanwhile may be there."""
        for place, (labels, series) in enumerate(self, start=1):
            other._series[labels] = series.copy()
            if place % COPIED == 0:
                yield
        other.folded, other.active, other.unkeyed = self.folded, self.active, self.unkeyed
        other.active_by_variant.update(self.active_by_variant)
        other.tunnels.update(self.tunnels)
        other.diverted.update(self.diverted)

    def __iter__(self) -> Iterator[tuple[Labels, Series]]:
        """Every series, settled."""
        for labels, series in list(self._series.items()):
            series.settle()
            yield labels, series
