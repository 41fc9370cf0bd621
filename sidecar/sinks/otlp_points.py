"""The points of our metrics in OpenTelemetry's own data model."""

from collections.abc import Sequence
from math import isfinite, nan
from typing import TYPE_CHECKING

from sidecar.records import Attributes, Buckets, ExponentialBuckets, Metric, Value
from sidecar.sinks.growth import MONOTONIC

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import export as otel

Started = tuple[Attributes, Value, int]
"""A point, and Unix time since when it counts, in nanoseconds."""


def data(
    metric: Metric, starts_ns: Sequence[int], time_ns: int, *, delta: bool
) -> "otel.Sum | otel.Gauge | otel.Histogram | otel.ExponentialHistogram":
    """All points of a metric.

    Args:
        starts_ns: Unix time since when each of them counts.
        time_ns: Of the report.
        delta: What grows is told as differences.
    """
    from opentelemetry.sdk.metrics import export as otel

    temporality = otel.AggregationTemporality
    told = temporality.DELTA if delta and metric.kind in MONOTONIC else temporality.CUMULATIVE
    if metric.kind == "histogram":
        finest = [
            (attributes, _finest(value), start_ns)
            for (attributes, value), start_ns in zip(metric.points, starts_ns, strict=True)
        ]
        if exponential := _exponential_points(finest, time_ns):
            return otel.ExponentialHistogram(exponential, told)
        return otel.Histogram(_histogram_points(finest, time_ns), told)
    points = [
        otel.NumberDataPoint(dict(attributes), start_ns, time_ns, value)
        for (attributes, value), start_ns in zip(metric.points, starts_ns, strict=True)
        if isinstance(value, int | float)
    ]
    if metric.kind == "gauge":
        return otel.Gauge(points)
    return otel.Sum(points, told, is_monotonic=metric.kind == "counter")


def _finest(value: Value) -> Value:
    """In exponential buckets, where the values are known so: they are there because somebody asked for them."""
    return value.finer if isinstance(value, Buckets) and value.finer is not None else value


def _histogram_points(points: Sequence[Started], time_ns: int) -> list["otel.HistogramDataPoint"]:
    from opentelemetry.sdk.metrics import export as otel

    return [
        otel.HistogramDataPoint(
            attributes=dict(attributes),
            start_time_unix_nano=start_ns,
            time_unix_nano=time_ns,
            count=sum(value.counts),
            # OpenMetrics has no sum where a bound is negative, and the protocol none where a value is.
            sum=_known(value.total if not value.bounds or value.bounds[0] >= 0 else nan),  # type: ignore[arg-type]  # optional in the protocol
            bucket_counts=value.counts,
            explicit_bounds=value.bounds,
            min=None,  # type: ignore[arg-type]  # optional in the protocol, and not counted by us
            max=None,  # type: ignore[arg-type]  # likewise
        )
        for attributes, value, start_ns in points
        if isinstance(value, Buckets)
    ]


def _exponential_points(points: Sequence[Started], time_ns: int) -> list["otel.ExponentialHistogramDataPoint"]:
    from opentelemetry.sdk.metrics import export as otel

    return [
        otel.ExponentialHistogramDataPoint(
            attributes=dict(attributes),
            start_time_unix_nano=start_ns,
            time_unix_nano=time_ns,
            count=value.count,
            # The protocol wants no sum where there are negative numbers: it would not be a counter.
            sum=_known(value.total if not any(value.negative[1]) else nan),  # type: ignore[arg-type]  # optional
            scale=value.scale,
            zero_count=value.zeros,
            positive=otel.Buckets(value.positive[0], value.positive[1]),
            negative=otel.Buckets(value.negative[0], value.negative[1]),
            flags=0,
            min=_known(value.minimum),  # type: ignore[arg-type]  # likewise
            max=_known(value.maximum),  # type: ignore[arg-type]  # likewise
        )
        for attributes, value, start_ns in points
        if isinstance(value, ExponentialBuckets)
    ]


def _known(number: float) -> float | None:
    return number if isfinite(number) else None
