"""That the protocol's message reaches a collector as it is, by every way that there is."""

from collections.abc import Sequence

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from sidecar.sinks.otlp_span_exporters import OverHttp, Readable, over_grpc, over_http, readable, span_exporter
from sidecar.sinks.otlp_spans import add_spans, without_spans
from sidecar.stats.traced import SLOW
from tests.sinks.rig import PATIENCE_S, Collector
from tests.sinks.test_otlp_spans import HERE_ONLY, TRACED

RESOURCE = Resource({"service.name": "scorer", "process.command_args": ("a", "b")})


def message() -> ExportTraceServiceRequest:
    found = without_spans(RESOURCE, "1.2.3")
    failed = TRACED._replace(status=500, method=b"BREW", resends=2, reason=SLOW)
    add_spans(found, [TRACED, failed, HERE_ONLY._replace(parent_id=b"")], scheme="https")
    return found


def in_order(request: ExportTraceServiceRequest) -> ExportTraceServiceRequest:
    """In one of the orders that mean the same."""
    for span in request.resource_spans[0].scope_spans[0].spans:
        span.attributes.sort(key=lambda each: each.key)
        if not span.status.code:
            span.ClearField("status")
    return request


def test_the_message_is_what_the_sdk_makes_of_the_same_spans() -> None:
    assert in_order(encode_spans(readable(message(), RESOURCE))) == in_order(message())


def test_the_installed_exporters_take_messages() -> None:
    assert isinstance(over_http(1.0, RESOURCE), OverHttp)
    assert not isinstance(over_grpc(1.0, RESOURCE), Readable)


class Kept(SpanExporter):
    """As every exporter is, whatever its insides."""

    def __init__(self, **_: float) -> None:
        self.spans: list[ReadableSpan] = []
        self.closed = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans += spans
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("over", "name"),
    [
        (over_http, "opentelemetry.exporter.otlp.proto.http.trace_exporter.OTLPSpanExporter"),
        (over_grpc, "opentelemetry.exporter.otlp.proto.grpc.trace_exporter.OTLPSpanExporter"),
    ],
    ids=["http", "grpc"],
)
def test_with_other_insides_an_exporter_is_given_the_sdks_spans(
    over: type, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Kept()
    monkeypatch.setattr(name, lambda **_: kept)
    found = over(1.0, RESOURCE)

    assert found.export(message()) == SpanExportResult.SUCCESS
    assert in_order(encode_spans(kept.spans)) == in_order(message())
    found.shutdown()
    assert kept.closed


def test_over_http_the_message_arrives_as_it_is(collector: Collector) -> None:
    found = span_exporter("otlp", "http/protobuf", timeout_s=PATIENCE_S, resource=RESOURCE)
    assert found.export(message()) == SpanExportResult.SUCCESS
    assert collector.body() == message().SerializeToString()
    found.shutdown()


def test_what_is_shut_down_sends_nothing_more(collector: Collector) -> None:
    found = span_exporter("otlp", "http/protobuf", timeout_s=PATIENCE_S, resource=RESOURCE)
    found.shutdown()
    assert found.export(message()) == SpanExportResult.FAILURE
    assert collector.bodies.empty()


def test_the_console_is_given_the_sdks_spans() -> None:
    found = span_exporter("console", "http/protobuf", timeout_s=1.0, resource=RESOURCE)
    assert isinstance(found, Readable)
    assert found.export(message()) == SpanExportResult.SUCCESS
