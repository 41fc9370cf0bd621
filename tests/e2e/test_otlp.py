"""Metrics arrive at a real receiver: Rotel, an OTLP collector."""

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.e2e.rig import Process, environment, free_address, missing, running, sidecar, until
from tests.e2e.traffic import predict_many
from tests.e2e.upstreams import Model

COUNT = 123


class Collector(NamedTuple):
    """A running collector and its addresses by protocol."""

    process: Process
    addresses: dict[str, str]


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = find_spec("rotel")
    if found is None or not found.submodule_search_locations:
        missing("rotel")
    agent = Path(found.submodule_search_locations[0], "rotel-agent")
    addresses = {"grpc": free_address(), "http/protobuf": free_address()}
    command: list[str | Path] = [
        agent, "start", "--exporter", "blackhole", "--debug-log", "metrics", "--debug-log-verbosity", "detailed",
        "--otlp-grpc-endpoint", addresses["grpc"], "--otlp-http-endpoint", addresses["http/protobuf"],
    ]  # fmt: skip
    with running(command, environment()) as process:
        if re.search("libpython.*cannot open shared object", _beginning(process)):
            missing("libpython3.11")
        yield Collector(process, addresses)


def _beginning(process: Process) -> str:
    process.says("Starting Rotel|error while loading")
    return process.said


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
        status = until(lambda: (found := exporting.told("exporter"))["delivered"] and found)
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


def test_what_was_counted_last_is_exported_on_the_way_out(collector: Collector, first: Model) -> None:
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector.addresses['http/protobuf']}"}

    with sidecar("--upstream", first.url, variables=variables) as exporting:
        predict_many(exporting.url, COUNT)
        exporting.ready()
        assert exporting.told("exporter", "delivered") == 0

    collector.process.says(rf"-> Name: http\.server\.request\.duration\n(?:(?!-> Name).*\n)*?Count: {COUNT}$")
