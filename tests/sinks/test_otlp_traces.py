import asyncio
import os
import random
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from oteltap import OtelTapHttpProtobufReceiver, OtelTapHttpProtobufReceiverSettings

from sidecar.errors import ConfigError
from sidecar.records import Event
from sidecar.sinks.otlp_logs import OtlpLogsSettings, otlp_logs
from sidecar.sinks.otlp_sending import Sending
from sidecar.sinks.otlp_settings import Exporter, Protocol
from sidecar.sinks.otlp_traces import OtlpTracesSettings, otlp_traces, otlp_traces_settings
from sidecar.stats.traced import SAMPLED, Sampler, Traced, Tracing
from tests.sinks.rig import PATIENCE_S, Collector, Heard, plain
from tests.sinks.test_otlp_spans import HERE_ONLY, TRACED

NEVER_S = 3600.0


def settings(
    exporter: Exporter = "otlp",
    protocol: Protocol = "http/protobuf",
    *,
    timeout_s: float = PATIENCE_S,
    delay_s: float = NEVER_S,
    max_batch: int = 100,
) -> OtlpTracesSettings:
    return OtlpTracesSettings((exporter,), protocol, timeout_s, delay_s, 100, max_batch, Sampler(), True)


def waiting(*traces: Traced, max_waiting: int = 100, max_batch: int = 100) -> Tracing:
    """These wait to be exported."""
    tracing = Tracing(Sampler(), None, max_waiting=max_waiting, max_batch=max_batch, bits=random.Random(1).getrandbits)
    for each in traces:
        take(tracing, each)
    return tracing


def take(tracing: Tracing, traced: Traced) -> None:
    if tracing.admits(SAMPLED, 0.0):
        tracing.take(traced)


def numbered(number: int) -> Traced:
    """A trace of one span whose id tells its number."""
    return HERE_ONLY._replace(server_id=b"%016x" % (number + 1))


def opened(given: OtlpTracesSettings, tracing: Tracing) -> Sending[Traced]:
    return otlp_traces(given, tracing, service="scorer", version="1.2.3", scheme="http")


def counts(otlp: Sending[Traced]) -> tuple[int, int, int, int]:
    return otlp.delivered, otlp.dropped, otlp.failed, otlp.waiting


def spans(body: bytes) -> list[Span]:
    return list(ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans)


def numbers(body: bytes) -> list[int]:
    return [int(span.span_id.hex(), 16) - 1 for span in spans(body)]


def assert_the_trace(request: ExportTraceServiceRequest) -> None:
    [resource] = request.resource_spans
    [scope] = resource.scope_spans
    server, client = scope.spans
    assert plain(resource.resource.attributes)["service.name"] == "scorer"
    assert (scope.scope.name, scope.scope.version) == ("sidecar", "1.2.3")
    assert (server.name, client.name) == ("POST /v2/models/{model}/infer", "POST")
    assert client.parent_span_id == server.span_id
    assert plain(server.attributes)["sidecar.model"] == "fraud"


def test_a_trace_arrives_exactly_over_http(collector: Collector) -> None:
    otlp = opened(settings(), waiting(TRACED))
    otlp.close(PATIENCE_S)
    assert_the_trace(ExportTraceServiceRequest.FromString(collector.body()))
    assert collector.paths == ["/v1/traces"]
    assert (counts(otlp), otlp.last_error) == ((1, 0, 0, 0), "")


def test_a_trace_arrives_exactly_over_grpc(monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[ExportTraceServiceRequest] = []

    class Servicer(TraceServiceServicer):
        def Export(self, request: ExportTraceServiceRequest, _: object) -> ExportTraceServiceResponse:
            received.append(request)
            return ExportTraceServiceResponse()

    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool)
        add_TraceServiceServicer_to_server(Servicer(), server)  # type: ignore[no-untyped-call]  # generated
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc")
        said = otlp_traces_settings(os.environ)
        assert said is not None
        otlp = opened(said, waiting(TRACED))
        otlp.close(PATIENCE_S)
        server.stop(None).wait()
    [request] = received
    assert_the_trace(request)
    assert counts(otlp) == (1, 0, 0, 0)


