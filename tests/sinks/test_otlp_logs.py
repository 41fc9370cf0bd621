import asyncio
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import (
    LogsServiceServicer,
    add_LogsServiceServicer_to_server,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from oteltap import OtelTapHttpProtobufReceiver, OtelTapHttpProtobufReceiverSettings

from sidecar.errors import ConfigError
from sidecar.records import Event, Report
from sidecar.sinks.otlp import Otlp, OtlpSettings
from sidecar.sinks.otlp_logs import OtlpLogsSettings, otlp_logs, otlp_logs_settings
from sidecar.sinks.otlp_sending import Sending
from sidecar.sinks.otlp_settings import Exporter, Protocol
from tests.sinks.rig import PATIENCE_S, Collector, Heard, plain

NEVER_S = 3600.0


def settings(
    exporter: Exporter = "otlp",
    protocol: Protocol = "http/protobuf",
    *,
    timeout_s: float = PATIENCE_S,
    delay_s: float = NEVER_S,
    max_waiting: int = 100,
    max_batch: int = 100,
) -> OtlpLogsSettings:
    return OtlpLogsSettings((exporter,), protocol, timeout_s, delay_s, max_waiting, max_batch)


def event(number: int = 1) -> Event:
    """An event whose every value tells its number."""
    attributes: dict[str, str | int | float | bool] = {
        "alert": f"a{number}",
        "rows": 10 * number,
        "share": 0.5 + number,
        "repeated": number > 1,
    }
    return Event("sidecar.alert", 1_700_000_000.5 + number, "critical", f"amount drifts {number}", attributes)


def opened(given: OtlpLogsSettings) -> Sending[Event]:
    return otlp_logs(given, service="scorer", version="1.2.3")


def counts(otlp: Sending[Event]) -> tuple[int, int, int]:
    return otlp.delivered, otlp.dropped, otlp.failed


def records(body: bytes) -> list[LogRecord]:
    return list(ExportLogsServiceRequest.FromString(body).resource_logs[0].scope_logs[0].log_records)


def assert_first_event(request: ExportLogsServiceRequest) -> None:
    [resource] = request.resource_logs
    [scope] = resource.scope_logs
    [record] = scope.log_records
    assert plain(resource.resource.attributes)["service.name"] == "scorer"
    assert (scope.scope.name, scope.scope.version) == ("sidecar", "1.2.3")
    assert (record.event_name, record.body.string_value) == ("sidecar.alert", "amount drifts 1")
    assert (record.severity_number, record.severity_text) == (21, "critical")
    assert (record.time_unix_nano, record.observed_time_unix_nano) == (1_700_000_001_500_000_000,) * 2
    assert plain(record.attributes) == {"alert": "a1", "rows": 10, "share": 1.5, "repeated": False}


def test_an_event_arrives_exactly_over_http(collector: Collector) -> None:
    otlp = opened(settings())
    otlp.put(event())
    otlp.close(PATIENCE_S)
    assert_first_event(ExportLogsServiceRequest.FromString(collector.body()))
    assert collector.paths == ["/v1/logs"]
    assert (counts(otlp), otlp.last_error) == ((1, 0, 0), "")


def test_an_event_arrives_exactly_over_grpc(monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[ExportLogsServiceRequest] = []

    class Servicer(LogsServiceServicer):
        def Export(self, request: ExportLogsServiceRequest, _: object) -> ExportLogsServiceResponse:
            received.append(request)
            return ExportLogsServiceResponse()

    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool)
        add_LogsServiceServicer_to_server(Servicer(), server)  # type: ignore[no-untyped-call]  # generated
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "grpc")
        said = otlp_logs_settings(os.environ)
        assert said is not None
        otlp = opened(said)
        otlp.put(event())
        otlp.close(PATIENCE_S)
        server.stop(None).wait()
    [request] = received
    assert_first_event(request)
    assert counts(otlp) == (1, 0, 0)


