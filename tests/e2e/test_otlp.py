"""Three signals arrive at real receivers: at Rotel, an OTLP collector, and at one that keeps what came, decoded."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from sidecar.admin.prometheus import metric_name
from sidecar.records import JSON, Event, Metric
from sidecar.sinks.otlp_logs import otlp_logs, otlp_logs_settings
from tests.e2e.conftest import Collector
from tests.e2e.receiver import Received, grpc_receiver, http_receiver, plain
from tests.e2e.rig import PATIENCE_S, Process, Sidecar, environment, run_command, running, sidecar, until
from tests.e2e.traffic import predict_many
from tests.e2e.upstreams import Model

COUNT = 123
RECEIVERS: dict[str, Callable[[], AbstractContextManager[Received]]] = {
    "grpc": grpc_receiver,
    "http/protobuf": http_receiver,
}
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]
"""Values by name and labels, as Prometheus has them."""

RESTLESS = ("container_", "process_", "sidecar_export_", "sidecar_loop_", "sidecar_pipeline_", "system_")
"""What goes on without requests: the last report has as much as `/metrics` before it, or more."""

STILL = ("sidecar_feature_", "sidecar_prediction_")
"""Gauges that change with requests only."""


class Telling(Sidecar):
    """One whose log is JSON Lines."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.admin = process.says(r'admin on ([^"]+)"')[1]
        self.address = process.says(r'serving on ([^"]+)"')[1]


@contextmanager
def telling(protocol: str, received: Received, first: Model) -> Iterator[Telling]:
    """Two variants, everything sampled and captured; one report, on the way out."""
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{received.address}", "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
    variables["OTEL_BSP_SCHEDULE_DELAY"] = "50"
    variants = {name: {"url": first.url, "version": version} for name, version in (("a", "1"), ("b", "2"))}
    arguments = ["--variants", json.dumps(variants), "--capture-sample-ratio", "1", "--log-format", "json"]
    addresses = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    with running(run_command(*addresses, *arguments), environment(**variables)) as process:
        yield Telling(process)


def labels(attributes: dict[str, JSON]) -> frozenset[tuple[str, str]]:
    return frozenset((name.replace(".", "_"), _spelt(value)) for name, value in attributes.items())


def _spelt(value: JSON) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def scraped(text: str) -> tuple[Series, set[str]]:
    """What `/metrics` says; and which of its series only grow."""
    found, growing = {}, set()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name, frozenset(sample.labels.items())] = sample.value
            if family.type in {"counter", "histogram"}:
                growing.add(sample.name)
    return found, growing


def exported(received: Received) -> Series:
    """What the last report says."""
    found: Series = {}
    (resource,) = received.requests["/v1/metrics"][-1].resource_metrics
    for scope in resource.scope_metrics:
        for metric in scope.metrics:
            found |= _series(metric)
    return found


def _series(metric: JSON) -> Series:
    kind = metric.WhichOneof("data")
    points = getattr(metric, kind).data_points
    if kind == "exponential_histogram":  # which Prometheus' text does not know
        return {}
    if kind == "histogram":
        name = metric_name(Metric(metric.name, metric.unit, "", "histogram", []))
        return {(name + part, told): value for each in points for part, told, value in _buckets(each)}
    grows = kind == "sum" and metric.sum.is_monotonic
    name = metric_name(Metric(metric.name, metric.unit, "", "counter" if grows else "gauge", []))
    return {(name, labels(plain(each.attributes))): getattr(each, each.WhichOneof("value")) for each in points}


def _buckets(point: JSON) -> Iterator[tuple[str, frozenset[tuple[str, str]], float]]:
    told, below = labels(plain(point.attributes)), 0
    for bound, count in zip([*map(float, point.explicit_bounds), None], point.bucket_counts, strict=True):
        below += count
        yield "_bucket", told | {("le", "+Inf" if bound is None else repr(bound))}, below
    yield "_sum", told, point.sum
    yield "_count", told, point.count


def log_lines(said: str) -> list[JSON]:
    """What stderr said."""
    return [json.loads(line) for line in said.splitlines()]


def as_lines(received: Received) -> Iterator[JSON]:
    """The log records that came, as stderr says the same."""
    for request in received.requests["/v1/logs"]:
        for scope in request.resource_logs[0].scope_logs:
            for each in scope.log_records:
                line = {"severity": each.severity_text, "logger": scope.scope.name, "message": each.body.string_value}
                if each.event_name:
                    line |= {"event": each.event_name, "attributes": plain(each.attributes)}
                if each.trace_id:
                    line |= {"trace_id": each.trace_id.hex(), "span_id": each.span_id.hex()}
                yield line


def spelt(lines: "list[JSON] | Iterator[JSON]") -> list[str]:
    """In one order: the exporter groups what it sends. Their times are told elsewhere, to the nanosecond."""
    return sorted(json.dumps({key: line[key] for key in line if key != "time"}, sort_keys=True) for line in lines)


