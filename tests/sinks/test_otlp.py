import asyncio
import logging
import os
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import get_args

import grpc
import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import (
    MetricsServiceServicer,
    add_MetricsServiceServicer_to_server,
)
from opentelemetry.proto.metrics.v1 import metrics_pb2
from oteltap import OtelTapHttpProtobufReceiver, OtelTapHttpProtobufReceiverSettings

from sidecar.errors import ConfigError
from sidecar.records import Attributes, Buckets, ExponentialBuckets, Kind, Metric, Report, Value
from sidecar.sinks.otlp import Otlp, OtlpSettings, otlp_settings
from sidecar.sinks.otlp_settings import Protocol
from sidecar.texts import shown
from tests.sinks.rig import PATIENCE_S, Collector, Heard, plain

HTTP = OtlpSettings(("otlp",), "http/protobuf", 60.0, PATIENCE_S, delta=False)
DELTA = OtlpSettings(("otlp",), "http/protobuf", 60.0, PATIENCE_S, delta=True)
AGGREGATION = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION"
CUMULATIVE = metrics_pb2.AGGREGATION_TEMPORALITY_CUMULATIVE
ALIVE = Metric("alive", "", "", "gauge", [({}, 1.0)])
"""Without any point there is nothing to send."""


def report(number: int = 1) -> Report:
    """A report whose every value tells its number."""
    return Report(
        1_700_000_000.0,
        1_700_000_000.5 + number,
        [
            Metric("requests", "{request}", "Requests", "counter", [({"variant": "a", "status": 200}, 10 * number)]),
            Metric("active", "{request}", "In flight", "up_down", [({}, number - 3)]),
            Metric("mean", "", "Mean", "gauge", [({"feature": "amount", "known": True}, 0.1 + number)]),
            Metric(
                "duration", "s", "Duration", "histogram", [({}, Buckets((0.1, 1.0), (number, 2, 3 * number), 4.25))]
            ),
            Metric("nothing", "s", "Nothing yet", "gauge", []),
        ],
    )


def metrics_of(body: bytes) -> dict[str, metrics_pb2.Metric]:
    request = ExportMetricsServiceRequest.FromString(body)
    return {metric.name: metric for metric in request.resource_metrics[0].scope_metrics[0].metrics}


def opened(settings: OtlpSettings = HTTP) -> Otlp:
    return Otlp(settings, service="scorer", version="1.2.3")


def counts(otlp: Otlp) -> tuple[int, int, int]:
    return otlp.delivered, otlp.dropped, otlp.failed


def assert_first_report(metrics: dict[str, metrics_pb2.Metric]) -> None:
    assert set(metrics) == {"requests", "active", "mean", "duration"}
    requests, active, mean, duration = (metrics[name] for name in ("requests", "active", "mean", "duration"))
    assert (requests.unit, requests.description) == ("{request}", "Requests")
    assert (requests.sum.is_monotonic, requests.sum.aggregation_temporality) == (True, CUMULATIVE)
    point = requests.sum.data_points[0]
    assert (point.as_int, plain(point.attributes)) == (10, {"variant": "a", "status": 200})
    assert (point.start_time_unix_nano, point.time_unix_nano) == (1_700_000_000_000_000_000, 1_700_000_001_500_000_000)
    assert (active.sum.is_monotonic, active.sum.data_points[0].as_int) == (False, -2)
    assert mean.gauge.data_points[0].as_double == 1.1
    assert plain(mean.gauge.data_points[0].attributes) == {"feature": "amount", "known": True}
    histogram = duration.histogram.data_points[0]
    assert duration.histogram.aggregation_temporality == CUMULATIVE
    assert list(histogram.bucket_counts) == [1, 2, 3]
    assert (list(histogram.explicit_bounds), histogram.count, histogram.sum) == ([0.1, 1.0], 6, 4.25)
    assert not histogram.HasField("min")
    assert not histogram.HasField("max")


