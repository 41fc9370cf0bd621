"""What is told of a report: totals or differences, every point with the time since when it counts.

What we count was 0 when we began, `Metric.since_s`. What somebody else counts was something when we first looked: its
first point is one of unknown start, of no duration and no growth, as OpenTelemetry's data model has it ("Cumulative
streams: handling unknown start time"). What has shrunk has begun anew since it was last told, and all of it has grown
since, as Prometheus' `increase` has it.

All this is said of what the collector took: a point whose first report was lost is new in the next.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from math import inf, nan
from typing import NamedTuple

from sidecar.records import Attributes, Buckets, ExponentialBuckets, Kind, Metric, Report, Value

MONOTONIC = frozenset({"counter", "histogram"})
"""The kinds that only grow, and that are told as differences where these are preferred."""

ABSENT_S = 3600.0
"""So long what somebody else counts is remembered without being seen. What is there again after that was restarted more
likely than not, and may have come further than it was: the difference would mean nothing."""

MOMENT_S = 0.001
"""So long after it was told last a count that has begun anew begins: a total with the old start would be an old one. It
is the least that Prometheus knows, which puts a 0 there."""

Run = tuple[int, Sequence[int]]
"""Exponential buckets of one sign: the index of the first, and the counts from there on."""


class Key(NamedTuple):
    """Which point it is."""

    name: str
    kind: Kind
    attributes: frozenset[tuple[str, str | int | bool]]


class Known(NamedTuple):
    """What the collector knows of a point.

    Args:
        value: As it was last.
        since_s: Unix time since when it counts.
        seen_s: Of the last report that had it.
        foreign: Somebody else counts it.
        fell: Its sum has fallen, of negative values: it is no counter, and is not told as one any more.
    """

    value: Value
    since_s: float
    seen_s: float
    foreign: bool
    fell: bool


@dataclass(frozen=True, slots=True)
class Past:
    """What the collector knows; nothing, to begin with.

    Args:
        points: Those that only grow; the ones that the last report had not come first, as many as a report ever had.
        time_s: Unix time of the last report.
        most: Points of the largest report.
    """

    points: Mapping[Key, Known] = field(default_factory=dict)
    time_s: float = -inf
    most: int = 0

    def followed_by(self, seen: Mapping[Key, Known], time_s: float) -> "Past":
        """What it knows after a report with these points."""
        absent = {
            key: known
            for key, known in self.points.items()
            if key not in seen and not (known.foreign and time_s - known.seen_s > ABSENT_S)
        }
        most = max(self.most, len(seen))
        kept = dict(islice(absent.items(), max(0, len(absent) - most), None))
        return Past({**kept, **seen}, time_s, most)


class Told(NamedTuple):
    """A metric as it is told.

    Args:
        since_s: Unix time since when each of its points counts.
    """

    metric: Metric
    since_s: Sequence[float]


class _Step(NamedTuple):
    """What a report says of a point to one who knows the past.

    Args:
        known: What is known from now on.
        more: What was added; None where that is nothing.
        from_s: Unix time since when it was.
    """

    known: Known
    more: Value | None
    from_s: float


def tell(report: Report, past: Past, *, delta: bool) -> tuple[list[Told], Past]:
    """What is told of a report, and what is known when it was taken.

    Args:
        delta: Of what only grows tell what was added, and nothing where that is nothing.
    """
    told: list[Told] = []
    seen: dict[Key, Known] = {}
    for metric in report.metrics:
        if metric.kind not in MONOTONIC:
            told.append(Told(metric, [report.started_s] * len(metric.points)))
            continue
        points: list[tuple[Attributes, Value]] = []
        since_s: list[float] = []
        for key, attributes, step in _steps(metric, report, past):
            seen[key] = step.known
            value = step.more if delta else step.known.value
            if value is not None:
                fell = _fell(value) if delta else step.known.fell
                points.append((attributes, _without_sum(value) if fell else value))
                # The clock may have been set back.
                since_s.append(min(step.from_s if delta else step.known.since_s, report.time_s))
        told.append(Told(replace(metric, points=points), since_s))
    return told, past.followed_by(seen, report.time_s)


def _steps(metric: Metric, report: Report, past: Past) -> Iterator[tuple[Key, Attributes, _Step]]:
    began_s = report.started_s if metric.since_s is None else metric.since_s
    for attributes, value in metric.points:
        key = Key(metric.name, metric.kind, frozenset(attributes.items()))
        known = past.points.get(key)
        if metric.foreign and known is None:
            step = _Step(Known(value, report.time_s, report.time_s, foreign=True, fell=_fell(value)), None, inf)
        elif known is None or (began_s > known.since_s and not metric.foreign):
            step = _begun(value, began_s, report.time_s, past.time_s)
        else:
            step = _gone_on(value, known, report.time_s)
        yield key, attributes, step


def _begun(value: Value, began_s: float, time_s: float, before_s: float) -> _Step:
    """What we have begun to count: what the last report had nothing of has come since."""
    return _Step(Known(value, began_s, time_s, foreign=False, fell=_fell(value)), value, max(began_s, before_s))


def _gone_on(value: Value, known: Known, time_s: float) -> _Step:
    more = growth(value, known.value)
    # All of a number is growth, too, where it was 0.
    anew = more is value and known.value != 0
    since_s = known.seen_s + MOMENT_S if anew else known.since_s
    return _Step(Known(value, since_s, time_s, known.foreign, known.fell or _fell(more)), more, known.seen_s)


def _fell(added: Value | None) -> bool:
    """Whether what was added had a negative sum."""
    return isinstance(added, Buckets) and added.total < 0


def _without_sum(value: Value) -> Value:
    return replace(value, total=nan) if isinstance(value, Buckets) else value


def growth(value: Value, old: Value) -> Value | None:
    """What was added since `old`; None where that is nothing.

    What has shrunk has begun anew, as what is counted since something that came later does: then all of it is added.

    Example:
        >>> growth(10, 7), growth(10, 10), growth(3, 7)
        (3, None, 3)
        >>> growth(Buckets((1.0,), (3, 6), 12.5), Buckets((1.0,), (3, 4), 9.0))
        Buckets(bounds=(1.0,), counts=[0, 2], total=3.5, finer=None)
    """
    if isinstance(value, Buckets) and isinstance(old, Buckets):
        return _of_buckets(value, old)
    if isinstance(value, ExponentialBuckets) and isinstance(old, ExponentialBuckets):
        return _of_exponential(value, old)
    if isinstance(value, int | float) and isinstance(old, int | float):
        return value - old if value > old else None if value == old else value
    return value


def at_scale(buckets: Run, steps: int) -> tuple[int, list[int]]:
    """The same counts in buckets that are 2^steps times as wide, in the logarithm.

    Example:
        >>> at_scale((-3, [1, 2, 3, 4]), 1)
        (-2, [1, 5, 4])
    """
    first, counts = buckets
    if not counts or not steps:
        return first >> steps, list(counts)
    merged = [0] * (((first + len(counts) - 1) >> steps) - (first >> steps) + 1)
    for place, count in enumerate(counts, first):
        merged[(place >> steps) - (first >> steps)] += count
    return first >> steps, merged


def _of_buckets(value: Buckets, old: Buckets) -> Buckets | None:
    if tuple(value.bounds) != tuple(old.bounds):
        return value
    counts = [one - two for one, two in zip(value.counts, old.counts, strict=True)]
    if min(counts) < 0:
        return value
    if not any(counts):
        return None
    finer = value.finer
    if finer is not None and old.finer is not None:
        finer = _of_exponential(finer, old.finer)
    return Buckets(value.bounds, counts, value.total - old.total, finer)


def _of_exponential(value: ExponentialBuckets, old: ExponentialBuckets) -> ExponentialBuckets | None:
    """At the coarser scale of the two. The extremes of what was added are not known."""
    scale = min(value.scale, old.scale)
    positive, negative = (
        _less(at_scale(now, value.scale - scale), at_scale(then, old.scale - scale))
        for now, then in ((value.positive, old.positive), (value.negative, old.negative))
    )
    zeros = value.zeros - old.zeros
    if positive is None or negative is None or zeros < 0:
        return value
    if not (zeros or positive[1] or negative[1]):
        return None
    return ExponentialBuckets(scale, zeros, positive, negative, value.total - old.total, nan, nan)


def _less(now: Run, then: Run) -> tuple[int, list[int]] | None:
    """What one run of buckets has more than another one, without empty ones at its ends; None where it has less."""
    first, counts = now[0], list(now[1])
    for place, count in enumerate(then[1], then[0] - first):
        if not count:
            continue
        if not 0 <= place < len(counts) or counts[place] < count:
            return None
        counts[place] -= count
    used = [place for place, count in enumerate(counts) if count]
    return (first + used[0], counts[used[0] : used[-1] + 1]) if used else (0, [])
