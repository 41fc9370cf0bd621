"""What is told of our reports, and our events, in OpenTelemetry's own data model."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sidecar.records import Event, Level
from sidecar.sinks.growth import Told
from sidecar.sinks.otlp_points import data
from sidecar.texts import encodable
from sidecar.trace_context import Trace

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.metrics import export as otel
    from opentelemetry.sdk.resources import Resource

OURS = "sidecar"
"""The first name of our loggers, and of the scope of what else we tell."""

SEVERITIES: dict[Level, int] = {"debug": 5, "info": 9, "warning": 13, "error": 17, "critical": 21}
"""Of OpenTelemetry's severity numbers DEBUG, INFO, WARN, ERROR and FATAL."""


def metrics_data(
    metrics: Iterable[Told], time_s: float, resource: "Resource", version: str, *, delta: bool
) -> "otel.MetricsData":
    """What is told of a report as opentelemetry's exporters take it.

    Args:
        time_s: Unix time of the report.
        version: Ours, of the instrumentation scope.
        delta: What only grows is told as differences.
    """
    from opentelemetry.sdk.metrics import export as otel
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    told = [
        otel.Metric(
            metric.name,
            metric.description,
            metric.unit,
            data(metric, [_ns(each) for each in since_s], _ns(time_s), delta=delta),
        )
        for metric, since_s in metrics
        if metric.points
    ]
    scope = otel.ScopeMetrics(InstrumentationScope("sidecar", version), told, "")
    return otel.MetricsData([otel.ResourceMetrics(resource, [scope], resource.schema_url)])


def log_records(events: Iterable[Event], resource: "Resource", version: str) -> list["ReadableLogRecord"]:
    """The events as opentelemetry's exporters take them: log records, with an event name where they have one.

    The severity's text is its word as it is known here, its number the word's rank.

    Args:
        version: Ours, of the instrumentation scope; of what other libraries say it tells nothing.
    """
    from opentelemetry._logs import LogRecord, SeverityNumber
    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    def record(event: Event) -> ReadableLogRecord:
        told = LogRecord(
            timestamp=_ns(event.time_s),
            observed_timestamp=_ns(event.time_s),  # we see our own events when they happen
            context=_context(event.trace) if event.trace else None,
            severity_text=event.severity,
            severity_number=SeverityNumber(SEVERITIES[event.severity]),
            body=_encodable(event.body),
            attributes={encodable(name): _encodable(value) for name, value in event.attributes.items()},
            event_name=event.name or None,
        )
        ours = event.scope.partition(".")[0] == OURS
        return ReadableLogRecord(
            told, resource, InstrumentationScope(encodable(event.scope), version if ours else None)
        )

    return [record(event) for event in events]


def _context(trace: Trace) -> "Context":
    """As opentelemetry has it: the records made in it are those of the span."""
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

    flags = TraceFlags(trace.flags)
    span = SpanContext(int(trace.trace_id, 16), int(trace.span_id, 16), is_remote=True, trace_flags=flags)
    return set_span_in_context(NonRecordingSpan(span))


def _encodable(value: str | float) -> str | float:
    """The value, a lone surrogate in a text as its escape: protobuf takes none, and the whole batch would be lost."""
    return encodable(value) if isinstance(value, str) else value


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