def test_another_implementation_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    async def received() -> LogRecord:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
        async with OtelTapHttpProtobufReceiver(OtelTapHttpProtobufReceiverSettings(port)) as tap:
            otlp = opened(settings(delay_s=0.001))
            otlp.put(event())
            record: LogRecord = await tap.await_log(lambda each: each.event_name == "sidecar.alert", PATIENCE_S)
            otlp.close(PATIENCE_S)
            return record

    record = asyncio.run(received())
    assert (record.body.string_value, record.severity_number) == ("amount drifts 1", 21)


def test_events_come_from_the_same_resource_as_metrics(collector: Collector) -> None:
    otlp = opened(settings())
    otlp.put(event())
    otlp.close(PATIENCE_S)
    metrics = Otlp(
        OtlpSettings(("otlp",), "http/protobuf", 60.0, PATIENCE_S, delta=False), service="scorer", version="1.2.3"
    )
    metrics.export(Report(1.0, 2.0, []))
    metrics.close(PATIENCE_S)
    of_events = ExportLogsServiceRequest.FromString(collector.body()).resource_logs[0].resource
    of_metrics = ExportMetricsServiceRequest.FromString(collector.body()).resource_metrics[0].resource
    assert plain(of_events.attributes) == plain(of_metrics.attributes)


def test_everything_emitted_before_closing_arrives_in_order_and_in_batches(collector: Collector) -> None:
    otlp = opened(settings(max_batch=40))
    for number in range(100):
        otlp.put(event(number))
    otlp.close(PATIENCE_S)
    told = [[record.body.string_value for record in records(collector.body())] for _ in range(3)]
    assert [len(batch) for batch in told] == [40, 40, 20]
    assert [body for batch in told for body in batch] == [f"amount drifts {number}" for number in range(100)]
    assert (counts(otlp), collector.bodies.empty()) == ((100, 0, 0), True)


def test_an_event_that_no_utf8_can_spell_costs_no_other(collector: Collector) -> None:
    otlp = opened(settings())
    otlp.put(Event("sidecar.alert", 1.0, "info", "feature \ud800 drifts", {"feature": "\ud800"}))
    otlp.put(event())
    otlp.close(PATIENCE_S)
    spelt, other = records(collector.body())
    assert spelt.body.string_value == r"feature \ud800 drifts"
    assert plain(spelt.attributes) == {"feature": r"\ud800"}
    assert other.body.string_value == "amount drifts 1"


@pytest.mark.parametrize(("statuses", "attempts"), [([503, 429], 3), ([502], 2)])
def test_a_collector_that_recovers_in_time_gets_the_batch(
    collector: Collector, statuses: list[int], attempts: int
) -> None:
    collector.statuses = statuses
    otlp = opened(settings())
    otlp.put(event())
    otlp.close(PATIENCE_S)
    assert [len(records(collector.body())) for _ in range(attempts)] == [1] * attempts
    assert counts(otlp) == (1, 0, 0)


def test_a_refused_batch_is_counted_by_its_events(collector: Collector, caplog: pytest.LogCaptureFixture) -> None:
    collector.statuses = [400, 400]
    otlp = opened(settings(max_batch=2))
    for number in range(5):
        otlp.put(event(number))
    otlp.close(PATIENCE_S)
    assert counts(otlp) == (1, 0, 4)
    assert "400" in otlp.last_error
    assert [message for message in caplog.messages if "fails" in message] == [f"events export fails: {otlp.last_error}"]


@pytest.mark.usefixtures("refusing")
def test_an_absent_collector_costs_a_full_queue_and_no_time(caplog: pytest.LogCaptureFixture) -> None:
    otlp = opened(settings(timeout_s=NEVER_S, delay_s=0.001, max_waiting=10, max_batch=5))
    with Heard() as retries:
        otlp.put(event())
        assert retries.wait(PATIENCE_S)
        for number in range(1000):
            otlp.put(event(number))
        assert counts(otlp) == (0, 990, 0)
        otlp.close(0.0)
    otlp.close(PATIENCE_S)
    assert counts(otlp) == (0, 1001, 0)
    assert caplog.messages[0] == "events export: not done within 0 s of closing, given up"