def test_another_implementation_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    async def received() -> tuple[Span, Span]:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
        async with OtelTapHttpProtobufReceiver(OtelTapHttpProtobufReceiverSettings(port)) as tap:
            otlp = opened(settings(delay_s=0.001), waiting(TRACED))
            server = await tap.await_trace(lambda each: each.kind == Span.SPAN_KIND_SERVER, PATIENCE_S)
            client = await tap.await_trace(lambda each: each.kind == Span.SPAN_KIND_CLIENT, PATIENCE_S)
            otlp.close(PATIENCE_S)
            return server, client

    server, client = asyncio.run(received())
    assert (server.trace_id, server.span_id) == (client.trace_id, client.parent_span_id)


def test_traces_come_from_the_same_resource_as_events(collector: Collector) -> None:
    otlp = opened(settings(), waiting(TRACED))
    otlp.close(PATIENCE_S)
    of_traces = ExportTraceServiceRequest.FromString(collector.body()).resource_spans[0].resource
    logs = otlp_logs(
        OtlpLogsSettings(("otlp",), "http/protobuf", PATIENCE_S, NEVER_S, 10, 10), service="scorer", version="1.2.3"
    )
    logs.put(Event("sidecar.alert", 1.0, "info", "", {}))
    logs.close(PATIENCE_S)
    # Both messages begin alike: a list of resources, with what comes of each.
    of_events = ExportTraceServiceRequest.FromString(collector.body()).resource_spans[0].resource
    assert plain(of_traces.attributes) == plain(of_events.attributes)


def test_everything_taken_before_closing_arrives_in_order_and_in_batches(collector: Collector) -> None:
    tracing = waiting(max_waiting=1000)
    otlp = opened(settings(max_batch=40), tracing)
    for number in range(100):
        tracing.take(numbered(number))
    otlp.close(PATIENCE_S)
    told = [numbers(collector.body()) for _ in range(3)]
    assert [len(batch) for batch in told] == [40, 40, 20]
    assert [number for batch in told for number in batch] == list(range(100))
    assert (counts(otlp), collector.bodies.empty()) == ((100, 0, 0, 0), True)


def test_a_full_batch_does_not_wait(collector: Collector) -> None:
    tracing = waiting(max_batch=3)
    otlp = opened(settings(max_batch=3), tracing)
    for number in range(3):
        tracing.take(numbered(number))
    assert numbers(collector.body()) == [0, 1, 2]
    otlp.close(PATIENCE_S)
    assert (counts(otlp), collector.bodies.empty()) == ((3, 0, 0, 0), True)


def test_what_does_not_fill_a_batch_goes_after_its_delay(collector: Collector) -> None:
    tracing = waiting()
    otlp = opened(settings(delay_s=0.001), tracing)
    for number in range(3):
        tracing.take(numbered(number))
        assert numbers(collector.body()) == [number]
    otlp.close(PATIENCE_S)
    assert counts(otlp) == (3, 0, 0, 0)


def test_what_waited_before_anybody_exported_needs_no_further_trace(collector: Collector) -> None:
    otlp = opened(settings(delay_s=0.001), waiting(numbered(0), numbered(1)))
    assert numbers(collector.body()) == [0, 1]
    otlp.close(PATIENCE_S)


def test_traces_that_come_while_others_are_exported_are_not_forgotten(collector: Collector) -> None:
    """However the two threads meet, in full batches and in others: what was taken arrives, once and in order."""
    tracing = waiting(max_waiting=10_000, max_batch=5)
    otlp = opened(settings(delay_s=0.0001, max_batch=5), tracing)
    chance, number = random.Random(1), 0
    told: list[int] = []
    for _ in range(30):
        for _ in range(chance.randrange(1, 13)):
            tracing.take(numbered(number))
            number += 1
        while len(told) < number:
            told += numbers(collector.body())
    otlp.close(PATIENCE_S)
    assert told == list(range(number))
    assert counts(otlp) == (number, 0, 0, 0)