@pytest.mark.parametrize("protocol", list(RECEIVERS))
def test_every_metric_span_and_log_arrives_as_it_is_told_elsewhere(first: Model, protocol: str) -> None:
    with RECEIVERS[protocol]() as received:
        with telling(protocol, received, first) as found:
            found.ready()
            predict_many(found.url, COUNT)
            order = {"variant": "b", "percent": 25}
            url, headers = f"http://{found.admin}/v1/routes/weight", {"traceparent": f"00-{TRACE}-{SPAN}-01"}
            assert requests.post(url, json=order, headers=headers, timeout=PATIENCE_S).status_code == 200
            until(lambda: found.told("captures", "captured") == COUNT and not found.told("captures", "waiting"))
            until(lambda: len(received.spans) == 2 * COUNT)
            before, growing = scraped(found.ask("/metrics").text)
            assert found.stop() == 0
        said = found.process.said

    after = exported(received)
    assert {name for name, _ in before} - {name for name, _ in after} == set()
    restless = {key for key in before if key[0].startswith(RESTLESS)}
    still = {key for key in before.keys() - restless if key[0] in growing or key[0].startswith(STILL)}
    assert {key: after.get(key) for key in still} == {key: before[key] for key in still}
    assert sum(before[key] for key in still if key[0] == "http_server_request_duration_seconds_count") == COUNT
    assert {key for key in restless if key[0] in growing and not after[key] >= before[key]} == set()

    servers = [each for each in received.spans if each.kind == 2]
    assert len({plain(each.attributes)["sidecar.request.id"] for each in servers}) == COUNT
    for attribute, metric in (("http.request.body.size", "request"), ("http.response.body.size", "response")):
        name = f"http_server_{metric}_body_size_bytes_sum"
        total = sum(value for key, value in after.items() if key[0] == name)
        assert sum(plain(each.attributes)[attribute] for each in servers) == total

    assert spelt(as_lines(received)) == spelt(log_lines(said))
    (changed,) = [line for line in as_lines(received) if line.get("trace_id")]
    assert (changed["event"], changed["trace_id"], changed["span_id"]) == ("sidecar.routes.changed", TRACE, SPAN)


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_metrics_arrive_with_exact_counts(collector: Collector, first: Model, protocol: str) -> None:
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector.addresses[protocol]}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_METRIC_EXPORT_INTERVAL": "100",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=tests,service.namespace=e2e",
    }

    with sidecar("--upstream", first.url, "--endpoint", "sums", variables=variables) as exporting:
        predict_many(exporting.url, COUNT)
        # Between the two lines there is no other metric's name.
        collector.process.says(
            r"-> Name: http\.server\.request\.duration\n(?:(?!-> Name).*\n)*?"
            r".*http\.route: Str\(/v1/models/\{model\}:predict\)\n(?:(?!-> Name).*\n)*?"
            rf"Count: {COUNT}$"
        )
        status = until(lambda: (found := exporting.told("exporters", 0))["delivered"] and found)
    last = collector.process.said

    assert (status["failed"], status["last_error"]) == (0, "")
    for attribute in (
        "service.name: Str(sums)",
        "service.namespace: Str(e2e)",
        "deployment.environment.name: Str(tests)",
    ):
        assert f"-> {attribute}" in last
    for name in ("http.client.request.duration", "sidecar.overhead.duration", "sidecar.feature.mean"):
        assert f"-> Name: {name}\n" in last


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_events_arrive_whole(collector: Collector, monkeypatch: pytest.MonkeyPatch, protocol: str) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{collector.addresses[protocol]}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    settings = otlp_logs_settings(os.environ)
    assert settings

    exporter = otlp_logs(settings, service="sums", version="1.2.3")
    for rows in range(COUNT):
        exporter.put(Event("sidecar.alert", 1_700_000_000.5, "critical", "amount drifts", {"rows": rows}))
    exporter.close(PATIENCE_S)

    collector.process.says(rf"-> rows: Int\({COUNT - 1}\)$")
    said = collector.process.said
    assert (exporter.delivered, exporter.dropped, exporter.failed) == (COUNT, 0, 0)
    for words in (
        "Timestamp: 1700000000500000000\nSeverityText: critical\nSeverityNumber: SEVERITY_NUMBER_FATAL(21)\n",
        "EventName: sidecar.alert\nBody: Str(amount drifts)\n",
    ):
        assert said.count(words) == COUNT
    assert "InstrumentationScope sidecar 1.2.3\n" in said


def test_what_was_counted_last_is_exported_on_the_way_out(collector: Collector, first: Model) -> None:
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector.addresses['http/protobuf']}"}

    with sidecar("--upstream", first.url, variables=variables) as exporting:
        predict_many(exporting.url, COUNT)
        exporting.ready()
        assert exporting.told("exporters", 0, "delivered") == 0

    collector.process.says(rf"-> Name: http\.server\.request\.duration\n(?:(?!-> Name).*\n)*?Count: {COUNT}$")