@pytest.mark.usefixtures("refusing")
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_closing_ends_the_retries_towards_an_absent_collector(protocol: Protocol) -> None:
    otlp = opened(settings(protocol=protocol, timeout_s=NEVER_S, delay_s=0.001))
    with Heard() as retries:
        otlp.put(event())
        assert retries.wait(PATIENCE_S)
        otlp.close(0.0)
    otlp.close(PATIENCE_S)
    assert counts(otlp) == (0, 1, 0)
    assert otlp.last_error


def test_a_silent_collector_does_not_hold_up_closing(silent: socket.socket) -> None:
    otlp = opened(settings(delay_s=0.001))
    otlp.put(event(1))
    connection, _ = silent.accept()
    otlp.put(event(2))
    otlp.close(0.0)
    assert counts(otlp) == (0, 1, 0)
    silent.close()
    connection.close()
    otlp.close(PATIENCE_S)
    assert counts(otlp) == (0, 2, 0)


def test_the_console_is_an_exporter_too() -> None:
    otlp = opened(settings("console"))
    otlp.put(event())
    otlp.close(PATIENCE_S)
    assert counts(otlp) == (1, 0, 0)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c:4318/v1/metrics"},
        {"OTEL_METRICS_EXPORTER": "otlp"},
        {"OTEL_LOGS_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"},
        {"OTEL_SDK_DISABLED": "true", "OTEL_LOGS_EXPORTER": "otlp"},
    ],
)
def test_nothing_is_exported_unless_asked_for(environ: dict[str, str]) -> None:
    assert otlp_logs_settings(environ) is None


@pytest.mark.parametrize(
    ("environ", "change"),
    [
        ({}, {}),
        ({"OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "grpc"}, {"protocol": "grpc"}),
        ({"OTEL_LOGS_EXPORTER": "console,otlp"}, {"exporters": ("console", "otlp")}),
        ({"OTEL_EXPORTER_OTLP_LOGS_TIMEOUT": "4"}, {"timeout_s": 4.0}),
        ({"OTEL_BLRP_EXPORT_TIMEOUT": "2000"}, {"timeout_s": 2.0}),
        ({"OTEL_BLRP_SCHEDULE_DELAY": "250"}, {"delay_s": 0.25}),
        ({"OTEL_BLRP_SCHEDULE_DELAY": "1e300"}, {"delay_s": threading.TIMEOUT_MAX}),
        ({"OTEL_BLRP_MAX_QUEUE_SIZE": "600"}, {"max_waiting": 600}),
        ({"OTEL_BLRP_MAX_QUEUE_SIZE": "20"}, {"max_waiting": 20, "max_batch": 20}),
        ({"OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": "2048"}, {"max_batch": 2048}),
    ],
)
def test_the_standard_variables_rule(environ: dict[str, str], change: dict[str, object]) -> None:
    expected = {"exporters": ("otlp",), "protocol": "http/protobuf", "timeout_s": 10.0, "delay_s": 1.0}
    found = otlp_logs_settings({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"} | environ)
    assert found == OtlpLogsSettings(**{**expected, "max_waiting": 2048, "max_batch": 512, **change})  # type: ignore[arg-type]  # as in the table


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        (
            {"OTEL_LOGS_EXPORTER": "prometheus"},
            "OTEL_LOGS_EXPORTER: expected otlp, console or none, got 'prometheus'",
        ),
        ({"OTEL_BLRP_SCHEDULE_DELAY": "soon"}, "OTEL_BLRP_SCHEDULE_DELAY: expected a number above 0, got 'soon'"),
        ({"OTEL_BLRP_EXPORT_TIMEOUT": "0"}, "OTEL_BLRP_EXPORT_TIMEOUT: expected a number above 0, got '0'"),
        ({"OTEL_BLRP_MAX_QUEUE_SIZE": "1.5"}, "OTEL_BLRP_MAX_QUEUE_SIZE: expected a whole number above 0, got '1.5'"),
        (
            {"OTEL_BLRP_MAX_QUEUE_SIZE": "100", "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": "101"},
            "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE: expected at most OTEL_BLRP_MAX_QUEUE_SIZE, 100, got 101",
        ),
    ],
)
def test_what_we_cannot_do_is_refused_by_name(environ: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        otlp_logs_settings({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"} | environ)
    assert str(caught.value) == message