def test_a_batch_that_waited_before_there_was_an_exporter_is_not_kept_waiting(collector: Collector) -> None:
    otlp = opened(settings(max_batch=3), waiting(*map(numbered, range(3)), max_batch=3))
    assert numbers(collector.body()) == [0, 1, 2]
    otlp.close(PATIENCE_S)
    assert counts(otlp) == (3, 0, 0, 0)


def test_a_refused_batch_is_counted_by_its_traces(collector: Collector, caplog: pytest.LogCaptureFixture) -> None:
    collector.statuses = [400, 400]
    tracing = waiting()
    otlp = opened(settings(max_batch=2), tracing)
    for number in range(5):
        tracing.take(numbered(number))
    otlp.close(PATIENCE_S)
    assert counts(otlp) == (1, 0, 4, 0)
    assert "400" in otlp.last_error
    assert [message for message in caplog.messages if "fails" in message] == [f"traces export fails: {otlp.last_error}"]


@pytest.mark.usefixtures("refusing")
def test_an_absent_collector_costs_a_full_queue_and_no_time() -> None:
    tracing = waiting(max_waiting=10, max_batch=5)
    otlp = opened(settings(timeout_s=NEVER_S, delay_s=0.001, max_batch=5), tracing)
    with Heard() as retries:
        take(tracing, TRACED)
        assert retries.wait(PATIENCE_S)
        for _ in range(1000):
            take(tracing, TRACED)
        assert counts(otlp) == (0, 990, 0, 10)
        assert tracing.dropped == {"queue_full": 990}
        otlp.close(0.0)
    otlp.close(PATIENCE_S)
    delivered, dropped, failed, left = counts(otlp)
    assert (delivered, dropped, failed, left) == (0, 1001, 0, 0)


@pytest.mark.usefixtures("refusing")
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_closing_ends_the_retries_towards_an_absent_collector(protocol: Protocol) -> None:
    tracing = waiting()
    otlp = opened(settings(protocol=protocol, timeout_s=NEVER_S, delay_s=0.001), tracing)
    with Heard() as retries:
        take(tracing, TRACED)
        assert retries.wait(PATIENCE_S)
        otlp.close(0.0)
    otlp.close(PATIENCE_S)
    assert counts(otlp) == (0, 1, 0, 0)
    assert otlp.last_error


def test_a_silent_collector_does_not_hold_up_closing(silent: socket.socket) -> None:
    tracing = waiting(TRACED)
    otlp = opened(settings(delay_s=0.001), tracing)
    connection, _ = silent.accept()
    tracing.take(TRACED)
    otlp.close(0.0)
    assert otlp.waiting == 0
    silent.close()
    connection.close()
    otlp.close(PATIENCE_S)
    assert counts(otlp) == (0, 2, 0, 0)


def test_a_collector_that_comes_back_gets_what_comes_then(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    collector.statuses = [400]
    tracing = waiting(max_batch=1)
    otlp = opened(settings(max_batch=1), tracing)
    for number in range(2):
        tracing.take(numbered(number))
        assert numbers(collector.body()) == [number]
    otlp.close(PATIENCE_S)
    assert counts(otlp) == (1, 0, 1, 0)
    assert [message.partition(" export ")[2][:11] for message in caplog.messages] == ["fails: Fail", "works again"]


def test_the_console_is_an_exporter_too() -> None:
    otlp = opened(settings("console"), waiting(TRACED))
    otlp.close(PATIENCE_S)
    assert counts(otlp) == (1, 0, 0, 0)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c:4318/v1/metrics"},
        {"OTEL_LOGS_EXPORTER": "otlp"},
        {"OTEL_TRACES_SAMPLER": "always_on"},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"},
        {"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"},
    ],
)
def test_nothing_is_exported_unless_asked_for(environ: dict[str, str]) -> None:
    assert otlp_traces_settings(environ) is None