def test_values_arrive_exactly_over_http(collector: Collector) -> None:
    otlp = opened()
    otlp.export(report())
    otlp.close(PATIENCE_S)
    assert_first_report(metrics_of(collector.body()))
    assert (counts(otlp), otlp.last_error) == ((1, 0, 0), "")


def test_values_arrive_exactly_over_grpc(monkeypatch: pytest.MonkeyPatch) -> None:
    collector = Collector()

    class Servicer(MetricsServiceServicer):
        def Export(self, request: ExportMetricsServiceRequest, _: object) -> ExportMetricsServiceResponse:
            collector.bodies.put(request.SerializeToString())
            return ExportMetricsServiceResponse()

    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool)
        add_MetricsServiceServicer_to_server(Servicer(), server)  # type: ignore[no-untyped-call]  # generated
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        settings = otlp_settings(os.environ)
        assert settings is not None
        otlp = opened(settings)
        otlp.export(report())
        otlp.close(PATIENCE_S)
        server.stop(None).wait()
    assert_first_report(metrics_of(collector.body()))
    assert counts(otlp) == (1, 0, 0)


def test_another_implementation_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    async def received() -> metrics_pb2.Metric:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
        async with OtelTapHttpProtobufReceiver(OtelTapHttpProtobufReceiverSettings(port)) as tap:
            otlp = opened()
            otlp.export(report())
            metric: metrics_pb2.Metric = await tap.await_metric(lambda each: each.name == "duration", PATIENCE_S)
            otlp.close(PATIENCE_S)
            return metric

    point = asyncio.run(received()).histogram.data_points[0]
    assert (list(point.bucket_counts), point.sum) == ([1, 2, 3], 4.25)


@pytest.mark.parametrize(
    ("environ", "attributes"),
    [
        ({}, {"service.name": "scorer", "service.version": "1.2.3"}),
        (
            {"OTEL_SERVICE_NAME": "fraud", "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test"},
            {"service.name": "fraud", "deployment.environment.name": "test"},
        ),
        (
            {"OTEL_RESOURCE_ATTRIBUTES": "k8s.pod.name=mine", "POD_NAME": "theirs", "NODE_NAME": "node-3"},
            {"k8s.pod.name": "mine", "k8s.node.name": "node-3"},
        ),
        (
            {"POD_NAMESPACE": "n", "POD_NAME": "p", "CONTAINER_NAME": "c"},
            {"service.instance.id": "n.p.c", "service.namespace": "n"},
        ),
    ],
)
def test_the_standard_variables_name_the_resource(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], attributes: dict[str, str]
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    otlp = opened()
    otlp.export(report())
    otlp.close(PATIENCE_S)
    resource = plain(ExportMetricsServiceRequest.FromString(collector.body()).resource_metrics[0].resource.attributes)
    assert resource | attributes == resource
    assert resource["service.instance.id"]


