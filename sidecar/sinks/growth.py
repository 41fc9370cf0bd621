"""What has grown between two reports, and by how much: differences, which some collectors want instead of totals."""

from collections.abc import Mapping, Sequence
from math import nan

from sidecar.records import Attributes, Buckets, ExponentialBuckets, Metric, Report, Value

MONOTONIC = frozenset({"counter", "histogram"})
"""The kinds that only grow, and that are told as differences where these are preferred."""

Key = frozenset[tuple[str, str | int | bool]]
Run = tuple[int, Sequence[int]]
"""Exponential buckets of one sign: the index of the first, and the counts from there on."""


def changes(report: Report, before: Report) -> list[Metric]:
    """The metrics of `report`, those that only grow as what they grew by since `before`; nothing where they did not."""
    past = {metric.name: {_key(at): value for at, value in metric.points} for metric in before.metrics}
    return [
        metric if metric.kind not in MONOTONIC else _grown(metric, past.get(metric.name, {}))
        for metric in report.metrics
    ]


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
    if not counts:
        return first >> steps, []
    merged = [0] * (((first + len(counts) - 1) >> steps) - (first >> steps) + 1)
    for place, count in enumerate(counts, first):
        merged[(place >> steps) - (first >> steps)] += count
    return first >> steps, merged


def _key(attributes: Attributes) -> Key:
    return frozenset(attributes.items())


def _grown(metric: Metric, past: Mapping[Key, Value]) -> Metric:
    points: list[tuple[Attributes, Value]] = []
    for attributes, value in metric.points:
        old = past.get(_key(attributes))
        more = value if old is None else growth(value, old)
        if more is not None:
            points.append((attributes, more))
    return Metric(metric.name, metric.unit, metric.description, metric.kind, points)


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
    counts = dict(enumerate(now[1], now[0]))
    for place, count in enumerate(then[1], then[0]):
        counts[place] = counts.get(place, 0) - count
    if any(count < 0 for count in counts.values()):
        return None
    used = [place for place, count in counts.items() if count]
    if not used:
        return 0, []
    return min(used), [counts.get(place, 0) for place in range(min(used), max(used) + 1)]