@pytest.mark.parametrize(
    ("environ", "change"),
    [
        ({}, {}),
        ({"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"}, {"protocol": "grpc"}),
        ({"OTEL_TRACES_EXPORTER": "console,otlp"}, {"exporters": ("console", "otlp")}),
        ({"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "4"}, {"timeout_s": 4.0}),
        ({"OTEL_BSP_EXPORT_TIMEOUT": "2000"}, {"timeout_s": 2.0}),
        ({"OTEL_BSP_SCHEDULE_DELAY": "250"}, {"delay_s": 0.25}),
        ({"OTEL_BSP_SCHEDULE_DELAY": "1e300"}, {"delay_s": threading.TIMEOUT_MAX}),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "600"}, {"max_waiting": 300}),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "1"}, {"max_waiting": 1, "max_batch": 1}),
        ({"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "2048"}, {"max_batch": 1024}),
        ({"OTEL_TRACES_SAMPLER": "always_on"}, {"sampler": Sampler(1.0, parent_based=False)}),
        ({"OTEL_TRACES_SAMPLER": " Always_Off "}, {"sampler": Sampler(0.0, parent_based=False)}),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_on"}, {"sampler": Sampler(1.0)}),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, {"sampler": Sampler(0.0)}),
        ({"OTEL_TRACES_SAMPLER": "traceidratio"}, {"sampler": Sampler(1.0, parent_based=False)}),
        (
            {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"},
            {"sampler": Sampler(0.1)},
        ),
        ({"OTEL_TRACES_SAMPLER_ARG": "what nobody asks for"}, {}),
        ({"OTEL_PROPAGATORS": "tracecontext"}, {}),
        ({"OTEL_PROPAGATORS": "baggage, tracecontext,baggage"}, {}),
        ({"OTEL_PROPAGATORS": "baggage"}, {"propagates": False}),
        ({"OTEL_PROPAGATORS": "none"}, {"propagates": False}),
    ],
)
def test_the_standard_variables_rule(environ: dict[str, str], change: dict[str, object]) -> None:
    expected = {"exporters": ("otlp",), "protocol": "http/protobuf", "timeout_s": 10.0, "delay_s": 5.0}
    expected |= {"max_waiting": 1024, "max_batch": 256, "sampler": Sampler(1.0), "propagates": True}
    found = otlp_traces_settings({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"} | environ)
    assert found == OtlpTracesSettings(**{**expected, **change})  # type: ignore[arg-type]  # as in the table


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        (
            {"OTEL_TRACES_EXPORTER": "zipkin"},
            "OTEL_TRACES_EXPORTER: expected otlp, console or none, got 'zipkin'",
        ),
        ({"OTEL_BSP_SCHEDULE_DELAY": "soon"}, "OTEL_BSP_SCHEDULE_DELAY: expected a number above 0, got 'soon'"),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "1.5"}, "OTEL_BSP_MAX_QUEUE_SIZE: expected a whole number above 0, got '1.5'"),
        (
            {"OTEL_BSP_MAX_QUEUE_SIZE": "100", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "101"},
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE: expected at most OTEL_BSP_MAX_QUEUE_SIZE, 100, got 101",
        ),
        (
            {"OTEL_TRACES_SAMPLER": "jaeger_remote"},
            "OTEL_TRACES_SAMPLER: expected always_on, always_off, traceidratio, or parentbased_ before one of them, "
            "got 'jaeger_remote'",
        ),
        (
            {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "10%"},
            "OTEL_TRACES_SAMPLER_ARG: expected a number from 0 to 1, got '10%'",
        ),
        (
            {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "1.1"},
            "OTEL_TRACES_SAMPLER_ARG: expected a number from 0 to 1, got '1.1'",
        ),
        ({"OTEL_PROPAGATORS": "tracecontext,b3"}, "OTEL_PROPAGATORS: expected tracecontext, baggage or none, got 'b3'"),
    ],
)
def test_what_we_cannot_do_is_refused_by_name(environ: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        otlp_traces_settings({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"} | environ)
    assert str(caught.value) == message