def test_headers_and_compression_are_the_exporters_concern(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=secret")
    otlp = opened()
    otlp.export(report())
    otlp.close(PATIENCE_S)
    assert collector.headers[0]["x-key"] == "secret"


def test_differences_start_where_the_last_report_ended(collector: Collector) -> None:
    otlp = opened(DELTA)
    told = []
    for number in (1, 3):
        otlp.export(report(number))
        told.append(metrics_of(collector.body()))
    otlp.close(PATIENCE_S)
    points = [metrics["requests"].sum.data_points[0] for metrics in told]
    assert [(each.as_int, each.start_time_unix_nano, each.time_unix_nano) for each in points] == [
        (10, 1_700_000_000_000_000_000, 1_700_000_001_500_000_000),
        (20, 1_700_000_001_500_000_000, 1_700_000_003_500_000_000),
    ]
    assert told[1]["requests"].sum.aggregation_temporality == metrics_pb2.AGGREGATION_TEMPORALITY_DELTA
    assert list(told[1]["duration"].histogram.data_points[0].bucket_counts) == [2, 0, 6]
    active = told[1]["active"].sum
    assert (active.aggregation_temporality, active.data_points[0].as_int) == (CUMULATIVE, 0)
    assert active.data_points[0].start_time_unix_nano == 1_700_000_000_000_000_000


def test_differences_that_a_failed_export_had_are_in_the_next(collector: Collector) -> None:
    collector.statuses = [200, 400]
    otlp = opened(DELTA)
    told = []
    for number in (1, 2, 3):
        otlp.export(report(number))
        told.append(metrics_of(collector.body())["requests"].sum.data_points[0])
    otlp.close(PATIENCE_S)
    assert [point.as_int for point in told] == [10, 10, 20]
    assert told[2].start_time_unix_nano == told[0].time_unix_nano
    assert counts(otlp) == (2, 0, 1)


def test_counting_anew_is_no_difference(collector: Collector) -> None:
    otlp = opened(DELTA)
    otlp.export(report(2))
    collector.body()
    later = report(1)
    otlp.export(Report(1_700_000_100.0, 1_700_000_101.0, later.metrics))
    point = metrics_of(collector.body())["requests"].sum.data_points[0]
    otlp.close(PATIENCE_S)
    assert (point.as_int, point.start_time_unix_nano) == (10, 1_700_000_100_000_000_000)


def scraped(time_s: float, value: float | None) -> Report:
    """A report with what another process counts; None where it could not be read."""
    points: list[tuple[Attributes, Value]] = [] if value is None else [({}, value)]
    return Report(1_700_000_000.0, time_s, [Metric("tokens", "", "", "counter", points, foreign=True), ALIVE])


def tokens(body: bytes) -> tuple[float, int, int] | None:
    """The value, and seconds from which and to which it counts; None where it is not told."""
    metric = metrics_of(body).get("tokens")
    if metric is None:
        return None
    [point] = metric.sum.data_points
    start, end = point.start_time_unix_nano // 10**9, point.time_unix_nano // 10**9
    return point.as_double, start - 1_700_000_000, end - 1_700_000_000


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (DELTA, [None, (5.0, 60, 120), None, (2.0, 120, 240), (7.0, 240, 300)]),
        (HTTP, [(900.0, 60, 60), (905.0, 60, 120), None, (907.0, 60, 240), (7.0, 240, 300)]),
    ],
)
def test_what_another_process_counts_begins_when_it_is_told_first_and_a_gap_is_no_new_beginning(
    collector: Collector, settings: OtlpSettings, expected: list[tuple[float, int, int] | None]
) -> None:
    otlp = opened(settings)
    found = []
    for number, value in enumerate([900.0, 905.0, None, 907.0, 7.0], 1):
        otlp.export(scraped(1_700_000_000.0 + 60 * number, value))
        found.append(tokens(collector.body()))
    otlp.close(PATIENCE_S)
    assert found == expected


@pytest.mark.parametrize(
    ("settings", "expected"), [(DELTA, [None, None, (2.0, 120, 180)]), (HTTP, [(900.0, 60, 60), (905.0, 120, 120)])]
)
def test_what_the_collector_did_not_take_was_not_the_beginning(
    collector: Collector, settings: OtlpSettings, expected: list[tuple[float, int, int] | None]
) -> None:
    """It would count all of the second value as growth."""
    collector.statuses = [400]
    otlp = opened(settings)
    found = []
    for number, value in enumerate([900.0, 905.0, 907.0][: len(expected)], 1):
        otlp.export(scraped(1_700_000_000.0 + 60 * number, value))
        found.append(tokens(collector.body()))
    otlp.close(PATIENCE_S)
    assert found == expected


