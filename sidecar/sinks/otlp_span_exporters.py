"""Opentelemetry's exporters of spans, given the protocol's own message.

What they take from everybody is the SDK's spans, which they encode: ten times the work of making the message at once.
Behind that they send messages, by parts that are not promised. Where a release has others, and for the console, the
message is made the SDK's spans.
"""

from typing import TYPE_CHECKING

from sidecar.sinks import otlp_sending
from sidecar.sinks.otlp_settings import Exporter, Protocol

if TYPE_CHECKING:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.trace.v1.trace_pb2 import Span
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
    from opentelemetry.trace import SpanContext


def span_exporter(
    name: Exporter, protocol: Protocol, *, timeout_s: float, resource: "Resource"
) -> "otlp_sending.Exporter[ExportTraceServiceRequest]":
    """An exporter that takes messages of one resource and one scope.

    Args:
        protocol: What `otlp` speaks.
        timeout_s: For one export, retries included.
        resource: The message's.
    """
    if name == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return Readable(ConsoleSpanExporter(), resource)
    return over_grpc(timeout_s, resource) if protocol == "grpc" else over_http(timeout_s, resource)


def over_http(timeout_s: float, resource: "Resource") -> "OverHttp | Readable":
    """The exporter over HTTP."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    found = OTLPSpanExporter(timeout=timeout_s)
    return OverHttp(found) if hasattr(found, "_client") else Readable(found, resource)


def over_grpc(timeout_s: float, resource: "Resource") -> "otlp_sending.Exporter[ExportTraceServiceRequest]":
    """The exporter over gRPC."""
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    if not (hasattr(OTLPSpanExporter, "_translate_data") and hasattr(OTLPSpanExporter, "_count_data")):
        return Readable(OTLPSpanExporter(timeout=timeout_s), resource)

    class OverGrpc(OTLPSpanExporter):
        """Takes what others are translated to."""

        def export(self, spans: "ExportTraceServiceRequest") -> "SpanExportResult":  # type: ignore[override]  # not the SDK's
            return self._export(spans)

        def _translate_data(self, data: "ExportTraceServiceRequest") -> "ExportTraceServiceRequest":  # type: ignore[override]  # not the SDK's
            return data

        def _count_data(self, data: "ExportTraceServiceRequest") -> int:  # type: ignore[override]  # not the SDK's
            return len(data.resource_spans[0].scope_spans[0].spans)

    return OverGrpc(timeout=timeout_s)


class OverHttp:
    """The exporter over HTTP, whose client sends bytes."""

    def __init__(self, exporter: "Http") -> None:
        self._exporter = exporter
        self._closed = False

    def export(self, request: "ExportTraceServiceRequest", /) -> "SpanExportResult":
        """Send it, again where that helps."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        taken = not self._closed and self._exporter._client.export(request.SerializeToString()).success
        return SpanExportResult.SUCCESS if taken else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        """End the attempts."""
        self._closed = True
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # as they have it


class Readable:
    """Any exporter, given spans as all of them take them."""

    def __init__(self, exporter: "SpanExporter", resource: "Resource") -> None:
        self._exporter = exporter
        self._resource = resource
        self.shutdown = exporter.shutdown

    def export(self, request: "ExportTraceServiceRequest", /) -> "SpanExportResult":
        """Have the spans exported."""
        return self._exporter.export(readable(request, self._resource))


def readable(request: "ExportTraceServiceRequest", resource: "Resource") -> list["ReadableSpan"]:
    """A message's spans as the SDK has them."""
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanKind, Status, StatusCode

    told = request.resource_spans[0].scope_spans[0]
    scope = InstrumentationScope(told.scope.name, told.scope.version)
    return [
        ReadableSpan(
            each.name,
            _context(each, each.span_id, remote=False),
            _context(each, each.parent_span_id, remote=bool(each.flags & 0x200)) if each.parent_span_id else None,
            resource,
            {one.key: getattr(one.value, str(one.value.WhichOneof("value"))) for one in each.attributes},
            kind=SpanKind(each.kind - 1),  # the protocol begins with one that is not specified
            status=Status(StatusCode(each.status.code)),
            start_time=each.start_time_unix_nano,
            end_time=each.end_time_unix_nano,
            instrumentation_scope=scope,
        )
        for each in told.spans
    ]


def _context(span: "Span", span_id: bytes, *, remote: bool) -> "SpanContext":
    from opentelemetry.trace import SpanContext, TraceFlags

    flags = TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(int.from_bytes(span.trace_id), int.from_bytes(span_id), remote, flags)
