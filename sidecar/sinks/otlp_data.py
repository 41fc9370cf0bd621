"""Our reports and events in OpenTelemetry's own data model; reports cumulative or as differences."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from sidecar.records import Attributes, Buckets, Event, Metric, Report, Severity
from sidecar.texts import encodable

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.metrics import export as otel
    from opentelemetry.sdk.resources import Resource

MONOTONIC = frozenset({"counter", "histogram"})
"""The kinds that only grow, and that are told as differences where these are preferred."""

SEVERITIES: dict[Severity, int] = {"info": 9, "warning": 13, "critical": 21}
"""Of OpenTelemetry's severity numbers INFO, WARN and FATAL."""


def changes(report: Report, before: Report) -> list[Metric]:
    """The metrics of `report`, those that only grow as what they grew by since `before`; nothing where they did not."""
    past = {metric.name: {_key(at): value for at, value in metric.points} for metric in before.metrics}
    return [
        metric if metric.kind not in MONOTONIC else _grown(metric, past.get(metric.name, {}))
        for metric in report.metrics
    ]


def _key(attributes: Attributes) -> frozenset[tuple[str, str | int | bool]]:
    return frozenset(attributes.items())


def _grown(metric: Metric, past: Mapping[frozenset[tuple[str, str | int | bool]], float | Buckets]) -> Metric:
    points: list[tuple[Attributes, float | Buckets]] = []
    for attributes, value in metric.points:
        old = past.get(_key(attributes))
        if old is None:
            points.append((attributes, value))
        elif old != value:
            points.append((attributes, _difference(value, old)))
    return Metric(metric.name, metric.unit, metric.description, metric.kind, points)


def _difference(value: float | Buckets, old: float | Buckets) -> float | Buckets:
    if isinstance(value, Buckets) and isinstance(old, Buckets):
        counts = [one - two for one, two in zip(value.counts, old.counts, strict=True)]
        return Buckets(value.bounds, counts, value.total - old.total)
    assert not isinstance(value, Buckets)
    assert not isinstance(old, Buckets)
    return value - old


def metrics_data(
    report: Report, resource: "Resource", version: str, *, delta: bool, before: Report | None = None
) -> "otel.MetricsData":
    """The report as opentelemetry's exporters take it.

    Args:
        version: Ours, of the instrumentation scope.
        delta: Tell what only grows as differences.
        before: What they are differences from; None for the start. Without `delta` it does not matter.
    """
    from opentelemetry.sdk.metrics import export as otel
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    started_ns, time_ns = _ns(report.started_s), _ns(report.time_s)
    metrics: Iterable[Metric] = report.metrics
    since_ns = started_ns
    # A report that began to count later has nothing in common with the one before.
    if delta and before is not None and before.started_s == report.started_s:
        metrics, since_ns = changes(report, before), _ns(before.time_s)
    told = [
        otel.Metric(
            metric.name,
            metric.description,
            metric.unit,
            _data(metric, since_ns if metric.kind in MONOTONIC else started_ns, time_ns, delta=delta),
        )
        for metric in metrics
        if metric.points
    ]
    scope = otel.ScopeMetrics(InstrumentationScope("sidecar", version), told, "")
    return otel.MetricsData([otel.ResourceMetrics(resource, [scope], resource.schema_url)])


def log_records(events: Iterable[Event], resource: "Resource", version: str) -> list["ReadableLogRecord"]:
    """The events as opentelemetry's exporters take them: log records with an event name.

    The severity's text is its word as it is known here, its number the word's rank.

    Args:
        version: Ours, of the instrumentation scope.
    """
    from opentelemetry._logs import LogRecord, SeverityNumber
    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    scope = InstrumentationScope("sidecar", version)
    records = (
        LogRecord(
            timestamp=_ns(event.time_s),
            observed_timestamp=_ns(event.time_s),  # we see our own events when they happen
            severity_text=event.severity,
            severity_number=SeverityNumber(SEVERITIES[event.severity]),
            body=_encodable(event.body),
            attributes={name: _encodable(value) for name, value in event.attributes.items()},
            event_name=event.name,
        )
        for event in events
    )
    return [ReadableLogRecord(record, resource, scope) for record in records]


def _encodable(value: str | float) -> str | float:
    """The value, a lone surrogate in a text as its escape: protobuf takes none, and the whole batch would be lost."""
    return encodable(value) if isinstance(value, str) else value


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)


def _data(metric: Metric, start_ns: int, time_ns: int, *, delta: bool) -> "otel.Sum | otel.Gauge | otel.Histogram":
    from opentelemetry.sdk.metrics import export as otel

    temporality = otel.AggregationTemporality
    told = temporality.DELTA if delta and metric.kind in MONOTONIC else temporality.CUMULATIVE
    if metric.kind == "histogram":
        return otel.Histogram(_histogram_points(metric.points, start_ns, time_ns), told)
    points = [
        otel.NumberDataPoint(dict(attributes), start_ns, time_ns, value)
        for attributes, value in metric.points
        if not isinstance(value, Buckets)
    ]
    if metric.kind == "gauge":
        return otel.Gauge(points)
    return otel.Sum(points, told, is_monotonic=metric.kind == "counter")


def _histogram_points(
    points: Sequence[tuple[Attributes, float | Buckets]], start_ns: int, time_ns: int
) -> list["otel.HistogramDataPoint"]:
    from opentelemetry.sdk.metrics import export as otel

    return [
        otel.HistogramDataPoint(
            attributes=dict(attributes),
            start_time_unix_nano=start_ns,
            time_unix_nano=time_ns,
            count=sum(value.counts),
            sum=value.total,
            bucket_counts=value.counts,
            explicit_bounds=value.bounds,
            min=None,  # type: ignore[arg-type]  # optional in the protocol, and not counted by us
            max=None,  # type: ignore[arg-type]  # likewise
        )
        for attributes, value in points
        if isinstance(value, Buckets)
    ]