def test_another_implementation_reads_where_a_count_began(monkeypatch: pytest.MonkeyPatch) -> None:
    async def received() -> metrics_pb2.Metric:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
        async with OtelTapHttpProtobufReceiver(OtelTapHttpProtobufReceiverSettings(port)) as tap:
            otlp = opened()
            otlp.export(scraped(1_700_000_060.0, 900.0))
            metric: metrics_pb2.Metric = await tap.await_metric(lambda each: each.name == "tokens", PATIENCE_S)
            otlp.close(PATIENCE_S)
            return metric

    [point] = asyncio.run(received()).sum.data_points
    assert (point.as_double, point.start_time_unix_nano) == (900.0, point.time_unix_nano)


@pytest.mark.parametrize(("status", "attempts"), [(400, 1), (503, 6)])
def test_a_failing_collector_costs_counts_and_a_line_a_change(
    collector: Collector, caplog: pytest.LogCaptureFixture, status: int, attempts: int
) -> None:
    collector.statuses = [status] * attempts * 2
    otlp = opened()
    with caplog.at_level(logging.INFO):
        for number, calls in ((1, attempts), (2, attempts), (3, 1), (4, 1)):
            otlp.export(report(number))
            for _ in range(calls):
                collector.body()
        otlp.close(PATIENCE_S)
    assert counts(otlp) == (2, 0, 2)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert caplog.messages[0].startswith("metrics export fails: ")
    assert otlp.last_error in caplog.messages[0]
    assert caplog.messages[1] == "metrics export works again"


@pytest.mark.usefixtures("refusing")
def test_an_absent_collector_is_one_failed_report(caplog: pytest.LogCaptureFixture) -> None:
    otlp = opened(OtlpSettings(("otlp",), "http/protobuf", 60.0, 0.5, delta=False))
    otlp.export(report())
    otlp.close(PATIENCE_S)
    assert counts(otlp) == (0, 0, 1)
    assert len(caplog.messages) == 1


@pytest.mark.usefixtures("refusing")
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_closing_ends_the_retries_towards_an_absent_collector(
    caplog: pytest.LogCaptureFixture, protocol: Protocol
) -> None:
    otlp = opened(OtlpSettings(("otlp",), protocol, 60.0, 3600.0, delta=False))
    with Heard() as retries:
        otlp.export(report())
        assert retries.wait(PATIENCE_S)
        otlp.close(0.0)
    assert caplog.messages == ["metrics export: not done within 0 s of closing, given up"]
    otlp.close(PATIENCE_S)
    assert counts(otlp) == (0, 0, 1)
    assert "refused" in otlp.last_error


def test_a_silent_collector_holds_one_report_and_the_latest_waits(silent: socket.socket) -> None:
    otlp = opened()
    otlp.export(report(1))
    connection, _ = silent.accept()
    for number in (2, 3, 4):
        otlp.export(report(number))
    assert counts(otlp) == (0, 2, 0)
    otlp.close(0.0)
    assert counts(otlp) == (0, 3, 0)
    silent.close()
    connection.close()
    otlp.close(PATIENCE_S)
    assert counts(otlp) == (0, 3, 1)


def test_a_closed_exporter_drops_and_counts(collector: Collector) -> None:
    otlp = opened()
    otlp.close(PATIENCE_S)
    otlp.export(report())
    assert counts(otlp) == (0, 1, 0)
    assert collector.bodies.empty()


def test_a_mistake_of_the_exporter_is_a_failed_report(caplog: pytest.LogCaptureFixture) -> None:
    otlp = opened(OtlpSettings(("otlp",), "grpc", 60.0, PATIENCE_S, delta=False))
    broken = Report(0.0, 1.0, [Metric("m", "s", 3, "counter", [({}, 3)])])  # type: ignore[arg-type]  # broken
    otlp.export(broken)
    otlp.close(PATIENCE_S)
    assert counts(otlp) == (0, 0, 1)
    assert otlp.last_error
    assert len(caplog.messages) == 1


