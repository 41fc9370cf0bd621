"""Metrics and events arrive at a real receiver: Rotel, an OTLP collector."""

import os

import pytest

from sidecar.records import Event
from sidecar.sinks.otlp_logs import OtlpLogs, otlp_logs_settings
from tests.e2e.conftest import Collector
from tests.e2e.rig import PATIENCE_S, sidecar, until
from tests.e2e.traffic import predict_many
from tests.e2e.upstreams import Model

COUNT = 123


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

    exporter = OtlpLogs(settings, service="sums", version="1.2.3")
    for rows in range(COUNT):
        exporter.emit(Event("sidecar.alert", 1_700_000_000.5, "critical", "amount drifts", {"rows": rows}))
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