_TEXTS = st.text(st.characters(), max_size=3) | st.sampled_from(["\ud800", "x" * 100_000])
_WHOLE = st.integers(-1, 5) | st.sampled_from([2**53, 2**63, 2**64, 2**70, -(2**70), 10**400])
_NUMBERS = _WHOLE | st.floats()
_ATTRIBUTES = st.dictionaries(_TEXTS, _TEXTS | _WHOLE | st.booleans(), max_size=3)
_RUNS = st.tuples(_WHOLE, st.lists(_WHOLE, max_size=3))
_EXPONENTIAL = st.builds(ExponentialBuckets, st.integers(-20, 20), _WHOLE, _RUNS, _RUNS, *[_NUMBERS] * 3)
_BUCKETS = st.builds(Buckets, st.lists(_NUMBERS, max_size=3), st.lists(_WHOLE, max_size=4), _NUMBERS)
_POINTS = st.lists(st.tuples(_ATTRIBUTES, _NUMBERS | _BUCKETS | _EXPONENTIAL), max_size=3)
_KINDS = st.sampled_from(get_args(Kind))
_METRICS = st.lists(st.builds(Metric, _TEXTS, _TEXTS, _TEXTS, _KINDS, _POINTS, foreign=st.booleans()), max_size=4)


@given(st.lists(_METRICS, min_size=1, max_size=2), st.booleans())
@hypothesis.settings(
    deadline=None, max_examples=50, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
def test_no_metric_whatever_it_holds_costs_another(
    collector: Collector, reports: list[list[Metric]], delta: bool
) -> None:
    otlp = opened(DELTA if delta else HTTP)
    for number, metrics in enumerate(reports, 1):
        otlp.export(Report(0.0, number, [*metrics, ALIVE]))
        assert metrics_of(collector.body())["alive"].gauge.data_points[0].as_double == 1.0
    otlp.close(PATIENCE_S)
    assert (otlp.delivered, otlp.failed) == (len(reports), 0)


HOSTILE = {
    "huge": Metric("huge", "", "", "counter", [({}, 2**70)]),
    "negative": Metric("negative", "", "", "histogram", [({}, Buckets((1.0,), (-1, 2), 1.0))]),
    "without": Metric("without", "", "", "histogram", [({}, Buckets((1.0,), (2**64, 0), 1.0))]),
    "\ud800": Metric("\ud800", "", "", "gauge", [({}, 1.0)]),
    "unit": Metric("unit", "\ud800", "", "gauge", [({}, 1.0)]),
    "total": Metric("total", "", "", "histogram", [({}, Buckets((1.0,), (1, 2), 10**400))]),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("settings", [HTTP, DELTA])
def test_a_metric_that_cannot_be_encoded_costs_no_other(
    name: str, settings: OtlpSettings, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    otlp = opened(settings)
    now = report()
    otlp.export(replace(now, metrics=[HOSTILE[name], *now.metrics]))
    otlp.close(PATIENCE_S)
    assert set(metrics_of(collector.body())) == {"requests", "active", "mean", "duration"}
    assert (counts(otlp), otlp.last_error) == ((1, 1, 0), "")
    [line] = caplog.messages
    assert line.startswith(f"metrics export: 1 metrics cannot be encoded and are left out: {shown(name, 9)}: ")


def test_what_is_left_out_is_counted_each_time_and_said_once(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    otlp = opened()
    broken = tuple(HOSTILE.values())
    for number, metrics in enumerate((broken, broken[:2], (), broken), 1):
        now = report(number)
        otlp.export(replace(now, metrics=[*metrics, *now.metrics]))
        assert metrics_of(collector.body())["requests"].sum.data_points[0].as_int == 10 * number
    otlp.close(PATIENCE_S)
    assert counts(otlp) == (4, 6 + 2 + 6, 0)
    assert [line.partition(":")[0] for line in caplog.messages] == ["metrics export"] * 2


def test_the_console_is_an_exporter_too() -> None:
    otlp = opened(OtlpSettings(("console",), "http/protobuf", 60.0, PATIENCE_S, delta=False))
    otlp.export(report())
    otlp.close(PATIENCE_S)
    assert counts(otlp) == (1, 0, 0)


def test_opentelemetrys_own_words_come_back_after_closing() -> None:
    logger = logging.getLogger("opentelemetry")
    before = list(logger.handlers), logger.propagate
    opened().close(PATIENCE_S)
    assert (logger.handlers, logger.propagate) == before


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_METRICS_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"},
        {"OTEL_METRICS_EXPORTER": "prometheus", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"},
        {"OTEL_SDK_DISABLED": "TRUE", "OTEL_METRICS_EXPORTER": "otlp"},
    ],
)
def test_nothing_is_exported_unless_asked_for(environ: dict[str, str]) -> None:
    assert otlp_settings(environ) is None


@pytest.mark.parametrize(
    ("environ", "change"),
    [
        ({"OTEL_METRICS_EXPORTER": "otlp"}, {}),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, {}),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c:4318/v1/metrics"}, {}),
        ({"OTEL_METRICS_EXPORTER": "console, otlp,prometheus"}, {"exporters": ("console", "otlp")}),
        ({"OTEL_SDK_DISABLED": "false", "OTEL_METRICS_EXPORTER": "otlp"}, {}),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, {"protocol": "grpc"}),
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/protobuf"},
            {"protocol": "http/protobuf"},
        ),
        ({"OTEL_METRIC_EXPORT_INTERVAL": "1500"}, {"interval_s": 1.5}),
        ({"OTEL_METRIC_EXPORT_TIMEOUT": "2000"}, {"timeout_s": 2.0}),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "3"}, {"timeout_s": 3.0}),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "3", "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT": "4"}, {"timeout_s": 4.0}),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "10000"}, {"timeout_s": 30.0}),
        ({"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "Delta"}, {"delta": True}),
        ({"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "lowmemory"}, {"delta": True}),
        ({"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "cumulative"}, {"delta": False}),
        ({AGGREGATION: "Base2_Exponential_bucket_histogram"}, {"exponential": True}),
        ({AGGREGATION: "explicit_bucket_histogram"}, {"exponential": False}),
        ({AGGREGATION: ""}, {"exponential": False}),
    ],
)
def test_the_standard_variables_rule(environ: dict[str, str], change: dict[str, object]) -> None:
    expected = {"exporters": ("otlp",), "protocol": "http/protobuf", "interval_s": 60.0, "timeout_s": 10.0}
    settings = otlp_settings({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"} | environ)
    assert settings == OtlpSettings(**{**expected, "delta": False, **change})  # type: ignore[arg-type]  # as in the table


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("OTEL_METRICS_EXPORTER", "jaeger", "expected otlp, console, prometheus or none, got 'jaeger'"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "expected http/protobuf or grpc, got 'http/json'"),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "udp", "expected http/protobuf or grpc, got 'udp'"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "often", "expected a number above 0, got 'often'"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0", "expected a number above 0, got '0'"),
        ("OTEL_METRIC_EXPORT_TIMEOUT", "-1", "expected a number above 0, got '-1'"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "inf", "expected a number above 0, got 'inf'"),
        (
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
            "both",
            "expected cumulative, delta or lowmemory, got 'both'",
        ),
        (
            AGGREGATION,
            "summary",
            "expected explicit_bucket_histogram or base2_exponential_bucket_histogram, got 'summary'",
        ),
    ],
)
def test_what_we_cannot_do_is_refused_by_name(name: str, value: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        otlp_settings({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", name: value})
    assert str(caught.value) == f"{name}: {message}"


def test_grpc_without_its_extra_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.grpc", None)
    with pytest.raises(ConfigError, match="OTEL_EXPORTER_OTLP_PROTOCOL: grpc needs the extra of that name"):
        otlp_settings({"OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
